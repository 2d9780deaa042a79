//! Our prober in a process of its own, as the agent runs it: one thread, one prober, and of each
//! measurement its event as it would be sent. IPv4 alone, as the peers are told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, hint};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use probe::load::{Allowance, LoadOptions, Tests};
use probe::{Families, Family, Identity, Measurement, Options, Prober};
use serde_json::{Value, json};
use tokio::time::sleep;
use url::Url;

use super::download::a_gib;
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
    /// How many at once
    in_flight: usize,
    /// The resolver to ask
    #[arg(long)]
    resolver: Option<SocketAddr>,
    /// Measure throughput as well
    #[arg(long)]
    throughput: bool,
    /// Count measurements that fail instead of ending with the first
    #[arg(long)]
    tolerant: bool,
    /// Load the line in the end, both ways
    #[arg(long, conflicts_with = "download")]
    load: bool,
    /// Download in the end, on one connection
    #[arg(long)]
    download: bool,
}

/// What such a process found.
#[derive(Debug)]
pub(crate) struct Measured {
    /// CPU of all counted measurements, pauses included.
    pub(crate) cpu_us: f64,
    /// From the first to the last of them.
    pub(crate) wall_us: f64,
    /// Of each counted measurement.
    pub(crate) stages: Vec<Stages>,
}

/// Runs one and waits for it.
pub(crate) fn start(
    target: &Target,
    count: usize,
    pause: Duration,
    in_flight: usize,
) -> anyhow::Result<Measured> {
    let output = Command::new(env::current_exe().context("finding this program")?)
        .args(["measure-loop", &target.url()])
        .arg(target.ca_file())
        .args([count.to_string(), pause.as_millis().to_string(), in_flight.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("running the measuring process")?;
    if !output.status.success() {
        bail!("the measuring process: {}", output.status);
    }
    let found: Value = serde_json::from_slice(&output.stdout).context("reading its figures")?;
    let stages = found["stages_us"].as_array().context("no stages in its figures")?;
    let figure = |name: &str| found[name].as_f64().with_context(|| format!("it gave no {name}"));
    Ok(Measured {
        cpu_us: figure("cpu_us")?,
        wall_us: figure("wall_us")?,
        stages: stages
            .iter()
            .map(|stages| serde_json::from_value(stages.clone()))
            .collect::<Result<_, _>>()
            .context("reading its stages")?,
    })
}

/// Is that process.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options {
        ca_file: Some(args.ca_file.clone()),
        resolver: args.resolver,
        throughput: args.throughput,
        families: Families::Only(Family::V4),
        ..Default::default()
    };
    let prober = Prober::new(options)?;
    let identity = Identity::named("qoe-bench");
    let mut found = Vec::with_capacity(args.count);
    let (mut retransmits, mut failed, mut throughput) = (0, 0, None);
    let mut loaded = Value::Null;
    let once = || async {
        if args.pause_ms > 0 {
            sleep(Duration::from_millis(args.pause_ms)).await;
        }
        let measured = prober.measure(&args.url).await;
        _ = hint::black_box(serde_json::to_vec(&measured.to_event(&identity)));
        (stages(&measured), measured)
    };
    let (cpu, wall) = one_thread()?.block_on(async {
        stages(&prober.measure(&args.url).await)?;
        let (before, start) = (own_cpu()?, Instant::now());
        let mut running = stream::iter(0..args.count).map(|_| once()).buffered(args.in_flight);
        while let Some(ended) = running.next().await {
            let (stages, measured) = ended;
            match stages {
                Ok(stages) => found.push(stages),
                Err(_) if args.tolerant => failed += 1,
                Err(error) => return Err(error),
            }
            retransmits += measured.transport.last().map_or(0, |info| u64::from(info.retransmits));
            throughput = measured.throughput.map(|t| t.bits_per_second).or(throughput);
        }
        let taken = (own_cpu()?.saturating_sub(before), start.elapsed());
        if args.load {
            loaded = load(&prober, &args.url).await?;
        } else if args.download {
            loaded = download(&prober, &args.url).await?;
        }
        anyhow::Ok(taken)
    })?;
    let (cpu_us, wall_us) = (micros(cpu), micros(wall));
    println!(
        "{}",
        json!({
            "cpu_us": cpu_us,
            "wall_us": wall_us,
            "retransmits": retransmits,
            "failed": failed,
            "throughput_bps": throughput,
            "load": loaded,
            "stages_us": found,
        })
    );
    Ok(())
}

/// What the line carries, and how it answers meanwhile.
async fn load(prober: &Prober, url: &Url) -> anyhow::Result<Value> {
    let tests = Tests { download: true, upload: true, responsiveness: true };
    let mut measured = prober.measure(url).await;
    prober.load(&mut measured, tests, &LoadOptions::default(), &Allowance::of(1 << 30)).await;
    if let Some(failure) = measured.any_failure() {
        bail!("{}: {}", failure.kind, failure.detail);
    }
    let latency = measured.latency.as_ref().context("no latency under load")?;
    Ok(json!({
        "download_bps": measured.throughput.map(|carried| carried.bits_per_second),
        "upload_bps": measured.upload.map(|carried| carried.bits_per_second),
        "idle_us": latency.idle.map(micros),
        "loaded_us": latency.loaded.map(micros),
        "rpm": latency.rpm,
        "confidence": latency.confidence.map(probe::Confidence::name),
    }))
}

/// What one connection carries to us, and the CPU that takes.
async fn download(prober: &Prober, url: &Url) -> anyhow::Result<Value> {
    let tests = Tests { download: true, ..Tests::default() };
    let options = LoadOptions { connections: 1, ..LoadOptions::default() };
    let mut measured = prober.measure(url).await;
    let before = own_cpu()?;
    prober.load(&mut measured, tests, &options, &Allowance::of(1 << 40)).await;
    let cpu_us = micros(own_cpu()?.saturating_sub(before));
    if let Some(failure) = measured.any_failure() {
        bail!("{}: {}", failure.kind, failure.detail);
    }
    let carried = measured.throughput.context("nothing was carried")?;
    Ok(json!({
        "download_bps": carried.bits_per_second,
        "cpu_us_a_gib": a_gib(cpu_us, carried.bytes),
    }))
}

fn stages(measured: &Measurement) -> anyhow::Result<Stages> {
    if let Some(failure) = measured.any_failure() {
        bail!("{}: {}", failure.kind, failure.detail);
    }
    let stage = |time: Option<Duration>| time.map(micros).context("a stage was not measured");
    Ok([stage(measured.dns)?, stage(measured.tcp)?, stage(measured.tls)?, stage(measured.ttfb)?])
}
