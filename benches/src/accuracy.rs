//! What a prober says each stage took against what the packets say, ours, blackbox_exporter's and
//! curl's: the same target, the same run, a capture each.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, bail};

use crate::curl;
use crate::exporter::Exporter;
use crate::netns;
use crate::packets;
use crate::probing::measuring;
use crate::probing::process::Running;
use crate::probing::target::{DNS_PORT, Target};
use crate::table::{Goal, Ratio, median};
use truth::{STAGES, Stages};

pub(crate) mod truth;

/// Measurements of each client a round, after a first one that is not counted.
const MEASUREMENTS: usize = 200;

/// Between two measurements: caches and cores are cold again, as they are for a real probe.
const PAUSE: Duration = Duration::from_millis(20);

/// Microseconds that each of [`STAGES`] may differ from the packets by, at the median.
const BOUNDS: Stages = [60.0, 20.0, 150.0, 60.0];

/// For the last packets to be in the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Compares all with the packets: for each stage our difference against its bound and the peers'.
pub(crate) fn accuracy(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    if let Some(why) = Exporter::missing().or_else(no_capture).or_else(netns::missing) {
        println!("accuracy: skipped, {why}");
        return Ok(Vec::new());
    }
    if !netns::inside() {
        netns::run(&["accuracy".to_owned(), format!("--rounds={rounds}")])?;
        return Ok(Vec::new());
    }
    let target = Target::start()?;
    let mut blackbox = Exporter::blackbox(target.scratch(), &target.ca_file(), &target.url())?;
    let with_curl = netns::on_path("curl").is_some();
    let [mut ours, mut peers, mut curls] = [const { Client::new() }; 3];
    for _ in 0..rounds {
        ours.compare(&captured(&target, || {
            Ok(measuring::start(&target, MEASUREMENTS, PAUSE, 1)?.stages)
        })?);
        peers.compare(&captured(&target, || {
            blackbox.probe()?;
            let paused = || {
                thread::sleep(PAUSE);
                blackbox.probe()
            };
            std::iter::repeat_with(paused).take(MEASUREMENTS).collect()
        })?);
        if with_curl {
            curls.compare(&captured(&target, || {
                curl::measure(&target)?;
                let paused = || {
                    thread::sleep(PAUSE);
                    curl::measure(&target)
                };
                std::iter::repeat_with(paused).take(MEASUREMENTS).collect()
            })?);
        }
    }
    println!("µs in the packets / reported / median difference");
    ours.print("qoe");
    peers.print("blackbox_exporter");
    if with_curl {
        curls.print("curl");
    } else {
        println!("  curl: skipped, there is none (Debian: curl)");
    }
    let mut ratios = Vec::new();
    for (i, stage) in STAGES.iter().enumerate() {
        let mut against = |peer, peers: Vec<f64>| {
            if !peers.is_empty() {
                ratios.push(Ratio {
                    what: format!("{stage}: difference from the packets, µs"),
                    ours: ours.differences[i].clone(),
                    peer,
                    peers,
                    goal: Goal::AtMost(1.0),
                });
            }
        };
        against("allowed", vec![BOUNDS[i]; rounds]);
        against("blackbox_exporter", peers.differences[i].clone());
        against("curl", curls.differences[i].clone());
    }
    Ok(ratios)
}

/// Why there can be no capture; `None`: there can.
fn no_capture() -> Option<String> {
    if netns::on_path("tcpdump").is_none() {
        return Some("needs tcpdump (Debian: tcpdump)".to_owned());
    }
    // tcpdump changes its user, which a user's own namespace does not let it.
    (!netns::inside() && !netns::is_root()).then(|| "needs root, for tcpdump".to_owned())
}

/// What was found of one client, a figure a round and stage.
#[derive(Debug)]
struct Client {
    truths: [Vec<f64>; STAGES.len()],
    reports: [Vec<f64>; STAGES.len()],
    differences: [Vec<f64>; STAGES.len()],
}

impl Client {
    const fn new() -> Self {
        const NONE: [Vec<f64>; STAGES.len()] = [const { Vec::new() }; STAGES.len()];
        Self { truths: NONE, reports: NONE, differences: NONE }
    }

    /// Adds a round: medians over its measurements.
    fn compare(&mut self, round: &[(Stages, Stages)]) {
        for stage in 0..STAGES.len() {
            let of = |figure: fn(f64, f64) -> f64| {
                median(
                    round.iter().map(|(true_, told)| figure(true_[stage], told[stage])).collect(),
                )
            };
            self.truths[stage].extend(of(|true_, _| true_));
            self.reports[stage].extend(of(|_, told| told));
            self.differences[stage].extend(of(|true_, told| (told - true_).abs()));
        }
    }

    fn print(&self, name: &str) {
        let middle = |figures: &[f64]| median(figures.to_vec()).unwrap_or(f64::NAN);
        let stages = STAGES.iter().enumerate().map(|(i, stage)| {
            let figures = [&self.truths[i], &self.reports[i], &self.differences[i]];
            let [truth, told, difference] = figures.map(|figures| middle(figures));
            format!("{stage} {truth:.0} / {told:.0} / {difference:.0}")
        });
        println!("  {name:<18} {}", stages.collect::<Vec<_>>().join("   "));
    }
}

/// Runs measurements under a capture and sets what the packets say beside what they report.
fn captured(
    target: &Target,
    measure: impl FnOnce() -> anyhow::Result<Vec<Stages>>,
) -> anyhow::Result<Vec<(Stages, Stages)>> {
    let file = target.scratch().join("packets.pcap");
    let capture = Capture::start(&file)?;
    let told = measure()?;
    let start = Instant::now();
    let truths = loop {
        let read = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        match truth::stages(&packets::read(&read)?, DNS_PORT, target.port()) {
            Ok(truths) if truths.len() == told.len() + 1 => break truths,
            // The kernel hands packets to a capture in blocks, of up to a second.
            _ if start.elapsed() < PATIENCE => thread::sleep(PAUSE),
            Ok(truths) => {
                bail!("{} measurements in the capture, {} expected", truths.len(), told.len() + 1)
            }
            Err(error) => return Err(error),
        }
    };
    capture.stop()?;
    // The first is the one that is not counted.
    Ok(truths.into_iter().skip(1).zip(told).collect())
}

/// A capture of the loopback.
struct Capture {
    running: Running,
    stderr: BufReader<ChildStderr>,
}

impl Capture {
    /// Returns when packets are being captured.
    fn start(file: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("tcpdump");
        command
            .args(["-i", "lo", "--time-stamp-precision=nano", "--packet-buffered"])
            // Its own user may not write where we do.
            .args(["-Z", "root", "-w"])
            .arg(file)
            .stderr(Stdio::piped());
        let mut running = Running::start(command, "tcpdump")?;
        let stderr = running.child().stderr.take().context("no messages of tcpdump")?;
        let mut stderr = BufReader::new(stderr);
        let mut said = String::new();
        while !said.contains("listening on") {
            if stderr.read_line(&mut said).context("reading tcpdump's messages")? == 0 {
                bail!("tcpdump captures nothing: {}", said.trim());
            }
        }
        Ok(Self { running, stderr })
    }

    /// Returns when all that was captured is in the file.
    fn stop(mut self) -> anyhow::Result<()> {
        self.running.interrupt()?;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.stderr, &mut said)?;
        if !said.contains("0 packets dropped by kernel") {
            bail!("tcpdump lost packets: {}", said.trim());
        }
        Ok(())
    }
}
