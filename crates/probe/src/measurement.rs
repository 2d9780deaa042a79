//! What one measurement found. Absent is "no such stage" or "not measured", never zero.

use std::net::SocketAddr;
use std::time::Duration;

use model::wire::{WireEvent, WireTimings, WireTransfers};
use url::Url;
use uuid::Uuid;

use crate::echo::Echoes;
use crate::{Failure, Identity, VERSION};

mod attempt;
mod latency;
mod lookup;
mod quic;
mod server_timing;
pub(crate) mod sides;
mod transport;

pub use attempt::Attempt;
pub use latency::{Confidence, Latency, Terms};
pub use lookup::Lookup;
pub use quic::QuicPath;
pub use server_timing::ServerTiming;
pub use transport::{TcpInfo, Transport};

/// One measurement of one target.
///
/// Each duration is that of its own stage on the first connection; with [`Measurement::residual`]
/// they add up to `total`. Throughput has a connection of its own and is in none of them.
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
    /// Of `tls`, what this machine took itself: keys, certificate checks, waking up.
    pub tls_local: Option<Duration>,
    /// The request's first byte to its last, into the kernel.
    pub request: Option<Duration>,
    /// The request's last byte handed to the kernel, to first byte of the response.
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
    /// `1.0`, `1.1`, `2` or `3`.
    pub http_version: Option<&'static str>,
    /// Bytes of the response's body that were read.
    pub body_bytes: Option<u64>,
    /// Whether the body was read to its end; false where it is longer than the limit.
    pub body_complete: bool,
    /// The address that was connected to, or tried last.
    pub remote_addr: Option<SocketAddr>,
    /// The address it was connected from.
    pub local_addr: Option<SocketAddr>,
    /// The resolver that answered.
    pub dns_server: Option<SocketAddr>,
    /// What it said, a question each.
    pub lookups: Vec<Lookup>,
    /// The addresses that were tried, in the order they were.
    pub attempts: Vec<Attempt>,
    /// The kernel's view of the first connection.
    pub transport: Transport,
    /// What QUIC says of the path, over HTTP/3.
    pub quic: Option<QuicPath>,
    /// What the server says of its own time.
    pub server_timing: Vec<ServerTiming>,
    /// Where the response sends the reader. Following it is a measurement of its own.
    pub location: Option<Url>,
    /// The session, where the handshake completed.
    pub tls_session: Option<Tls>,
    /// The server's certificate, also where it was not accepted.
    pub certificate: Option<Certificate>,
    /// Download goodput. Absent where it was not asked for or the target does not offer the
    /// object; partial (`complete` false) where it ran out of time.
    pub throughput: Option<Throughput>,
    /// Why throughput failed; the timings above stand.
    pub throughput_failure: Option<Failure>,
    /// Upload goodput, where it was asked for and the target takes uploads.
    pub upload: Option<Throughput>,
    /// Why the upload failed.
    pub upload_failure: Option<Failure>,
    /// What both ends' kernels saw of the connections that carried a transfer.
    pub transfers: WireTransfers,
    /// Latency at rest and under load, where that was asked for.
    pub latency: Option<Latency>,
    /// Small packets there and back, where that was asked for.
    pub echoes: Option<Echoes>,
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
    /// All certificates that were shown, DER, this one first.
    pub shown: Vec<Vec<u8>>,
}

