//! What is wrong with one event is said of that event by code, field and index, and costs no
//! other: the contract's rules for fields, through the router into the windows.

use std::path::Path;

use serde_json::{Value, json};

use crate::platform::{DAY_MS, NOW, Platform, Sent, array, id, wire, with};

/// Sends a bad event alone and in the midst of good ones, as an array and as lines, and expects
/// to be told of it alone, and to find the others counted.
async fn refused_alone(
    platform: &Platform,
    client: &str,
    bad: &str,
    code: &str,
    field: Option<&str>,
) {
    let good = |n| wire(client, n).to_string();
    let alone = platform.post(bad).await;
    assert_eq!((alone.status, alone.code()), (422, "all_rejected"), "{bad}");
    assert_eq!(alone.rejected(), [(0, code, field)], "{bad}");
    assert_eq!(platform.counted(client).await, 0, "{bad}");

    let amid = [good(0), bad.to_owned(), good(1)];
    let arrayed = platform.post(array(&amid)).await;
    let lined = Sent::new(&platform.token, amid.join("\n")).ndjson();
    let lined = platform.send(lined).await;
    for (answer, duplicates) in [(arrayed, 0), (lined, 2)] {
        assert_eq!((answer.status, answer.code()), (202, ""), "{bad}");
        assert_eq!(answer.body["accepted"], 2, "{bad}");
        assert_eq!(answer.body["duplicates"], duplicates, "{bad}");
        assert_eq!(answer.rejected(), [(1, code, field)], "{bad}");
    }
    assert_eq!(platform.counted(client).await, 2, "{bad}");
}

/// Field, the text of its value (empty: absent), code.
const IN_BOTH_VERSIONS: &[(&str, &str, &str)] = &[
    ("schema_version", "", "missing_field"),
    ("schema_version", "1.0", "invalid_field"),
    ("schema_version", "\"\"", "unknown_schema_version"),
    ("schema_version", "\"1\"", "unknown_schema_version"),
    ("schema_version", "\"0.9\"", "unknown_schema_version"),
    ("schema_version", "\"1.2\"", "unknown_schema_version"),
    ("schema_version", "\"2.0\"", "unknown_schema_version"),
    ("event_id", "", "missing_field"),
    ("event_id", "null", "invalid_field"),
    ("event_id", "7", "invalid_field"),
    ("event_id", "\"not-a-uuid\"", "invalid_field"),
    ("event_id", "\"00000000-0000-0000-0000-000000000000\"", "invalid_field"),
    ("client_id", "", "missing_field"),
    ("client_id", "\"\"", "invalid_field"),
    ("client_id", "[\"c\"]", "invalid_field"),
    ("client_id", "\"a\\u0000b\"", "invalid_field"),
    ("client_id", "\"a\\u001b[2Jb\"", "invalid_field"),
    ("client_id", "\"a\u{7f}b\"", "invalid_field"),
    ("client_id", "\"a\u{85}b\"", "invalid_field"),
    ("client_id", "\"a\u{202e}b\"", "invalid_field"),
    ("client_id", "\"a\\ud800b\"", "invalid_field"),
    ("ts_ms", "", "missing_field"),
    ("ts_ms", "\"1700000000000\"", "invalid_field"),
    ("ts_ms", "1.7e12", "invalid_field"),
    ("ts_ms", "0", "invalid_field"),
    ("ts_ms", "-1", "invalid_field"),
    ("ts_ms", "99999999999999999999", "invalid_field"),
    ("ts_ms", "9223372036854775807", "in_future"),
    ("ts_ms", "1", "too_old"),
    ("target", "", "missing_field"),
    ("target", "7", "invalid_field"),
    ("target", "\"shop.example\"", "invalid_field"),
    ("target", "\"ftp://shop.example/\"", "invalid_field"),
    ("target", "\"https://shop.example/\\u0000\"", "invalid_field"),
    ("target", "\"https://shop.example/\\udc00\"", "invalid_field"),
    ("network_context", "", "missing_field"),
    ("network_context", "\"wifi\"", "invalid_field"),
    ("network_context.interface_type", "", "missing_field"),
    ("network_context.interface_type", "1", "invalid_field"),
    ("network_context.vpn_enabled", "", "missing_field"),
    ("network_context.vpn_enabled", "\"false\"", "invalid_field"),
    ("network_context.user_label", "\"a\\nb\"", "invalid_field"),
    ("network_context.user_label", "\"a\u{2066}b\"", "invalid_field"),
    ("network_context.user_label", "7", "invalid_field"),
    ("timings", "", "missing_field"),
    ("timings", "[]", "invalid_field"),
    ("timings.tcp_ms", "", "missing_field"),
    ("timings.http_ttfb_ms", "", "missing_field"),
    ("timings.dns_ms", "\"12\"", "invalid_field"),
    ("timings.tcp_ms", "true", "invalid_field"),
    ("timings.tls_ms", "{}", "invalid_field"),
    ("timings.http_ttfb_ms", "-0.1", "invalid_field"),
    ("throughput_kbps", "\"fast\"", "invalid_field"),
    ("throughput_kbps", "-1", "invalid_field"),
    ("error_stage", "\"quic\"", "invalid_field"),
    ("error_stage", "7", "invalid_field"),
    ("traceparent", "7", "invalid_field"),
    ("tracestate", "[]", "invalid_field"),
];

