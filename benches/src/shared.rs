//! How fast the shared store counts, against the least that could keep the same rows in the same
//! tables: transactions over arrays that neither read nor merge. One PostgreSQL server, durable,
//! with its default settings, on the same machine.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use model::Event;
use server::store::{Location, PostgresSettings, Retention, Store, schema};
use testbed::servers::postgres::{Database, Options, Postgres};

use crate::ingest::Times;
use crate::table::{Goal, Ratio, spread};
use crate::usage;

mod bare;
mod feed;

use bare::Bare;
pub(crate) use feed::Shape;
use feed::{Feed, Ids};

/// Events in a transaction.
const TRANSACTION: usize = 5_000;

/// Who counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Bare,
    /// A transaction for each event, as one does at first.
    OneByOne,
}

/// What a measurement gives.
struct Rate {
    events_per_second: f64,
    /// Processor time of PostgreSQL's processes and of the threads that count, microseconds an event.
    server_us: f64,
    own_us: f64,
}

/// Ours against bare transactions, on one connection and on two, where many events share a window
/// and where each has its own; and against a transaction for each event.
pub(crate) fn shared(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let server = Postgres::start(&Options::default())?;
    let mut ratios = Vec::new();
    for (shape, connections, goal) in [
        (Shape::Dense, 1, 0.6),
        (Shape::Dense, 2, 0.6),
        (Shape::Fleet, 1, 0.6),
        (Shape::Fleet, 2, 0.6),
    ] {
        let what = format!(
            "events/s, {shape}, in transactions of {TRANSACTION} on {connections} connection(s)"
        );
        ratios.push(compare(&server, times, what, shape, connections, Who::Bare, goal)?);
    }
    let what = "events/s, dense, against a transaction for each event on 4 connections".to_owned();
    ratios.push(compare(&server, times, what, Shape::Dense, 2, Who::OneByOne, 30.0)?);
    Ok(ratios)
}

/// Events a second of bare transactions on so many connections.
pub(crate) fn bare(
    server: &Postgres,
    shape: Shape,
    connections: usize,
    each: Duration,
) -> anyhow::Result<f64> {
    let run = Run { who: Who::Bare, shape, ids: Ids::Random, connections };
    Ok(measure(server, &prepared(server)?, run, each)?.events_per_second)
}

fn compare(
    server: &Postgres,
    times: Times,
    what: String,
    shape: Shape,
    connections: usize,
    peer: Who,
    goal: f64,
) -> anyhow::Result<Ratio> {
    let named = if peer == Who::Bare { "bare UNNEST" } else { "one by one" };
    let goal = Goal::AtLeast(goal);
    let mut ratio = Ratio { what, ours: Vec::new(), peer: named, peers: Vec::new(), goal };
    let mut costs = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=times.rounds {
        let run = |who, connections| {
            let run = Run { who, shape, ids: Ids::Random, connections };
            measure(server, &prepared(server)?, run, times.each)
        };
        let ours = run(Who::Ours, connections)?;
        let theirs = run(peer, if peer == Who::OneByOne { 4 } else { connections })?;
        eprintln!(
            "shared, {round} of {}: {:.0} against {:.0}",
            times.rounds, ours.events_per_second, theirs.events_per_second
        );
        let all = [ours.server_us, ours.own_us, theirs.server_us, theirs.own_us];
        costs.iter_mut().zip(all).for_each(|(costs, us)| costs.push(us));
        ratio.ours.push(ours.events_per_second);
        ratio.peers.push(theirs.events_per_second);
    }
    let [server_us, own_us, their_server_us, their_us] = costs.map(|costs| spread(&costs));
    println!("{}: µs an event, PostgreSQL {server_us}, qoe {own_us}", ratio.what);
    println!("  {named}: PostgreSQL {their_server_us}, driver {their_us}");
    Ok(ratio)
}

/// Rows of earlier minutes of the same day that are there already.
const GROWN: i64 = 20_000_000;

/// Ours with many ids of earlier minutes in the table, against an empty one.
pub(crate) fn growth(times: Times) -> anyhow::Result<Vec<Ratio>> {
    let server = Postgres::start(&Options::default())?;
    let grown = prepared(&server)?;
    grow(&grown)?;
    let mut ratios = Vec::new();
    for ids in [Ids::Random, Ids::Ordered] {
        let mut ratio = Ratio {
            what: format!("events/s, {ids} ids, with {GROWN} ids of earlier minutes in the table"),
            ours: Vec::new(),
            peer: "qoe, empty table",
            peers: Vec::new(),
            goal: Goal::AtLeast(0.9),
        };
        for round in 1..=times.rounds {
            let run = |database: &Database| {
                settle(database)?;
                let run = Run { who: Who::Ours, shape: Shape::Dense, ids, connections: 1 };
                measure(&server, database, run, times.each)
            };
            ratio.ours.push(run(&grown)?.events_per_second);
            wipe(&grown)?;
            ratio.peers.push(run(&prepared(&server)?)?.events_per_second);
            eprintln!(
                "growth, {round} of {}: {:.0} against {:.0}",
                times.rounds,
                ratio.ours[round - 1],
                ratio.peers[round - 1]
            );
        }
        ratios.push(ratio);
    }
    Ok(ratios)
}

