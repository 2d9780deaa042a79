//! Work that a server does at the same time of every day, and is slow meanwhile.

use crate::simulate::random::{Random, Stream};
use crate::simulate::world::is_weekend;

const DAY_MS: i64 = 86_400_000;
const HALF_HOUR_MS: i64 = 1_800_000;
/// How long it takes.
const LASTS_MS: i64 = 40 * 60_000;
/// It begins up to so much after its time.
const LATE_MS: f64 = 4.0 * 60_000.0;

/// The nightly job of a target.
#[derive(Clone, Debug)]
pub(super) struct Nightly {
    stream: Stream,
    /// Since midnight UTC.
    time_ms: i64,
    on_weekends: bool,
    /// That of the day at hand.
    from_ms: i64,
}

impl Nightly {
    /// Of the nth target: half an hour after the one before, from 01:00 on; every second one rests on
    /// Saturday and Sunday.
    pub(super) fn new(target: &str, nth: usize) -> Self {
        let halves = nth as i64 % 8;
        Self {
            stream: Stream::of(&["nightly", target]),
            time_ms: (2 + halves) * HALF_HOUR_MS,
            on_weekends: nth.is_multiple_of(2),
            from_ms: i64::MIN / 2,
        }
    }

    /// Goes to a minute.
    pub(super) fn advance(&mut self, random: &mut Random, minute_ms: i64) {
        let day = minute_ms.div_euclid(DAY_MS);
        let late = random.at(self.stream, day.unsigned_abs()).unit() * LATE_MS;
        self.from_ms = day * DAY_MS + self.time_ms + super::whole(late);
    }

    /// Whether it is at work.
    pub(super) fn is_on(&self, ts_ms: i64) -> bool {
        (self.from_ms..self.from_ms + LASTS_MS).contains(&ts_ms)
            && (self.on_weekends || !is_weekend(ts_ms))
    }
}
