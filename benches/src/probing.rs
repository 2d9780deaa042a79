//! One measurement against blackbox_exporter's, and one whole `qoe check` against one whole curl,
//! by the CPU of whoever measures. The test target is a process of its own and in no figure.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::blackbox::Blackbox;
use crate::netns;
use crate::table::{Goal, Ratio};
use crate::usage;
use process::{children_cpu, micros};
use target::Target;

pub(crate) mod measuring;
pub(crate) mod process;
pub(crate) mod target;

/// Measurements in a row.
const MEASUREMENTS: usize = 500;

/// At once, where it is not one after another.
const IN_FLIGHT: usize = 32;

/// How much faster than blackbox_exporter's the rate at [`IN_FLIGHT`] should be.
const RATE_AT_ONCE: f64 = 2.5;

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
}

impl Child {
    /// Is that process.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::MeasureLoop(args) => measuring::run(&args),
            Self::ServeTarget(args) => target::run(&args),
        }
    }
}

/// CPU of one measurement over HTTPS, ours and blackbox_exporter's, each by a process that runs
/// on, one measurement after another and many at once.
pub(crate) fn probe(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    if let Some(why) = Blackbox::missing().or_else(netns::missing) {
        println!("probe: skipped, {why}");
        return Ok(Vec::new());
    }
    if !netns::inside() {
        netns::run(&["probe".to_owned(), format!("--rounds={rounds}")])?;
        return Ok(Vec::new());
    }
    let target = Target::start()?;
    let blackbox = Blackbox::start(target.scratch(), &target.ca_file(), &target.url())?;
    let mut ratios = Vec::new();
    for in_flight in [1, IN_FLIGHT] {
        let at = if in_flight == 1 {
            "one at a time".to_owned()
        } else {
            format!("{in_flight} at once")
        };
        let ratio =
            |what: String, peer, goal| Ratio { what, ours: vec![], peer, peers: vec![], goal };
        let peer = "blackbox_exporter";
        let mut cpu = ratio(
            format!("CPU of one measurement over HTTPS (DNS, TCP, TLS, GET), {at}, µs"),
            peer,
            Goal::AtMost(1.0 / 3.5),
        );
        let mut rate =
            ratio(format!("measurements a second, {at}"), peer, Goal::AtLeast(RATE_AT_ONCE));
        let mut memory = ratio(format!("memory, {at}, MiB"), peer, Goal::AtMost(1.0 / 3.0));
        for _ in 0..rounds {
            let ours = measuring::start(&target, MEASUREMENTS, Duration::ZERO, in_flight)?;
            let (before, start) = (blackbox.running().cpu()?, Instant::now());
            blackbox.probe_many(MEASUREMENTS, in_flight)?;
            let (wall, cpu_after) = (micros(start.elapsed()), blackbox.running().cpu()?);
            let theirs = micros(cpu_after.saturating_sub(before));
            cpu.add(ours.cpu_us / each(MEASUREMENTS), theirs / each(MEASUREMENTS));
            let a_second = |wall_us: f64| each(MEASUREMENTS) * 1e6 / wall_us;
            rate.add(a_second(ours.wall_us), a_second(wall));
            memory.add(ours.rss_mib, usage::of(blackbox.running().id())?.rss_mib);
        }
        ratios.push(cpu);
        // One at a time the target's own time counts, which is the same for both.
        if in_flight > 1 {
            ratios.extend([rate, memory]);
        }
    }
    Ok(ratios)
}

/// CPU and time of one whole process that measures once, `qoe check` and curl. In a network of
/// our own both ask the target's DNS server; else both find `localhost` in the hosts file.
pub(crate) fn check(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    if netns::on_path("curl").is_none() {
        println!("check: skipped, needs curl (Debian: curl)");
        return Ok(Vec::new());
    }
    if !netns::inside() && netns::missing().is_none() {
        netns::run(&["check".to_owned(), format!("--rounds={rounds}")])?;
        return Ok(Vec::new());
    }
    let qoe = std::env::current_exe().context("finding this program")?.with_file_name("qoe");
    if !qoe.is_file() {
        bail!("there is no {}: build it with the same profile (-p qoe)", qoe.display());
    }
    let target = Target::start()?;
    let once = |program: &Path, flags: &[&str]| {
        let mut command = Command::new(program);
        command.args(flags).arg(target.ca_file()).arg(target.url());
        whole(command)
    };
    let check = || once(&qoe, &["check", "--json", "--no-throughput", "--ca-file"]);
    let curl = || once(Path::new("curl"), &["--silent", "--fail", "--cacert"]);
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
        ratio("CPU of one whole qoe check --json, ms", cpu, curl_cpu),
        ratio("time of one whole qoe check --json, ms", wall, curl_wall),
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
