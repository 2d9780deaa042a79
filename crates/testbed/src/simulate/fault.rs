//! What can break, where, and what a classic diagnosis ought to call it.

use serde::{Deserialize, Serialize};

use super::scenario::Client;

mod draw;
mod label;
mod shape;

pub(super) use draw::random_faults;
pub use shape::Shape;

/// Something that breaks for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What breaks, and by how much.
    pub kind: FaultKind,
    /// For whom.
    pub scope: Scope,
    /// First minute, counted from the scenario's start.
    pub from_minute: u32,
    /// How long, minutes.
    pub minutes: u32,
    /// How it comes and goes meanwhile.
    #[serde(default, skip_serializing_if = "Shape::is_steady")]
    pub shape: Shape,
}

/// What breaks, and by how much. Shares and factors are of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// Every look-up takes longer.
    DnsDelay {
        /// Milliseconds more.
        add_ms: f64,
    },
    /// The resolver answers SERVFAIL.
    DnsServfail {
        /// Share of the look-ups.
        share: f64,
    },
    /// SYNs are lost: 1 s more for the first, 3 for the second, 7 for the third.
    SynLoss {
        /// Share of the SYNs.
        share: f64,
    },
    /// The path's round trip takes longer: TCP, TLS and the wait for the response.
    PathDelay {
        /// Milliseconds more a round trip.
        add_ms: f64,
    },
    /// The handshake takes longer.
    TlsDelay {
        /// Milliseconds more.
        add_ms: f64,
    },
    /// The server takes longer.
    ServerDelay {
        /// Milliseconds more.
        add_ms: f64,
    },
    /// The server takes far longer for some of the requests.
    ServerTail {
        /// Share of the requests.
        share: f64,
        /// Least milliseconds more.
        from_ms: f64,
        /// Most milliseconds more.
        to_ms: f64,
    },
    /// The server sends bodies slower.
    SlowDrip {
        /// Of the usual rate.
        factor: f64,
    },
    /// The line is capped.
    RateLimit {
        /// Of the usual rate.
        factor: f64,
    },
    /// Packets are lost.
    Loss {
        /// Share of the packets, on top of the usual.
        share: f64,
    },
    /// No connection is established.
    OutageTcp {
        /// Share of the attempts.
        share: f64,
    },
    /// The server answers 503.
    #[serde(rename = "http_5xx")]
    Http5xx {
        /// Share of the requests.
        share: f64,
    },
    /// The certificate has run out.
    Cert,
    /// The line answers late while it is loaded.
    Bufferbloat {
        /// Milliseconds more under load.
        add_ms: f64,
    },
}

/// Whom a fault touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// Every cell.
    Global,
    /// Every client of a site.
    Site(String),
    /// Every client of an ISP.
    Isp(String),
    /// Every client of a resolver.
    Resolver(String),
    /// One client, all targets.
    Client(String),
    /// One target, all clients.
    Target(String),
    /// One client and one target.
    Cell {
        /// The client's id.
        client: String,
        /// The target's URL.
        target: String,
    },
    /// One of the addresses of a target, all clients: those of their measurements that go there.
    Address {
        /// The target's URL.
        target: String,
        /// Which of its addresses, from 0.
        nth: u32,
    },
}

