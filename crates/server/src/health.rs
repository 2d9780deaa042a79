//! Whether a role is well: `/-/healthy` for its supervisor, `/-/ready` for a load balancer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::aggregator::Aggregator;
use crate::ingest::problem::Problem;
use crate::openapi::{page, refused};

/// When to come again where a role is not well, in seconds.
const COME_AGAIN: u32 = 2;

/// How long a check may take; one that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// A question about a role; what is wrong is the error, which everybody may read.
#[derive(Clone)]
pub struct Check(Arc<dyn Fn() -> Answer + Send + Sync>);

type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl Check {
    /// Asked anew each time.
    pub fn new<F, Fut>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(ask())))
    }

    /// Of what is known without waiting.
    pub fn of(ask: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(std::future::ready(ask()))))
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn ask(&self) -> Result<(), String> {
        let asked = tokio::time::timeout(PATIENCE, (self.0)()).await;
        asked.unwrap_or_else(|_| Err(format!("no answer in {} s", PATIENCE.as_secs())))
    }
}

/// What a role says of itself.
#[derive(Clone)]
pub struct Checks {
    /// Whether it can do its work at all; a supervisor starts it anew otherwise.
    pub healthy: Check,
    /// Whether it does its work now.
    pub ready: Check,
}

impl Checks {
    /// Of what counts events.
    pub fn of(aggregator: &Aggregator) -> Self {
        let (alive, ready) = (aggregator.clone(), aggregator.clone());
        Self {
            healthy: Check::of(move || is_alive(&alive)),
            ready: Check::of(move || writes(&ready)),
        }
    }
}

/// Whether its writers have not ended.
pub(crate) fn is_alive(aggregator: &Aggregator) -> Result<(), String> {
    aggregator.alive().then_some(()).ok_or_else(|| "the writer has ended".to_owned())
}

/// Whether its transactions succeed.
pub(crate) fn writes(aggregator: &Aggregator) -> Result<(), String> {
    aggregator.ready().then_some(()).ok_or_else(|| "the store cannot write".to_owned())
}

/// `GET /-/healthy` and `/-/ready`, which need no token: 200, or 503 and what is wrong.
pub fn router(checks: Checks) -> Router {
    routes().with_state(checks).into()
}

/// The same, described.
pub(crate) fn described() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<Checks> {
    OpenApiRouter::new().routes(page(routes!(get_healthy))).routes(page(routes!(get_ready)))
}

/// All is well.
#[derive(Serialize, ToSchema)]
struct Well {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the role can do its work at all; a supervisor starts it anew otherwise.
#[utoipa::path(
    get, path = "/-/healthy", operation_id = "get_healthy", tag = "operation", security(()),
    responses((status = 200, description = "It can", body = Well), refused::Unwell),
)]
async fn get_healthy(State(checks): State<Checks>) -> Response {
    told(checks.healthy.ask().await)
}

/// Whether the role does its work now; a load balancer passes it over otherwise.
#[utoipa::path(
    get, path = "/-/ready", operation_id = "get_ready", tag = "operation", security(()),
    responses((status = 200, description = "It does", body = Well), refused::Unwell),
)]
async fn get_ready(State(checks): State<Checks>) -> Response {
    told(checks.ready.ask().await)
}

fn told(found: Result<(), String>) -> Response {
    match found {
        Ok(()) => Json(Well { status: "ok" }).into_response(),
        Err(wrong) => unavailable(wrong).into_response(),
    }
}

/// 503, to be asked again soon.
pub(crate) fn unavailable(wrong: String) -> Problem {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(unavailable, "unavailable", wrong).retry_after(COME_AGAIN)
}
