//! HTTP on a connection that stands already: one GET, HTTP/1.1 or HTTP/2, its head and its body
//! apart. No redirect is followed; nothing is pooled.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use model::ErrorStage;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::{self, Instant as Deadline};
use url::{Position, Url};

use super::socket::Log;
use super::stream::{Marked, Marks};
use crate::VERSION;
use crate::failure::{Failure, kind, of_hyper};

/// Windows for HTTP/2, large enough that a transfer measures the path and not the window:
/// 16 MiB carry 1 Gbit/s over 130 ms.
pub(crate) const WINDOW: u32 = 16 << 20;

/// The protocol to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

impl Version {
    /// What was agreed on by ALPN; HTTP/1.1 where nothing was.
    pub(crate) fn of_alpn(alpn: Option<&str>) -> Self {
        if alpn == Some("h2") { Self::Http2 } else { Self::Http1 }
    }
}

/// A response whose head has come.
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    /// The request's first byte to its last, into the kernel.
    pub(crate) request: Duration,
    /// Request handed to the kernel to first byte of the response.
    pub(crate) ttfb: Duration,
    /// When that first byte came.
    pub(crate) answered: Instant,
    body: Incoming,
    /// Kept for a further request; without it the connection ends with the body.
    sender: Option<Sender>,
    driver: Driver,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// How much of a body came, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes so far.
    pub(crate) bytes: u64,
    /// Bytes of the first piece, which had come when the clock of the body started.
    pub(crate) first_piece: u64,
    /// First piece and last piece.
    pub(crate) span: Option<(Instant, Instant)>,
}

/// How reading a body ended.
#[derive(Debug)]
pub(crate) enum BodyEnd {
    /// Its last byte was read.
    Complete,
    /// It is longer than what was to be read.
    Capped,
    /// It ended early, or broke.
    Failed(Failure),
    /// It ran out of time.
    TimedOut,
}

/// Sends the request and waits for the head of the response.
pub(crate) async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    socket: Log,
    version: Version,
    request: Request<Empty<Bytes>>,
    deadline: Deadline,
) -> Result<Answer, Failure> {
    let marks = match version {
        Version::Http1 => Marks::of_http1(socket),
        Version::Http2 => Marks::of_http2(socket),
    };
    let io = TokioIo::new(Marked::new(stream, marks.clone()));
    let start = Instant::now();
    let asking = async {
        match version {
            Version::Http1 => {
                let (mut sender, connection) = http1::handshake(io).await?;
                let mut driver = Driver::new(connection, Tasks::default());
                let response = driver.alongside(sender.send_request(request)).await;
                Ok::<_, hyper::Error>((response, Sender::Http1(sender), driver))
            }
            Version::Http2 => {
                let tasks = Tasks::default();
                let (mut sender, connection) = http2::Builder::new(tasks.clone())
                    .initial_stream_window_size(WINDOW)
                    .initial_connection_window_size(WINDOW)
                    .handshake(io)
                    .await?;
                let mut driver = Driver::new(connection, tasks);
                let response = driver.alongside(sender.send_request(request)).await;
                Ok((response, Sender::Http2(sender), driver))
            }
        }
    };
    match time::timeout_at(deadline, asking).await {
        Err(_) => Err(Failure::new(ErrorStage::Http, kind::HTTP_TIMED_OUT, "no answer in time")),
        Ok(Err(e)) => Err(of_hyper(&e, marks.has_answer(), false)),
        // What broke the connection says more than what that did to the request.
        Ok(Ok((Err(e), _, driver))) => {
            Err(of_hyper(driver.error().unwrap_or(&e), marks.has_answer(), false))
        }
        Ok(Ok((Ok(response), sender, driver))) => {
            let (head, body) = Response::into_parts(response);
            let answered = marks.answered().unwrap_or_else(Instant::now);
            let ttfb = marks.time_to_first_byte().unwrap_or_else(|| answered - start);
            let request = marks.request().unwrap_or_default();
            Ok(Answer { head, request, ttfb, answered, body, sender: Some(sender), driver })
        }
    }
}

impl Answer {
    /// Reads the body to its end, to `cap` bytes, or until time is out. The bytes are counted
    /// and thrown away.
    pub(crate) async fn read_body(mut self, cap: u64, deadline: Deadline) -> (Progress, BodyEnd) {
        self.sender = None;
        self.read(cap, deadline).await
    }

    /// Sends another request, when the body has been read to its end, and reads its short answer.
    /// `None` whatever goes wrong: it is about the connection, which has done its work.
    pub(crate) async fn ask_again(
        mut self,
        url: &Url,
        most: usize,
        deadline: Deadline,
    ) -> Option<Bytes> {
        let asking = async {
            let response = match self.sender.as_mut()? {
                Sender::Http1(sender) => {
                    self.driver.alongside(sender.ready()).await.ok()?;
                    let request = request(url, Version::Http1, &[]).ok()?;
                    self.driver.alongside(sender.send_request(request)).await
                }
                Sender::Http2(sender) => {
                    let request = request(url, Version::Http2, &[]).ok()?;
                    self.driver.alongside(sender.send_request(request)).await
                }
            };
            let response = response.ok().filter(|response| response.status().is_success())?;
            let body = Limited::new(response.into_body(), most).collect();
            Some(self.driver.alongside(body).await.ok()?.to_bytes())
        };
        time::timeout_at(deadline, asking).await.ok().flatten()
    }

