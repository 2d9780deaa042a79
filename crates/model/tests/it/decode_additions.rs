//! What we add to the contract: what a probe says of itself beside its measurement.

use model::Gap;
use model::decode::Code::{self, InvalidField, MissingField};

use crate::decode::{accepted, rejected, with};

#[test]
fn trouble_sets_an_event_aside_whatever_its_kind() {
    for (text, troubled) in [
        ("null", false),
        ("[]", false),
        ("[\"uplink\",\"of tomorrow\"]", true),
        ("[\"\\u0061\"]", true),
    ] {
        assert_eq!(accepted(&with("1.1", &[("probe_trouble", text)])).troubled, troubled, "{text}");
    }
    assert!(!accepted(&with("1.0", &[("probe_trouble", "[\"uplink\"]")])).troubled);
}

#[test]
fn a_silent_name_server_is_told_from_other_trouble() {
    let silent = |text| {
        let event = accepted(&with("1.1", &[("probe_trouble", text)]));
        event.beside.is_some_and(|beside| beside.silent)
    };
    assert!(silent("[\"resolver\"]"));
    assert!(!silent("[\"uplink\",\"resolver\"]"), "where nothing is reached, no name server is");
    assert!(!silent("[\"stall\"]"));
}

#[test]
fn a_gap_says_how_many_and_when_as_far_as_it_is_known() {
    let gap = |text| accepted(&with("1.1", &[("gap", text)])).gap;
    let of = |first_ts_ms, last_ts_ms| Some(Gap { count: 3, first_ts_ms, last_ts_ms });
    assert_eq!(gap("null"), None);
    assert_eq!(gap("{\"count\":3}"), of(None, None));
    assert_eq!(gap("{\"count\":3,\"first_ts_ms\":5,\"last_ts_ms\":null}"), of(Some(5), None));
    let known = "{\"count\":3,\"first_ts_ms\":5,\"last_ts_ms\":5,\"why\":\"new\"}";
    assert_eq!(gap(known), of(Some(5), Some(5)));
    assert_eq!(accepted(&with("1.0", &[("gap", "{\"count\":3}")])).gap, None);
}

#[test]
fn what_they_may_not_hold_is_refused_by_its_path() {
    let many = format!("[{}\"x\"]", "\"x\",".repeat(16));
    let long = format!("[\"{}\"]", "x".repeat(65));
    let rows: [(&str, &str, &str, Code); 15] = [
        ("clock_offset_ms", "0.5", "clock_offset_ms", InvalidField),
        ("probe_trouble", "\"uplink\"", "probe_trouble", InvalidField),
        ("probe_trouble", "[1]", "probe_trouble", InvalidField),
        ("probe_trouble", "[\"\"]", "probe_trouble", InvalidField),
        ("probe_trouble", "[\"a\\u0000\"]", "probe_trouble", InvalidField),
        ("probe_trouble", &many, "probe_trouble", InvalidField),
        ("probe_trouble", &long, "probe_trouble", InvalidField),
        ("gap", "3", "gap", InvalidField),
        ("gap", "{}", "gap.count", MissingField),
        ("gap", "{\"count\":0}", "gap.count", InvalidField),
        ("gap", "{\"count\":1.5}", "gap.count", InvalidField),
        ("gap", "{\"count\":999999999999999999}", "gap.count", InvalidField),
        ("gap", "{\"count\":1,\"first_ts_ms\":0}", "gap.first_ts_ms", InvalidField),
        ("gap", "{\"count\":1,\"last_ts_ms\":\"8\"}", "gap.last_ts_ms", InvalidField),
        (
            "gap",
            "{\"count\":1,\"first_ts_ms\":9,\"last_ts_ms\":8}",
            "gap.first_ts_ms",
            InvalidField,
        ),
    ];
    for (field, value, path, code) in rows {
        let (got, at, detail) = rejected(&with("1.1", &[(field, value)]));
        assert_eq!((got, at.as_deref()), (code, Some(path)), "{field} = {value}: {detail}");
        accepted(&with("1.0", &[(field, value)]));
    }
}
