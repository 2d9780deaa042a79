//! Ingest until the bus has confirmed, and its peers.

use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use model::sketch::Quantile;
use testbed::load::raw::{Plan, Report, Until};
use testbed::servers::postgres::Postgres;
use tokio::runtime::Runtime;

use super::cpu_of;
use super::victoria::{Samples, Victoria};
use super::world::World;
use crate::ingest::{BATCH, Bodies, Child, driven, driven_by, plan};
use crate::table::spread;
use crate::usage;

/// What a measurement costs beside its rate, one figure a round.
#[derive(Default)]
pub(super) struct Costs {
    /// Microseconds of processor time an event: who takes it, and NATS where there is one.
    server_us: Vec<f64>,
    nats_us: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    events_in_message: Vec<f64>,
    bytes: Vec<f64>,
}

impl Costs {
    fn latency(&mut self, report: &Report) {
        for (of, quantile) in [(&mut self.p50_ms, Quantile::P50), (&mut self.p99_ms, Quantile::P99)]
        {
            of.extend(report.latency_at(quantile).map(|time| time.as_secs_f64() * 1e3));
        }
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (spread(&self.p50_ms), spread(&self.p99_ms));
        write!(f, "p50 ms {p50}, p99 ms {p99}, µs an event {}", spread(&self.server_us))?;
        if self.nats_us.is_empty() {
            return Ok(());
        }
        let (nats, many) = (spread(&self.nats_us), spread(&self.events_in_message));
        write!(f, ", NATS {nats}; events a message {many}, bytes an event {}", spread(&self.bytes))
    }
}

/// Requests a second that our ingest answers (events, where a request has more than one).
pub(super) fn ingest(
    postgres: &Postgres,
    runtime: &Runtime,
    sync_always: bool,
    events: usize,
    connections: usize,
    each: Duration,
    costs: &mut Costs,
) -> anyhow::Result<f64> {
    let world = World::start(postgres, sync_always)?;
    let role = world.role("ingest")?;
    let mut bodies = Bodies::new(events);
    let plan = plan(role.addr(), Some(&world.token), connections, Until::Elapsed(each));
    // The token is known, and connections stand, before the clock runs.
    let warm = Plan { until: Until::Requests(connections as u64), ..plan.clone() };
    let before = runtime.block_on(driven(&warm, &mut bodies))?;
    let from = (role.cpu()?, cpu_of(world.nats.pid())?);
    let report = runtime.block_on(driven(&plan, &mut bodies))?;
    let us = |time: Duration| time.as_secs_f64() * 1e6 / report.events as f64;
    costs.server_us.push(us(role.cpu()? - from.0));
    costs.nats_us.push(us(cpu_of(world.nats.pid())? - from.1));
    costs.latency(&report);
    role.stop()?;
    let stream = world.stream()?;
    let all = (report.events + before.events) as f64;
    costs.events_in_message.push(all / stream.messages as f64);
    costs.bytes.push(stream.bytes as f64 / all);
    Ok(report.events_per_second())
}

/// Requests a second of the handler that keeps nothing.
pub(super) fn bare(
    runtime: &Runtime,
    handler: Child,
    connections: usize,
    each: Duration,
    costs: &mut Costs,
) -> anyhow::Result<f64> {
    let from = handler.cpu()?;
    let plan = plan(handler.addr(), None, connections, Until::Elapsed(each));
    let report = runtime.block_on(driven(&plan, &mut Bodies::new(1)))?;
    let spent = handler.cpu()? - from;
    costs.server_us.push(spent.as_secs_f64() * 1e6 / report.events as f64);
    costs.latency(&report);
    handler.stop()?;
    Ok(report.requests_per_second())
}

/// The peer that takes batches.
pub(super) struct Peer<'a> {
    pub(super) victoria: &'a Victoria,
    pub(super) runtime: &'a Runtime,
}

impl Peer<'_> {
    /// Events a second that it has taken.
    pub(super) fn imported(
        &self,
        connections: usize,
        each: Duration,
        costs: &mut Costs,
    ) -> anyhow::Result<f64> {
        let pid = self.victoria.pid();
        let mut samples = Samples::new(BATCH);
        let plan = plan(self.victoria.addr(), None, connections, Until::Elapsed(each));
        let plan = Plan { path: "/api/v1/import".to_owned(), ..plan };
        let from = usage::of(pid)?.cpu;
        let sent = driven_by(&plan, |out| samples.append_to(out));
        let report = self.runtime.block_on(sent)?;
        let spent = usage::of(pid)?.cpu - from;
        costs.server_us.push(spent.as_secs_f64() * 1e6 / report.events as f64);
        costs.latency(&report);
        let taken = self.victoria.taken()?;
        ensure!(taken == samples.given, "{} samples were sent, {taken} taken", samples.given);
        Ok(report.events_per_second())
    }
}
