//! The report as a person reads it: what goes on, what has ended, then the cells.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::units::MINUTE_MS;
use server::store::SummaryRow;

use super::Report;
use super::cells;
use super::gaps;
use super::incident::{one, told};
use crate::render::{Ink, Style, units};

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
    let found = told(&report.incidents);
    if found.is_empty() {
        let nothing = "No incident: everything as usual, or not enough measurements yet.";
        out.push_str(&style.paint(Ink::Good, nothing));
        out.push('\n');
    }
    for incident in found {
        out.push_str(&one(incident, zone, style));
    }
    out.push_str(&gaps::text(&report.gaps, zone));
    out.push('\n');
    out.push_str(&cells::text(report, style));
    out
}

/// `12:02 to 14:02: 4 clients, 2 targets, 5760 measurements, 12 failed (0.2 %)`.
fn headline(report: &Report, zone: &TimeZone) -> String {
    let total: u64 = report.summary.iter().map(|row| row.counts.total).sum();
    let failed: u64 = report.summary.iter().map(|row| row.counts.error()).sum();
    let distinct = |name: fn(&SummaryRow) -> &str| {
        report.summary.iter().map(name).collect::<BTreeSet<_>>().len() as u64
    };
    format!(
        "{} to {}: {}, {}, {}, {}",
        clock(report.from_ms, zone, "%Y-%m-%d %H:%M"),
        clock(report.to_ms - MINUTE_MS, zone, "%H:%M"),
        units::count(distinct(|row| &row.client_id), "client"),
        units::count(distinct(|row| &row.target), "target"),
        units::count(total, "measurement"),
        cells::failed(failed, total),
    )
}

/// A moment as a clock shows it.
pub(crate) fn clock(ms: i64, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(moment) => moment.to_zoned_datetime(zone.clone()).strftime(format).to_string(),
        Err(_) => ms.to_string(),
    }
}
