//! What the read API tells of itself.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::{Part, quick};

/// Counters of a read API. Cheap to clone; every clone counts together.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    took: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    /// As it is routed, `/api/v1/incidents/{id}`: there are no more of them than routes.
    path: String,
    code: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self { requests: Family::default(), took: quick() };
        // There from the start: a rate of what was never told is nothing, not 0.
        let windows = Answered { path: "/api/v1/windows".to_owned(), code: 200 };
        metrics.requests.get_or_create_owned(&windows);
        metrics
    }
}

/// Counts a request by its answer.
pub(super) async fn count(
    State(metrics): State<Metrics>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let answer = next.run(request).await;
    let answered = Answered { path: path.as_str().to_owned(), code: answer.status().as_u16() };
    metrics.requests.get_or_create_owned(&answered).inc();
    metrics.took.observe(began.elapsed().as_secs_f64());
    answer
}

impl Part for Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "qoe_api_requests",
            "Requests that were answered, by path and status",
            self.requests.clone(),
        );
        registry.register(
            "qoe_api_request_duration_seconds",
            "How long requests took from their head to the answer",
            self.took.clone(),
        );
    }
}
