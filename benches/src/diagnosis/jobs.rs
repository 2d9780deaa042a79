//! Traces are judged side by side, and told in their order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::detector::{Output, Topology};
use super::tally::{DAY_MS, Tally};
use super::{Args, Table, detectors, report};

/// A detector on a trace.
#[derive(Clone, Copy)]
struct Job {
    table: usize,
    seed: u64,
    /// Its place among the detectors.
    detector: usize,
}

/// Judges every trace with every detector that is wanted, and prints each table when it is full.
pub(super) fn run(args: &Args, tables: &[Table]) -> anyhow::Result<()> {
    let wanted = |name: &str| {
        args.detectors.is_empty() || args.detectors.iter().any(|start| name.starts_with(start))
    };
    let detectors: Vec<usize> = detectors()
        .iter()
        .enumerate()
        .filter(|(_, detector)| wanted(detector.name()))
        .map(|(i, _)| i)
        .collect();
    let seeds = || args.seeds.iter().copied();
    let jobs: Vec<Job> = (0..tables.len())
        .flat_map(|table| seeds().map(move |seed| (table, seed)))
        .flat_map(|(table, seed)| {
            detectors.iter().map(move |&detector| Job { table, seed, detector })
        })
        .collect();
    let next = AtomicUsize::new(0);
    let (send, done) = mpsc::channel();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (next, jobs, send) = (&next, &jobs, send.clone());
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { break };
                    if send.send((number, one(args, &tables[job.table], *job))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut waiting: BTreeMap<usize, Vec<Tally>> = BTreeMap::new();
        let mut told = 0;
        let mut tallies: Vec<Tally> = Vec::new();
        for (number, result) in done {
            waiting.insert(number, result?);
            while let Some(mine) = waiting.remove(&told) {
                for tally in mine {
                    match tallies.iter_mut().find(|known| known.rules == tally.rules) {
                        Some(known) => known.merge(tally),
                        None => tallies.push(tally),
                    }
                }
                let table = jobs[told].table;
                told += 1;
                if jobs.get(told).is_none_or(|job| job.table != table) {
                    tell(args, &tables[table], &std::mem::take(&mut tallies));
                }
            }
        }
        Ok(())
    })
}

fn one(args: &Args, table: &Table, job: Job) -> anyhow::Result<Vec<Tally>> {
    let scenario = table.scenario(args, job.seed)?;
    let began = Instant::now();
    let mut outputs = detectors()[job.detector]
        .run(&Topology::of(&scenario), &mut testbed::simulate::events(&scenario))?;
    let took = began.elapsed();
    let from_ms = scenario.start_ms + table.world.unscored_days * DAY_MS;
    let tally = |output: &mut Output| {
        output.verdicts.retain(|verdict| verdict.minute_ms >= from_ms);
        let mut tally = Tally::default();
        tally.add(&scenario, from_ms, output, took);
        tally
    };
    Ok(outputs.iter_mut().map(tally).collect())
}

fn tell(args: &Args, table: &Table, tallies: &[Tally]) {
    let Table { world, per_minute } = table;
    if args.each {
        for tally in tallies {
            for (seed, score) in args.seeds.iter().zip(&tally.scores) {
                println!("\n{} · n = {per_minute} · seed {seed} · {}", world.name, tally.rules);
                print!("{}", score.table());
            }
        }
    }
    print!("{}", report::text(world, *per_minute, &args.seeds, tallies));
    if args.json {
        for tally in tallies {
            println!("{}", report::json(world, *per_minute, &args.seeds, tally));
        }
    }
}
