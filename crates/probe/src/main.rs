//! `qoe-probe`: the agent alone, small, for other people's machines.

use std::process::ExitCode;

use clap::Parser;
use probe::agent::{self, SpoolError};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Measure DNS, TCP, TLS, HTTP and throughput of targets and ship the events to a qoe server.
#[derive(Parser)]
#[command(name = "qoe-probe", version)]
struct Cli {
    #[command(flatten)]
    agent: agent::Agent,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .init();
    let config = cli.agent.into_config()?;
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    match agent::run(config, None, shutdown).await {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<SpoolError>() => {
            eprintln!("qoe-probe: {error}");
            Ok(ExitCode::from(TRY_LATER))
        }
        Err(error) => Err(error),
    }
}

/// `EX_TEMPFAIL`: another probe has the spool.
const TRY_LATER: u8 = 75;

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
