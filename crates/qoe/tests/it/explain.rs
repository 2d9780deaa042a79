//! `qoe explain` and `qoe rediagnose`, over a history that a server has judged.

use std::process::Output;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use server::store::{Detected, DriftRow, Writer};

use crate::http::{get, post};
use crate::running::{Server, create_token, event, eventually, now_ms, qoe};

pub(crate) const MINUTE_MS: i64 = 60_000;
const TARGETS: [&str; 2] = ["https://shop.example/", "https://bank.example/"];

/// Two hours of a client, six times a minute; the look-up is slow from the 80th to the 95th minute.
pub(crate) fn two_hours(client: &str, begin_ms: i64, slow: bool) -> Vec<Value> {
    let mut events = Vec::new();
    for minute in 0..110_i64 {
        for n in 0..6 {
            let mut event = event(client, begin_ms + minute * MINUTE_MS + n * 10_000);
            let jitter = ((minute * 6 + n) * 7_919 % 41) as f64 / 10.0;
            let dns = if slow && (80..95).contains(&minute) { 180.0 } else { 0.0 };
            event["target"] = json!(TARGETS[(n % 2) as usize]);
            event["labels"] = json!({"site": if slow { "berlin" } else { "porto" }});
            event["timings"] = json!({
                "dns_ms": 12.0 + dns + jitter, "tcp_ms": 20.0 + jitter, "tls_ms": 30.0 + jitter,
                "http_ttfb_ms": 60.0 + jitter,
            });
            events.push(event);
        }
    }
    events
}

fn run(dir: &std::path::Path, args: &[&str]) -> Output {
    qoe().args(args).arg("--data-dir").arg(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn an_incident_is_explained_by_its_numbers_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("data");
    let mut server = Server::start(dir, |_| {});
    let token = create_token(dir, "*", "ingest");
    let begin_ms = now_ms() / MINUTE_MS * MINUTE_MS - 112 * MINUTE_MS;
    for (client, slow) in [("a", true), ("b", true), ("c", false), ("d", false)] {
        let body = serde_json::to_string(&two_hours(client, begin_ms, slow)).unwrap();
        assert_eq!(post(server.addr, &token, &body).unwrap().status, 202);
    }
    let reads = create_token(dir, "*", "read");
    let incident = eventually("the incident is told and over", || {
        let path = format!("/api/v1/incidents?from={begin_ms}&open=false");
        let body: Value = serde_json::from_str(&get(server.addr, &path, &reads).ok()?.body).ok()?;
        body["incidents"].as_array()?.first().cloned()
    });
    assert_eq!(incident["label"], "dns-bound");
    assert_eq!(
        (&incident["scope_type"], &incident["scope_id"]),
        (&json!("site"), &json!("berlin"))
    );
    assert_eq!(incident["onset_ts"], begin_ms + 80 * MINUTE_MS);
    assert_eq!(incident["end_ts"], begin_ms + 95 * MINUTE_MS);

    let id = incident["id"].as_str().unwrap();
    let listed = text(&run(dir, &["explain"]));
    assert!(listed.contains(id) && listed.contains("15 min"), "{listed}");
    let told = text(&run(dir, &["explain", id]));
    for part in ["dns-bound", "site berlin", "usual", "change", "evidence", "4 have it", "version"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let none = run(dir, &["explain", "00000000000000"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none).contains("there is no incident"), "{}", text(&none));

    let busy = run(dir, &["rediagnose", "--from", "3h"]);
    assert!(!busy.status.success() && text(&busy).contains("stop it first"), "{}", text(&busy));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let again = run(dir, &["rediagnose", "--from", "3h"]);
    assert!(text(&again).contains("1 incidents as they were, 0 new"), "{}", text(&again));
    assert!(!listed.contains("Slower for hours"), "{listed}");
    let drift = DriftRow {
        client_id: "c".to_owned(),
        target: TARGETS[0].to_owned(),
        signal: "tcp".to_owned(),
        percent_per_hour: 1.4,
        since_ts: begin_ms,
        noted_ts: begin_ms + 60 * MINUTE_MS,
    };
    let found = Detected { drifts: vec![drift], ..Detected::default() };
    Writer::open(dir).unwrap().detect(&found).unwrap();
    let listed = text(&run(dir, &["explain"]));
    let (_, slower) = listed.split_once("Slower for hours, and no incident:\n").unwrap();
    assert!(slower.contains("c  https://shop.example/  tcp +1.4 % an hour since"), "{listed}");
    let told: Value = serde_json::from_slice(&run(dir, &["explain", "--json"]).stdout).unwrap();
    assert_eq!(told["drifts"][0]["percent_per_hour"], 1.4);
    let one: Value = serde_json::from_slice(&run(dir, &["explain", id, "--json"]).stdout).unwrap();
    assert_eq!((one["incidents"][0]["id"].as_str(), one.get("drifts")), (Some(id), None));
    let late = run(dir, &["rediagnose", "--from", "1h", "--to", "2h"]);
    assert!(!late.status.success() && text(&late).contains("not before"), "{}", text(&late));
}
