//! Our prober in a process of its own, as the agent runs it: one thread, one prober, and of each
//! measurement its event as it would be sent.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, hint};

use anyhow::{Context as _, bail};
use probe::{Identity, Measurement, Options, Prober};
use serde_json::{Value, json};
use tokio::time::sleep;
use url::Url;

use super::process::{micros, one_thread, own_cpu};
use super::target::Target;
use crate::accuracy::truth::Stages;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    url: Url,
    /// Certificates to trust
    ca_file: PathBuf,
    /// Measurements, after a first one that is not counted
    count: usize,
    /// Pause before each
    pause_ms: u64,
}

/// What such a process found.
#[derive(Debug)]
pub(crate) struct Measured {
    /// CPU of all counted measurements, pauses included.
    pub(crate) cpu_us: f64,
    /// Of each counted measurement.
    pub(crate) stages: Vec<Stages>,
}

/// Runs one and waits for it.
pub(crate) fn start(target: &Target, count: usize, pause: Duration) -> anyhow::Result<Measured> {
    let output = Command::new(env::current_exe().context("finding this program")?)
        .args(["measure-loop", &target.url()])
        .arg(target.ca_file())
        .args([count.to_string(), pause.as_millis().to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("running the measuring process")?;
    if !output.status.success() {
        bail!("the measuring process: {}", output.status);
    }
    let found: Value = serde_json::from_slice(&output.stdout).context("reading its figures")?;
    let stages = found["stages_us"].as_array().context("no stages in its figures")?;
    Ok(Measured {
        cpu_us: found["cpu_us"].as_f64().context("no CPU in its figures")?,
        stages: stages
            .iter()
            .map(|stages| serde_json::from_value(stages.clone()))
            .collect::<Result<_, _>>()
            .context("reading its stages")?,
    })
}

/// Is that process.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let options =
        Options { ca_file: Some(args.ca_file.clone()), throughput: false, ..Default::default() };
    let prober = Prober::new(options)?;
    let identity = Identity::named("qoe-bench");
    let mut found = Vec::with_capacity(args.count);
    let cpu = one_thread()?.block_on(async {
        stages(&prober.measure(&args.url).await)?;
        let before = own_cpu()?;
        for _ in 0..args.count {
            if args.pause_ms > 0 {
                sleep(Duration::from_millis(args.pause_ms)).await;
            }
            let measured = prober.measure(&args.url).await;
            hint::black_box(serde_json::to_vec(&measured.to_event(&identity))?);
            found.push(stages(&measured)?);
        }
        anyhow::Ok(own_cpu()?.saturating_sub(before))
    })?;
    println!("{}", json!({ "cpu_us": micros(cpu), "stages_us": found }));
    Ok(())
}

fn stages(measured: &Measurement) -> anyhow::Result<Stages> {
    if let Some(failure) = measured.any_failure() {
        bail!("{}: {}", failure.kind, failure.detail);
    }
    let stage = |time: Option<Duration>| time.map(micros).context("a stage was not measured");
    Ok([stage(measured.dns)?, stage(measured.tcp)?, stage(measured.tls)?, stage(measured.ttfb)?])
}
