//! Incidents for a person: a line each, or one with all its numbers.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use model::units::MINUTE_MS;
use server::store::{DriftRow, IncidentRow};

use crate::commands::report::view::clock;
use crate::render::{Ink, Style};

const WHEN: &str = "%Y-%m-%d %H:%M";

/// A line for each, the newest first; what grows slowly after the incidents.
pub(super) fn list(
    rows: &[IncidentRow],
    drifts: &[DriftRow],
    more: bool,
    zone: &TimeZone,
    style: Style,
) -> String {
    let mut out = String::new();
    if rows.is_empty() {
        out.push_str("No incidents. `qoe explain --since 7d` looks further back.\n");
    }
    for row in rows {
        let label =
            style.paint(if row.end_ts.is_none() { Ink::Bad } else { Ink::Notice }, row.label);
        _ = writeln!(out, "{}  {}  {label}  {}", row.id, lasted(row, zone), row.body.text);
    }
    if !drifts.is_empty() {
        _ = writeln!(out, "\nSlower for hours, and no incident:");
    }
    for row in drifts {
        let (noted, since) = (clock(row.noted_ts, zone, WHEN), clock(row.since_ts, zone, WHEN));
        let (client, target, by) = (&row.client_id, &row.target, row.percent_per_hour);
        let signal = style.paint(Ink::Notice, &row.signal);
        _ = writeln!(out, "{noted}  {client}  {target}  {signal} {by:+.1} % an hour since {since}");
    }
    if more {
        out.push_str("There are more.\n");
    }
    out
}

/// One with the numbers it rests on.
pub(super) fn whole(row: &IncidentRow, zone: &TimeZone, style: Style) -> String {
    let mut out = String::new();
    let body = &row.body;
    let evidence = &body.evidence;
    _ = writeln!(out, "{}", style.paint(Ink::Bad, &body.text));
    let mut line = |name: &str, text: String| _ = writeln!(out, "  {name:<13}{text}");
    line("when", lasted(row, zone));
    line("onset", clock(row.onset_ts, zone, WHEN));
    line(
        "opened",
        format!("{} (the first minute for which it was told)", clock(row.opened_ts, zone, WHEN)),
    );
    line("told", clock(row.told_ts, zone, "%Y-%m-%d %H:%M:%S"));
    line("severity", format!("{}, {}", row.severity, body.state.as_str()));
    if let Some(minute) = body.accepted_ts {
        line(
            "accepted",
            format!("{} (so long that it is the usual now)", clock(minute, zone, WHEN)),
        );
    }
    if body.flaps > 0 {
        line("came back", format!("{} times", body.flaps));
    }
    if let Some(other) = &body.merged_into {
        line("taken in by", other.clone());
    }
    let whom = match row.scope_id.as_str() {
        "" => row.scope_type.clone(),
        id => format!("{} {id}", row.scope_type),
    };
    line("for whom", format!("{whom} (confidence {:.2})", body.confidence));
    if let Some(by) = body.slow_by {
        line("slow by", by.as_str().to_owned());
    }
    for (kind, id) in &evidence.ambiguous_with {
        line("or", format!("{kind} {id}: the same cells, the data can't tell"));
    }
    if let (Some(signal), Some(now)) = (&evidence.signal, evidence.current) {
        let unit = if signal == "throughput" { "kbit/s" } else { "ms" };
        line(
            "now",
            format!("{signal} p50 {:.1}, p95 {:.1} {unit} of {} samples", now.p50, now.p95, now.n),
        );
        if let Some(usual) = evidence.usual {
            let of = usual.n;
            line(
                "usual",
                format!(
                    "{signal} p50 {:.1}, p95 {:.1} {unit} of {of} samples",
                    usual.p50, usual.p95
                ),
            );
        }
        if let Some(factor) = evidence.seasonal_factor {
            line(
                "at this time",
                format!("{factor:.2} times the rest of the day, as on other days"),
            );
        }
        if let Some(change) = evidence.change {
            line(
                "change",
                format!("{:+.1} {unit}, {:.2} times the usual", change.difference, change.ratio),
            );
        }
    }
    let stages = ["dns", "tcp", "tls", "ttfb"].into_iter().zip(evidence.excess_ms);
    let added: Vec<_> = stages
        .filter(|(_, ms)| *ms >= 0.5)
        .map(|(stage, ms)| format!("{stage} {ms:+.0} ms"))
        .collect();
    if !added.is_empty() {
        line("added", added.join(", "));
    }
    for (stage, n) in &evidence.failures {
        line("failed", format!("{n} of {} at {stage}", evidence.measurements));
    }
    if let Some(sum) = &evidence.evidence {
        line(
            "evidence",
            format!(
                "{} {:.1} over {} min; from {:.0} on it counts as found",
                sum.kind, sum.sum, sum.minutes, sum.opens_at
            ),
        );
    }
    let cells = evidence.cells;
    line(
        "cells",
        format!(
            "{} have it, {} do not, {} were not measured",
            cells.bad, cells.good, cells.unknown
        ),
    );
    for label in &body.secondary {
        line("and", label.to_string());
    }
    if body.withdrawn {
        line("taken back", "events that came late say that nothing was wrong".to_owned());
    }
    line("rules", format!("version {} (docs/diagnosis.md)", body.rule_version));
    for cell in &body.cells {
        line("", format!("{}  {}", cell.client_id, cell.target));
    }
    out
}

fn lasted(row: &IncidentRow, zone: &TimeZone) -> String {
    let from = clock(row.onset_ts, zone, WHEN);
    match row.end_ts {
        Some(end) => format!("{from}, {} min", (end - row.onset_ts) / MINUTE_MS),
        None => format!("{from}, open"),
    }
}
