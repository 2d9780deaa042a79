//! What was found, for a person.

use std::fmt::Write as _;

use jiff::Timestamp;
use model::detect::{Incident, Judged, Replay};
use model::units::MINUTE_MS;

use crate::render::Style;

/// The windows, counted.
#[derive(Debug, Default)]
pub(super) struct Windows {
    all: u64,
    labelled: u64,
    revised: u64,
}

impl Windows {
    pub(super) fn add(&mut self, judged: &Judged) {
        self.all += 1;
        self.labelled += u64::from(judged.label.is_some());
        self.revised += u64::from(judged.revisions > 0);
    }
}

/// The incidents, and what they were found in.
pub(super) fn text(replay: &Replay, windows: &Windows, style: Style) -> String {
    let mut out = String::new();
    let _ = style;
    for (incident, _) in replay.incidents() {
        let from = time(incident.onset);
        let to = incident
            .end
            .map_or_else(|| "open".to_owned(), |end| format!("{} min", end - incident.onset));
        _ = writeln!(out, "{from}  {to:>8}  {:<18} {}", incident.label.to_string(), incident.scope);
        _ = writeln!(out, "  {}", sentence(incident));
    }
    for drift in replay.drifts() {
        let (client, target) = replay.key(drift.cell);
        let (since, by) = (time(drift.since), drift.percent_per_hour);
        let stage = format!("{:?}", drift.signal).to_lowercase();
        _ = writeln!(out, "{since}  drift     {client} {target}: {stage} {by:.1} % more an hour");
    }
    let tally = replay.tally;
    let Windows { all, labelled, revised } = windows;
    _ = writeln!(
        out,
        "{} events ({} again, {} late, {} too late) in {all} windows: {labelled} with a label, {revised} revised",
        tally.events, tally.duplicates, tally.late, tally.too_late
    );
    out
}

/// What an incident is, with its numbers.
pub(super) fn sentence(incident: &Incident) -> String {
    let mut text = format!("{} for {}", incident.label, incident.scope);
    if !incident.ambiguous_with.is_empty() {
        let others: Vec<_> = incident.ambiguous_with.iter().map(ToString::to_string).collect();
        _ = write!(text, " (or {}: the data can't tell)", others.join(", "));
    }
    let cells = incident.cells.len();
    _ = write!(text, ", {cells} {}", if cells == 1 { "cell" } else { "cells" });
    if let Some(cause) = incident.slow_by {
        _ = write!(text, ", by {}", cause.as_str().replace('_', " "));
    }
    for (name, us) in ["dns", "tcp", "tls", "ttfb"].into_iter().zip(incident.excess) {
        if us >= 1e3 {
            _ = write!(text, ", {name} +{:.0} ms", us / 1e3);
        }
    }
    text
}

fn time(minute: i64) -> String {
    let at = Timestamp::from_millisecond(minute * MINUTE_MS);
    at.map_or_else(|_| minute.to_string(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}
