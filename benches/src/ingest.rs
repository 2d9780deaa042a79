//! How fast the real server takes events over HTTP, and in how much memory. It runs in a process
//! of its own; who drives it shares the machine with it, as it does with the peer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testbed::load::raw::{Plan, Report, Until, drive};
use tokio::runtime::Runtime;

use crate::bare::Bare;
use crate::table::{self, Goal, Ratio};

mod bodies;
mod child;
mod inside;

pub(crate) use bodies::{Bodies, LAP_MINUTES, TS_DIGITS, fleet, write_digits};
pub(crate) use child::{Child, Server};
pub(crate) use inside::Inside;

/// How often and how long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// Pairs of measurements.
    pub rounds: usize,
    /// Each of them.
    pub each: Duration,
}

/// Events in a request, and in a transaction of the bare peer.
pub(crate) const BATCH: usize = 100;
const TRANSACTION: usize = 5_000;

/// Ours over HTTP against the same events, decoded beforehand, in bare transactions.
pub(crate) fn batches(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let mut ratio = Ratio {
        what: format!(
            "events/s in requests of {BATCH} on 32 connections, against the same rows from one \
             thread in transactions of {TRANSACTION}"
        ),
        ours: Vec::new(),
        peer: "bare SQLite",
        peers: Vec::new(),
        goal: Goal::AtLeast(0.6),
    };
    let runtime = one_thread()?;
    let mut cpu = Vec::new();
    for round in 1..=times.rounds {
        let server = Server::start()?;
        let mut bodies = Bodies::new(BATCH);
        let before = server.child.cpu()?;
        let report =
            runtime.block_on(sent(&server, 32, Until::Elapsed(times.each), &mut bodies))?;
        let spent = server.child.cpu()? - before;
        server.stop_and_count(report.events)?;
        cpu.push(spent.as_secs_f64() * 1e6 / report.events as f64);
        ratio.ours.push(report.events_per_second());
        ratio.peers.push(bare(times.each)?);
        progress("batches", round, times, &ratio);
    }
    println!("batches: the server's processor time, µs an event: {}", table::spread(&cpu));
    Ok(vec![ratio])
}

/// Ours against a handler that reads the event and keeps nothing.
pub(crate) fn singles(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let mut ratio = Ratio {
        what: "requests/s of one event each on 64 connections".to_owned(),
        ours: Vec::new(),
        peer: "bare handler",
        peers: Vec::new(),
        goal: Goal::AtLeast(0.5),
    };
    let runtime = one_thread()?;
    let until = Until::Elapsed(times.each);
    let mut cpu = Vec::new();
    for round in 1..=times.rounds {
        let server = Server::start()?;
        let before = server.child.cpu()?;
        let report = runtime.block_on(sent(&server, 64, until, &mut Bodies::new(1)))?;
        let spent = server.child.cpu()? - before;
        server.stop_and_count(report.events)?;
        cpu.push(spent.as_secs_f64() * 1e6 / report.events as f64);
        ratio.ours.push(report.requests_per_second());

        let handler = Child::start(["handler".as_ref()])?;
        let plan = plan(handler.addr(), None, 64, until);
        let report = runtime.block_on(driven(&plan, &mut Bodies::new(1)))?;
        handler.stop()?;
        ratio.peers.push(report.requests_per_second());
        progress("singles", round, times, &ratio);
    }
    println!("singles: the server's processor time, µs a request: {}", table::spread(&cpu));
    Ok(vec![ratio])
}

/// How many events the memory is watched over, and how often.
const WATCHED: u64 = 5_000_000;
const SAMPLES: u64 = 10;

