//! Incidents as a report has them: what goes on first, then what has ended, the newest first.

use std::time::Duration;

use jiff::tz::TimeZone;
use model::units::MINUTE_MS;
use server::store::IncidentRow;

use super::view::clock;
use crate::render::{Ink, Style, units};

/// Those to tell: not what was taken back, and not what is part of another.
pub(crate) fn told(rows: &[IncidentRow]) -> Vec<&IncidentRow> {
    let stands = |row: &&IncidentRow| !row.body.withdrawn && row.body.merged_into.is_none();
    let mut told: Vec<_> = rows.iter().filter(stands).collect();
    told.sort_by_key(|row| (row.end_ts.is_some(), -row.onset_ts));
    told
}

/// The same for a score: each of its cells was told its label, from the onset to the last bad minute.
pub(crate) fn scored(row: &IncidentRow) -> impl Iterator<Item = testbed::score::Told> {
    row.body.cells.iter().map(|cell| testbed::score::Told {
        client: cell.client_id.clone(),
        target: cell.target.clone(),
        label: row.label,
        from_ms: row.onset_ts,
        to_ms: row.last_bad_ts + MINUTE_MS,
    })
}

/// `since  14:02  12min  dns-bound for resolver 10.0.0.1: dns 186 ms ...  (18e890c248c189)`.
pub(crate) fn one(row: &IncidentRow, zone: &TimeZone, style: Style) -> String {
    let (word, at_ms, ink) = match row.end_ts {
        None => ("since", row.onset_ts, Ink::Bad),
        Some(end_ms) => ("ended", end_ms, Ink::Faint),
    };
    let to_ms = row.end_ts.unwrap_or(row.last_bad_ts + MINUTE_MS);
    let length = Duration::from_millis((to_ms - row.onset_ts).max(0).unsigned_abs());
    // The sentence begins with its label.
    let label = row.label.to_string();
    let rest = row.body.text.strip_prefix(label.as_str()).unwrap_or(&row.body.text);
    format!(
        "{word}  {}  {:>6}  {}{rest}  ({})\n",
        clock(at_ms, zone, "%H:%M"),
        units::span(length),
        style.paint(ink, label),
        row.id,
    )
}

/// A URL without what goes without saying: `https://shop.example/` is `shop.example`.
pub(crate) fn short(target: &str) -> String {
    target
        .strip_prefix("https://")
        .map_or(target, |rest| rest.strip_suffix('/').unwrap_or(rest))
        .to_owned()
}
