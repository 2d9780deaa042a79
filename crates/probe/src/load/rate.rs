//! From bytes over time to a rate: the ramp-up is left out, the rest is told by its median. Pure.

use std::time::Duration;

/// Share of the whole that is ramp-up at least.
const RAMP_UP: f64 = 0.2;

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// What is left of a transfer without its ramp-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steady {
    /// Bits a second, the median of the intervals.
    pub(super) median: u64,
    /// Nine in ten intervals were faster.
    pub(super) low: u64,
    pub(super) duration: Duration,
}

/// The ramp-up is the first fifth, and after it whatever is still below half of the median of the rest.
/// `None` where nothing is left, or nothing came.
pub(super) fn steady(intervals: &[Interval]) -> Option<Steady> {
    let whole: Duration = intervals.iter().map(|interval| interval.time).sum();
    let mut passed = Duration::ZERO;
    let after = intervals.iter().position(|interval| {
        let begins = passed;
        passed += interval.time;
        begins >= whole.mul_f64(RAMP_UP)
    })?;
    let rest = intervals.get(after..)?;
    let middle = quantile(&rates(rest), 1, 2)?;
    let climbed = rest.iter().position(|interval| rate(interval) * 2 >= middle)?;
    let rest = &rest[climbed..];
    let rates = rates(rest);
    let steady = Steady {
        median: quantile(&rates, 1, 2)?,
        low: quantile(&rates, 1, 10)?,
        duration: rest.iter().map(|interval| interval.time).sum(),
    };
    (steady.median > 0).then_some(steady)
}

/// Ascending.
fn rates(intervals: &[Interval]) -> Vec<u64> {
    let mut rates: Vec<u64> = intervals.iter().map(rate).collect();
    rates.sort_unstable();
    rates
}

fn rate(interval: &Interval) -> u64 {
    let bits = u128::from(interval.bytes) * 8 * 1_000_000;
    let rate = bits.checked_div(interval.time.as_micros()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// By nearest rank, of what is sorted.
fn quantile(sorted: &[u64], part: usize, of: usize) -> Option<u64> {
    let rank = (sorted.len() * part).div_ceil(of);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals(bytes: &[u64]) -> Vec<Interval> {
        let time = Duration::from_millis(100);
        bytes.iter().map(|bytes| Interval { bytes: *bytes, time }).collect()
    }

    #[test]
    fn the_ramp_up_is_in_no_rate() {
        // A fifth is two intervals; the third is still climbing.
        let steady = steady(&intervals(&[1, 2, 3, 100, 110, 90, 100, 100, 100, 100])).unwrap();
        assert_eq!(steady.median, 8_000);
        assert_eq!(steady.low, 90 * 80);
        assert_eq!(steady.duration, Duration::from_millis(700));
    }

    #[test]
    fn a_stall_is_not_taken_for_a_ramp_up() {
        let steady = steady(&intervals(&[100, 100, 100, 0, 0, 0, 100, 100, 100, 100])).unwrap();
        assert_eq!((steady.median, steady.low), (8_000, 0));
    }

    #[test]
    fn nothing_has_no_rate() {
        assert_eq!(steady(&[]), None);
        assert_eq!(steady(&intervals(&[0, 0, 0])), None);
        assert_eq!(steady(&[Interval { bytes: 9, time: Duration::ZERO }]), None);
    }
}
