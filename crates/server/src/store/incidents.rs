//! Incidents: one row for one cause, from its onset to its end.

use model::diagnosis::Label;
use serde::{Deserialize, Serialize};

use super::reader::Cell;
use super::windows::Span;

/// An incident as it is kept. Times are milliseconds since the Unix epoch; those of minutes are their
/// starts.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentRow {
    /// 16 hexadecimal digits.
    pub id: String,
    /// What is wrong.
    pub label: Label,
    /// `global`, `target`, `address`, `isp`, `site`, `resolver`, `client` or `cell`.
    pub scope_type: String,
    /// Its name; empty for `global`; client and target with a blank between for `cell`.
    pub scope_id: String,
    /// How bad it is.
    pub severity: Severity,
    /// The minute it began in, as far as can be told afterwards.
    pub onset_ts: i64,
    /// The first minute for which it was told.
    pub opened_ts: i64,
    /// When it was first told.
    pub told_ts: i64,
    /// The last minute that showed it.
    pub last_bad_ts: i64,
    /// The first minute after it; absent while it goes on.
    pub end_ts: Option<i64>,
    /// The numbers.
    pub body: IncidentBody,
}

/// How bad an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a note.
    Info,
    /// Half as slow again, or a score down by 10.
    Minor,
    /// Three times as slow, or a score down by 25.
    Major,
    /// An outage of half of the measurements, and not of one client alone.
    Critical,
}

/// What an incident's row holds as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentBody {
    /// In a sentence or two.
    pub text: String,
    /// What else was wrong with it.
    pub secondary: Vec<Label>,
    /// The cells that were told.
    pub cells: Vec<Cell>,
    /// Which rules said so.
    pub rule_version: u32,
}

/// Which incidents to read.
#[derive(Clone, Debug)]
pub struct IncidentQuery {
    /// Those that go on, or those that have ended.
    pub open: Option<bool>,
    /// That reach into this span.
    pub span: Span,
    /// At most this many, the newest.
    pub limit: usize,
}
