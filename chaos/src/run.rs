//! One run from its beginning to its judgement.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::{Client, ConnectOptions};
use model::units::Minute;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::cluster::{Cluster, Disk};
use crate::event::World;
use crate::evidence::bus::Look;
use crate::evidence::{bus, database, replay};
use crate::http::Way;
use crate::judge::{Broken, Evidence, Fresh, Verdict, Watched, judge};
use crate::nemesis::{Deeds, Nemesis};
use crate::oracle::{Letters, Oracle, Shared, fresh};
use crate::plan::{self, Part, Step};
use crate::report::{Figures, Report};
use crate::watch::Watch;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program, of a debug build: only those die at crash points.
    pub qoe: PathBuf,
    /// Everything random follows from it.
    pub seed: u64,
    /// What happens.
    pub schedule: Schedule,
    /// New events a second.
    pub rate: u32,
    /// Bytes of events the bus may keep: with few, it is full now and then, and makes room.
    pub stream_bytes: u64,
    /// Where logs go and stay; a folder of the run's own, which goes where all was well, otherwise.
    pub keep: Option<PathBuf>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Faults of all kinds for so long.
    Mixed(Duration),
    /// A few of them, for half a minute.
    Short,
    /// Those that a wrong aggregator does not survive.
    Directed,
}

/// More than any run sends.
pub const STREAM_BYTES: u64 = 1 << 30;

/// From this length on the bus has a disk of its own, where we may mount one.
const DISK_FROM: Duration = Duration::from_secs(240);

/// How long roles may take to be ready, the oracle to have its answers, the bus to be empty: what
/// an aggregator had when it was killed comes to another after a minute.
const READY: Duration = Duration::from_secs(60);
const ANSWERS: Duration = Duration::from_secs(120);
const EMPTY: Duration = Duration::from_secs(240);
const MERGED: Duration = Duration::from_secs(60);
/// A fresh event is waited for a little longer than it may take.
const FRESH: Duration = Duration::from_secs(30);

/// Runs it; `say` hears how it goes.
///
/// # Errors
/// Where the run itself fails, so that nothing can be said of the platform.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> anyhow::Result<Report> {
    let own = TempDir::with_prefix("qoe-chaos-")?;
    let dir = options.keep.clone().unwrap_or_else(|| own.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let mut report = run_in(&dir, options, say).with_context(|| format!("seed {}", options.seed));
    match &mut report {
        Ok(report) if report.is_kept() => {}
        Ok(report) => {
            std::fs::write(dir.join("verdict.txt"), report.to_string())?;
            let _ = own.keep();
            report.kept = Some(dir);
        }
        Err(_) => {
            let _ = own.keep();
            say(&format!("logs: {}", dir.display()));
        }
    }
    report
}

