//! Failures of two cohorts: events that had no first byte, as in the web score. A failed transfer is
//! not among them.

use serde::Serialize;

use super::cohort::Cohort;
use super::spread::Spread;
use super::student::Student;
use super::{ENOUGH, ENOUGH_MINUTES};
use crate::score::Web;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Failures {
    /// The one.
    pub a: FailuresSide,
    /// The other.
    pub b: FailuresSide,
    /// B's share less A's, -1 to 1; absent where either has no event.
    pub difference: Option<Interval>,
    /// What is told.
    pub effect: FailuresEffect,
}

/// How often one cohort failed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FailuresSide {
    /// Events that say whether there was a first byte.
    pub n: u64,
    /// Those without.
    pub failed: u64,
    /// Failed of all; absent of none.
    pub share: Option<Interval>,
}

/// A share, or a difference of two, and the interval of 95 % in which the true one lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// What was seen.
    pub value: f64,
    /// It is hardly lower.
    pub low: f64,
    /// Nor higher.
    pub high: f64,
}

/// What is told of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailuresEffect {
    /// Fewer than 10 events or 5 minutes on a side.
    TooFew,
    /// They may be alike.
    NoDifferenceTold,
    /// B fails more often.
    BFailsMore,
    /// B fails less often.
    BFailsLess,
}

/// A smaller difference of shares is not told.
const FLOOR: f64 = 0.01;

impl Failures {
    pub(super) fn of(a: &Cohort, b: &Cohort) -> Self {
        let (a, b) = (Counted::of(a), Counted::of(b));
        let sides = [&a, &b].map(Counted::side);
        let difference = sides[0].share.zip(sides[1].share).map(|(a, b)| apart(a, b));
        let enough = [&a, &b].iter().all(|of| of.n >= ENOUGH && of.minutes.len() >= ENOUGH_MINUTES);
        let effect = match difference.filter(|_| enough) {
            None => FailuresEffect::TooFew,
            Some(off) if off.low > 0.0 && off.value >= FLOOR => FailuresEffect::BFailsMore,
            Some(off) if off.high < 0.0 && off.value <= -FLOOR => FailuresEffect::BFailsLess,
            Some(_) => FailuresEffect::NoDifferenceTold,
        };
        Self { a: sides[0], b: sides[1], difference, effect }
    }
}

/// Events and failures by the minute.
struct Counted {
    n: u64,
    failed: u64,
    minutes: Vec<(u64, f64)>,
}

impl Counted {
    fn of(cohort: &Cohort) -> Self {
        let whole = Web::of(cohort.merged());
        let minutes = cohort.minutes().filter_map(Web::of).map(|web| (web.n, web.failed as f64));
        Self {
            n: whole.map_or(0, |web| web.n),
            failed: whole.map_or(0, |web| web.failed),
            minutes: minutes.collect(),
        }
    }

    /// Failures come in clumps: the interval is that of as many independent events as would spread as
    /// far.
    fn side(&self) -> FailuresSide {
        let n = self.n as f64;
        let share = (self.n > 0).then(|| {
            let value = self.failed as f64 / n;
            let single = value * (1.0 - value);
            let spread = Spread::of(&self.minutes, value, single);
            let clumped = spread.filter(|spread| spread.variance > 0.0);
            let alone = clumped.map_or(n, |spread| single / spread.variance);
            let reach = spread.map_or(1.96, |spread| Student::of(spread.freedom).within_95());
            wilson(value, alone, reach)
        });
        FailuresSide { n: self.n, failed: self.failed, share }
    }
}

/// Wilson's interval of a share of `n` events, `z` deviations to either side.
fn wilson(value: f64, n: f64, z: f64) -> Interval {
    let square = z * z / n;
    let middle = value + square / 2.0;
    let reach = z * (value * (1.0 - value) / n + square / (4.0 * n)).sqrt();
    let bound = |at: f64| (at / (1.0 + square)).clamp(0.0, 1.0);
    Interval { value, low: bound(middle - reach), high: bound(middle + reach) }
}

/// Newcombe's interval of the difference (1998, method 10), from those of both.
fn apart(a: Interval, b: Interval) -> Interval {
    let value = b.value - a.value;
    let down = (b.value - b.low).hypot(a.high - a.value);
    let up = (b.high - b.value).hypot(a.value - a.low);
    Interval { value, low: (value - down).max(-1.0), high: (value + up).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_by_hand() {
        let share = wilson(0.8, 10.0, 1.96);
        assert!((share.low - 0.4902).abs() < 1e-3 && (share.high - 0.9433).abs() < 1e-3);
        // Newcombe's own example: 56 of 70 and 48 of 80 differ by 0.2, 0.0524 to 0.3339.
        let apart = apart(wilson(0.6, 80.0, 1.96), wilson(0.8, 70.0, 1.96));
        assert!((apart.value - 0.2).abs() < 1e-9);
        assert!((apart.low - 0.0524).abs() < 1e-4 && (apart.high - 0.3339).abs() < 1e-4);
    }
}
