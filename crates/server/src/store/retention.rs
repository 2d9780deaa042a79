//! How long things are kept.

use std::time::Duration;

use super::rollups::Rollup;

/// How long things are kept, by the events' own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    seen: Duration,
    windows: Duration,
    hours: Duration,
    days: Duration,
}

/// What one step removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows of `events_seen`.
    pub seen: usize,
    /// Rows of `agg_1m`, `agg_1h`, `agg_1d`, `incidents`, `probe_gaps`, `drifts` and `alerts`.
    pub windows: usize,
    /// Whether there may be more to remove now.
    pub more: bool,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Retention {
    /// By how much ids outlive the oldest event that is accepted. An event whose id is gone could
    /// be counted a second time, so ids stay until ingest refuses their event as too old, for as
    /// long as a batch may wait in the queue, and through a clock that was set back by hours.
    const MARGIN: Duration = DAY;
    const WINDOWS: Duration = Duration::from_secs(90 * 24 * 60 * 60);
    /// A year, to compare with the last one; and ten.
    const HOURS: Duration = Duration::from_secs(400 * 24 * 60 * 60);
    const DAYS: Duration = Duration::from_secs(3_660 * 24 * 60 * 60);

    /// For an ingest that accepts events up to this many milliseconds old, windows for 90 days.
    pub fn for_events_up_to(max_age_ms: i64) -> Self {
        Self::new(Duration::from_millis(max_age_ms.unsigned_abs()), Self::WINDOWS)
    }

    /// For ids that are kept so long, and windows for 90 days.
    pub fn of_ids(seen: Duration) -> Self {
        Self::new(seen.saturating_sub(Self::MARGIN), Self::WINDOWS)
    }

    /// For an ingest that accepts events up to `max_age` old: their ids are kept a day longer,
    /// and windows for `windows`, or as long as an event may still add to one.
    pub fn new(max_age: Duration, windows: Duration) -> Self {
        let seen = max_age + Self::MARGIN;
        let windows = windows.max(seen);
        Self { seen, windows, hours: Self::HOURS.max(windows), days: Self::DAYS.max(windows) }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(7 * DAY, Self::WINDOWS)
    }
}

impl Retention {
    /// The start of the oldest minute whose ids stay, at this moment.
    pub(crate) fn seen_from_ms(&self, present_ms: i64) -> i64 {
        present_ms.saturating_sub(millis(self.seen))
    }

    /// The start of the oldest minute whose windows stay, at this moment.
    pub(super) fn windows_from_ms(&self, present_ms: i64) -> i64 {
        present_ms.saturating_sub(millis(self.windows))
    }

    /// The start of the oldest hour or day that stays, at this moment.
    pub(super) fn rollups_from_ms(&self, rollup: Rollup, present_ms: i64) -> i64 {
        let kept = match rollup {
            Rollup::Hour => self.hours,
            Rollup::Day => self.days,
        };
        present_ms.saturating_sub(millis(kept))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
