//! The medians of the last hours, and whether they grow.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::observe::{Bucket, FINE};

/// Hours that are looked at: nearly a day, so that what rises in the evening alone has not risen in the
/// morning, and what rose in the morning has fallen by the evening.
const HOURS: usize = 20;
/// They are compared in so many parts, of which each has to be above the one before.
const PARTS: usize = 4;
/// The least growth from part to part; medians of five hours wander by a third of it.
const LEAST: f64 = 0.022;
/// Growth an hour that is worth a note.
const LEAST_PER_HOUR: f64 = 0.006;
/// No part may grow this many times as much as another: a drift is steady, an evening is not.
const STEADY: f64 = 3.0;
/// Of all pairs of hours, by how much more the later one has to be above the earlier than below it
/// (Kendall's tau): a rise of one evening is not in enough of them.
const AGREE: f64 = 0.62;
/// Samples of an hour that are kept until its end, at most.
const MOST: usize = 360;
/// Hours between two of those that count, at most.
const GAP: i64 = 4;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Hours {
    /// Hours since the epoch, and their medians.
    past: VecDeque<(i32, Bucket)>,
    filling: i32,
    samples: Vec<Bucket>,
}

impl Hours {
    /// Takes a good minute's samples.
    pub(super) fn add(&mut self, at: i64, samples: &[Bucket]) {
        let hour = i32::try_from(at.div_euclid(60)).unwrap_or(i32::MAX);
        if hour != self.filling {
            self.end_hour();
            self.filling = hour;
        }
        // The middle of a minute stands for it: one sample a minute keeps an hour small.
        if let Some(&middle) = samples.get(samples.len() / 2)
            && self.samples.len() < MOST
        {
            self.samples.push(middle);
        }
    }

    fn end_hour(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        let middle = self.samples.len() / 2;
        let (_, median, _) = self.samples.select_nth_unstable(middle);
        if self.past.back().is_some_and(|(hour, _)| i64::from(self.filling - hour) > GAP) {
            self.past.clear();
        }
        if self.past.len() == HOURS {
            self.past.pop_front();
        }
        self.past.push_back((self.filling, *median));
        self.samples = Vec::new();
    }

    /// The growth an hour, and the minute it began at the latest, where there is one.
    pub(super) fn drift(&self) -> Option<(f64, i64)> {
        if self.past.len() < HOURS {
            return None;
        }
        let log = |&(_, median): &(i32, Bucket)| f64::from(median) / FINE;
        let each = HOURS / PARTS;
        let logs: Vec<f64> = self.past.iter().map(log).collect();
        let parts: Vec<f64> =
            logs.chunks(each).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
        let steps: Vec<f64> = parts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let least = steps.iter().copied().fold(f64::INFINITY, f64::min);
        let most = steps.iter().copied().fold(0.0, f64::max);
        if least < LEAST || most > STEADY * least {
            return None;
        }
        let by = slope(&self.past, &logs)?;
        let (first, _) = self.past.front()?;
        (by >= LEAST_PER_HOUR).then(|| (by, i64::from(*first) * 60))
    }
}

/// The median of the slopes of all pairs (Theil 1950, Sen 1968), an hour; none where they disagree.
fn slope(past: &VecDeque<(i32, Bucket)>, logs: &[f64]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(HOURS * HOURS / 2);
    for i in 0..logs.len() {
        for j in i + 1..logs.len() {
            slopes.push((logs[j] - logs[i]) / f64::from(past[j].0 - past[i].0).max(1.0));
        }
    }
    let signs: f64 = slopes.iter().filter(|s| **s != 0.0).map(|s| s.signum()).sum();
    if signs < AGREE * slopes.len() as f64 {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::observe::bucket;
    use super::*;

    /// Medians of 30 ms times a factor by the hour.
    fn of(hours: usize, factor: impl Fn(f64) -> f64) -> Hours {
        let mut kept = Hours::default();
        for minute in 0..60 * hours {
            let at = factor(minute as f64 / 60.0);
            let wobble = 1.0 + 0.02 * ((minute * 7919 % 13) as f64 / 6.0 - 1.0);
            kept.add(1_000_020 + minute as i64, &[bucket((30e3 * at * wobble) as u64)]);
        }
        kept
    }

    #[test]
    fn one_percent_an_hour_is_noted_within_its_first_day() {
        let found = of(23, |hour| libm::pow(1.01, hour)).drift();
        let (by, since) = found.unwrap();
        assert!((by - 0.01).abs() < 0.002, "{by}");
        assert!((1_000_020..1_000_200).contains(&since), "{since}");
    }

    #[test]
    fn neither_an_evening_nor_a_step_is_a_drift() {
        for start in 0..24 {
            let evening = |hour: f64| {
                let off = (hour + f64::from(start) + 3.0) % 24.0 - 12.0;
                1.0 + 0.9 * libm::exp(-(off / 3.5) * (off / 3.5))
            };
            for hours in 20..48 {
                assert_eq!(of(hours, evening).drift(), None, "{start} {hours}");
            }
        }
        for hours in 20..40 {
            assert_eq!(of(hours, |hour| if hour < 15.0 { 1.0 } else { 1.5 }).drift(), None);
        }
    }
}
