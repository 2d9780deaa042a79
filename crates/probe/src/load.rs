//! Tests that load the line: how much it carries each way, and how long it takes to answer meanwhile.
//!
//! They move many megabytes, so each has an [`Allowance`] that it never exceeds, and [`budget`] keeps
//! what a probe may move in a day.

use std::net::SocketAddr;
use std::time::Duration;

use model::wire::WireTransfer;
use url::Url;

use crate::failure::Failure;
use crate::measure::tls::Client;
use crate::measurement::{Measurement, Throughput};

mod allowance;
pub mod budget;
mod connection;
mod flow;
mod probes;
mod rate;
mod responsiveness;
mod stable;
mod throughput;
mod upload;
pub mod when;

pub use allowance::Allowance;

/// How to load the line.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// How many connections carry a throughput test.
    pub connections: usize,
    /// How long each direction is loaded.
    pub duration: Duration,
    /// How long a direction of a responsiveness test may take; it ends as soon as it is stable.
    pub longest: Duration,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { connections: 4, duration: Duration::from_secs(10), longest: Duration::from_secs(12) }
    }
}

/// Which tests to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    /// How much the line carries to the probe.
    pub download: bool,
    /// How much it carries from the probe.
    pub upload: bool,
    /// How long it takes to answer under load.
    pub responsiveness: bool,
}

/// A direction, as seen from the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From the target to the probe.
    Down,
    /// From the probe to the target.
    Up,
}

/// What one direction carried.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Carried {
    /// The median of the rate over the period after the ramp-up, application bits a second.
    bits_per_second: u64,
    /// The rate that was exceeded for nine tenths of that period.
    low_bits_per_second: u64,
    /// Bytes of bodies that were moved, ramp-up included.
    bytes: u64,
    /// Segments this end sent again.
    retransmits: u32,
    /// The period that the rates are of.
    duration: Duration,
    /// Whether the allowance ended before the time did.
    cut_short: bool,
    /// Both ends' view of the connections.
    transfer: WireTransfer,
}

/// What a test found: `None` where the target does not offer what it takes.
type Found<T> = Result<Option<T>, Failure>;

/// Where a test goes: the address that was measured, so that there is no second look-up.
#[derive(Clone, Copy, Debug)]
struct Goal<'a> {
    client: &'a Client,
    target: &'a Url,
    address: SocketAddr,
}

/// Makes the tests at the address of a measurement that succeeded, and writes down what they found;
/// its timings stand whatever that is.
pub(crate) async fn run(
    client: &Client,
    m: &mut Measurement,
    tests: Tests,
    options: &LoadOptions,
    allowance: &Allowance,
) {
    let (None, Some(address)) = (&m.failure, m.remote_addr) else { return };
    let target = m.target.clone();
    let goal = Goal { client, target: &target, address };
    // At rest first: a line takes a while to come to rest again.
    if tests.responsiveness {
        match responsiveness::measure(goal, options, allowance).await {
            Ok(None) => {}
            Ok(Some((latency, transfers))) => {
                m.latency = Some(latency);
                m.transfers = transfers;
            }
            Err(failure) => m.throughput_failure = Some(failure),
        }
    }
    if tests.download {
        match throughput::measure(goal, Direction::Down, options, allowance).await {
            Ok(carried) => {
                m.throughput = carried.map(Carried::told);
                m.transfers.download = carried.map(|c| c.transfer).or(m.transfers.download);
                m.throughput_failure = None;
            }
            Err(failure) => m.throughput_failure = Some(failure),
        }
    }
    if tests.upload {
        match throughput::measure(goal, Direction::Up, options, allowance).await {
            Ok(carried) => {
                m.upload = carried.map(Carried::told);
                m.transfers.upload = carried.map(|c| c.transfer).or(m.transfers.upload);
            }
            Err(failure) => m.upload_failure = Some(failure),
        }
    }
}

impl Carried {
    fn told(self) -> Throughput {
        Throughput {
            bits_per_second: self.bits_per_second,
            low_bits_per_second: Some(self.low_bits_per_second),
            retransmits: Some(self.retransmits),
            bytes: self.bytes,
            duration: self.duration,
            complete: !self.cut_short,
        }
    }
}
