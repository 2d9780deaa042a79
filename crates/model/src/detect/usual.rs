//! What is usual of one signal of one cell: the samples of its last good minutes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::hours::Hours;
use super::observe::{Bucket, Signal, value};

/// Minutes that are kept.
const MINUTES: usize = 60;
/// Samples it takes to know the usual.
pub(super) const ENOUGH: usize = 60;
/// A line is loaded a few times a day: of that fewer have to do, of so many minutes; its faults have to
/// double it.
const ENOUGH_LOADED: usize = 20;
const ENOUGH_LOADED_MINUTES: usize = 12;
/// Minutes it takes to know how much they differ.
const ENOUGH_MINUTES: usize = 20;
/// How often that is looked at again: it changes slowly.
const RANKS_EVERY: u32 = 5;
/// Ten minutes are a block of the wander; a day of them is kept.
const BLOCK: usize = 10;
const BLOCKS: usize = 144;
const ENOUGH_BLOCKS: usize = 12;
/// How far medians of ten minutes wander where that is not known yet, and at least.
const WANDER_UNKNOWN: f64 = 0.06;
const WANDER_LEAST: f64 = 0.02;
/// No block counts for more.
const WANDER_MOST: f64 = 0.35;

/// A scale of normal deviations from the median absolute one.
pub(super) const MAD: f64 = 1.4826;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Usual {
    /// The samples of those minutes, one minute after another, each ascending.
    samples: VecDeque<Bucket>,
    /// How many each minute has, and their mean rank when they came.
    minutes: VecDeque<(u16, f32)>,
    /// The same by value.
    counts: Counts,
    /// Samples of the block that is filling.
    block: Vec<Bucket>,
    block_minutes: usize,
    /// Logarithms of the medians of past blocks over the usual of their time.
    blocks: VecDeque<f32>,
    /// Of the minutes' mean ranks: the median, and the variance that chance does not explain.
    middle: f64,
    excess: f64,
    wander: f64,
    /// Minutes since the ranks were looked at.
    stale: u32,
    /// Medians of the last hours.
    hours: Hours,
}

impl Usual {
    /// Whether it can be held against what is seen of this signal.
    pub(super) fn is_known(&self, signal: usize) -> bool {
        let loaded = signal == Signal::Loaded as usize
            && self.counts.len() >= ENOUGH_LOADED
            && self.minutes.len() >= ENOUGH_LOADED_MINUTES;
        loaded || self.counts.len() >= ENOUGH
    }

    pub(super) fn samples(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Bucket> {
        self.samples.iter().copied()
    }

    /// By nearest rank.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        value(self.counts.quantile(q))
    }

    /// How many samples are above a value.
    pub(super) fn above(&self, bucket: Bucket) -> usize {
        self.counts.above(bucket)
    }

    /// The mean of the samples' mid-ranks among the usual, in (0, 1); one half is as usual.
    pub(super) fn mean_rank(&self, samples: &[Bucket]) -> f64 {
        self.counts.mean_rank(samples)
    }

    /// How far a mean rank of n samples is from the usual one, in deviations; what minutes differ by
    /// of themselves is taken into account, up to where a shift could not be seen any more.
    pub(super) fn deviation(&self, mean_rank: f64, n: usize) -> f64 {
        const MOST: f64 = 0.03;
        let chance = 1.0 / (12.0 * n as f64);
        (mean_rank - self.middle) / libm::sqrt(chance + self.excess.min(MOST))
    }

    /// By how much it grows an hour, and since which minute, where it has grown steadily for most of a
    /// day.
    pub(super) fn drift(&self) -> Option<(f64, i64)> {
        self.hours.drift()
    }

    /// The usual wander of a ten-minute median, as the deviation of its logarithm.
    pub(super) fn wander(&self) -> f64 {
        if self.blocks.len() < ENOUGH_BLOCKS { WANDER_UNKNOWN } else { self.wander }
    }

    /// Takes a good minute.
    pub(super) fn admit(&mut self, signal: usize, at: i64, samples: &[Bucket]) {
        if samples.is_empty() {
            return;
        }
        let rank = if self.is_known(signal) { self.mean_rank(samples) } else { f64::NAN };
        self.hours.add(at, samples);
        self.note_block(signal, samples);
        if self.minutes.len() == MINUTES
            && let Some((oldest, _)) = self.minutes.pop_front()
        {
            for bucket in self.samples.drain(..usize::from(oldest)) {
                self.counts.remove(bucket);
            }
        }
        for &bucket in samples {
            self.counts.add(bucket);
        }
        self.samples.extend(samples);
        self.minutes.push_back((samples.len() as u16, rank as f32));
        self.stale += 1;
        if self.stale >= RANKS_EVERY || self.minutes.len() <= ENOUGH_MINUTES + 1 {
            self.stale = 0;
            self.note_ranks();
        }
    }

    /// Begins anew; how it wanders stays known.
    pub(super) fn forget(&mut self) {
        self.samples.clear();
        self.minutes.clear();
        self.counts.clear();
        self.block.clear();
        self.block_minutes = 0;
        (self.middle, self.excess) = (0.5, 0.0);
    }

    /// Takes a minute into the wander alone. Things wander further than good minutes show, since what
    /// wandered off was called bad; a fault is too short to count in a day of them.
    pub(super) fn wander_on(&mut self, signal: usize, samples: &[Bucket]) {
        if !samples.is_empty() {
            self.note_block(signal, samples);
        }
    }

    fn note_block(&mut self, signal: usize, samples: &[Bucket]) {
        self.block.extend(samples);
        self.block_minutes += 1;
        if self.block_minutes < BLOCK {
            return;
        }
        self.block.sort_unstable();
        if self.is_known(signal) {
            let shift = libm::log(value(at(&self.block, 0.5)) / self.quantile(0.5));
            if self.blocks.len() == BLOCKS {
                self.blocks.pop_front();
            }
            self.blocks.push_back(shift.clamp(-WANDER_MOST, WANDER_MOST) as f32);
            let mut sizes: Vec<f64> = self.blocks.iter().map(|b| f64::from(b.abs())).collect();
            sizes.sort_by(f64::total_cmp);
            let share = |q: f64| sizes[((sizes.len() - 1) as f64 * q) as usize];
            self.wander = (MAD * share(0.5)).max(share(0.9) / 1.645).max(WANDER_LEAST);
        }
        self.block.clear();
        self.block_minutes = 0;
    }

    fn note_ranks(&mut self) {
        let known = self.minutes.iter().filter(|(_, rank)| !rank.is_nan());
        let mut ranks: Vec<f64> = known.clone().map(|(_, rank)| f64::from(*rank)).collect();
        if ranks.len() < ENOUGH_MINUTES {
            (self.middle, self.excess) = (0.5, 0.0);
            return;
        }
        let chance =
            known.map(|&(n, _)| 1.0 / (12.0 * f64::from(n))).sum::<f64>() / ranks.len() as f64;
        ranks.sort_by(f64::total_cmp);
        self.middle = ranks[ranks.len() / 2];
        let mut off: Vec<f64> = ranks.iter().map(|rank| (rank - self.middle).abs()).collect();
        off.sort_by(f64::total_cmp);
        let spread = MAD * off[off.len() / 2];
        self.excess = (spread * spread - chance).max(0.0);
    }
}

/// By nearest rank; the values ascend and are not none.
pub(super) fn at(sorted: &[Bucket], q: f64) -> Bucket {
    let rank = libm::ceil(q * sorted.len() as f64) as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
