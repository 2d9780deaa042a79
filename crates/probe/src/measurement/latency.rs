//! Latency of a connection at rest and under load.

use std::time::Duration;

pub use model::score::rpm::Terms;
use model::wire::WireLatency;

use super::ms;
use crate::echo::Echoes;

/// What a responsiveness test found (draft-ietf-ippm-responsiveness): the terms of the formula
/// beside its result, since two tools with the same terms may well give two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// Median round trip before there was load.
    pub idle: Option<Duration>,
    /// Median round trip under load, on fresh connections beside it: what the queue of the line takes, and
    /// nothing of what waits in the buffers of either end for its turn on a connection.
    pub loaded: Option<Duration>,
    /// Whether the loaded term of `rpm` is of a connection beside the load too: HTTP/1.1 has no room for a
    /// second request on one that carries it.
    pub beside: bool,
    /// Mean difference of consecutive round trips at rest.
    pub jitter: Option<Duration>,
    /// Round trips a minute under load.
    pub rpm: Option<f64>,
    /// What `rpm` was computed from.
    pub terms: Option<Terms>,
    /// How far `rpm` can be trusted.
    pub confidence: Option<Confidence>,
    /// Bytes the test moved, both ways.
    pub bytes: u64,
}

/// As the draft has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Fewer intervals than are averaged over.
    Low,
    /// Enough intervals, without stability.
    Medium,
    /// Stable.
    High,
}

impl Confidence {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// As the event has it. What echoes and a test under load both tell is that of the echoes, of which
/// there are more.
pub(super) fn wire(latency: Option<&Latency>, echoes: Option<&Echoes>) -> Option<WireLatency> {
    if latency.is_none() && echoes.is_none() {
        return None;
    }
    let idle = echoes.and_then(Echoes::median).or_else(|| latency?.idle);
    let jitter = echoes.and_then(Echoes::jitter).or_else(|| latency?.jitter);
    Some(WireLatency {
        idle_ms: idle.map(ms),
        loaded_ms: latency.and_then(|latency| latency.loaded).map(ms),
        jitter_ms: jitter.map(ms),
        loss_ratio: echoes.and_then(Echoes::loss),
        rpm: latency.and_then(|latency| latency.rpm),
    })
}
