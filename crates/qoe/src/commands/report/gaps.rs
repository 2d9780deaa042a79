//! What probes lost, a line a probe.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::tz::TimeZone;
use server::store::GapRow;

use super::view::clock;
use crate::render::units;

/// How many, and from when to when as far as that is known.
#[derive(Default)]
struct Lost {
    count: u64,
    first: Option<i64>,
    last: Option<i64>,
}

/// `probe branch-7 lost 120 measurements between 2026-11-24 14:02 and 14:40`.
pub(super) fn text(gaps: &[GapRow], zone: &TimeZone) -> String {
    let mut lost: BTreeMap<&str, Lost> = BTreeMap::new();
    for gap in gaps {
        let of = lost.entry(&gap.client_id).or_default();
        of.count = of.count.saturating_add(gap.count);
        of.first = of.first.into_iter().chain(gap.first_ts).min();
        of.last = of.last.into_iter().chain(gap.last_ts).max();
    }
    let mut out = String::new();
    for (client, Lost { count, first, last }) in lost {
        let measurements = units::count(count, "measurement");
        // Writing to a String cannot fail.
        let _ = write!(out, "probe {client} lost {measurements}");
        let time = |ms| clock(ms, zone, "%Y-%m-%d %H:%M");
        let _ = match (first.map(time), last.map(time)) {
            (Some(first), Some(last)) => writeln!(out, " between {first} and {last}"),
            (Some(known), None) | (None, Some(known)) => writeln!(out, " around {known}"),
            (None, None) => writeln!(out, ", and no longer knows when"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(client_id: &str, count: u64, first_ts: Option<i64>, last_ts: Option<i64>) -> GapRow {
        GapRow { client_id: client_id.to_owned(), at_ts: 0, count, first_ts, last_ts }
    }

    #[test]
    fn a_probe_is_told_once_with_all_it_lost() {
        let minute = 60_000;
        let gaps = [
            gap("b", 1, None, None),
            gap("a", 3, Some(2 * minute), Some(9 * minute)),
            gap("a", 1, None, None),
            gap("a", 2, Some(minute), Some(minute)),
            gap("c", 1, None, Some(minute)),
        ];
        let told = text(&gaps, &TimeZone::UTC);
        assert_eq!(
            told,
            "probe a lost 6 measurements between 1970-01-01 00:01 and 1970-01-01 00:09\n\
             probe b lost 1 measurement, and no longer knows when\n\
             probe c lost 1 measurement around 1970-01-01 00:01\n"
        );
        assert_eq!(text(&[], &TimeZone::UTC), "");
    }
}
