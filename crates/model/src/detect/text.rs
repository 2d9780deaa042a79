//! An incident in a sentence, with its numbers.

use std::fmt::Write as _;

use super::incident::Incident;
use super::payload::{Level, Payload};

const STAGES: [&str; 4] = ["dns", "tcp", "tls", "ttfb"];

/// What is wrong, for whom, by how much, and who does not have it.
pub fn sentence(incident: &Incident, numbers: &Payload) -> String {
    let mut text = format!("{} for {}", incident.label, incident.scope);
    if !numbers.ambiguous_with.is_empty() {
        let others = numbers.ambiguous_with.iter().map(|(kind, id)| format!("{kind} {id}"));
        let others: Vec<_> = others.collect();
        _ = write!(text, " (or {}: the data can't tell)", others.join(", "));
    }
    if let (Some(signal), Some(now), Some(usual)) =
        (&numbers.signal, numbers.current, numbers.usual)
    {
        let time = if numbers.seasonal_factor.is_some() { " at this time" } else { "" };
        level(&mut text, signal, now, usual, time);
    }
    if let Some(by) = incident.slow_by {
        _ = write!(text, ", by {}", by.as_str().replace('_', " "));
    }
    let failed: u64 = numbers.failures.values().sum();
    if failed > 0 {
        let by: Vec<_> =
            numbers.failures.iter().map(|(stage, n)| format!("{n} at {stage}")).collect();
        _ = write!(text, "; {failed} of {} failed ({})", numbers.measurements, by.join(", "));
    }
    let more = STAGES
        .into_iter()
        .zip(numbers.excess_ms)
        .filter(|(stage, ms)| *ms >= 1.0 && numbers.signal.as_deref() != Some(*stage));
    let more: Vec<_> = more.map(|(stage, ms)| format!("{stage} +{ms:.0} ms")).collect();
    if !more.is_empty() {
        _ = write!(text, "; {}", more.join(", "));
    }
    let cells = numbers.cells;
    let noun = if cells.bad == 1 { "cell has" } else { "cells have" };
    _ = write!(text, "; {} {noun} it", cells.bad);
    if cells.good > 0 {
        _ = write!(text, ", {} of the same {} not", cells.good, incident.scope.kind.as_str());
    }
    text
}

fn level(text: &mut String, signal: &str, now: Level, usual: Level, time: &str) {
    let ratio = now.p50 / usual.p50;
    let difference = now.p50 - usual.p50;
    if signal == "throughput" {
        let (now, usual) = (now.p50 / 1e3, usual.p50 / 1e3);
        _ = write!(text, ": {signal} {now:.1} Mbit/s (usual {usual:.1} Mbit/s{time}, {ratio:.2}x)");
    } else {
        _ = write!(
            text,
            ": {signal} {:.0} ms (usual {:.0} ms{time}, {difference:+.0} ms, {ratio:.1}x)",
            now.p50, usual.p50
        );
    }
}
