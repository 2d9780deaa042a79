//! What a signal does at the same time of every day: an evening, a nightly job.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::observe::Bucket;
use super::usual::MAD;

/// Minutes of a part of the day, and the number of parts.
const PART: i64 = 30;
const PARTS: usize = 48;
/// Days that are kept, and that a part is told from at most.
const DAYS: usize = 14;
const NEWEST: usize = 7;
/// Days of one sort that it takes, workdays or the days of a weekend; without, of either.
const ENOUGH: usize = 3;
/// Parts that a day has to have, and samples that a part has to have, to count.
const ENOUGH_PARTS: usize = 36;
const ENOUGH_SAMPLES: usize = 10;
/// What differs by no more is not told, nor by less than the error of the median of the days.
const LEAST: f64 = 2.0;
/// Minutes to either side of one that are looked at: a part shows what is in most of it, and things come some
/// minutes earlier or later than on other days.
const AROUND: i64 = PART / 2;
/// No median, in place of a difference.
const NONE: i8 = i8::MIN;

/// By how much each part of the day differs from the day, in buckets: differences of logarithms. Twelve
/// times as much is as far as it goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Season {
    /// Days since the epoch that count, and the parts of each, one day after another.
    days: VecDeque<i32>,
    parts: VecDeque<i8>,
    /// The medians of the day at hand, by part; 0 where there is none yet.
    today: Vec<Bucket>,
    /// The middle of each minute of the part that is filling.
    samples: Vec<Bucket>,
    /// The minute taken last.
    last: Option<i64>,
    /// What the day at hand is expected to do, by part; empty where that isn't known.
    shifts: Vec<i8>,
}

impl Season {
    /// By how much a part of the day usually differs from it.
    pub(super) fn shift(&self, part: u8) -> i8 {
        self.shifts.get(usize::from(part)).copied().unwrap_or(0)
    }

    /// By how much the worst of a minute and those around it usually does.
    pub(super) fn worst(&self, at: i64, less_is_worse: bool) -> i16 {
        let around = [at, at - AROUND, at + AROUND];
        let [now, others @ ..] = around.map(|at| i16::from(self.shift(part_of_day(at))));
        others.into_iter().fold(now, if less_is_worse { i16::min } else { i16::max })
    }

    /// What was known before a minute.
    pub(super) fn before(&self, at: i64) -> Self {
        let days = self.days.partition_point(|&known| known < day(at));
        let mut past = Self {
            days: self.days.range(..days).copied().collect(),
            parts: self.parts.range(..days * PARTS).copied().collect(),
            ..Self::default()
        };
        past.shifts = past.foresee(day(at));
        past
    }

    /// Takes a minute, good or bad: what happens every day is no fault, and a fault does not happen every
    /// day. Says whether other days are expected from now on.
    pub(super) fn add(&mut self, at: i64, samples: &[Bucket]) -> bool {
        let Some(&middle) = samples.get(samples.len() / 2) else { return false };
        let Some(last) = self.last.replace(at) else {
            self.samples.push(middle);
            return false;
        };
        if at <= last {
            self.last = Some(last);
            return false;
        }
        if at.div_euclid(PART) != last.div_euclid(PART) {
            self.end_part(last);
        }
        self.samples.push(middle);
        if day(at) == day(last) {
            return false;
        }
        self.end_day(day(last));
        let shifts = self.foresee(day(at));
        std::mem::replace(&mut self.shifts, shifts) != self.shifts
    }

    fn end_part(&mut self, last: i64) {
        if self.samples.len() >= ENOUGH_SAMPLES {
            let middle = self.samples.len() / 2;
            let (_, &mut median, _) = self.samples.select_nth_unstable(middle);
            self.today.resize(PARTS, 0);
            self.today[usize::from(part_of_day(last))] = median;
        }
        self.samples = Vec::new();
    }

    fn end_day(&mut self, day: i32) {
        let today = std::mem::take(&mut self.today);
        let mut known: Vec<f64> =
            today.iter().filter(|&&part| part > 0).map(|&b| b.into()).collect();
        if known.len() < ENOUGH_PARTS {
            return;
        }
        let middle = median(&mut known);
        if self.days.len() == DAYS {
            self.days.pop_front();
            self.parts.drain(..PARTS);
        }
        self.days.push_back(day);
        self.parts.extend(today.iter().map(|&part| match part {
            0 => NONE,
            part => whole(f64::from(part) - middle),
        }));
    }

    /// What is expected of a day: what those before it have in common.
    fn foresee(&self, today: i32) -> Vec<i8> {
        let recent = || {
            let days = self.days.iter().enumerate().rev();
            days.filter(|(_, day)| (1..=DAYS as i32).contains(&(today - **day)))
        };
        let alike = recent().filter(|(_, day)| is_weekend(**day) == is_weekend(today));
        let mut days: Vec<usize> = alike.take(NEWEST).map(|(nth, _)| nth).collect();
        if days.len() < ENOUGH {
            days = recent().take(NEWEST).map(|(nth, _)| nth).collect();
        }
        if days.len() < ENOUGH {
            return Vec::new();
        }
        (0..PARTS)
            .map(|part| {
                let of = days.iter().map(|nth| self.parts[nth * PARTS + part]);
                expected(of.filter(|&shift| shift != NONE).map(f64::from).collect())
            })
            .collect()
    }
}