/// The server's memory late in a long run against the same run earlier, after its first fifth,
/// in which caches fill. The events are 46 hours of one fleet, so what is kept on disk grows all
/// along.
pub(crate) fn memory() -> anyhow::Result<Vec<Ratio>> {
    let runtime = one_thread()?;
    let server = Server::start()?;
    let mut bodies = Bodies::new(BATCH);
    let (mut resident, mut events) = (Vec::new(), 0);
    for sample in 1..=SAMPLES {
        let requests = WATCHED / SAMPLES / BATCH as u64;
        let report = runtime.block_on(sent(&server, 32, Until::Requests(requests), &mut bodies))?;
        events += report.events;
        resident.push(server.child.resident_mib()?);
        eprintln!(
            "memory, {sample} of {SAMPLES}: {:.1} MiB after {events} events, {:.0} events/s",
            resident[resident.len() - 1],
            report.events_per_second()
        );
    }
    server.stop_and_count(events)?;
    let curve: Vec<String> = resident.iter().map(|mib| format!("{mib:.0}")).collect();
    println!("memory: MiB resident after each {} events: {}", WATCHED / SAMPLES, curve.join(" "));
    let greatest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let (fifth, half) = (resident.len() / 5, resident.len() / 2);
    Ok(vec![Ratio {
        what: format!("greatest MiB resident in the second half of {WATCHED} events"),
        ours: vec![greatest(&resident[half..])],
        peer: "before the half, after the first fifth",
        peers: vec![greatest(&resident[fifth - 1..half])],
        goal: Goal::AtMost(1.1),
    }])
}

/// The driver's: one thread is enough, and leaves the rest of the machine to who is driven.
pub(crate) fn one_thread() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the driver")
}

pub(crate) fn plan(
    addr: SocketAddr,
    token: Option<&str>,
    connections: usize,
    until: Until,
) -> Plan {
    Plan {
        addr,
        path: "/v1/events".to_owned(),
        token: token.map(str::to_owned),
        content_type: "application/json",
        connections,
        pace: None,
        until,
    }
}

async fn sent(
    server: &Server,
    connections: usize,
    until: Until,
    bodies: &mut Bodies,
) -> anyhow::Result<Report> {
    driven(&plan(server.child.addr(), Some(&server.token), connections, until), bodies).await
}

/// Drives, and sees to it that all of it was taken: refusals are quick, and would look good.
pub(crate) async fn driven(plan: &Plan, bodies: &mut Bodies) -> anyhow::Result<Report> {
    driven_by(plan, |out| bodies.append_to(out)).await
}

/// The same with bodies from elsewhere.
pub(crate) async fn driven_by(
    plan: &Plan,
    source: impl FnMut(&mut Vec<u8>) -> u32 + Send,
) -> anyhow::Result<Report> {
    let report = drive(plan, source).await.context("failed to drive")?;
    let all_taken = report.statuses.keys().all(|status| status / 100 == 2);
    ensure!(all_taken && report.events > 0, "not every request was taken: {:?}", report.statuses);
    Ok(report)
}

/// Events a second of bare transactions, one after the other on a database of their own. Making
/// the events is not part of the time.
fn bare(time: Duration) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir().context("failed to make a directory")?;
    let data = dir.path().join("data");
    let mut bare = Bare::open(&data)?;
    let mut bodies = Bodies::new(BATCH);
    let (mut events, mut spent) = (0, Duration::ZERO);
    while spent < time {
        let batch = bodies.decoded(TRANSACTION)?;
        spent += bare.apply(&batch)?;
        events += batch.len() as u64;
    }
    drop(bare);
    crate::bare::check_count(&data, events)?;
    Ok(events as f64 / spent.as_secs_f64())
}

fn progress(part: &str, round: usize, times: Times, ratio: &Ratio) {
    let last = |figures: &[f64]| figures.last().copied().unwrap_or_default();
    let (ours, peer) = (last(&ratio.ours), last(&ratio.peers));
    eprintln!(
        "{part}, {round} of {}: {ours:.0}, {} {peer:.0}, ratio {:.2}",
        times.rounds,
        ratio.peer,
        ours / peer
    );
}
