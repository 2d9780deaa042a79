//! Latency at rest, then under load in each direction (draft-ietf-ippm-responsiveness): connections are
//! added until the line is full, and meanwhile round trips are timed.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::score::rpm::trimmed_mean;
use model::wire::{WireTransfer, WireTransfers};
use tokio::time::{self, Instant as Deadline, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, SETUP, late};
use super::flow::Flow;
use super::probes::{self, HEAD, Sample};
use super::throughput::{near_side, of_throughput};
use super::{Allowance, Direction, Found, Goal, LoadOptions, stable, upload};
use crate::measurement::{Latency, Terms, sides};
use crate::spread;

/// An interval of the test.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between two round trips that are timed; they take turns.
const PROBE: Duration = Duration::from_millis(100);

/// No more connections carry load.
const MAX_CONNECTIONS: usize = 16;

/// Round trips that are timed at rest.
const AT_REST: usize = 10;

/// For connecting and being answered, at rest.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn measure(
    goal: Goal<'_>,
    options: &LoadOptions,
    allowance: &Allowance,
) -> Found<(Latency, WireTransfers)> {
    let mut transfers = WireTransfers::default();
    let Some((beside, at_rest)) = rest(goal, allowance).await? else { return Ok(None) };
    let mut worst: Option<Latency> = None;
    for direction in [Direction::Down, Direction::Up] {
        let run = Run { goal, direction, allowance, beside: &beside };
        let Some((latency, transfer)) = run.load(options.longest).await? else { continue };
        match direction {
            Direction::Down => transfers.download = Some(transfer),
            Direction::Up => transfers.upload = Some(transfer),
        }
        // One that could not be computed is not the worse for it.
        let worse = |worst: &Latency| match (latency.rpm, worst.rpm) {
            (Some(this), Some(worst)) => this < worst,
            (this, _) => this.is_some(),
        };
        if worst.as_ref().is_none_or(worse) {
            worst = Some(latency);
        }
    }
    Ok(worst.map(|latency| {
        let latency = Latency {
            idle: spread::median(&at_rest),
            jitter: spread::jitter(&at_rest),
            bytes: allowance.used(),
            ..latency
        };
        (latency, transfers)
    }))
}

/// A connection, and round trips on it while nothing else is under way.
async fn rest(
    goal: Goal<'_>,
    allowance: &Allowance,
) -> Result<Option<(Connection, Vec<Duration>)>, crate::Failure> {
    let wanted = SETUP + (AT_REST as u64 + 1) * HEAD;
    if !allowance.take(wanted) {
        return Ok(None);
    }
    let deadline = Deadline::now() + PATIENCE;
    let timing = async {
        let connection = Connection::open(goal, deadline).await?;
        let mut samples = Vec::new();
        // The first may have to wake up the server's side.
        connection.time(goal.target).await?;
        for _ in 0..AT_REST {
            samples.push(connection.time(goal.target).await?);
        }
        if let Some(moved) = connection.moved() {
            allowance.settle(wanted, moved);
        }
        Ok((connection, samples))
    };
    let timed = time::timeout_at(deadline, timing).await.unwrap_or_else(|_| Err(late()));
    timed.map(Some).map_err(of_throughput)
}

/// One direction.
struct Run<'a> {
    goal: Goal<'a>,
    direction: Direction,
    allowance: &'a Allowance,
    /// Carries no load: for where no second request fits on one that does.
    beside: &'a Connection,
}

/// What an interval brought.
#[derive(Debug, Default)]
struct Told {
    samples: Vec<Sample>,
    bytes: u64,
    /// How long it took, its slowest round trips included.
    time: Duration,
}