impl FaultKind {
    /// The name it has in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsDelay { .. } => "dns_delay",
            Self::DnsServfail { .. } => "dns_servfail",
            Self::SynLoss { .. } => "syn_loss",
            Self::PathDelay { .. } => "path_delay",
            Self::TlsDelay { .. } => "tls_delay",
            Self::ServerDelay { .. } => "server_delay",
            Self::ServerTail { .. } => "server_tail",
            Self::SlowDrip { .. } => "slow_drip",
            Self::RateLimit { .. } => "rate_limit",
            Self::Loss { .. } => "loss",
            Self::OutageTcp { .. } => "outage_tcp",
            Self::Http5xx { .. } => "http_5xx",
            Self::Cert => "cert",
            Self::Bufferbloat { .. } => "bufferbloat",
        }
    }

    /// How much, for a person.
    pub fn magnitude(self) -> String {
        let percent = |share: f64| format!("{} %", libm::round(share * 1000.0) / 10.0);
        match self {
            Self::DnsDelay { add_ms } => format!("+{add_ms} ms a look-up"),
            Self::DnsServfail { share } => format!("SERVFAIL for {}", percent(share)),
            Self::SynLoss { share } => format!("{} of SYNs lost", percent(share)),
            Self::PathDelay { add_ms } => format!("+{add_ms} ms a round trip"),
            Self::TlsDelay { add_ms } => format!("+{add_ms} ms a handshake"),
            Self::ServerDelay { add_ms } => format!("+{add_ms} ms a request"),
            Self::ServerTail { share, from_ms, to_ms } => {
                format!("+{from_ms} to {to_ms} ms for {} of requests", percent(share))
            }
            Self::SlowDrip { factor } => format!("bodies at {} of the usual rate", percent(factor)),
            Self::RateLimit { factor } => {
                format!("capped at {} of the usual rate", percent(factor))
            }
            Self::Loss { share } => format!("{} of packets lost", percent(share)),
            Self::OutageTcp { share } => format!("{} of connections fail", percent(share)),
            Self::Http5xx { share } => format!("503 for {} of requests", percent(share)),
            Self::Cert => "certificate out of date".to_owned(),
            Self::Bufferbloat { add_ms } => format!("+{add_ms} ms under load"),
        }
    }

    /// Whether every number is one that can be simulated.
    pub(super) fn is_sane(self) -> bool {
        let share = |s: f64| s > 0.0 && s <= 1.0;
        let delay = |ms: f64| (0.0..=60_000.0).contains(&ms);
        match self {
            Self::DnsDelay { add_ms }
            | Self::PathDelay { add_ms }
            | Self::TlsDelay { add_ms }
            | Self::ServerDelay { add_ms }
            | Self::Bufferbloat { add_ms } => delay(add_ms),
            Self::ServerTail { share: s, from_ms, to_ms } => {
                share(s) && delay(from_ms) && delay(to_ms) && from_ms <= to_ms
            }
            Self::DnsServfail { share: s }
            | Self::SynLoss { share: s }
            | Self::Loss { share: s }
            | Self::OutageTcp { share: s }
            | Self::Http5xx { share: s }
            | Self::SlowDrip { factor: s }
            | Self::RateLimit { factor: s } => share(s),
            Self::Cert => true,
        }
    }
}

impl Scope {
    /// Whether it takes in this client's measurements of this target.
    pub(super) fn holds(&self, of: &Client, url: &str) -> bool {
        match self {
            Self::Global => true,
            Self::Site(site) => of.site == *site,
            Self::Isp(isp) => of.isp == *isp,
            Self::Resolver(resolver) => of.resolver == *resolver,
            Self::Client(client) => of.id == *client,
            Self::Target(target) | Self::Address { target, .. } => url == target,
            Self::Cell { client, target } => of.id == *client && url == target,
        }
    }

    /// Whether it takes in what goes to this one of a target's addresses.
    pub(super) fn holds_address(&self, address: usize) -> bool {
        match self {
            Self::Address { nth, .. } => *nth as usize == address,
            _ => true,
        }
    }

    /// What kind of thing it is, and which one. Those without a name have an empty one, and an
    /// address the one it is given.
    pub(super) fn named(&self, address: impl Fn(&str, u32) -> String) -> ScopeName {
        let (kind, id) = match self {
            Self::Global => ("global", String::new()),
            Self::Site(id) => ("site", id.clone()),
            Self::Isp(id) => ("isp", id.clone()),
            Self::Resolver(id) => ("resolver", id.clone()),
            Self::Client(id) => ("client", id.clone()),
            Self::Target(id) => ("target", id.clone()),
            Self::Cell { client, target } => ("cell", format!("{client} {target}")),
            Self::Address { target, nth } => ("address", address(target, *nth)),
        };
        ScopeName { kind: kind.to_owned(), id }
    }
}

/// The name of a scope, as a diagnosis would tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScopeName {
    /// `global`, `site`, `isp`, `resolver`, `client`, `target`, `address` or `cell`.
    pub kind: String,
    /// Which one; of a cell the client and the target with a space between, of `global` nothing.
    pub id: String,
}

impl ScopeName {
    /// Whether it takes in what this client measures of this address of this target.
    pub(super) fn holds(&self, client: &Client, target: &str, address: &str) -> bool {
        match self.kind.as_str() {
            "global" => true,
            "site" => client.site == self.id,
            "isp" => client.isp == self.id,
            "resolver" => client.resolver == self.id,
            "client" => client.id == self.id,
            "target" => target == self.id,
            "address" => address == self.id,
            "cell" => self.id.split_once(' ') == Some((client.id.as_str(), target)),
            _ => false,
        }
    }
}
