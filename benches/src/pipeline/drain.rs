//! A stream that is full of events, and an aggregator that counts them.

use std::time::{Duration, Instant};

use anyhow::ensure;
use testbed::load::raw::Until;
use testbed::servers::postgres::Postgres;
use tokio::runtime::Runtime;

use super::fleet::Fleet;
use super::world::World;
use super::{BATCHES_ON, cpu_of};
use crate::ingest::{BATCH, Bodies, driven_by, plan};
use crate::shared::Shape;
use crate::table::spread;

/// How often it is looked whether something is left.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Probes of the fleet, and the time between two events of each.
const PROBES: u64 = 120_000;
const EVERY_MS: u64 = 10_000;

/// Microseconds of processor time an event.
#[derive(Default)]
pub(super) struct Costs {
    aggregator: Vec<f64>,
    postgres: Vec<f64>,
    nats: Vec<f64>,
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [aggregator, postgres, nats] =
            [&self.aggregator, &self.postgres, &self.nats].map(|costs| spread(costs));
        write!(f, "µs an event, aggregator {aggregator}, PostgreSQL {postgres}, NATS {nats}")
    }
}

/// Events a second of an aggregator that finds so many in the stream.
pub(super) fn drained(
    postgres: &Postgres,
    runtime: &Runtime,
    shape: Shape,
    events: u64,
    costs: &mut Costs,
) -> anyhow::Result<f64> {
    let world = World::start(postgres, true)?;
    let ingest = world.role("ingest")?;
    let requests = Until::Requests(events / BATCH as u64);
    let plan = plan(ingest.addr(), Some(&world.token), BATCHES_ON, requests);
    let report = match shape {
        Shape::Dense => {
            let mut bodies = Bodies::new(BATCH);
            runtime.block_on(driven_by(&plan, |out| bodies.append_to(out)))?
        }
        Shape::Fleet => {
            let begin_ms = server::clock::now_ms() - (events * EVERY_MS / PROBES).cast_signed();
            let mut fleet = Fleet::new(PROBES, EVERY_MS, begin_ms, BATCH as u32);
            runtime.block_on(driven_by(&plan, |out| fleet.append_to(out)))?
        }
    };
    ingest.stop()?;
    let from = (cpu_of(postgres.pid())?, cpu_of(world.nats.pid())?);
    let began = Instant::now();
    let aggregator = world.role("aggregator")?;
    while world.stream()?.lag > 0 {
        std::thread::sleep(LOOK_EVERY);
    }
    let spent = began.elapsed();
    let us = |time: Duration| time.as_secs_f64() * 1e6 / report.events as f64;
    costs.aggregator.push(us(aggregator.cpu()?));
    costs.postgres.push(us(cpu_of(postgres.pid())? - from.0));
    costs.nats.push(us(cpu_of(world.nats.pid())? - from.1));
    aggregator.stop()?;
    let counted = world.counted()?;
    ensure!(counted == report.events, "{} events were taken, {counted} counted", report.events);
    Ok(report.events as f64 / spent.as_secs_f64())
}
