//! HTTP as the target speaks it: connections, responses and their faults.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::accept::Tasks;
use super::body::{Body, PATTERN};
use super::faults::HttpFault;
use super::flush::{Flushed, Flushing};
use super::pace::Pace;
use super::page::{HELP, MAX_UPLOAD, Page, Refusal};
use super::switch::Slot;
use super::tcp_info::Watch;
use super::tls::Tls;

/// For the whole head of a request, and so also for how long a connection may idle between two.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP/2 peer that does not answer a ping for this long is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Where a server says what of an answer's time was its own (W3C).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// On every answer of this target, and the version of what a probe may count on: `/tcp-info`. A probe
/// that does not see it asks nobody for that.
const MARK: (HeaderName, HeaderValue) =
    (HeaderName::from_static("qoe-target"), HeaderValue::from_static("1"));

/// Serves HTTP/1.1 on a plain connection until it ends.
pub(super) async fn serve(stream: TcpStream, slot: Arc<Slot>) {
    let watch = Watch::of(&stream);
    serve_http1(stream, &slot, &watch).await;
}

/// Serves HTTPS: the handshake, then HTTP/2 or HTTP/1.1 as agreed in it.
pub(super) async fn serve_tls(stream: TcpStream, slot: Arc<Slot>, tls: Arc<Tls>, tasks: Tasks) {
    let watch = Watch::of(&stream);
    let stream = match tls.accept(stream, slot.faults().tls).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake");
            return;
        }
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(stream, &slot, watch, tasks).await;
    } else {
        serve_http1(stream, &slot, &watch).await;
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin>(stream: S, slot: &Slot, watch: &Watch) {
    let flushed = Flushed::default();
    let io = TokioIo::new(Flushing::new(stream, flushed.clone()));
    let service = service_fn(|request| respond(request, slot, watch, Some(&flushed)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(io, service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "HTTP/1.1 connection");
    }
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    slot: &Arc<Slot>,
    watch: Watch,
    tasks: Tasks,
) {
    let watch = Arc::new(watch);
    let service = service_fn(|request| {
        let (slot, watch) = (Arc::clone(slot), Arc::clone(&watch));
        async move { respond(request, &slot, &watch, None).await }
    });
    let served = http2::Builder::new(tasks)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(HEAD_TIMEOUT)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "HTTP/2 connection");
    }
}

/// One response, with the faults of the moment its request came.
async fn respond(
    request: Request<Incoming>,
    slot: &Slot,
    watch: &Watch,
    flushed: Option<&Flushed>,
) -> Result<Response<Body>, Infallible> {
    let fault = slot.faults().http;
    let number = slot.count_request();
    let head_only = request.method() == Method::HEAD;
    let start = Instant::now();
    let page = Page::of(request.method(), request.uri());
    let timed = matches!(page, Ok(Page::Health | Page::Slow(_)));
    let reply = match page {
        Ok(page) => match fault.status.map(StatusCode::from_u16) {
            Some(Ok(status)) => Reply::to(Page::Status(status), request, &fault, watch).await,
            _ => Reply::to(page, request, &fault, watch).await,
        },
        Err(refusal) => refusal.into(),
    };
    if fault.delay_ms > 0 && number.is_multiple_of(fault.delay_every.max(1)) {
        sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let mut response = reply.into_response(head_only, &fault, flushed);
    if timed {
        let app = format!("app;dur={:.3}", start.elapsed().as_secs_f64() * 1e3);
        response.headers_mut().extend(HeaderValue::try_from(app).map(|app| (SERVER_TIMING, app)));
    }
    Ok(response)
}

/// A response before its faults.
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    source: Bytes,
    length: u64,
    /// The pace that was asked for.
    bps: Option<u64>,
    allow: Option<&'static str>,
}

impl Reply {
    async fn to(page: Page, request: Request<Incoming>, fault: &HttpFault, watch: &Watch) -> Self {
        match page {
            Page::Help => Self::text(StatusCode::OK, HELP),
            Page::Health => Self::text(StatusCode::OK, "ok\n"),
            Page::Slow(time) => {
                sleep(time).await;
                Self::text(StatusCode::OK, format!("waited {} ms\n", time.as_millis()))
            }
            Page::Fixed { bytes } => Self::data(bytes, None),
            Page::Status(status) => Self::text(status, format!("{status}\n")),
            Page::Drip { bytes, bps } => Self::data(bytes, Some(bps)),
            Page::Upload => count(request.into_body(), fault.rate_bps, watch).await,
            Page::TcpInfo => Self::json(&serde_json::json!({ "tcp_info": watch.ask() })),
        }
    }

    fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let source = text.into();
        let length = source.len() as u64;
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            source,
            length,
            bps: None,
            allow: None,
        }
    }

    fn json(told: &serde_json::Value) -> Self {
        Self { content_type: "application/json", ..Self::text(StatusCode::OK, format!("{told}\n")) }
    }

    fn data(length: u64, bps: Option<u64>) -> Self {
        let source = PATTERN.clone();
        Self {
            status: StatusCode::OK,
            content_type: "application/octet-stream",
            source,
            length,
            bps,
            allow: None,
        }
    }

    fn into_response(
        self,
        head_only: bool,
        fault: &HttpFault,
        flushed: Option<&Flushed>,
    ) -> Response<Body> {
        let bare = matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
        let body = if head_only || bare {
            Body::new(Bytes::new(), 0)
        } else {
            let rate = self.bps.into_iter().chain(fault.rate_bps).min();
            Body::new(self.source, self.length).paced(rate).cut(fault.truncate_at, flushed)
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend([MARK]);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !bare {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.length));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self { allow: refusal.allow, ..Self::text(refusal.status, refusal.text + "\n") }
    }
}

/// Reads an upload at its pace and says how large it was, how long it took, and what became of the
/// connection.
async fn count(mut body: Incoming, rate: Option<u64>, watch: &Watch) -> Reply {
    let too_large = || {
        Reply::text(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("an upload has at most {MAX_UPLOAD} bytes\n"),
        )
    };
    if body.size_hint().lower() > MAX_UPLOAD {
        return too_large();
    }
    let start = Instant::now();
    let mut pace = rate.map(Pace::new);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                return Reply::text(StatusCode::BAD_REQUEST, format!("read the upload: {error}\n"));
            }
        };
        // Anything else is trailers.
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        bytes += len;
        if bytes > MAX_UPLOAD {
            return too_large();
        }
        if let Some(pace) = &mut pace {
            pace.take(len).await;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Reply::json(&serde_json::json!({ "bytes": bytes, "seconds": seconds, "tcp_info": watch.ask() }))
}
