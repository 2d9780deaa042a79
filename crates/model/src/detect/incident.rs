//! What is told: one object for one cause, from its onset to its end.

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use super::evidence::Kinds;
use super::scope::Scope;
use super::severity::{Severity, severity};
use super::slow::SlowBy;
use crate::diagnosis::Label;

/// How an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// It goes on.
    Open,
    /// It has come back at least three times within an hour.
    Flapping,
    /// None of its cells has been measured for five minutes: it may go on, and may not.
    Stale,
    /// It has ended.
    Ended,
    /// It lasted so long that it is the usual now.
    Accepted,
}

impl IncidentState {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Flapping => "flapping",
            Self::Stale => "stale",
            Self::Ended => "ended",
            Self::Accepted => "accepted",
        }
    }
}

/// One cause. Minutes are counted since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Made of the unit and the time of opening.
    pub id: u64,
    /// What is wrong.
    pub label: Label,
    /// For whom.
    pub scope: Scope,
    /// The minute since which it is that one.
    pub scoped_at: i64,
    /// How likely it is that one rather than the next best unit for the same cells, 0 to 1.
    pub confidence: f64,
    /// Units of the same cells, which the data can't tell apart from it.
    pub ambiguous_with: Vec<Scope>,
    /// Every cell that was told, by its number.
    pub cells: Cells,
    /// When it began, as far as can be told afterwards.
    pub onset: i64,
    /// The first minute for which it was told.
    pub opened_at: i64,
    /// The last minute that showed it.
    pub last_bad: i64,
    /// The first minute after it; absent while it goes on.
    pub end: Option<i64>,
    /// Its level is taken for the usual since then.
    pub accepted_at: Option<i64>,
    /// The one that took it in, when both turned out to be the same.
    pub merged_into: Option<u64>,
    /// How often it went and came back.
    pub flaps: u32,
    /// Share of its cells' measurements that failed, in the last minute that showed it.
    pub failing: f64,
    /// How many times the usual the signal is that changed most, at its worst.
    pub ratio: f64,
    /// Why a transfer is slow, where that can be told.
    pub slow_by: Option<SlowBy>,
    /// What else was wrong with it.
    pub secondary: Vec<Label>,
    /// What it adds, microseconds: look-up, connect, handshake, first byte.
    pub excess: [f64; 4],
    /// The evidence it accounts for.
    pub(super) explains: Kinds,
    /// The unit's number, and since when the label is another.
    pub(super) unit: usize,
    pub(super) other: Option<(Label, u32)>,
    pub(super) missed: u32,
    /// Minutes in a row that speak for another unit.
    pub(super) moves: u32,
    /// The last minute that it was told of.
    pub(super) told_at: i64,
    /// When it came back, the last three times.
    pub(super) back_at: Vec<i64>,
    /// The last minute in which one of its cells was measured.
    pub(super) measured_at: i64,
}

/// An incident's number as it is written, wherever that is.
pub fn id_text(id: u64) -> String {
    format!("{id:014x}")
}

/// Coming back so often within so many minutes is flapping.
const FLAPS: usize = 3;
const FLAPS_WITHIN: i64 = 60;
/// Minutes without any measurement after which nobody knows.
const STALE_AFTER: i64 = 5;

impl Incident {
    /// How it stands at a minute.
    pub fn state(&self, now: i64) -> IncidentState {
        if self.accepted_at.is_some() {
            return IncidentState::Accepted;
        }
        if self.end.is_some() {
            return IncidentState::Ended;
        }
        if now - self.measured_at >= STALE_AFTER {
            return IncidentState::Stale;
        }
        let often = self.back_at.len() == FLAPS && now - self.back_at[0] <= FLAPS_WITHIN;
        if often { IncidentState::Flapping } else { IncidentState::Open }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        severity(self.label, self.scope.kind, self.failing, self.ratio)
    }

    pub(super) fn comes_back(&mut self, now: i64) {
        self.flaps += 1;
        if self.back_at.len() == FLAPS {
            self.back_at.remove(0);
        }
        self.back_at.push(now);
    }
}
