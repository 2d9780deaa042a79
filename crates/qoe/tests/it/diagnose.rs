//! `qoe diagnose`, over recordings made by `qoe simulate`.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::running::qoe;

/// Two hours; in the second a server is slow for twenty minutes and a resolver answers nothing for ten.
const FAULTS: &str = r#"[
  {"kind": {"server_delay": {"add_ms": 300}}, "scope": {"target": "https://service-2.example/"},
   "from_minute": 70, "minutes": 20},
  {"kind": {"dns_servfail": {"share": 1.0}}, "scope": {"resolver": "192.0.2.53"},
   "from_minute": 105, "minutes": 10}
]"#;

fn recorded(dir: &Path) {
    fs::write(dir.join("faults.json"), FAULTS).unwrap();
    let output = qoe()
        .args(["simulate", "--seed=5", "--minutes=125", "--per-minute=6", "--clients=4"])
        .args(["--targets=3", "--start=2026-03-02T08:00:00Z", "--faults"])
        .arg(dir.join("faults.json"))
        .arg("--out")
        .arg(dir.join("events.ndjson"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn diagnosed(events: &Path) -> (Value, Output) {
    let output = qoe().args(["diagnose", "--json", "--events"]).arg(events).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), output)
}

fn incidents(found: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found["incidents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (text(&i["label"]), text(&i["scope"]["type"]), text(&i["scope"]["id"])))
        .collect()
}

#[test]
fn what_was_broken_is_named_with_its_scope_and_its_times() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path());
    let events = dir.path().join("events.ndjson");
    let (found, _) = diagnosed(&events);
    let owned = |label: &str, kind: &str, id: &str| (label.into(), kind.into(), id.into());
    assert_eq!(
        incidents(&found),
        [
            owned("server-bound", "target", "https://service-2.example/"),
            owned("outage:dns", "resolver", "192.0.2.53"),
        ]
    );
    let minute = |nth: i64| 1_772_438_400_000 + nth * 60_000;
    let (slow, outage) = (&found["incidents"][0], &found["incidents"][1]);
    assert!((slow["onset"].as_i64().unwrap() - minute(70)).abs() <= 120_000, "{slow}");
    assert!((slow["end"].as_i64().unwrap() - minute(90)).abs() <= 180_000, "{slow}");
    assert_eq!(slow["cells"].as_array().unwrap().len(), 4);
    assert_eq!(outage["opened_at"], minute(105), "in its first window: {outage}");
    let evidence = &slow["evidence"];
    assert_eq!(evidence["signal"], "ttfb");
    assert!(evidence["change"]["ratio"].as_f64().unwrap() > 1.2, "{evidence}");
    let level = |which: &str| evidence[which]["p50"].as_f64().unwrap().round();
    let told = format!("ttfb {} ms (usual {} ms", level("current"), level("usual"));
    assert!(slow["text"].as_str().unwrap().contains(&told), "{slow}");
    // Each window is told, and none before it could be known.
    let windows = found["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 125 * 12);
    for window in windows {
        assert!(window["given_at"].as_i64().unwrap() >= window["start"].as_i64().unwrap() + 60_000);
    }
    let text = qoe().args(["diagnose", "--events"]).arg(&events).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("server-bound for target https://service-2.example/"), "{text}");
}

#[test]
fn what_comes_twice_late_or_broken_changes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path());
    let events = dir.path().join("events.ndjson");
    let (before, _) = diagnosed(&events);
    let text = fs::read_to_string(&events).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // Every fifth line twice, every seventh some minutes late, and two lines that are none.
    let mut worse = vec!["{", "[]"];
    let mut held = Vec::new();
    for (nth, line) in lines.iter().enumerate() {
        worse.extend(std::iter::repeat_n(*line, if nth % 5 == 0 { 2 } else { 1 }));
        if nth % 7 == 0 {
            held.push(worse.pop().unwrap());
        }
        if nth % 400 == 399 {
            worse.append(&mut held);
        }
    }
    worse.append(&mut held);
    fs::write(&events, worse.join("\n")).unwrap();
    let (after, output) = diagnosed(&events);
    let refused = String::from_utf8(output.stderr).unwrap();
    assert!(refused.contains("line 1 is no event"), "{refused}");
    assert_eq!(after["summary"]["refused"], 2);
    assert_eq!(after["summary"]["events"], lines.len());
    assert_eq!(after["summary"]["too_late"], 0);
    assert!(after["summary"]["late"].as_u64().unwrap() > 100, "{}", after["summary"]);
    assert_eq!(incidents(&after), incidents(&before));
    let total = |found: &Value| -> u64 {
        found["windows"].as_array().unwrap().iter().map(|w| w["total"].as_u64().unwrap()).sum()
    };
    assert_eq!(total(&after), total(&before));
}

#[test]
fn a_topology_or_a_recording_that_can_not_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (events, topology) = (dir.path().join("e.ndjson"), dir.path().join("t.toml"));
    fs::write(&events, "nothing\n").unwrap();
    fs::write(&topology, "[[client]]\nid = 'a'\n").unwrap();
    let said = |with_topology: bool| {
        let mut command = qoe();
        command.args(["diagnose", "--events"]).arg(&events);
        if with_topology {
            command.arg("--topology").arg(&topology);
        }
        let output = command.output().unwrap();
        // A file that a person wrote is configuration, a recording is not.
        assert_eq!(output.status.code(), Some(if with_topology { 78 } else { 1 }));
        String::from_utf8(output.stderr).unwrap()
    };
    let wrong = said(true);
    assert!(wrong.contains("t.toml") && wrong.contains("client"), "{wrong}");
    assert!(said(false).contains("holds no event that could be read: 1 of 1 lines"));
}

#[test]
fn the_classic_rules_judge_the_same_windows_and_know_no_incidents() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.ndjson");
    recorded(dir.path());
    let (ours, _) = diagnosed(&events);
    let output = qoe()
        .args(["diagnose", "--rules", "classic", "--json", "--events"])
        .arg(&events)
        .output()
        .unwrap();
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        theirs["windows"].as_array().unwrap().len(),
        ours["windows"].as_array().unwrap().len()
    );
    assert_eq!(
        (&theirs["incidents"], &theirs["summary"]["events"]),
        (&Value::Array(vec![]), &ours["summary"]["events"])
    );
    // They alarm on chance alone.
    let labelled = |found: &Value| {
        found["windows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|window| !window["label"].is_null())
            .count()
    };
    assert!(labelled(&theirs) > labelled(&ours), "{} {}", labelled(&theirs), labelled(&ours));
}
