//! How one cohort's samples rank among another's, from their sketches.
//!
//! Samples of one bucket count as equal, whichever form a sketch is in, so that both directions agree.
//! Ranks are counted in whole numbers and come out the same in any order.

use super::spread::Spread;
use crate::sketch::Sketch;

/// The samples of one cohort among those of the other.
pub(super) struct Ranked {
    /// The mean share of the other's samples that lie below one of these, equal ones counting half.
    pub(super) mean: f64,
    /// Of that mean, by minutes.
    pub(super) spread: Spread,
    /// The variance of that mean if each sample stood alone.
    pub(super) independent: f64,
}

/// Both cohorts together.
pub(super) struct Pooled;

/// Samples to be ranked among.
struct Reference {
    /// By bucket, with those in buckets below.
    buckets: Vec<(u16, u64, u64)>,
    n: u64,
}

impl Ranked {
    /// Ranks a cohort, given by minutes and as a whole, among another. The variance of a single rank
    /// is at least `least`: where two cohorts hardly overlap, ranks hardly vary, and the few that do
    /// say little. `None` where either is empty.
    pub(super) fn of<'a>(
        minutes: impl Iterator<Item = &'a Sketch>,
        own: &Sketch,
        other: &Sketch,
        least: f64,
    ) -> Option<Self> {
        let among = Reference::of(other);
        if among.n == 0 || own.is_empty() {
            return None;
        }
        let scale = 2.0 * among.n as f64;
        let minutes: Vec<(u64, f64)> = minutes
            .filter(|sketch| !sketch.is_empty())
            .map(|sketch| (sketch.count(), among.twice_below(sketch) as f64 / scale))
            .collect();
        let n = own.count() as f64;
        let mean = among.twice_below(own) as f64 / scale / n;
        let single = among.squares(own, mean).max(least);
        let spread = Spread::of(&minutes, mean, single)?;
        Some(Self { mean, spread, independent: single / n })
    }
}

impl Pooled {
    /// The variance of a single rank where the two do not differ: 1/12, less for those that are equal.
    pub(super) fn variance(a: &Sketch, b: &Sketch) -> f64 {
        let mut all = a.clone();
        all.merge(b);
        let cube = |n: u64| (n as f64).powi(3) - n as f64;
        let ties: f64 = all.by_bucket().into_iter().map(|(_, n)| cube(n)).sum();
        let whole = cube(all.count());
        if whole > 0.0 { (1.0 - ties / whole).max(0.0) / 12.0 } else { 0.0 }
    }
}

impl Reference {
    fn of(sketch: &Sketch) -> Self {
        let mut n = 0_u64;
        let buckets = sketch
            .by_bucket()
            .into_iter()
            .map(|(bucket, count)| {
                let below = n;
                n = n.saturating_add(count);
                (bucket, below, count)
            })
            .collect();
        Self { buckets, n }
    }

    /// Twice the rank of a bucket: those below it count two, those in it one.
    fn twice_rank(&self, bucket: u16) -> u64 {
        let at = self.buckets.partition_point(|&(b, ..)| b < bucket);
        match self.buckets.get(at) {
            Some(&(b, below, count)) if b == bucket => {
                below.saturating_mul(2).saturating_add(count)
            }
            Some(&(_, below, _)) => below.saturating_mul(2),
            None => self.n.saturating_mul(2),
        }
    }

    /// The sum of that over a sketch's samples.
    fn twice_below(&self, sketch: &Sketch) -> u128 {
        let ranks = sketch.by_bucket().into_iter();
        ranks.map(|(bucket, n)| u128::from(self.twice_rank(bucket)) * u128::from(n)).sum()
    }

    /// The variance of a sketch's ranks around their mean.
    fn squares(&self, sketch: &Sketch, mean: f64) -> f64 {
        let n = sketch.count() as f64;
        let scale = 2.0 * self.n as f64;
        let squares = sketch.by_bucket().into_iter().map(|(bucket, n)| {
            let off = self.twice_rank(bucket) as f64 / scale - mean;
            n as f64 * off * off
        });
        if n > 1.0 { squares.sum::<f64>() / (n - 1.0) } else { 0.0 }
    }
}
