//! `qoe-chaos`: breaks a whole platform and judges what it kept. See the library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chaos::mutants::{self, Caught};
use chaos::run::{Options, STREAM_BYTES, Schedule, run};
use clap::Parser;

/// Breaks a whole platform again and again, and judges what it kept of what it promised.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Subcommand>,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Break the platform's own code in each way of chaos/mutants, and see that it is noticed
    Mutants(MutantsArgs),
}

#[derive(Debug, clap::Args)]
struct MutantsArgs {
    /// One of them alone
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// What everything random follows from [default: a new one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// How long faults go on
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// What everything random follows from [default: a new one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// New events a second
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,
    /// Bytes of events the bus may keep; with few it is full now and then, and makes room
    #[arg(long, value_name = "BYTES", default_value_t = STREAM_BYTES)]
    stream_bytes: u64,
    /// The program, of a debug build [default: beside this one]
    #[arg(long, value_name = "FILE")]
    qoe: Option<PathBuf>,
    /// Where logs go and stay [default: a folder that goes where all was well]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Some(Subcommand::Mutants(mutants)) => mutants.go(),
        None => args.run.go(),
    };
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl RunArgs {
    fn go(self) -> anyhow::Result<u8> {
        let Self { minutes, seed, rate, stream_bytes, qoe, keep } = self;
        let qoe = match qoe {
            Some(qoe) => qoe,
            None => std::env::current_exe()?.with_file_name("qoe"),
        };
        let length = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes")?;
        let seed = seed.unwrap_or_else(rand::random);
        println!("seed {seed}");
        let schedule = Schedule::Mixed(length);
        let options = Options { qoe, seed, schedule, rate, stream_bytes, keep };
        let report = run(&options, &mut |line| println!("{line}"))?;
        println!("\n{report}");
        Ok(report.exit_code())
    }
}

impl MutantsArgs {
    fn go(self) -> anyhow::Result<u8> {
        let seed = self.seed.unwrap_or_else(rand::random);
        println!("seed {seed}");
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?;
        let exe = std::env::current_exe()?;
        let target = exe.ancestors().nth(2).context("a target folder")?;
        let say = &mut |line: &str| println!("{line}");
        let caught = mutants::run_all(checkout, target, seed, self.only.as_deref(), say)?;
        println!();
        caught.iter().for_each(|one| println!("{one}"));
        Ok(u8::from(!caught.iter().all(Caught::is_good)))
    }
}
