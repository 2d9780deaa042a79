//! The way in: events over HTTP. A request is answered 202 when its events are durable; what
//! is not accepted is said event by event.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use model::decode::{Accepted, BodyError, Code, Decoded, Limits, Media, Rejection};
use model::{ClientId, SchemaVersion};
use opentelemetry::KeyValue;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::aggregator::Unavailable;
use crate::openapi::event::{self, Events};
use crate::openapi::{page, refused};
use crate::store::Scope;
use crate::trace::{Step, Tracer};
use body::{Body, ByteLimits};
use problem::Problem;
use rate::RateLimiter;

pub mod accept;
pub mod auth;
mod body;
mod decompress;
mod media;
mod metrics;
pub mod problem;
mod rate;
mod sink;

pub use auth::Auth;
pub use metrics::Metrics;
pub use rate::Rate;
pub use sink::Sink;

/// What the ingest stands on.
#[derive(Clone)]
pub struct Deps {
    /// Where accepted events go.
    pub sink: Sink,
    /// Who may send. Shared with the read API, so that both know a token at once.
    pub auth: Auth,
    /// What is too much.
    pub settings: Settings,
    /// What is told of it.
    pub metrics: Metrics,
    /// Where traces go.
    pub tracer: Tracer,
    /// The time in milliseconds since the Unix epoch.
    pub now: fn() -> i64,
}

/// Bounds of a request.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the events in it.
    pub events: Limits,
    /// Bytes of the body as it travels.
    pub encoded_bytes: usize,
    /// Bytes of the body when it is unpacked.
    pub decoded_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How often one client may send.
    pub rate: Rate,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events: Limits::default(),
            encoded_bytes: 1 << 20,
            decoded_bytes: 8 << 20,
            body_timeout: Duration::from_secs(30),
            rate: Rate::default(),
        }
    }
}

/// `POST /v1/events`, and `POST /events` for older probes.
pub fn router(deps: Deps) -> Router {
    routes().with_state(Arc::new(Ingest::new(deps))).into()
}

/// The same, described.
pub(crate) fn described() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<Arc<Ingest>> {
    OpenApiRouter::new()
        .routes(page(routes!(post_events)))
        .routes(page(routes!(post_events_of_old)))
}

/// A body up to this size is read on the spot; a larger or packed one leaves the threads that
/// serve the connections.
const SMALL_BODY: usize = 64 << 10;

/// How many bodies above [`SMALL_BODY`] may be held at once: 128 MiB of them at most.
const LARGE_BODIES: usize = 128;

/// When a sender that met a full queue or a failing store should come again, in seconds.
const COME_AGAIN: u32 = 2;

struct Ingest {
    deps: Deps,
    rate: RateLimiter,
    large_bodies: Arc<Semaphore>,
    /// Unpacking and reading is work for the processor, so as many at once as it has cores.
    heavy_work: Semaphore,
}

/// What became of each event.
#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
struct Answer<'a> {
    /// How many were taken; at least one.
    #[schema(minimum = 1)]
    accepted: usize,
    /// How many of these had been counted before; `null` where that is found out later, behind a bus.
    #[schema(required)]
    duplicates: Option<usize>,
    /// The others, by their place.
    #[schema(value_type = Vec<event::Rejection>)]
    rejected: &'a [Rejection],
}

/// Take events.
///
/// 202 is answered when the events are durable. What is wrong with one costs no other: it is in
/// `rejected`. An event that is sent again under its `event_id` is counted once, so a request without an
/// answer can be sent again. At most 1 MiB, unpacked 8 MiB, with 10,000 events;
/// `Content-Encoding` may be `gzip` or `zstd`.
#[utoipa::path(
    post, path = "/v1/events", operation_id = "post_events", tag = "events",
    request_body(content(
        (Events = "application/json"),
        (String = "application/x-ndjson"),
    ), description = "One event, an array of events, or one event a line"),
    responses((status = 202, description = "At least one event was taken", body = Answer), refused::ToSend),
    security(("bearer" = ["ingest"]), ("header" = ["ingest"])),
)]
async fn post_events(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let (metrics, began) = (&ingest.deps.metrics, Instant::now());
    let response = match ingest.take(request).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(status = problem.status().as_u16(), code = problem.code(), "refused");
            metrics.refused(&problem);
            problem.into_response()
        }
    };
    metrics.answered(response.status(), began.elapsed());
    response
}

/// Take events, under the path of older probes.
#[utoipa::path(
    post, path = "/events", operation_id = "post_events_of_old", tag = "events",
    request_body(content(
        (Events = "application/json"),
        (String = "application/x-ndjson"),
    ), description = "As at /v1/events"),
    responses((status = 202, description = "At least one event was taken", body = Answer), refused::ToSend),
    security(("bearer" = ["ingest"]), ("header" = ["ingest"])),
)]
async fn post_events_of_old(state: State<Arc<Ingest>>, request: Request) -> Response {
    post_events(state, request).await
}

