//! Whether a load test has settled (draft-ietf-ippm-responsiveness, its stability). Pure.

use crate::measurement::Confidence;

/// Intervals that are averaged over, and looked back on.
pub(super) const MOVING: usize = 4;

/// How far the averages may scatter about their mean.
const TOLERANCE: f64 = 0.05;

/// Whether the last moving averages of a series lie together: their standard deviation within 5 % of
/// their mean.
pub(super) fn is_stable(series: &[f64]) -> bool {
    let averages: Vec<f64> = series.windows(MOVING).map(mean).collect();
    let Some(last) = averages.len().checked_sub(MOVING).and_then(|from| averages.get(from..))
    else {
        return false;
    };
    let middle = mean(last);
    let squares: Vec<f64> = last.iter().map(|average| (average - middle).powi(2)).collect();
    middle > 0.0 && mean(&squares).sqrt() <= TOLERANCE * middle
}

/// How far the result of so many intervals can be trusted.
pub(super) fn confidence(intervals: usize, stable: bool) -> Confidence {
    match (intervals, stable) {
        (_, true) => Confidence::High,
        (MOVING.., false) => Confidence::Medium,
        _ => Confidence::Low,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_settles_is_stable_and_what_climbs_is_not() {
        assert!(!is_stable(&[10.0; 6]), "too few to tell");
        assert!(is_stable(&[10.0; 7]));
        assert!(is_stable(&[1.0, 9.0, 9.8, 10.1, 9.9, 10.2, 10.0, 9.9, 10.1]));
        let climbing: Vec<f64> = (1..12).map(|n| f64::from(n * n)).collect();
        assert!(!is_stable(&climbing));
        assert!(!is_stable(&[0.0; 9]), "nothing was measured");
    }

    #[test]
    fn trust_grows_with_intervals_and_stability() {
        assert_eq!(confidence(3, false), Confidence::Low);
        assert_eq!(confidence(4, false), Confidence::Medium);
        assert_eq!(confidence(9, true), Confidence::High);
    }
}
