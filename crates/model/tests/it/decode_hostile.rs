//! Whatever comes in: no panic, every event in exactly one list, and no event lost by what
//! stands beside it.

use model::decode::{Decoded, Limits, Media, decode, decode_each};
use proptest::prelude::*;

const NOW: i64 = 1_760_000_000_000;

const GOOD: &str = concat!(
    r#"{"event_id":"0197a3c2-7d41-7c3e-9a55-2f6f1f0f9a01","client_id":"probe-1","#,
    r#""ts_ms":1759999999000,"schema_version":"1.1","target":"https://shop.example/","#,
    r#""network_context":{"interface_type":"wifi","vpn_enabled":false,"user_label":"h\u00fc"},"#,
    r#""timings":{"dns_ms":12.3,"tcp_ms":20.1,"tls_ms":35.2,"http_ttfb_ms":80.5,"total_ms":1e2},"#,
    r#""error_stage":null,"labels":{"site":"lisbon"},"tcp_info":{"rtt_ms":20.6},"#,
    r#""other":[[{"a":[true,false,null]}]]}"#
);

/// A good event with some bytes replaced, removed or added.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\/eE-+.019nut\x00 ".to_vec())];
    let edit = (any::<prop::sample::Index>(), 0..3_u8, byte);
    prop::collection::vec(edit, 0..4).prop_map(|edits| {
        let mut event = GOOD.as_bytes().to_vec();
        for (at, kind, byte) in edits {
            let at = at.index(event.len());
            match kind {
                0 => event[at] = byte,
                1 => event.insert(at, byte),
                _ => drop(event.remove(at)),
            }
        }
        event
    })
}

fn every_index_once(decoded: &Decoded) -> bool {
    let mut all: Vec<u32> = decoded.events.iter().map(|taken| taken.index).collect();
    all.extend(decoded.rejected.iter().map(|rejection| rejection.index));
    all.sort_unstable();
    all.iter().zip(0_u32..).all(|(a, b)| *a == b)
}

/// Whether each event's bytes, cut out of the body, say what the event says.
fn every_place_right(body: &[u8], decoded: &Decoded) -> bool {
    let texts = decoded.events.iter().map(|taken| &body[taken.bytes.clone()]);
    let alone = decode_each(texts, NOW, &Limits::default());
    let events = |decoded: &Decoded| -> Vec<_> {
        decoded.events.iter().map(|taken| taken.event.clone()).collect()
    };
    let tight = alone.events.iter().zip(&decoded.events);
    events(&alone) == events(decoded)
        && tight.into_iter().all(|(alone, taken)| alone.bytes == (0..taken.bytes.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_are_judged(body: Vec<u8>, ndjson: bool) {
        let media = if ndjson { Media::Ndjson } else { Media::Json };
        if let Ok(decoded) = decode(&body, media, NOW, &Limits::default()) {
            prop_assert!(every_index_once(&decoded));
            prop_assert!(every_place_right(&body, &decoded));
        }
    }

    #[test]
    fn arbitrary_texts_are_judged(texts: Vec<Vec<u8>>) {
        let texts = texts.iter().map(Vec::as_slice);
        prop_assert!(every_index_once(&decode_each(texts, NOW, &Limits::default())));
    }

    #[test]
    fn a_mutated_array_is_judged(event in mutated()) {
        let body = [b"[", GOOD.as_bytes(), b",", &event, b"]"].concat();
        let valid = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        match decode(&body, Media::Json, NOW, &Limits::default()) {
            // What serde_json refuses more is half a surrogate pair, which is one event's fault.
            Err(_) => prop_assert!(!valid),
            Ok(decoded) => {
                prop_assert!(every_index_once(&decoded));
                prop_assert!(every_place_right(&body, &decoded));
                prop_assert_eq!(decoded.events.first().map(|taken| taken.index), Some(0));
            }
        }
    }

    #[test]
    fn a_mutated_line_costs_no_other(
        lines in prop::collection::vec(prop_oneof![mutated().prop_map(Some), Just(None)], 1..12)
    ) {
        let mut body = Vec::new();
        for line in &lines {
            body.extend_from_slice(line.as_deref().unwrap_or(GOOD.as_bytes()));
            body.push(b'\n');
        }
        let decoded = decode(&body, Media::Ndjson, NOW, &Limits::default()).unwrap();
        prop_assert!(every_index_once(&decoded));
        prop_assert!(every_place_right(&body, &decoded));
        // A mutation can break a line in two or leave it good, never spoil a good one.
        let untouched = lines.iter().filter(|line| line.is_none()).count();
        prop_assert!(decoded.events.len() >= untouched);
    }
}
