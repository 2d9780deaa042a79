//! `GET /api/v1/drifts`.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{OfClient, OfTarget, Rows, Times};
use super::query::Query;
use super::{Answer, DEFAULT_ROWS, Deps, LONGEST_MS, MOST_ROWS, answer, read};
use crate::openapi::refused;
use crate::store::{DriftQuery, DriftRow};

/// What grows slowly.
#[derive(Serialize, ToSchema)]
struct Drifts {
    /// The stretch that was looked at.
    from_ms: i64,
    to_ms: i64,
    /// The newest first.
    drifts: Vec<DriftRow>,
    /// Whether there were more than the limit; the oldest are missing.
    truncated: bool,
}

/// Drifts: what became slower for hours, noted once a day for a client and target.
#[utoipa::path(
    get, path = "/api/v1/drifts", tag = "read", params(OfClient, OfTarget, Times, Rows),
    responses((status = 200, description = "Those noted in the stretch", body = Drifts), refused::ToRead),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_drifts(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = DriftQuery {
        client_id: query.text("client_id")?,
        target: query.text("target")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["client_id", "target", "from", "to", "limit"])?;
    let (drifts, truncated) = read(&deps, move |reader| reader.drifts(&wanted)).await?;
    answer(&Drifts { from_ms: span.from_ms, to_ms: span.to_ms, drifts, truncated })
}
