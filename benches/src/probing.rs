//! One measurement against blackbox_exporter's, one whole `qoe-probe once` against one whole curl, a
//! download against curl's, and a thousand targets, by the CPU of whoever measures. The test target is a process of its own and in no figure.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::exporter::Exporter;
use crate::netns;
use crate::table::{Goal, Ratio};
use crate::usage;
use process::{children_cpu, micros};
use target::Target;

pub(crate) use download::download;
pub(crate) use many::many;

mod download;
mod many;
pub(crate) mod measuring;
pub(crate) mod process;
pub(crate) mod target;

/// Measurements in a row.
const MEASUREMENTS: usize = 500;

/// At once, where it is not one after another.
const IN_FLIGHT: usize = 32;

/// CPU of a measurement as a share of blackbox_exporter's.
const CPU: f64 = 1.0 / 3.5;

/// How much faster than blackbox_exporter's the rate at [`IN_FLIGHT`] should be.
const RATE_AT_ONCE: f64 = 2.5;

/// Memory as a share of blackbox_exporter's.
const MEMORY: f64 = 1.0 / 3.0;

/// Processes of each kind a round.
const PROCESSES: usize = 40;

/// What this program is when it runs itself as another process.
#[derive(Debug, Subcommand)]
pub(crate) enum Child {
    /// Measures a URL again and again and prints what that took
    #[command(hide = true)]
    MeasureLoop(measuring::Args),
    /// Serves the test target until its standard input ends
    #[command(hide = true)]
    ServeTarget(target::Args),
    /// Downloads a URL again and again, by nothing but a TLS and an HTTP library
    #[command(hide = true)]
    BareDownload(download::Args),
}

impl Child {
    /// Is that process.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::MeasureLoop(args) => measuring::run(&args),
            Self::ServeTarget(args) => target::run(&args),
            Self::BareDownload(args) => download::run(&args),
        }
    }
}

/// CPU of one measurement over HTTPS, ours and blackbox_exporter's, each by a process that runs
/// on, one measurement after another and many at once: the prober by itself, and the two exporters.
pub(crate) fn probe(rounds: usize, program: &Path) -> anyhow::Result<Vec<Ratio>> {
    if let Some(why) = Exporter::missing().or_else(netns::missing) {
        println!("probe: skipped, {why}");
        return Ok(Vec::new());
    }
    if !netns::inside() {
        netns::run(&["probe".to_owned(), format!("--rounds={rounds}"), named(program)])?;
        return Ok(Vec::new());
    }
    let target = Target::start()?;
    let blackbox = Exporter::blackbox(target.scratch(), &target.ca_file(), &target.url())?;
    let exporter = Exporter::ours(program, &target.ca_file(), &target.url())?;
    let mut ratios = Vec::new();
    for in_flight in [1, IN_FLIGHT] {
        let at = match in_flight {
            1 => "one at a time".to_owned(),
            _ => format!("{in_flight} at once"),
        };
        let what = "CPU of one measurement over HTTPS (DNS, TCP, TLS, GET)";
        let ratio = |what: String, goal| Ratio {
            what,
            ours: vec![],
            peer: "blackbox_exporter",
            peers: vec![],
            goal,
        };
        let mut cpu = ratio(format!("{what}, {at}, µs"), Goal::AtMost(CPU));
        let mut rate = ratio(format!("measurements a second, {at}"), Goal::AtLeast(RATE_AT_ONCE));
        let mut exporter_cpu = ratio(format!("{what}, exporter, {at}, µs"), Goal::AtMost(CPU));
        let mut exporter_rate =
            ratio(format!("measurements a second, exporter, {at}"), Goal::AtLeast(RATE_AT_ONCE));
        let mut memory = ratio(format!("memory, exporter, {at}, MiB"), Goal::AtMost(MEMORY));
        for _ in 0..rounds {
            let ours = measuring::start(&target, MEASUREMENTS, Duration::ZERO, in_flight)?;
            let (peer, asked) = (scraped(&blackbox, in_flight)?, scraped(&exporter, in_flight)?);
            let a_second = |wall_us: f64| each(MEASUREMENTS) * 1e6 / wall_us;
            cpu.add(ours.cpu_us / each(MEASUREMENTS), peer.cpu_us);
            rate.add(a_second(ours.wall_us), peer.a_second);
            exporter_cpu.add(asked.cpu_us, peer.cpu_us);
            exporter_rate.add(asked.a_second, peer.a_second);
            memory.add(asked.rss_mib, peer.rss_mib);
        }
        ratios.extend([cpu, exporter_cpu]);
        // One at a time the target's own time counts, which is the same for both.
        if in_flight > 1 {
            ratios.extend([rate, exporter_rate, memory]);
        }
    }
    Ok(ratios)
}

