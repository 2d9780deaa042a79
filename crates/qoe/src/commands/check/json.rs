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
//!       "verdict": "OK. …"
//!     }]
//!   }]
//! }
//! ```
//! `stages` are named as in the event's `timings`: dns, tcp, tls, http_ttfb, transfer, total.
//! `event` is the event as a probe would send it, version 1.1 of the contract. `failure` is
//! `{"stage", "type", "detail"}`. Absent is null or left out, never 0.

use std::collections::BTreeMap;

use ::probe::{Identity, Measurement};
use model::sketch::{Quantile, Sketch};
use model::wire::WireEvent;
use model::{ErrorStage, Micros};
use serde::Serialize;

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
    bytes: u64,
    complete: bool,
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
        exit_code: failure.map_or(0, ::probe::Failure::exit_code),
        failure: failure.map(|f| Failure { stage: f.stage, r#type: f.kind, detail: &f.detail }),
        transfer: m.throughput.map(|t| Transfer {
            bits_per_second: t.bits_per_second,
            bytes: t.bytes,
            complete: t.complete,
        }),
        verdict: verdict::sentence(&Facts::of(m, m.started_ms)).text(),
    }
}
