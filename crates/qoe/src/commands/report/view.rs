//! The report as a person reads it: what goes on, what has ended, then the cells.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::units::MINUTE_MS;

use super::Report;
use super::cells;
use super::gaps;
use super::incident::{Fleet, Incident, incidents};
use super::told::told;
use crate::render::{Ink, Style, units};

/// What stands below an incident's first line begins here.
const INDENT: &str = "              ";

/// What a person does when there is nothing to show.
pub(super) fn nothing(place: &str, report: &Report, zone: &TimeZone) -> String {
    let from = clock(report.from_ms, zone, "%Y-%m-%d %H:%M");
    format!(
        "Nothing was measured since {from} (in {place}).\n\
         Measure from this machine:  qoe up --target https://www.example.com/\n\
         Look further back:          qoe report --since 7d\n\
         See it with made-up faults: qoe demo\n"
    )
}

/// The whole report.
pub(super) fn text(report: &Report, zone: &TimeZone, style: Style) -> String {
    let mut out = format!("{}\n\n", headline(report, zone));
    let fleet = fleet(report);
    let found = incidents(report.diagnoses.iter().filter_map(told).collect());
    if found.is_empty() {
        out.push_str(&style.paint(
            Ink::Good,
            "No diagnosis: everything as usual, or not enough measurements yet.",
        ));
        out.push('\n');
    }
    for incident in &found {
        out.push_str(&one(incident, fleet, zone, style));
    }
    out.push_str(&gaps::text(&report.gaps, zone));
    out.push('\n');
    out.push_str(&cells::text(report, style));
    out
}

/// An incident in two lines: when, what, for whom; and its numbers.
pub(crate) fn one(incident: &Incident, fleet: Fleet, zone: &TimeZone, style: Style) -> String {
    let (word, at_ms, ink) = match incident.open {
        true => ("since", incident.from_ms, Ink::Bad),
        false => ("ended", incident.to_ms, Ink::Faint),
    };
    let length = Duration::from_millis((incident.to_ms - incident.from_ms).max(0).unsigned_abs());
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{word}  {}  {}  {}, {}",
        clock(at_ms, zone, "%H:%M"),
        style.paint(ink, format!("{:<16}", incident.label)),
        incident.scope(fleet),
        units::span(length),
    );
    let _ = writeln!(out, "{INDENT}{}", incident.text);
    out
}

/// `12:02 to 14:02: 4 clients, 2 targets, 5760 measurements, 12 failed (0.2 %)`.
fn headline(report: &Report, zone: &TimeZone) -> String {
    let total: u64 = report.summary.iter().map(|row| row.counts.total).sum();
    let failed: u64 = report.summary.iter().map(|row| row.counts.error()).sum();
    let Fleet { clients, targets } = fleet(report);
    format!(
        "{} to {}: {}, {}, {}, {}",
        clock(report.from_ms, zone, "%Y-%m-%d %H:%M"),
        clock(report.to_ms - MINUTE_MS, zone, "%H:%M"),
        units::count(clients as u64, "client"),
        units::count(targets as u64, "target"),
        units::count(total, "measurement"),
        cells::failed(failed, total),
    )
}

/// Everyone in the report.
fn fleet(report: &Report) -> Fleet {
    let distinct = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    Fleet {
        clients: distinct(report.summary.iter().map(|row| row.client_id.as_str()).collect()),
        targets: distinct(report.summary.iter().map(|row| row.target.as_str()).collect()),
    }
}

/// A moment as a clock shows it.
pub(crate) fn clock(ms: i64, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(moment) => moment.to_zoned_datetime(zone.clone()).strftime(format).to_string(),
        Err(_) => ms.to_string(),
    }
}
