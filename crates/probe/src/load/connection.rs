//! A connection that carries more than one request: its sender, and its socket to ask the kernel by.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::ErrorStage;
use model::wire::WireTcpInfo;
use tokio::task::AbortHandle;
use tokio::time::{self, Instant as Deadline};
use url::Url;

use super::Goal;
use super::upload::Upload;
use crate::failure::{Failure, kind, of_hyper};
use crate::measure::http::{Version, WINDOW, request_of};
use crate::measure::throughput::FRESH;
use crate::measure::{connect, open, tcp_info};
use crate::measurement::{TcpInfo, sides};

/// What a connection costs to set up, in bytes: its handshake with certificates. More than enough.
pub(super) const SETUP: u64 = 16 << 10;

/// Ready for requests. Dropping the last clone of it closes it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    sender: Sender,
    socket: Arc<OwnedFd>,
    _driver: Arc<Driver>,
    pub(super) set_up: SetUp,
}

/// How long a fresh connection took.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetUp {
    pub(super) tcp: Duration,
    /// For each of its round trips.
    pub(super) tls: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Sender {
    /// One request at a time.
    Http1(Arc<tokio::sync::Mutex<http1::SendRequest<Payload>>>),
    Http2(http2::SendRequest<Payload>),
}

#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a request carries.
pub(super) enum Payload {
    Nothing,
    Upload(Upload),
}

impl Connection {
    pub(super) async fn open(goal: Goal<'_>, deadline: Deadline) -> Result<Self, Failure> {
        let connected = connect::connect(goal.address, deadline).await?;
        let tcp = connected.time;
        connected.stream.log().stop();
        let socket = connected.stream.as_fd().try_clone_to_owned().map_err(|e| {
            Failure::new(ErrorStage::Tcp, kind::TCP_FAILED, format!("no second handle: {e}"))
        })?;
        let opened = open::open(goal.client, goal.target, connected.stream, deadline).await;
        let opened = opened.map_err(|refused| refused.failure)?;
        // The older version asks twice before it is done.
        let tls = opened.tls.as_ref().map(|shaken| {
            let round_trips = if shaken.session.version == "1.3" { 1 } else { 2 };
            shaken.time.saturating_sub(shaken.local) / round_trips
        });
        let version = opened.version;
        let io = TokioIo::new(opened.into_stream());
        let speaking = async {
            match version {
                Version::Http1 => {
                    let (sender, driver) = http1::handshake(io).await?;
                    let driver = tokio::spawn(async move { drop(driver.await) });
                    let sender = Sender::Http1(Arc::new(tokio::sync::Mutex::new(sender)));
                    Ok::<_, hyper::Error>((sender, driver.abort_handle()))
                }
                Version::Http2 => {
                    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
                        .initial_stream_window_size(WINDOW)
                        .initial_connection_window_size(WINDOW)
                        .handshake(io)
                        .await?;
                    let driver = tokio::spawn(async move { drop(driver.await) });
                    Ok((Sender::Http2(sender), driver.abort_handle()))
                }
            }
        };
        let spoken = time::timeout_at(deadline, speaking).await.map_err(|_| late())?;
        let (sender, driver) = spoken.map_err(|e| of_hyper(&e, false, false))?;
        Ok(Self {
            sender,
            socket: Arc::new(socket),
            _driver: Arc::new(Driver(driver)),
            set_up: SetUp { tcp, tls },
        })
    }

    /// Whether requests can be sent while others are under way.
    pub(super) fn is_multiplexed(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// The kernel's view.
    pub(super) fn info(&self) -> Option<TcpInfo> {
        tcp_info::of(&*self.socket)
    }

    /// Bytes this connection has moved, both ways, as TCP counts them.
    pub(super) fn moved(&self) -> Option<u64> {
        self.info().map(|info| info.bytes_sent + info.bytes_received)
    }

    /// Sends a request and returns the answer with its head.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: &Url,
        payload: Payload,
    ) -> Result<Response<Incoming>, Failure> {
        self.ask_timed(method, url, payload).await.map(|(answer, _)| answer)
    }

    /// The same, with the time since the connection was free for the request: what it waited for
    /// those before it is our own doing.
    async fn ask_timed(
        &self,
        method: Method,
        url: &Url,
        payload: Payload,
    ) -> Result<(Response<Incoming>, Duration), Failure> {
        let start;
        let sent = match &self.sender {
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                let request = request_of(method, url, Version::Http1, &FRESH, payload)?;
                let ready = sender.ready().await;
                start = Instant::now();
                match ready {
                    Ok(()) => sender.send_request(request).await,
                    Err(e) => Err(e),
                }
            }
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                let request = request_of(method, url, Version::Http2, &FRESH, payload)?;
                let ready = sender.ready().await;
                start = Instant::now();
                match ready {
                    Ok(()) => sender.send_request(request).await,
                    Err(e) => Err(e),
                }
            }
        };
        let time = start.elapsed();
        sent.map(|answer| (answer, time)).map_err(|e| of_hyper(&e, false, false))
    }

    /// What the target says of its side, in time or not at all; of our own test target alone.
    pub(super) async fn target_side(&self, target: &Url, limit: Duration) -> Option<WireTcpInfo> {
        let mut url = target.clone();
        url.set_path(sides::PAGE);
        url.set_query(None);
        let asking = async {
            let answer = self.ask(Method::GET, &url, Payload::Nothing).await.ok()?;
            read_side(answer).await
        };
        time::timeout(limit, asking).await.ok().flatten()
    }

    /// Asks for the head of a page, which is small whatever the page is; from the request to the first
    /// byte of its answer.
    pub(super) async fn time(&self, url: &Url) -> Result<Duration, Failure> {
        let (_, time) = self.ask_timed(Method::HEAD, url, Payload::Nothing).await?;
        Ok(time)
    }
}

/// The target's side in its answer; of an answer that is longer than that may be nothing is read.
pub(super) async fn read_side(answer: Response<Incoming>) -> Option<WireTcpInfo> {
    let body = Limited::new(answer.into_body(), sides::MOST).collect().await.ok()?;
    sides::read(&body.to_bytes())
}

/// Nothing came in time.
pub(super) fn late() -> Failure {
    Failure::new(ErrorStage::Http, kind::HTTP_TIMED_OUT, "no answer in time")
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match self.get_mut() {
            Self::Nothing => None,
            Self::Upload(upload) => upload.next().map(|piece| Ok(Frame::data(piece))),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Upload(_) => SizeHint::default(),
        }
    }
}
