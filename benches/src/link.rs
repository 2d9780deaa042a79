//! What the probe says of a link whose delay, loss and rate are known: two network namespaces with an
//! emulator between them, the target in one, the probe in the other.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::accuracy::truth::Stages;
use crate::netns;
use crate::probing::process::Running;
use crate::table::{Goal, Ratio, median};

/// The emulator; it needs Python and nothing else.
pub(crate) const EMULATOR: &str = include_str!("../link/link.py");

/// Where the target is.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// One way, milliseconds.
const DELAY_MS: u32 = 20;

/// Mbit/s.
const RATE: f64 = 10.0;

/// Before the link, each way.
const QUEUE_KIB: f64 = 256.0;

/// Of packets, each way.
const LOSS: f64 = 0.02;

/// For a few hundred packets to be lost.
const UNDER_LOSS: usize = 100;

/// Compares what the probe says with what the link is.
pub(crate) fn link(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    if let Some(program) = ["python3", "ip"].into_iter().find(|p| netns::on_path(p).is_none()) {
        println!("link: skipped, needs {program} (Debian: python3, iproute2)");
        return Ok(Vec::new());
    }
    if !netns::is_root() {
        println!("link: skipped, needs root, for network namespaces with TUN devices");
        return Ok(Vec::new());
    }
    let mut ratios = delay(rounds)?;
    ratios.extend(rate(rounds)?);
    loss()?;
    Ok(ratios)
}

/// Each stage is one round trip: DNS, SYN, TLS 1.3, the request. What the two ends compute, and what
/// the emulator takes to pass a packet on, is no part of the delay: it is what the same takes over a
/// link without one.
fn delay(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    let computing = {
        let link = Link::start(&["--delay", "0"])?;
        medians(&link.measure(100, &[])?)?
    };
    let link = Link::start(&["--delay", &DELAY_MS.to_string()])?;
    let round_trip = f64::from(2 * DELAY_MS) * 1e3;
    let mut stages: [Vec<f64>; 4] = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        let found = medians(&link.measure(20, &[])?)?;
        for ((stage, found), computing) in stages.iter_mut().zip(found).zip(computing) {
            stage.push(found - computing);
        }
    }
    println!(
        "over a link without delay, taken off: dns, tcp, tls, ttfb {} µs",
        computing.map(|us| format!("{us:.0}")).join(", ")
    );
    let names = ["dns", "tcp", "tls", "ttfb"];
    let both_sides = |(name, ours): (&str, Vec<f64>)| {
        let bound = |goal| Ratio {
            what: format!("{name} over a link of {DELAY_MS} ms each way, µs"),
            ours: ours.clone(),
            peer: "one round trip",
            peers: vec![round_trip; ours.len()],
            goal,
        };
        [bound(Goal::AtLeast(0.98)), bound(Goal::AtMost(1.02))]
    };
    Ok(names.into_iter().zip(stages).flat_map(both_sides).collect())
}

/// Of each stage.
fn medians(found: &Value) -> anyhow::Result<Stages> {
    let told = found["stages_us"].as_array().context("no stages in its figures")?;
    let stage = |nth: usize| {
        median(told.iter().filter_map(|all| all[nth].as_f64()).collect()).context("no stages")
    };
    Ok([stage(0)?, stage(1)?, stage(2)?, stage(3)?])
}

