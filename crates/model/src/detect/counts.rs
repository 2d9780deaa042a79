//! How often each value is among some: of a few hundred samples most are in a few dozen buckets.

use serde::{Deserialize, Serialize};

use super::observe::Bucket;

/// Values and how many there are of each, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    runs: Vec<(Bucket, u16)>,
    total: u32,
}

impl Counts {
    pub(super) fn len(&self) -> usize {
        self.total as usize
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.total = 0;
    }

    /// More than `u16::MAX` of one value are not told apart from as many.
    pub(super) fn add(&mut self, bucket: Bucket) {
        match self.runs.binary_search_by_key(&bucket, |run| run.0) {
            Ok(at) if self.runs[at].1 == u16::MAX => return,
            Ok(at) => self.runs[at].1 += 1,
            Err(at) => self.runs.insert(at, (bucket, 1)),
        }
        self.total += 1;
    }

    pub(super) fn remove(&mut self, bucket: Bucket) {
        if let Ok(at) = self.runs.binary_search_by_key(&bucket, |run| run.0) {
            self.runs[at].1 -= 1;
            self.total -= 1;
            if self.runs[at].1 == 0 {
                self.runs.remove(at);
            }
        }
    }

    /// By nearest rank; there are some.
    pub(super) fn quantile(&self, q: f64) -> Bucket {
        let rank = (libm::ceil(q * f64::from(self.total)) as u32).max(1);
        let mut up_to = 0;
        let holds = |run: &&(Bucket, u16)| {
            up_to += u32::from(run.1);
            up_to >= rank
        };
        self.runs.iter().find(holds).or(self.runs.last()).map_or(0, |run| run.0)
    }

    /// How many are above a value.
    pub(super) fn above(&self, bucket: Bucket) -> usize {
        let above = self.runs.iter().rev().take_while(|run| run.0 > bucket);
        above.map(|run| usize::from(run.1)).sum()
    }

    /// The mean of the mid-ranks among these of some samples, which ascend, in (0, 1); one half is the
    /// middle.
    pub(super) fn mean_rank(&self, samples: &[Bucket]) -> f64 {
        // Twice the sum: an integer.
        let (mut sum, mut below) = (0_u64, 0_u64);
        let mut runs = self.runs.iter().peekable();
        for &bucket in samples {
            while let Some(run) = runs.next_if(|run| run.0 < bucket) {
                below += u64::from(run.1);
            }
            let equal = runs.peek().filter(|run| run.0 == bucket).map_or(0, |run| u64::from(run.1));
            sum += 2 * below + equal;
        }
        sum as f64 / (2.0 * f64::from(self.total) * samples.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_sorted_samples_are(
            mut all in prop::collection::vec(0_u16..40, 1..200),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
            mut samples in prop::collection::vec(0_u16..45, 1..20),
            q in 0.0..=1.0,
        ) {
            let mut counts = Counts::default();
            all.iter().for_each(|&bucket| counts.add(bucket));
            for index in gone {
                if all.len() > 1 {
                    counts.remove(all.remove(index.index(all.len())));
                }
            }
            all.sort_unstable();
            samples.sort_unstable();
            prop_assert_eq!(counts.len(), all.len());
            prop_assert_eq!(counts.quantile(q), super::super::usual::at(&all, q));
            for &of in &samples {
                prop_assert_eq!(counts.above(of), all.iter().filter(|&&b| b > of).count());
            }
            let rank = |of: u16| {
                let below = all.iter().filter(|&&b| b < of).count() as f64;
                let equal = all.iter().filter(|&&b| b == of).count() as f64;
                (below + equal / 2.0) / all.len() as f64
            };
            let mean = samples.iter().map(|&of| rank(of)).sum::<f64>() / samples.len() as f64;
            prop_assert!((counts.mean_rank(&samples) - mean).abs() < 1e-9);
        }
    }
}