/// Goodput of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// Application bits a second, first body byte to last; of a test that goes on for a while the
    /// median over it, without its ramp-up.
    pub bits_per_second: u64,
    /// What was exceeded for nine tenths of such a test.
    pub low_bits_per_second: Option<u64>,
    /// Body bytes moved.
    pub bytes: u64,
    /// Segments this end sent again: of an upload those of its load. Absent where nobody asked.
    pub retransmits: Option<u32>,
    /// From the first body byte to the last, or to the time limit.
    pub duration: Duration,
    /// False where it ran out of time, or of the bytes it might move.
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
            tls_local: None,
            request: None,
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
            local_addr: None,
            dns_server: None,
            lookups: Vec::new(),
            attempts: Vec::new(),
            transport: Transport::default(),
            quic: None,
            server_timing: Vec::new(),
            location: None,
            tls_session: None,
            certificate: None,
            throughput: None,
            throughput_failure: None,
            upload: None,
            upload_failure: None,
            transfers: WireTransfers::default(),
            latency: None,
            echoes: None,
        }
    }

    /// The failure that the event tells: of the first connection, else of throughput.
    pub fn any_failure(&self) -> Option<&Failure> {
        let transfers = || self.throughput_failure.as_ref().or(self.upload_failure.as_ref());
        self.failure.as_ref().or_else(transfers)
    }

    /// The stages, in their order, with their names.
    pub fn stages(&self) -> [(&'static str, Option<Duration>); 6] {
        [
            ("dns", self.dns),
            ("tcp", self.tcp),
            ("tls", self.tls),
            ("request", self.request),
            ("ttfb", self.ttfb),
            ("transfer", self.transfer),
        ]
    }

    /// How long attempts that did not bring the connection held up the one that did.
    pub fn attempts_before(&self) -> Duration {
        let connected = self.attempts.iter().find(|attempt| attempt.connected());
        connected.map_or(Duration::ZERO, |attempt| attempt.started)
    }

    /// What of the total is in no stage: attempts at other addresses, keys made before the
    /// handshake, waking up. With the stages it adds up to the total.
    pub fn residual(&self) -> Option<Duration> {
        let stages = self.stages().iter().filter_map(|(_, time)| *time).sum();
        self.total.map(|total| total.saturating_sub(stages))
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
            network_context: identity
                .network_context(self.local_addr.map(|a| a.ip()), self.remote_addr.map(|a| a.ip())),
            timings: WireTimings {
                dns_ms: self.dns.map(ms),
                tcp_ms: self.tcp.map(ms),
                tls_ms: self.tls.map(ms),
                request_ms: self.request.map(ms),
                http_ttfb_ms: self.ttfb.map(ms),
                transfer_ms: self.transfer.map(ms),
                total_ms: self.total.map(ms),
            },
            throughput_kbps: self.throughput.map(|t| bits_to_kbps(t.bits_per_second)),
            upload_kbps: self.upload.map(|t| bits_to_kbps(t.bits_per_second)),
            error_stage: failure.map(|f| f.stage),
            error_type: failure.map(|f| f.kind.to_owned()),
            traceparent: None,
            http_status: self.status,
            // The contract knows no 1.0, and an event that says so would be refused.
            http_version: self.http_version.filter(|v| *v != "1.0").map(str::to_owned),
            ip_family: self.remote_addr.map(|a| if a.is_ipv4() { 4 } else { 6 }),
            remote_addr: self.remote_addr.map(|a| a.ip().to_string()),
            dns_server: self.dns_server.map(|a| a.to_string()),
            tls_version: session.map(|t| t.version.to_owned()),
            tls_cipher: session.map(|t| t.cipher.clone()),
            alpn: session.and_then(|t| t.alpn.clone()),
            cert_expires_ms: self.certificate.as_ref().map(|c| c.expires_ms),
            tcp_info: self.transport.last().map(TcpInfo::wire),
            transfers: Some(self.transfers).filter(|all| *all != WireTransfers::default()),
            latency: latency::wire(self.latency.as_ref(), self.echoes.as_ref()),
            probe_version: Some(VERSION.to_owned()),
            clock_offset_ms: None,
            probe_trouble: Vec::new(),
            gap: None,
            labels: identity.labels.clone(),
        }
    }
}

/// Milliseconds in whole microseconds, the finest the platform counts in.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a measurement are far below 2^53")]
pub(crate) fn ms(duration: Duration) -> f64 {
    let micros = (duration.as_nanos() + 500) / 1_000;
    micros as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
pub(crate) fn bits_to_kbps(bits: u64) -> f64 {
    bits as f64 / 1e3
}
