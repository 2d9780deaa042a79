//! Whether the level of a metric is out of the usual: by how much, and how surely.

use super::CellWindow;
use super::baseline::{Baseline, Usual};
use super::pool::ENOUGH;
use crate::sketch::{Quantile, Sketch};
use crate::stage::Metric;

/// The least excess worth telling, microseconds: below, no one would notice, and the probe's
/// own scheduling can make it.
fn floor_us(metric: Metric) -> u64 {
    match metric {
        Metric::Dns | Metric::Tls => 15_000,
        Metric::Tcp => 10_000,
        Metric::Ttfb | Metric::Total => 30_000,
        Metric::Throughput => 0,
    }
}

/// The least change worth telling, in percent of the usual. A look-up is short and varies
/// most, as answers come from caches or not.
fn least_percent(metric: Metric) -> u64 {
    match metric {
        Metric::Dns => 50,
        Metric::Tcp | Metric::Tls | Metric::Ttfb | Metric::Total => 25,
        Metric::Throughput => 30,
    }
}

/// The change from a usual median that is worth telling at all.
pub(super) fn least_change(metric: Metric, usual: u64) -> u64 {
    floor_us(metric).max(usual.saturating_mul(least_percent(metric)) / 100)
}

/// Spreads of the windows' medians that a change must exceed. Three would do were minutes
/// independent; a level that wanders strays further than its last hour tells. Measured on
/// simulated fleets without faults and 2.5 times the noise, six events a minute: 2.4 false
/// alarms a cell and day at three, 0.6 at four, 0.1 at five; of the faults four and five find
/// as many as three does.
const SPREADS: u64 = 5;

/// A transfer that lost so much of its usual rate, in percent, is slow however widely the rate
/// varies: it can't fall by several spreads where those are more than all of it.
const PLAINLY_SLOW: u64 = 80;

/// A fault that is open stays so until this much, in percent, of what opened it is gone:
/// without it a level near the threshold would open and close by the minute.
const HOLD_PERCENT: u64 = 60;

/// How surely samples must lie beyond the threshold for a fault to open: by chance less often
/// than once in 100,000 judgements, which is once in weeks for a cell judged each minute on
/// four stages. As a natural logarithm.
const SURE: f64 = 11.5;

/// How strict to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The label is not open: size and certainty are asked for.
    Open,
    /// It is: a smaller size will do.
    Hold,
}

/// A level that is out of the usual, in the metric's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) metric: Metric,
    /// The median now.
    pub(super) now: u64,
    /// What it is compared with.
    pub(super) usual: Usual,
    /// The change from there that it takes.
    pub(super) least: u64,
    /// The change there is, beyond what another stage explains.
    pub(super) change: u64,
}

/// What a level is judged on.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    /// Trailing windows, ascending.
    pub(super) reach: &'a [CellWindow],
    pub(super) baseline: &'a Baseline<'a>,
}

