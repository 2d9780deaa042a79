//! Apdex: the step version of the web outcome.
//!
//! `(satisfied + tolerating / 2) / n` with a satisfied event at most T, a tolerating one at most 4 T,
//! and a failed one neither (Apdex Technical Specification 1.1).

use super::float;
use crate::sketch::Sketch;
use crate::units::Micros;

/// From 0 to 1, of a distribution in microseconds and the events that failed beside it. `None`
/// without events.
pub fn apdex(total: &Sketch, failed: u64, threshold: Micros) -> Option<f64> {
    let n = total.count().saturating_add(failed);
    if n == 0 {
        return None;
    }
    let satisfied = total.rank(threshold.0);
    let tolerating = total.rank(threshold.0.saturating_mul(4)) - satisfied;
    Some((float(satisfied) + float(tolerating) / 2.0) / float(n))
}
