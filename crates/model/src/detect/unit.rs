//! A unit: what some cells have in common, and the evidence of all of them together.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, QUARANTINE};
use super::cells::Cells;
use super::evidence::{Evidence, KINDS, Kinds, fails, level, only, tail};
use super::observe::SIGNALS;
use super::scope::Scope;

/// A cell's minute counts for no more, either way.
const CELL_MOST: f64 = 8.0;
const CELL_LEAST: f64 = -4.0;
/// Nor does a unit's, so that one wild minute never opens anything but an outage.
const UNIT_MOST: f64 = 8.0;
const UNIT_LEAST: f64 = -8.0;
const FAILS_MOST: f64 = 14.0;

/// Where a change counts as found.
const LEVEL_OPEN: f64 = 12.0;
const TAIL_OPEN: f64 = 11.0;
const TAIL_HITS: u32 = 4;
const FAILS_OPEN: f64 = 6.0;
const FAILS_HITS: u32 = 2;
/// How far beyond that evidence adds up.
const BEYOND: f64 = 6.0;

/// Minutes from which is known how much a unit's cells vary together.
const MEMORY: usize = 120;
const ENOUGH: usize = 30;

/// Evidence of one kind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Track {
    /// The sum, since it last was 0.
    sum: f64,
    /// What the last minute added.
    step: f64,
    /// The first minute of that.
    since: Option<i64>,
    pub(super) on: bool,
    /// Of past minutes without a fault: the mean deviation times the root of the number of cells; or
    /// hits.
    past: VecDeque<f32>,
    /// Minutes that are not among them yet.
    pending: VecDeque<(i64, f32)>,
    stale: u32,
    mean: f64,
    square: f64,
    /// Of the last minutes: (when, mean deviation or hits, samples).
    last: VecDeque<(i64, f32, u32)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) scope: Scope,
    pub(super) cells: Cells,
    pub(super) tracks: Vec<Track>,
    /// An incident is open on it.
    pub(super) busy: bool,
    /// The last minute in which one of its cells was told to be bad.
    pub(super) last_bad: i64,
}

impl Unit {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            cells: Cells::default(),
            tracks: vec![Track::default(); KINDS],
            busy: false,
            last_bad: i64::MIN,
        }
    }

    /// Adds a minute's evidence up.
    pub(super) fn advance(&mut self, cells: &[Cell], now: i64) {
        let mut tallies = [Tally::default(); KINDS];
        let mut is_silent = true;
        for minute in self.cells.iter().filter_map(|&cell| cells[cell].now(now)) {
            is_silent = false;
            for (kind, tally) in tallies.iter_mut().enumerate() {
                tally.add(&minute.evidence, kind);
            }
        }
        if is_silent {
            // Silence shows nothing, neither way.
            for track in &mut self.tracks {
                track.step = 0.0;
            }
            return;
        }
        let several = self.cells.len() > 1;
        for ((kind, track), tally) in self.tracks.iter_mut().enumerate().zip(&tallies) {
            let Tally { sum, n, v, hits, samples } = *tally;
            if n == 0 {
                continue;
            }
            let is_level = kind < SIGNALS;
            let mean = if is_level { v / f64::from(n) } else { f64::from(hits) };
            track.note(now, mean, samples);
            // What cells have in common is not learned from one.
            if several {
                let figure = if is_level { mean * f64::from(n).sqrt() } else { mean };
                track.learn(now, self.last_bad, figure);
            }
            track.add(now, sum, n, kind);
        }
    }

    /// What has been found.
    pub(super) fn found(&self) -> Kinds {
        let on = self.tracks.iter().enumerate().filter(|(_, track)| track.on);
        on.fold(0, |kinds, (kind, _)| kinds | only(kind))
    }
}

/// What a minute of some cells comes to, of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sum: f64,
    n: u32,
    v: f64,
    hits: u32,
    samples: u32,
}

impl Tally {
    fn add(&mut self, evidence: &Evidence, kind: usize) {
        let Some(llr) = evidence.llr[kind] else { return };
        self.sum += f64::from(llr).clamp(CELL_LEAST, CELL_MOST);
        self.n += 1;
        if kind < SIGNALS {
            self.v += f64::from(evidence.v[kind].unwrap_or_default());
            self.samples += u32::from(evidence.hits[kind]);
        } else {
            self.hits += u32::from(evidence.hits[kind]);
        }
    }
}

impl Track {
    fn note(&mut self, now: i64, mean: f64, samples: u32) {
        if self.last.len() == 15 {
            self.last.pop_front();
        }
        self.last.push_back((now, mean as f32, samples));
    }

