//! `qoe-probe`: the agent alone, small, for other people's machines.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use probe::agent::{self, FileError, SpoolError};
use probe::check::{self, Defaults};
use probe::exporter;
use probe::log::LogFormat;
use probe::render::Style;
use probe::render::colour::{Surroundings, When};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Measure DNS, TCP, TLS, HTTP and throughput of targets.
#[derive(Parser)]
#[command(name = "qoe-probe", version, disable_help_subcommand = true)]
struct Cli {
    /// How log lines are written: json has an object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "QOE_LOG_FORMAT"
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure targets on a schedule and ship the events to a qoe server
    Run(Box<agent::Agent>),
    /// Measure now and show where the time goes
    Once(check::Args),
    /// Measure when Prometheus asks, under blackbox_exporter's names
    Exporter(exporter::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = cli.log_format.layer(std::io::stderr().is_terminal(), true);
    tracing_subscriber::registry().with(layer).with(filter).init();
    match cli.command {
        Command::Once(args) => check::run(&args, &defaults()),
        Command::Run(agent) => run(*agent),
        Command::Exporter(args) => {
            one_thread()?.block_on(async {
                let shutdown = CancellationToken::new();
                tokio::spawn(cancel_on_signal(shutdown.clone()));
                exporter::run(args, shutdown).await
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(agent: agent::Agent) -> anyhow::Result<ExitCode> {
    let config = match agent.into_config() {
        Err(error) if error.is::<FileError>() => {
            eprintln!("qoe-probe: {error}");
            return Ok(ExitCode::from(CONFIG));
        }
        config => config?,
    };
    let ended = one_thread()?.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        agent::run(config, None, shutdown).await
    });
    match ended {
        Ok(agent::Summary { measured, missed, troubled, shipped, refused, dropped, unsent }) => {
            tracing::info!(
                measured, missed, troubled, shipped, refused, dropped, unsent, "stopped"
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is::<SpoolError>() => {
            eprintln!("qoe-probe: {error}");
            Ok(ExitCode::from(TRY_LATER))
        }
        Err(error) => Err(error),
    }
}

/// `EX_CONFIG`.
const CONFIG: u8 = 78;
/// `EX_TEMPFAIL`: another probe has the spool.
const TRY_LATER: u8 = 75;

/// A hand-over to another thread would end up in the timings.
fn one_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")
}

fn defaults() -> Defaults {
    let term = std::env::var("TERM").ok();
    let surroundings = Surroundings {
        terminal: std::io::stdout().is_terminal(),
        no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
        term: term.as_deref(),
    };
    Defaults {
        resolver: None,
        ca_file: None,
        timeout: None,
        throughput: None,
        style: Style::choose(When::Auto, surroundings),
    }
}

/// Ctrl-C and SIGTERM stop the agent.
async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    shutdown.cancel();
}
