//! Ingest and read API on one router over a real store, as [`server::roles`] wires them, with a
//! clock that stands still.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use server::aggregator;
use server::bus::Publisher;
use server::diagnoser::{self, Fleet};
use server::health::{self, Checks};
use server::ingest::{self, Auth, Sink, problem};
use server::store::Scope;
use server::{api, clock};
use tower::ServiceExt;

use crate::world::{Running, T0, World};

/// The receiver's time: half a minute into a minute.
pub(crate) const NOW: i64 = T0 + 30_000;
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Reads whatever the contract lets in.
const SINCE: i64 = NOW - 8 * DAY_MS;

/// A server without a socket.
pub(crate) struct Platform {
    pub(crate) world: World,
    pub(crate) running: Running,
    /// Speaks for every client.
    pub(crate) token: String,
    router: Router,
    read_token: String,
}

/// What a platform is made of, beside its store.
pub(crate) struct Parts {
    pub(crate) ingest: ingest::Settings,
    pub(crate) aggregator: aggregator::Settings,
    /// The clock by which tokens expire; they are made by the true one.
    pub(crate) auth_now: fn() -> i64,
}

impl Default for Parts {
    fn default() -> Self {
        let aggregator = aggregator::Settings { now: || NOW, ..aggregator::Settings::default() };
        Self { ingest: ingest::Settings::default(), aggregator, auth_now: || NOW }
    }
}

/// A request that differs from the usual one where a test says so.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Sent without a Content-Length, in pieces.
    pub(crate) in_pieces: bool,
}

impl Sent {
    /// `POST /v1/events` of this body.
    pub(crate) fn new(token: &str, body: impl Into<Vec<u8>>) -> Self {
        let sent = Self {
            method: Method::POST,
            path: "/v1/events".to_owned(),
            headers: HeaderMap::new(),
            body: body.into(),
            in_pieces: false,
        };
        sent.with("content-type", "application/json").with("authorization", &bearer(token))
    }

