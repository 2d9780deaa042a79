//! `qoe simulate`: the measurements of a fleet that never was, with faults whose truth is known,
//! sent to an ingest or written to a file.

mod trust;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use model::units::MINUTE_MS;
use testbed::load::{Sender, write_ndjson};
use testbed::simulate::{self, Fault, Scenario};
use url::Url;

use super::{Context, now_ms};
use crate::exit::Outcome;
use crate::progress::Progress;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").required(true))]
pub(crate) struct Args {
    /// The ingest to send to, e.g. http://127.0.0.1:8460/v1/events
    #[arg(long, value_name = "URL", group = "to", requires = "token_file")]
    ingest: Option<Url>,
    /// File that holds a token for every client (`qoe token create --client-id '*'`)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates to trust beside the built-in ones, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Write the events to this file instead, a line each; `-` is standard output
    #[arg(long, value_name = "FILE", group = "to")]
    out: Option<PathBuf>,
    /// Decides every random number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Who measures
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// What each of them measures
    #[arg(long, value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    targets: u32,
    /// How long, minutes
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=525_600))]
    minutes: u32,
    /// Measurements a minute of each client and target
    #[arg(long, value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..=6_000))]
    per_minute: u32,
    /// When it begins, e.g. 2026-11-24T12:00:00Z [default: so that it ends now]
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// What breaks: `random`, `none`, or a file that holds a JSON array of faults
    #[arg(long, value_name = "WHAT", default_value = "random")]
    faults: PathBuf,
    /// Write what was broken, where and when to this file, as JSON
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, _context: &Context) -> Outcome {
    let scenario = scenario(args)?;
    if let Some(path) = &args.truth {
        let truths = serde_json::to_vec_pretty(&simulate::truths(&scenario))?;
        fs::write(path, truths).with_context(|| format!("writing {}", path.display()))?;
    }
    match (&args.out, &args.ingest, &args.token_file) {
        (Some(path), ..) => write(&scenario, path)?,
        (None, Some(url), Some(token)) => {
            super::many_threads()?.block_on(send(
                &scenario,
                url,
                token,
                args.ca_file.as_deref(),
            ))?;
        }
        // The command line's rules let nothing else through.
        _ => anyhow::bail!("--ingest with --token-file, or --out"),
    }
    Ok(ExitCode::SUCCESS)
}

fn scenario(args: &Args) -> anyhow::Result<Scenario> {
    let length_ms = i64::from(args.minutes) * MINUTE_MS;
    let start_ms = args.start.map_or_else(|| now_ms() - length_ms, Timestamp::as_millisecond);
    let fleet = Scenario::fleet(
        args.seed,
        args.clients,
        args.targets,
        start_ms,
        args.minutes,
        args.per_minute,
    );
    let scenario = match args.faults.to_str() {
        Some("random") => fleet.random_faults(),
        Some("none") => fleet,
        _ => {
            let path = args.faults.display();
            let text = fs::read(&args.faults).with_context(|| format!("reading {path}"))?;
            let faults: Vec<Fault> =
                serde_json::from_slice(&text).with_context(|| format!("reading {path}"))?;
            faults.into_iter().fold(fleet, Scenario::with_fault)
        }
    };
    scenario.check().context("this can't be simulated")?;
    Ok(scenario)
}

fn write(scenario: &Scenario, path: &Path) -> anyhow::Result<()> {
    let events = simulate::events(scenario);
    if path == Path::new("-") {
        write_ndjson(&mut io::stdout().lock(), events)?;
        return Ok(());
    }
    let writing = || format!("writing {}", path.display());
    let mut file = File::create(path).with_context(writing)?;
    let written = write_ndjson(&mut file, events).with_context(writing)?;
    let _ = writeln!(io::stderr(), "{written} events in {}", path.display());
    Ok(())
}

async fn send(
    scenario: &Scenario,
    url: &Url,
    token_file: &Path,
    ca_file: Option<&Path>,
) -> anyhow::Result<()> {
    let token = fs::read_to_string(token_file)
        .with_context(|| format!("reading {}", token_file.display()))?;
    let mut sender = Sender::new(url, token.trim())?.patience(Duration::from_secs(120));
    if url.scheme() == "https" {
        sender = sender.tls(trust::client_config(ca_file)?);
    }
    let progress = Progress::on_terminal();
    let all = scenario.len();
    let totals = sender
        .send_all(simulate::events(scenario), |at| {
            progress.update(&format!("sent {} of {all} events", at.totals.sent));
        })
        .await?;
    progress.clear();
    let rejected: u64 = totals.rejected.values().sum();
    let _ = writeln!(
        io::stderr(),
        "{} events sent: {} accepted, {} of them duplicates, {rejected} rejected",
        totals.sent,
        totals.accepted,
        totals.duplicates,
    );
    match totals.first_rejection {
        None => Ok(()),
        Some(first) => anyhow::bail!("{rejected} events were rejected, the first: {first}"),
    }
}
