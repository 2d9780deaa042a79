//! A short run of the chaos harness, in a program of its own so that it has the machine to itself.
//! `make chaos` runs a long one.

use std::path::PathBuf;

use chaos::run::{Options, STREAM_BYTES, Schedule, run};

#[test]
fn nothing_is_lost_and_nothing_is_counted_twice() {
    // The order of the faults follows from it, and what is sent.
    let seed = seed_of_the_run();
    println!("seed {seed}");
    let options = Options {
        qoe: PathBuf::from(env!("CARGO_BIN_EXE_qoe")),
        seed,
        schedule: Schedule::Short,
        rate: 300,
        stream_bytes: STREAM_BYTES,
        keep: None,
    };
    let report = run(&options, &mut |line| println!("{line}")).expect("the run itself goes well");
    assert_eq!(report.exit_code(), 0, "{report}");
}

/// One of this process's own, or the one that is to be run again.
fn seed_of_the_run() -> u64 {
    let given = std::env::var("QOE_CHAOS_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}
