//! A share with the interval in which the true one lies.

use serde::Serialize;

use super::float;

/// So many of so many, with Wilson's interval of 95 %: it stays within 0 and 1, and says something
/// where none or all are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// What was seen.
    pub share: f64,
    /// The true share is hardly lower.
    pub low: f64,
    /// Nor higher.
    pub high: f64,
    /// Of how many.
    pub n: u64,
}

/// Standard deviations that 95 % lie within.
const Z: f64 = 1.96;

impl Share {
    /// `hits` of `n`. `None` of none.
    pub fn of(hits: u64, n: u64) -> Option<Self> {
        if n == 0 {
            return None;
        }
        let (share, of) = ((float(hits) / float(n)).min(1.0), float(n));
        let middle = share + Z * Z / (2.0 * of);
        let reach = Z * (share * (1.0 - share) / of + Z * Z / (4.0 * of * of)).sqrt();
        let bound = |at: f64| (at / (1.0 + Z * Z / of)).clamp(0.0, 1.0);
        Some(Self { share, low: bound(middle - reach), high: bound(middle + reach), n })
    }
}
