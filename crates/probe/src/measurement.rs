//! What one measurement found. Absent is "no such stage" or "not measured", never zero.

use std::net::SocketAddr;
use std::time::Duration;

use model::wire::{WireEvent, WireTimings};
use url::Url;
use uuid::Uuid;

use crate::{Failure, Identity, VERSION};

/// One measurement of one target.
///
/// Each duration is that of its own stage on the first connection; those that are present sum
/// to at most `total`. Throughput has a connection of its own and is in none of them.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Becomes the event's id (version 7), so an event made twice is one event.
    pub id: Uuid,
    /// What was measured.
    pub target: Url,
    /// Start, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Query sent to the answer needed for connecting. Absent for a literal address and for a
    /// name the hosts file answers.
    pub dns: Option<Duration>,
    /// Queries that had to be sent again; their waiting is part of `dns`.
    pub dns_retries: u32,
    /// SYN to established, of the attempt that succeeded.
    pub tcp: Option<Duration>,
    /// ClientHello to the handshake's end; absent for an http target.
    pub tls: Option<Duration>,
    /// Request handed to the kernel to first byte of the response.
    pub ttfb: Option<Duration>,
    /// First byte of the response to the last byte of its body.
    pub transfer: Option<Duration>,
    /// Start of the look-up to the end of the body, measured and not summed. Absent where no
    /// response was read to its end.
    pub total: Option<Duration>,
    /// Start of the look-up to the end of the work on the first connection, failed or not.
    pub elapsed: Duration,
    /// Why it failed, on the first connection.
    pub failure: Option<Failure>,
    /// Status of the response.
    pub status: Option<u16>,
    /// `1.1` or `2`.
    pub http_version: Option<&'static str>,
    /// Bytes of the response's body that were read.
    pub body_bytes: Option<u64>,
    /// Whether the body was read to its end; false where it is longer than the limit.
    pub body_complete: bool,
    /// The address that was connected to, or tried last.
    pub remote_addr: Option<SocketAddr>,
    /// The resolver that answered.
    pub dns_server: Option<SocketAddr>,
    /// The session, where the handshake completed.
    pub tls_session: Option<Tls>,
    /// The server's certificate, also where it was not accepted.
    pub certificate: Option<Certificate>,
    /// Download goodput. Absent where it was not asked for or the target does not offer the
    /// object; partial (`complete` false) where it ran out of time.
    pub throughput: Option<Throughput>,
    /// Why throughput failed; the timings above stand.
    pub throughput_failure: Option<Failure>,
}

/// What the handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub cipher: String,
    /// Protocol chosen by ALPN.
    pub alpn: Option<String>,
}

/// What a person wants to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Start of its validity, milliseconds since the Unix epoch.
    pub starts_ms: i64,
    /// End of its validity, milliseconds since the Unix epoch.
    pub expires_ms: i64,
    /// Names and addresses it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// Whether it names itself as its issuer.
    pub self_issued: bool,
}

/// Goodput of the fixed object's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// Application bits a second, first body byte to last.
    pub bits_per_second: u64,
    /// Body bytes read.
    pub bytes: u64,
    /// From the first body byte to the last, or to the time limit.
    pub duration: Duration,
    /// False where it ran out of time.
    pub complete: bool,
}

impl Measurement {
    /// A measurement of which nothing is known yet.
    pub(crate) fn started(target: &Url, started_ms: i64) -> Self {
        Self {
            id: Uuid::now_v7(),
            target: target.clone(),
            started_ms,
            dns: None,
            dns_retries: 0,
            tcp: None,
            tls: None,
            ttfb: None,
            transfer: None,
            total: None,
            elapsed: Duration::ZERO,
            failure: None,
            status: None,
            http_version: None,
            body_bytes: None,
            body_complete: false,
            remote_addr: None,
            dns_server: None,
            tls_session: None,
            certificate: None,
            throughput: None,
            throughput_failure: None,
        }
    }

    /// The failure that the event tells: of the first connection, else of throughput.
    pub fn any_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.throughput_failure.as_ref())
    }

    /// The event, version 1.1. The same measurement gives the same event.
    pub fn to_event(&self, identity: &Identity) -> WireEvent {
        let failure = self.any_failure();
        let session = self.tls_session.as_ref();
        WireEvent {
            event_id: self.id,
            client_id: identity.client_id.clone(),
            ts_ms: self.started_ms,
            recv_ts_ms: None,
            schema_version: "1.1".to_owned(),
            target: self.target.to_string(),
            network_context: identity.network_context(self.remote_addr.map(|a| a.ip())),
            timings: WireTimings {
                dns_ms: self.dns.map(ms),
                tcp_ms: self.tcp.map(ms),
                tls_ms: self.tls.map(ms),
                http_ttfb_ms: self.ttfb.map(ms),
                transfer_ms: self.transfer.map(ms),
                total_ms: self.total.map(ms),
            },
            throughput_kbps: self.throughput.map(|t| bits_to_kbps(t.bits_per_second)),
            error_stage: failure.map(|f| f.stage),
            error_type: failure.map(|f| f.kind.to_owned()),
            http_status: self.status,
            http_version: self.http_version.map(str::to_owned),
            ip_family: self.remote_addr.map(|a| if a.is_ipv4() { 4 } else { 6 }),
            remote_addr: self.remote_addr.map(|a| a.ip().to_string()),
            dns_server: self.dns_server.map(|a| a.to_string()),
            tls_version: session.map(|t| t.version.to_owned()),
            tls_cipher: session.map(|t| t.cipher.clone()),
            alpn: session.and_then(|t| t.alpn.clone()),
            cert_expires_ms: self.certificate.as_ref().map(|c| c.expires_ms),
            probe_version: Some(VERSION.to_owned()),
            labels: identity.labels.clone(),
        }
    }
}

/// Milliseconds in whole microseconds, the finest the platform counts in.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a measurement are far below 2^53")]
fn ms(duration: Duration) -> f64 {
    let micros = (duration.as_nanos() + 500) / 1_000;
    micros as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
fn bits_to_kbps(bits: u64) -> f64 {
    bits as f64 / 1e3
}
