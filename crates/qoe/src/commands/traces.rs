//! `qoe traces`: a collector for one machine, which draws what it has.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tokio::net::TcpListener;

use crate::exit::Outcome;
use crate::{output, signals};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to take traces and to show them, loopback only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318")]
    listen: SocketAddr,
}

pub(crate) fn run(args: &Args) -> Outcome {
    super::many_threads()?.block_on(async {
        let stop = signals::stop_on_signal()?;
        ensure!(
            args.listen.ip().is_loopback(),
            "whoever reaches {} could read traces and send them: only loopback will do",
            args.listen
        );
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| format!("listening on {}", args.listen))?;
        let addr = listener.local_addr()?;
        output::print(&format!(
            "traces: http://{addr}/\nfrom:   qoe up --target URL --otlp http://{addr}\n"
        ))?;
        testbed::traces::collect(listener, stop).await;
        Ok(ExitCode::SUCCESS)
    })
}
