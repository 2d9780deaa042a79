//! What the detector costs over a store: the same steps the server makes, over the windows of a large
//! fleet as the store's own writer left them.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use model::detect::Topology;
use model::event::{Beside, Timings};
use model::units::MINUTE_MS;
use model::{BitsPerSecond, ClientId, Event, Micros, SchemaVersion, Target};
use server::diagnoser::{self, Fleet};
use server::store::{
    Detected, IncidentQuery, Location, PostgresSettings, Reader, Span, Store, Writer, schema,
};
use testbed::servers::postgres::{Options, Postgres};
use uuid::Uuid;

/// Print what the detector costs over the windows of a large fleet
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cells that are measured, ten of each client
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    cells: u64,
    /// Minutes of them; the last ones are measured
    #[arg(long, value_name = "N", default_value_t = 65)]
    minutes: i64,
    /// Cells whose day is judged again; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    day_cells: u64,
    /// Where windows are kept
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    store: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// In a directory
    Embedded,
    /// In PostgreSQL, as its server is by default
    Postgres,
}

/// 2023-11-14T22:00:00Z, from which states are written at whole half hours.
const T0: i64 = 1_699_999_200_000;
/// Measurements of a cell in a minute.
const EACH: u64 = 6;
/// Targets of a client.
const TARGETS: u64 = 10;
/// The last minutes, over which it is averaged: so many that the past is judged again with them.
const MEASURED: i64 = 10;
/// A cell in so many has an event come two minutes late.
const LATE: u64 = 100;
/// Events in a transaction.
const TRANSACTION: usize = 50_000;
/// What has to be kept up with.
const GOAL_CELLS: f64 = 100_000.0;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.minutes > 30 + MEASURED,
        "--minutes: more than {}, so that windows settle",
        30 + MEASURED
    );
    let (dir, server);
    let mut databases = Vec::new();
    match args.store {
        Kind::Embedded => {
            dir = tempfile::tempdir()?;
            live(args, &Location::Directory(dir.path().join("live")))?;
            if args.day_cells > 0 {
                day(args, &Location::Directory(dir.path().join("day")))?;
            }
        }
        Kind::Postgres => {
            server = Postgres::start(&Options::default())?;
            let mut place = || -> anyhow::Result<Location> {
                let database = server.create_database()?;
                let settings = PostgresSettings::parse(&database.url(), None)?.accept_data_loss();
                databases.push(database);
                Ok(settings.into())
            };
            live(args, &place()?)?;
            if args.day_cells > 0 {
                day(args, &place()?)?;
            }
        }
    }
    Ok(())
}

