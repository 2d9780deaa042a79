//! How far a mean over minutes would wander of itself: minutes differ by more than chance, and those
//! that follow each other resemble each other.
//!
//! The variance is the largest of three: of independent samples; of minutes, each taken as one
//! (k / (k - 1) times the sum of squares of what they are off); and the same with what neighbours have
//! in common, weighted by Bartlett's triangle (Newey and West) over `1.3 sqrt(k)` minutes, the width
//! that Lazarus, Lewis, Stock and Watson (2018) recommend, for which Student's t of `1.5 k / width`
//! degrees of freedom accounts. In simulation this kept what it promises with minutes that differ and
//! with neighbours' correlation of a half, and fell short where the level drifts over an hour or more
//! (docs/compare.md): a stretch can't show how far it wanders between stretches.

/// The variance of a mean, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// Of the mean.
    pub(super) variance: f64,
    /// Degrees of freedom it was estimated with.
    pub(super) freedom: f64,
}

impl Spread {
    /// Of a mean of all samples, given how many each minute has and their sum; `single` is the variance
    /// of one sample. `None` for fewer than two minutes.
    pub(super) fn of(minutes: &[(u64, f64)], mean: f64, single: f64) -> Option<Self> {
        let k = minutes.len();
        if k < 2 {
            return None;
        }
        let n: f64 = minutes.iter().map(|&(n, _)| n as f64).sum();
        let off: Vec<f64> = minutes.iter().map(|&(n, sum)| sum - n as f64 * mean).collect();
        let minutes_f = k as f64;
        let width = (1.3 * minutes_f.sqrt()).round().clamp(1.0, minutes_f);
        let at_lag =
            |lag: usize| -> f64 { off.iter().zip(&off[lag..]).map(|(x, later)| x * later).sum() };
        let alone = at_lag(0);
        let together = (1..k)
            .take_while(|&lag| (lag as f64) < width)
            .fold(alone, |sum, lag| sum + 2.0 * (1.0 - lag as f64 / width) * at_lag(lag));
        let by_minutes = alone.max(together) * minutes_f / (minutes_f - 1.0) / (n * n);
        let variance = by_minutes.max(single / n);
        Some(Self { variance, freedom: (1.5 * minutes_f / width).max(1.0) })
    }

    /// Its part in Welch's denominator.
    pub(super) fn doubt(&self) -> f64 {
        self.variance * self.variance / self.freedom
    }
}
