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
        // Where none or all are, the share is a bound itself, which rounding must not pass.
        let (low, high) = (bound(middle - reach).min(share), bound(middle + reach).max(share));
        Some(Self { share, low, high, n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_lies_within_its_interval() {
        for n in 1..=400 {
            for hits in 0..=n {
                let Share { share, low, high, .. } = Share::of(hits, n).unwrap();
                assert!(
                    (0.0..=share).contains(&low) && (share..=1.0).contains(&high),
                    "{hits}/{n}"
                );
            }
        }
    }
}
