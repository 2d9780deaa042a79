//! `qoe check --json`, schema `qoe.check/1`: fields may be added to it, none change.
//!
//! ```json
//! {
//!   "schema": "qoe.check/1",
//!   "exit_code": 0,
//!   "targets": [{
//!     "target": "https://shop.example/",
//!     "count": 1, "failed": 0,
//!     "stages": {"dns": {"n": 1, "min_ms": 12.4, "p50_ms": 12.4, "p95_ms": 12.4, "max_ms": 12.4}},
//!     "runs": [{
//!       "event": {"event_id": "…", "timings": {"dns_ms": 12.4}},
//!       "ok": true, "exit_code": 0, "failure": null,
//!       "transfer": {"bits_per_second": 94300000, "bytes": 1000000, "complete": true},
//!       "details": {"residual_ms": 0.2, "lookups": [], "attempts": [], "server_timing": []},
//!       "scores": {"rpm_class": "good", "loaded_increase_ms": 18.1, "bufferbloat": "A",
//!         "aim": {"gaming": {"points": 25, "class": "good"}}},
//!       "verdict": "OK. …"
//!     }]
//!   }]
//! }
//! ```
//! `stages` are named as in the event's `timings`: dns, tcp, tls, http_ttfb, transfer, total.
//! `event` is the event as a probe would send it, version 1.1 of the contract. `failure` is
//! `{"stage", "type", "detail"}`. Absent is null or left out, never 0.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::measurement::ms;
use crate::{Confidence, Identity, Measurement, Throughput};
use model::sketch::{Quantile, Sketch};
use model::wire::WireEvent;
use model::{ErrorStage, Micros};
use serde::Serialize;

use super::grades::Grades;
use super::series::Series;
use super::verdict::{self, Facts};

#[derive(Serialize)]
pub(crate) struct Report<'a> {
    schema: &'static str,
    exit_code: u8,
    targets: Vec<Target<'a>>,
}

#[derive(Serialize)]
struct Target<'a> {
    target: &'a str,
    count: u64,
    failed: u64,
    stages: BTreeMap<&'static str, Stage>,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Stage {
    n: u64,
    min_ms: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    max_ms: Option<f64>,
}

#[derive(Serialize)]
struct Run<'a> {
    event: WireEvent,
    ok: bool,
    exit_code: u8,
    failure: Option<Failure<'a>>,
    transfer: Option<Transfer>,
    upload: Option<Transfer>,
    details: Value,
    /// Of a line that was loaded (`--rpm`).
    scores: Option<Grades>,
    verdict: String,
}

#[derive(Serialize)]
struct Failure<'a> {
    stage: ErrorStage,
    r#type: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Transfer {
    bits_per_second: u64,
    low_bits_per_second: Option<u64>,
    bytes: u64,
    retransmits: Option<u32>,
    complete: bool,
}

fn transfer(t: Throughput) -> Transfer {
    Transfer {
        bits_per_second: t.bits_per_second,
        low_bits_per_second: t.low_bits_per_second,
        bytes: t.bytes,
        retransmits: t.retransmits,
        complete: t.complete,
    }
}

/// What the event has no place for.
fn details(m: &Measurement) -> Value {
    let time = |time: Option<Duration>| time.map(ms);
    let lookups = m.lookups.iter().map(|lookup| {
        json!({
            "question": lookup.question, "time_ms": time(lookup.time),
            "rcode": lookup.rcode, "addresses": lookup.addresses,
        })
    });
    let attempts = m.attempts.iter().map(|attempt| {
        json!({
            "address": attempt.address, "started_ms": ms(attempt.started),
            "time_ms": ms(attempt.time), "connected": attempt.connected(),
            "abandoned": attempt.abandoned,
            "error_type": attempt.failure.as_ref().map(|failure| failure.kind),
        })
    });
    let server_timing = m.server_timing.iter().map(|metric| {
        json!({
            "name": metric.name, "duration_ms": time(metric.duration),
            "description": metric.description,
        })
    });
    let latency = m.latency.as_ref().map(|latency| {
        json!({
            "confidence": latency.confidence.map(Confidence::name),
            "loaded_on": if latency.beside { "connection_beside_load" } else { "loaded_connections" },
            "bytes": latency.bytes,
            "terms_ms": latency.terms.map(|terms| json!({
                "tcp": ms(terms.tcp), "tls": time(terms.tls),
                "http": ms(terms.http), "loaded": ms(terms.loaded),
            })),
        })
    });
    let echoes = m.echoes.as_ref().map(|echoes| {
        json!({
            "method": echoes.method.name(), "why_not_better": echoes.why_not_better,
            "sent": echoes.sent, "received": echoes.round_trips.len(),
            "duplicates": echoes.duplicates, "reordered": echoes.reordered,
        })
    });
    let quic = m.quic.map(|path| {
        json!({
            "rtt_ms": ms(path.rtt), "sent_packets": path.sent_packets,
            "lost_packets": path.lost_packets, "congestion_events": path.congestion_events,
        })
    });
    json!({
        "residual_ms": time(m.residual()),
        "tls_local_ms": time(m.tls_local),
        "local_addr": m.local_addr,
        "location": m.location.as_ref().map(url::Url::as_str),
        "lookups": lookups.collect::<Vec<_>>(),
        "attempts": attempts.collect::<Vec<_>>(),
        "out_of_order": m.transport.last().map(|info| info.out_of_order),
        "server_timing": server_timing.collect::<Vec<_>>(),
        "responsiveness": latency,
        "echoes": echoes,
        "quic": quic,
    })
}

/// The document for all targets, each with its measurements.
pub(crate) fn report<'a>(
    targets: &'a [Vec<Measurement>],
    identity: &Identity,
    exit_code: u8,
) -> Report<'a> {
    let targets = targets.iter().filter_map(|runs| target(runs, identity)).collect();
    Report { schema: "qoe.check/1", exit_code, targets }
}

fn target<'a>(runs: &'a [Measurement], identity: &Identity) -> Option<Target<'a>> {
    let series = Series::of(runs);
    Some(Target {
        target: runs.first()?.target.as_str(),
        count: series.count(),
        failed: series.failed(),
        stages: series.measured().map(|(name, s)| (name, stage(s))).collect(),
        runs: runs.iter().map(|m| run(m, identity)).collect(),
    })
}

fn stage(sketch: &Sketch) -> Stage {
    let ms = |us: Option<u64>| us.map(|us| Micros(us).as_ms());
    Stage {
        n: sketch.count(),
        min_ms: ms(sketch.min()),
        p50_ms: ms(sketch.quantile(Quantile::P50)),
        p95_ms: ms(sketch.quantile(Quantile::P95)),
        max_ms: ms(sketch.max()),
    }
}

fn run<'a>(m: &'a Measurement, identity: &Identity) -> Run<'a> {
    let failure = m.any_failure();
    Run {
        event: m.to_event(identity),
        ok: failure.is_none(),
        exit_code: failure.map_or(0, crate::Failure::exit_code),
        failure: failure.map(|f| Failure { stage: f.stage, r#type: f.kind, detail: &f.detail }),
        transfer: m.throughput.map(transfer),
        upload: m.upload.map(transfer),
        details: details(m),
        scores: Grades::of(m),
        verdict: verdict::sentence(&Facts::of(m, m.started_ms)).text(),
    }
}
