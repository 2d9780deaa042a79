//! All roles at once: how much they can take together, and how they fare at half of it.

use std::time::{Duration, Instant};

use anyhow::ensure;
use model::sketch::Quantile;
use server::clock::now_ms;
use testbed::load::raw::{Plan, Until};
use testbed::servers::postgres::Postgres;
use tokio::runtime::Runtime;

use super::BATCHES_ON;
use super::fleet::Fleet;
use super::watch::Watch;
use super::world::World;
use crate::ingest::{Child, driven_by, plan};
use crate::usage::{self, Usage};

/// The roles, in the order of an event's way, and then the servers.
const NAMES: [&str; 5] = ["ingest", "aggregator", "diagnoser", "nats-server", "postgres"];

/// Between two events of a probe.
pub(super) const EVERY_MS: u64 = 10_000;

/// Events by which the capacity is measured, and probes that send them.
const EVENTS: u64 = 1_500_000;
const PROBES: u64 = 200_000;

/// How often memory and lag are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// All roles on an empty world.
pub(super) struct Platform<'a> {
    world: World,
    roles: [Child; 3],
    postgres: &'a Postgres,
}

/// What is taken, and by whom.
pub(super) struct Capacity {
    pub(super) events_per_second: f64,
    /// Microseconds of processor time an event, in the order of [`NAMES`].
    us: [f64; 5],
}

/// How the pipeline fares under a load.
pub(super) struct Steady {
    pub(super) events_per_second: f64,
    /// Milliseconds from 202 to the window.
    pub(super) visible_ms: Vec<f64>,
    answered_ms: [f64; 2],
    us: [f64; 5],
    /// MiB after a fifth of the time, at the end, and at most.
    memory: [[f64; 3]; 5],
    /// Messages that waited at most, and seconds after the last answer until none did.
    lag: u64,
    caught_up: f64,
    /// Bytes an event: in the stream, in `events_seen`, and a window in `agg_1m`.
    bytes: [f64; 3],
}

impl<'a> Platform<'a> {
    fn start(postgres: &'a Postgres) -> anyhow::Result<Self> {
        let world = World::start(postgres, true)?;
        let roles = [world.role("ingest")?, world.role("aggregator")?, world.role("diagnoser")?];
        Ok(Self { world, roles, postgres })
    }

    fn usage(&self) -> anyhow::Result<[Usage; 5]> {
        let servers = [self.world.nats.pid(), self.postgres.pid()];
        let servers = servers.into_iter().flatten().map(i32::cast_unsigned);
        let mut all = [Usage::default(); 5];
        for (of, pid) in all.iter_mut().zip(self.roles.iter().map(Child::pid).chain(servers)) {
            *of = usage::of(pid)?;
        }
        Ok(all)
    }

    fn stop(self, events: u64) -> anyhow::Result<World> {
        for role in self.roles {
            role.stop()?;
        }
        let counted = self.world.counted()?;
        ensure!(counted == events, "{events} events were taken, {counted} counted");
        Ok(self.world)
    }

    fn plan(&self, batch: u32, until: Until) -> Plan {
        let connections = if batch == 1 { 256 } else { BATCHES_ON };
        plan(self.roles[0].addr(), Some(&self.world.token), connections, until)
    }

