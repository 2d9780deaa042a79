//! What a running probe tells of itself, for Prometheus.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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

use super::queue::Queue;
use super::ship::Counters;
use super::watch::Ticks;
use crate::exporter::Page;

/// Connections at a time; Prometheus keeps one or two.
const MAX_CONNECTIONS: usize = 16;
/// For the head of a request, and between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Where its figures are.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) ticks: Arc<Ticks>,
    pub(super) counters: Arc<Counters>,
    pub(super) queue: Arc<Queue>,
}

/// Listens, so that a port that is taken is told at the start.
pub(super) async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    use anyhow::Context as _;
    TcpListener::bind(addr).await.with_context(|| format!("cannot tell metrics at {addr}"))
}

/// Answers `GET /metrics` until `shutdown`.
pub(super) async fn serve(listener: TcpListener, told: Told, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of files, most likely; the next may find one.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (told, stop) = (told.clone(), shutdown.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(&told, &request);
                    async { Ok::<_, Infallible>(answer) }
                });
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                // A scrape that is cut off is made again.
                let _ = stop.run_until_cancelled(serving).await;
                drop(place);
            });
        }
    };
    shutdown.run_until_cancelled(accept).await;
}

fn answer(told: &Told, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, page(told)),
        "/-/healthy" => (StatusCode::OK, "healthy\n".to_owned()),
        path => (StatusCode::NOT_FOUND, format!("nothing at {path}; try /metrics\n")),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let media = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

fn page(told: &Told) -> String {
    let Told { ticks, counters, queue } = told;
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    page.info("qoe_probe_build_info", "The version that runs", &[("version", version)]);
    for (name, help, value) in [
        ("qoe_probe_measurements_total", "Measurements that were made", of(&ticks.measured)),
        (
            "qoe_probe_troubled_measurements_total",
            "Measurements made while the probe itself was in trouble",
            of(&ticks.troubled),
        ),
        (
            "qoe_probe_missed_ticks_total",
            "Measurements that were not made since the one before was not done",
            of(&ticks.missed),
        ),
        ("qoe_probe_shipped_events_total", "Events that a server has", of(&counters.shipped)),
        ("qoe_probe_refused_events_total", "Events that a server refused", of(&counters.refused)),
        ("qoe_probe_lost_events_total", "Events lost for want of room", queue.lost()),
    ] {
        page.family(name, "counter", help);
        page.value(name, value);
    }
    page.gauge("qoe_probe_waiting_events", "Events that no server has yet", queue.len());
    if let Some(offset_ms) = counters.clock_offset_ms() {
        let help = "By how much the clock is ahead of the server's";
        page.gauge("qoe_probe_clock_offset_seconds", help, offset_ms as f64 / 1e3);
    }
    page.text()
}
