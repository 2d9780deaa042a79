//! From labelled windows to spans of time: a fault that lasts is told once.

use super::label::Label;
use super::pool::MAX_GAP_MIN;
use super::verdict::{Diagnosis, Outcome, Verdict};
use crate::units::Minute;

/// Consecutive windows of one label on one cell. A window with too few measurements to judge
/// by neither ends a run nor counts in it.
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
    /// Whether no later window says otherwise.
    pub open: bool,
    /// What was said last.
    pub latest: Diagnosis,
    /// What was said when it was worst.
    pub peak: Diagnosis,
}

/// Joins the verdicts of one cell, ascending, to runs, in order of their beginning.
pub fn runs(verdicts: &[Verdict]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for verdict in verdicts {
        let open = runs.last_mut().filter(|run| run.open);
        match &verdict.outcome {
            Outcome::InsufficientData(_) => {}
            Outcome::Normal => {
                if let Some(run) = open {
                    run.open = false;
                }
            }
            Outcome::Diagnosed(diagnosis) => match open {
                Some(run) if run.label == diagnosis.label && run.reaches(verdict.start) => {
                    run.extend(verdict.start, diagnosis);
                }
                before => {
                    if let Some(run) = before {
                        run.open = false;
                    }
                    runs.push(Run::new(verdict.start, diagnosis));
                }
            },
        }
    }
    runs
}

impl Run {
    fn new(start: Minute, diagnosis: &Diagnosis) -> Self {
        Self {
            label: diagnosis.label,
            since: Minute::of_ms(diagnosis.since_ms),
            last: start,
            windows: 1,
            open: true,
            latest: diagnosis.clone(),
            peak: diagnosis.clone(),
        }
    }

    fn reaches(&self, start: Minute) -> bool {
        start.0.saturating_sub(self.last.0) <= MAX_GAP_MIN
    }

    fn extend(&mut self, start: Minute, diagnosis: &Diagnosis) {
        self.last = start;
        self.windows += 1;
        self.latest = diagnosis.clone();
        if diagnosis.severity() > self.peak.severity() {
            self.peak = diagnosis.clone();
        }
    }
}

impl Diagnosis {
    /// Orders the diagnoses of one label: the change for a level, the failing share for an
    /// outage.
    #[expect(clippy::cast_precision_loss, reason = "only compared, and far below 2^53")]
    pub fn severity(&self) -> f64 {
        let failed: u64 = self.failures.values().sum();
        let share = failed as f64 / self.measurements.max(1) as f64;
        self.threshold.map_or(share, |threshold| threshold.change)
    }
}
