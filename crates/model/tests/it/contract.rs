//! The contract's own examples, all of them. `NOW` in a `ts_ms` is the time of the test.

use std::fs;
use std::path::Path;

use model::decode::{Limits, Media, decode};
use serde_json::{Value, json};

const NOW: i64 = 1_760_000_000_000;

fn examples(kind: &str) -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract").join(kind);
    let mut examples: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut example: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            set_now(&mut example["event"]);
            (name, example)
        })
        .collect();
    examples.sort_by(|a, b| a.0.cmp(&b.0));
    examples
}

fn set_now(event: &mut Value) {
    if let Some(offset) = event["ts_ms"].as_str().and_then(|text| text.strip_prefix("NOW")) {
        event["ts_ms"] = json!(NOW + offset.parse::<i64>().unwrap());
    }
}

#[test]
fn every_accepted_example_is_accepted() {
    let examples = examples("accepted");
    assert_eq!(examples.len(), 9);
    for (name, example) in examples {
        let body = example["event"].to_string();
        let decoded = decode(body.as_bytes(), Media::Json, NOW, &Limits::default()).unwrap();
        assert_eq!(decoded.rejected, [], "{name}");
        assert_eq!(decoded.events.len(), 1, "{name}");
    }
}

#[test]
fn every_rejected_example_is_rejected_as_it_says() {
    let examples = examples("rejected");
    assert_eq!(examples.len(), 20);
    for (name, example) in examples {
        let body = example["event"].to_string();
        let decoded = decode(body.as_bytes(), Media::Json, NOW, &Limits::default()).unwrap();
        assert_eq!(decoded.events, [], "{name}");
        let rejection = serde_json::to_value(&decoded.rejected[0]).unwrap();
        for key in ["code", "field"] {
            assert_eq!(rejection[key], example["expect"][key], "{name}: {rejection}");
        }
        assert_eq!(rejection["index"], 0, "{name}");
        let sent_id = &example["event"]["event_id"];
        assert_eq!(rejection["event_id"], *sent_id, "{name}");
    }
}
