//! Quality of outcome (draft-ietf-ippm-qoo-10): how near what was measured is to what a use of the
//! line requires.
//!
//! For each percentile of the latency, `m = clamp(0, 1 - (ML - ROP) / (CPUP - ROP), 1)`: ROP is the
//! latency at which an application works perfectly, CPUP the one from which it is unacceptable.
//! `latency = 100 * min(m)`, loss likewise, throughput 100 or 0, `QoO = min` of the three.

/// From perfect to unacceptable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Requirement for perfection (ROP): up to here it is 100.
    pub perfect: f64,
    /// Conditions at the point of unacceptability (CPUP): from here it is 0.
    pub unacceptable: f64,
}

/// What was measured against what is required.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Qoo {
    /// The worst percentile of the latency.
    pub latency: Option<f64>,
    /// The loss, weighted where it is only a proxy.
    pub loss: Option<f64>,
    /// 100 where it is enough, else 0.
    pub throughput: Option<f64>,
}

impl Range {
    /// From 100 to 0 in a straight line. What is not finite is 0; a range without length is a step.
    pub fn score(self, measured: f64) -> f64 {
        let Self { perfect, unacceptable } = self;
        if ![measured, perfect, unacceptable].into_iter().all(f64::is_finite) {
            0.0
        } else if unacceptable <= perfect {
            if measured <= perfect { 100.0 } else { 0.0 }
        } else {
            100.0 * (1.0 - (measured - perfect) / (unacceptable - perfect)).clamp(0.0, 1.0)
        }
    }
}

/// The worst of several percentiles, each with its range. `None` where there is none, or where one
/// was not measured: the rest could only flatter.
pub fn latency(percentiles: impl IntoIterator<Item = (Range, Option<f64>)>) -> Option<f64> {
    percentiles
        .into_iter()
        .map(|(range, measured)| measured.map(|ms| range.score(ms)))
        .try_fold(None, |worst: Option<f64>, score| {
            score.map(|score| Some(worst.map_or(score, |worst| worst.min(score))))
        })
        .flatten()
}

/// A score that rests on a proxy: `100 - c * (100 - s)`, c from 0 (says nothing) to 1 (as good as a
/// measurement). 0 where either is not finite.
pub fn weighted(score: f64, confidence: f64) -> f64 {
    if !score.is_finite() || !confidence.is_finite() {
        return 0.0;
    }
    100.0 - confidence.clamp(0.0, 1.0) * (100.0 - score.clamp(0.0, 100.0))
}

/// Binary, as the draft has it: 100 where it is enough. 0 for what is not finite.
pub fn throughput(required: f64, measured: f64) -> f64 {
    if measured.is_finite() && measured >= required { 100.0 } else { 0.0 }
}

impl Qoo {
    /// The minimum. `None` without a latency, or with nothing beside it.
    pub fn score(self) -> Option<f64> {
        let latency = self.latency?;
        let beside = [self.loss, self.throughput].into_iter().flatten().reduce(f64::min)?;
        Some(latency.min(beside))
    }
}
