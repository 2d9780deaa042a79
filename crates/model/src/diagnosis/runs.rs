//! From labelled windows to spans of time: a fault that lasts is told once.

use super::label::Label;
use super::verdict::{Diagnosis, Verdict};
use crate::units::Minute;

/// Consecutive windows of one label on one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What is wrong.
    pub label: Label,
    /// The first window that shows it.
    pub since: Minute,
    /// The last window that was labelled.
    pub last: Minute,
    /// How many were labelled.
    pub windows: u32,
    /// Whether nothing later says otherwise.
    pub open: bool,
    /// What was said last.
    pub latest: Diagnosis,
    /// What was said when it was worst.
    pub peak: Diagnosis,
}

/// Joins the verdicts of one cell, ascending, to runs, in order of their beginning.
pub fn runs(verdicts: &[Verdict]) -> Vec<Run> {
    _ = verdicts;
    Vec::new()
}
