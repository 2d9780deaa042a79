//! `GET /api/v1/incidents` and `/api/v1/incidents/{id}`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{Id, Rows, Times, Which};
use super::query::{Query, incident_id, invalid};
use super::{Answer, DEFAULT_ROWS, Deps, LONGEST_MS, MOST_ROWS, Problem, answer, read};
use crate::openapi::refused;
use crate::store::{IncidentQuery, IncidentRow, Span};

/// Incidents.
#[derive(Serialize, ToSchema)]
struct Incidents {
    /// The stretch that was looked at.
    from_ms: i64,
    to_ms: i64,
    /// The newest first.
    incidents: Vec<IncidentRow>,
    /// Whether there were more than the limit; the oldest are missing.
    truncated: bool,
}

/// Incidents: what is or was wrong, for whom, since when and why.
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "read", params(Which, Times, Rows),
    responses((status = 200, description = "Those that reach into the stretch", body = Incidents), refused::ToRead),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_incidents(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = IncidentQuery {
        id: query.id()?,
        open: query.flag("open")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["id", "open", "from", "to", "limit"])?;
    let (incidents, truncated) = read(&deps, move |reader| reader.incidents(&wanted)).await?;
    answer(&Incidents { from_ms: span.from_ms, to_ms: span.to_ms, incidents, truncated })
}

/// One incident, of whatever time.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "read", params(Id),
    responses((status = 200, description = "As the list gives it", body = IncidentRow), refused::ToReadOne),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_incident(
    State(deps): State<Deps>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Answer {
    let Path(id) = id.map_err(|_| invalid("id", "is not UTF-8"))?;
    let id = incident_id(id)?;
    Query::parse(query.as_deref())?.finish(&[])?;
    let always = Span { from_ms: 0, to_ms: i64::MAX };
    let wanted = IncidentQuery { id: Some(id), ..IncidentQuery::new(always, 1) };
    let (found, _) = read(&deps, move |reader| reader.incidents(&wanted)).await?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such incident");
    answer(found.first().ok_or_else(none)?)
}
