//! `GET /api/v1/summary`.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{OfClient, OfTarget, Rows, Within};
use super::query::Query;
use super::{Answer, DAY_MS, DEFAULT_ROWS, Deps, MOST_ROWS, answer, read};
use crate::openapi::refused;
use crate::store::{SummaryQuery, SummaryRow};

/// A week of merging.
const LONGEST_MS: i64 = 7 * DAY_MS;
type Times = Within<LONGEST_MS>;

/// Clients and targets, each over the whole stretch.
#[derive(Serialize, ToSchema)]
struct Summaries {
    /// The stretch that was looked at.
    from_ms: i64,
    to_ms: i64,
    /// By client and target.
    summary: Vec<SummaryRow>,
    /// Whether there were more than the limit; the last are missing.
    truncated: bool,
}

/// Summary: the windows of each client and target merged into one row, with its score.
#[utoipa::path(
    get, path = "/api/v1/summary", tag = "read", params(OfClient, OfTarget, Times, Rows),
    responses((status = 200, description = "Those with windows in the stretch", body = Summaries), refused::ToRead),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_summary(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = SummaryQuery {
        client_id: query.text("client_id")?,
        target: query.text("target")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["client_id", "target", "from", "to", "limit"])?;
    let (summary, truncated) =
        read(&deps, move |reader| reader.summary_of(&wanted, now_ms)).await?;
    answer(&Summaries { from_ms: span.from_ms, to_ms: span.to_ms, summary, truncated })
}