    /// As [`Answer::read_body`], and the connection stays.
    pub(crate) async fn read(&mut self, cap: u64, deadline: Deadline) -> (Progress, BodyEnd) {
        let declared = self.content_length();
        let mut progress = Progress { bytes: 0, first_piece: 0, span: None };
        let reading = async {
            while let Some(frame) = self.driver.alongside(self.body.frame()).await {
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(e) => {
                        let error = self.driver.error().unwrap_or(&e);
                        return BodyEnd::Failed(of_hyper(error, true, true));
                    }
                };
                let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else {
                    continue;
                };
                progress.add(data.len() as u64, Instant::now());
                if progress.bytes > cap {
                    return BodyEnd::Capped;
                }
            }
            BodyEnd::Complete
        };
        let mut end = time::timeout_at(deadline, reading).await.unwrap_or(BodyEnd::TimedOut);
        if let (BodyEnd::Failed(failure), Some(declared)) = (&mut end, declared) {
            of_short_body(failure, progress.bytes, declared);
        }
        (progress, end)
    }

    /// The length the response says its body has.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

/// A body that ends before its declared length is cut short in any version; HTTP/2 alone also
/// has a name for that in its framing.
fn of_short_body(failure: &mut Failure, bytes: u64, declared: u64) {
    let ended = matches!(failure.kind, kind::BODY_TRUNCATED | kind::HTTP_PROTOCOL_ERROR);
    if ended && bytes < declared {
        failure.kind = kind::BODY_TRUNCATED;
        failure.detail = format!("the body ended after {bytes} of {declared} bytes");
    }
}

impl Progress {
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        match &mut self.span {
            Some((_, last)) => *last = now,
            None => {
                self.first_piece = bytes;
                self.span = Some((now, now));
            }
        }
    }
}

/// A GET for a URL.
pub(crate) fn request(
    url: &Url,
    version: Version,
    extra: &[(HeaderName, &'static str)],
) -> Result<Request<Empty<Bytes>>, Failure> {
    request_of(Method::GET, url, version, extra, Empty::new())
}

/// A request: its URL in origin form for HTTP/1.1, absolute for HTTP/2, which makes its pseudo-headers
/// of it.
pub(crate) fn request_of<B>(
    method: Method,
    url: &Url,
    version: Version,
    extra: &[(HeaderName, &'static str)],
    body: B,
) -> Result<Request<B>, Failure> {
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::new(ErrorStage::Http, kind::HTTP_FAILED, format!("cannot ask for {url}: {e}"))
    };
    let text = match version {
        Version::Http1 => &url[Position::BeforePath..Position::AfterQuery],
        Version::Http2 => &url[..Position::AfterQuery],
    };
    let mut request = Request::builder()
        .method(method)
        .uri(text)
        .header(header::USER_AGENT, format!("qoe-probe/{VERSION}"))
        .header(header::ACCEPT, "*/*");
    if version == Version::Http1 {
        request = request.header(header::HOST, &url[Position::BeforeHost..Position::AfterPort]);
    }
    for (name, value) in extra {
        request = request.header(name, HeaderValue::from_static(value));
    }
    request.body(body).map_err(|e| wrong(&e))
}

/// Drives a connection in the task that waits for it: no thread or queue lies between a byte
/// and its instant, and dropping the driver closes the socket.
struct Driver {
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    ended: Option<hyper::Result<()>>,
    /// HTTP/2 connections live in a task of hyper's; it ends with this driver.
    _tasks: Tasks,
}

impl Driver {
    fn new(
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
        tasks: Tasks,
    ) -> Self {
        Self { connection: Box::pin(connection), ended: None, _tasks: tasks }
    }

    /// Waits for `work` while the connection moves.
    async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            if self.ended.is_none()
                && let Poll::Ready(ended) = self.connection.as_mut().poll(cx)
            {
                self.ended = Some(ended);
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    fn error(&self) -> Option<&hyper::Error> {
        self.ended.as_ref()?.as_ref().err()
    }
}

/// The tasks hyper wants to have run; aborted with the last holder.
#[derive(Clone, Default)]
struct Tasks(Arc<Aborting>);

#[derive(Default)]
struct Aborting(Mutex<Vec<AbortHandle>>);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let handle = tokio::spawn(task).abort_handle();
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        let handles = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for handle in handles {
            handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_what_their_version_wants() {
        let url = Url::parse("http://t.test:8080/a?b=c").unwrap();
        let one = request(&url, Version::Http1, &[]).unwrap();
        assert_eq!(one.uri(), "/a?b=c");
        assert_eq!(one.headers()[header::HOST], "t.test:8080");
        let two = request(&url, Version::Http2, &[]).unwrap();
        assert_eq!(two.uri(), "http://t.test:8080/a?b=c");
        assert!(!two.headers().contains_key(header::HOST));
        let six = request(&Url::parse("https://[::1]/").unwrap(), Version::Http1, &[]).unwrap();
        assert_eq!(six.headers()[header::HOST], "[::1]");
    }
}
