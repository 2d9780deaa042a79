//! The logarithmic law of waiting, in the form of ITU-T G.1030.
//!
//! `MOS = 5 + 4 (ln t - ln min) / ln(min / max)`, from 5 at `min` to 1 at `max`. The form alone is
//! G.1030's: its bounds depend on how long a user expects to wait at most, so ours are an argument.
//! Not a G.1030 opinion score, which is about sessions of pages.

/// From 1 to 5. `None` unless 0 < min < max and t is a time.
pub fn opinion(seconds: f64, min: f64, max: f64) -> Option<f64> {
    let are_times = seconds >= 0.0 && min > 0.0 && min < max && max.is_finite();
    are_times.then(|| (5.0 + 4.0 * (seconds / min).ln() / (min / max).ln()).clamp(1.0, 5.0))
}
