//! From a finding to the numbers that make it checkable.

use super::baseline::Baseline;
use super::level::{Shift, Sight};
use super::pool::Pool;
use super::rules::{Cause, Finding};
use super::verdict::{Diagnosis, Excess, Stats, Threshold};
use super::{CellWindow, Label, RULE_VERSION, text};
use crate::sketch::{Quantile, Sketch};
use crate::stage::{ErrorStage, Metric, Stage};
use crate::units::{BitsPerSecond, Micros, Minute};
use crate::window::{StageSums, Window};

/// What was found in one window.
pub(super) struct Judged<'a> {
    pub(super) primary: &'a Finding,
    /// What else was found, the largest first.
    pub(super) others: &'a [Finding],
    /// The windows the finding rests on.
    pub(super) pool: &'a Pool<'a>,
    pub(super) since: Minute,
}

/// The diagnosis with all its numbers.
pub(super) fn diagnosis(judged: &Judged<'_>, baseline: &Baseline<'_>) -> Diagnosis {
    let Judged { primary, others, pool, since } = judged;
    let (metric, threshold) = match &primary.cause {
        Cause::Shifted(shifts) => (shifts[0].metric, Some(threshold(&shifts[0]))),
        Cause::Failing { .. } => (Metric::Total, None),
    };
    let counts = pool.merged.counts();
    let failures = ErrorStage::ALL.into_iter().filter(|&s| counts.of(s) > 0);
    let usual = baseline.merged(metric);
    let mut diagnosis = Diagnosis {
        label: primary.label,
        stage: stage(primary.label, metric),
        metric,
        since_ms: since.start_ms(),
        current: stats(metric, pool.merged.sketch(metric), pool.windows.len()),
        baseline: (!usual.is_empty()).then(|| stats(metric, usual, baseline.len())),
        threshold,
        excess: excess(pool.merged.sums(), &baseline.sums()),
        failures: failures.map(|s| (s.to_string(), counts.of(s))).collect(),
        measurements: counts.total,
        secondary: others.iter().map(|f| f.label).collect(),
        rule_version: RULE_VERSION,
        text: String::new(),
    };
    diagnosis.text = text::sentence(&diagnosis, judged, baseline);
    diagnosis
}

/// The start of the first window that shows the finding without a break up to the newest.
/// Windows that can't tell don't break it.
pub(super) fn onset(reach: &[CellWindow], finding: &Finding) -> Minute {
    let shows = |window: &CellWindow| match &finding.cause {
        Cause::Shifted(shifts) => Sight::shows(window, &shifts[0]),
        Cause::Failing { .. } => fails(&window.window, finding.label),
    };
    let mut backwards = reach.iter().rev();
    let mut onset = backwards.next().map_or(Minute(0), |newest| newest.start);
    for window in backwards {
        match shows(window) {
            Some(true) => onset = window.start,
            Some(false) => break,
            None => {}
        }
    }
    onset
}

/// Whether a window by itself fails at the label's stage by half.
fn fails(window: &Window, label: Label) -> Option<bool> {
    let Label::Outage(stage) = label else { return None };
    let counts = window.counts();
    let tried = if stage.is_throughput() {
        counts.of(stage) + window.sketch(Metric::Throughput).count()
    } else {
        counts.total
    };
    (tried > 0).then(|| counts.of(stage) > 0 && 2 * counts.of(stage) >= tried)
}

fn stage(label: Label, metric: Metric) -> Stage {
    match metric {
        Metric::Dns => Stage::Dns,
        Metric::Tcp => Stage::Tcp,
        Metric::Tls => Stage::Tls,
        Metric::Ttfb => Stage::Http,
        Metric::Throughput => Stage::Throughput,
        // An outage is told by the total; its label knows the stage that fails.
        Metric::Total => label.stage().unwrap_or(Stage::Http),
    }
}

fn stats(metric: Metric, sketch: &Sketch, windows: usize) -> Stats {
    let quantile = |q| sketch.quantile(q).map(|v| in_unit(metric, v));
    let (p50, p95) = (quantile(Quantile::P50), quantile(Quantile::P95));
    let n = sketch.count();
    let windows = u32::try_from(windows).unwrap_or(u32::MAX);
    if metric == Metric::Throughput {
        Stats { p50_kbps: p50, p95_kbps: p95, n, windows, ..Stats::default() }
    } else {
        Stats { p50_ms: p50, p95_ms: p95, n, windows, ..Stats::default() }
    }
}

fn threshold(shift: &Shift) -> Threshold {
    let unit = |v| in_unit(shift.metric, v);
    Threshold {
        usual: unit(shift.usual.median),
        spread: unit(shift.usual.spread),
        least: unit(shift.least),
        change: unit(shift.change),
    }
}

/// Milliseconds, or kilobits a second.
pub(super) fn in_unit(metric: Metric, value: u64) -> f64 {
    match metric {
        Metric::Throughput => BitsPerSecond(value).as_kbps(),
        _ => Micros(value).as_ms(),
    }
}

/// Mean now less the usual mean, in whole microseconds until the end, so that the parts add
/// up.
fn excess(now: &StageSums, usual: &StageSums) -> Option<Excess> {
    if now.n == 0 || usual.n == 0 {
        return None;
    }
    let part = |of: fn(&StageSums) -> u128| mean(of(now), now.n) - mean(of(usual), usual.n);
    let total = part(|s| s.total);
    let stages = [part(|s| s.dns), part(|s| s.tcp), part(|s| s.tls), part(|s| s.ttfb)];
    let rest = total - stages.iter().sum::<i64>();
    let [dns_ms, tcp_ms, tls_ms, ttfb_ms] = stages.map(as_ms);
    Some(Excess { total_ms: as_ms(total), dns_ms, tcp_ms, tls_ms, ttfb_ms, rest_ms: as_ms(rest) })
}

/// The mean in whole microseconds, rounded half up.
fn mean(sum: u128, n: u64) -> i64 {
    let n = u128::from(n);
    i64::try_from(sum.saturating_add(n / 2) / n).unwrap_or(i64::MAX / 8)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds in an i64 are below 2^53 for 285 years"
)]
fn as_ms(us: i64) -> f64 {
    us as f64 / 1e3
}
