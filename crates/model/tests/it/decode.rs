//! The contract rule by rule: a good event, one change, and what becomes of it.

use model::decode::{BodyError, Code, Decoded, Limits, Media, decode, decode_each};
use model::{BitsPerSecond, ErrorStage, Event, Metric, Micros};
use serde_json::{Value, json};

const NOW: i64 = 1_760_000_000_000;
const ID: &str = "0197a3c2-7d41-7c3e-9a55-2f6f1f0f9a01";

fn good(version: &str) -> Value {
    json!({
        "event_id": ID,
        "client_id": "probe-1",
        "ts_ms": NOW - 1_000,
        "schema_version": version,
        "target": "https://shop.example/",
        "network_context": {"interface_type": "wifi", "vpn_enabled": false, "user_label": "home"},
        "timings": {"dns_ms": 12.3, "tcp_ms": 20.1, "tls_ms": 35.2, "http_ttfb_ms": 80.5},
        "throughput_kbps": 54_321.0,
        "error_stage": null,
    })
}

/// A good event with the member at a path (`a.b`) set to a JSON text; an empty text removes it.
pub(crate) fn with(version: &str, changes: &[(&str, &str)]) -> String {
    let mut event = good(version);
    for (path, text) in changes {
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
            members.insert(key.to_owned(), json!(format!("<{text}>")));
        }
    }
    // The texts go in as they are, so that they can be what no Value can be.
    let mut body = event.to_string();
    for (_, text) in changes {
        body = body.replace(&json!(format!("<{text}>")).to_string(), text);
    }
    body
}

fn json_body(body: &str) -> Result<Decoded, BodyError> {
    decode(body.as_bytes(), Media::Json, NOW, &Limits::default())
}

pub(crate) fn accepted(body: &str) -> Event {
    let mut decoded = json_body(body).unwrap();
    assert_eq!(decoded.rejected, [], "{body}");
    decoded.events.remove(0).event
}

