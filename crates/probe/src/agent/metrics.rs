//! What a running probe tells of itself, for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::queue::Queue;
use super::ship::Counters;
use super::watch::Ticks;
use crate::exporter::Page;
use crate::serve::{Answer, serve, text};

/// Connections at a time; Prometheus keeps one or two.
const MAX_CONNECTIONS: usize = 16;

/// Where its figures are.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) ticks: Arc<Ticks>,
    pub(super) counters: Arc<Counters>,
    pub(super) queue: Arc<Queue>,
}

/// Listens, so that a port that is taken is told at the start.
pub(super) async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("cannot tell metrics at {addr}"))
}

/// Answers `GET /metrics` until `shutdown`.
pub(super) async fn tell(listener: TcpListener, told: Told, shutdown: CancellationToken) {
    let answer = move |request| std::future::ready(answer(&told, &request));
    serve(listener, MAX_CONNECTIONS, answer, shutdown).await;
}

fn answer(told: &Told, request: &Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/metrics" => text(StatusCode::OK, page(told)),
        "/-/healthy" => text(StatusCode::OK, "healthy\n".to_owned()),
        path => text(StatusCode::NOT_FOUND, format!("nothing at {path}; try /metrics\n")),
    }
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
            "Measurements that were not made since the one before was not done, or the line was loaded",
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
