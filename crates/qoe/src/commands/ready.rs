//! `qoe ready`: whether a role works, for who supervises it and has no curl.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::Value;
use url::Url;

use crate::exit::Outcome;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it listens, http:// alone
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8460")]
    url: Url,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let asked = super::one_thread()?.block_on(server::plain::get(&args.url, "/-/ready"));
    let (status, body) = asked.with_context(|| format!("asking {}", args.url))?;
    if !status.is_success() {
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let why = told["detail"].as_str().unwrap_or("it does not say why");
        bail!("{} is not ready ({status}): {why}", args.url);
    }
    output::print("ready\n")?;
    Ok(ExitCode::SUCCESS)
}