pub(crate) fn rejected(body: &str) -> (Code, Option<String>, String) {
    let mut decoded = json_body(body).unwrap();
    assert_eq!(decoded.events, [], "{body}");
    let rejection = decoded.rejected.remove(0);
    (rejection.code, rejection.field, rejection.detail)
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

#[test]
fn what_each_field_may_hold() {
    let client_255 = quoted(&"é".repeat(255));
    let url_2048 = quoted(&format!("http://h/{}", "a".repeat(2_048 - 9)));
    let label_255 = quoted(&"ü".repeat(255));
    let interface_64 = quoted(&"x".repeat(64));
    let seven_days = (NOW - 7 * 86_400_000).to_string();
    let five_minutes = (NOW + 300_000).to_string();
    let of_1_0 = [
        ("event_id", "\"0197A3C2-7D41-7C3E-9A55-2F6F1F0F9A01\""),
        ("event_id", "\"c232ab00-9414-11ec-b3c8-9f6bdeced846\""),
        ("event_id", "\"ffffffff-ffff-ffff-ffff-ffffffffffff\""),
        ("event_id", "\"0197a3c2\\u002d7d41-7c3e-9a55-2f6f1f0f9a01\""),
        ("client_id", "\"*\""),
        ("client_id", "\"קלינט 💡\""),
        ("client_id", &client_255),
        ("ts_ms", &seven_days),
        ("ts_ms", &five_minutes),
        ("recv_ts_ms", "\"whatever\""),
        ("target", "\"HTTP://[2001:db8::1]:8080/a?b=c#d\""),
        ("target", "\"https://bücher.example/ü\""),
        ("target", &url_2048),
        ("network_context.interface_type", &interface_64),
        ("network_context.interface_type", "\"\""),
        ("network_context.vpn_enabled", "true"),
        ("network_context.user_label", "null"),
        ("network_context.user_label", &label_255),
        ("network_context.new", "[{}]"),
        ("timings.dns_ms", "0"),
        ("timings.tls_ms", "-0.0"),
        ("timings.tcp_ms", "1e3"),
        ("timings.new", "\"x\""),
        ("throughput_kbps", "null"),
        ("throughput_kbps", ""),
        ("throughput_kbps", "0"),
        ("error_stage", ""),
        ("error_stage", "\"Throughput_Timeout\""),
        ("error_stage", "\"PARSE\""),
        ("traceparent", "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\""),
        ("tracestate", "null"),
        ("anything", "{\"a\":[1,2,{\"b\":null}]}"),
        ("anything", "\"\\ud800\""),
    ];
    for (field, value) in of_1_0 {
        accepted(&with("1.0", &[(field, value)]));
        accepted(&with("1.1", &[(field, value)]));
    }
    let of_1_1 = [
        ("timings.dns_ms", "null"),
        ("timings.tls_ms", ""),
        ("timings.total_ms", "0"),
        ("timings.transfer_ms", "null"),
        ("upload_kbps", "0.5"),
        ("http_status", "599"),
        ("http_version", "\"1.1\""),
        ("http_version", "\"3\""),
        ("ip_family", "6"),
        ("remote_addr", "\"2001:db8::1\""),
        ("cert_expires_ms", "-1"),
        ("error_type", "\"tls.cert.date_invalid\""),
        ("tcp_info", "null"),
        ("tcp_info", "{\"retrans\":0,\"rtt_ms\":null,\"cwnd\":\"new\"}"),
        ("latency", "{\"loss_ratio\":1,\"rpm\":0}"),
        ("attempt", "0"),
        ("labels", "{}"),
        ("labels", "null"),
    ];
    for (field, value) in of_1_1 {
        accepted(&with("1.1", &[(field, value)]));
    }
}

#[test]
fn what_each_field_may_not_hold() {
    use Code::{InFuture, InvalidField, MissingField, TooOld, UnknownSchemaVersion};
    let client_256 = quoted(&"é".repeat(256));
    let url_2049 = quoted(&format!("http://h/{}", "a".repeat(2_049 - 9)));
    let text_256 = quoted(&"a".repeat(256));
    let text_65 = quoted(&"a".repeat(65));
    let eight_days = (NOW - 8 * 86_400_000).to_string();
    let too_old = (NOW - 7 * 86_400_000 - 1).to_string();
    let in_future = (NOW + 300_001).to_string();
    let labels_17: Value = (0..17).map(|i| (i.to_string(), json!("v"))).collect();
    let labels_17 = labels_17.to_string();
    let long_key = format!("{{{text_65}:\"v\"}}");
    let rows = [
        ("event_id", "", MissingField),
        ("event_id", "null", InvalidField),
        ("event_id", "7", InvalidField),
        ("event_id", "\"00000000-0000-0000-0000-000000000000\"", InvalidField),
        ("event_id", "\"0197a3c2-7d41-7c3e-9a55-2f6f1f0f9a0\"", InvalidField),
        ("client_id", "", MissingField),
        ("client_id", "\"\"", InvalidField),
        ("client_id", "1", InvalidField),
        ("client_id", &client_256, InvalidField),
        ("ts_ms", "", MissingField),
        ("ts_ms", "null", InvalidField),
        ("ts_ms", "-5", InvalidField),
        ("ts_ms", "1.0", InvalidField),
        ("ts_ms", "1e3", InvalidField),
        ("ts_ms", "true", InvalidField),
        ("ts_ms", "9223372036854775808", InvalidField),
        ("ts_ms", "1", TooOld),
        ("ts_ms", &eight_days, TooOld),
        ("ts_ms", &too_old, TooOld),
        ("ts_ms", &in_future, InFuture),
        ("ts_ms", "9223372036854775807", InFuture),
        ("schema_version", "", MissingField),
        ("schema_version", "1.0", InvalidField),
        ("schema_version", "\"1\"", UnknownSchemaVersion),
        ("schema_version", "\"1.2\"", UnknownSchemaVersion),
        ("target", "", MissingField),
        ("target", "{}", InvalidField),
        ("target", "\"\"", InvalidField),
        ("target", "\"https://\"", InvalidField),
        ("target", "\"https:///path\"", InvalidField),
        ("target", "\"https:shop.example\"", InvalidField),
        ("target", "\"//shop.example/\"", InvalidField),
        ("target", "\" https://shop.example/\"", InvalidField),
        ("target", "\"javascript:alert(1)\"", InvalidField),
        ("target", "\"https://shop.example:99999/\"", InvalidField),
        ("target", &url_2049, InvalidField),
        ("network_context", "", MissingField),
        ("network_context", "[]", InvalidField),
        ("network_context.interface_type", "", MissingField),
        ("network_context.interface_type", "null", InvalidField),
        ("network_context.interface_type", &text_65, InvalidField),
        ("network_context.vpn_enabled", "", MissingField),
        ("network_context.vpn_enabled", "0", InvalidField),
        ("network_context.user_label", "5", InvalidField),
        ("network_context.user_label", &text_256, InvalidField),
        ("timings", "", MissingField),
        ("timings", "12", InvalidField),
        ("timings.tcp_ms", "", MissingField),
        ("timings.tcp_ms", "\"20\"", InvalidField),
        ("timings.http_ttfb_ms", "", MissingField),
        ("timings.http_ttfb_ms", "-0.001", InvalidField),
        ("timings.dns_ms", "true", InvalidField),
        ("timings.tls_ms", "[]", InvalidField),
        ("throughput_kbps", "\"1\"", InvalidField),
        ("throughput_kbps", "-1e-3", InvalidField),
        ("error_stage", "\"\"", InvalidField),
        ("error_stage", "\"quic\"", InvalidField),
        ("error_stage", "4", InvalidField),
        ("traceparent", "7", InvalidField),
        ("tracestate", "{}", InvalidField),
    ];
    for (field, value, code) in rows {
        for version in ["1.0", "1.1"] {
            let (got, at, detail) = rejected(&with(version, &[(field, value)]));
            assert_eq!((got, at.as_deref()), (code, Some(field)), "{field} = {value}: {detail}");
        }
    }
    let only_1_0 = [
        ("timings.dns_ms", "", MissingField),
        ("timings.tls_ms", "", MissingField),
        ("timings.tls_ms", "null", InvalidField),
    ];
    for (field, value, code) in only_1_0 {
        let (got, at, detail) = rejected(&with("1.0", &[(field, value)]));
        assert_eq!((got, at.as_deref()), (code, Some(field)), "{field} = {value}: {detail}");
        accepted(&with("1.1", &[(field, value)]));
    }
    let only_1_1 = [
        ("timings.tcp_ms", "null", MissingField),
        ("timings.total_ms", "-1", InvalidField),
        ("timings.transfer_ms", "\"4\"", InvalidField),
        ("upload_kbps", "-1", InvalidField),
        ("http_status", "200.0", InvalidField),
        ("http_status", "99", InvalidField),
        ("http_status", "\"200\"", InvalidField),
        ("http_version", "2", InvalidField),
        ("http_version", "\"1.0\"", InvalidField),
        ("ip_family", "5", InvalidField),
        ("ip_family", "\"4\"", InvalidField),
        ("remote_addr", "1", InvalidField),
        ("dns_server", "{}", InvalidField),
        ("tls_version", "1.3", InvalidField),
        ("tls_cipher", "1", InvalidField),
        ("alpn", "[]", InvalidField),
        ("cert_expires_ms", "1.5", InvalidField),
        ("error_type", "5", InvalidField),
        ("tcp_info", "[]", InvalidField),
        ("tcp_info.rtt_ms", "\"1\"", InvalidField),
        ("tcp_info.retrans", "-1", InvalidField),
        ("tcp_info.sndbuf_limited_ms", "{}", InvalidField),
        ("latency", "3", InvalidField),
        ("latency.loss_ratio", "1.0001", InvalidField),
        ("latency.rpm", "-2", InvalidField),
        ("attempt", "1.5", InvalidField),
        ("attempt", "-1", InvalidField),
        ("probe_version", "1", InvalidField),
        ("labels", "[\"a\"]", InvalidField),
        ("labels", &labels_17, InvalidField),
        ("labels", &long_key, InvalidField),
        ("labels.site", "1", InvalidField),
        ("labels.site", &text_256, InvalidField),
    ];
    for (field, value, code) in only_1_1 {
        let body = with("1.1", &[(field, value)]);
        let (got, at, detail) = rejected(&body);
        assert_eq!((got, at.as_deref()), (code, Some(field)), "{field} = {value}: {detail}");
        if !field.starts_with("timings.tcp") {
            // To 1.0 the same field is one that it does not know.
            accepted(&with("1.0", &[(field, value)]));
        }
    }
}

#[test]
fn control_characters_overrides_and_half_surrogates_are_refused() {
    let fields = ["client_id", "target", "network_context.user_label", "labels.site"];
    let bad = [
        "\\u0000",
        "\\n",
        "\\u001b",
        "\\u007f",
        "\u{7f}",
        "\\u0085",
        "\u{9b}",
        "\u{202e}",
        "\\u202d",
        "\u{2066}",
        "\\ud800",
        "\\udc00",
        "\\ud800\\u0041",
    ];
    for field in fields {
        for bad in bad {
            let (code, at, detail) =
                rejected(&with("1.1", &[(field, &format!("\"https://a.example/{bad}b\""))]));
            assert_eq!((code, at.as_deref()), (Code::InvalidField, Some(field)), "{bad}: {detail}");
        }
        accepted(&with("1.1", &[(field, "\"https://a.example/\\u00fc\\ud83d\\ude00\"")]));
    }
    let (_, at, _) = rejected(&with("1.1", &[("labels", "{\"a\\u0000b\":\"v\"}")]));
    assert_eq!(at.as_deref(), Some("labels"));
}

#[test]
fn a_key_given_twice_is_refused_wherever_it_stands() {
    let rows = [
        ("\"client_id\":", "\"client_id\":\"other\",\"client_id\":", "client_id"),
        ("\"ts_ms\":", "\"ts\\u005fms\":1,\"ts_ms\":", "ts_ms"),
        (
            "\"vpn_enabled\":",
            "\"vpn_enabled\":true,\"vpn_enabled\":",
            "network_context.vpn_enabled",
        ),
        ("\"dns_ms\":", "\"dns_ms\":1,\"dns_ms\":", "timings.dns_ms"),
        ("\"target\":", "\"x\":1,\"x\":1,\"target\":", "x"),
        ("\"target\":", "\"latency\":{\"rpm\":1,\"rpm\":1},\"target\":", "latency.rpm"),
        ("\"target\":", "\"labels\":{\"a\":\"1\",\"a\":\"1\"},\"target\":", "labels.a"),
        ("\"target\":", "\"recv_ts_ms\":1,\"recv_ts_ms\":2,\"target\":", "recv_ts_ms"),
    ];
    for (from, to, field) in rows {
        let body = good("1.1").to_string().replacen(from, to, 1);
        let (code, at, detail) = rejected(&body);
        assert_eq!((code, at.as_deref()), (Code::InvalidField, Some(field)), "{detail}");
        assert_eq!(detail, "is given twice");
    }
    // Inside what we do not know, keys are nobody's business.
    accepted(&with("1.1", &[("other", "{\"a\":1,\"a\":2}")]));
}

#[test]
fn zero_means_no_such_stage_in_1_0_and_zero_in_1_1() {
    let zeros = [
        ("timings.dns_ms", "0"),
        ("timings.tcp_ms", "0"),
        ("timings.tls_ms", "0.0"),
        ("throughput_kbps", "0"),
    ];
    let old = accepted(&with("1.0", &zeros));
    assert_eq!((old.timings.dns, old.timings.tls, old.throughput), (None, None, None));
    assert_eq!(old.timings.tcp, Some(Micros(0)));
    assert_eq!(old.sample(Metric::Total), Some(80_500));
    let new = accepted(&with("1.1", &zeros));
    let zero = Some(Micros(0));
    assert_eq!((new.timings.dns, new.timings.tls), (zero, zero));
    assert_eq!(new.throughput, Some(BitsPerSecond(0)));
}

#[test]
fn values_become_whole_units() {
    let event = accepted(&with("1.1", &[("timings.total_ms", "150.0004")]));
    assert_eq!(event.id.to_string(), ID);
    assert_eq!(event.timings.dns, Some(Micros(12_300)));
    assert_eq!(event.timings.total, Some(Micros(150_000)));
    assert_eq!(event.throughput, Some(BitsPerSecond(54_321_000)));
    // total_ms is a field of 1.1 only.
    let old = accepted(&with("1.0", &[("timings.total_ms", "150")]));
    assert_eq!(old.total(), Some(Micros(148_100)));
}

#[test]
fn in_1_0_timings_from_the_failing_stage_on_hold_anything() {
    let names = ["timings.dns_ms", "timings.tcp_ms", "timings.tls_ms", "timings.http_ttfb_ms"];
    for (failed, stage) in ["dns", "TCP", "tls", "http"].into_iter().enumerate() {
        let stage = quoted(stage);
        for (at, name) in names.into_iter().enumerate() {
            for junk in ["-1", "\"n/a\"", "null", "", "[]"] {
                let body = with("1.0", &[("error_stage", &stage), (name, junk)]);
                if at >= failed || matches!(junk, "" | "null") {
                    accepted(&body);
                } else {
                    let (code, field, _) = rejected(&body);
                    assert_eq!((code, field.as_deref()), (Code::InvalidField, Some(name)));
                }
            }
        }
    }
    for stage in ["throughput", "throughput_timeout", "parse"] {
        let stage = quoted(stage);
        let event = accepted(&with("1.0", &[("error_stage", &stage)]));
        assert_eq!(event.sample(Metric::Ttfb), Some(80_500));
        accepted(&with("1.0", &[("error_stage", &stage), ("timings", "")]));
        rejected(&with("1.0", &[("error_stage", &stage), ("timings.tcp_ms", "-1")]));
    }
}

#[test]
fn in_1_1_timings_of_a_failed_event_may_be_absent_but_not_wrong() {
    let failed = |change| with("1.1", &[("error_stage", "\"dns\""), change]);
    for change in [("timings", ""), ("timings", "null"), ("timings.tcp_ms", "null")] {
        assert_eq!(accepted(&failed(change)).failure, Some(ErrorStage::Dns));
    }
    assert_eq!(rejected(&failed(("timings.tcp_ms", "-1"))).1.unwrap(), "timings.tcp_ms");
}

#[test]
fn one_event_too_large_or_too_deep_costs_no_other() {
    let small = good("1.0").to_string();
    let empty = with("1.0", &[("pad", "\"\"")]);
    let pad = |bytes: usize| with("1.0", &[("pad", &quoted(&"x".repeat(bytes - empty.len())))]);
    let deep = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        with("1.0", &[("pad", &value)])
    };
    let body = format!(
        "[{small},{},{small},{},{},{},{small}]",
        pad(16 * 1024),
        pad(16 * 1024 + 1),
        deep(16),
        deep(17),
    );
    let decoded = json_body(&body).unwrap();
    let taken: Vec<u32> = decoded.events.iter().map(|taken| taken.index).collect();
    assert_eq!(taken, [0, 1, 2, 4, 6]);
    let told: Vec<_> =
        decoded.rejected.iter().map(|r| (r.index, r.code, r.detail.as_str())).collect();
    let expected = [
        (3, Code::InvalidField, "the event has more than 16384 bytes"),
        (5, Code::InvalidField, "the event nests deeper than 16 levels"),
    ];
    assert_eq!(told, expected);
    assert!(decoded.rejected.iter().all(|r| r.event_id.as_deref() == Some(ID)));
    accepted(&deep(16));
    rejected(&deep(100_000));
}

