//! `qoe-bench`: what the platform does, as ratios to what the machine, or a peer, can do at all.
//!
//! Each part measures ours and the peer's in turn, in one run, several times, and prints medians.
//! A peer that is not installed, or a right that is missing, is said; the other parts go on.

mod accuracy;
mod bare;
mod curl;
mod diagnosis;
mod exporter;
mod fleet;
mod http;
mod ingest;
mod injection;
mod link;
mod netns;
mod packets;
mod pipeline;
mod probing;
mod shared;
mod table;
mod usage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use table::Ratio;

/// Prints how qoe compares with bare SQLite, a bare handler, blackbox_exporter, curl and the packets
#[derive(Debug, Parser)]
#[command(name = "qoe-bench", version, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true)]
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
    /// How long the pipeline runs at half of its capacity
    #[arg(long, value_name = "MINUTES", default_value_t = 5)]
    minutes: u64,
    /// The qoe-probe that is measured [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    probe: Option<PathBuf>,
    #[command(subcommand)]
    child: Option<Child>,
}

/// What this program starts itself as.
#[derive(Debug, Subcommand)]
enum Child {
    #[command(hide = true)]
    Inside {
        #[command(subcommand)]
        process: ingest::Inside,
    },
    /// Score diagnoses against worlds whose faults are known
    Diagnosis(diagnosis::Args),
    /// Print what the detector costs over the windows of a large fleet
    Fleet(fleet::Args),
    /// Inject real faults and hold what is told of them against what was done (needs root)
    Injection(injection::Args),
    /// Passes connections on between network namespaces
    #[command(hide = true)]
    Pass(injection::pass::Args),
    #[command(flatten)]
    Probing(probing::Child),
}

impl Child {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Inside { process } => process.run(),
            Self::Diagnosis(args) => diagnosis::run(args),
            Self::Fleet(args) => fleet::run(&args),
            Self::Injection(args) => injection::run(&args),
            Self::Pass(args) => injection::pass::run(&args),
            Self::Probing(process) => process.run(),
        }
    }
}

/// What can be measured, in the order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Events a second in batches of 100, against a bare SQLite transaction
    Batches,
    /// Requests a second of one event each, against a bare handler
    Singles,
    /// Memory over five million events, against itself earlier
    Memory,
    /// Events a second on PostgreSQL, against bare transactions over arrays
    Shared,
    /// The same with twenty million ids in the table, against an empty one (takes long: not in all)
    Growth,
    /// Events a second in batches until NATS has them on disk, against VictoriaMetrics
    Publish,
    /// Requests a second of one event each until NATS has it on disk, against a bare handler
    Queued,
    /// Events a second from a full stream into PostgreSQL, against bare transactions over arrays
    Drain,
    /// All roles at half of what they can take: from 202 to the window, memory, processor time
    Pipeline,
    /// CPU of one measurement, measurements a second and memory against blackbox_exporter's
    Probe,
    /// CPU and time of one whole qoe-probe once against curl's
    Check,
    /// Download on loopback, its rate against curl's and its CPU against a bare client's
    Download,
    /// A thousand targets every ten seconds: missed ticks and memory
    Many,
    /// Timings, ours, blackbox_exporter's and curl's, against the packets
    Accuracy,
    /// Stages, throughput and retransmits over a link of known delay, rate and loss
    Link,
}

const ALL: &[Part] = &[
    Part::Batches,
    Part::Singles,
    Part::Memory,
    Part::Shared,
    Part::Probe,
    Part::Check,
    Part::Download,
    Part::Many,
    Part::Accuracy,
];

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    if let Some(child) = cli.child.take() {
        return match child.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("qoe-bench inside: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    // A part that is named twice, once by a target of make, is run once.
    let mut parts: Vec<Part> = Vec::new();
    for part in if cli.parts.is_empty() { ALL } else { &cli.parts } {
        if !parts.contains(part) {
            parts.push(*part);
        }
    }
    let mut failed = false;
    for part in parts {
        match run(part, &cli) {
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
    let times = ingest::Times { rounds: cli.rounds, each: Duration::from_secs(cli.seconds) };
    match part {
        Part::Batches => ingest::batches(times),
        Part::Singles => ingest::singles(times),
        Part::Memory => ingest::memory(),
        Part::Shared => shared::shared(times),
        Part::Growth => shared::growth(times),
        Part::Publish => pipeline::publish(times),
        Part::Queued => pipeline::queued(times),
        Part::Drain => pipeline::drain(times),
        Part::Pipeline => pipeline::whole(times, Duration::from_secs(60 * cli.minutes)),
        Part::Probe => probing::probe(cli.rounds, &program(cli.probe.as_deref())?),
        Part::Check => probing::check(cli.rounds, &program(cli.probe.as_deref())?),
        Part::Download => probing::download(cli.rounds),
        Part::Many => probing::many(&program(cli.probe.as_deref())?),
        Part::Accuracy => accuracy::accuracy(cli.rounds),
        Part::Link => link::link(cli.rounds),
    }
}

/// The probe's program.
fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("qoe-probe"));
    let program = named.map_or_else(beside, |path| anyhow::Ok(path.to_owned()))?;
    anyhow::ensure!(
        program.is_file(),
        "there is no {}: build it (-p qoe-probe), or name one with --probe",
        program.display()
    );
    Ok(program)
}
