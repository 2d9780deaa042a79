//! `GET /api/v1/windows`.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{OfClient, OfTarget, Rows, Times};
use super::query::Query;
use super::{Answer, DEFAULT_ROWS, Deps, LONGEST_MS, MOST_ROWS, answer, read};
use crate::openapi::refused;
use crate::store::{WindowQuery, WindowRow};

/// Minutes of clients and targets.
#[derive(Serialize, ToSchema)]
struct Windows {
    /// The stretch that was looked at.
    from_ms: i64,
    to_ms: i64,
    /// By client, target and time.
    windows: Vec<WindowRow>,
    /// Whether there were more than the limit: of each client and target the oldest are missing.
    truncated: bool,
}

/// Windows: what each client measured at each target, by the minute.
#[utoipa::path(
    get, path = "/api/v1/windows", tag = "read", params(OfClient, OfTarget, Times, Rows),
    responses((status = 200, description = "Windows that start in the stretch", body = Windows), refused::ToRead),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_windows(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = WindowQuery {
        client_id: query.text("client_id")?,
        target: query.text("target")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["client_id", "target", "from", "to", "limit"])?;
    let (windows, truncated) = read(&deps, move |reader| reader.windows(&wanted, now_ms)).await?;
    answer(&Windows { from_ms: span.from_ms, to_ms: span.to_ms, windows, truncated })
}