#[test]
fn bodies_that_are_refused_whole() {
    let rows: [(&[u8], BodyError); 9] = [
        (b"", BodyError::Empty),
        (b" \n\t ", BodyError::Empty),
        (b"[]", BodyError::Empty),
        (b"null", BodyError::NotEvents),
        (b"\"events\"", BodyError::NotEvents),
        (b"42", BodyError::NotEvents),
        (b"1e999", syntax(1, 1, "number out of range")),
        (b"[{}\n,\xff{}]", syntax(2, 2, "invalid UTF-8")),
        (b"\xef\xbb\xbf[{}]", syntax(1, 1, "expected value")),
    ];
    for (body, expected) in rows {
        let got = decode(body, Media::Json, NOW, &Limits::default());
        assert_eq!(got, Err(expected), "{body:?}");
    }
    for body in ["", "\n\r\n \n"] {
        let got = decode(body.as_bytes(), Media::Ndjson, NOW, &Limits::default());
        assert_eq!(got, Err(BodyError::Empty), "{body:?}");
    }
}

fn syntax(line: usize, column: usize, detail: &str) -> BodyError {
    BodyError::Syntax { line, column, detail: detail.to_owned() }
}

#[test]
fn a_syntax_error_in_json_is_the_bodys_with_its_place() {
    let place = |body: &str| match json_body(body) {
        Err(BodyError::Syntax { line, column, detail }) => (line, column, detail),
        other => panic!("{other:?}"),
    };
    let event = good("1.0").to_string();
    let (line, column, detail) = place(&format!("[\n{event},\n {{\"a\" 1}}]"));
    assert_eq!((line, column, detail.as_str()), (3, 7, "expected `:`"));
    for number in ["NaN", "Infinity", "-Infinity", "01", "1.", "+1", ".5"] {
        place(&with("1.0", &[("timings.dns_ms", number)]));
    }
    // A number that does not fit is a mistake wherever it stands.
    for body in ["[{},\n {\"a\":[1e999]}]", "[{},\n [1,2, 1e999]]", "[{},\n       1e999]"] {
        let column = body.find("1e999").unwrap() - body.find('\n').unwrap();
        assert_eq!(place(body), (2, column, "number out of range".to_owned()));
    }
    let large = format!("{{\"pad\":\"{}\",\"n\":-1e999}}", "x".repeat(20_000));
    assert_eq!(place(&large).1, large.find("-1e999").unwrap() + 1);
    for body in ["[{}", "{}{}", "[{}] x", "[{},]", "[1 2]", "{\"a\":\"\n\"}", "[\"\\x\"]"] {
        place(body);
    }
    place(&"[".repeat(1_000_000));
}

