//! Integer quantities. Inside, durations are whole microseconds and rates whole bits a
//! second, so that sums and sketches do not depend on the order of addition.

use std::fmt;

/// A duration in whole microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// A rate in whole bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitsPerSecond(pub u64);

/// Values above this are kept as this one (2^53, about 285 years in microseconds): it is
/// the largest range in which JSON numbers are whole.
const MAX: u64 = 1 << 53;

impl Micros {
    /// From the wire's milliseconds, rounded to the nearest microsecond. `None` for what is
    /// negative or not finite.
    pub fn from_ms(ms: f64) -> Option<Self> {
        rounded(ms * 1e3).map(Self)
    }

    /// In milliseconds, as JSON and columns have it.
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, so exact")]
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl BitsPerSecond {
    /// From the wire's kilobits a second, rounded to the nearest bit a second. `None` for what
    /// is negative or not finite.
    pub fn from_kbps(kbps: f64) -> Option<Self> {
        rounded(kbps * 1e3).map(Self)
    }

    /// In kilobits a second, as JSON and columns have it.
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, so exact")]
    pub fn as_kbps(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "finite, not negative, and the cast saturates above"
)]
fn rounded(value: f64) -> Option<u64> {
    (value >= 0.0 && !value.is_nan()).then(|| (value.round() as u64).min(MAX))
}

/// The start of a one-minute window, in minutes since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;

impl Minute {
    /// The window that holds a moment given in milliseconds since the Unix epoch.
    pub fn of_ms(ts_ms: i64) -> Self {
        Self(ts_ms.div_euclid(MINUTE_MS))
    }

    /// The window's first millisecond.
    pub fn start_ms(self) -> i64 {
        self.0 * MINUTE_MS
    }

    /// The first millisecond after the window.
    pub fn end_ms(self) -> i64 {
        self.start_ms() + MINUTE_MS
    }

    /// The window `n` minutes later (earlier where negative).
    #[must_use]
    pub fn plus(self, n: i64) -> Self {
        Self(self.0 + n)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.as_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_round_to_microseconds() {
        assert_eq!(Micros::from_ms(12.3456), Some(Micros(12_346)));
        assert_eq!(Micros::from_ms(0.0), Some(Micros(0)));
        assert_eq!(Micros::from_ms(-0.1), None);
        assert_eq!(Micros::from_ms(f64::NAN), None);
        assert_eq!(Micros::from_ms(1e300), Some(Micros(MAX)));
    }

    #[test]
    fn minutes_floor_before_the_epoch_too() {
        assert_eq!(Minute::of_ms(59_999), Minute(0));
        assert_eq!(Minute::of_ms(60_000), Minute(1));
        assert_eq!(Minute::of_ms(-1), Minute(-1));
        assert_eq!(Minute(1).end_ms(), Minute(2).start_ms());
    }
}