const IN_1_0: &[(&str, &str, &str)] = &[
    ("timings.dns_ms", "", "missing_field"),
    ("timings.tls_ms", "", "missing_field"),
    ("timings.dns_ms", "null", "invalid_field"),
];

const IN_1_1: &[(&str, &str, &str)] = &[
    ("timings.tcp_ms", "null", "missing_field"),
    ("timings.total_ms", "-1", "invalid_field"),
    ("timings.transfer_ms", "\"1\"", "invalid_field"),
    ("upload_kbps", "-1", "invalid_field"),
    ("http_status", "\"200\"", "invalid_field"),
    ("http_version", "\"4\"", "invalid_field"),
    ("ip_family", "5", "invalid_field"),
    ("remote_addr", "4", "invalid_field"),
    ("dns_server", "4", "invalid_field"),
    ("tls_version", "1.3", "invalid_field"),
    ("tls_cipher", "4", "invalid_field"),
    ("alpn", "2", "invalid_field"),
    ("cert_expires_ms", "1.5", "invalid_field"),
    ("error_type", "4", "invalid_field"),
    ("tcp_info", "7", "invalid_field"),
    ("tcp_info.retrans", "-1", "invalid_field"),
    ("latency.loss_ratio", "1.5", "invalid_field"),
    ("attempt", "\"1\"", "invalid_field"),
    ("probe_version", "1", "invalid_field"),
    ("labels", "[]", "invalid_field"),
    ("labels.site", "7", "invalid_field"),
    ("labels.site", "\"a\\u0000\"", "invalid_field"),
];

