//! The daily partitions of `events_seen` and `agg_1m`: made before the first row of a day, dropped
//! when their last row is no longer needed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Failure;
use super::connection::Connection;
use super::leadership;
use crate::store::StoreError;

/// A table that is partitioned by day.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// How its partitions keep their rows.
    with: &'static str,
}

/// Rows are never changed.
pub(super) const EVENTS_SEEN: Table = Table { name: "events_seen", with: "" };
/// A row is changed many times within its minute: room on its page keeps that out of the index.
pub(super) const AGG_1M: Table = Table { name: "agg_1m", with: "WITH (fillfactor = 60)" };

/// How many days are made ahead.
const AHEAD_DAYS: i64 = 2;

const DAY_MS: i64 = 86_400_000;

/// A day of UTC, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

/// The days whose partitions are known to be there.
#[derive(Default)]
pub(super) struct Partitions {
    known: BTreeSet<Day>,
}

impl Day {
    /// The day of a moment.
    pub(super) fn of_ms(ms: i64) -> Self {
        Self(ms.div_euclid(DAY_MS))
    }

    /// Its first millisecond.
    fn start_ms(self) -> i64 {
        self.0.saturating_mul(DAY_MS)
    }

    /// The first millisecond after it.
    pub(super) fn end_ms(self) -> i64 {
        self.start_ms().saturating_add(DAY_MS)
    }

    fn date(self) -> Option<Date> {
        let start = Timestamp::from_millisecond(self.start_ms()).ok()?;
        Some(TimeZone::UTC.to_datetime(start).date())
    }

    fn of_date(date: Date) -> Option<Self> {
        let start = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
        Some(Self::of_ms(start.as_millisecond()))
    }
}

impl Table {
    /// Its partition of a day: `agg_1m_20231114`. `None` beyond the years that have four digits.
    fn partition(&self, day: Day) -> Option<String> {
        let date = day.date().filter(|date| date.year() >= 0)?;
        Some(format!("{}_{}", self.name, date.strftime("%Y%m%d")))
    }

    /// The day of one of its partitions; `None` for a name that is not one of ours.
    fn day(&self, partition: &str) -> Option<Day> {
        let digits = partition.strip_prefix(self.name)?.strip_prefix('_')?;
        let ours = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let date = Date::strptime("%Y%m%d", digits).ok().filter(|_| ours)?;
        Day::of_date(date)
    }

    /// Makes the partition of a day where it is missing.
    ///
    /// It is made apart and then attached, which waits for nobody who reads or writes other days;
    /// `PARTITION OF` would lock the whole table.
    fn make(&self, conn: &Connection, day: Day) -> Result<(), StoreError> {
        let doing = "make a partition";
        let (Some(partition), Some(next)) = (self.partition(day), Day(day.0 + 1).date()) else {
            return Err(StoreError::OutOfRange { ms: day.start_ms() });
        };
        let Self { name, with } = self;
        let there = conn
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_inherits
                 WHERE inhparent = $1::text::regclass AND inhrelid = to_regclass($2))",
                &[name, &partition],
            )
            .map_err(StoreError::postgres(doing))?;
        if there.get(0) {
            return Ok(());
        }
        let from = day.date().map(|date| date.to_string()).unwrap_or_default();
        conn.batch(&format!(
            "CREATE TABLE IF NOT EXISTS {partition} (LIKE {name} INCLUDING ALL) {with};
             ALTER TABLE {name} ATTACH PARTITION {partition}
                 FOR VALUES FROM ('{from} 00:00:00+00') TO ('{next} 00:00:00+00')"
        ))
        .map_err(StoreError::postgres(doing))
    }

    /// Its partitions that hold nothing at or after `from_ms`, the oldest first.
    pub(super) fn older_than(
        &self,
        conn: &Connection,
        from_ms: i64,
    ) -> Result<Vec<String>, Failure> {
        let rows = conn.query(
            "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = $1::text::regclass ORDER BY relname",
            &[&self.name],
        )?;
        let names = rows.into_iter().map(|row| row.get::<_, String>(0));
        Ok(names.filter(|name| self.day(name).is_some_and(|day| day.end_ms() <= from_ms)).collect())
    }
}

impl Partitions {
    /// Sees to it that rows of these days can be kept.
    pub(super) fn ensure(
        &mut self,
        conn: &Connection,
        days: impl Iterator<Item = Day>,
    ) -> Result<(), StoreError> {
        let missing: BTreeSet<Day> = days.filter(|day| !self.known.contains(day)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let doing = "make partitions";
        conn.transaction(doing, |conn| {
            // One program at a time: two that attach the same would fail.
            conn.query("SELECT pg_advisory_xact_lock($1)", &[&leadership::key("partitions")])
                .map_err(StoreError::postgres(doing))?;
            for &day in &missing {
                EVENTS_SEEN.make(conn, day)?;
                AGG_1M.make(conn, day)?;
            }
            Ok(())
        })?;
        self.known.extend(missing);
        Ok(())
    }

    /// Has every day looked for again.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Makes the days that are about to begin, so that no batch has to.
    pub(super) fn ahead(&mut self, conn: &Connection, now_ms: i64) -> Result<(), StoreError> {
        let today = Day::of_ms(now_ms);
        self.ensure(conn, (0..=AHEAD_DAYS).map(|ahead| Day(today.0 + ahead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_for_its_day_and_nothing_else_is_taken_for_one() {
        let day = Day::of_ms(1_699_999_980_000);
        assert_eq!(AGG_1M.partition(day).unwrap(), "agg_1m_20231114");
        assert_eq!(AGG_1M.day("agg_1m_20231114"), Some(day));
        assert_eq!(Day::of_ms(-1), Day(-1));
        for foreign in
            ["agg_1m", "agg_1m_2023", "agg_1m_2023111x", "agg_1m_20231399", "other_20231114"]
        {
            assert_eq!(AGG_1M.day(foreign), None, "{foreign}");
        }
        assert_eq!(AGG_1M.partition(Day::of_ms(i64::MAX)), None);
    }
}
