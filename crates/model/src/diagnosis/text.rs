//! The sentence of a diagnosis: what, how it usually is, by how much, and on how many
//! measurements.

use std::fmt::Write as _;

use super::baseline::Baseline;
use super::evidence::{Judged, in_unit};
use super::label::Label;
use super::level::{Shift, least_change};
use super::rules::{Cause, Finding};
use super::verdict::{Diagnosis, Excess};
use crate::stage::{Metric, Stage};

/// The stages of a measurement, in order, as a person calls them.
const STAGES: [(Metric, &str); 4] =
    [(Metric::Dns, "DNS"), (Metric::Tcp, "TCP"), (Metric::Tls, "TLS"), (Metric::Ttfb, "server")];

/// One or a few sentences, all numbers in them.
pub(super) fn sentence(d: &Diagnosis, judged: &Judged<'_>, baseline: &Baseline<'_>) -> String {
    let mut text = match &judged.primary.cause {
        Cause::Failing { .. } => failing(d, judged, baseline),
        Cause::Shifted(shifts) if d.label == Label::ThroughputBound => {
            shifted(d, judged, baseline, &lowered(&shifts[0]))
        }
        Cause::Shifted(shifts) => {
            let excess = d.excess.as_ref().map_or_else(String::new, parts);
            shifted(d, judged, baseline, &raised(shifts)) + &excess
        }
    };
    for other in judged.others {
        _ = write!(text, " Also {}", other.label);
        if let Cause::Shifted(shifts) = &other.cause {
            let change = shifts.iter().map(|s| s.change).sum();
            _ = write!(text, " (+{} ms)", ms(in_unit(Metric::Total, change)));
        }
        text.push('.');
    }
    text
}

/// `<what>; TCP, TLS as usual. 30 measurements in 1 min.`
fn shifted(d: &Diagnosis, judged: &Judged<'_>, baseline: &Baseline<'_>, what: &str) -> String {
    let mut text = what.to_owned();
    let usual = as_usual(judged, baseline);
    if !usual.is_empty() {
        _ = write!(text, "; {usual} as usual");
    }
    let (n, minutes) = (measurements(d.measurements), judged.pool.minutes());
    _ = write!(text, ". {n} in {minutes} min");
    if !d.failures.is_empty() {
        _ = write!(text, ", failed: {}", failures(d));
    }
    text.push('.');
    text
}

/// `DNS takes 212 ms, usual 11 (+201)`, stage by stage.
fn raised(shifts: &[Shift]) -> String {
    let clause = |(i, shift): (usize, &Shift)| {
        let show = |v| ms(in_unit(shift.metric, v));
        let (now, usual) = (show(shift.now), show(shift.usual.median));
        let over = show(shift.now.saturating_sub(shift.usual.median));
        let takes = if i == 0 { "takes " } else { "" };
        format!("{} {takes}{now} ms, usual {usual} (+{over})", name(shift.metric))
    };
    let mut text = shifts.iter().enumerate().map(clause).collect::<Vec<_>>().join(", and ");
    if text.starts_with("server") {
        text.insert_str(0, "the ");
    }
    capitalise(text)
}

/// `Throughput is 4.2 Mbit/s, usual 94 (-96 %)`.
fn lowered(shift: &Shift) -> String {
    let percent = shift.change.saturating_mul(100).checked_div(shift.usual.median).unwrap_or(0);
    let show = |v| rate(in_unit(Metric::Throughput, v));
    format!("Throughput is {}, usual {} (-{percent} %)", show(shift.now), show(shift.usual.median))
}

/// `DNS fails: 12 of 12 measurements in 2 min (dns 12). Usually one takes 169 ms.`
fn failing(d: &Diagnosis, judged: &Judged<'_>, baseline: &Baseline<'_>) -> String {
    let what = match d.stage {
        Stage::Dns => "DNS",
        Stage::Tcp => "TCP",
        Stage::Tls => "TLS",
        Stage::Http => "The server",
        Stage::Throughput => "The transfer",
    };
    let failed: u64 = d.failures.values().sum();
    let (of, minutes) = (measurements(d.measurements), judged.pool.minutes());
    let mut text = format!("{what} fails: {failed} of {of} in {minutes} min ({}).", failures(d));
    if let Some(usual) = baseline.median(Metric::Total) {
        _ = write!(text, " Usually one takes {} ms.", ms(in_unit(Metric::Total, usual)));
    }
    text
}

/// The stages that were measured and are not out of the usual, be it for a reason of their own
/// or for one that is told of another.
fn as_usual(judged: &Judged<'_>, baseline: &Baseline<'_>) -> String {
    let metrics = |f: &Finding| match &f.cause {
        Cause::Shifted(shifts) => shifts.iter().map(|s| s.metric).collect(),
        Cause::Failing { .. } => Vec::new(),
    };
    let found: Vec<_> = judged.others.iter().chain([judged.primary]).flat_map(metrics).collect();
    let medians = judged.pool.medians();
    let quiet = |&&(metric, _): &&(Metric, &str)| {
        let compared = medians[metric as usize].zip(baseline.median(metric));
        !found.contains(&metric)
            && compared
                .is_some_and(|(now, usual)| now.saturating_sub(usual) < least_change(metric, usual))
    };
    STAGES.iter().filter(quiet).map(|&(_, name)| name).collect::<Vec<_>>().join(", ")
}

/// ` Excess 203 ms = DNS 201 + rest 2.`, the shown parts adding up as shown.
fn parts(excess: &Excess) -> String {
    // Adding 0 turns -0 to 0.
    let whole = |v: f64| v.round() + 0.0;
    let total = whole(excess.total_ms);
    let stages = [excess.dns_ms, excess.tcp_ms, excess.tls_ms, excess.ttfb_ms].map(whole);
    let rest = total - stages.iter().sum::<f64>();
    let names = STAGES.iter().map(|&(_, name)| name).chain(["rest"]);
    let mut shown: Vec<_> =
        names.zip(stages.into_iter().chain([rest])).filter(|&(_, v)| v != 0.0).collect();
    shown.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut text = format!(" Excess {total:.0} ms");
    for (i, (name, v)) in shown.into_iter().enumerate() {
        let sign = match (i, v < 0.0) {
            (0, false) => " = ",
            (0, true) => " = -",
            (_, false) => " + ",
            (_, true) => " - ",
        };
        _ = write!(text, "{sign}{name} {:.0}", v.abs());
    }
    text.push('.');
    text
}

fn name(metric: Metric) -> &'static str {
    STAGES.iter().find(|(m, _)| *m == metric).map_or("total", |(_, name)| name)
}

fn failures(d: &Diagnosis) -> String {
    d.failures.iter().map(|(stage, n)| format!("{stage} {n}")).collect::<Vec<_>>().join(", ")
}

fn measurements(n: u64) -> String {
    if n == 1 { "1 measurement".to_owned() } else { format!("{n} measurements") }
}

/// Milliseconds without the unit: one decimal below 10, none above.
fn ms(ms: f64) -> String {
    if ms < 9.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// A rate from kilobits a second.
fn rate(kbps: f64) -> String {
    match kbps {
        _ if kbps < 999.5 => format!("{kbps:.0} kbit/s"),
        _ if kbps < 99_950.0 => format!("{:.1} Mbit/s", kbps / 1e3),
        _ => format!("{:.0} Mbit/s", kbps / 1e3),
    }
}

fn capitalise(mut text: String) -> String {
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
