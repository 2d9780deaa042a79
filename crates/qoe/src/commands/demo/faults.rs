//! How the demo's target behaves when it is well, and the three ways in which it is broken.

use std::time::Duration;

use ::probe::Measurement;
use model::ErrorStage;
use model::diagnosis::Label;
use testbed::target::{
    Accept, DnsFault, FaultError, FaultSet, Faults, HttpFault, Listener, TcpFault, TlsFault,
};

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
    Server,
    Refusal,
}

impl LiveFault {
    /// In the order in which they come.
    pub(super) const ALL: [Self; 3] = [Self::Dns, Self::Server, Self::Refusal];

    /// The label a diagnosis must give it.
    pub(super) fn label(self) -> Label {
        match self {
            Self::Dns => Label::DnsBound,
            Self::Server => Label::ServerBound,
            Self::Refusal => Label::Outage(ErrorStage::Tcp),
        }
    }

    /// What it shows in, for a person.
    pub(super) fn measure(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Server => "the wait for the server",
            Self::Refusal => "the connect",
        }
    }

    /// The same of one measurement, in milliseconds; absent where it failed.
    pub(super) fn value(self, m: &Measurement) -> Option<f64> {
        let ms = |took: Option<Duration>| Some(took?.as_secs_f64() * 1e3);
        match self {
            Self::Dns => ms(m.dns),
            Self::Server => ms(m.ttfb),
            Self::Refusal => ms(m.tcp),
        }
    }

    /// The name of its kind, as in a simulated truth.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Dns => "dns_delay",
            Self::Server => "server_delay",
            Self::Refusal => "outage_tcp",
        }
    }

    /// What is done, for a person.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Dns => "each DNS answer held back by 200 ms more",
            Self::Server => "each response held back by 250 ms more",
            Self::Refusal => "no connection is taken any more",
        }
    }

    /// How long it lasts: a level that changed is believed after two minutes, a failure after one.
    pub(super) fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Self::Dns | Self::Server => 120,
            Self::Refusal => 60,
        })
    }

    /// Breaks the target in this way, and only in this way.
    pub(super) fn inject(self, faults: &Faults) -> Result<(), FaultError> {
        let taken = Accept::default();
        match self {
            Self::Dns => apply(faults, DNS_MS + 200, taken, SERVER_MS),
            Self::Server => apply(faults, DNS_MS, taken, SERVER_MS + 250),
            Self::Refusal => apply(faults, DNS_MS, Accept::Refuse, SERVER_MS),
        }
    }
}

/// Has the target behave as when it is well.
pub(super) fn mend(faults: &Faults) -> Result<(), FaultError> {
    apply(faults, DNS_MS, Accept::default(), SERVER_MS)
}

fn apply(faults: &Faults, dns_ms: u64, accept: Accept, server_ms: u64) -> Result<(), FaultError> {
    faults.set(Listener::Dns, DnsFault { delay_ms: dns_ms, ..DnsFault::default() })?;
    let tls = TlsFault { delay_ms: TLS_MS, ..TlsFault::default() };
    let (tcp, rate_bps) = (TcpFault { accept }, Some(RATE_BPS));
    let http = HttpFault { delay_ms: server_ms, rate_bps, ..HttpFault::default() };
    faults.set(Listener::Https, FaultSet { tcp, tls, http, ..FaultSet::default() })
}