impl Run<'_> {
    /// `None` where the target has nothing to load the line with, or nothing may be moved.
    async fn load(&self, longest: Duration) -> Found<(Latency, WireTransfer)> {
        let stop = CancellationToken::new();
        let _end = stop.clone().drop_guard();
        let piece = upload::piece();
        let mut flows: Vec<Flow> = Vec::new();
        let mut intervals: Vec<Told> = Vec::new();
        let (mut rates, mut responses) = (Vec::new(), Vec::new());
        let mut is_stable = false;
        let start = Instant::now();
        while start.elapsed() < longest && !is_stable {
            if flows.len() < MAX_CONNECTIONS {
                let started =
                    Flow::start(self.goal, self.direction, self.allowance, &piece, &stop).await;
                match started {
                    Ok(Some(flow)) => flows.push(flow),
                    Ok(None) => break,
                    Err(failure) if flows.is_empty() => return Err(of_throughput(failure)),
                    // A full line may well refuse another connection.
                    Err(_) => {}
                }
            }
            let told = self.interval(&flows).await;
            rates.push(float(told.bytes) / told.time.as_secs_f64());
            intervals.push(told);
            if let Some(rpm) = terms(last(&intervals)).as_ref().and_then(Terms::rpm) {
                responses.push(rpm);
            }
            is_stable = stable::is_stable(&rates) && stable::is_stable(&responses);
            // Nothing to offer, or nothing left to spend; what was seen until then stands.
            if flows.iter().all(Flow::is_over) {
                break;
            }
        }
        stop.cancel();
        let carried = intervals.iter().map(|told| told.bytes).sum::<u64>();
        let beside = !flows.iter().any(|flow| flow.connection.is_multiplexed());
        let connections = u32::try_from(flows.len()).unwrap_or(u32::MAX);
        let (probe, _) = near_side(&flows);
        let mut told = Vec::new();
        for flow in flows {
            // What went wrong with a flow shows in what it carried.
            let (_, side) = flow.end().await;
            told.extend(side);
        }
        let transfer = WireTransfer { connections, probe, target: sides::together(told) };
        if carried == 0 {
            return Ok(None);
        }
        Ok(Some((latency(&intervals, beside, is_stable), transfer)))
    }

    /// Times round trips for an interval.
    async fn interval(&self, flows: &[Flow]) -> Told {
        let (start, before) = (Instant::now(), flows.iter().map(Flow::carried).sum::<u64>());
        let end = Deadline::now() + INTERVAL;
        let mut ticks = time::interval(PROBE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running = FuturesUnordered::new();
        let mut told = Told::default();
        let mut nth = 0_usize;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let connection = self.carrier(flows, nth / 2);
                    let foreign = nth.is_multiple_of(2);
                    nth += 1;
                    running.push(async move {
                        match foreign {
                            true => probes::foreign(self.goal, self.allowance).await,
                            false => probes::loaded(connection, self.goal, self.allowance).await,
                        }
                    });
                }
                Some(sample) = running.next() => told.samples.extend(sample),
                () = time::sleep_until(end) => break,
            }
        }
        // Those that are slow are the ones that matter.
        while let Some(sample) = running.next().await {
            told.samples.extend(sample);
        }
        let after: u64 = flows.iter().map(Flow::carried).sum();
        told.bytes = after.saturating_sub(before);
        told.time = start.elapsed();
        told
    }

    fn carrier(&self, flows: &[Flow], nth: usize) -> Connection {
        let multiplexed: Vec<_> = flows
            .iter()
            .filter(|flow| flow.connection.is_multiplexed() && !flow.is_over())
            .collect();
        match multiplexed.len() {
            0 => self.beside.clone(),
            count => multiplexed[nth % count].connection.clone(),
        }
    }
}

/// What the last intervals say.
fn latency(intervals: &[Told], beside: bool, is_stable: bool) -> Latency {
    let last = last(intervals);
    let terms = terms(last);
    Latency {
        idle: None,
        loaded: spread::median(&fresh(last)),
        beside,
        jitter: None,
        rpm: terms.as_ref().and_then(Terms::rpm),
        terms,
        confidence: Some(stable::confidence(intervals.len(), is_stable)),
        bytes: 0,
    }
}

/// The intervals that the result is of.
fn last(intervals: &[Told]) -> &[Told] {
    &intervals[intervals.len().saturating_sub(stable::MOVING)..]
}

/// Requests on fresh connections.
fn fresh(intervals: &[Told]) -> Vec<Duration> {
    let samples = intervals.iter().flat_map(|told| &told.samples);
    let http = |sample: &Sample| match sample {
        Sample::Foreign { http, .. } => Some(*http),
        Sample::Loaded(_) => None,
    };
    samples.filter_map(http).collect()
}

fn loaded(intervals: &[Told]) -> Vec<Duration> {
    let samples = intervals.iter().flat_map(|told| &told.samples);
    let loaded = |sample: &Sample| match sample {
        Sample::Loaded(time) => Some(*time),
        Sample::Foreign { .. } => None,
    };
    samples.filter_map(loaded).collect()
}

fn terms(intervals: &[Told]) -> Option<Terms> {
    let (mut tcps, mut tlss, mut https) = (Vec::new(), Vec::new(), Vec::new());
    for sample in intervals.iter().flat_map(|told| &told.samples) {
        if let Sample::Foreign { tcp, tls, http } = sample {
            tcps.push(*tcp);
            tlss.extend(*tls);
            https.push(*http);
        }
    }
    Some(Terms {
        tcp: trimmed_mean(&tcps)?,
        tls: trimmed_mean(&tlss),
        http: trimmed_mean(&https)?,
        loaded: trimmed_mean(&loaded(intervals))?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a second are far below 2^53")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_send_buffers_is_in_the_term_of_rpm_and_not_in_the_latency() {
        let ms = Duration::from_millis;
        let samples = vec![
            Sample::Foreign { tcp: ms(20), tls: Some(ms(21)), http: ms(22) },
            Sample::Loaded(ms(900)),
            Sample::Foreign { tcp: ms(20), tls: Some(ms(21)), http: ms(24) },
            Sample::Loaded(ms(1_100)),
        ];
        let told = Told { samples, bytes: 1 << 20, time: INTERVAL };
        let found = latency(&[told], false, true);
        assert!((ms(22)..=ms(24)).contains(&found.loaded.unwrap()), "{found:?}");
        assert!(found.terms.unwrap().loaded >= ms(900), "{found:?}");
    }
}
