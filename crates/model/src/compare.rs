//! Whether two cohorts differ, by stage, with how sure that is: a cohort is what was measured by some
//! clients at some targets in some stretch of time.
//!
//! Held against each other are ranks (Mann-Whitney), which ask nothing of a distribution's shape:
//! how likely it is that a sample of B is worse than one of A, ties counting half. Samples of one
//! minute share what went on in it, and so do minutes that follow each other. So the variance is that
//! of the minutes' mean ranks with what neighbours have in common (`spread`), and never less than
//! that of as many samples on their own. Six stages are compared, and their p-values are adjusted for
//! that (Holm). A difference is told where chance is ruled out and where it is of a size to matter:
//! with enough samples a tenth of a millisecond is not chance either.

mod cohort;
mod failures;
mod ranks;
mod spread;
mod student;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use cohort::{Cohort, MOST_MINUTES, TooLong};
pub use failures::{Failures, FailuresEffect, FailuresSide, Interval};

use crate::sketch::{Quantile, Sketch};
use crate::stage::Metric;
use ranks::{Pooled, Ranked};
use student::Student;

/// What was found, by stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The five times and the rate, in the order of [`Metric::ALL`].
    pub stages: Vec<Stage>,
    /// Events that failed before their first byte.
    pub failures: Failures,
}

/// One quantity of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Which.
    pub stage: Metric,
    /// `ms`, or `kbps` for the throughput.
    pub unit: &'static str,
    /// The one.
    pub a: Side,
    /// The other.
    pub b: Side,
    /// B less A; absent where either is.
    pub difference: Option<Pair>,
    /// B as a multiple of A; absent where either is or A is 0.
    pub ratio: Option<Ratio>,
    /// How sure a difference is; absent where too little was measured.
    pub test: Option<Test>,
    /// What is told.
    pub effect: Effect,
    /// Why no difference is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// What one cohort has of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Samples.
    pub n: u64,
    /// Minutes that hold some.
    pub minutes: usize,
    /// The median.
    pub p50: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
}

/// Of the median and of the 95th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Of the median.
    pub p50: f64,
    /// Of the 95th percentile.
    pub p95: f64,
}

/// Of the median and of the 95th percentile, as far as there is one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Of the median.
    pub p50: Option<f64>,
    /// Of the 95th percentile.
    pub p95: Option<f64>,
}

/// Ranks of one cohort among the other's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Test {
    /// How likely a sample of B is worse (slower) than one of A; 0.5 where they do not differ.
    pub p_b_worse: f64,
    /// It is hardly lower (95 %).
    pub low: f64,
    /// Nor higher.
    pub high: f64,
    /// How often chance alone would show as much.
    pub p_value: f64,
    /// The same, for all the stages that are compared (Holm).
    pub p_adjusted: f64,
    /// How many times the variance is that of independent samples.
    pub widened: f64,
}

/// What is told of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Fewer than 10 samples or 5 minutes on a side.
    TooFew,
    /// They may be alike. It is not said that they are.
    NoDifferenceTold,
    /// B is slower than A.
    BSlower,
    /// B is faster than A.
    BFaster,
}

/// Why no difference is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Chance would show as much.
    Chance,
    /// It is there and does not matter: the medians are too near each other.
    TooSmall,
}

/// Samples of either side it takes.
const ENOUGH: u64 = 10;
/// Minutes of either side it takes to see how much they differ of themselves.
const ENOUGH_MINUTES: usize = 5;
/// A difference is told where chance would show it less often.
const LEVEL: f64 = 0.05;
/// Medians that differ by less are not told: the factor of times, and of rates.
const TIMES: f64 = 1.25;
const RATE: f64 = 0.75;

/// Holds B against A.
pub fn compare(a: &Cohort, b: &Cohort) -> Comparison {
    let mut stages: Vec<Stage> = Metric::ALL.map(|metric| stage(metric, a, b)).into();
    adjust(&mut stages);
    stages.iter_mut().for_each(tell);
    Comparison { stages, failures: Failures::of(a, b) }
}

fn stage(metric: Metric, a: &Cohort, b: &Cohort) -> Stage {
    let sides = [a, b].map(|cohort| Side::of(metric, cohort));
    let both = |p: fn(&Side) -> Option<f64>| p(&sides[0]).zip(p(&sides[1]));
    let pairs = both(|side| side.p50).zip(both(|side| side.p95));
    let times = |(a, b): (f64, f64)| (a > 0.0).then(|| b / a);
    let enough = sides.iter().all(|side| side.n >= ENOUGH && side.minutes >= ENOUGH_MINUTES);
    Stage {
        stage: metric,
        unit: if metric == Metric::Throughput { "kbps" } else { "ms" },
        a: sides[0],
        b: sides[1],
        difference: pairs.map(|(p50, p95)| Pair { p50: p50.1 - p50.0, p95: p95.1 - p95.0 }),
        ratio: pairs.map(|(p50, p95)| Ratio { p50: times(p50), p95: times(p95) }),
        test: if enough { test(metric, a, b) } else { None },
        effect: Effect::TooFew,
        reason: None,
    }
}

