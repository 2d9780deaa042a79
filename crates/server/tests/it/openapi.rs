//! The document of the HTTP API against what is served.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use model::Gap;
use model::units::{MINUTE_MS, Minute};
use serde_json::{Value, json};
use server::aggregator::Settings;
use server::diagnoser::{self, Fleet};
use server::health::Checks;
use server::ingest::{Auth, Sink, problem};
use server::metrics::Page;
use server::store::{Detected, DriftRow, Scope};
use server::{api, health, ingest, openapi};
use tower::ServiceExt;

use crate::platform::wire;
use crate::world::{Running, T0, TARGET, World, event, minute};

/// Every route, and the scope it needs.
const ROUTES: [(&str, &str, Option<&str>); 13] = [
    ("get", "/-/healthy", None),
    ("get", "/-/ready", None),
    ("get", "/api/openapi.json", None),
    ("get", "/api/v1/drifts", Some("read")),
    ("get", "/api/v1/gaps", Some("read")),
    ("get", "/api/v1/incidents", Some("read")),
    ("get", "/api/v1/incidents/{id}", Some("read")),
    ("get", "/api/v1/scores", Some("read")),
    ("get", "/api/v1/summary", Some("read")),
    ("get", "/api/v1/windows", Some("read")),
    ("post", "/events", Some("ingest")),
    ("get", "/metrics", Some("read")),
    ("post", "/v1/events", Some("ingest")),
];

/// Everything on one router, as `qoe up` has it.
struct Whole {
    world: World,
    running: Running,
    router: Router,
    ingest: String,
    read: String,
}

impl Whole {
    fn new() -> Self {
        let now = || T0 + MINUTE_MS;
        let world = World::new();
        let running = world.start(Settings { now: || T0, ..Settings::default() });
        let tokens = world.store.tokens();
        let [ingest, read] =
            [Scope::Ingest, Scope::Read].map(|scope| tokens.create("*", scope, None).unwrap());
        let auth = Auth::new(tokens, now);
        let events = ingest::router(ingest::Deps {
            sink: Sink::Aggregator(running.aggregator.clone()),
            auth: auth.clone(),
            settings: ingest::Settings::default(),
            metrics: ingest::Metrics::default(),
            tracer: server::trace::Tracer::default(),
            now,
        });
        let page = Page::of("all").for_readers(auth.clone());
        let router = events
            .merge(api::router(api::Deps {
                store: world.store.clone(),
                auth,
                metrics: api::Metrics::default(),
                now,
            }))
            .merge(health::router(Checks::of(&running.aggregator)))
            .merge(page.router())
            .merge(openapi::router())
            .fallback(problem::not_found);
        Self { world, running, router, ingest, read }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, Value) {
        let method: Method = method.to_uppercase().parse().unwrap();
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn document() -> Value {
    serde_json::from_str(openapi::text()).unwrap()
}

#[test]
fn every_route_is_described_and_no_other() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let described = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().iter().map(move |(method, operation)| {
            let mut demands = operation["security"].as_array().unwrap().iter();
            let scope = demands.find_map(|demand| demand["bearer"][0].as_str());
            (method.as_str(), path.as_str(), scope)
        })
    });
    assert_eq!(described.collect::<Vec<_>>(), ROUTES);
}

