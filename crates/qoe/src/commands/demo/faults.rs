//! How the demo's target behaves when it is well, and the four ways in which it is broken.

use ::probe::Measurement;
use model::diagnosis::Label;
use testbed::target::{DnsFault, FaultError, FaultSet, Faults, HttpFault, Listener, TlsFault};

/// A target that is well: a resolver 6 ms away, a handshake of 8 ms, a server that thinks for
/// 25 ms and sends at 200 Mbit/s.
const DNS_MS: u64 = 6;
const TLS_MS: u64 = 8;
const SERVER_MS: u64 = 25;
const RATE_BPS: u64 = 200_000_000;

/// The same in words.
pub(super) const WELL: &str = "DNS 6 ms, TLS 8 ms, server 25 ms, 200 Mbit/s";

/// One way in which the target is broken while the demo looks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveFault {
    Dns,
    Tls,
    Server,
    Rate,
}

impl LiveFault {
    /// In the order in which they come.
    pub(super) const ALL: [Self; 4] = [Self::Dns, Self::Tls, Self::Server, Self::Rate];

    /// The label a diagnosis must give it.
    pub(super) fn label(self) -> Label {
        match self {
            Self::Dns => Label::DnsBound,
            Self::Tls => Label::HandshakeBound,
            Self::Server => Label::ServerBound,
            Self::Rate => Label::ThroughputBound,
        }
    }

    /// What it shows in, for a person.
    pub(super) fn measure(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Tls => "TLS",
            Self::Server => "the wait for the server",
            Self::Rate => "throughput",
        }
    }

    /// The same of one measurement, in milliseconds or kbit/s.
    pub(super) fn value(self, m: &Measurement) -> Option<f64> {
        let ms = |took: Option<std::time::Duration>| Some(took?.as_secs_f64() * 1e3);
        match self {
            Self::Dns => ms(m.dns),
            Self::Tls => ms(m.tls),
            Self::Server => ms(m.ttfb),
            #[expect(clippy::cast_precision_loss, reason = "drawn with eight levels")]
            Self::Rate => m.throughput.map(|t| t.bits_per_second as f64 / 1e3),
        }
    }

    /// The name of its kind, as in a simulated truth.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Dns => "dns_delay",
            Self::Tls => "tls_delay",
            Self::Server => "server_delay",
            Self::Rate => "rate_limit",
        }
    }

    /// What is done, for a person.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Dns => "each DNS answer held back by 200 ms more",
            Self::Tls => "each TLS handshake held back by 150 ms more",
            Self::Server => "each response held back by 250 ms more",
            Self::Rate => "bodies sent at a tenth of the rate",
        }
    }

    /// Breaks the target in this way, and only in this way.
    pub(super) fn inject(self, faults: &Faults) -> Result<(), FaultError> {
        match self {
            Self::Dns => apply(faults, DNS_MS + 200, TLS_MS, SERVER_MS, RATE_BPS),
            Self::Tls => apply(faults, DNS_MS, TLS_MS + 150, SERVER_MS, RATE_BPS),
            Self::Server => apply(faults, DNS_MS, TLS_MS, SERVER_MS + 250, RATE_BPS),
            Self::Rate => apply(faults, DNS_MS, TLS_MS, SERVER_MS, RATE_BPS / 10),
        }
    }
}

/// Has the target behave as when it is well.
pub(super) fn mend(faults: &Faults) -> Result<(), FaultError> {
    apply(faults, DNS_MS, TLS_MS, SERVER_MS, RATE_BPS)
}

fn apply(
    faults: &Faults,
    dns_ms: u64,
    tls_ms: u64,
    server_ms: u64,
    rate_bps: u64,
) -> Result<(), FaultError> {
    faults.set(Listener::Dns, DnsFault { delay_ms: dns_ms, ..DnsFault::default() })?;
    let tls = TlsFault { delay_ms: tls_ms, ..TlsFault::default() };
    let http = HttpFault { delay_ms: server_ms, rate_bps: Some(rate_bps), ..HttpFault::default() };
    faults.set(Listener::Https, FaultSet { tls, http, ..FaultSet::default() })
}
