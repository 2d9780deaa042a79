//! Hours and days: which have to be merged again, and what was merged.
//!
//! An hour is queued where a change in it was judged, and merged when it has ended, so once, or
//! again where a late event reopens one of its minutes; a day likewise, from its hours.

use model::diagnosis::WATERMARK_MS;
use model::units::MINUTE_MS;
use model::window::Window;

use super::diagnoses::{Judged, Task};
use super::reader::Cell;
use super::windows::Span;

/// A span that windows are merged over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rollup {
    /// An hour, from minutes.
    Hour,
    /// A day of UTC, from hours.
    Day,
}

/// A span of one cell that has to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupTask {
    /// Whose.
    pub cell: Cell,
    /// How long it is.
    pub rollup: Rollup,
    /// Where it begins, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Grows with each entry in the queue; what changed since it was read stays queued.
    pub generation: i64,
}

/// A span that was merged.
#[derive(Clone, Debug)]
pub struct Rolled {
    /// What was asked.
    pub task: RollupTask,
    /// All of its windows together; `None` where there are none.
    pub window: Option<Window>,
}

impl Rollup {
    /// The name in the queue.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Hour, Self::Day].into_iter().find(|rollup| rollup.as_str() == name)
    }

    /// The table it is kept in.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Hour => "agg_1h",
            Self::Day => "agg_1d",
        }
    }

    /// The table it is merged from.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Hour => "agg_1m",
            Self::Day => "agg_1h",
        }
    }

    /// How long it is, in milliseconds.
    pub fn length_ms(self) -> i64 {
        match self {
            Self::Hour => 60 * MINUTE_MS,
            Self::Day => 24 * 60 * MINUTE_MS,
        }
    }

    /// The start of the span that holds a moment.
    pub(super) fn start_of(self, ms: i64) -> i64 {
        ms.div_euclid(self.length_ms()) * self.length_ms()
    }

    /// When one that begins there is merged: most of its minutes were judged by then, and a day's
    /// hours merged.
    pub(super) fn due_ms(self, start_ms: i64) -> i64 {
        let rest = match self {
            Self::Hour => 5 * MINUTE_MS,
            Self::Day => 15 * MINUTE_MS,
        };
        start_ms.saturating_add(self.length_ms() + rest)
    }

    /// Whether a minute of one that begins there is before its watermark.
    pub(super) fn is_provisional(self, start_ms: i64, now_ms: i64) -> bool {
        now_ms < start_ms.saturating_add(self.length_ms() + WATERMARK_MS)
    }
}

impl RollupTask {
    /// The span itself.
    pub fn span(&self) -> Span {
        let to_ms = self.start_ms.saturating_add(self.rollup.length_ms());
        Span { from_ms: self.start_ms, to_ms }
    }
}

/// The hours in which a cell's windows changed, as far as they were judged.
pub(super) fn hours(judged: &Judged) -> impl Iterator<Item = i64> {
    let Judged { task: Task { oldest_ms, newest_ms, .. }, rest_ms, .. } = judged;
    let last_ms = rest_ms.map_or(*newest_ms, |rest| rest.saturating_sub(1).min(*newest_ms));
    let first = Rollup::Hour.start_of(*oldest_ms);
    std::iter::successors(Some(first), |start| start.checked_add(Rollup::Hour.length_ms()))
        .take_while(move |start| *start <= last_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE_MS;

    fn judged(oldest_ms: i64, newest_ms: i64, rest_ms: Option<i64>) -> Judged {
        let cell = Cell { client_id: "c".to_owned(), target: "t".to_owned() };
        Judged {
            task: Task { cell, generation: 1, oldest_ms, newest_ms },
            replaced: Span { from_ms: 0, to_ms: 0 },
            runs: Vec::new(),
            rest_ms,
        }
    }

    #[test]
    fn hours_are_those_of_what_was_judged() {
        let hours = |oldest, newest, rest| hours(&judged(oldest, newest, rest)).collect::<Vec<_>>();
        assert_eq!(hours(HOUR - 1, HOUR, None), [0, HOUR]);
        assert_eq!(hours(5, 5, None), [0]);
        assert_eq!(hours(0, 9 * HOUR, Some(2 * HOUR)), [0, HOUR]);
        assert_eq!(hours(0, HOUR, Some(9 * HOUR)), [0, HOUR]);
    }
}
