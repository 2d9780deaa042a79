//! The read API, as a router and behind the whole role.

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::units::{MINUTE_MS, Minute};
use model::{Event, Gap};
use serde_json::Value;
use server::aggregator::Settings;
use server::diagnoser::{self, Fleet};
use server::store::{Detected, DriftRow, Scope};
use server::{api, ingest::Auth};
use tower::ServiceExt;

use crate::world::{Running, T0, TARGET, World, event, minute};

struct Api {
    world: World,
    running: Running,
    router: Router,
    token: String,
}

impl Api {
    fn new() -> Self {
        let world = World::new();
        let running = world.start(Settings { now: || T0, ..Settings::default() });
        let tokens = world.store.tokens();
        let token = tokens.create("*", Scope::Read, None).unwrap();
        let now = || T0 + MINUTE_MS;
        let router = api::router(api::Deps {
            store: world.store.clone(),
            auth: Auth::new(tokens, now),
            metrics: api::Metrics::default(),
            now,
        });
        Self { world, running, router, token }
    }

    async fn get_as(&self, token: Option<&str>, path: &str) -> (StatusCode, Value) {
        ask(&self.router, token, path).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.get_as(Some(&self.token), path).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

async fn ask(router: &Router, token: Option<&str>, path: &str) -> (StatusCode, Value) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn reading_takes_a_token_of_scope_read() {
    let api = Api::new();
    let ingest = api.world.store.tokens().create("c", Scope::Ingest, None).unwrap();
    for path in ["/api/v1/windows", "/api/v1/summary", "/api/v1/scores", "/api/v1/incidents"] {
        assert_eq!(api.get_as(None, path).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(api.get_as(Some(&ingest), path).await.0, StatusCode::FORBIDDEN);
        assert_eq!(api.get_as(Some(&api.token), path).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_window_has_its_columns_and_absent_is_null() {
    let api = Api::new();
    // No look-up completed, no throughput measured.
    let mut failed = event("c", 1, T0);
    failed.failure = Some(model::ErrorStage::Dns);
    failed.throughput = None;
    api.running.aggregator.submit(vec![failed, event("d", 1, T0 - 5 * MINUTE_MS)]).await.unwrap();
    let body = api.get("/api/v1/windows").await;
    let [c, d] = &body["windows"].as_array().unwrap()[..] else { panic!("{body}") };
    assert_eq!((&c["client_id"], &c["target"]), (&"c".into(), &TARGET.into()));
    assert_eq!(c["window_start_ts"], T0);
    for (name, value) in [("count_total", 1), ("count_success", 0), ("count_error", 1)] {
        assert_eq!(c[name], value, "{name}");
    }
    assert_eq!((&c["errors_dns"], &c["errors_parse"]), (&1.into(), &0.into()));
    assert!(c["dns_p50_ms"].is_null() && c["total_p99_ms"].is_null());
    assert!(c["throughput_p95_kbps"].is_null() && c["diagnosis_label"].is_null());
    assert_eq!(d["dns_p50_ms"], 10.001);
    assert_eq!((&c["provisional"], &d["provisional"]), (&true.into(), &false.into()));
    assert_eq!((&c["revision"], &body["truncated"]), (&1.into(), &false.into()));
}

#[tokio::test]
async fn windows_are_chosen_by_client_target_time_and_number() {
    let api = Api::new();
    let minutes = |client: &'static str| {
        (0..20).map(move |i| event(client, i, T0 - i.cast_signed() * MINUTE_MS))
    };
    api.running.aggregator.submit(minutes("a").chain(minutes("b")).collect()).await.unwrap();
    let count = async |query: String| {
        let body = api.get(&format!("/api/v1/windows?{query}")).await;
        let windows = body["windows"].as_array().unwrap().clone();
        (windows, body["truncated"] == true)
    };
    assert_eq!(count(String::new()).await.0.len(), 40);
    let (of_a, more) = count("client_id=a&target=https%3A%2F%2Ft.example%2F".to_owned()).await;
    assert_eq!((of_a.len(), more), (20, false));
    assert!(of_a.iter().all(|window| window["client_id"] == "a"));
    assert_eq!(count("client_id=a&target=https://else.example/".to_owned()).await.0.len(), 0);
    let from = T0 - 4 * MINUTE_MS;
    assert_eq!(count(format!("client_id=b&from={from}&to={T0}")).await.0.len(), 4);
    let written = "client_id=b&from=2023-11-14T22:09:00Z&to=2023-11-14T22:13:00Z".to_owned();
    assert_eq!(count(written).await.0.len(), 4);
    let (newest, more) = count("limit=3".to_owned()).await;
    let starts: Vec<_> =
        newest.iter().map(|window| window["window_start_ts"].as_i64().unwrap()).collect();
    assert_eq!((starts, more), (vec![T0 - 2 * MINUTE_MS, T0 - MINUTE_MS, T0], true));
}

#[tokio::test]
async fn a_summary_merges_sketches_and_its_means_add_up() {
    let api = Api::new();
    // One window of one slow event, one of nine fast ones: the median is a fast one.
    let timed = |n: u64, ts_ms: i64, us: u64| {
        let mut event = event("c", 10 * n + 1, ts_ms);
        event.failure = None;
        event.timings.ttfb = Some(model::Micros(us));
        event
    };
    let slow = timed(0, T0 - MINUTE_MS, 900_000);
    let fast = (1..10).map(|n| timed(n, T0, 40_000));
    api.running.aggregator.submit(fast.chain([slow]).collect()).await.unwrap();
    let body = api.get("/api/v1/summary").await;
    let [row] = &body["summary"].as_array().unwrap()[..] else { panic!("{body}") };
    assert_eq!((&row["windows"], &row["count_total"]), (&2.into(), &10.into()));
    assert_eq!((&row["ttfb_p50_ms"], &row["ttfb_p95_ms"]), (&40.0.into(), &900.0.into()));
    assert_eq!(row["last_window_ts"], T0);
    let mean = |name: &str| row["mean"][name].as_f64().unwrap();
    let parts = ["dns_ms", "tcp_ms", "tls_ms", "ttfb_ms", "rest_ms"].map(mean);
    assert!((parts.iter().sum::<f64>() - mean("total_ms")).abs() < 1e-9);
    assert!((mean("ttfb_ms") - 126.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_summary_is_chosen_by_client_and_target_and_bounded() {
    let api = Api::new();
    let events = ["a", "b", "c"].map(|client| event(client, 1, T0));
    api.running.aggregator.submit(events.to_vec()).await.unwrap();
    let clients = async |query: &str| {
        let body = api.get(&format!("/api/v1/summary?{query}")).await;
        let rows = body["summary"].as_array().unwrap().iter();
        let clients = rows.map(|row| row["client_id"].as_str().unwrap());
        (clients.collect::<String>(), body["truncated"] == true)
    };
    let rows = [
        ("", "abc", false),
        ("client_id=b", "b", false),
        ("client_id=nobody", "", false),
        ("target=https://t.example/", "abc", false),
        ("target=https://else.example/", "", false),
        ("limit=3", "abc", false),
        ("limit=2", "ab", true),
        ("limit=1&target=https://t.example/", "a", true),
    ];
    for (query, expected, more) in rows {
        assert_eq!(clients(query).await, (expected.to_owned(), more), "{query}");
    }
}

#[tokio::test]
async fn scores_are_told_of_any_cohort_and_absent_is_absent() {
    let api = Api::new();
    // The four of docs/scores.md: 400, 1200 and 1800 ms to the first byte, and a failure.
    let waited = |n: u64, ms: Option<u64>| {
        let us = |ms| Some(model::Micros(ms * 1_000));
        let timings = model::event::Timings {
            tcp: ms.and_then(|_| us(20)),
            ttfb: ms.and_then(|ms| us(ms - 20)),
            ..Default::default()
        };
        let failure = ms.is_none().then_some(model::ErrorStage::Tcp);
        Event { timings, failure, throughput: None, ..event("a", n, T0) }
    };
    let four = [Some(400), Some(1_200), Some(1_800), None];
    let mut events: Vec<_> = (1..).zip(four).map(|(n, ms)| waited(n, ms)).collect();
    // Its page came; only the transfer failed. And one whose probe was in trouble says nothing.
    let transfer = Some(model::ErrorStage::ThroughputTimeout);
    events.push(Event {
        client: model::ClientId::trusted("b"),
        failure: transfer,
        ..waited(9, Some(300))
    });
    events.push(Event { troubled: true, ..event("c", 1, T0) });
    api.running.aggregator.submit(events).await.unwrap();

    let body = api.get("/api/v1/scores").await;
    assert_eq!(
        (&body["profile"], &body["grain"], &body["truncated"]),
        (&"web".into(), &"minute".into(), &false.into())
    );
    let [a, b, c] = &body["scores"].as_array().unwrap()[..] else { panic!("{body}") };
    let score = &a["score"];
    assert_eq!(score["score"].as_f64().unwrap().round(), 56.0);
    assert_eq!(
        (&score["band"], &score["limited_by"], &score["n"], &score["confidence"]),
        (&"fair".into(), &"failures".into(), &4.into(), &"low".into())
    );
    assert_eq!(
        (&score["availability"]["share"], &score["parts"]["web"]["failed"]),
        (&0.75.into(), &1.into())
    );
    assert!(score["availability"]["low"].as_f64().unwrap() < 0.35, "{score}");
    assert!(score["parts"]["net"]["throughput"].is_null());
    assert_eq!(a["rests_on"], serde_json::json!(["first_byte", "round_trip", "loss_proxy"]));
    assert_eq!(
        (&b["score"]["score"], &b["score"]["availability"]["share"]),
        (&100.0.into(), &1.0.into())
    );
    assert_eq!(
        (&c["score"], &c["count_troubled"], &c["count_total"]),
        (&Value::Null, &1.into(), &0.into())
    );

    let rows = async |query: &str| {
        let body = api.get(&format!("/api/v1/scores?{query}")).await;
        (body["scores"].as_array().unwrap().clone(), body["truncated"] == true)
    };
    let (all, _) = rows("group_by=none").await;
    assert_eq!(
        (all.len(), &all[0]["count_total"], &all[0]["score"]["n"]),
        (1, &5.into(), &5.into())
    );
    assert!(all[0].get("client_id").is_none() && all[0].get("target").is_none());
    let (targets, _) = rows("group_by=target&client_id=a").await;
    assert_eq!((&targets[0]["target"], &targets[0]["score"]["n"]), (&TARGET.into(), &4.into()));
    let (clients, more) = rows("group_by=client_id&limit=2").await;
    assert_eq!((clients.len(), more, &clients[1]["client_id"]), (2, true, &"b".into()));
    assert_eq!(rows("client_id=nobody&group_by=none").await, (vec![], false));
    // From days, of which none has ended.
    let body = api.get("/api/v1/scores?from=1600000000000").await;
    assert_eq!((&body["grain"], &body["scores"]), (&"day".into(), &Value::Array(vec![])));
    // In each row of the summary, as in the scores.
    assert_eq!(api.get("/api/v1/summary").await["summary"][0]["score"], *score);

    let (status, refused) = api.get_as(Some(&api.token), "/api/v1/scores?profile=films").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("web, streaming, conferencing, gaming, backup"), "{detail}");
    for profile in ["web", "streaming", "conferencing", "gaming", "backup"] {
        assert_eq!(api.get(&format!("/api/v1/scores?profile={profile}")).await["profile"], profile);
    }
}

#[tokio::test]
async fn what_probes_lost_and_what_was_set_aside_is_told() {
    let api = Api::new();
    let gap = Gap { count: 7, first_ts_ms: Some(T0 - 9_000), last_ts_ms: None };
    let telling = Event { gap: Some(gap), troubled: true, ..event("a", 1, T0) };
    let other = Event { gap: Some(gap), ..event("b", 1, T0) };
    api.running.aggregator.submit(vec![telling, other]).await.unwrap();
    let body = api.get("/api/v1/gaps?client_id=a").await;
    let row = serde_json::json!({
        "client_id": "a", "at_ts": T0, "count": 7, "first_ts": T0 - 9_000, "last_ts": null,
    });
    assert_eq!((&body["gaps"], &body["truncated"]), (&Value::Array(vec![row]), &false.into()));
    assert_eq!(api.get("/api/v1/gaps?limit=1").await["truncated"], true);
    let body = api.get("/api/v1/windows?client_id=a").await;
    let window = &body["windows"][0];
    assert_eq!((&window["count_troubled"], &window["count_total"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn what_grows_slowly_is_told() {
    let api = Api::new();
    let noted = |client: &str| DriftRow {
        client_id: client.to_owned(),
        target: TARGET.to_owned(),
        signal: "tcp".to_owned(),
        percent_per_hour: 1.4,
        since_ts: T0 - 1_200 * MINUTE_MS,
        noted_ts: T0,
    };
    let found = Detected { drifts: vec![noted("a"), noted("b")], ..Detected::default() };
    api.running.aggregator.detect(found).await.unwrap();
    let body = api.get("/api/v1/drifts?client_id=a&target=https://t.example/").await;
    let row = serde_json::json!({
        "client_id": "a", "target": TARGET, "signal": "tcp", "percent_per_hour": 1.4,
        "since_ts": T0 - 1_200 * MINUTE_MS, "noted_ts": T0,
    });
    assert_eq!((&body["drifts"], &body["truncated"]), (&Value::Array(vec![row]), &false.into()));
    assert_eq!(api.get("/api/v1/drifts?limit=1").await["truncated"], true);
    let before = format!("/api/v1/drifts?to={T0}");
    assert_eq!(api.get(&before).await["drifts"], Value::Array(vec![]));
}

#[tokio::test]
async fn incidents_are_told_with_their_numbers() {
    let api = Api::new();
    let start = Minute::of_ms(T0).plus(-40);
    let story = (0..40).flat_map(|at| minute("c", start.plus(at), at >= 35));
    api.running.aggregator.submit(story.collect()).await.unwrap();
    let (mut fleet, now_ms) = (Fleet::default(), T0 + MINUTE_MS);
    let (store, aggregator) = (&api.world.store, &api.running.aggregator);
    while diagnoser::detect(store, aggregator, &mut fleet, now_ms).await.unwrap() {}
    let body = api.get("/api/v1/incidents?open=true").await;
    let [incident] = &body["incidents"].as_array().unwrap()[..] else { panic!("{body}") };
    assert_eq!((&incident["label"], &incident["end_ts"]), (&"dns-bound".into(), &Value::Null));
    assert_eq!(incident["onset_ts"], T0 - 5 * MINUTE_MS);
    assert!(incident["evidence"]["usual"]["p50"].as_f64().unwrap() < 15.0);
    assert!(incident["text"].as_str().unwrap().contains("dns"), "{incident}");
    let id = incident["id"].as_str().unwrap();
    for none in [
        "open=false".to_owned(),
        format!("to={}", T0 - 10 * MINUTE_MS),
        format!("id={}0", &id[1..]),
    ] {
        let body = api.get(&format!("/api/v1/incidents?{none}")).await;
        assert_eq!(body["incidents"], Value::Array(vec![]), "{none}");
    }
    assert_eq!(api.get(&format!("/api/v1/incidents?id={id}")).await["incidents"][0]["id"], id);
    // By itself too, of whatever time.
    assert_eq!(api.get(&format!("/api/v1/incidents/{id}")).await, *incident);
    let told = async |path: String| {
        let (status, body) = api.get_as(Some(&api.token), &path).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let other = told(format!("/api/v1/incidents/{}0", &id[1..])).await;
    assert_eq!(other, (StatusCode::NOT_FOUND, "not_found".to_owned()));
    let upper = id.to_uppercase();
    for none in ["x", &format!("{id}0"), &format!("{}G", &upper[1..]), "%ff", &format!("{id}?x=1")]
    {
        let refused = told(format!("/api/v1/incidents/{none}")).await;
        assert_eq!(refused, (StatusCode::BAD_REQUEST, "invalid_parameter".to_owned()), "{none}");
    }
    let summary = api.get("/api/v1/summary").await;
    assert_eq!(summary["summary"][0]["diagnosis_label"], "dns-bound");
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let api = Api::new();
    for (path, name) in [
        ("windows?from=yesterday", "from"),
        ("windows?to=-1", "to"),
        ("windows?to=99999999999999999999", "to"),
        ("windows?from=2000&to=1000", "from"),
        ("windows?from=0&to=1700000000000", "from"),
        ("windows?limit=0", "limit"),
        ("windows?limit=10001", "limit"),
        ("windows?limit=1&limit=2", "limit"),
        ("windows?client_id=", "client_id"),
        ("windows?client=a", "client"),
        ("windows?client_id=a%00b", "client_id"),
        ("summary?target=a%1Bb", "target"),
        ("summary?from=1699000000000&to=1699999999999", "from"),
        ("summary?limit=10001", "limit"),
        ("summary?client=a", "client"),
        ("summary?target=", "target"),
        ("incidents?open=maybe", "open"),
        ("incidents?id=0123", "id"),
        ("incidents?client_id=a", "client_id"),
        ("drifts?open=true", "open"),
        ("scores?profile=films", "profile"),
        ("scores?group_by=moon", "group_by"),
        ("scores?limit=1001", "limit"),
        ("scores?from=0", "from"),
        ("scores?open=true", "open"),
    ] {
        let (status, body) = api.get_as(Some(&api.token), &format!("/api/v1/{path}")).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::BAD_REQUEST, &"invalid_parameter".into()),
            "{path}"
        );
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("parameter {name}: ")), "{path}: {detail}");
    }
}
