//! Which stage is slow or broken, since when, and by how much: the classic four labels and
//! outages, judged against each cell's own past.
//!
//! A cell is one client and target. [`diagnose`] is a pure function of the cell's windows and
//! the time: a late event changes its window, and judging again gives what would have been
//! said had it come in time.

mod baseline;
pub mod classic;
mod evidence;
mod judge;
mod label;
mod level;
mod pool;
mod rules;
mod runs;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

pub use label::{Label, UnknownLabel};
pub use runs::{Run, runs};
pub use verdict::{Diagnosis, Excess, Lacking, Outcome, Shortage, Stats, Threshold, Verdict};

use std::borrow::Cow;

use judge::Judge;

use crate::units::Minute;
use crate::window::Window;

/// Which rules these are; a stored diagnosis says which ones made it.
pub const RULE_VERSION: u32 = 1;

/// How long after its end a window is provisional, milliseconds.
pub const WATERMARK_MS: i64 = 120_000;

/// One window of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellWindow {
    /// When it starts.
    pub start: Minute,
    /// What was counted in it.
    pub window: Window,
}

/// Judges every window of one cell, given ascending by start, in order. `now_ms` only decides
/// which verdicts are provisional.
///
/// What is said of a window rests on those before it, up to an hour of good ones: the first
/// few are never judged for want of a past, and a fault that was open before the first window
/// looks usual. So hand in some hours more than are to be told.
///
/// A window of which every event was set aside says nothing of the target: it is judged by nobody,
/// and those around it are judged as if it were not there.
pub fn diagnose(windows: &[CellWindow], now_ms: i64) -> Vec<Verdict> {
    let speaks = |w: &CellWindow| w.window.counts().total > 0 || w.window.counts().troubled == 0;
    let speaking = match windows.iter().all(speaks) {
        true => Cow::Borrowed(windows),
        false => Cow::Owned(windows.iter().filter(|w| speaks(w)).cloned().collect()),
    };
    let mut judge = Judge::new(&speaking);
    let verdict = |w: &CellWindow| Verdict {
        start: w.start,
        provisional: now_ms < w.start.end_ms() + WATERMARK_MS,
        outcome: match speaks(w) {
            true => judge.next(),
            false => Outcome::InsufficientData(Shortage::nothing_measured()),
        },
    };
    windows.iter().map(verdict).collect()
}