fn live(args: &Args, location: &Location) -> anyhow::Result<()> {
    schema::up(location)?;
    let store = Store::open(location)?;
    let (mut writer, reader) = (store.writer()?, Reader::open(location)?);
    let before = memory("VmRSS:")?;
    let mut fleet = Fleet::of(Arc::new(Topology::default()));
    let (mut reading, mut judging, mut waited) = (0.0, 0.0, Duration::ZERO);
    let mut longest = 0.0_f64;
    let mut kept = None;
    for minute in 0..args.minutes {
        fill(&mut writer, args.cells, minute)?;
        let now_ms = T0 + (minute + 1) * MINUTE_MS + 20_000;
        let span = Span { from_ms: now_ms - 80_000, to_ms: now_ms - 20_000 };
        let is_measured = minute >= args.minutes - MEASURED;
        let mut read = 0.0;
        if is_measured {
            let began = on_cpu()?;
            let mut windows = 0;
            reader.each_fleet_window(span, &mut |_| {
                windows += 1;
                Ok(())
            })?;
            read = on_cpu()? - began;
            ensure!(windows == args.cells, "{windows} windows of {} cells", args.cells);
        }
        let (began, clock) = (on_cpu()?, Instant::now());
        let mut all = vec![fleet.step(&reader, now_ms)?.context("a minute was not judged")?];
        let first = on_cpu()? - began;
        while let Some(found) = fleet.step(&reader, now_ms)? {
            all.push(found);
        }
        let took = on_cpu()? - began;
        if is_measured {
            reading += read;
            judging += took - read;
            longest = longest.max(first).max(took - first);
            waited += clock.elapsed();
        }
        for found in all {
            let began = Instant::now();
            writer.detect(&found)?;
            if let Some((_, state)) = &found.state {
                kept = Some((state.len(), began.elapsed()));
            }
        }
    }
    let memory =
        (memory("VmRSS:")?.saturating_sub(before), memory("VmHWM:")?.saturating_sub(before));
    drop(fleet);
    let windows = args.cells as f64 * MEASURED as f64;
    let (read, judged) = (reading / windows, judging / windows);
    let each = read + judged;
    let (incidents, _) =
        reader.incidents(&IncidentQuery::new(Span { from_ms: 0, to_ms: i64::MAX }, 100))?;
    println!(
        "fleet: {} cells, {EACH} measurements a minute, {} incidents",
        args.cells,
        incidents.len()
    );
    println!(
        "  {:.1} us of processor a cell-window: {:.1} to read and decode it once, {:.1} to judge it (and again)",
        each * 1e6,
        read * 1e6,
        judged * 1e6
    );
    println!(
        "  {GOAL_CELLS} cells take {:.1} s of each minute (limit 60), the longest step {:.1} s; {:.1} s by the clock",
        each * GOAL_CELLS,
        longest * GOAL_CELLS / args.cells as f64,
        waited.as_secs_f64() / MEASURED as f64 * GOAL_CELLS / args.cells as f64
    );
    let of = |bytes: u64| bytes as f64 / args.cells as f64 / 1e3;
    println!("  {:.1} kB a cell resident, {:.1} kB at its peak", of(memory.0), of(memory.1));
    if let Some((bytes, wrote)) = kept {
        let began = Instant::now();
        let mut fleet = Fleet::of(Arc::new(Topology::default()));
        fleet.step(&reader, 0)?;
        println!(
            "  kept state {:.1} kB a cell ({:.0} MB), written in {:.1} s, taken up again in {:.1} s",
            of(bytes as u64),
            bytes as f64 / 1e6,
            wrote.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// A day of a small fleet, judged again.
fn day(args: &Args, location: &Location) -> anyhow::Result<()> {
    const DAY: i64 = 24 * 60;
    schema::up(location)?;
    let store = Store::open(location)?;
    let mut writer = store.writer()?;
    for minute in 0..DAY {
        fill(&mut writer, args.day_cells, minute)?;
    }
    let reader = Reader::open(location)?;
    let span = Span { from_ms: T0, to_ms: T0 + DAY * MINUTE_MS };
    let began = Instant::now();
    let done = diagnoser::rediagnose(&reader, span, Topology::default(), span.to_ms, |_| {})?;
    let took = began.elapsed().as_secs_f64();
    let Detected { incidents, .. } = &done.found;
    println!(
        "  a day of {} cells judged again: {took:.1} s (limit 60), {} windows, {} incidents",
        args.day_cells,
        done.windows,
        incidents.len()
    );
    Ok(())
}

/// Writes a minute of the fleet, and what comes late of an earlier one.
fn fill(writer: &mut Writer, cells: u64, minute: i64) -> anyhow::Result<()> {
    let now_ms = T0 + (minute + 1) * MINUTE_MS;
    let in_time = (0..cells).flat_map(|cell| (0..EACH).map(move |n| event(cell, minute, n)));
    let late = (0..cells).filter(|_| minute >= 2).step_by(LATE as usize);
    let late = late.map(|cell| event(cell, minute - 2, EACH));
    let mut batch = Vec::with_capacity(TRANSACTION);
    for event in in_time.chain(late) {
        batch.push(event);
        if batch.len() == TRANSACTION {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(TRANSACTION));
            writer.apply(&[full], now_ms)?;
        }
    }
    writer.apply(&[batch], now_ms)?;
    Ok(())
}

/// A measurement; everything of it follows from its numbers. A resolver in fifty is slow for ten minutes
/// of each hour, from the 30th on.
fn event(cell: u64, minute: i64, n: u64) -> Event {
    let (client, target) = (cell / TARGETS, cell % TARGETS);
    let mut draws = mix(cell << 40 ^ minute.unsigned_abs() << 8 ^ n);
    let own = 800 + mix(cell) % 400;
    let mut us = |usual: u64| {
        draws = mix(draws);
        Micros(usual * own * (850 + draws % 301) / 1_000)
    };
    let resolver = client % 50;
    let slow = if resolver == 7 && (30..40).contains(&(minute % 60)) { 10 } else { 1 };
    Event {
        version: SchemaVersion::V1_1,
        id: Uuid::from_u128(u128::from(cell) << 64 | u128::from(minute.unsigned_abs() << 8 | n)),
        client: ClientId::trusted(format!("client-{client:05}")),
        target: Target::trusted(format!("https://target-{target}.example/")),
        ts_ms: T0 + minute * MINUTE_MS + 9_000 * n.cast_signed(),
        failure: None,
        timings: Timings {
            dns: Some(us(5 * slow)),
            tcp: Some(us(20)),
            tls: Some(us(25)),
            ttfb: Some(us(60)),
            total: Some(us(120)),
        },
        throughput: (n == 0).then(|| BitsPerSecond(us(50_000).0)),
        troubled: false,
        gap: None,
        beside: Some(Box::new(Beside {
            site: Some(format!("site-{}", client / 4).into()),
            isp: Some(format!("isp-{}", client / 100).into()),
            resolver: Some(format!("10.0.0.{resolver}").into()),
            address: Some(format!("192.0.2.{target}").into()),
            ..Beside::default()
        })),
    }
}

/// A number that looks like chance and is not (Steele 2014, splitmix64).
fn mix(of: u64) -> u64 {
    let z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Seconds that all threads of this process have been on a core: others on the machine do not count.
fn on_cpu() -> anyhow::Result<f64> {
    let mut ns = 0.0;
    for task in fs::read_dir("/proc/self/task").context("reading the time taken")? {
        // A thread may just have ended.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        ns += text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(ns / 1e9)
}

/// Bytes of memory this process holds, or has held at most.
fn memory(which: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status").context("reading the memory in use")?;
    let line = text.lines().find_map(|line| line.strip_prefix(which));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.context("reading the memory in use")? * 1_024)
}