    /// Keeps the minute in mind, and takes those that have been good for long enough.
    fn learn(&mut self, now: i64, last_bad: i64, figure: f64) {
        self.pending.push_back((now, figure as f32));
        while let Some(&(at, figure)) = self.pending.front() {
            if at + QUARANTINE > now {
                break;
            }
            self.pending.pop_front();
            if last_bad < at {
                self.remember(figure);
            }
        }
    }

    fn remember(&mut self, figure: f32) {
        if self.past.len() == MEMORY {
            self.past.pop_front();
        }
        self.past.push_back(figure);
        self.stale += 1;
        if self.past.len() < ENOUGH || self.stale < 10 {
            return;
        }
        self.stale = 0;
        let n = self.past.len() as f64;
        let mean = self.past.iter().map(|&f| f64::from(f)).sum::<f64>() / n;
        self.square = self.past.iter().map(|&f| (f64::from(f) - mean).powi(2)).sum::<f64>() / n;
        self.mean = mean;
    }

    /// What evidence of several cells is divided by: cells that vary together say less.
    fn spread(&self, kind: usize, cells: u32) -> f64 {
        if cells < 2 || self.past.len() < ENOUGH {
            return 1.0;
        }
        // Of counts that are independent the variance is the mean.
        let spread = if kind < tail(0) { self.square } else { self.square / self.mean.max(0.2) };
        spread.clamp(1.0, 30.0)
    }

    fn add(&mut self, now: i64, sum: f64, cells: u32, kind: usize) {
        let spread = self.spread(kind, cells);
        let most = if kind >= fails(0) { FAILS_MOST } else { UNIT_MOST };
        let step = (sum / spread).clamp(UNIT_LEAST, most);
        self.step = step;
        let open = open_at(kind);
        self.sum = (self.sum + step).clamp(0.0, open + BEYOND);
        if self.sum > 0.0 {
            self.since.get_or_insert(now);
        } else {
            self.since = None;
            self.on = false;
        }
        if self.on && self.is_over(kind) {
            self.reset();
        }
    }

    /// Whether there is enough evidence to call it found.
    pub(super) fn is_ripe(&self, kind: usize) -> bool {
        if self.sum < open_at(kind) {
            return false;
        }
        if kind < tail(0) {
            return self.run() >= 2;
        }
        let since = self.since.unwrap_or(i64::MAX);
        let hits: f32 =
            self.last.iter().filter(|(at, ..)| *at >= since).map(|(_, hits, _)| hits).sum();
        hits as u32 >= if kind < fails(0) { TAIL_HITS } else { FAILS_HITS }
    }

    /// Minutes of the evidence that had hits.
    pub(super) fn minutes_hit(&self) -> usize {
        let since = self.since.unwrap_or(i64::MAX);
        self.last.iter().filter(|(at, hits, _)| *at >= since && *hits > 0.0).count()
    }

    /// Minutes of the evidence whose level was well off, beyond what adds up by chance.
    pub(super) fn minutes_off(&self) -> usize {
        let since = self.since.unwrap_or(i64::MAX);
        self.last.iter().filter(|(at, v, _)| *at >= since && *v >= 1.0).count()
    }

    /// Minutes since the evidence began.
    pub(super) fn run(&self) -> usize {
        let since = self.since.unwrap_or(i64::MAX);
        self.last.iter().filter(|(at, ..)| *at >= since).count()
    }

    /// Whether what was found has gone.
    fn is_over(&self, kind: usize) -> bool {
        let newest = self.last.iter().rev();
        if kind < tail(0) {
            let minutes = self.minutes_of(8) as usize;
            let mean = newest.take(minutes).map(|(_, v, _)| v).sum::<f32>() / minutes as f32;
            return mean < 0.6;
        }
        let minutes = if kind < fails(0) { 3 } else { 2 };
        newest.take(minutes).all(|(_, hits, _)| *hits == 0.0)
    }

    /// The last minutes that hold so many samples, 2 to 4.
    pub(super) fn minutes_of(&self, samples: u32) -> i64 {
        let per_minute = self.last.back().map_or(1, |(.., n)| (*n).max(1));
        i64::from(samples.div_ceil(per_minute).clamp(2, 4))
    }

    pub(super) fn reset(&mut self) {
        (self.sum, self.since, self.on) = (0.0, None, false);
    }

    /// Whether the last minute speaks for it.
    pub(super) fn rises(&self) -> bool {
        self.step > 0.0
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Says that what it is evidence of began later than the evidence did.
    pub(super) fn begin(&mut self, at: i64) {
        self.since = Some(at);
    }

    /// The first minute of the evidence.
    pub(super) fn since(&self) -> Option<i64> {
        self.since
    }
}

pub(super) fn open_at(kind: usize) -> f64 {
    match kind {
        kind if kind < tail(0) => LEVEL_OPEN,
        kind if kind < fails(0) => TAIL_OPEN,
        _ => FAILS_OPEN,
    }
}

const _: () = assert!(level(0) == 0);