fn grow(database: &Database) -> anyhow::Result<()> {
    eprintln!("growth: making {GROWN} rows");
    let from_s = feed::NOW_MS / 1_000;
    Ok(database.connect()?.batch_execute(&format!(
        "INSERT INTO events_seen
         SELECT to_timestamp({from_s} - 60 * (1 + n / 20000)), 1000000 + n % 1000, gen_random_uuid()
         FROM generate_series(0, {GROWN} - 1) AS n"
    ))?)
}

/// Takes away what a run has counted, and leaves the earlier minutes.
fn wipe(database: &Database) -> anyhow::Result<()> {
    let from_s = feed::NOW_MS / 1_000;
    Ok(database.connect()?.batch_execute(&format!(
        "DELETE FROM events_seen WHERE window_start_ts >= to_timestamp({from_s});
         TRUNCATE agg_1m, rollup_queue"
    ))?)
}

/// Leaves nothing to do from before for the time that is measured.
fn settle(database: &Database) -> anyhow::Result<()> {
    let mut client = database.connect()?;
    client.batch_execute("VACUUM ANALYZE")?;
    Ok(client.batch_execute("CHECKPOINT")?)
}

/// A database with tables and partitions.
fn prepared(server: &Postgres) -> anyhow::Result<Database> {
    let database = server.create_database()?;
    let location = location(&database)?;
    schema::up(&location)?;
    Store::open(&location)?.writer()?.prune(&Retention::default(), feed::NOW_MS)?;
    Ok(database)
}

/// What is measured.
#[derive(Clone, Copy)]
struct Run {
    who: Who,
    shape: Shape,
    ids: Ids,
    connections: usize,
}

fn measure(
    server: &Postgres,
    database: &Database,
    run: Run,
    each: Duration,
) -> anyhow::Result<Rate> {
    let Run { who, shape, ids, connections } = run;
    let store = Store::open(location(database)?)?;
    let start = Barrier::new(connections + 1);
    let (done, cpu) = thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|worker| {
                let (store, start) = (&store, &start);
                let feed = Feed::new(shape, ids, worker);
                scope.spawn(move || work(who, database, store, feed, start, each))
            })
            .collect();
        start.wait();
        let cpu = server_cpu(server)?;
        let done = workers.into_iter().map(|worker| worker.join().expect("a bug alone panics"));
        let done = done.collect::<anyhow::Result<Vec<Done>>>()?;
        anyhow::Ok((done, server_cpu(server)? - cpu))
    })?;
    if who == Who::Ours {
        check(database, done.iter().map(|done| done.events + done.before).sum())?;
    }
    let events: u64 = done.iter().map(|done| done.events).sum();
    let us = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events as f64;
    let rate = |done: &Done| done.events as f64 / done.spent.as_secs_f64();
    Ok(Rate {
        events_per_second: done.iter().map(rate).sum(),
        server_us: us(cpu),
        own_us: us(done.iter().map(|done| done.cpu).sum()),
    })
}

/// What one connection did.
struct Done {
    /// Events before the clock ran.
    before: u64,
    events: u64,
    spent: Duration,
    /// Processor time of the thread that counted.
    cpu: Duration,
}

fn work(
    who: Who,
    database: &Database,
    store: &Store,
    mut feed: Feed,
    start: &Barrier,
    each: Duration,
) -> anyhow::Result<Done> {
    let mut ours = store.writer()?;
    let mut bare = Bare::open(database)?;
    let mut count = |events: &[Vec<Event>]| -> anyhow::Result<()> {
        match who {
            Who::Ours => ours.apply(events, feed::NOW_MS).map(drop)?,
            Who::Bare => bare.together(&events.concat())?,
            Who::OneByOne => {
                for event in events.iter().flatten() {
                    bare.alone(event)?;
                }
            }
        }
        Ok(())
    };
    let size = if who == Who::OneByOne { 100 } else { TRANSACTION };
    let mut done = Done { before: 0, events: 0, spent: Duration::ZERO, cpu: Duration::ZERO };
    // Statements are prepared and clients entered before the clock runs.
    for _ in 0..5 {
        count(&feed.next(size))?;
        done.before += size as u64;
    }
    start.wait();
    while done.spent < each {
        // Made outside of the time that is counted, in both.
        let events = feed.next(size);
        let (began, cpu) = (Instant::now(), thread_cpu());
        count(&events)?;
        done.spent += began.elapsed();
        done.cpu += thread_cpu() - cpu;
        done.events += size as u64;
    }
    Ok(done)
}

fn location(database: &Database) -> anyhow::Result<Location> {
    Ok(PostgresSettings::parse(&database.url(), None)?.into())
}

/// Fails where the windows do not hold so many events.
fn check(database: &Database, events: u64) -> anyhow::Result<()> {
    let sum = "SELECT coalesce(sum(count_total), 0)::bigint FROM agg_1m";
    let counted: i64 = database.connect()?.query_one(sum, &[])?.get(0);
    ensure!(counted.unsigned_abs() == events, "{events} events were taken, {counted} counted");
    Ok(())
}

/// Processor time of a server's processes, those that have ended included.
fn server_cpu(server: &Postgres) -> anyhow::Result<Duration> {
    let pid = server.pid().context("a server elsewhere")?;
    Ok(usage::of(pid.cast_unsigned())?.cpu)
}

fn thread_cpu() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, Into::into)
}