#[tokio::test]
async fn a_field_that_is_wrong_costs_its_event_alone() {
    let platform = Platform::new();
    let of = |version: &'static str, rows: &'static [_]| rows.iter().map(move |row| (version, row));
    let rows = of("1.0", IN_BOTH_VERSIONS)
        .chain(of("1.1", IN_BOTH_VERSIONS))
        .chain(of("1.0", IN_1_0))
        .chain(of("1.1", IN_1_1));
    for (at, (version, (field, text, code))) in rows.enumerate() {
        let client = format!("client-{at}");
        let mut event = wire(&client, 2);
        event["schema_version"] = json!(version);
        let bad = with(&event, &[(field, text)]);
        refused_alone(&platform, &client, &bad, code, Some(field)).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_event_as_a_whole_costs_it_alone() {
    let platform = Platform::new();
    let deep = format!("{}{}", "[".repeat(16), "]".repeat(16));
    let pad = json!("x".repeat(16 << 10)).to_string();
    let of = |client: &str, (field, text): (&str, &str)| with(&wire(client, 2), &[(field, text)]);
    for (at, change) in [("other", deep.as_str()), ("other", &pad)].into_iter().enumerate() {
        let client = format!("whole-{at}");
        refused_alone(&platform, &client, &of(&client, change), "invalid_field", None).await;
    }
    for (at, bad) in ["null", "7", "\"event\"", "[]", "[{}]"].into_iter().enumerate() {
        let client = format!("no-object-{at}");
        let answer = platform.post(array(&[wire(&client, 0).to_string(), bad.to_owned()])).await;
        assert_eq!((answer.status, answer.code()), (202, ""), "{bad}");
        assert_eq!(answer.rejected(), [(1, "invalid_field", None)], "{bad}");
        assert_eq!(platform.counted(&client).await, 1, "{bad}");
    }
    let twice = wire("twice", 2).to_string().replacen("{\"", "{\"ts_ms\":1,\"", 1);
    refused_alone(&platform, "twice", &twice, "invalid_field", Some("ts_ms")).await;
    let inner = wire("inner", 2).to_string();
    let inner = inner.replacen("\"tcp_ms\":", "\"tcp_ms\":1,\"tcp_ms\":", 1);
    refused_alone(&platform, "inner", &inner, "invalid_field", Some("timings.tcp_ms")).await;
}

#[tokio::test]
async fn late_counts_in_its_own_minute_and_too_late_or_too_early_is_said() {
    let platform = Platform::new();
    let minute = 60_000;
    // By how much it is late (early where negative), and what is said of it.
    let rows = [
        (0, None),
        (3 * minute, None),
        (6 * DAY_MS, None),
        (7 * DAY_MS, None),
        (7 * DAY_MS + 1, Some("too_old")),
        (8 * DAY_MS, Some("too_old")),
        (-5 * minute, None),
        (-5 * minute - 1, Some("in_future")),
        (-10 * minute, Some("in_future")),
    ];
    for (at, (late_ms, refused)) in rows.into_iter().enumerate() {
        let client = format!("late-{at}");
        let mut event = wire(&client, 2);
        let ts_ms = NOW - late_ms;
        event["ts_ms"] = json!(ts_ms);
        if let Some(code) = refused {
            refused_alone(&platform, &client, &event.to_string(), code, Some("ts_ms")).await;
            continue;
        }
        let answer = platform.post(event.to_string()).await;
        assert_eq!((answer.status, answer.code()), (202, ""), "{late_ms}");
        let [window] = &platform.windows(&client).await[..] else { panic!("{late_ms}") };
        assert_eq!(window["window_start_ts"], ts_ms.div_euclid(minute) * minute);
        assert_eq!(window["count_total"], 1);
    }
}

/// What is no number in JSON, or fits none, is no JSON: of a whole body or of a line.
#[tokio::test]
async fn numbers_that_are_none_are_errors_of_syntax() {
    let platform = Platform::new();
    let texts = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "01", "1.", ".5", "+1"];
    let fields = ["timings.dns_ms", "throughput_kbps", "ts_ms", "other"];
    for (at, text) in texts.into_iter().enumerate() {
        for field in fields {
            let client = format!("number-{at}-{field}");
            let good = |n| wire(&client, n).to_string();
            let bad = with(&wire(&client, 2), &[(field, text)]);
            let body = format!("[{},\n{bad},{}]", good(0), good(1));
            let answer = platform.post(body).await;
            assert_eq!((answer.status, answer.code()), (400, "bad_json"), "{field} {text}");
            assert_eq!(answer.body["line"], 2, "{field} {text}");
            assert!(answer.body["column"].as_u64().unwrap() > 1, "{field} {text}");
            assert_eq!(platform.counted(&client).await, 0, "{field} {text}");

            let lines = [good(0), bad, good(1)].join("\n");
            let answer = platform.send(Sent::new(&platform.token, lines).ndjson()).await;
            assert_eq!((answer.status, answer.code()), (202, ""), "{field} {text}");
            assert_eq!(answer.rejected(), [(1, "bad_json", None)], "{field} {text}");
            assert_eq!(platform.counted(&client).await, 2, "{field} {text}");
        }
    }
}

#[tokio::test]
async fn the_examples_of_the_contract_are_answered_as_they_say() {
    let platform = Platform::new();
    let mut seen = [0, 0];
    for (kind, dir) in ["accepted", "rejected"].into_iter().enumerate() {
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/contract");
        for entry in std::fs::read_dir(contract.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{dir}-{}", path.file_stem().unwrap().to_str().unwrap());
            let text = std::fs::read(path).unwrap();
            let Value::Object(mut example) = serde_json::from_slice(&text).unwrap() else {
                panic!("{name}")
            };
            let mut event = example.remove("event").unwrap();
            let shift = event["ts_ms"].as_str().and_then(|text| text.strip_prefix("NOW"));
            if let Some(shift) = shift.map(|text| text.parse::<i64>().unwrap()) {
                event["ts_ms"] = json!(NOW + shift);
            }
            // A client of its own, where its client is not what it is about.
            let about_client = example.get("expect").is_some_and(|e| e["field"] == "client_id");
            if !about_client {
                event["client_id"] = json!(name);
            }
            if kind == 0 {
                let answer = platform.post(event.to_string()).await;
                assert_eq!((answer.status, answer.rejected()), (202, vec![]), "{name}: {answer:?}");
                assert_eq!(platform.counted(&name).await, 1, "{name}");
            } else {
                let expect = &example["expect"];
                let (code, field) = (expect["code"].as_str().unwrap(), expect["field"].as_str());
                refused_alone(&platform, &name, &event.to_string(), code, field).await;
            }
            seen[kind] += 1;
        }
    }
    assert_eq!(seen, [9, 20]);
}

#[tokio::test]
async fn one_bad_line_among_a_hundred_is_told_by_its_place() {
    let platform = Platform::new();
    let bad: [(&str, &str, Option<&str>); 6] = [
        ("{\"event_id\":", "bad_json", None),
        ("{} {}", "bad_json", None),
        ("not json", "bad_json", None),
        ("{\"a\":\"\u{1}\"}", "bad_json", None),
        ("{}", "missing_field", Some("schema_version")),
        ("[{}]", "invalid_field", None),
    ];
    for (at, (bad, code, field)) in bad.into_iter().enumerate() {
        let client = format!("line-{at}");
        let mut lines: Vec<_> = (0..100).map(|n| wire(&client, n).to_string()).collect();
        lines.insert(41, bad.to_owned());
        let sent = Sent::new(&platform.token, lines.join("\r\n")).ndjson();
        let answer = platform.send(sent).await;
        assert_eq!((answer.status, answer.code()), (202, ""), "{bad}");
        assert_eq!(
            (&answer.body["accepted"], &answer.body["duplicates"]),
            (&100.into(), &0.into())
        );
        assert_eq!(answer.rejected(), [(41, code, field)], "{bad}");
        assert_eq!(platform.counted(&client).await, 100, "{bad}");
    }
    // In an array it depends on whether it is JSON at all.
    let mut events: Vec<_> = (0..100).map(|n| wire("array", n).to_string()).collect();
    events.insert(41, "{}".to_owned());
    let answer = platform.post(array(&events)).await;
    assert_eq!(answer.rejected(), [(41, "missing_field", Some("schema_version"))]);
    assert_eq!(platform.counted("array").await, 100);
    events[41] = "{".to_owned();
    let answer = platform.post(array(&events).replace("array", "syntax")).await;
    assert_eq!((answer.status, answer.code()), (400, "bad_json"));
    assert_eq!(platform.counted("syntax").await, 0);
}

#[tokio::test]
async fn an_event_is_the_same_under_any_spelling_of_its_id_and_for_its_client_alone() {
    let platform = Platform::new();
    let id = id(0xabc_def0);
    let spelled =
        |client: &str, id: &str| with(&wire(client, 0), &[("event_id", &json!(id).to_string())]);
    let upper = id.to_uppercase();
    assert_ne!(id, upper);
    // In one batch, over batches, and of another client.
    let rows = [
        (array(&[spelled("a", &id), spelled("a", &upper)]), 2, 1),
        (array(&[spelled("a", &upper)]), 1, 1),
        (array(&[spelled("b", &upper), spelled("a", &id)]), 2, 1),
        (array(&[spelled("b", &id), spelled("b", &upper)]), 2, 2),
    ];
    for (at, (body, accepted, duplicates)) in rows.into_iter().enumerate() {
        let answer = platform.post(body).await;
        assert_eq!((answer.status, answer.rejected()), (202, vec![]), "{at}");
        assert_eq!(answer.body["accepted"], accepted, "{at}");
        assert_eq!(answer.body["duplicates"], duplicates, "{at}");
    }
    for client in ["a", "b"] {
        assert_eq!(platform.counted(client).await, 1);
        assert_eq!(platform.windows(client).await[0]["revision"], 1);
    }
}
