//! Cells to be judged, and what was found.

use model::diagnosis::{Diagnosis, Label};
use serde::{Deserialize, Serialize};

use super::reader::Cell;
use super::windows::Span;

/// A cell with windows to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which cell.
    pub cell: Cell,
    /// Grows with each entry of the cell; see [`Judged`].
    pub generation: i64,
    /// The start of the oldest window that changed, milliseconds since the Unix epoch.
    pub oldest_ms: i64,
    /// The start of the newest.
    pub newest_ms: i64,
}

/// What was found for one cell, to be written in one transaction.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was asked.
    pub task: Task,
    /// Diagnoses that reach into this span go, and `runs` take their place.
    pub replaced: Span,
    /// What stands there now.
    pub runs: Vec<DiagnosisRow>,
    /// Where judging has to go on; `None` where it is done.
    pub rest_ms: Option<i64>,
}

/// Which diagnoses to read.
#[derive(Clone, Debug)]
pub struct DiagnosisQuery {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// Of this target alone.
    pub target: Option<String>,
    /// Those that last, or those that have ended.
    pub open: Option<bool>,
    /// That reach into this span.
    pub span: Span,
    /// At most this many, the newest.
    pub limit: usize,
}

impl DiagnosisQuery {
    /// Those of every client and target that reach into `span`.
    pub fn new(span: Span, limit: usize) -> Self {
        Self { client_id: None, target: None, open: None, span, limit }
    }
}

/// A run of windows of one client and target with one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisRow {
    /// Who measured.
    pub client_id: String,
    /// What was measured.
    pub target: String,
    /// What is wrong.
    pub label: Label,
    /// The start of the first window that shows it, milliseconds since the Unix epoch.
    pub since_ts: i64,
    /// The start of the last window that was labelled so.
    pub last_ts: i64,
    /// How many windows were.
    pub windows: u32,
    /// Whether no later window says otherwise.
    pub open: bool,
    /// The evidence of the last window.
    pub latest: Diagnosis,
    /// The evidence of the worst one.
    pub peak: Diagnosis,
}

/// The evidence of a run, as it is kept.
#[derive(Serialize)]
struct Evidence<'a> {
    latest: &'a Diagnosis,
    peak: &'a Diagnosis,
}

/// What [`DiagnosisRow::evidence`] wrote: that of the last window, and of the worst one.
#[derive(Deserialize)]
pub(super) struct KeptEvidence {
    pub(super) latest: Diagnosis,
    pub(super) peak: Diagnosis,
}

impl DiagnosisRow {
    /// The evidence as JSON.
    pub(super) fn evidence(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Evidence { latest: &self.latest, peak: &self.peak })
    }
}