    /// With this header in the place of the usual one.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// With this header beside the one that is there.
    pub(crate) fn and(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn to(mut self, method: Method, path: &str) -> Self {
        (self.method, self.path) = (method, path.to_owned());
        self
    }

    pub(crate) fn ndjson(self) -> Self {
        self.with("content-type", "application/x-ndjson")
    }

    pub(crate) fn in_pieces(mut self) -> Self {
        self.in_pieces = true;
        self
    }

    fn request(self) -> Request<Body> {
        let body = if self.in_pieces {
            let pieces: Vec<_> = self.body.chunks(50_000).map(<[u8]>::to_vec).collect();
            let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
            Body::from_stream(futures_util::stream::iter(pieces))
        } else {
            Body::from(self.body)
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        request
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The `code` of a problem, which must be one through and through, or `""` of a good answer.
    pub(crate) fn code(&self) -> &str {
        let media = self.header("content-type");
        if self.status < 300 {
            assert_eq!(media, "application/json", "{self:?}");
            return "";
        }
        assert_eq!(media, "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        for key in ["type", "title", "detail"] {
            assert!(self.body[key].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        if matches!(self.status, 429 | 503) {
            assert!(self.header("retry-after").parse::<u32>().unwrap() >= 1, "{self:?}");
        }
        if self.status == 401 {
            assert!(self.header("www-authenticate").starts_with("Bearer"), "{self:?}");
        }
        self.body["code"].as_str().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `index`, `code` and `field` of each rejection, which must say more in words.
    pub(crate) fn rejected(&self) -> Vec<(u64, &str, Option<&str>)> {
        let Some(rejected) = self.body["rejected"].as_array() else { return Vec::new() };
        let told = |rejection: &Value| {
            assert!(rejection["detail"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(rejection.get("event_id").is_some() && rejection.get("field").is_some());
        };
        rejected.iter().for_each(told);
        let parts = |r: &'_ Value| r["index"].as_u64().unwrap();
        rejected
            .iter()
            .map(|r| (parts(r), r["code"].as_str().unwrap(), r["field"].as_str()))
            .collect()
    }
}

impl Platform {
    pub(crate) fn new() -> Self {
        Self::of(Parts::default())
    }

    pub(crate) fn of(parts: Parts) -> Self {
        Self::over(parts, None)
    }

    /// With a bus between ingest and store.
    pub(crate) fn over(parts: Parts, bus: Option<Publisher>) -> Self {
        let world = World::new();
        let running = world.start(parts.aggregator);
        let tokens = world.store.tokens();
        let token = tokens.create("*", Scope::Ingest, None).unwrap();
        let read_token = tokens.create("*", Scope::Read, None).unwrap();
        let auth = Auth::new(tokens, parts.auth_now);
        let ingest = ingest::router(ingest::Deps {
            metrics: ingest::Metrics::default(),
            tracer: server::trace::Tracer::default(),
            sink: bus.map_or_else(|| Sink::Aggregator(running.aggregator.clone()), Sink::Bus),
            auth: auth.clone(),
            settings: parts.ingest,
            now: || NOW,
        });
        let api = api::router(api::Deps {
            store: world.store.clone(),
            auth,
            metrics: api::Metrics::default(),
            now: || NOW,
        });
        let health = health::router(Checks::of(&running.aggregator));
        let router = ingest.merge(api).merge(health).fallback(problem::not_found);
        Self { world, running, token, router, read_token }
    }

    /// Expires tokens by the true clock.
    pub(crate) fn with_true_expiry() -> Self {
        Self::of(Parts { auth_now: clock::now_ms, ..Parts::default() })
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// A token of one client.
    pub(crate) fn token_of(&self, client_id: &str, scope: Scope) -> String {
        self.world.store.tokens().create(client_id, scope, None).unwrap()
    }

    /// Sends it and takes the whole answer. A panic on the way is one of the test's.
    pub(crate) async fn send(&self, sent: Sent) -> Answer {
        let response = self.router.clone().oneshot(sent.request()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        // A HEAD has none.
        let body =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn post(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.send(Sent::new(&self.token, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Sent::new(&self.read_token, "").to(Method::GET, path)).await
    }

    /// A client's windows as the read API tells them.
    pub(crate) async fn windows(&self, client_id: &str) -> Vec<Value> {
        let to = NOW + DAY_MS;
        let query = format!("client_id={client_id}&from={SINCE}&to={to}&limit=10000");
        let answer = self.get(&format!("/api/v1/windows?{query}")).await;
        assert_eq!((answer.status, &answer.body["truncated"]), (200, &json!(false)));
        answer.body["windows"].as_array().unwrap().clone()
    }

    /// Judges what has ended by then, as one program that goes on with `fleet`.
    pub(crate) async fn judge(&self, fleet: &mut Fleet, now_ms: i64) {
        let (store, aggregator) = (&self.world.store, &self.running.aggregator);
        while diagnoser::detect(store, aggregator, fleet, now_ms).await.unwrap() {}
    }

    /// How many events of a client are in its windows.
    pub(crate) async fn counted(&self, client_id: &str) -> u64 {
        let windows = self.windows(client_id).await;
        windows.iter().map(|window| window["count_total"].as_u64().unwrap()).sum()
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// An event of the contract, good in both versions. Its id follows from `n`.
pub(crate) fn wire(client_id: &str, n: u128) -> Value {
    json!({
        "event_id": id(n), "client_id": client_id, "ts_ms": NOW - 1_000,
        "schema_version": "1.0", "target": "https://shop.example/",
        "network_context": {"interface_type": "wifi", "vpn_enabled": false},
        "timings": {"dns_ms": 12.3, "tcp_ms": 20.1, "tls_ms": 35.2, "http_ttfb_ms": 80.5},
    })
}

pub(crate) fn id(n: u128) -> String {
    uuid::Uuid::from_u128(n + 1).to_string()
}

/// The event with the text of some values replaced, by their paths. The texts go in as they are,
/// so that they can be what no [`Value`] can be; an empty one removes the field.
pub(crate) fn with(event: &Value, changes: &[(&str, &str)]) -> String {
    let mut event = event.clone();
    let mark = |at: usize| format!("<change {at}>");
    for (at, (path, text)) in changes.iter().enumerate() {
        let (parent, key) = match path.split_once('.') {
            Some((parent, key)) => (&mut event[parent], key),
            None => (&mut event, *path),
        };
        if parent.is_null() {
            *parent = json!({});
        }
        let members = parent.as_object_mut().unwrap();
        if text.is_empty() {
            members.remove(key);
        } else {
            members.insert(key.to_owned(), json!(mark(at)));
        }
    }
    changes.iter().enumerate().fold(event.to_string(), |body, (at, (_, text))| {
        body.replace(&json!(mark(at)).to_string(), text)
    })
}

/// An array of events.
pub(crate) fn array(events: &[String]) -> String {
    format!("[{}]", events.join(","))
}
