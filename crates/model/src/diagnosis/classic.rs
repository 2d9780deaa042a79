//! Rules to compare ours with: the classic four over ten windows, and a band of medians and
//! deviations over a day. Nothing else of the diagnosis stands on them.
//!
//! A rule set takes one cell's windows in order and says of each what it would have been called
//! at its end, from it and from those before it.

mod band;
mod figures;
mod four;
mod hold;
#[cfg(test)]
mod tests;

pub use band::Band;
pub use four::{Classic, Reading};
pub use hold::Hold;

use super::CellWindow;
use super::label::Label;

/// What the classic rules call each of a cell's windows, given ascending by start.
pub fn classic(reading: Reading, windows: &[CellWindow]) -> Vec<Option<Label>> {
    let mut rules = Classic::new(reading);
    windows.iter().map(|w| rules.next(&w.window)).collect()
}

/// The same where a label must hold for so many windows without a gap.
pub fn classic_held(reading: Reading, windows: &[CellWindow], needed: u32) -> Vec<Option<Label>> {
    let (mut rules, mut hold) = (Classic::new(reading), Hold::new(needed));
    windows.iter().map(|w| hold.next(w.start, rules.next(&w.window))).collect()
}

/// What the band calls each of a cell's windows, given ascending by start.
pub fn band(windows: &[CellWindow]) -> Vec<Option<Label>> {
    let mut rules = Band::default();
    windows.iter().map(|w| rules.next(w.start, &w.window)).collect()
}
