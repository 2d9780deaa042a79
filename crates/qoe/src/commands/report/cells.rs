//! Each client and target: its numbers over the whole time, and how they went.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::units::MINUTE_MS;
use model::{ErrorStage, Metric};
use server::store::{Percentiles, SummaryRow, WindowRow};

use super::Report;
use super::incident::short;
use super::score;
use crate::render::sparkline::{sparkline, squeeze};
use crate::render::units::{self, ABSENT};
use crate::render::{Ink, Style};

/// Columns of a curve.
const CURVE: usize = 40;

/// Four lines a cell: who and how much, the numbers, the score, the curves.
pub(super) fn text(report: &Report, style: Style) -> String {
    let mut windows: BTreeMap<(&str, &str), Vec<&WindowRow>> = BTreeMap::new();
    for row in &report.windows {
        windows.entry((&row.client_id, &row.target)).or_default().push(row);
    }
    let mut out = String::new();
    for row in &report.summary {
        let own = windows.get(&(row.client_id.as_str(), row.target.as_str()));
        out.push_str(&cell(row, own.map_or(&[], Vec::as_slice), style));
    }
    out
}

fn cell(row: &SummaryRow, windows: &[&WindowRow], style: Style) -> String {
    let name = format!("{} · {}", row.client_id, short(&row.target));
    let label = row.diagnosis_label.as_deref();
    let label = label.map(|label| format!("  {}", style.paint(Ink::Bad, label)));
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}  {} in {}, {}{}{}",
        style.paint(Ink::Strong, name),
        units::count(row.counts.total, "measurement"),
        units::count(row.windows as u64, "window"),
        failed(row.counts.error(), row.counts.total),
        stages(row),
        label.unwrap_or_default(),
    );
    let _ = writeln!(out, "  {}", numbers(row));
    if let Some(score) = &row.score {
        let _ = writeln!(out, "  {}", score::line(score, style));
    }
    if row.counts.troubled > 0 {
        let aside = units::count(row.counts.troubled, "measurement");
        let _ = writeln!(out, "  {aside} set aside: the probe itself was in trouble");
    }
    let curve = |pick: fn(Percentiles) -> Option<f64>| {
        let values = series(windows, |row| pick(row.percentiles.of(Metric::Total)));
        sparkline(&squeeze(&values, CURVE), style)
    };
    if windows.len() > 1 {
        let line = format!("  total p50 {}  p95 {}", curve(|p| p.p50), curve(|p| p.p95));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Medians of the stages, the total's median and 95th percentile, the median rate.
fn numbers(row: &SummaryRow) -> String {
    let p50 = |metric| row.percentiles.of(metric).p50;
    let mut parts = Vec::new();
    for (name, metric) in
        [("DNS", Metric::Dns), ("TCP", Metric::Tcp), ("TLS", Metric::Tls), ("wait", Metric::Ttfb)]
    {
        parts.extend(p50(metric).map(|ms| format!("{name} {}", units::millis(ms))));
    }
    let total = row.percentiles.of(Metric::Total);
    if let (Some(p50), Some(p95)) = (total.p50, total.p95) {
        parts.push(format!("total {}, p95 {}", units::millis(p50), units::millis(p95)));
    }
    parts.extend(p50(Metric::Throughput).map(units::rate));
    if parts.is_empty() { ABSENT.to_owned() } else { parts.join(" · ") }
}

/// One value a minute from the first window to the last; a minute without a window is a gap.
pub(crate) fn series(
    windows: &[&WindowRow],
    value: impl Fn(&WindowRow) -> Option<f64>,
) -> Vec<Option<f64>> {
    let mut values = Vec::new();
    let mut next = None;
    for row in windows {
        let at = row.window_start_ts;
        while let Some(expected) = next.filter(|expected| *expected < at) {
            values.push(None);
            next = Some(expected + MINUTE_MS);
        }
        values.push(value(row));
        next = Some(at + MINUTE_MS);
    }
    values
}

/// `none failed`, or how many of how many.
pub(super) fn failed(failed: u64, total: u64) -> String {
    if failed == 0 {
        return "none failed".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
    let share = failed as f64 / total.max(1) as f64 * 100.0;
    format!("{failed} failed ({share:.1} %)")
}

/// Which stages failed how often.
fn stages(row: &SummaryRow) -> String {
    let counts: Vec<_> = ErrorStage::ALL
        .into_iter()
        .filter(|stage| row.counts.of(*stage) > 0)
        .map(|stage| format!("{stage} {}", row.counts.of(stage)))
        .collect();
    if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) }
}
