//! What is usual of one signal of one cell: the samples of its last good minutes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::hours::Hours;
use super::observe::{Bucket, FINE, Signal, value};
use super::season::{Season, part_of_day};

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
    /// The samples of those minutes, one minute after another, each ascending, less what is expected of
    /// their time of day.
    samples: VecDeque<Bucket>,
    minutes: VecDeque<Minute>,
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
    season: Season,
}

/// A good minute.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Minute {
    /// The part of its day that it is in, and what was taken off its samples for that.
    part: u8,
    off: i8,
    /// How many they are.
    n: u16,
    /// Their mean rank when they came.
    rank: f32,
}

/// The usual as it is expected to be at a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    usual: &'a Usual,
    /// What its time of day adds, in buckets.
    more: i16,
}

impl Expected<'_> {
    /// By nearest rank.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        value(self.usual.counts.quantile(q).saturating_add_signed(self.more))
    }

    /// How many samples are above a value.
    pub(super) fn above(&self, bucket: Bucket) -> usize {
        self.usual.counts.above(bucket.saturating_add_signed(-self.more))
    }

    /// The mean of the samples' mid-ranks among the usual, in (0, 1); one half is as usual.
    pub(super) fn mean_rank(&self, samples: &[Bucket]) -> f64 {
        if self.more == 0 {
            return self.usual.counts.mean_rank(samples);
        }
        let less: Vec<Bucket> =
            samples.iter().map(|bucket| bucket.saturating_add_signed(-self.more)).collect();
        self.usual.counts.mean_rank(&less)
    }

    /// All samples.
    pub(super) fn all(&self) -> impl Iterator<Item = Bucket> {
        self.usual.samples.iter().map(|bucket| bucket.saturating_add_signed(self.more))
    }

    /// How many there are.
    pub(super) fn samples(&self) -> usize {
        self.usual.counts.len()
    }

    /// By what its time of day differs from the rest of the day, as a factor.
    pub(super) fn factor(&self) -> f64 {
        libm::exp(f64::from(self.more) / FINE)
    }
}

impl Usual {
    /// Whether it can be held against what is seen of this signal.
    pub(super) fn is_known(&self, signal: usize) -> bool {
        let loaded = signal == Signal::Loaded as usize
            && self.counts.len() >= ENOUGH_LOADED
            && self.minutes.len() >= ENOUGH_LOADED_MINUTES;
        loaded || self.counts.len() >= ENOUGH
    }

    /// Of what was learned before a minute the times of day alone.
    pub(super) fn before(&self, at: i64) -> Self {
        Self { season: self.season.before(at), ..Self::default() }
    }