/// What some days' differences of a part have in common.
fn expected(mut days: Vec<f64>) -> i8 {
    if days.len() < ENOUGH {
        return 0;
    }
    let middle = median(&mut days);
    let mut off: Vec<f64> = days.iter().map(|one| (one - middle).abs()).collect();
    // The standard error of a median is 1.25 times that of a mean.
    let error = 1.25 * MAD * median(&mut off) / libm::sqrt(days.len() as f64);
    whole((middle.abs() - LEAST.max(error)).max(0.0).copysign(middle))
}

/// There are some.
fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn whole(buckets: f64) -> i8 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    let whole = libm::round(buckets).clamp(-127.0, 127.0) as i8;
    whole
}

fn day(at: i64) -> i32 {
    i32::try_from(at.div_euclid(24 * 60)).unwrap_or(i32::MAX)
}

/// Which part of its day a minute is in.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 48")]
pub(super) fn part_of_day(at: i64) -> u8 {
    at.rem_euclid(24 * 60).div_euclid(PART) as u8
}

/// In UTC; the first day of the epoch was a Thursday.
fn is_weekend(day: i32) -> bool {
    matches!((day + 3).rem_euclid(7), 5 | 6)
}

#[cfg(test)]
mod tests {
    use super::super::observe::bucket;
    use super::*;

    const DAY: i64 = 24 * 60;
    /// A Monday.
    const MONDAY: i64 = 20_458 * DAY;

    /// Days of 30 ms times a factor by day and minute, from a Monday on; the last minute is the first of
    /// the day after.
    fn of(days: i64, factor: impl Fn(i64, i64) -> f64) -> Season {
        let mut season = Season::default();
        for minute in 0..=days * DAY {
            let wobble = 1.0 + 0.05 * ((minute * 7919 % 13) as f64 / 6.0 - 1.0);
            let us = 30e3 * wobble * factor(minute / DAY, minute % DAY);
            season.add(MONDAY + minute, &[bucket(us as u64)]);
        }
        season
    }

    /// Three times as long from 02:00 to 03:00.
    fn nightly(minute: i64) -> f64 {
        if (120..180).contains(&minute) { 3.0 } else { 1.0 }
    }

    #[test]
    fn what_three_days_have_in_common_is_expected_of_the_fourth() {
        assert!(of(2, |_, minute| nightly(minute)).shifts.is_empty());
        let season = of(3, |_, minute| nightly(minute));
        let at = |minute: i64| i16::from(season.shift(part_of_day(minute)));
        let ratio = libm::exp(f64::from(at(150)) / super::super::observe::FINE);
        assert!((2.6..=3.1).contains(&ratio), "{ratio}");
        assert_eq!([at(100), at(190), at(700)], [0; 3]);
        // It may come some minutes early or late.
        let worst = |minute: i64| season.worst(MONDAY + 3 * DAY + minute, false);
        assert_eq!([worst(106), worst(194)], [at(121), at(179)]);
        assert_eq!([worst(104), worst(195)], [0; 2]);
    }

    #[test]
    fn a_fault_of_one_day_and_what_wobbles_are_not() {
        let season = of(5, |day, minute| if day == 3 { nightly(minute) } else { 1.0 });
        assert!(season.shifts.iter().all(|&shift| shift == 0), "{:?}", season.shifts);
        // Each part by up to 10 % more or less, by other amounts each day.
        let season =
            of(7, |day, minute| 0.9 + 0.2 * ((day * 31 + minute / 30 * 17) % 10) as f64 / 10.0);
        assert!(season.shifts.iter().all(|&shift| shift.abs() <= 3), "{:?}", season.shifts);
    }

    #[test]
    fn weekends_are_told_from_workdays_once_three_of_their_days_are_known() {
        let weekdays = |day: i64, minute: i64| if day % 7 < 5 { nightly(minute) } else { 1.0 };
        let at = |days: i64| of(days, weekdays).shift(part_of_day(150));
        // The first Saturday and the second: two days of a weekend are few.
        assert!(at(5) > 0 && at(12) > 0);
        // Its Sunday is the first day that is told from three of them.
        assert_eq!(at(13), 0);
        assert!(at(14) > 0, "Monday");
    }

    #[test]
    fn what_is_known_before_a_day_is_what_was_known_then() {
        let now = of(9, |_, minute| nightly(minute));
        let then = of(4, |_, minute| nightly(minute));
        let before = now.before(MONDAY + 4 * DAY + 700);
        assert_eq!((&before.days, &before.parts), (&then.days, &then.parts));
        assert_eq!(before.shifts, then.shifts);
        assert!(now.before(MONDAY + 2 * DAY).shifts.is_empty());
    }

    #[test]
    fn a_day_of_which_little_was_seen_does_not_count() {
        let mut season = Season::default();
        for day in 0..5 {
            for minute in 0..DAY / 2 {
                season.add(MONDAY + day * DAY + minute, &[bucket(30_000)]);
            }
        }
        assert!(season.days.is_empty() && season.shifts.is_empty());
        // What was known of days long ago is not believed.
        let mut season = of(4, |_, minute| nightly(minute));
        season.add(MONDAY + 30 * DAY, &[bucket(30_000)]);
        assert!(season.shifts.is_empty());
    }
}