#[test]
fn an_element_that_is_no_object_is_refused_alone() {
    let event = good("1.0");
    let decoded = json_body(&format!("[1,{event},null,[{event}],\"x\"]")).unwrap();
    assert_eq!(decoded.events.len(), 1);
    let told: Vec<_> = decoded.rejected.iter().map(|r| (r.index, r.code)).collect();
    assert_eq!(told, [0, 2, 3, 4].map(|index| (index, Code::InvalidField)));
}

#[test]
fn ten_thousand_events_are_taken_and_one_more_is_not() {
    let event = good("1.0").to_string();
    for (separator, media) in [(",", Media::Json), ("\n", Media::Ndjson)] {
        let body = |n: usize| {
            let events = vec![event.as_str(); n].join(separator);
            if media == Media::Json { format!("[{events}]") } else { events }
        };
        let limits = Limits::default();
        let full = decode(body(10_000).as_bytes(), media, NOW, &limits).unwrap();
        assert_eq!(full.events.len(), 10_000);
        let more = decode(body(10_001).as_bytes(), media, NOW, &limits);
        assert_eq!(more, Err(BodyError::TooManyEvents { limit: 10_000 }));
    }
}

#[test]
fn a_bad_line_among_a_hundred_is_refused_alone() {
    let event = good("1.0").to_string();
    let bad: [&[u8]; 6] =
        [b"{\"event_id\":", b"{} {}", b"\xff\xfe", b"{\"x\": -1e999}", b"{\"x\": NaN}", b"[{}]"];
    for (kind, bad) in bad.into_iter().enumerate() {
        let mut body = Vec::new();
        for line in 0..100 {
            body.extend_from_slice(if line == 41 { bad } else { event.as_bytes() });
            // Blank lines and CR LF are no events.
            body.extend_from_slice(if line % 2 == 0 { b"\r\n\n" } else { b"\n" });
        }
        let decoded = decode(&body, Media::Ndjson, NOW, &Limits::default()).unwrap();
        assert_eq!(decoded.events.len(), 99);
        let told = &decoded.rejected[0];
        let code = if kind == 5 { Code::InvalidField } else { Code::BadJson };
        assert_eq!((decoded.rejected.len(), told.index, told.code), (1, 41, code));
        if code == Code::BadJson {
            // Every second line had a blank one after it.
            assert!(told.detail.starts_with("line 63, column "), "{}", told.detail);
        }
    }
    let place = decode(b"{\"x\": -1e999}", Media::Ndjson, NOW, &Limits::default()).unwrap();
    assert_eq!(place.rejected[0].detail, "line 1, column 7: number out of range");
}

