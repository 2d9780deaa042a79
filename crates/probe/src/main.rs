//! `qoe-probe`: the agent alone, small, for other people's machines.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use probe::agent;
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
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .init();
    match run(cli.agent).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("qoe-probe: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: agent::Agent) -> anyhow::Result<()> {
    let config = args.into_config()?;
    tracing::info!(
        client_id = config.identity.client_id,
        targets = config.targets.len(),
        "measuring"
    );
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let summary = agent::run(config, None, shutdown).await?;
    tracing::info!(
        measured = summary.measured,
        shipped = summary.shipped,
        refused = summary.refused,
        dropped = summary.dropped,
        unsent = summary.unsent,
        "stopped"
    );
    Ok(())
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
