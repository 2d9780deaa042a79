//! Alerts: what is to be told of incidents and what was, one row for one notice to one receiver.

use std::fmt;
use std::str::FromStr;

use model::diagnosis::Label;
use serde::{Deserialize, Serialize};

use super::reader::Cell;
use super::{Severity, StoreError};

/// What a notice tells of its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    /// It is there.
    Opened,
    /// It is worse, or something or somebody else than was told.
    Changed,
    /// It is still there.
    Reminder,
    /// It is over.
    Ended,
    /// Nothing: somebody tries whether notices arrive.
    Test,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It is to be sent, for the first time or again.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It is sent no more.
    GivenUp,
}

/// A notice as it is kept. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// Of which incident.
    pub incident_id: String,
    /// To whom, by the name in the file of alerts.
    pub receiver: String,
    /// Which of the incident's notices to this receiver, from 0.
    pub seq: u32,
    /// What it tells.
    pub event: AlertEvent,
    /// The message it is part of: 16 hexadecimal digits, the same each time it is sent.
    pub message: String,
    /// When it was decided to tell.
    pub created_ts: i64,
    /// When it is sent, or sent again.
    pub due_ts: i64,
    /// How often it was sent, or begun to be.
    pub attempts: u32,
    /// What became of it.
    pub state: AlertState,
    /// When the receiver took it.
    pub delivered_ts: Option<i64>,
    /// When sending it first failed.
    pub failed_ts: Option<i64>,
    /// Why it failed, the last time.
    pub last_error: Option<String>,
    /// What was known of the incident then.
    pub body: AlertBody,
}

/// What a notice's row holds as JSON: the incident as it was when that was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertBody {
    /// What is wrong, and for whom.
    #[serde(flatten)]
    pub what: What,
    /// How bad it is.
    pub severity: Severity,
    /// The minute it began in.
    pub onset_ts: i64,
    /// The first minute after it, where it is over and known when.
    pub end_ts: Option<i64>,
    /// In a sentence or two.
    pub text: String,
    /// What else was wrong with it.
    pub secondary: Vec<Label>,
    /// Some of the cells that were told.
    pub cells: Vec<Cell>,
    /// How many they are.
    pub cell_count: usize,
    /// What was told before, where it is something else now.
    pub before: Option<Before>,
    /// The worst that was told of it since it opened.
    pub worst: Severity,
    /// How often the same had been told to be over shortly before.
    pub flaps: u32,
}

/// What is wrong, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct What {
    /// What.
    pub label: Label,
    /// For what kind of unit.
    pub scope_type: String,
    /// Its name; empty for `global`.
    pub scope_id: String,
}

/// What was told of an incident before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What, and for whom.
    #[serde(flatten)]
    pub what: What,
    /// How bad it was.
    pub severity: Severity,
}

/// Which alerts to read.
#[derive(Clone, Debug, Default)]
pub struct AlertQuery {
    /// To this receiver alone.
    pub receiver: Option<String>,
    /// In this state alone.
    pub state: Option<AlertState>,
    /// Decided at this moment or later.
    pub from_ms: i64,
    /// At most this many, the newest; of those that are pending, the oldest.
    pub limit: usize,
}

/// What one receiver was told of one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The last notice.
    pub last: AlertRow,
    /// Whether there is one that it has got, or may yet get.
    pub heard: bool,
}

/// A message, taken to be sent: it is nobody else's until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub message: String,
    /// How often it had been sent when it was read: another who has taken it since counted on.
    pub attempts: u32,
    /// When it is sent again if nothing more is heard of this.
    pub again_ms: i64,
}

/// What became of a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub message: String,
    /// When that was known.
    pub at_ms: i64,
    /// How it went.
    pub fate: Fate,
}

/// How sending a message went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// It is sent again at that moment.
    Again {
        /// When.
        due_ms: i64,
        /// Why it failed.
        why: String,
    },
    /// It is sent no more.
    GivenUp {
        /// Why it failed.
        why: String,
    },
}

/// How a receiver fares, by what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiverFares {
    /// Its name.
    pub receiver: String,
    /// Notices that it has not got yet.
    pub pending: u64,
    /// The time of the oldest of these.
    pub oldest_pending_ts: Option<i64>,
    /// Since when sending fails, of those that are pending.
    pub failing_since_ts: Option<i64>,
    /// Notices that were given up in the time that was asked for.
    pub given_up: u64,
    /// When it last took one.
    pub last_delivered_ts: Option<i64>,
    /// Why sending failed, the last time, where something is pending or given up.
    pub last_error: Option<String>,
}

/// Receivers whose state is told at most; a file names fewer.
pub(super) const MOST_RECEIVERS: usize = 100;
/// Incidents times receivers whose history is read at most.
pub(super) const MOST_TOLD: usize = 50_000;

impl AlertEvent {
    const ALL: [Self; 5] = [Self::Opened, Self::Changed, Self::Reminder, Self::Ended, Self::Test];

    /// As it stands in tables and bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Reminder => "reminder",
            Self::Ended => "ended",
            Self::Test => "test",
        }
    }
}

impl AlertState {
    const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::GivenUp];

    /// As it stands in tables and bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }
}

impl AlertRow {
    /// What makes it the one it is, for people and receivers.
    pub fn key(&self) -> String {
        format!("{}/{}/{}/{}", self.incident_id, self.receiver, self.event, self.seq)
    }
}

impl ReceiverFares {
    /// Whether somebody has to look at it.
    pub fn is_in_trouble(&self) -> bool {
        self.failing_since_ts.is_some() || self.given_up > 0
    }
}

impl fmt::Display for AlertEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that no program of ours wrote there.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown {what} {text:?}")]
pub struct UnknownWord {
    what: &'static str,
    text: String,
}

impl FromStr for AlertEvent {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| UnknownWord { what: "event of an alert", text: text.to_owned() })
    }
}

impl FromStr for AlertState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownWord { what: "state of an alert", text: text.to_owned() })
    }
}

/// What a row's columns say, before its words are read.
pub(super) struct Columns {
    pub(super) incident_id: String,
    pub(super) receiver: String,
    pub(super) seq: i64,
    pub(super) event: String,
    pub(super) message: String,
    pub(super) created_ts: i64,
    pub(super) due_ts: i64,
    pub(super) attempts: i64,
    pub(super) state: String,
    pub(super) delivered_ts: Option<i64>,
    pub(super) failed_ts: Option<i64>,
    pub(super) last_error: Option<String>,
    pub(super) body: String,
}

impl Columns {
    pub(super) fn row(self) -> Result<AlertRow, StoreError> {
        let unreadable = |detail: String| StoreError::Corrupt {
            what: "an alert",
            client_id: self.incident_id.clone(),
            target: self.receiver.clone(),
            detail,
        };
        let number = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        let event =
            self.event.parse().map_err(|error: UnknownWord| unreadable(error.to_string()))?;
        let state =
            self.state.parse().map_err(|error: UnknownWord| unreadable(error.to_string()))?;
        let body =
            serde_json::from_str(&self.body).map_err(|error| unreadable(error.to_string()))?;
        Ok(AlertRow {
            seq: number(self.seq),
            event,
            created_ts: self.created_ts,
            due_ts: self.due_ts,
            attempts: number(self.attempts),
            state,
            delivered_ts: self.delivered_ts,
            failed_ts: self.failed_ts,
            body,
            incident_id: self.incident_id,
            receiver: self.receiver,
            message: self.message,
            last_error: self.last_error,
        })
    }
}

impl AlertBody {
    /// As it is kept.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("a notice has no keys but texts")
    }
}