#[test]
fn equal_clients_and_targets_share_their_text() {
    let event = good("1.0").to_string();
    let decoded = json_body(&format!("[{event},{event}]")).unwrap();
    let [a, b] = &decoded.events[..] else { panic!("two events") };
    assert!(std::ptr::eq(a.event.client.as_str(), b.event.client.as_str()));
    assert!(std::ptr::eq(a.event.target.as_str(), b.event.target.as_str()));
}

#[test]
fn an_id_is_told_only_where_it_can_be_shown() {
    let told = |id: &str| {
        let decoded = json_body(&with("1.0", &[("event_id", id), ("ts_ms", "0")])).unwrap();
        decoded.rejected[0].event_id.clone()
    };
    assert_eq!(told("\"abc\"").as_deref(), Some("abc"));
    assert_eq!(told("\"a\\u001b[2Jb\""), None);
    assert_eq!(told(&quoted(&"x".repeat(65))), None);
    assert_eq!(told("7"), None);
}

#[test]
fn a_hostile_version_is_cut_and_escaped() {
    let version = quoted(&format!("\u{1b}[2J{}", "x".repeat(1_000)));
    let (code, _, detail) = rejected(&with("1.0", &[("schema_version", &version)]));
    assert_eq!(code, Code::UnknownSchemaVersion);
    assert!(detail.starts_with("\\u{1b}[2Jxxx") && detail.len() < 120, "{detail}");
}

#[test]
fn events_taken_apart_are_judged_one_by_one() {
    let event = good("1.0").to_string();
    let texts =
        [event.as_str(), "{\"x\"", "", "[]", "{\"x\": 1e999}", "{}", &event].map(str::as_bytes);
    let decoded = decode_each(texts, NOW, &Limits::default());
    let taken: Vec<_> = decoded.events.iter().map(|taken| (taken.index, &taken.bytes)).collect();
    assert_eq!(taken, [(0, &(0..event.len())), (6, &(0..event.len()))]);
    let refused: Vec<_> =
        decoded.rejected.iter().map(|r| (r.index, r.code, r.detail.as_str())).collect();
    let expected = [
        (1, Code::BadJson, "column 4: EOF while parsing an object"),
        (2, Code::BadJson, "column 0: EOF while parsing a value"),
        (3, Code::InvalidField, "an event must be an object"),
        (4, Code::BadJson, "column 7: number out of range"),
        (5, Code::MissingField, "is required"),
    ];
    assert_eq!(refused, expected);
}
