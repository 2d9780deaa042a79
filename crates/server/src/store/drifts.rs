//! What grows slowly: a note, once a day and cell.

use serde::Serialize;
use utoipa::ToSchema;

use super::windows::Span;

/// A drift is noted again after so long, where it goes on: of two notes of a cell that are less apart
/// the first stands, whoever judges again.
pub(super) const AGAIN_AFTER_MS: i64 = 24 * 60 * 60 * 1_000;

/// That something of a cell has become slower for hours. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Drift)]
pub struct DriftRow {
    /// Who measured.
    pub client_id: String,
    /// What was measured.
    pub target: String,
    /// What grows: `dns`, `tcp`, `tls` or `ttfb`, whichever grows most.
    pub signal: String,
    /// By how much an hour, percent.
    pub percent_per_hour: f64,
    /// Since when at least.
    pub since_ts: i64,
    /// The minute after which it was noted.
    pub noted_ts: i64,
}

/// Which drifts to read.
#[derive(Clone, Debug)]
pub struct DriftQuery {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// Of this target alone.
    pub target: Option<String>,
    /// That were noted here.
    pub span: Span,
    /// At most this many, the newest.
    pub limit: usize,
}
