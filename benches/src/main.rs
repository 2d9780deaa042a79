//! `qoe-bench`: what the platform does, as ratios to what the machine, or a peer, can do at all.
//!
//! Each part measures ours and the peer's in turn, in one run, several times, and prints medians.
//! A peer that is not installed, or a right that is missing, is said; the other parts go on.

mod table;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use table::Ratio;

/// Prints how qoe compares with bare SQLite, a bare handler, blackbox_exporter, curl and the packets
#[derive(Debug, Parser)]
#[command(name = "qoe-bench", version)]
struct Cli {
    /// Which parts to run [default: all]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each pair is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// How long each ingest measurement runs
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
}

/// What can be measured, in the order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {}

const ALL: &[Part] = &[];

fn main() -> ExitCode {
    let cli = Cli::parse();
    let parts = if cli.parts.is_empty() { ALL } else { &cli.parts };
    let mut failed = false;
    for part in parts {
        match run(*part, &cli) {
            Ok(ratios) => print!("{}", table::table(&ratios)),
            Err(error) => {
                failed = true;
                eprintln!("qoe-bench: {part:?}: {error:#}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(part: Part, cli: &Cli) -> anyhow::Result<Vec<Ratio>> {
    match part {}
}