    /// But for the time of day.
    pub(super) fn all_day(&self) -> Expected<'_> {
        Expected { usual: self, more: 0 }
    }

    /// As it is expected to be at a minute.
    pub(super) fn at(&self, signal: usize, at: i64) -> Expected<'_> {
        let less_is_worse = signal == Signal::Throughput as usize;
        Expected { usual: self, more: self.season.worst(at, less_is_worse) }
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
        let known = self.is_known(signal);
        let rank = if known { self.at(signal, at).mean_rank(samples) } else { f64::NAN };
        self.hours.add(at, samples);
        self.note_time(signal, at, samples);
        if self.minutes.len() == MINUTES
            && let Some(oldest) = self.minutes.pop_front()
        {
            for bucket in self.samples.drain(..usize::from(oldest.n)) {
                self.counts.remove(bucket);
            }
        }
        let part = part_of_day(at);
        let off = self.shown(part, samples);
        for bucket in samples {
            let bucket = bucket.saturating_add_signed(-i16::from(off));
            self.counts.add(bucket);
            self.samples.push_back(bucket);
        }
        self.minutes.push_back(Minute { part, off, n: samples.len() as u16, rank: rank as f32 });
        self.stale += 1;
        if self.stale >= RANKS_EVERY || self.minutes.len() <= ENOUGH_MINUTES + 1 {
            self.stale = 0;
            self.note_ranks();
        }
    }

    /// Begins anew; how it wanders, and how it goes with the time of day, stays known.
    pub(super) fn forget(&mut self) {
        self.samples.clear();
        self.minutes.clear();
        self.counts.clear();
        self.block.clear();
        self.block_minutes = 0;
        (self.middle, self.excess) = (0.5, 0.0);
    }

    /// Takes a minute into the wander and the time of day alone. Things wander further than good minutes
    /// show, since what wandered off was called bad; a fault is too short to count in a day of them.
    pub(super) fn wander_on(&mut self, signal: usize, at: i64, samples: &[Bucket]) {
        if !samples.is_empty() {
            self.note_time(signal, at, samples);
        }
    }

    /// What is expected of a part of the day, where a minute of it shows it: a night without its job is no
    /// faster than other nights.
    fn shown(&self, part: u8, samples: &[Bucket]) -> i8 {
        let expected = self.season.shift(part);
        if expected == 0 || self.samples.is_empty() {
            return expected;
        }
        let more = i32::from(samples[samples.len() / 2]) - i32::from(self.counts.quantile(0.5));
        let is_nearer = (more - i32::from(expected)).abs() <= more.abs();
        if is_nearer { expected } else { 0 }
    }

    fn note_time(&mut self, signal: usize, at: i64, samples: &[Bucket]) {
        self.note_block(signal, at, samples);
        if self.season.add(at, samples) {
            self.expect_anew();
        }
    }

    /// Takes off the samples what is expected of their time of day by now.
    fn expect_anew(&mut self) {
        self.counts.clear();
        let mut samples = self.samples.iter_mut();
        for minute in &mut self.minutes {
            let expected = self.season.shift(minute.part);
            let more = i16::from(minute.off) - i16::from(expected);
            minute.off = expected;
            for bucket in samples.by_ref().take(usize::from(minute.n)) {
                *bucket = bucket.saturating_add_signed(more);
                self.counts.add(*bucket);
            }
        }
    }

    fn note_block(&mut self, signal: usize, now: i64, samples: &[Bucket]) {
        self.block.extend(samples);
        self.block_minutes += 1;
        if self.block_minutes < BLOCK {
            return;
        }
        self.block.sort_unstable();
        if self.is_known(signal) {
            let shift = libm::log(value(at(&self.block, 0.5)) / self.at(signal, now).quantile(0.5));
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
        let known = self.minutes.iter().filter(|minute| !minute.rank.is_nan());
        let mut ranks: Vec<f64> = known.clone().map(|minute| f64::from(minute.rank)).collect();
        if ranks.len() < ENOUGH_MINUTES {
            (self.middle, self.excess) = (0.5, 0.0);
            return;
        }
        let chance = known.map(|minute| 1.0 / (12.0 * f64::from(minute.n))).sum::<f64>()
            / ranks.len() as f64;
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

#[cfg(test)]
mod tests {
    use super::super::observe::bucket;
    use super::*;

    #[test]
    fn a_new_day_takes_what_it_expects_off_the_minutes_before_it_too() {
        const DAY: i64 = 1_440;
        let ttfb = Signal::Ttfb as usize;
        let mut usual = Usual::default();
        // Three times as long in the last half hour of each day, of 700 whole ones on.
        for minute in 700 * DAY..703 * DAY {
            let late = minute % DAY >= DAY - 30;
            let us = if late { 90_000 } else { 30_000 };
            usual.admit(ttfb, minute, &[bucket(us)]);
        }
        assert!(usual.all_day().quantile(0.9) > 85e3, "half of the last hour");
        usual.admit(ttfb, 703 * DAY, &[bucket(30_000)]);
        assert!(usual.all_day().quantile(0.9) < 33e3, "less what is expected of it");
        let late = usual.at(ttfb, 704 * DAY - 20);
        assert!((85e3..92e3).contains(&late.quantile(0.5)) && late.factor() > 2.7);
    }
}
