//! Bodies as they are sent: golden files in `golden`, one a kind, for one message of every event.
//! `QOE_TEST_GOLDEN=write` writes them anew.

use model::diagnosis::Label;

use super::*;
use crate::alert::plan::{Input, due};
use crate::alert::testing::{MINUTE, T0, config, incident, receiver};
use crate::store::{Before, What};

fn rows() -> Vec<AlertRow> {
    let config = config();
    let incidents = ["00000000000000a1", "00000000000000b2", "00000000000000c3"].map(incident);
    let now_ms = T0 + 4 * MINUTE;
    let input = Input { config: &config, incidents: &incidents, complete: true, told: &[], now_ms };
    let mut rows: Vec<_> =
        due(&input).into_iter().map(|one| one.row("5f0c9e6b1a2d3e4f", now_ms)).collect();
    let what = What {
        label: Label::PathDelay,
        scope_type: "isp".to_owned(),
        scope_id: "<!channel> & \"Köln\" *Net*".to_owned(),
    };
    let changed = &mut rows[1];
    (changed.event, changed.seq) = (AlertEvent::Changed, 1);
    let was = std::mem::replace(&mut changed.body.what, what);
    changed.body.before = Some(Before { what: was, severity: Severity::Minor });
    let ended = &mut rows[2];
    (ended.event, ended.seq, ended.body.end_ts) = (AlertEvent::Ended, 2, Some(T0 + 2 * MINUTE));
    rows
}

fn sent(kind: Kind, rows: &[AlertRow]) -> Message {
    let now_ms = T0 + 5 * MINUTE;
    message(
        &receiver("ops", kind),
        "5f0c9e6b1a2d3e4f",
        rows,
        Some("https://qoe.example/incidents/{id}"),
        now_ms,
    )
}

/// A request as text, its JSON laid out.
fn shown(message: &Message) -> String {
    let mut text = format!("POST {}\n", message.url);
    for (name, value) in &message.headers {
        text += &format!("{name}: {value}\n");
    }
    let body = match serde_json::from_slice::<serde_json::Value>(&message.body) {
        Ok(json) => serde_json::to_string_pretty(&json).unwrap(),
        Err(_) => String::from_utf8(message.body.clone()).unwrap(),
    };
    format!("{text}\n{body}\n")
}

fn golden(name: &str, kind: Kind, rows: &[AlertRow]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/alert/message/golden/");
    let path = format!("{path}{name}.txt");
    let now = shown(&sent(kind, rows));
    if option_env!("QOE_TEST_GOLDEN") == Some("write") {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(now, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn bodies_are_those_that_are_promised() {
    for (name, kind) in [
        ("webhook", Kind::Webhook),
        ("slack", Kind::Slack),
        ("alertmanager", Kind::Alertmanager),
        ("ntfy", Kind::Ntfy),
    ] {
        golden(name, kind, &rows());
        golden(&format!("{name}_one"), kind, &rows()[..1]);
        golden(&format!("{name}_test"), kind, &[test_notice("ops", T0)]);
    }
}

#[test]
fn what_is_sent_again_is_the_same() {
    let rows = rows();
    let body = |kind, now_ms| message(&receiver("ops", kind), "m", &rows, None, now_ms).body;
    for kind in [Kind::Webhook, Kind::Slack, Kind::Ntfy] {
        assert_eq!(body(kind, T0), body(kind, T0 + 9_999_999), "{kind:?}");
    }
}

#[test]
fn a_flood_is_told_short() {
    let mut rows = vec![rows().remove(0); 50];
    rows.iter_mut().for_each(|row| row.body.text = "ä".repeat(1_000));
    let ntfy = sent(Kind::Ntfy, &rows);
    assert!(ntfy.body.len() <= 4_000 && ntfy.body.ends_with("… and 40 more".as_bytes()));
    let slack: serde_json::Value = serde_json::from_slice(&sent(Kind::Slack, &rows).body).unwrap();
    let blocks = slack["blocks"].as_array().unwrap();
    assert_eq!((blocks.len(), &slack["text"]), (12, &"50 incidents: 50 new".into()));
    let longest = blocks.iter().map(|one| one["text"]["text"].as_str().unwrap().chars().count());
    assert!(longest.max() < Some(3_000));
}

#[test]
fn an_alertmanager_is_named_by_its_root_or_by_the_path_itself() {
    for (named, posted) in [
        ("https://am.example", "https://am.example/api/v2/alerts"),
        ("https://am.example/prefix/", "https://am.example/prefix/api/v2/alerts"),
        ("https://am.example/api/v2/alerts", "https://am.example/api/v2/alerts"),
    ] {
        let mut receiver = receiver("am", Kind::Alertmanager);
        receiver.url = named.parse().unwrap();
        assert_eq!(message(&receiver, "m", &[], None, T0).url.as_str(), posted);
    }
}
