//! The read API: windows, summaries, scores and incidents as JSON.

use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ingest::auth::{self, Auth};
use crate::ingest::problem::Problem;
use crate::openapi::page;
use crate::store::{Reader, Span, Store, StoreError};

mod drifts;
mod gaps;
mod incidents;
mod metrics;
mod params;
mod query;
mod scores;
mod summary;
mod windows;

pub use metrics::Metrics;

/// What the API stands on.
#[derive(Clone)]
pub struct Deps {
    /// What is read.
    pub store: Store,
    /// Who may read. Shared with the ingest, so that both know a token at once.
    pub auth: Auth,
    /// What is counted of it.
    pub metrics: Metrics,
    /// The time in milliseconds since the Unix epoch.
    pub now: fn() -> i64,
}

/// Everything below `/api/v1`, which needs a token of scope `read`.
pub fn router(deps: Deps) -> Router {
    let (auth, metrics) = (deps.auth.clone(), deps.metrics.clone());
    Router::from(routes().with_state(deps))
        .route_layer(middleware::from_fn_with_state(auth, auth::require_read))
        // Also those that are refused.
        .route_layer(middleware::from_fn_with_state(metrics, metrics::count))
}

/// The same, described.
pub(crate) fn described() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<Deps> {
    OpenApiRouter::new()
        .routes(page(routes!(windows::get_windows)))
        .routes(page(routes!(summary::get_summary)))
        .routes(page(routes!(scores::get_scores)))
        .routes(page(routes!(incidents::get_incidents)))
        .routes(page(routes!(incidents::get_incident)))
        .routes(page(routes!(drifts::get_drifts)))
        .routes(page(routes!(gaps::get_gaps)))
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The longest stretch of one answer: a quarter of a year of rows.
const LONGEST_MS: i64 = 92 * DAY_MS;
const DEFAULT_ROWS: usize = 1_000;
const MOST_ROWS: usize = 10_000;
/// When to come again where the store can't be read, in seconds.
const COME_AGAIN: u32 = 2;

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
