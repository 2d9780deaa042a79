//! How much the line carries: several connections for some seconds, the ramp-up left out.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use model::ErrorStage;
use model::wire::{WireTcpInfo, WireTransfer};
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::flow::{Ended, Flow};
use super::rate::{Interval, steady};
use super::{Allowance, Carried, Direction, Found, Goal, LoadOptions, upload};
use crate::failure::Failure;
use crate::measurement::{TcpInfo, sides};

/// So often are the bytes counted: what waits for a lost packet comes in a burst, and an interval must
/// be long enough to hold both.
const SAMPLES: u32 = 20;

pub(super) async fn measure(
    goal: Goal<'_>,
    direction: Direction,
    options: &LoadOptions,
    allowance: &Allowance,
) -> Found<Carried> {
    let stop = CancellationToken::new();
    // However this ends, nothing goes on.
    let _end = stop.clone().drop_guard();
    let piece = upload::piece();
    let starting = (0..options.connections.max(1))
        .map(|_| Flow::start(goal, direction, allowance, &piece, &stop));
    let mut flows = Vec::new();
    let mut failed = None;
    for started in join_all(starting).await {
        match started {
            Ok(flow) => flows.extend(flow),
            Err(failure) => failed = Some(failure),
        }
    }
    if let (Some(failure), true) = (failed, flows.is_empty()) {
        return Err(of_throughput(failure));
    }

    let intervals = watch(&flows, options.duration).await;
    stop.cancel();
    let mut ends = Vec::new();
    let bytes = flows.iter().map(Flow::carried).sum();
    let (probe, retransmits) = near_side(&flows);
    let connections = u32::try_from(flows.len()).unwrap_or(u32::MAX);
    let mut told = Vec::new();
    for flow in flows {
        let (ended, side) = flow.end().await;
        ends.push(ended);
        told.extend(side);
    }
    let transfer = WireTransfer { connections, probe, target: sides::together(told) };
    let cut_short = ends.iter().any(|end| matches!(end, Ok(Ended::Spent)));
    if let Some(steady) = steady(&intervals) {
        return Ok(Some(Carried {
            bits_per_second: steady.median,
            low_bits_per_second: steady.low,
            bytes,
            retransmits,
            duration: steady.duration,
            cut_short,
            transfer,
        }));
    }
    match ends.into_iter().find_map(Result::err) {
        Some(failure) => Err(of_throughput(failure)),
        // It has nothing to offer, or there was nothing left to spend.
        None => Ok(None),
    }
}

/// Counts until the time is over, or all work is.
async fn watch(flows: &[Flow], duration: Duration) -> Vec<Interval> {
    let mut ticks = time::interval((duration / SAMPLES).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let start = Instant::now();
    let carried = || flows.iter().map(Flow::carried).sum::<u64>();
    let (mut last, mut before) = (start, carried());
    let mut intervals = Vec::new();
    while start.elapsed() < duration && !flows.iter().all(Flow::is_over) {
        ticks.tick().await;
        let (now, bytes) = (Instant::now(), carried());
        let time = now.saturating_duration_since(last);
        intervals.push(Interval { bytes: bytes.saturating_sub(before), time });
        (last, before) = (now, bytes);
    }
    intervals
}

/// This end's side of the connections, and how many segments it sent again.
pub(super) fn near_side(flows: &[Flow]) -> (Option<WireTcpInfo>, u32) {
    let infos: Vec<TcpInfo> = flows.iter().filter_map(|flow| flow.connection.info()).collect();
    let retransmits = infos.iter().map(|info| info.retransmits).sum();
    (sides::together(infos.iter().map(TcpInfo::wire)), retransmits)
}

/// A failure of any stage on such a connection is one of throughput: the type says which.
pub(super) fn of_throughput(failure: Failure) -> Failure {
    Failure { stage: ErrorStage::Throughput, ..failure }
}
