//! What probes lost before it could be counted, as they tell it.

use super::windows::Span;

/// Which gaps to read.
#[derive(Clone, Debug)]
pub struct GapQuery {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// That were told here, by the time of the event that told of them.
    pub span: Span,
    /// At most this many, the newest.
    pub limit: usize,
}

/// Measurements that a probe made and lost, told once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = GapTold)]
pub struct GapRow {
    /// Who lost them.
    pub client_id: String,
    /// The time of the event that told of them, milliseconds since the Unix epoch.
    pub at_ts: i64,
    /// How many.
    pub count: u64,
    /// The time of the first, where the probe knows it.
    #[schema(required)]
    pub first_ts: Option<i64>,
    /// The time of the last, where the probe knows it.
    #[schema(required)]
    pub last_ts: Option<i64>,
}
