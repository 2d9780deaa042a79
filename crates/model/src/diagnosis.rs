//! Which stage is slow or broken, since when, and by how much: the classic four labels and
//! outages, judged against each cell's own past.
//!
//! A cell is one client and target. [`diagnose`] is a pure function of the cell's windows and
//! the time: a late event changes its window, and judging again gives what would have been
//! said had it come in time.

mod label;
mod runs;
mod verdict;

pub use label::{Label, UnknownLabel};
pub use runs::{Run, runs};
pub use verdict::{Diagnosis, Excess, Lacking, Outcome, Shortage, Stats, Verdict};

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
pub fn diagnose(windows: &[CellWindow], now_ms: i64) -> Vec<Verdict> {
    windows
        .iter()
        .map(|w| Verdict {
            start: w.start,
            provisional: now_ms < w.start.end_ms() + WATERMARK_MS,
            outcome: Outcome::Normal,
        })
        .collect()
}
