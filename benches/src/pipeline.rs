//! How fast the distributed shape is: ingest until NATS has confirmed, and from there until
//! PostgreSQL has committed. Servers, roles and who drives them share this machine.

use std::time::Duration;

use anyhow::Context as _;
use testbed::servers::postgres::{Options, Postgres};

use crate::ingest::{BATCH, Child, Times, one_thread};
use crate::shared::{self, Shape};
use crate::table::{Goal, Ratio, median};
use crate::usage;
use publish::{Peer, ingest};

mod drain;
mod fleet;
mod publish;
mod victoria;
mod watch;
mod whole;
mod world;

use victoria::Victoria;

/// What batches are asked for, events a second.
const WANTED: f64 = 300_000.0;

/// Connections that bring batches, and single events.
const BATCHES_ON: usize = 64;
const SINGLES_ON: usize = 64;

/// Batches until NATS has them on disk, against VictoriaMetrics, which takes the same events.
pub(crate) fn publish(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let postgres = Postgres::start(&Options::default())?;
    let runtime = one_thread()?;
    let what = |sync: &str| {
        format!("events/s in requests of {BATCH} on {BATCHES_ON} connections until NATS has {sync}")
    };
    let mut always = ratio(what("them on disk"), "wanted", Goal::AtLeast(1.0));
    let mut lazy = ratio(what("them in memory"), "on disk", Goal::AtLeast(1.0));
    let mut import =
        ratio(what("them on disk"), "VictoriaMetrics, JSON import", Goal::AtLeast(1.0));
    let (mut costs, mut lazy_costs, mut peer_costs) = Default::default();
    for round in 1..=times.rounds {
        let ours = ingest(&postgres, &runtime, true, BATCH, BATCHES_ON, times.each, &mut costs)?;
        always.add(ours, WANTED);
        if let Some(victoria) = Victoria::start()? {
            let peer = Peer { victoria: &victoria, runtime: &runtime };
            import.add(ours, peer.imported(BATCHES_ON, times.each, &mut peer_costs)?);
        }
        let sync =
            ingest(&postgres, &runtime, false, BATCH, BATCHES_ON, times.each, &mut lazy_costs)?;
        lazy.add(sync, ours);
        eprintln!("publish, {round} of {}: {ours:.0}, lazy {sync:.0}", times.rounds);
    }
    println!("publish: {costs}");
    println!("  lazy: {lazy_costs}");
    if import.peers.is_empty() {
        println!("  VictoriaMetrics is not installed (Debian: victoria-metrics): left out");
        return Ok(vec![always, lazy]);
    }
    println!("  VictoriaMetrics: {peer_costs}");
    Ok(vec![always, import, lazy])
}

/// Requests of one event until NATS has them on disk, against a handler that keeps nothing.
pub(crate) fn queued(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let postgres = Postgres::start(&Options::default())?;
    let runtime = one_thread()?;
    let what =
        format!("requests/s of one event each on {SINGLES_ON} connections until NATS has it");
    let mut ratio = ratio(what, "bare handler", Goal::AtLeast(0.6));
    let (mut costs, mut bare_costs) = Default::default();
    for round in 1..=times.rounds {
        let ours = ingest(&postgres, &runtime, true, 1, SINGLES_ON, times.each, &mut costs)?;
        let handler = Child::start(["handler".as_ref()])?;
        let bare = publish::bare(&runtime, handler, SINGLES_ON, times.each, &mut bare_costs)?;
        ratio.add(ours, bare);
        eprintln!("queued, {round} of {}: {ours:.0} against {bare:.0}", times.rounds);
    }
    println!("queued: {costs}");
    println!("  bare handler: {bare_costs}");
    Ok(vec![ratio])
}

/// Events that an aggregator finds in the stream, and the writers it has.
const FOUND: u64 = 1_000_000;
const WRITERS: usize = 4;

/// A stream that is full, counted by an aggregator, against bare transactions on as many
/// connections as it has.
pub(crate) fn drain(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let postgres = Postgres::start(&Options::default())?;
    let runtime = one_thread()?;
    let mut ratios = Vec::new();
    for shape in [Shape::Dense, Shape::Fleet] {
        let what = format!(
            "events/s, {shape}, from a stream of {FOUND} into PostgreSQL by one aggregator with \
             {WRITERS} writers"
        );
        let mut ratio = ratio(what, "bare UNNEST, events made beforehand", Goal::AtLeast(0.6));
        let mut costs = drain::Costs::default();
        for round in 1..=times.rounds {
            let ours = drain::drained(&postgres, &runtime, shape, FOUND, &mut costs)?;
            let bare = shared::bare(&postgres, shape, WRITERS, times.each)?;
            ratio.add(ours, bare);
            eprintln!("drain, {round} of {}: {ours:.0} against {bare:.0}", times.rounds);
        }
        println!("drain, {shape}: {costs}");
        ratios.push(ratio);
    }
    Ok(ratios)
}

/// What is asked of the way from 202 to the window, and how many are within it.
const VISIBLE_MS: f64 = 10_000.0;
const SHARE_VISIBLE: f64 = 0.99;

/// All roles: what they can take, and how they fare for a time at half of it, with events that come
/// in batches; and what single events cost.
pub(crate) fn whole(times: Times, time: Duration) -> anyhow::Result<Vec<Ratio>> {
    let postgres = Postgres::start(&Options::default())?;
    let runtime = one_thread()?;
    let mut capacities = Vec::new();
    for _ in 0..times.rounds.min(3) {
        let capacity = whole::capacity(&postgres, &runtime, BATCH as u32)?;
        println!("pipeline, as many as go: {capacity}");
        capacities.push(capacity.events_per_second);
    }
    let half = median(capacities).context("a round at least")? / 2.0;
    let steady = whole::steady(&postgres, &runtime, BATCH as u32, half, time)?;
    println!("pipeline, {time:?} at half of it: {steady}");
    let singles = whole::steady(&postgres, &runtime, 1, half / 4.0, time / 5)?;
    println!("pipeline, {:?} at an eighth of it, an event a request: {singles}", time / 5);
    let what = "share of events in their window within 10 s of their 202, at half of the capacity";
    let mut share = ratio(what.to_owned(), "wanted", Goal::AtLeast(1.0));
    share.add(whole::within(VISIBLE_MS, &steady.visible_ms), SHARE_VISIBLE);
    Ok(vec![share])
}

/// Processor time of a server and its processes.
fn cpu_of(pid: Option<i32>) -> anyhow::Result<Duration> {
    Ok(usage::of(pid.context("a server that runs")?.cast_unsigned())?.cpu)
}

fn ratio(what: String, peer: &'static str, goal: Goal) -> Ratio {
    Ratio { what, ours: Vec::new(), peer, peers: Vec::new(), goal }
}
