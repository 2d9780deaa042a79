//! The event as it travels, version 1.1: what a probe or the simulator writes. Reading is
//! stricter and lives in [`crate::decode`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One event on the wire. Absent is "not measured", never 0.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct WireEvent {
    /// Unique for its client; ours are version 7.
    pub event_id: Uuid,
    /// Who measured.
    pub client_id: String,
    /// Start of the measurement, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// When ingest took it; set there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recv_ts_ms: Option<i64>,
    /// `1.1`.
    pub schema_version: String,
    /// The URL that was measured.
    pub target: String,
    /// Where the probe stood.
    pub network_context: NetworkContext,
    /// What was timed, in milliseconds.
    pub timings: WireTimings,
    /// Download goodput, kilobits a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub throughput_kbps: Option<f64>,
    /// Upload goodput, kilobits a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upload_kbps: Option<f64>,
    /// The stage that failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_stage: Option<crate::ErrorStage>,
    /// Why, as a W3C Network Error Logging type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_type: Option<String>,
    /// W3C Trace Context, where somebody keeps the trace of this measurement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
    /// Status of the response.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    /// `1.1`, `2` or `3`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_version: Option<String>,
    /// 4 or 6.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip_family: Option<u8>,
    /// The address that was connected to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote_addr: Option<String>,
    /// The resolver that answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_server: Option<String>,
    /// `1.2` or `1.3`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_version: Option<String>,
    /// The cipher suite by its IANA name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_cipher: Option<String>,
    /// The protocol chosen by ALPN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alpn: Option<String>,
    /// End of the certificate's validity, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cert_expires_ms: Option<i64>,
    /// The kernel's view of the connection, at its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_info: Option<WireTcpInfo>,
    /// What both ends' kernels saw of the connections that carried a transfer; an addition of ours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transfers: Option<WireTransfers>,
    /// Latency at rest and under load.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency: Option<WireLatency>,
    /// Version of the probe.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probe_version: Option<String>,
    /// By how much the probe's clock is ahead of the server's, milliseconds, where that is more
    /// than can be explained by the way there; an addition of ours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_offset_ms: Option<i64>,
    /// What was wrong with the probe itself while it measured; an addition of ours. An event that
    /// names anything is set aside, and says nothing of its target.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub probe_trouble: Vec<String>,
    /// What the probe lost before this event; an addition of ours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gap: Option<WireGap>,
    /// Free labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
}

/// Events that a probe lost, for want of room or to a damaged disk, before the one that says so.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct WireGap {
    /// How many.
    pub count: u64,
    /// The time of the oldest, milliseconds since the Unix epoch, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_ts_ms: Option<i64>,
    /// The time of the newest, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_ts_ms: Option<i64>,
}

/// Where the probe stood.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct NetworkContext {
    /// `wifi`, `ethernet`, `cellular`, `unknown`, or another word the system gives.
    pub interface_type: String,
    /// Whether a VPN carries the traffic.
    pub vpn_enabled: bool,
    /// What the user calls this place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_label: Option<String>,
}

/// Durations in milliseconds, each of its own stage.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct WireTimings {
    /// The look-up; absent for a literal address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_ms: Option<f64>,
    /// SYN to established.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_ms: Option<f64>,
    /// The handshake; absent for an http target.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_ms: Option<f64>,
    /// The request's first byte to its last, into the kernel; an addition of ours, which servers
    /// that do not know it pass over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_ms: Option<f64>,
    /// Request sent to first byte of the response.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_ttfb_ms: Option<f64>,
    /// First to last byte of the response's body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transfer_ms: Option<f64>,
    /// The whole measurement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_ms: Option<f64>,
}

/// The kernel's view of a TCP connection. Absent is "not known".
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct WireTcpInfo {
    /// Smoothed round trip, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtt_ms: Option<f64>,
    /// Shortest round trip, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min_rtt_ms: Option<f64>,
    /// Mean deviation of the round trips, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rttvar_ms: Option<f64>,
    /// Segments this end sent again, its SYN included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retrans: Option<u32>,
    /// Rate at which this end's bytes were acknowledged, kilobits a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_rate_kbps: Option<f64>,
    /// Time with bytes to send, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub busy_ms: Option<f64>,
    /// Of that, held up by the receiver's window.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rwnd_limited_ms: Option<f64>,
    /// Of that, held up by the sender's buffer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sndbuf_limited_ms: Option<f64>,
}

/// The transfers of a measurement, each way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct WireTransfers {
    /// From the target.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub download: Option<WireTransfer>,
    /// To the target.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upload: Option<WireTransfer>,
}

/// One transfer at its end, over all connections that carried it: retransmits, rates and times are
/// their sums, the shortest round trip is that of all of them, and the others are the worst.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct WireTransfer {
    /// How many carried it.
    pub connections: u32,
    /// The probe's side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probe: Option<WireTcpInfo>,
    /// The target's side, of those connections of which it told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<WireTcpInfo>,
}

/// Latency at rest and under load. Absent is "not measured".
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct WireLatency {
    /// Median round trip at rest, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idle_ms: Option<f64>,
    /// Median round trip under load, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loaded_ms: Option<f64>,
    /// Mean difference of consecutive round trips at rest, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jitter_ms: Option<f64>,
    /// Echoes that did not come back, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss_ratio: Option<f64>,
    /// Round trips a minute under load.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rpm: Option<f64>,
}
