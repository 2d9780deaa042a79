//! A collector of traces for one machine without another: takes OTLP over HTTP, keeps the newest traces in
//! memory, and draws each as a waterfall in text.
//!
//! `POST /v1/traces` takes spans (protobuf), `GET /` lists traces, `GET /{trace id}` draws one.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use kept::Kept;

mod draw;
mod kept;

/// Of one request; a batch of 512 spans has some hundred kilobytes.
const MOST_BYTES: usize = 4 << 20;

/// At a time; each role keeps one.
const MOST_CONNECTIONS: usize = 64;

/// For the head of a request, and between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

const PROTOBUF: &str = "application/x-protobuf";

/// Collects until `shutdown`.
pub async fn collect(listener: TcpListener, shutdown: CancellationToken) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let tasks = TaskTracker::new();
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of files, most likely; the next may find one.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (kept, shutdown) = (Arc::clone(&kept), shutdown.clone());
            tasks.spawn(async move {
                let _place = place;
                let service = service_fn(|request| answer(request, &kept));
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                if let Some(Err(error)) = shutdown.run_until_cancelled(serving).await {
                    tracing::debug!(%error, "connection");
                }
            });
        }
    };
    shutdown.run_until_cancelled(accepting).await;
    tasks.close();
    tasks.wait().await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, kept: &Mutex<Kept>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match (request.method(), path) {
        (&Method::POST, "/v1/traces") => match spans(request).await {
            Ok(spans) => {
                lock().take(spans);
                // An `ExportTraceServiceResponse` that has nothing to say.
                typed(StatusCode::OK, PROTOBUF, String::new())
            }
            Err((status, why)) => text(status, format!("{why}\n")),
        },
        (&Method::GET, "/") => text(StatusCode::OK, draw::list(&lock())),
        (&Method::GET, _) => {
            let id = u128::from_str_radix(path.trim_start_matches('/'), 16).ok();
            match id.and_then(|id| Some(draw::waterfall(id, lock().trace(id)?))) {
                Some(drawn) => text(StatusCode::OK, drawn),
                None => text(StatusCode::NOT_FOUND, format!("no trace at {path}; / lists them\n")),
            }
        }
        _ => text(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET / lists traces, POST /v1/traces takes them\n".to_owned(),
        ),
    })
}

async fn spans(
    request: Request<Incoming>,
) -> Result<ExportTraceServiceRequest, (StatusCode, String)> {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(PROTOBUF.as_bytes()) || request.headers().contains_key(CONTENT_ENCODING) {
        let why = format!("traces are taken as {PROTOBUF}, plain");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let body = Limited::new(request.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| {
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("reading spans (at most {MOST_BYTES} bytes): {error}"),
        )
    })?;
    ExportTraceServiceRequest::decode(body.to_bytes())
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("these are no spans: {error}")))
}

fn text(status: StatusCode, text: String) -> Answer {
    typed(status, "text/plain; charset=utf-8", text)
}

fn typed(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