fn run_in(dir: &Path, options: &Options, say: &mut dyn FnMut(&str)) -> anyhow::Result<Report> {
    let (length, disk) = match options.schedule {
        Schedule::Mixed(length) if length >= DISK_FROM => (length, disk(say)),
        Schedule::Mixed(length) => (length, None),
        // Whole, however long that takes.
        Schedule::Short | Schedule::Directed => (Duration::from_secs(300), None),
    };
    let steps = match options.schedule {
        Schedule::Mixed(length) => plan::plan(options.seed, length, disk.is_some()),
        Schedule::Short => plan::short(options.seed),
        Schedule::Directed => plan::directed(options.seed),
    };
    write_plan(dir, options.seed, &steps)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut cluster =
        Cluster::start(&options.qoe, dir, runtime.handle(), disk, options.stream_bytes)?;
    let nats = runtime.block_on(connect(&cluster.nats_url()))?;
    let mut rest = Rest { runtime: &runtime, nats: &nats, unrest: Vec::new() };
    rest.ready(&cluster);
    anyhow::ensure!(rest.unrest.is_empty(), "{}; logs: {}", rest.unrest.join("; "), dir.display());

    let began = Instant::now();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let world = World { seed: options.seed, began_ms: Minute::of_ms(now_ms).start_ms() };
    let _within = runtime.enter();
    let tokens = cluster.tokens.clone();
    let api = cluster.addr(Part::Api).context("there is an API")?;
    let watch = Watch::start(api, &tokens, cluster.pids(), nats.clone(), world.began_ms);
    let mut oracle = Oracle::start(world, cluster.ingests(), tokens.ingest, options.rate);
    let shared = oracle.shared();
    let letters = Letters::new(oracle.shared(), nats.clone());
    let broken = letters.broken();
    let letters = runtime.spawn(letters.run());

    let tell = |step: &Step| say(&progress(began, step, &shared));
    let deeds = Nemesis::new(&mut cluster, oracle.shared()).run(&steps, began + length, tell)?;
    say(&format!("{:>4} s  faults have ended; waiting until all is at rest", secs(began)));

    rest.ready(&cluster);
    rest.answered(&mut oracle);
    let _ = runtime.block_on(letters);
    rest.empty();
    let fresh = rest.fresh(&cluster, &shared);
    rest.empty();
    rest.merged(&cluster);
    let mut watched = watch.watched().clone();
    drop(watch);
    watched.unrest = std::mem::take(&mut rest.unrest);
    watched.conduct.clone_from(&deeds.conduct);
    watched.stops = deeds.stops;
    say(&format!("{:>4} s  reading what is there, and replaying it", secs(began)));
    let broken = std::mem::take(&mut *broken.lock().unwrap_or_else(PoisonError::into_inner));
    let evidence = evidence(&runtime, &cluster, &nats, &shared, watched, fresh, broken)?;
    let _ = std::fs::copy(cluster.nats_log(), dir.join("nats-server.log"));
    Ok(told(&evidence, &deeds, options, judge(&evidence), began))
}

fn told(
    evidence: &Evidence,
    deeds: &Deeds,
    options: &Options,
    verdicts: Vec<Verdict>,
    began: Instant,
) -> Report {
    let (sent, owed) = evidence.ledger.counts();
    let figures = Figures {
        seed: options.seed,
        took: began.elapsed(),
        sent,
        owed,
        tally: evidence.ledger.tally,
        redelivered: evidence.stream.redelivered,
        faults: deeds.faults,
        missed: deeds.missed,
    };
    Report { verdicts, figures, kept: None }
}

fn disk(say: &mut dyn FnMut(&str)) -> Option<Disk> {
    match Disk::mount() {
        Ok(disk) => Some(disk),
        Err(error) => {
            say(&format!("no full disk in this run: {error:#}"));
            None
        }
    }
}

/// A connection of the harness's own, which is never given up.
async fn connect(url: &str) -> anyhow::Result<Client> {
    let options = ConnectOptions::new().max_reconnects(None).event_callback(|_| async {});
    Ok(options.connect(url).await?)
}

fn secs(began: Instant) -> u64 {
    began.elapsed().as_secs()
}

fn progress(began: Instant, step: &Step, shared: &Shared) -> String {
    let (sent, owed) = shared.ledger().counts();
    let faults: Vec<String> = step.faults.iter().map(ToString::to_string).collect();
    let hold = step.hold.as_secs_f64();
    format!(
        "{:>4} s  {owed} of {sent} events owed; for {hold:.1} s: {}",
        secs(began),
        faults.join(", ")
    )
}

fn write_plan(dir: &Path, seed: u64, steps: &[Step]) -> anyhow::Result<()> {
    let mut text = format!("seed {seed}\n");
    for Step { quiet, faults, hold } in steps {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        writeln!(text, "after {quiet:?} for {hold:?}: {}", faults.join(", "))?;
    }
    Ok(std::fs::write(dir.join("plan.txt"), text)?)
}

/// Waits until all has come to rest, and notes what does not.
struct Rest<'a> {
    runtime: &'a Runtime,
    nats: &'a Client,
    unrest: Vec<String>,
}