#[tokio::test]
async fn every_route_is_served_to_tokens_of_its_scope_alone() {
    let whole = Whole::new();
    for (method, path, scope) in ROUTES {
        let path = path.replace("{id}", "0123456789abcd");
        let ask = async |token: Option<&String>| {
            let (status, body) = whole.ask(method, &path, token.map(String::as_str), "[]").await;
            let detail = body["detail"].as_str().unwrap_or_default();
            assert_ne!(detail, "there is nothing at this path", "{path}");
            status
        };
        let (right, wrong) = match scope {
            Some("read") => (&whole.read, &whole.ingest),
            _ => (&whole.ingest, &whole.read),
        };
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        let answers = [ask(None).await, ask(Some(wrong)).await];
        match scope {
            Some(_) => assert_eq!(answers, refused, "{path}"),
            None => assert_eq!(answers, [StatusCode::OK; 2], "{path}"),
        }
        assert!(!refused.contains(&ask(Some(right)).await), "{path}");
        let (status, body) = whole.ask("delete", &path, Some(right), "").await;
        assert!(
            status == StatusCode::METHOD_NOT_ALLOWED && body["code"] == "method_not_allowed",
            "{path}"
        );
    }
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let whole = Whole::new();
    let (store, aggregator) = (&whole.world.store, &whole.running.aggregator);
    let start = Minute::of_ms(T0).plus(-40);
    let mut story: Vec<_> = (0..40).flat_map(|at| minute("c", start.plus(at), at >= 35)).collect();
    story.push(model::Event {
        gap: Some(Gap { count: 7, first_ts_ms: None, last_ts_ms: None }),
        ..event("d", 1, T0)
    });
    aggregator.submit(story).await.unwrap();
    let (mut fleet, now_ms) = (Fleet::default(), T0 + MINUTE_MS);
    while diagnoser::detect(store, aggregator, &mut fleet, now_ms).await.unwrap() {}
    let drift = DriftRow {
        client_id: "c".to_owned(),
        target: TARGET.to_owned(),
        signal: "tcp".to_owned(),
        percent_per_hour: 1.4,
        since_ts: T0 - 1_200 * MINUTE_MS,
        noted_ts: T0,
    };
    aggregator.detect(Detected { drifts: vec![drift], ..Detected::default() }).await.unwrap();

    let document = document();
    let shaped = async |method: &str, path: &str, body: &str, status: u16| {
        let token = if method == "post" { &whole.ingest } else { &whole.read };
        let (answered, answer) = whole.ask(method, path, Some(token), body).await;
        assert_eq!(answered, status, "{path}: {answer}");
        let described = match path.strip_prefix("/api/v1/incidents/") {
            Some(_) => "/api/v1/incidents/{id}",
            None => path.split('?').next().unwrap(),
        };
        let media =
            if answered.is_success() { "application/json" } else { "application/problem+json" };
        let response = &document["paths"][described][method]["responses"][status.to_string()];
        let wrong = mismatches(&document, &response["content"][media]["schema"], &answer, path);
        assert!(wrong.is_empty(), "{wrong:#?} in {answer:#}");
        answer
    };
    let at_rest = ["windows", "summary", "scores", "scores?group_by=none", "drifts", "gaps"];
    for path in at_rest {
        let answer = shaped("get", &format!("/api/v1/{path}"), "", 200).await;
        let rows = answer[path.split('?').next().unwrap()].as_array().unwrap().len();
        assert!(rows > 0, "{path}");
    }
    let incidents = shaped("get", "/api/v1/incidents", "", 200).await;
    let id = incidents["incidents"][0]["id"].as_str().unwrap();
    let one = shaped("get", &format!("/api/v1/incidents/{id}"), "", 200).await;
    assert_eq!(one, incidents["incidents"][0]);
    shaped("get", "/api/v1/incidents/00000000000000", "", 404).await;
    shaped("get", "/api/v1/incidents/nonsense", "", 400).await;
    shaped("get", "/-/ready", "", 200).await;
    let bad = json!({ "schema_version": "1.1", "event_id": "x" });
    let answer = shaped("post", "/v1/events", &bad.to_string(), 422).await;
    assert_eq!(answer["rejected"].as_array().unwrap().len(), 1);
    let mut good = wire("e", 1);
    good["ts_ms"] = T0.into();
    let answer = shaped("post", "/v1/events", &json!([good, bad]).to_string(), 202).await;
    assert_eq!(answer["rejected"].as_array().unwrap().len(), 1);
    shaped("post", "/events", "{", 400).await;
}

/// Where an answer is not of a schema, or holds what the schema does not name. As much of JSON Schema
/// as the document uses for answers.
fn mismatches(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut wrong = Vec::new();
    walk(document, schema, value, at, &mut named, &mut wrong);
    if let (Some(object), false) = (value.as_object(), named.is_empty()) {
        let unnamed = object.keys().filter(|key| !named.contains(*key));
        wrong.extend(unnamed.map(|key| format!("{at}.{key} is not described")));
    }
    wrong
}

/// Collects the properties that the parts of one schema name.
fn walk(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    named: &mut Vec<String>,
    wrong: &mut Vec<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).unwrap();
        return walk(document, target, value, at, named, wrong);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let all: Vec<_> = choices.iter().map(|one| mismatches(document, one, value, at)).collect();
        if !all.iter().any(Vec::is_empty) {
            wrong.extend(all.into_iter().flatten());
        }
        return;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        walk(document, part, value, at, named, wrong);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |name: &Value| name == kind || (name == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    };
    if !fits {
        wrong.push(format!("{at} is {kind}, not {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        wrong.push(format!("{at} is {value}, which is none of {}", schema["enum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        wrong.extend(mismatches(document, &schema["items"], item, &format!("{at}[{index}]")));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        named.push(name.clone());
        if let Some(value) = value.get(name) {
            wrong.extend(mismatches(document, property, value, &format!("{at}.{name}")));
        }
    }
}
