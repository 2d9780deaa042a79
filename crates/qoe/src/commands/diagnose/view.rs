//! What was found, for a person.

use std::fmt::Write as _;

use jiff::Timestamp;
use model::detect::{Judged, Replay, sentence};
use model::units::MINUTE_MS;

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
pub(super) fn text(replay: &Replay, windows: &Windows) -> String {
    let mut out = String::new();
    for (incident, _) in replay.incidents() {
        let from = time(incident.onset);
        let to = incident
            .end
            .map_or_else(|| "open".to_owned(), |end| format!("{} min", end - incident.onset));
        _ = writeln!(out, "{from}  {to:>8}  {:<18} {}", incident.label.to_string(), incident.scope);
        _ = writeln!(out, "  {}", sentence(incident, &replay.numbers(incident)));
    }
    for drift in replay.drifts() {
        let (client, target) = replay.key(drift.cell);
        let (since, by) = (time(drift.since), drift.percent_per_hour);
        let stage = drift.signal.as_str();
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

fn time(minute: i64) -> String {
    let at = Timestamp::from_millisecond(minute * MINUTE_MS);
    at.map_or_else(|_| minute.to_string(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}