    fn wait_until_counted(&self) -> anyhow::Result<()> {
        while self.world.stream()?.lag > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// As many events as go, from the first request until the last is counted.
pub(super) fn capacity(
    postgres: &Postgres,
    runtime: &Runtime,
    batch: u32,
) -> anyhow::Result<Capacity> {
    let platform = Platform::start(postgres)?;
    let begin_ms = now_ms() - (EVENTS * EVERY_MS / PROBES).cast_signed();
    let mut fleet = Fleet::new(PROBES, EVERY_MS, begin_ms, batch);
    let plan = platform.plan(batch, Until::Requests(EVENTS / u64::from(batch)));
    let (before, began) = (platform.usage()?, Instant::now());
    let report = runtime.block_on(driven_by(&plan, |out| fleet.append_to(out)))?;
    platform.wait_until_counted()?;
    let spent = began.elapsed();
    let us = us(&before, &platform.usage()?, report.events);
    platform.stop(report.events)?;
    Ok(Capacity { events_per_second: report.events as f64 / spent.as_secs_f64(), us })
}

/// So many events a second, as they would come from as many probes, for a time.
pub(super) fn steady(
    postgres: &Postgres,
    runtime: &Runtime,
    batch: u32,
    events_per_second: f64,
    time: Duration,
) -> anyhow::Result<Steady> {
    let platform = Platform::start(postgres)?;
    let probes = (events_per_second * EVERY_MS as f64 / 1e3) as u64;
    let mut fleet = Fleet::new(probes, EVERY_MS, now_ms(), batch);
    let pace = Some(fleet.per_second() / f64::from(batch));
    let plan = Plan { pace, ..platform.plan(batch, Until::Elapsed(time)) };
    let watch = Watch::start(&platform.world, platform.roles[0].addr())?;
    let (before, began) = (platform.usage()?, Instant::now());

    let (mut memory, mut lag) = ([[0.0_f64; 3]; 5], 0);
    let report = std::thread::scope(|scope| {
        let driving =
            scope.spawn(|| runtime.block_on(driven_by(&plan, |out| fleet.append_to(out))));
        while !driving.is_finished() {
            std::thread::sleep(LOOK_EVERY.min(time / 10));
            lag = platform.world.stream()?.lag.max(lag);
            for (memory, usage) in memory.iter_mut().zip(platform.usage()?) {
                let [first, last, most] = memory;
                if began.elapsed() < time / 5 || *first == 0.0 {
                    *first = usage.mib;
                }
                (*last, *most) = (usage.mib, most.max(usage.mib));
            }
        }
        driving.join().expect("a bug alone panics")
    })?;
    let ended = Instant::now();
    platform.wait_until_counted()?;
    let caught_up = ended.elapsed().as_secs_f64();
    let us = us(&before, &platform.usage()?, report.events);
    let visible_ms = watch.stop()?;
    platform.wait_until_counted()?;

    let stream = platform.world.stream()?;
    let events = report.events + visible_ms.len() as u64;
    let world = platform.stop(events)?;
    let answered = |quantile| report.latency_at(quantile).unwrap_or_default().as_secs_f64() * 1e3;
    Ok(Steady {
        events_per_second: report.events_per_second(),
        answered_ms: [answered(Quantile::P50), answered(Quantile::P99)],
        visible_ms,
        us,
        memory,
        lag,
        caught_up,
        bytes: bytes(&world, stream.bytes, events)?,
    })
}

fn us(before: &[Usage; 5], after: &[Usage; 5], events: u64) -> [f64; 5] {
    let mut us = [0.0; 5];
    for (us, (before, after)) in us.iter_mut().zip(before.iter().zip(after)) {
        *us = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / events as f64;
    }
    us
}

/// Bytes that events, and windows, take on the disks, indexes included.
fn bytes(world: &World, stream: u64, events: u64) -> anyhow::Result<[f64; 3]> {
    let windows = world.count("agg_1m")? as f64;
    let seen = world.bytes("events_seen")? / events as f64;
    Ok([stream as f64 / events as f64, seen, world.bytes("agg_1m")? / windows])
}

/// The figure below which so great a share lies; 0 where there is none.
fn at(share: f64, figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let place = (figures.len() as f64 * share) as usize;
    figures.get(place.min(figures.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The share of events that were in their window within so many milliseconds.
pub(super) fn within(limit_ms: f64, figures: &[f64]) -> f64 {
    figures.iter().filter(|ms| **ms <= limit_ms).count() as f64 / figures.len() as f64
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} events/s; µs an event: {}", self.events_per_second, costs(&self.us))
    }
}

impl std::fmt::Display for Steady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| at(share, &self.visible_ms));
        let ([answered, slow], [stream, seen, window]) = (self.answered_ms, self.bytes);
        let Self { events_per_second, visible_ms, lag, caught_up, .. } = self;
        writeln!(f, "{events_per_second:.0} events/s, 202 after {answered:.1} ms, p99 {slow:.0}")?;
        let n = visible_ms.len();
        writeln!(f, "  202 to window, ms: p50 {p50:.0}, p99 {p99:.0}, max {max:.0} ({n} events)")?;
        writeln!(f, "  lag at most {lag} messages, none {caught_up:.2} s after the last answer")?;
        writeln!(f, "  µs an event: {}", costs(&self.us))?;
        write!(f, "  MiB after a fifth, at the end, at most:")?;
        for (name, [first, last, most]) in NAMES.iter().zip(self.memory) {
            write!(f, " {name} {first:.0} {last:.0} {most:.0};")?;
        }
        writeln!(f)?;
        write!(
            f,
            "  bytes: {stream:.0} an event in the stream, {seen:.0} in events_seen, {window:.0} a window"
        )
    }
}

fn costs(us: &[f64; 5]) -> String {
    let each = NAMES.iter().zip(us).map(|(name, us)| format!("{name} {us:.1}"));
    let sum: f64 = us.iter().sum();
    each.chain([format!("all {sum:.1}")]).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_shares_of_nothing_and_of_few() {
        assert_eq!(at(0.5, &[]), 0.0);
        let figures = [4.0, 1.0, 3.0, 2.0];
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| at(share, &figures)), [1.0, 3.0, 4.0, 4.0]);
        assert_eq!(within(3.0, &figures), 0.75);
    }
}
