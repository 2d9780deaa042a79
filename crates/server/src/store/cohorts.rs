//! Kept windows merged over any set of clients, targets and times, from their sketches.

use std::collections::BTreeMap;

use model::units::MINUTE_MS;
use model::window::Window;

use super::StoreError;
use super::rollups::Rollup;
use super::summary::MERGED;
use super::windows::Span;

/// How long the windows are that an answer is merged from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// Minutes: everything that was counted.
    Minute,
    /// Hours, as far as they have ended and been merged.
    Hour,
    /// Days of UTC, likewise.
    Day,
}

/// Which windows to read.
#[derive(Clone, Debug)]
pub struct CohortQuery {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// Of this target alone.
    pub target: Option<String>,
    /// That start here.
    pub span: Span,
    /// How long they are.
    pub grain: Grain,
    /// More windows than this are refused, so that no answer takes longer than some seconds.
    pub most: usize,
}

/// What becomes one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Each client and target.
    Cell,
    /// Each client, all of its targets together.
    Client,
    /// Each target, as all clients see it.
    Target,
    /// Everything together.
    Nothing,
}

/// One kept window.
#[derive(Debug)]
pub struct Kept<'a> {
    /// Who measured.
    pub client_id: &'a str,
    /// What was measured.
    pub target: &'a str,
    /// Its start, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// What is kept.
    pub window: Window,
}

/// Windows that were merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// Whose; `None` where clients were merged.
    pub client_id: Option<String>,
    /// Of what; `None` where targets were merged.
    pub target: Option<String>,
    /// How many windows.
    pub windows: usize,
    /// The start of the first, milliseconds since the Unix epoch.
    pub first_ts: i64,
    /// The start of the last.
    pub last_ts: i64,
    /// All of them together.
    pub merged: Window,
}

/// Up to here minutes are merged, up to there hours: a cell has some ten thousand windows of a week,
/// and two thousand of a quarter of a year.
const MINUTES_UP_TO_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
const HOURS_UP_TO_MS: i64 = 92 * 24 * 60 * MINUTE_MS;

impl Grain {
    /// The shortest windows that a stretch of this length can be merged from in reasonable time.
    pub fn of(span: Span) -> Self {
        let length_ms = span.to_ms.saturating_sub(span.from_ms);
        if length_ms <= MINUTES_UP_TO_MS {
            Self::Minute
        } else if length_ms <= HOURS_UP_TO_MS {
            Self::Hour
        } else {
            Self::Day
        }
    }

    /// The table they are kept in.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Minute => "agg_1m",
            Self::Hour => Rollup::Hour.table(),
            Self::Day => Rollup::Day.table(),
        }
    }
}

impl CohortQuery {
    /// Everything that was measured in a stretch of time.
    pub fn of(span: Span) -> Self {
        Self { client_id: None, target: None, span, grain: Grain::of(span), most: MERGED }
    }
}

impl GroupBy {
    /// Each with its name in a query.
    pub const NAMED: [(&str, Self); 4] = [
        ("cell", Self::Cell),
        ("client_id", Self::Client),
        ("target", Self::Target),
        ("none", Self::Nothing),
    ];

    /// From its name in a query.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, by)| by)
    }

    fn key(self, kept: &Kept<'_>) -> Key {
        let client = || Some(kept.client_id.to_owned());
        let target = || Some(kept.target.to_owned());
        match self {
            Self::Cell => (client(), target()),
            Self::Client => (client(), None),
            Self::Target => (None, target()),
            Self::Nothing => (None, None),
        }
    }
}

type Key = (Option<String>, Option<String>);

/// Rows in the making: as many as are asked for, the first by name, however windows come.
pub(super) struct Merging {
    by: GroupBy,
    limit: usize,
    rows: BTreeMap<Key, Cohort>,
    /// The first row that had no place. It and what comes after it are passed over.
    end: Option<Key>,
}

impl Merging {
    pub(super) fn new(by: GroupBy, limit: usize) -> Self {
        Self { by, limit, rows: BTreeMap::new(), end: None }
    }

    pub(super) fn add(&mut self, kept: &Kept<'_>) {
        let key = self.by.key(kept);
        if self.end.as_ref().is_some_and(|end| key >= *end) {
            return;
        }
        let row = self.rows.entry(key).or_insert_with_key(|(client_id, target)| Cohort {
            client_id: client_id.clone(),
            target: target.clone(),
            windows: 0,
            first_ts: kept.start_ms,
            last_ts: kept.start_ms,
            merged: Window::default(),
        });
        row.windows += 1;
        row.first_ts = row.first_ts.min(kept.start_ms);
        row.last_ts = row.last_ts.max(kept.start_ms);
        row.merged.merge(&kept.window);
        if self.rows.len() > self.limit {
            self.end = self.rows.pop_last().map(|(key, _)| key);
        }
    }

    /// The rows, and whether there were more.
    pub(super) fn finish(self) -> (Vec<Cohort>, bool) {
        (self.rows.into_values().collect(), self.end.is_some())
    }
}

/// Counts windows against a query's bound.
pub(super) struct Left {
    limit: usize,
    left: usize,
}

impl Left {
    pub(super) fn of(query: &CohortQuery) -> Self {
        Self { limit: query.most, left: query.most }
    }

    pub(super) fn take(&mut self) -> Result<(), StoreError> {
        let refused = StoreError::TooMany { limit: self.limit };
        self.left = self.left.checked_sub(1).ok_or(refused)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

    #[test]
    fn long_stretches_are_merged_from_long_windows() {
        let grain = |to_ms| Grain::of(Span { from_ms: 0, to_ms });
        assert_eq!(grain(7 * DAY_MS), Grain::Minute);
        assert_eq!(grain(7 * DAY_MS + 1), Grain::Hour);
        assert_eq!(grain(92 * DAY_MS), Grain::Hour);
        assert_eq!(grain(93 * DAY_MS), Grain::Day);
        assert_eq!(Grain::of(Span { from_ms: i64::MIN, to_ms: i64::MAX }), Grain::Day);
    }

    #[test]
    fn a_row_that_was_left_out_stays_out() {
        let mut merging = Merging::new(GroupBy::Target, 2);
        for (client_id, target) in [("a", "z"), ("a", "x"), ("a", "y"), ("b", "z"), ("b", "x")] {
            merging.add(&Kept { client_id, target, start_ms: 7, window: Window::default() });
        }
        let (rows, more) = merging.finish();
        let seen: Vec<_> =
            rows.iter().map(|row| (row.target.as_deref().unwrap(), row.windows)).collect();
        assert_eq!((seen, more), (vec![("x", 2), ("y", 1)], true));
    }
}
