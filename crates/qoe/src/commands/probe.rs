//! `qoe probe`: the agent `qoe-probe` is, for machines that have `qoe` anyway. Same flags, same
//! `QOE_PROBE_*` variables.

use std::process::ExitCode;

use ::probe::agent::{self, Agent};

use super::Context;
use crate::exit::Outcome;
use crate::signals;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    agent: Agent,
}

pub(crate) fn run(args: Args, _context: &Context) -> Outcome {
    let config = args.agent.into_config()?;
    super::one_thread()?.block_on(async {
        let stop = signals::stop_on_signal()?;
        let summary = agent::run(config, None, stop).await?;
        tracing::info!(?summary, "stopped");
        Ok(ExitCode::SUCCESS)
    })
}
