//! `qoe simulate` writes what an ingest would take, and the same again for the same seed.

use model::decode::{Limits, Media, decode};

use crate::running::qoe;

/// 2026-11-24T12:00:00Z.
const START: &str = "2026-11-24T12:00:00Z";
const START_MS: i64 = 1_795_521_600_000;

fn events(seed: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (out, truth) = (dir.path().join("events"), dir.path().join("truth"));
    let output = qoe()
        .args(["simulate", "--clients", "3", "--targets", "2", "--minutes", "90"])
        .args(["--per-minute", "1", "--start", START, "--seed", seed])
        .arg("--out")
        .arg(&out)
        .arg("--truth")
        .arg(&truth)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let truths: serde_json::Value = serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap();
    assert!(truths.as_array().is_some_and(|all| !all.is_empty()), "{truths}");
    std::fs::read(out).unwrap()
}

#[test]
fn a_seed_is_a_fleet() {
    let written = events("5");
    let decoded =
        decode(&written, Media::Ndjson, START_MS + 90 * 60_000, &Limits::default()).unwrap();
    assert_eq!((decoded.events.len(), decoded.rejected.len()), (3 * 2 * 90, 0));
    assert_eq!(events("5"), written);
    assert_ne!(events("6"), written);
}

#[test]
fn it_wants_to_know_where_to() {
    assert_eq!(qoe().arg("simulate").output().unwrap().status.code(), Some(2));
    let output = qoe().args(["simulate", "--ingest", "http://127.0.0.1:1/"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a token file belongs to it");
}