impl Sight<'_> {
    /// The excess of a median over the usual one; 0 where it is not above.
    pub(super) fn excess(self, metric: Metric, now: Option<u64>) -> u64 {
        let usual = self.baseline.median(metric);
        now.zip(usual).map_or(0, |(now, usual)| now.saturating_sub(usual))
    }

    /// A median above the usual by enough, after taking off what another stage explains.
    pub(super) fn raised(
        self,
        metric: Metric,
        now: Option<u64>,
        explained: u64,
        gate: Gate,
    ) -> Option<Shift> {
        let now = now?;
        let change = self.excess(metric, Some(now)).saturating_sub(explained);
        let shift = self.shift(metric, now, change, gate)?;
        let threshold = shift.usual.median + shift.least;
        let sure = gate == Gate::Hold
            || self.is_sure(
                metric,
                |s| at_least(s, threshold + explained),
                |s| at_least(s, threshold),
            );
        sure.then_some(shift)
    }

    /// A median below the usual by enough.
    pub(super) fn lowered(self, metric: Metric, now: Option<u64>, gate: Gate) -> Option<Shift> {
        let now = now?;
        let change = self.baseline.median(metric)?.saturating_sub(now);
        let shift = self.shift(metric, now, change, gate)?;
        let threshold = shift.usual.median.checked_sub(shift.least)?;
        let low = |s: &Sketch| s.rank(threshold);
        (gate == Gate::Hold || self.is_sure(metric, low, low)).then_some(shift)
    }

    /// A change that is large enough.
    fn shift(self, metric: Metric, now: u64, change: u64, gate: Gate) -> Option<Shift> {
        let hold = |least: u64| match gate {
            Gate::Open => least,
            Gate::Hold => least * HOLD_PERCENT / 100,
        };
        let median = self.baseline.median(metric)?;
        let least = least_change(metric, median);
        if change < hold(least).max(1) {
            return None;
        }
        let usual = self.baseline.usual(metric)?;
        let mut least = least.max(SPREADS * usual.spread);
        if metric == Metric::Throughput {
            least = least.min(median * PLAINLY_SLOW / 100);
        }
        let least = hold(least);
        (change >= least).then_some(Shift { metric, now, usual, least, change })
    }

    /// Whether so many of the trailing samples lie beyond a threshold that it is no chance,
    /// given how often the usual ones do: a small window may look slow by bad luck, and then
    /// the windows before it are asked too, for as long as most of their samples agree.
    ///
    /// The bound is Chernoff's on the tail of a binomial, `exp(-n KL(k/n || p))`, and p the
    /// upper 95 % estimate of the usual rate, so that a short past is not trusted too far.
    fn is_sure(
        self,
        metric: Metric,
        beyond: impl Fn(&Sketch) -> u64,
        usually_beyond: impl Fn(&Sketch) -> u64,
    ) -> bool {
        let (hits, of) = self.baseline.tally(metric, usually_beyond);
        let usual_rate = upper_rate(hits, of);
        let (mut k, mut n) = (0, 0);
        for window in self.reach.iter().rev() {
            let sketch = window.window.sketch(metric);
            k += beyond(sketch);
            n += sketch.count();
            if n < ENOUGH {
                continue;
            }
            if 2 * k < n {
                return false;
            }
            if surprise(k, n, usual_rate) >= SURE {
                return true;
            }
        }
        false
    }

    /// Whether a single window by itself shows a shift; none where it has no sample.
    pub(super) fn shows(window: &CellWindow, shift: &Shift) -> Option<bool> {
        let median = window.window.sketch(shift.metric).quantile(Quantile::P50)?;
        let least = shift.least * HOLD_PERCENT / 100;
        let usual = shift.usual.median;
        Some(if shift.now > usual { median >= usual + least } else { median + least <= usual })
    }
}

fn at_least(sketch: &Sketch, value: u64) -> u64 {
    sketch.count() - value.checked_sub(1).map_or(0, |below| sketch.rank(below))
}

#[expect(clippy::cast_precision_loss, reason = "a rate; counts are far below 2^53")]
fn upper_rate(hits: u64, of: u64) -> f64 {
    let hits = hits as f64 + 1.0;
    (hits + 1.65 * hits.sqrt()) / (of as f64 + 1.0)
}

/// Minus the logarithm of a bound on the chance of k or more hits of n at a rate.
#[expect(clippy::cast_precision_loss, reason = "a rate; counts are far below 2^53")]
fn surprise(k: u64, n: u64, rate: f64) -> f64 {
    let share = k as f64 / n as f64;
    if share <= rate {
        return 0.0;
    }
    let miss = if k == n { 0.0 } else { (1.0 - share) * ((1.0 - share) / (1.0 - rate)).ln() };
    n as f64 * (share * (share / rate).ln() + miss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprise_by_hand() {
        // all of five at one in ten: 5 ln 10
        assert!((surprise(5, 5, 0.1) - 11.513).abs() < 1e-3);
        // half of twenty at one in ten: 20 (.5 ln 5 + .5 ln (.5/.9))
        assert!((surprise(10, 20, 0.1) - 10.217).abs() < 1e-3);
        assert_eq!(surprise(1, 10, 0.1), 0.0);
        assert_eq!(surprise(5, 5, 1.2), 0.0);
    }

    #[test]
    fn the_bound_holds_against_the_exact_tail() {
        // P(at least 4 of 6 at 1/4) = 154/4096
        assert!((-surprise(4, 6, 0.25)).exp() >= 154.0 / 4096.0);
    }

    #[test]
    fn a_short_past_is_not_trusted_far() {
        assert!((upper_rate(0, 15) - 0.1656).abs() < 1e-3);
        assert!(upper_rate(0, 360) < 0.01);
    }
}
