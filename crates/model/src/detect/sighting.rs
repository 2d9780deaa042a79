//! One event as the detector takes it: what was checked, and what else the text says that the
//! platform's windows do not keep.

use std::sync::Arc;

use serde::Deserialize;

use super::observe::{Failing, HeldUp, Signal};
use crate::event::Event;
use crate::stage::{ErrorStage, Metric};

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
    /// Where the event says that it was measured.
    pub told: Told,
}

/// What events say of their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `labels.site`.
    pub site: Option<Arc<str>>,
    /// `labels.isp`.
    pub isp: Option<Arc<str>>,
    /// `dns_server`, else `labels.resolver`.
    pub resolver: Option<Arc<str>>,
    /// `remote_addr`.
    pub address: Option<Arc<str>>,
}

/// What an event may say beside what is checked; what is of another type is as good as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Beside {
    recv_ts_ms: Option<i64>,
    error_type: Option<String>,
    remote_addr: Option<String>,
    dns_server: Option<String>,
    latency: Latency,
    tcp_info: TcpInfo,
    labels: Labels,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Latency {
    loaded_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    site: Option<String>,
    isp: Option<String>,
    resolver: Option<String>,
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
        let beside: Beside = serde_json::from_slice(text).unwrap_or_default();
        let is_certificate = beside.error_type.is_some_and(|kind| kind.starts_with("tls.cert"));
        let mut samples: Vec<(Signal, u64)> = SIGNALS
            .into_iter()
            .filter_map(|(metric, signal)| Some((signal, event.sample(metric)?)))
            .collect();
        let loaded = beside.latency.loaded_ms.filter(|ms| ms.is_finite() && *ms >= 0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast saturates, and it is not negative"
        )]
        samples.extend(loaded.map(|ms| (Signal::Loaded, (ms * 1e3) as u64)));
        Self {
            client: event.client.as_str().into(),
            target: event.target.as_str().into(),
            id: event.id.as_u128(),
            ts_ms: event.ts_ms,
            recv_ms: beside.recv_ts_ms.filter(|&ms| ms > 0),
            failed: event.failure.map(|stage: ErrorStage| Failing::of(stage, is_certificate)),
            troubled: event.troubled,
            samples,
            held_up: beside.tcp_info.held_up(),
            told: Told {
                site: beside.labels.site.map(Into::into),
                isp: beside.labels.isp.map(Into::into),
                resolver: beside.dns_server.or(beside.labels.resolver).map(Into::into),
                address: beside.remote_addr.map(Into::into),
            },
        }
    }
}
