//! Hours and days: which have to be merged again, and what was merged.
//!
//! An hour is queued by the transaction that counts events in it, and merged when it has ended, so
//! once, or again where a late event reopens one of its minutes; a day likewise, from its hours.

use model::Event;
use model::diagnosis::WATERMARK_MS;
use model::units::MINUTE_MS;
use model::window::Window;

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

    /// When one that begins there is merged: most that is late has come by then, and a day's
    /// hours are merged.
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

/// An hour of a cell: client, target and where it begins.
pub(super) type HourOfCell<'a> = (&'a str, &'a str, i64);

/// The hours that events fall into, each once where events come by client, target and time; the hours
/// then are in that order too.
pub(super) fn hours<'a>(
    fresh: impl IntoIterator<Item = &'a Event>,
) -> impl Iterator<Item = HourOfCell<'a>> {
    let mut last = None;
    let hour = |event: &'a Event| {
        let start_ms = Rollup::Hour.start_of(event.minute().start_ms());
        (event.client.as_str(), event.target.as_str(), start_ms)
    };
    fresh.into_iter().map(hour).filter(move |hour| last.replace(*hour) != Some(*hour))
}

#[cfg(test)]
mod tests {
    use model::event::Timings;
    use model::{ClientId, SchemaVersion, Target};
    use uuid::Uuid;

    use super::*;

    const HOUR: i64 = 60 * MINUTE_MS;

    fn event(client: &str, target: &str, ts_ms: i64) -> Event {
        Event {
            version: SchemaVersion::V1_1,
            id: Uuid::nil(),
            client: ClientId::trusted(client),
            target: Target::trusted(target),
            ts_ms,
            failure: None,
            timings: Timings::default(),
            throughput: None,
            troubled: false,
            gap: None,
            beside: None,
        }
    }

    #[test]
    fn an_hour_of_a_cell_is_told_once_and_in_order() {
        let events = [
            event("a", "s", 0),
            event("a", "s", HOUR - 1),
            event("a", "s", HOUR),
            event("a", "s", 9 * HOUR + 5),
            event("a", "t", 9 * HOUR + 5),
            event("b", "t", 9 * HOUR + 5),
            event("b", "t", 9 * HOUR + 6),
        ];
        let told: Vec<_> = hours(&events).collect();
        assert_eq!(
            told,
            [
                ("a", "s", 0),
                ("a", "s", HOUR),
                ("a", "s", 9 * HOUR),
                ("a", "t", 9 * HOUR),
                ("b", "t", 9 * HOUR),
            ]
        );
        // Before 1970 too.
        assert_eq!(hours([&event("a", "s", -1)]).collect::<Vec<_>>(), [("a", "s", -HOUR)]);
    }
}
