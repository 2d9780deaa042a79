//! What the ingest tells of itself.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use model::SchemaVersion;
use model::decode::Rejection;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use crate::aggregator;
use crate::metrics::{Part, Reason, Told, quick};

/// Counters of an ingest. Cheap to clone; every clone counts together.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    took: Histogram,
    events: Family<Judged, Counter>,
    refused: Family<Reason, Counter>,
    auth_failures: Family<Reason, Counter>,
    rate_limited: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    result: &'static str,
    /// Of the contract; empty where the event does not say one that is known.
    version: &'static str,
    reason: &'static str,
}

const VERSIONS: [SchemaVersion; 2] = [SchemaVersion::V1_0, SchemaVersion::V1_1];

impl Judged {
    fn accepted(version: SchemaVersion) -> Self {
        Self { result: "accepted", version: version.as_str(), reason: "" }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            requests: Family::default(),
            took: quick(),
            events: Family::default(),
            refused: Family::default(),
            auth_failures: Family::default(),
            rate_limited: Counter::default(),
        };
        // There from the start: a rate of what was never told is nothing, not 0.
        for code in [StatusCode::ACCEPTED, StatusCode::SERVICE_UNAVAILABLE] {
            metrics.requests.get_or_create_owned(&Answered { code: code.as_u16() });
        }
        VERSIONS.into_iter().for_each(|version| metrics.accepted(version, 0));
        metrics
    }
}

impl Metrics {
    /// Held against what counts in the same program.
    pub(crate) fn conserved(&self, aggregator: &Arc<aggregator::Metrics>) -> Conserved {
        Conserved { ingest: self.clone(), aggregator: Arc::clone(aggregator) }
    }

    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        self.requests.get_or_create_owned(&Answered { code: status.as_u16() }).inc();
        self.took.observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, problem: &Problem) {
        let reason = Reason { reason: problem.code() };
        let counter = match problem.status() {
            StatusCode::TOO_MANY_REQUESTS => self.rate_limited.clone(),
            StatusCode::UNAUTHORIZED => self.auth_failures.get_or_create_owned(&reason),
            _ => self.refused.get_or_create_owned(&reason),
        };
        counter.inc();
        problem.rejected().iter().for_each(|one| self.rejected(one));
    }

    pub(super) fn accepted(&self, version: SchemaVersion, events: usize) {
        self.events.get_or_create_owned(&Judged::accepted(version)).inc_by(events as u64);
    }

    pub(super) fn rejected(&self, rejection: &Rejection) {
        let version = rejection.version.map_or("", SchemaVersion::as_str);
        let judged = Judged { result: "rejected", version, reason: rejection.code.as_str() };
        self.events.get_or_create_owned(&judged).inc();
    }
}

/// What was answered 202 and what was counted.
pub(crate) struct Conserved {
    ingest: Metrics,
    aggregator: Arc<aggregator::Metrics>,
}

impl Part for Conserved {
    fn register(&self, registry: &mut Registry) {
        let of = |version| self.ingest.events.get_or_create_owned(&Judged::accepted(version));
        let accepted = VERSIONS.map(of);
        let aggregator = Arc::clone(&self.aggregator);
        registry.register_collector(Told::gauge(
            "qoe_conservation_gap_events",
            "Events that were answered 202 and are neither counted nor known as duplicates: above 0 some were \
             lost; below 0 some are counted whose answer is on its way, or whose sender went away",
            move || {
                let accepted: u64 = accepted.iter().map(Counter::get).sum();
                Some(accepted as f64 - aggregator.counted() as f64)
            },
        ));
    }
}

impl Part for Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "qoe_ingest_requests",
            "Requests that were answered, by status",
            self.requests.clone(),
        );
        registry.register(
            "qoe_ingest_request_duration_seconds",
            "How long requests took from their head to the answer",
            self.took.clone(),
        );
        registry.register(
            "qoe_ingest_events",
            "Events that were accepted, duplicates among them, or rejected, and why",
            self.events.clone(),
        );
        registry.register(
            "qoe_ingest_refused_requests",
            "Requests that were refused as a whole, and why",
            self.refused.clone(),
        );
        registry.register(
            "qoe_ingest_auth_failures",
            "Requests without a good token, and why",
            self.auth_failures.clone(),
        );
        registry.register(
            "qoe_ingest_rate_limited",
            "Requests of clients that send too often",
            self.rate_limited.clone(),
        );
    }
}
