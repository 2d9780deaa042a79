//! How a cell usually is: its last windows without a fault.

use std::cell::OnceCell;
use std::collections::VecDeque;

use super::CellWindow;
use super::verdict::{Lacking, Shortage};
use crate::sketch::Sketch;
use crate::stage::Metric;
use crate::window::StageSums;

/// Windows remembered: an hour at one a minute, long enough for a steady median and short
/// enough to follow the time of day.
const CAPACITY: usize = 60;
/// Windows and samples it takes to know the usual.
const MIN_WINDOWS: usize = 5;
const MIN_SAMPLES: u64 = 15;

/// The medians that were compared with the usual when a window was judged, by metric: of the
/// window, or of those it was merged with. They are what a later median is comparable with.
pub(super) type Medians = [Option<u64>; 6];

/// The last good windows of a cell. Nothing of a fault enters: the judge hands in only what
/// it found good, and late (see [`super::judge`]).
pub(super) struct Baseline<'a> {
    windows: &'a [CellWindow],
    /// Indexes into `windows` with the medians that stood for them, oldest first.
    ring: VecDeque<(usize, Medians)>,
    /// The medians of the ring by metric, ascending.
    medians: [Vec<u64>; 6],
    /// Samples in the ring by metric.
    samples: [u64; 6],
    /// The ring's windows merged, by metric; only a diagnosis needs them.
    merged: [OnceCell<Sketch>; 6],
}

/// The usual level of one metric, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usual {
    /// Median of the windows' medians.
    pub(super) median: u64,
    /// 1.4826 times the median distance from it: the standard deviation, were they normal.
    pub(super) spread: u64,
}

impl<'a> Baseline<'a> {
    pub(super) fn new(windows: &'a [CellWindow]) -> Self {
        Self {
            windows,
            ring: VecDeque::with_capacity(CAPACITY + 1),
            medians: Default::default(),
            samples: [0; 6],
            merged: Default::default(),
        }
    }

    /// Takes in a good window, and lets go of the oldest where there are too many.
    pub(super) fn admit(&mut self, index: usize, medians: Medians) {
        self.ring.push_back((index, medians));
        self.merged = Default::default();
        for metric in Metric::ALL {
            let m = metric as usize;
            self.samples[m] += self.windows[index].window.sketch(metric).count();
            if let Some(value) = medians[m] {
                let at = self.medians[m].partition_point(|&v| v < value);
                self.medians[m].insert(at, value);
            }
        }
        if self.ring.len() > CAPACITY {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some((index, medians)) = self.ring.pop_front() else { return };
        for metric in Metric::ALL {
            let m = metric as usize;
            self.samples[m] -= self.windows[index].window.sketch(metric).count();
            if let Some(value) = medians[m] {
                let at = self.medians[m].partition_point(|&v| v < value);
                self.medians[m].remove(at);
            }
        }
    }

    /// What is missing before anything can be judged by it.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let lacking = |what, have, need| (have < need).then_some(Shortage { what, have, need });
        lacking(Lacking::UsualWindows, self.ring.len() as u64, MIN_WINDOWS as u64).or_else(|| {
            let have = self.samples[Metric::Total as usize];
            lacking(Lacking::UsualMeasurements, have, MIN_SAMPLES)
        })
    }

    /// The median of the windows' medians; none while too few windows had the metric.
    pub(super) fn median(&self, metric: Metric) -> Option<u64> {
        let medians = &self.medians[metric as usize];
        let known = medians.len() >= MIN_WINDOWS && self.samples[metric as usize] >= MIN_SAMPLES;
        known.then(|| middle(medians))
    }

    /// The usual level with its spread.
    pub(super) fn usual(&self, metric: Metric) -> Option<Usual> {
        let median = self.median(metric)?;
        let mut distances: Vec<_> =
            self.medians[metric as usize].iter().map(|v| v.abs_diff(median)).collect();
        distances.sort_unstable();
        Some(Usual { median, spread: middle(&distances) * 14_826 / 10_000 })
    }

    /// How many samples of the ring satisfy a count taken of each sketch, and of how many.
    pub(super) fn tally(&self, metric: Metric, count: impl Fn(&Sketch) -> u64) -> (u64, u64) {
        let hits = self.sketches(metric).map(count).sum();
        (hits, self.samples[metric as usize])
    }

    /// All samples of one metric.
    pub(super) fn merged(&self, metric: Metric) -> &Sketch {
        self.merged[metric as usize].get_or_init(|| {
            let mut merged = Sketch::new();
            self.sketches(metric).for_each(|s| merged.merge(s));
            merged
        })
    }

    /// The sums by stage over the ring.
    pub(super) fn sums(&self) -> StageSums {
        let mut sums = StageSums::default();
        self.ring.iter().for_each(|&(i, _)| sums.merge(self.windows[i].window.sums()));
        sums
    }

    /// Windows in the ring.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    fn sketches(&self, metric: Metric) -> impl Iterator<Item = &'a Sketch> {
        let windows = self.windows;
        self.ring.iter().map(move |&(i, _)| windows[i].window.sketch(metric))
    }
}

/// The lower median of ascending values, which are not empty.
fn middle(ascending: &[u64]) -> u64 {
    ascending[(ascending.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::testing::{Samples, cell};

    #[test]
    fn the_usual_is_the_median_and_its_spread_of_the_last_sixty() {
        // the first ten are pushed out by the later ones
        let windows =
            cell((0..70).map(|i| Samples::ms(if i < 10 { 900 } else { 20 + i % 3 }).times(6)));
        let mut baseline = Baseline::new(&windows);
        for i in 0..70 {
            let median = 1_000 * (if i < 10 { 900 } else { 20 + i as u64 % 3 });
            baseline.admit(i, [Some(median); 6]);
        }
        let usual = baseline.usual(Metric::Dns);
        assert_eq!(usual, Some(Usual { median: 21_000, spread: 1_482 }));
        assert_eq!((baseline.len(), baseline.merged(Metric::Dns).count()), (60, 360));
        assert_eq!(baseline.merged(Metric::Dns).max(), Some(21_887));
        assert_eq!(baseline.tally(Metric::Dns, |s| s.rank(20_000)), (120, 360));
        assert_eq!(baseline.sums().n, 360);
    }

    #[test]
    fn it_says_what_it_lacks() {
        let windows = cell((0..20).map(|_| Samples::ms(20)));
        let mut baseline = Baseline::new(&windows);
        let shortage = |what, have, need| Some(Shortage { what, have, need });
        assert_eq!(baseline.shortage(), shortage(Lacking::UsualWindows, 0, 5));
        (0..14).for_each(|i| baseline.admit(i, [Some(20_000); 6]));
        assert_eq!(baseline.shortage(), shortage(Lacking::UsualMeasurements, 14, 15));
        assert_eq!(baseline.usual(Metric::Tcp), None);
        baseline.admit(14, [Some(20_000); 6]);
        assert_eq!(baseline.shortage(), None);
        assert_eq!(baseline.usual(Metric::Tcp), Some(Usual { median: 20_000, spread: 0 }));
    }

    #[test]
    fn a_metric_that_is_not_measured_has_no_usual() {
        let windows = cell((0..9).map(|_| Samples::ms(20).times(6).without(Metric::Tls)));
        let mut baseline = Baseline::new(&windows);
        (0..9).for_each(|i| baseline.admit(i, [None; 6]));
        assert_eq!((baseline.shortage(), baseline.usual(Metric::Tls)), (None, None));
    }
}
