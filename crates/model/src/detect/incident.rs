//! What is told: one object for one cause, from its onset to its end.

use serde::{Deserialize, Serialize};

use super::evidence::Kinds;
use super::scope::Scope;
use crate::diagnosis::Label;

/// How an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentState {
    /// It goes on.
    Open,
    /// It has ended.
    Ended,
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
    /// Units of the same cells, which the data can't tell apart from it.
    pub ambiguous_with: Vec<Scope>,
    /// Every cell that was told, by its number.
    pub cells: Vec<usize>,
    /// When it began, as far as can be told afterwards.
    pub onset: i64,
    /// The first minute for which it was told.
    pub opened_at: i64,
    /// The last minute that showed it.
    pub last_bad: i64,
    /// The first minute after it; absent while it goes on.
    pub end: Option<i64>,
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
    /// The last minute that it was told of.
    pub(super) told_at: i64,
}
