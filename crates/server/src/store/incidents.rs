//! Incidents: one row for one cause, from its onset to its end.

use model::detect::{IncidentState, Payload, SlowBy};
pub use model::detect::{Severity, UnknownSeverity};
use model::diagnosis::{CellWindow, Label};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::drifts::DriftRow;
use super::reader::Cell;
use super::reopened::Reopened;
use super::windows::Span;
use crate::openapi::incident as shape;

/// An incident as it is kept. Times are milliseconds since the Unix epoch; those of minutes are their
/// starts.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Incident)]
pub struct IncidentRow {
    /// 14 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{14}$", example = "0a1b2c3d4e5f67")]
    pub id: String,
    /// What is wrong.
    #[schema(value_type = shape::Label)]
    pub label: Label,
    /// `global`, `target`, `address`, `isp`, `site`, `resolver`, `client` or `cell`.
    pub scope_type: String,
    /// Its name; empty for `global`; client and target with a blank between for `cell`.
    pub scope_id: String,
    /// How bad it is.
    #[schema(value_type = shape::Severity)]
    pub severity: Severity,
    /// The minute it began in, as far as can be told afterwards.
    pub onset_ts: i64,
    /// The first minute for which it was told.
    pub opened_ts: i64,
    /// When it was first told.
    pub told_ts: i64,
    /// The last minute that showed it.
    pub last_bad_ts: i64,
    /// The first minute after it; `null` while it goes on.
    #[schema(required)]
    pub end_ts: Option<i64>,
    /// The numbers.
    #[serde(flatten)]
    pub body: IncidentBody,
}

/// What an incident's row holds as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentBody {
    /// In a sentence or two.
    pub text: String,
    /// How it stands, as of the last minute that was judged.
    #[schema(value_type = shape::IncidentState)]
    pub state: IncidentState,
    /// How likely it is this scope rather than the next best for the same cells, 0 to 1.
    pub confidence: f64,
    /// Why a transfer is slow, where that can be told.
    #[serde(rename = "cause")]
    #[schema(value_type = Option<shape::Cause>, required)]
    pub slow_by: Option<SlowBy>,
    /// How often it went and came back.
    pub flaps: u32,
    /// The minute from which on its level is taken for the usual.
    #[schema(required)]
    pub accepted_ts: Option<i64>,
    /// The incident that took it in, when both turned out to be the same.
    #[schema(required)]
    pub merged_into: Option<String>,
    /// What else was wrong with it.
    #[schema(value_type = Vec<shape::Label>)]
    pub secondary: Vec<Label>,
    /// The cells that were told.
    pub cells: Vec<Cell>,
    /// Events that came late have taken it back: with them nothing is wrong.
    #[serde(default)]
    #[schema(required)]
    pub withdrawn: bool,
    /// The numbers it rests on.
    #[schema(value_type = shape::Evidence)]
    pub evidence: Payload,
    /// Which rules said so.
    pub rule_version: u32,
}

/// Which incidents to read.
#[derive(Clone, Debug)]
pub struct IncidentQuery {
    /// The one of this name alone.
    pub id: Option<String>,
    /// Those that go on, or those that have ended.
    pub open: Option<bool>,
    /// That reach into this span.
    pub span: Span,
    /// At most this many, the newest.
    pub limit: usize,
}

impl IncidentQuery {
    /// Those that reach into `span`.
    pub fn new(span: Span, limit: usize) -> Self {
        Self { id: None, open: None, span, limit }
    }
}

/// A window of some cell, as it was kept.
#[derive(Clone, Debug)]
pub struct FleetWindow {
    /// Whose it is.
    pub cell: Cell,
    /// The window.
    pub window: CellWindow,
    /// Its label in the table.
    pub label: Option<String>,
}

/// What is said of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowLabel {
    /// Whose it is.
    pub cell: Cell,
    /// Where it starts, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// What is wrong; absent where all is as usual.
    pub label: Option<Label>,
}

/// How often the windows of a minute have changed, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    /// How many there are.
    pub windows: i64,
    /// The sum of their revisions.
    pub sum: i64,
    /// When one of them last did, milliseconds since the Unix epoch.
    pub changed_ms: i64,
}

/// What a step of the detector leaves behind, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// Incidents that are new, or have changed.
    pub incidents: Vec<IncidentRow>,
    /// Drifts that were noted.
    pub drifts: Vec<DriftRow>,
    /// Labels of windows that are new, or have changed. Of one window the last counts.
    pub labels: Vec<WindowLabel>,
    /// How the detector stands after a minute: its start, and the state.
    pub state: Option<(i64, Vec<u8>)>,
    /// Minutes that have been judged again, and need not be any more.
    pub reopened: Vec<Reopened>,
}

impl Detected {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.drifts.is_empty()
            && self.labels.is_empty()
            && self.state.is_none()
            && self.reopened.is_empty()
    }

    /// Notes an incident, in place of what was noted of it before.
    pub(crate) fn put(&mut self, row: IncidentRow) {
        match self.incidents.iter_mut().find(|kept| kept.id == row.id) {
            Some(kept) => *kept = row,
            None => self.incidents.push(row),
        }
    }
}

/// States that are kept: one that can't be read leaves those before it.
pub(super) const STATES: i64 = 3;
