//! `qoe compare`, and the scores of `qoe report` and of the API, over what a server has counted.

use std::path::Path;

use serde_json::{Value, json};

use crate::http::{get, post};
use crate::running::{Server, create_token, event, now_ms, qoe, report};

const MINUTE_MS: i64 = 60_000;
const TARGET: &str = "https://shop.example/";

/// Half an hour of `client`, four times a minute, with so many ms to the first byte; every `failing`th
/// fails.
fn half_hour(client: &str, ttfb_ms: f64, failing: usize) -> Vec<Value> {
    let now = now_ms();
    (0..120_usize)
        .map(|n| {
            let ago = MINUTE_MS / 4 * i64::try_from(n).unwrap() + 5_000;
            let mut event = event(client, now - ago);
            if n % failing == failing - 1 {
                event["error_stage"] = json!("tcp");
                event["timings"] = json!({"dns_ms": 12.0});
                return event;
            }
            // Not all the same, and in no order that minutes would share.
            let jitter = (n * 7 % 10) as f64;
            let ttfb = ttfb_ms + jitter;
            event["timings"] = json!({
                "dns_ms": 12.0 + jitter, "tcp_ms": 20.0 + jitter, "tls_ms": 40.0 + jitter,
                "http_ttfb_ms": ttfb, "total_ms": 72.0 + 3.0 * jitter + ttfb,
            });
            event
        })
        .collect()
}

fn compared(dir: &Path, a: &str, b: &str) -> Value {
    let output = qoe().args(["compare", "--json", a, b, "--data-dir"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stage<'a>(found: &'a Value, name: &str) -> &'a Value {
    let stages = found["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["stage"] == name).unwrap()
}

#[test]
fn what_differs_is_told_by_stage_and_scores_say_for_whom_it_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let server = Server::start(&dir, |_| {});
    let token = create_token(&dir, "*", "ingest");
    for (client, ttfb_ms, failing) in
        [("near", 80.0, 1_000), ("far", 900.0, 1_000), ("twin", 80.0, 1_000), ("weak", 80.0, 3)]
    {
        let body = serde_json::to_string(&half_hour(client, ttfb_ms, failing)).unwrap();
        let answer = post(server.addr, &token, &body).unwrap();
        assert!(answer.body.contains(r#""accepted":120"#), "{}", answer.body);
    }

    // While the server runs.
    let found =
        compared(&dir, "client=near", &format!("target={TARGET},client=far,from=1h,to=now"));
    assert_eq!((&found["schema"], &found["overlap"]), (&json!("qoe.compare/1"), &json!(false)));
    assert_eq!((&found["a"]["client_id"], &found["b"]["target"]), (&json!("near"), &json!(TARGET)));
    let wait = stage(&found, "ttfb");
    assert_eq!((&wait["effect"], &wait["a"]["n"]), (&json!("b_slower"), &json!(120)));
    assert!((wait["difference"]["p50"].as_f64().unwrap() - 820.0).abs() < 10.0, "{wait}");
    assert_eq!((&wait["unit"], &wait["test"]["p_b_worse"]), (&json!("ms"), &json!(1.0)));
    assert_eq!(stage(&found, "total")["effect"], "b_slower");
    for same in ["dns", "tcp", "tls"] {
        assert_eq!(stage(&found, same)["effect"], "no_difference_told", "{same}");
        assert_eq!(stage(&found, same)["reason"], "chance", "{same}");
    }
    let absent = stage(&found, "throughput");
    assert_eq!((&absent["effect"], &absent["a"]["p50"]), (&json!("too_few"), &Value::Null));
    assert_eq!(found["failures"]["effect"], "no_difference_told");
    assert_eq!(stage(&compared(&dir, "client=far", "client=near"), "ttfb")["effect"], "b_faster");
    let twins = compared(&dir, "client=near", "client=twin");
    assert_eq!(stage(&twins, "ttfb")["effect"], "no_difference_told");
    let weak = compared(&dir, "client=near", "client=weak");
    assert_eq!(weak["failures"]["effect"], "b_fails_more");
    assert_eq!(weak["failures"]["b"]["failed"], 40);
    assert_eq!(compared(&dir, "from=1h", "client=near")["overlap"], true);

    let text =
        qoe().args(["compare", "client=near", "client=far", "--data-dir"]).arg(&dir).output();
    let text = String::from_utf8(text.unwrap().stdout).unwrap();
    assert!(text.contains("far at every target") && text.contains("B slower"), "{text}");
    assert!(text.contains("no difference told") && text.contains("not measured"), "{text}");

    // The same windows as scores: in the report, and from the API over all clients.
    let report = report(&dir);
    let scores: Vec<_> = report["summary"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["client_id"].as_str().unwrap(), &row["score"]))
        .collect();
    let [("far", far), ("near", near), ("twin", _), ("weak", weak)] = &scores[..] else { panic!() };
    assert_eq!((&near["score"], &near["limited_by"]), (&json!(100.0), &Value::Null));
    assert_eq!((&far["limited_by"], &weak["limited_by"]), (&json!("ttfb"), &json!("failures")));
    assert_eq!(weak["availability"]["n"], 120);
    let shown = qoe().args(["report", "--data-dir"]).arg(&dir).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("score 100, excellent · available 100.0 %"), "{shown}");
    assert!(shown.contains("score 67, fair, limited by failures"), "{shown}");
    let read = create_token(&dir, "me", "read");
    let answer = get(server.addr, "/api/v1/scores?group_by=target&from=0", &read).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.body);
    let answer = get(server.addr, "/api/v1/scores?group_by=target", &read).unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (&answer["scores"][0]["target"], &answer["scores"][0]["score"]["n"]),
        (&json!(TARGET), &json!(480))
    );
}

#[test]
fn a_cohort_that_is_wrong_is_2_and_one_that_is_empty_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("none");
    let run =
        |a: &str, b: &str| qoe().args(["compare", a, b, "--data-dir"]).arg(&dir).output().unwrap();
    for (a, b, word) in [
        ("near", "client=far", "client=NAME"),
        ("client=near", "from=1h,to=2h", "cohort B: from is not before to"),
        ("from=30d", "client=far", "cohort A: it spans more than a week"),
        ("client=near", "from=soon", "from=soon"),
    ] {
        let output = run(a, b);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{a} {b}: {error}");
        assert!(error.contains(word), "{a} {b}: {error}");
    }
    let output = run("client=near", "client=far");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Nothing was measured in A and B") && text.contains("qoe report"),
        "{text}"
    );
    assert!(!dir.exists(), "looking makes nothing");
}