impl Side {
    fn of(metric: Metric, cohort: &Cohort) -> Self {
        let sketch = cohort.merged().sketch(metric);
        let minutes = cohort.minutes().filter(|window| !window.sketch(metric).is_empty()).count();
        // Microseconds to milliseconds, bits to kilobits a second.
        let at = |q| sketch.quantile(q).map(|value| value as f64 / 1e3);
        Self { n: sketch.count(), minutes, p50: at(Quantile::P50), p95: at(Quantile::P95) }
    }
}

/// How B's samples rank among A's, and how sure that is.
fn test(metric: Metric, a: &Cohort, b: &Cohort) -> Option<Test> {
    let [all_a, all_b]: [&Sketch; 2] = [a, b].map(|cohort| cohort.merged().sketch(metric));
    let least = Pooled::variance(all_a, all_b);
    let of = |cohort: &Cohort, own, other| {
        let minutes = cohort.minutes().map(|window| window.sketch(metric));
        Ranked::of(minutes, own, other, least)
    };
    let (in_b, in_a) = (of(a, all_a, all_b)?, of(b, all_b, all_a)?);
    let variance = in_a.spread.variance + in_b.spread.variance;
    let independent = in_a.independent + in_b.independent;
    // Welch's: of two variances that are estimated, each from so many minutes.
    let freedom = variance * variance / (in_a.spread.doubt() + in_b.spread.doubt());
    let above = in_a.mean;
    let student = Student::of(freedom);
    // All samples are equal: then there is no variance, and no difference either.
    let (p_value, reach, widened) = if variance > 0.0 {
        let deviation = variance.sqrt();
        let p = student.beyond((above - 0.5) / deviation);
        (p, student.within_95() * deviation, variance / independent)
    } else {
        (1.0, 0.0, 1.0)
    };
    let worse = if metric == Metric::Throughput { 1.0 - above } else { above };
    Some(Test {
        p_b_worse: worse,
        low: (worse - reach).max(0.0),
        high: (worse + reach).min(1.0),
        p_value,
        p_adjusted: p_value,
        widened,
    })
}

/// Holm's: the smallest p-value counts as often as there are tests, the next once less, and none for
/// less than the one before it.
fn adjust(stages: &mut [Stage]) {
    let mut tests: Vec<&mut Test> =
        stages.iter_mut().filter_map(|stage| stage.test.as_mut()).collect();
    tests.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
    let mut least: f64 = 0.0;
    let times = (1..=tests.len()).rev();
    for (test, times) in tests.into_iter().zip(times) {
        least = least.max((times as f64 * test.p_value).min(1.0));
        test.p_adjusted = least;
    }
}

fn tell(stage: &mut Stage) {
    let Some(test) = stage.test else { return };
    (stage.effect, stage.reason) = if test.p_adjusted >= LEVEL {
        (Effect::NoDifferenceTold, Some(Reason::Chance))
    } else if !matters(stage, test.p_b_worse) {
        (Effect::NoDifferenceTold, Some(Reason::TooSmall))
    } else if test.p_b_worse > 0.5 {
        (Effect::BSlower, None)
    } else {
        (Effect::BFaster, None)
    };
}

/// Whether the medians lie far enough apart, and on the side on which the ranks are.
fn matters(stage: &Stage, p_b_worse: f64) -> bool {
    let (Some(a), Some(b)) = (stage.a.p50, stage.b.p50) else { return false };
    let (better, worse) = if p_b_worse > 0.5 { (a, b) } else { (b, a) };
    match floor_ms(stage.stage) {
        Some(floor) => worse - better >= floor && worse >= better * TIMES,
        // Of a rate, the worse is the smaller.
        None => worse <= better * RATE,
    }
}

/// The least difference of medians in ms that is told; a rate has its factor alone.
fn floor_ms(metric: Metric) -> Option<f64> {
    match metric {
        Metric::Dns | Metric::Tls => Some(15.0),
        Metric::Tcp => Some(10.0),
        Metric::Ttfb | Metric::Total => Some(30.0),
        Metric::Throughput => None,
    }
}
