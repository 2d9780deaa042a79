//! The read API: windows, summaries, scores and incidents as JSON.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use crate::ingest::auth::{self, Auth};
use crate::ingest::problem::{self, Problem};
use crate::store::{
    CohortQuery, DriftQuery, GapQuery, IncidentQuery, Reader, Span, Store, StoreError,
    SummaryQuery, WindowQuery,
};

mod query;
mod scores;

use query::Query;
use scores::ScoreRow;

/// What the API stands on.
#[derive(Clone)]
pub struct Deps {
    /// What is read.
    pub store: Store,
    /// Who may read. Shared with the ingest, so that both know a token at once.
    pub auth: Auth,
    /// The time in milliseconds since the Unix epoch.
    pub now: fn() -> i64,
}

/// `GET /api/v1/windows`, `/summary`, `/scores`, `/incidents`, `/drifts` and `/gaps`, which need a token
/// of scope `read`.
pub fn router(deps: Deps) -> Router {
    let page =
        |handler: axum::routing::MethodRouter<Deps>| handler.fallback(problem::method_not_allowed);
    Router::new()
        .route("/api/v1/windows", page(get(windows)))
        .route("/api/v1/summary", page(get(summary)))
        .route("/api/v1/scores", page(get(scores)))
        .route("/api/v1/incidents", page(get(incidents)))
        .route("/api/v1/drifts", page(get(drifts)))
        .route("/api/v1/gaps", page(get(gaps)))
        .route_layer(middleware::from_fn_with_state(deps.auth.clone(), auth::require_read))
        .with_state(deps)
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The longest stretch of one answer: a quarter of a year of rows, a week of merging.
const LONGEST_MS: i64 = 92 * DAY_MS;
const LONGEST_SUMMARY_MS: i64 = 7 * DAY_MS;
/// Scores of a long stretch are merged from hours or days, of which there are few.
const LONGEST_SCORES_MS: i64 = 10 * 366 * DAY_MS;
const DEFAULT_ROWS: usize = 1_000;
const MOST_ROWS: usize = 10_000;
/// Rows of merged windows are all held until the last window was read.
const MOST_SCORES: usize = 1_000;
/// When to come again where the store can't be read, in seconds.
const COME_AGAIN: u32 = 2;

async fn windows(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
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
    let (rows, truncated) = read(&deps, move |reader| reader.windows(&wanted, now_ms)).await?;
    answer(&json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "windows": rows, "truncated": truncated,
    }))
}

async fn summary(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_SUMMARY_MS)?;
    let wanted = SummaryQuery {
        client_id: query.text("client_id")?,
        target: query.text("target")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["client_id", "target", "from", "to", "limit"])?;
    let (rows, truncated) = read(&deps, move |reader| reader.summary_of(&wanted, now_ms)).await?;
    answer(&json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "summary": rows, "truncated": truncated,
    }))
}

async fn scores(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_SCORES_MS)?;
    let wanted = CohortQuery {
        client_id: query.text("client_id")?,
        target: query.text("target")?,
        ..CohortQuery::of(span)
    };
    let (profile, group_by) = (scores::profile(&mut query)?, scores::group_by(&mut query)?);
    let limit = query.limit(MOST_SCORES, MOST_SCORES)?;
    query.finish(&["client_id", "target", "from", "to", "profile", "group_by", "limit"])?;
    let grain = wanted.grain;
    let look = move |reader: &Reader| reader.cohorts(&wanted, group_by, limit);
    let (rows, truncated) = read(&deps, look).await?;
    let rows: Vec<_> = rows.into_iter().map(|row| ScoreRow::of(row, &profile)).collect();
    answer(&json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "profile": profile.name, "grain": grain,
        "scores": rows, "truncated": truncated,
    }))
}

async fn incidents(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = IncidentQuery {
        id: query.text("id")?,
        open: query.flag("open")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["id", "open", "from", "to", "limit"])?;
    let (rows, truncated) = read(&deps, move |reader| reader.incidents(&wanted)).await?;
    answer(&json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "incidents": rows, "truncated": truncated,
    }))
}

async fn drifts(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
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
    let (rows, truncated) = read(&deps, move |reader| reader.drifts(&wanted)).await?;
    answer(&json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "drifts": rows, "truncated": truncated,
    }))
}

async fn gaps(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = GapQuery {
        client_id: query.text("client_id")?,
        span,
        limit: query.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    query.finish(&["client_id", "from", "to", "limit"])?;
    let (rows, truncated) = read(&deps, move |reader| reader.gaps(&wanted)).await?;
    answer(&json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "gaps": rows, "truncated": truncated,
    }))
}

type Answer = Result<Response, Problem>;

fn answer(found: &impl Serialize) -> Answer {
    let mut response = Json(found).into_response();
    // It changes by the minute and belongs to who may read it.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn read<T: Send + 'static>(
    deps: &Deps,
    look: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    deps.store.read(look).await.map_err(|error| match error {
        StoreError::TooMany { .. } => query::invalid("from", &error.to_string()),
        error => {
            tracing::error!(%error, "can't answer a reader");
            let unavailable = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(unavailable, "unavailable", "the store cannot be read now")
                .retry_after(COME_AGAIN)
        }
    })
}

/// The stretch a reader asked for, or the last hour.
fn default_span(from: Option<i64>, to: Option<i64>, now_ms: i64) -> Span {
    // Senders' clocks may be some minutes ahead, and their windows are there.
    let to_ms = to.unwrap_or(now_ms + HOUR_MS / 10);
    Span { from_ms: from.unwrap_or(to_ms.min(now_ms) - HOUR_MS), to_ms }
}
