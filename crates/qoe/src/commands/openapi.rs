//! `qoe openapi`.

use std::process::ExitCode;

use crate::exit::Outcome;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(Args {}: &Args) -> Outcome {
    output::print(server::openapi::text())?;
    Ok(ExitCode::SUCCESS)
}
