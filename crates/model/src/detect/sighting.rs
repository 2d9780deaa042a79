//! One event as the detector takes it: what was checked, and what the text says beside, which windows
//! do not keep.

use std::sync::Arc;

use serde::Deserialize;

use super::observe::{Failing, HeldUp, Signal};
use crate::event::{Beside, Event};
use crate::stage::Metric;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Who measured.
    pub client: Arc<str>,
    /// What was measured.
    pub target: Arc<str>,
    /// The event's id.
    pub id: u128,
    /// When it was measured, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// When it arrived, where that is told.
    pub recv_ms: Option<i64>,
    /// What failed.
    pub failed: Option<Failing>,
    /// The probe was in trouble itself.
    pub troubled: bool,
    /// Samples of the stages that completed: microseconds, or bits a second.
    pub samples: Vec<(Signal, u64)>,
    /// What held its transfer up, where the kernel told.
    pub held_up: Option<HeldUp>,
    /// What else it says: where it was measured, among others.
    pub beside: Beside,
}

/// What is not kept of an event that was checked; what is of another type is as good as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Unkept {
    recv_ts_ms: Option<i64>,
    tcp_info: TcpInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TcpInfo {
    retrans: Option<f64>,
    busy_ms: Option<f64>,
    rwnd_limited_ms: Option<f64>,
    sndbuf_limited_ms: Option<f64>,
    delivery_rate_kbps: Option<f64>,
}

impl TcpInfo {
    /// Times are of the sender's connection; without any busy time there is nothing to say.
    fn held_up(&self) -> Option<HeldUp> {
        const PART: f64 = 0.3;
        const RESENT: f64 = 0.005;
        const SEGMENT_BITS: f64 = 1_460.0 * 8.0;
        let busy_ms = self.busy_ms.filter(|ms| ms.is_finite() && *ms > 0.0)?;
        let part = |ms: Option<f64>| ms.is_some_and(|ms| ms > PART * busy_ms);
        let segments = self.delivery_rate_kbps.unwrap_or(0.0) * busy_ms / SEGMENT_BITS;
        Some(HeldUp {
            resent: segments > 0.0 && self.retrans.unwrap_or(0.0) > RESENT * segments,
            client: part(self.rwnd_limited_ms),
            server: part(self.sndbuf_limited_ms),
        })
    }
}

const SIGNALS: [(Metric, Signal); 5] = [
    (Metric::Dns, Signal::Dns),
    (Metric::Tcp, Signal::Tcp),
    (Metric::Tls, Signal::Tls),
    (Metric::Ttfb, Signal::Ttfb),
    (Metric::Throughput, Signal::Throughput),
];

impl Sighting {
    /// Of an event that was checked, and the JSON text it comes from.
    pub fn of(event: &Event, text: &[u8]) -> Self {
        let Unkept { recv_ts_ms, tcp_info } = serde_json::from_slice(text).unwrap_or_default();
        let beside = event.beside.as_deref().cloned().unwrap_or_default();
        let mut samples: Vec<(Signal, u64)> = SIGNALS
            .into_iter()
            .filter_map(|(metric, signal)| Some((signal, event.sample(metric)?)))
            .collect();
        samples.extend(beside.loaded.map(|loaded| (Signal::Loaded, loaded.0)));
        Self {
            client: event.client.as_str().into(),
            target: event.target.as_str().into(),
            id: event.id.as_u128(),
            ts_ms: event.ts_ms,
            recv_ms: recv_ts_ms.filter(|&ms| ms > 0),
            failed: event.failure.map(|stage| Failing::of(stage, beside.certificate)),
            troubled: event.troubled,
            samples,
            held_up: tcp_info.held_up(),
            beside,
        }
    }
}
