//! Real faults: probes, a link, targets and the server run, each fault is injected in its turn, and the
//! incidents that come out of the pipeline are held against what was done.
//!
//! Several such worlds run side by side, in namespaces of their own, and share the faults among them.

mod faults;
pub(crate) mod pass;
mod score;
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};

use crate::netns;
use crate::probing::process::one_thread;
use faults::{Fault, Seen};
use score::{Done, Told};
use world::World;

/// What to inject, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Faults to inject, by name [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    faults: Vec<String>,
    /// How many run side by side: more are over sooner, and need more of the machine
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=19))]
    worlds: u8,
    /// Only the first fault of each label, and none that only tests under load see
    #[arg(long)]
    quick: bool,
    /// Time before the first fault [default: until enough is known of what is usual]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u16).range(8..=1440))]
    before: Option<u16>,
    /// Keep what was measured here, for `qoe explain`, instead of a temporary folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The qoe that is judged [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    qoe: Option<PathBuf>,
}

/// Minutes between two: an incident that had not ended yet would take the next fault for its own.
const PAUSE: i64 = 4;

/// After the end of the last minute, for it to be judged.
const GRACE: Duration = Duration::from_secs(45);

const MINUTE_MS: i64 = 60_000;

/// Injects the faults and prints what was told.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(program) = ["python3", "ip"].into_iter().find(|p| netns::on_path(p).is_none()) {
        bail!("needs {program} (Debian: python3, iproute2)");
    }
    ensure!(netns::is_root(), "needs root, for network namespaces with TUN devices");
    let qoe = match &args.qoe {
        Some(qoe) => qoe.clone(),
        None => std::env::current_exe()?.with_file_name("qoe"),
    };
    ensure!(
        qoe.is_file(),
        "there is no {}: build it (-p qoe), or name one with --qoe",
        qoe.display()
    );
    let mut faults = chosen(&args.faults)?;
    if args.quick {
        let mut labels = BTreeSet::new();
        faults.retain(|fault| fault.seen == Seen::Idle && labels.insert(fault.label));
    }
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    let dir = args.keep.as_deref().unwrap_or(scratch.path());
    let stop = stop_on_signal()?;

    let shares = shares(&faults, usize::from(args.worlds));
    let before = |share: &Share| args.before.map_or(share.seen.before(), i64::from);
    let minutes = |share: &Share| {
        before(share) + share.faults.len() as i64 * (share.seen.minutes() + PAUSE) - PAUSE + 1
    };
    let longest = shares.iter().map(minutes).max().unwrap_or_default();
    println!("{} faults in {} worlds, about {longest} min", faults.len(), shares.len());
    let results = std::thread::scope(|scope| {
        let (qoe, stop) = (&qoe, &*stop);
        let one = |(number, share)| {
            scope.spawn(move || {
                let before = before(&share);
                let found = one_world(qoe, dir, number, share, before, stop);
                if found.is_err() {
                    // The others are of no use then.
                    stop.store(true, Ordering::Relaxed);
                }
                found
            })
        };
        let running: Vec<_> = shares.into_iter().enumerate().map(one).collect();
        running.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let (mut all, mut left) = (Vec::new(), Vec::new());
    let mut failed = None;
    for result in results {
        match result {
            Ok(Ok((done, others))) => {
                all.extend(done);
                left.extend(others);
            }
            Ok(Err(error)) => _ = failed.get_or_insert(error),
            Err(_) => bail!("a world's thread panicked"),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let place = |done: &Done| faults.iter().position(|fault| fault.name == done.fault.name);
    all.sort_by_key(place);
    print!("\n{}", score::report(&all, &left));
    Ok(())
}

/// What one world injects, one after another.
struct Share {
    seen: Seen,
    faults: Vec<Fault>,
}

/// The faults over so many worlds; those of a loaded line have one of their own beside them.
fn shares(faults: &[Fault], worlds: usize) -> Vec<Share> {
    let (loaded, idle): (Vec<_>, Vec<_>) =
        faults.iter().cloned().partition(|fault| fault.seen == Seen::Loaded);
    let worlds = worlds.min(idle.len());
    let mut shares: Vec<Share> =
        (0..worlds).map(|_| Share { seen: Seen::Idle, faults: Vec::new() }).collect();
    for (nth, fault) in idle.into_iter().enumerate() {
        shares[nth % worlds].faults.push(fault);
    }
    if !loaded.is_empty() {
        shares.push(Share { seen: Seen::Loaded, faults: loaded });
    }
    shares
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Fault>> {
    let all = faults::all();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let known = || all.iter().map(|fault| fault.name).collect::<Vec<_>>().join(", ");
        let found = all.iter().find(|fault| fault.name == name).cloned();
        found.with_context(|| format!("no fault is named {name:?}; there are {}", known()))
    };
    names.iter().map(find).collect()
}

/// Injects some faults, one after another.
fn one_world(
    qoe: &Path,
    dir: &Path,
    number: usize,
    share: Share,
    before: i64,
    stop: &AtomicBool,
) -> anyhow::Result<(Vec<Done>, Vec<Told>)> {
    let Share { seen, faults } = share;
    let mut world =
        World::start(qoe, dir, number, seen).with_context(|| format!("world {number}"))?;
    let began_ms = now_ms();
    // The minute it begins in is not whole.
    let mut from_ms = (began_ms / MINUTE_MS + 1 + before) * MINUTE_MS;
    let mut all = Vec::new();
    for fault in faults {
        let to_ms = from_ms + seen.minutes() * MINUTE_MS;
        wait_until(from_ms, stop)?;
        world.inject(&fault)?;
        println!("world {number}: {} begins", fault.name);
        wait_until(to_ms, stop)?;
        world.mend()?;
        wait_until(to_ms + GRACE.as_millis() as i64, stop)?;
        all.push(Done { fault, from_ms, to_ms, told: Vec::new() });
        for told in world.incidents(from_ms)?.iter().filter_map(Told::of) {
            println!("world {number}: told {}, {} {}", told.label, told.scope, told.scope_id);
        }
        from_ms = to_ms + PAUSE * MINUTE_MS;
    }
    let told = world.incidents(began_ms - MINUTE_MS)?.iter().filter_map(Told::of).collect();
    let left = score::assign(&mut all, told);
    Ok((all, left))
}

fn wait_until(at_ms: i64, stop: &AtomicBool) -> anyhow::Result<()> {
    loop {
        ensure!(!stop.load(Ordering::Relaxed), "stopped before the end");
        let left = at_ms - now_ms();
        if left <= 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(left.min(200).unsigned_abs()));
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Set by Ctrl-C or SIGTERM, so that everything is taken down before the end.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let (told, heard) = (Arc::clone(&stop), one_thread()?);
    let (mut interrupt, mut terminate) = {
        let _entered = heard.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        heard.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}
