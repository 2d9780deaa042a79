//! What was told against what was true: how much of the faults was found, how much of what was
//! said was right, and how soon.

mod count;
mod scope;
mod table;

use std::collections::BTreeMap;

use model::diagnosis::Label;
use serde::{Deserialize, Serialize};

pub use count::score;
pub use scope::{ScopeScore, ToldIncident, ToldScope, scopes};

/// A label that was told of a cell, over a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The cell's client.
    pub client: String,
    /// The cell's target.
    pub target: String,
    /// What was told. `insufficient_data` says nothing of a fault and is passed over.
    pub label: Label,
    /// Start of the first window with this label, milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// End of the last.
    pub to_ms: i64,
}

/// What was watched: without it a false alarm a day has no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Start, milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Cells.
    pub cells: u64,
}

/// The comparison. Ratios are absent where there is nothing to divide by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Affected cells of all faults that have a label.
    pub cells: u64,
    /// Those of which the right label was told between the fault's start and two windows after
    /// its end.
    pub found: u64,
    /// `found` of `cells`.
    pub recall: Option<f64>,
    /// Mean over the faults of the share of their cells that was found.
    pub macro_recall: Option<f64>,
    /// Alarms: runs of one label on one cell, over gaps of up to two windows.
    pub runs: u64,
    /// Alarms that overlap a fault of that label on that cell, up to six windows after its end.
    pub right: u64,
    /// Alarms that overlap faults of the cell, but none that has this label.
    pub mislabelled: u64,
    /// Alarms on a cell that had no fault then.
    pub false_alarms: u64,
    /// Alarms that overlap nothing but faults for which there is no label. They count neither
    /// for nor against.
    pub unnamed: u64,
    /// `right` of those that are right, mislabelled or false.
    pub precision: Option<f64>,
    /// Harmonic mean of `precision` and `recall`.
    pub f1: Option<f64>,
    /// How soon faults were found; absent where none was.
    pub delay: Option<Delay>,
    /// False alarms a day and cell, over the time without a fault.
    pub false_alarms_per_cell_day: Option<f64>,
    /// Share of the time without a fault during which one was told.
    pub false_time: Option<f64>,
    /// Of the affected cells, by the fault's label (`-`: none), how many were told which label
    /// (`-`: nothing). A cell that was told two labels counts in both.
    pub confusion: BTreeMap<String, BTreeMap<String, u64>>,
    /// By label: of faults that have it, and of alarms that tell it.
    pub labels: BTreeMap<String, LabelScore>,
    /// Each fault, in the order given.
    pub faults: Vec<FaultScore>,
}

/// Windows from a fault's start to the end of the first that was given the right label: 1 is as
/// soon as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// Median over cells found.
    pub p50: u64,
    /// Ninth decile.
    pub p90: u64,
}

/// One label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelScore {
    /// Affected cells of the faults that have it.
    pub cells: u64,
    /// Those that were told so.
    pub found: u64,
    /// Alarms that tell it, and are right.
    pub right: u64,
    /// Those that are mislabelled or false.
    pub wrong: u64,
}

impl LabelScore {
    /// `found` of `cells`.
    pub fn recall(&self) -> Option<f64> {
        count::ratio(self.found, self.cells)
    }

    /// `right` of all its alarms.
    pub fn precision(&self) -> Option<f64> {
        count::ratio(self.right, self.right + self.wrong)
    }

    /// Adds another trace's.
    pub fn merge(&mut self, other: &Self) {
        self.cells += other.cells;
        self.found += other.found;
        self.right += other.right;
        self.wrong += other.wrong;
    }
}

/// What became of one fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultScore {
    /// The fault's name.
    pub kind: String,
    /// How much.
    pub magnitude: String,
    /// What it ought to be called.
    pub label: Option<Label>,
    /// Start, milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Cells that were told so, as (client, target).
    pub found: Vec<(String, String)>,
    /// Cells that were not.
    pub missed: Vec<(String, String)>,
    /// How soon.
    pub delay: Option<Delay>,
    /// Other labels told of its cells meanwhile, by number of cells.
    pub otherwise: BTreeMap<String, u64>,
}

impl Score {
    /// As text for a terminal: a line for each fault, then the figures.
    pub fn table(&self) -> String {
        table::render(self)
    }
}
