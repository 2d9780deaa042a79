//! What a request was worth to the person who waited for its first byte.
//!
//! `u(t) = clamp(1 - ln(t/800) / (2 ln(1800/800)), 0, 1)`, t from the look-up's start to the first
//! byte in ms: 1 up to 800 ms, 0.5 at 1800, 0 from 4050. The anchors are those of web-vitals' TTFB
//! (good up to 800 ms, poor above 1800); the logarithm is the usual form of the patience for
//! waiting (ITU-T G.1030). A request that failed is worth 0. `S_web = 100 * mean(u)`: an expectation
//! over the distribution, so that merged windows have the score of all their events.

use serde::Serialize;

use super::float;
use crate::stage::{ErrorStage, Metric};
use crate::window::Window;

/// Up to here nobody is kept waiting, ms.
const GOOD_MS: f64 = 800.0;
/// Here half of it is lost, ms.
const POOR_MS: f64 = 1800.0;

/// The web outcome of a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Web {
    /// `100 * mean(u)`.
    pub score: f64,
    /// Over how many events: those with a total, and those that failed before there was one.
    pub n: u64,
    /// How many of them failed. A failed transfer is not among them: its first byte had come.
    pub failed: u64,
    /// Points lost to waiting, of 100.
    pub lost_to_waiting: f64,
    /// Points lost to failures, of 100.
    pub lost_to_failures: f64,
}

/// What a first byte after `ms` milliseconds is worth, from 0 to 1. 0 for what is no number.
pub fn utility(ms: f64) -> f64 {
    if ms.is_nan() {
        return 0.0;
    }
    let lost = (ms / GOOD_MS).ln() / (2.0 * (POOR_MS / GOOD_MS).ln());
    (1.0 - lost).clamp(0.0, 1.0)
}

/// The events that failed before their first byte: all failures but those of the transfer.
pub fn failed(window: &Window) -> u64 {
    let counts = window.counts();
    let stages = ErrorStage::ALL.into_iter().filter(|stage| !stage.is_throughput());
    stages.fold(0, |sum, stage| sum.saturating_add(counts.of(stage)))
}

impl Web {
    /// The score of a window, or of any merge of windows. `None` without events.
    pub fn of(window: &Window) -> Option<Self> {
        let total = window.sketch(Metric::Total);
        let failed = failed(window);
        let n = total.count().saturating_add(failed);
        if n == 0 {
            return None;
        }
        let waited: f64 =
            total.iter().map(|(us, count)| (1.0 - utility(float(us) / 1e3)) * float(count)).sum();
        let lost_to_waiting = 100.0 * waited / float(n);
        let lost_to_failures = 100.0 * float(failed) / float(n);
        let score = (100.0 - lost_to_waiting - lost_to_failures).clamp(0.0, 100.0);
        Some(Self { score, n, failed, lost_to_waiting, lost_to_failures })
    }
}