impl Ingest {
    fn new(deps: Deps) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            rate: RateLimiter::new(deps.settings.rate),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            heavy_work: Semaphore::new(cores),
            deps,
        }
    }

    async fn take(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        let began = Instant::now();
        let token = self.deps.auth.authenticate(request.headers(), Scope::Ingest).await?;
        let speaks_for = token.client_id.as_str();
        self.rate.check(speaks_for)?;
        let media = media::media(request.headers())?;
        let encoding = media::encoding(request.headers())?;
        let limits = ByteLimits {
            encoded: self.deps.settings.encoded_bytes,
            small: SMALL_BODY,
            timeout: self.deps.settings.body_timeout,
        };
        let body = body::read(request, &limits, &self.large_bodies).await?;
        let small = encoding == media::Encoding::Identity && body.bytes.len() <= SMALL_BODY;
        let (body, decoded) = if small {
            let decoded = self.decode(&body.bytes, media)?;
            (body.bytes, decoded)
        } else {
            self.decode_apart(body, media, encoding).await?
        };
        let (events, rejected) = of_client(decoded, speaks_for);
        if events.is_empty() {
            return Err(nothing_accepted(rejected));
        }
        let (accepted, tracer) = (events.len(), &self.deps.tracer);
        let newer =
            events.iter().filter(|taken| taken.event.version == SchemaVersion::V1_1).count();
        let traced = tracer.traced(events.iter().map(|taken| &taken.event));
        if !traced.is_empty() {
            tracer.measured(events.iter().map(|taken| &taken.event));
        }
        let handed = Instant::now();
        let duplicates = self.deps.sink.submit(body, events).await.map_err(|e| unavailable(&e))?;
        if !traced.is_empty() {
            let (step, attributes) = self.deps.sink.step();
            tracer.stepped(&traced, step, handed.elapsed(), &attributes);
            tracer.stepped(&traced, Step::Receive, began.elapsed(), &request_attributes());
        }
        self.deps.metrics.accepted(SchemaVersion::V1_0, accepted - newer);
        self.deps.metrics.accepted(SchemaVersion::V1_1, newer);
        rejected.iter().for_each(|one| self.deps.metrics.rejected(one));
        let answer = Answer { accepted, duplicates, rejected: &rejected };
        Ok(json(StatusCode::ACCEPTED, &answer))
    }

    fn decode(&self, body: &[u8], media: Media) -> Result<Decoded, Problem> {
        model::decode::decode(body, media, (self.deps.now)(), &self.deps.settings.events)
            .map_err(|error| body_problem(&error))
    }

    /// Unpacks and reads a body on a thread for such work, when it is its turn. The body comes
    /// back unpacked.
    async fn decode_apart(
        self: &Arc<Self>,
        body: Body,
        media: Media,
        encoding: media::Encoding,
    ) -> Result<(Bytes, Decoded), Problem> {
        let _turn = self.heavy_work.acquire().await.map_err(|_| Problem::shutting_down())?;
        let ingest = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let limit = ingest.deps.settings.decoded_bytes;
            let unpacked = decompress::decompress(encoding, &body.bytes, limit)?;
            let decoded = ingest.decode(&unpacked, media)?;
            let unpacked = match unpacked {
                Cow::Borrowed(_) => body.bytes,
                Cow::Owned(unpacked) => unpacked.into(),
            };
            Ok((unpacked, decoded))
        });
        match work.await {
            Ok(decoded) => decoded,
            Err(ended) => match ended.try_into_panic() {
                // As where a small body is read: no answer, rather than one that isn't true.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Problem::shutting_down()),
            },
        }
    }
}

/// By the names of OpenTelemetry's semantic conventions.
fn request_attributes() -> [KeyValue; 3] {
    [
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("http.route", "/v1/events"),
        KeyValue::new("http.response.status_code", i64::from(StatusCode::ACCEPTED.as_u16())),
    ]
}

/// Parts the events a token may bring from those of other clients, which are rejected.
fn of_client(decoded: Decoded, speaks_for: &str) -> (Vec<Accepted>, Vec<Rejection>) {
    let Decoded { events, mut rejected } = decoded;
    let own = |client: &ClientId| speaks_for == auth::ANY_CLIENT || client.as_str() == speaks_for;
    if events.iter().all(|taken| own(&taken.event.client)) {
        return (events, rejected);
    }
    let mut kept = Vec::with_capacity(events.len());
    for taken in events {
        if own(&taken.event.client) {
            kept.push(taken);
        } else {
            rejected.push(Rejection {
                index: taken.index,
                event_id: Some(taken.event.id.to_string()),
                code: Code::ClientMismatch,
                field: Some("client_id".to_owned()),
                detail: "the token speaks for another client".to_owned(),
                version: Some(taken.event.version),
            });
        }
    }
    rejected.sort_unstable_by_key(|rejection| rejection.index);
    (kept, rejected)
}

fn nothing_accepted(rejected: Vec<Rejection>) -> Problem {
    let foreign = rejected.iter().all(|rejection| rejection.code == Code::ClientMismatch);
    let problem = if foreign {
        Problem::new(
            StatusCode::FORBIDDEN,
            "client_mismatch",
            "the token may not speak for the client of these events",
        )
    } else {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "all_rejected", "no event was accepted")
    };
    problem.with_rejected(rejected)
}

fn body_problem(error: &BodyError) -> Problem {
    let (status, code) = match error {
        BodyError::Syntax { .. } => (StatusCode::BAD_REQUEST, "bad_json"),
        BodyError::Empty => (StatusCode::BAD_REQUEST, "empty_body"),
        BodyError::NotEvents => (StatusCode::BAD_REQUEST, "not_events"),
        BodyError::TooManyEvents { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_events"),
    };
    let problem = Problem::new(status, code, error.to_string());
    match error {
        BodyError::Syntax { line, column, .. } => problem.at(*line, *column),
        _ => problem,
    }
}

fn unavailable(error: &Unavailable) -> Problem {
    tracing::debug!(%error, "events not taken");
    let detail = match error {
        Unavailable::QueueFull => "more events wait than can be taken now",
        Unavailable::Store(_) => "the store cannot write now",
        Unavailable::Bus(_) => "the bus does not take events now",
        Unavailable::Closed => "the server is shutting down",
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(COME_AGAIN)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("no map with keys that are no strings");
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], text).into_response()
}