impl Rest<'_> {
    /// Every role says that it can do its work.
    fn ready(&mut self, cluster: &Cluster) {
        let until = Instant::now() + READY;
        for part in cluster.roles().collect::<Vec<_>>() {
            let Some(addr) = cluster.addr(part) else { continue };
            let is_ready = async {
                let mut last = "no answer".to_owned();
                while Instant::now() < until {
                    match Way::to(addr).get("none", "/-/ready").await {
                        Ok((200, _)) => return Ok(()),
                        Ok((_, body)) => last = String::from_utf8_lossy(&body).into_owned(),
                        Err(error) => last = format!("{error:#}"),
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(last)
            };
            if let Err(why) = self.runtime.block_on(is_ready) {
                self.unrest.push(format!("{part} is not ready after {READY:?}: {why}"));
            }
        }
    }

    fn answered(&mut self, oracle: &mut Oracle) {
        if self.runtime.block_on(timeout(ANSWERS, oracle.finish())).is_err() {
            self.unrest.push(format!("not everything is answered after {ANSWERS:?}"));
        }
    }

    /// Everything on the bus is acknowledged.
    fn empty(&mut self) {
        let until = Instant::now() + EMPTY;
        let mut last = None;
        while Instant::now() < until {
            match self.runtime.block_on(Look::now(self.nats)) {
                Ok(look) if look.is_done() => return,
                Ok(look) => last = Some(format!("{look:?}")),
                Err(error) => last = Some(format!("{error:#}")),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let last = last.unwrap_or_default();
        self.unrest.push(format!("the bus is not empty after {EMPTY:?}: {last}"));
    }

    /// An event through each ingest, until its window counts it.
    fn fresh(&mut self, cluster: &Cluster, shared: &Shared) -> Vec<Fresh> {
        let mut all = Vec::new();
        for (addr, n) in cluster.ingests().into_iter().zip(0..) {
            let via = Part::Ingest(n).to_string();
            let name = match self.runtime.block_on(fresh(shared, addr, n.into())) {
                Ok(name) => name,
                Err(error) => {
                    self.unrest.push(format!("{via} does not take a fresh event: {error:#}"));
                    continue;
                }
            };
            let (began, id) = (Instant::now(), shared.world.id(name.key));
            let mut took = None;
            while took.is_none() && began.elapsed() < FRESH {
                let there = apart(|| database::has(cluster.database(), id));
                if there.is_ok_and(|there| there) {
                    took = Some(began.elapsed());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            all.push(Fresh { via, took });
        }
        all
    }

    /// What is due of hours and days is merged.
    fn merged(&mut self, cluster: &Cluster) {
        let until = Instant::now() + MERGED;
        let mut left = Ok(0);
        while Instant::now() < until {
            left = apart(|| database::unmerged(cluster.database()));
            if matches!(left, Ok(0)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.unrest.push(format!("hours or days wait to be merged after {MERGED:?}: {left:?}"));
    }
}

/// The database's client brings a runtime of its own, which must not meet ours.
fn apart<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn evidence(
    runtime: &Runtime,
    cluster: &Cluster,
    nats: &Client,
    shared: &Shared,
    watched: Watched,
    fresh: Vec<Fresh>,
    broken: Vec<Broken>,
) -> anyhow::Result<Evidence> {
    let url = cluster.nats_url();
    let read = |database| apart(|| database::store(database)).context("reading the database");
    let store = read(cluster.database())?;
    let stream =
        runtime.block_on(bus::stream(nats, &shared.world)).context("reading the stream")?;
    let letters = runtime.block_on(bus::letters(&url)).context("reading dead letters")?;
    apart(|| replay::into(runtime, &url, cluster.database()).map(drop))
        .context("replaying into the same database")?;
    let again = Some(read(cluster.database())?);
    let empty = apart(|| cluster.postgres().create_database())?;
    apart(|| replay::into(runtime, &url, &empty).map(drop))
        .context("replaying into an empty database")?;
    let replayed = Some(read(&empty)?);
    let ledger = shared.ledger().clone();
    let world = shared.world;
    Ok(Evidence { world, ledger, store, replayed, again, stream, letters, broken, watched, fresh })
}
