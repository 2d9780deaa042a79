//! What can break, where, and what a classic diagnosis ought to call it.

use model::ErrorStage;
use model::diagnosis::Label;
use serde::{Deserialize, Serialize};

use super::random::Random;
use super::scenario::{Client, Scenario};

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
        }
    }

    /// What the classic labels call it. `None` where they have no name for it: a delay under the
    /// stage's floor, a rate above 0.7 of the usual, fewer failures than the half that makes an
    /// outage.
    pub fn label(self) -> Option<Label> {
        let outage = |stage, share: f64| (share >= 0.5).then_some(Label::Outage(stage));
        let above = |floor_ms: f64, add_ms: f64, label| (add_ms >= floor_ms).then_some(label);
        match self {
            Self::DnsDelay { add_ms } => above(15.0, add_ms, Label::DnsBound),
            Self::PathDelay { add_ms } => above(10.0, add_ms, Label::HandshakeBound),
            Self::TlsDelay { add_ms } => above(15.0, add_ms, Label::HandshakeBound),
            Self::ServerDelay { add_ms } => above(30.0, add_ms, Label::ServerBound),
            Self::SynLoss { .. } => Some(Label::HandshakeBound),
            Self::ServerTail { .. } => Some(Label::ServerBound),
            Self::SlowDrip { factor } | Self::RateLimit { factor } => {
                (factor <= 0.7).then_some(Label::ThroughputBound)
            }
            Self::Loss { .. } => Some(Label::ThroughputBound),
            Self::DnsServfail { share } => outage(ErrorStage::Dns, share),
            Self::OutageTcp { share } => outage(ErrorStage::Tcp, share),
            Self::Http5xx { share } => outage(ErrorStage::Http, share),
            Self::Cert => Some(Label::Outage(ErrorStage::Tls)),
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
            | Self::ServerDelay { add_ms } => delay(add_ms),
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
            Self::Target(target) => url == target,
            Self::Cell { client, target } => of.id == *client && url == target,
        }
    }
}

/// A kind of scope that a random fault may have.
#[derive(Clone, Copy)]
enum Where {
    Global,
    Site,
    Resolver,
    Client,
    Target,
    Cell,
}

/// What random faults are drawn from: kinds, magnitudes and scopes of the benchmark.
type Draw = (fn(&mut Random) -> FaultKind, &'static [Where]);
const DRAWS: [Draw; 13] = {
    use FaultKind as K;
    use Where::{Cell, Client, Global, Resolver, Site, Target};
    [
        (|r| K::DnsDelay { add_ms: ms(r, 60.0, 400.0) }, &[Resolver, Client]),
        (|r| K::DnsServfail { share: share(r, 0.5, 1.0) }, &[Resolver, Target]),
        (|r| K::SynLoss { share: share(r, 0.15, 0.5) }, &[Site, Target, Client]),
        (|r| K::PathDelay { add_ms: ms(r, 25.0, 150.0) }, &[Site, Client, Cell]),
        (|r| K::TlsDelay { add_ms: ms(r, 60.0, 300.0) }, &[Target]),
        (|r| K::ServerDelay { add_ms: ms(r, 120.0, 800.0) }, &[Target]),
        (|_| K::ServerTail { share: 0.3, from_ms: 500.0, to_ms: 2000.0 }, &[Target]),
        (|r| K::SlowDrip { factor: share(r, 0.1, 0.5) }, &[Target]),
        (|r| K::RateLimit { factor: share(r, 0.2, 0.6) }, &[Client, Site]),
        (|r| K::Loss { share: share(r, 0.01, 0.04) }, &[Site, Client, Cell]),
        (|r| K::OutageTcp { share: share(r, 0.5, 1.0) }, &[Target, Site, Global]),
        (|r| K::Http5xx { share: share(r, 0.3, 1.0) }, &[Target, Site, Global]),
        (|_| K::Cert, &[Target, Site, Global]),
    ]
};

fn ms(random: &mut Random, low: f64, high: f64) -> f64 {
    libm::round(random.between(low, high))
}

fn share(random: &mut Random, low: f64, high: f64) -> f64 {
    libm::round(random.between(low, high) * 1000.0) / 1000.0
}

/// Faults one after the other, every kind once before any comes again.
pub(super) fn random_faults(scenario: &Scenario, random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut deck: Vec<Draw> = Vec::new();
    let mut minute = 0;
    if scenario.clients.is_empty() || scenario.targets.is_empty() {
        return faults;
    }
    loop {
        if deck.is_empty() {
            deck.extend(DRAWS);
        }
        let from_minute = minute + random.whole(20, 35);
        let minutes = random.whole(8, 20);
        minute = from_minute + minutes;
        if minute > scenario.minutes {
            return faults;
        }
        let (kind, scopes) = deck.swap_remove(random.index(deck.len()));
        let kind = kind(random);
        let scope = random_scope(scenario, random, scopes);
        faults.push(Fault { kind, scope, from_minute, minutes });
    }
}

fn random_scope(scenario: &Scenario, random: &mut Random, scopes: &[Where]) -> Scope {
    let scope = scopes[random.index(scopes.len())];
    // A client is drawn for its site or resolver too, so that each counts by its size.
    let client = &scenario.clients[random.index(scenario.clients.len())];
    let target = &scenario.targets[random.index(scenario.targets.len())];
    match scope {
        Where::Global => Scope::Global,
        Where::Site => Scope::Site(client.site.clone()),
        Where::Resolver => Scope::Resolver(client.resolver.clone()),
        Where::Client => Scope::Client(client.id.clone()),
        Where::Target => Scope::Target(target.clone()),
        Where::Cell => Scope::Cell { client: client.id.clone(), target: target.clone() },
    }
}