/// What an exporter took for [`MEASUREMENTS`].
struct Scraped {
    /// For each.
    cpu_us: f64,
    a_second: f64,
    /// At the end.
    rss_mib: f64,
}

fn scraped(exporter: &Exporter, in_flight: usize) -> anyhow::Result<Scraped> {
    let (before, start) = (exporter.running().cpu()?, Instant::now());
    exporter.probe_many(MEASUREMENTS, in_flight)?;
    let (wall, after) = (start.elapsed(), exporter.running().cpu()?);
    Ok(Scraped {
        cpu_us: micros(after.saturating_sub(before)) / each(MEASUREMENTS),
        a_second: each(MEASUREMENTS) / wall.as_secs_f64(),
        rss_mib: usage::of(exporter.running().id())?.rss_mib,
    })
}

/// The flag for the run in a network of our own.
fn named(program: &Path) -> String {
    format!("--probe={}", program.display())
}

/// CPU and time of one whole process that measures once, `qoe-probe once` and curl. In a network of
/// our own both ask the target's DNS server; else both find `localhost` in the hosts file.
pub(crate) fn check(rounds: usize, program: &Path) -> anyhow::Result<Vec<Ratio>> {
    if netns::on_path("curl").is_none() {
        println!("check: skipped, needs curl (Debian: curl)");
        return Ok(Vec::new());
    }
    if !netns::inside() && netns::missing().is_none() {
        netns::run(&["check".to_owned(), format!("--rounds={rounds}"), named(program)])?;
        return Ok(Vec::new());
    }
    let target = Target::start()?;
    let once = |program: &Path, flags: &[&str]| {
        let mut command = Command::new(program);
        command.args(flags).arg(target.ca_file()).arg(target.url());
        whole(command)
    };
    let check = || once(program, &["once", "--json", "--no-throughput", "--ip=4", "--ca-file"]);
    let curl = || once(Path::new("curl"), &["--silent", "--fail", "--ipv4", "--cacert"]);
    let mut figures = [const { Vec::new() }; 4];
    check()?;
    curl()?;
    for _ in 0..rounds {
        let mut sums = [0.0; 4];
        for _ in 0..PROCESSES {
            let (ours, curls) = (check()?, curl()?);
            let taken = [ours.cpu, curls.cpu, ours.wall, curls.wall];
            for (sum, taken) in sums.iter_mut().zip(taken) {
                *sum += micros(taken) / 1e3;
            }
        }
        for (figures, sum) in figures.iter_mut().zip(sums) {
            figures.push(sum / each(PROCESSES));
        }
    }
    let [cpu, curl_cpu, wall, curl_wall] = figures;
    let ratio = |what: &str, ours, peers| Ratio {
        what: what.to_owned(),
        ours,
        peer: "curl",
        peers,
        goal: Goal::AtMost(1.0 / 3.0),
    };
    Ok(vec![
        ratio("CPU of one whole qoe-probe once --json, ms", cpu, curl_cpu),
        ratio("time of one whole qoe-probe once --json, ms", wall, curl_wall),
    ])
}

/// What one whole process took.
#[derive(Clone, Copy, Debug)]
struct Taken {
    cpu: Duration,
    wall: Duration,
}

fn whole(mut command: Command) -> anyhow::Result<Taken> {
    let (start, before) = (Instant::now(), children_cpu()?);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("running {command:?}"))?;
    // No other child of this process ends meanwhile.
    let taken = Taken { wall: start.elapsed(), cpu: children_cpu()?.saturating_sub(before) };
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(taken)
}

/// A count to divide by.
#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn each(count: usize) -> f64 {
    count as f64
}
