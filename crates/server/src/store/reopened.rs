//! Minutes whose windows changed long after their end: noted by the transaction that changed them, until
//! the detector has gone back there.

use std::collections::BTreeSet;

use model::Event;
use model::units::MINUTE_MS;

/// From this age on a minute is noted. The detector looks at younger ones again by itself, for half an hour
/// and every five minutes.
const NOTED_FROM_MS: i64 = 20 * MINUTE_MS;

/// A minute that is to be judged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reopened {
    /// Its start, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Grows with each change.
    pub generation: i64,
    /// When it was changed last.
    pub changed_ms: i64,
}

/// The starts of minutes to note.
pub(super) fn to_note(fresh: &[&Event], now_ms: i64) -> BTreeSet<i64> {
    let starts = fresh.iter().map(|event| event.minute().start_ms());
    starts.filter(|start_ms| start_ms + NOTED_FROM_MS <= now_ms).collect()
}
