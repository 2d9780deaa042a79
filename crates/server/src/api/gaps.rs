//! `GET /api/v1/gaps`.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{OfClient, Rows, Times};
use super::query::Query;
use super::{Answer, DEFAULT_ROWS, Deps, LONGEST_MS, MOST_ROWS, answer, read};
use crate::openapi::refused;
use crate::store::{GapQuery, GapRow};

/// What probes lost.
#[derive(Serialize, ToSchema)]
struct Gaps {
    /// The stretch that was looked at.
    from_ms: i64,
    to_ms: i64,
    /// The newest first.
    gaps: Vec<GapRow>,
    /// Whether there were more than the limit; the oldest are missing.
    truncated: bool,
}

/// Gaps: measurements that probes made and lost, as they tell it.
#[utoipa::path(
    get, path = "/api/v1/gaps", tag = "read", params(OfClient, Times, Rows),
    responses((status = 200, description = "Those told in the stretch", body = Gaps), refused::ToRead),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_gaps(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = GapQuery {
        client_id: query.text("client_id")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["client_id", "from", "to", "limit"])?;
    let (gaps, truncated) = read(&deps, move |reader| reader.gaps(&wanted)).await?;
    answer(&Gaps { from_ms: span.from_ms, to_ms: span.to_ms, gaps, truncated })
}
