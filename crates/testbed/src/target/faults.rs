//! What can go wrong, as plain data.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of the target whose faults are switched on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listener {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
    /// DNS over UDP and TCP.
    Dns,
    /// Small datagrams sent back.
    Echo,
}

impl Listener {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Dns, Self::Echo];

    /// `http`, `https`, `dns` or `echo`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Dns => "dns",
            Self::Echo => "echo",
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Listener {
    type Err = UnknownListener;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|listener| listener.name() == name)
            .ok_or_else(|| UnknownListener(name.to_owned()))
    }
}

/// A name that is none of [`Listener::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown listener {0:?}: http, https, dns or echo")]
pub struct UnknownListener(pub String);

/// All faults of one listener. The default is none: everything works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSet {
    /// On the DNS listener only.
    pub dns: DnsFault,
    /// On any listener but that of echoes; on the DNS listener it is for DNS over TCP.
    pub tcp: TcpFault,
    /// On the HTTPS listener only.
    pub tls: TlsFault,
    /// On the HTTP and HTTPS listeners.
    pub http: HttpFault,
    /// On the echo listener only.
    pub echo: EchoFault,
}

/// What happens to a DNS query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsFault {
    /// How long each answer is held back.
    pub delay_ms: u64,
    /// What is answered.
    pub answer: DnsAnswer,
}

/// What a DNS query is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsAnswer {
    /// What the zone says.
    #[default]
    Ok,
    /// SERVFAIL, whatever is asked.
    Servfail,
    /// NXDOMAIN, whatever is asked.
    Nxdomain,
    /// Nothing: the query is read and dropped.
    Silence,
}

/// What happens to a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpFault {
    /// What becomes of a new connection.
    pub accept: Accept,
}

/// What becomes of a new TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// It is served.
    #[default]
    Ok,
    /// Nobody listens: the kernel refuses it. The port stays taken, and is listened on again when the
    /// fault is cleared.
    Refuse,
    /// It is accepted and reset at once.
    Reset,
    /// It is accepted and never sent anything.
    Stall,
}

/// What happens to a TLS handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFault {
    /// How long the answer to the ClientHello is held back.
    pub delay_ms: u64,
    /// Which certificate is shown.
    pub certificate: Certificate,
}

/// The certificate that is shown in a TLS handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// Valid, for the target's names, signed by its authority.
    #[default]
    Good,
    /// As the good one, but its validity ended yesterday.
    Expired,
    /// For the target's names, signed by its own key.
    SelfSigned,
    /// Valid and signed by the authority, for `wrong-host.invalid` alone.
    WrongHost,
}

/// What happens to an HTTP request. Connections that are already open see it on their next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpFault {
    /// How long the first byte of a response is held back.
    pub delay_ms: u64,
    /// Each response of so many is, 5 for each fifth, counted from the target's start; 0: every one.
    pub delay_every: u64,
    /// What is answered instead of the page, 200 to 599; absent: the page.
    pub status: Option<u16>,
    /// Pace of each body (responses and uploads), bits a second; absent: as fast as it goes.
    pub rate_bps: Option<u64>,
    /// Bytes after which a longer response body ends, short of its Content-Length.
    pub truncate_at: Option<u64>,
}

/// What happens to echo requests. They are counted from the target's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EchoFault {
    /// Each request of so many is lost, 5 for each fifth; 0: none.
    pub lose_every: u64,
    /// Each request of so many is answered late; 0: none.
    pub delay_every: u64,
    /// How late.
    pub delay_ms: u64,
}

impl From<DnsFault> for FaultSet {
    fn from(dns: DnsFault) -> Self {
        Self { dns, ..Self::default() }
    }
}

impl From<TcpFault> for FaultSet {
    fn from(tcp: TcpFault) -> Self {
        Self { tcp, ..Self::default() }
    }
}

impl From<TlsFault> for FaultSet {
    fn from(tls: TlsFault) -> Self {
        Self { tls, ..Self::default() }
    }
}

impl From<HttpFault> for FaultSet {
    fn from(http: HttpFault) -> Self {
        Self { http, ..Self::default() }
    }
}

impl From<EchoFault> for FaultSet {
    fn from(echo: EchoFault) -> Self {
        Self { echo, ..Self::default() }
    }
}

impl FaultSet {
    /// Whether these faults make sense on `listener`: a fault that could never be seen is an error,
    /// not a fault that silently does nothing.
    pub(super) fn check(&self, listener: Listener) -> Result<(), FaultError> {
        let applies = [
            ("dns", listener == Listener::Dns || self.dns == DnsFault::default()),
            ("tls", listener == Listener::Https || self.tls == TlsFault::default()),
            (
                "http",
                matches!(listener, Listener::Http | Listener::Https)
                    || self.http == HttpFault::default(),
            ),
            ("tcp", listener != Listener::Echo || self.tcp == TcpFault::default()),
            ("echo", listener == Listener::Echo || self.echo == EchoFault::default()),
        ];
        if let Some((key, _)) = applies.into_iter().find(|(_, applies)| !applies) {
            return Err(FaultError::DoesNotApply { key, listener });
        }
        let delays = [
            ("dns.delay_ms", self.dns.delay_ms),
            ("tls.delay_ms", self.tls.delay_ms),
            ("http.delay_ms", self.http.delay_ms),
            ("echo.delay_ms", self.echo.delay_ms),
        ];
        if let Some((key, _)) = delays.into_iter().find(|(_, ms)| *ms > MAX_DELAY_MS) {
            return Err(FaultError::OutOfRange { key, range: "0 to 600000 ms" });
        }
        if self.http.status.is_some_and(|status| !STATUS.contains(&status)) {
            return Err(FaultError::OutOfRange { key: "http.status", range: "200 to 599" });
        }
        if self.http.rate_bps.is_some_and(|rate| rate < MIN_RATE_BPS) {
            return Err(FaultError::OutOfRange { key: "http.rate_bps", range: "8 bit/s or more" });
        }
        Ok(())
    }
}

/// Ten minutes: longer than any timeout a probe would have.
const MAX_DELAY_MS: u64 = 600_000;

/// What a response can say.
pub(super) const STATUS: RangeInclusive<u16> = 200..=599;

/// One byte a second.
pub(super) const MIN_RATE_BPS: u64 = 8;

/// Why a set of faults was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The target has no such listener, or has been stopped.
    #[error("the target does not serve {0}")]
    NotServed(Listener),
    /// The fault could never be seen there.
    #[error("{key} faults do not apply to the {listener} listener")]
    DoesNotApply {
        /// Key of the fault in the JSON form.
        key: &'static str,
        /// Where it was to be set.
        listener: Listener,
    },
    /// A number too small or too large.
    #[error("{key} out of range: {range}")]
    OutOfRange {
        /// Path of the number in the JSON form.
        key: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// The port could not be listened on again after `refuse`.
    #[error("listen on {addr} again: {source}")]
    Listen {
        /// The listener's address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl FaultError {
    /// The key of the JSON form that is to blame, if one is.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::DoesNotApply { key, .. } | Self::OutOfRange { key, .. } => Some(key),
            Self::NotServed(_) | Self::Listen { .. } => None,
        }
    }
}
