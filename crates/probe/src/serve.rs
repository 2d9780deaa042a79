//! What the probe answers over HTTP: the accept loop with its limits, and plain text.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) type Answer = Response<Full<Bytes>>;

/// For the head of a request, and between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long stopping waits for answers under way.
const STOP: Duration = Duration::from_secs(3);

/// Serves so many connections at a time until `shutdown`.
pub(crate) async fn serve<A, F>(
    listener: TcpListener,
    connections: usize,
    answer: A,
    shutdown: CancellationToken,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send,
{
    let connections = Arc::new(Semaphore::new(connections));
    let tracker = TaskTracker::new();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of files, most likely; the next may find one.
                    tracing::warn!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        let (answer, stopping) = (answer.clone(), shutdown.clone());
        tracker.spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| {
                let answering = answer(request);
                async { Ok::<_, Infallible>(answering.await) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(serving);
            tokio::select! {
                ended = &mut serving => return drop(ended),
                () = stopping.cancelled() => serving.as_mut().graceful_shutdown(),
            }
            let _ = serving.await;
        });
    }
    tracker.close();
    let _ = tokio::time::timeout(STOP, tracker.wait()).await;
}

/// Text for a person, or, where it begins as one, a page for Prometheus.
pub(crate) fn text(status: StatusCode, text: String) -> Answer {
    let kind = if text.starts_with('#') {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