/// A line of a known rate with a queue before it: what it carries both ways, and how much longer it
/// takes to answer while the queue is full.
fn rate(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    let (rate, queue) = (RATE.to_string(), QUEUE_KIB.to_string());
    let link = Link::start(&["--delay", "5", "--rate", &rate, "--queue", &queue])?;
    // What Ethernet's payload has left for a body after IP, TCP and its time stamps.
    let most = RATE * 1e6 * (1500.0 - 52.0) / 1500.0;
    let full = QUEUE_KIB * 1024.0 * 8.0 / (RATE * 1e6) * 1e6;
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        let found = link.measure(1, &["--throughput", "--load"])?;
        let load = &found["load"];
        let told = [&found["throughput_bps"], &load["download_bps"], &load["upload_bps"]];
        for (figures, told) in figures.iter_mut().zip(told) {
            figures.push(told.as_f64().context("no throughput in its figures")?);
        }
        let waits = |name: &str| load[name].as_f64().context("no latency in its figures");
        figures[3].push(waits("loaded_us")? - waits("idle_us")?);
        println!(
            "{RATE} Mbit/s, a queue of {QUEUE_KIB} KiB: idle {:.0} ms, loaded {:.0} ms, {:.0} RPM, confidence {}",
            waits("idle_us")? / 1e3,
            waits("loaded_us")? / 1e3,
            load["rpm"].as_f64().unwrap_or(f64::NAN),
            load["confidence"],
        );
    }
    let [fixed, download, upload, wait] = figures;
    let share = |what: &str, ours: Vec<f64>, peer, whole: f64, goal| Ratio {
        what: what.to_owned(),
        peers: vec![whole; ours.len()],
        ours,
        peer,
        goal,
    };
    let peer = "the link's, less headers";
    Ok(vec![
        share("goodput of 1 MiB, bit/s", fixed, peer, most, Goal::AtLeast(0.95)),
        share("download, adaptive, bit/s", download, peer, most, Goal::AtLeast(0.95)),
        share("upload, adaptive, bit/s", upload, peer, most, Goal::AtLeast(0.95)),
        share("waiting under load, µs", wait, "the full queue", full, Goal::AtLeast(0.9)),
    ])
}

/// Lost packets show as segments that the kernel sent again.
fn loss() -> anyhow::Result<()> {
    let link = Link::start(&["--delay", "2", "--loss", &LOSS.to_string()])?;
    let found = link.measure(UNDER_LOSS, &["--tolerant"])?;
    let again = found["retransmits"].as_u64().context("no retransmits in its figures")?;
    let percent = LOSS * 100.0;
    let failed = &found["failed"];
    println!(
        "loss of {percent} %: {again} segments sent again in {UNDER_LOSS} measurements, {failed} failed"
    );
    if again == 0 {
        bail!("a link that loses {percent} % shows no segment that was sent again");
    }
    Ok(())
}

/// The link, with the target at its far end. Both end with it.
struct Link {
    target: Option<Running>,
    emulator: Running,
    near: String,
    ca_file: std::path::PathBuf,
    port: u16,
    _scratch: tempfile::TempDir,
}

impl Link {
    fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("making a temporary directory")?;
        let script = scratch.path().join("link.py");
        fs::File::create(&script)?.write_all(EMULATOR.as_bytes())?;
        let pid = std::process::id();
        let (near, far) = (format!("qoe-a{pid}"), format!("qoe-b{pid}"));
        let mut command = Command::new("python3");
        command.arg(&script).args([&near, &far]).args(flags);
        let (emulator, line) = started(command, "the link emulator")?;
        anyhow::ensure!(line.trim() == "ready", "the link emulator did not start");
        let ca_file = scratch.path().join("ca.pem");
        let mut command = inside(&far)?;
        command.arg("serve-target").arg(&ca_file).args(["--at", &FAR.to_string()]);
        let (target, line) = started(command, "the test target")?;
        let port = line.trim().parse().context("the test target did not start")?;
        Ok(Self { target: Some(target), emulator, near, ca_file, port, _scratch: scratch })
    }

    fn measure(&self, count: usize, flags: &[&str]) -> anyhow::Result<Value> {
        let mut command = inside(&self.near)?;
        command.args(["measure-loop", &format!("https://target.test:{}/health", self.port)]);
        command.arg(&self.ca_file).args([&count.to_string(), "0", "1"]);
        command.args(["--resolver", &format!("{FAR}:53")]).args(flags);
        let output = command.stderr(Stdio::inherit()).output().context("running the probe")?;
        anyhow::ensure!(output.status.success(), "the measuring process: {}", output.status);
        serde_json::from_slice(&output.stdout).context("reading its figures")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.target.take());
        // Waiting closes its standard input, upon which it takes the namespaces down.
        _ = self.emulator.child().wait();
    }
}

/// This program, in a namespace.
fn inside(namespace: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    command.arg(env::current_exe().context("finding this program")?);
    Ok(command)
}

/// A process that says in a line that it is ready, and ends with its standard input.
pub(crate) fn started(
    mut command: Command,
    name: &'static str,
) -> anyhow::Result<(Running, String)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(command, name)?;
    let output = running.child().stdout.take().with_context(|| format!("no output of {name}"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).with_context(|| format!("starting {name}"))?;
    Ok((running, line))
}
