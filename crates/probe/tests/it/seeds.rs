//! The seeds of the fuzz targets, and each of them cut short and changed in one bit: none may panic,
//! and none may hang.

use std::fs;
use std::path::Path;

use probe::fuzzing;

fn run(target: &str, step: usize, run: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        run(&seed);
        for at in (0..seed.len()).step_by(step) {
            run(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] ^= 1 << (at % 8);
            run(&changed);
        }
        seeds += 1;
    }
    assert!(seeds > 3, "there are seeds in {}", dir.display());
}

#[test]
fn config() {
    run("config", 3, fuzzing::config);
}

#[test]
fn dns() {
    run("dns", 1, fuzzing::dns);
}

#[test]
fn http() {
    run("http", 7, fuzzing::http);
}

#[test]
fn spool() {
    run("spool", 5, fuzzing::spool);
}
