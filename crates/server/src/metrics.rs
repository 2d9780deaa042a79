//! What a role tells of itself at `/metrics`, for Prometheus.
//!
//! Each part has counters of its own beside its code (`ingest::Metrics`, `aggregator::Metrics`, ...);
//! a [`Page`] collects those of a role. Labels are of closed sets: never a client or a target.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ingest::Auth;
use crate::ingest::accept::Peer;
use crate::ingest::problem;
use crate::openapi::{page, refused};
use crate::store::{self, Scope, Store};

mod process;
mod text;
mod told;

pub use told::Told;

/// How long figures that have to be asked for are waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Seconds that a request or a transaction takes.
const QUICK: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds from a measurement to its window; the promise is within 10.
const SLOW: [f64; 14] =
    [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0];

/// The metrics of a role.
pub struct Page {
    registry: Registry,
    asks: Vec<Ask>,
    auth: Option<Auth>,
}

type Ask = Box<dyn Fn() -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

/// What a part has to tell.
pub trait Part {
    /// Enters its metrics.
    fn register(&self, registry: &mut Registry);
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Role {
    role: &'static str,
}

/// A reason from a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

impl Page {
    /// Of a role by its name, with what every program tells.
    pub fn of(role: &'static str) -> Self {
        let mut registry = Registry::default();
        let build = Family::<Build, Gauge>::default();
        build.get_or_create_owned(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("qoe_build_info", "The version that runs", build);
        let up = Family::<Role, Gauge>::default();
        up.get_or_create_owned(&Role { role }).set(1);
        registry.register("qoe_role_info", "The role that runs", up);
        process::all().into_iter().for_each(|told| registry.register_collector(told));
        Self { registry, asks: Vec::new(), auth: None }
    }

    /// Tells of a part too.
    pub fn with(mut self, part: &impl Part) -> Self {
        part.register(&mut self.registry);
        self
    }

    /// Tells of a store, which is asked.
    pub fn of_store(self, store: &Store, now: fn() -> i64) -> Self {
        let figures = store::Metrics::of(store, now);
        let asked = figures.clone();
        self.with(&figures).asking(move || asked.clone().ask())
    }

    /// Has figures asked for before they are told.
    fn asking<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.asks.push(Box::new(move || Box::pin(ask())));
        self
    }

    /// Lets others than this machine ask, with a token of scope `read`.
    pub fn for_readers(self, auth: Auth) -> Self {
        Self { auth: Some(auth), ..self }
    }

    /// `GET /metrics`: without a token for this machine, and for others with one of scope `read`.
    pub fn router(self) -> Router {
        routes().with_state(Arc::new(self)).into()
    }

    async fn tell(&self, request: &Parts) -> Response {
        if !is_of_this_machine(request) {
            let Some(auth) = &self.auth else { return problem::not_found().await.into_response() };
            if let Err(problem) = auth.authenticate(&request.headers, Scope::Read).await {
                return problem.into_response();
            }
        }
        let asked = futures_util::future::join_all(self.asks.iter().map(|ask| ask()));
        // What was known before is told where the answer does not come.
        let _ = tokio::time::timeout(PATIENCE, asked).await;
        let mut text = String::new();
        // A string takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        let (media, text) = match wants_openmetrics(&request.headers) {
            true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
            false => ("text/plain; version=0.0.4; charset=utf-8", text::plain(&text)),
        };
        ([(header::CONTENT_TYPE, media)], text).into_response()
    }
}

/// What [`Page::router`] has, described.
pub(crate) fn described() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<Arc<Page>> {
    OpenApiRouter::new().routes(page(routes!(get_metrics)))
}

/// What the role counts, for Prometheus.
///
/// Without a token for this machine itself, and for others with one of scope `read`.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "operation",
    responses((status = 200, description = "Metrics, in the form that `Accept` asks for", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text"),
    )), refused::ToWatch),
    security((), ("bearer" = ["read"]), ("header" = ["read"])),
)]
async fn get_metrics(State(page): State<Arc<Page>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    page.tell(&head).await
}

/// Not by way of a proxy on it either.
fn is_of_this_machine(request: &Parts) -> bool {
    let peer = request.extensions.get::<Peer>();
    let forwarded = ["forwarded", "x-forwarded-for"];
    peer.is_some_and(|Peer(addr)| addr.ip().to_canonical().is_loopback())
        && !forwarded.iter().any(|name| request.headers.contains_key(*name))
}

fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|media| {
        media.trim().split(';').next().is_some_and(|media| media == "application/openmetrics-text")
    })
}

/// Of requests and transactions, seconds.
pub(crate) fn quick() -> Histogram {
    Histogram::new(QUICK)
}

/// Of what is on its way, seconds.
pub(crate) fn slow() -> Histogram {
    Histogram::new(SLOW)
}
