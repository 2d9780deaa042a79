//! What is broken, one at a time, and what should be told of it.

use serde_json::{Value, json};

/// What a fault should be told to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All clients ask the one resolver.
    Resolver,
    /// The first of the two targets.
    Shop,
    /// The three clients behind the link.
    Branch,
    /// The one client of a world whose line is loaded.
    Client,
}

impl Scope {
    /// As an incident has it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Shop => "target",
            Self::Branch => "site",
            Self::Client => "client",
        }
    }
}

/// How it is done.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// Faults of a listener of the first target, which is the resolver too.
    Target(&'static str, Value),
    /// A line to the emulator.
    Link(&'static str),
}

/// One fault.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    /// The label it should be told by.
    pub(super) label: &'static str,
    pub(super) scope: Scope,
    pub(super) how: How,
    /// What is measured for it to be seen.
    pub(super) seen: Seen,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// By measurements of every client and target.
    Idle,
    /// On a slow line that its one client loads every minute.
    Loaded,
}

impl Seen {
    /// The link when it is well: 10 ms each way.
    pub(super) fn link(self) -> &'static str {
        match self {
            Self::Idle => "delay 10 loss 0 rate 80 queue 256",
            Self::Loaded => "delay 10 loss 0 rate 10 queue 32",
        }
    }

    /// Minutes until enough is known of what is usual: 60 transfers, or 20 tests that load the line (about
    /// one in 80 s), and five minutes before the last of them counts.
    pub(super) fn before(self) -> i64 {
        match self {
            Self::Idle => 12,
            Self::Loaded => 32,
        }
    }

    /// Minutes that a fault is there.
    pub(super) fn minutes(self) -> i64 {
        match self {
            Self::Idle => 3,
            Self::Loaded => 25,
        }
    }
}

/// The listeners when they are well: a resolver and handshakes of 5 ms, a server that thinks for 20 ms.
const RESOLVER_MS: u64 = 5;
const TLS_MS: u64 = 5;
const SERVER_MS: u64 = 20;

/// A listener when it is well.
pub(super) fn well(listener: &str) -> Value {
    match listener {
        "dns" => json!({ "dns": { "delay_ms": RESOLVER_MS } }),
        _ => json!({ "tls": { "delay_ms": TLS_MS }, "http": { "delay_ms": SERVER_MS } }),
    }
}

/// All of them. Transfers are few, so faults that show in them alone come last, when more is known of
/// what is usual.
pub(super) fn all() -> Vec<Fault> {
    use Scope::{Branch, Resolver, Shop};
    let dns = |name, label, fault| {
        let how = How::Target("dns", json!({ "dns": fault }));
        Fault { name, label, scope: Resolver, how, seen: Seen::Idle }
    };
    let https = |name, label, faults| {
        let how = How::Target("https", faults);
        Fault { name, label, scope: Shop, how, seen: Seen::Idle }
    };
    let link = |name, label, line| {
        let how = How::Link(line);
        Fault { name, label, scope: Branch, how, seen: Seen::Idle }
    };
    vec![
        dns("dns-delay", "dns-bound", json!({ "delay_ms": RESOLVER_MS + 100 })),
        https("tls-delay", "handshake-bound", json!({ "tls": { "delay_ms": TLS_MS + 100 } })),
        https("server-delay", "server-bound", json!({ "http": { "delay_ms": SERVER_MS + 150 } })),
        link("link-delay", "path-delay", "delay 40"),
        link("link-loss", "path/loss-bound", "loss 0.03"),
        https(
            "server-tail",
            "server-bound",
            json!({ "http": { "delay_ms": SERVER_MS + 800, "delay_every": 5 } }),
        ),
        dns("dns-servfail", "outage:dns", json!({ "answer": "servfail" })),
        dns("dns-nxdomain", "outage:dns", json!({ "answer": "nxdomain" })),
        dns("dns-silence", "outage:dns", json!({ "answer": "silence" })),
        https("tcp-refuse", "outage:tcp", json!({ "tcp": { "accept": "refuse" } })),
        // What answers a SYN is connected to; the handshake is what fails.
        https("tcp-reset", "outage:tls", json!({ "tcp": { "accept": "reset" } })),
        https("tcp-stall", "outage:tls", json!({ "tcp": { "accept": "stall" } })),
        https("cert-expired", "certificate", json!({ "tls": { "certificate": "expired" } })),
        https(
            "cert-self-signed",
            "certificate",
            json!({ "tls": { "certificate": "self_signed" } }),
        ),
        https("cert-wrong-host", "certificate", json!({ "tls": { "certificate": "wrong_host" } })),
        https("http-503", "outage:http", json!({ "http": { "status": 503 } })),
        https("http-truncated", "outage:http", json!({ "http": { "truncate_at": 1 } })),
        https("server-rate", "throughput-bound", json!({ "http": { "rate_bps": 8_000_000 } })),
        link("link-rate", "throughput-bound", "rate 16 queue 64"),
        // A fifth of a second of packets before a line that had room for 26 ms of them.
        Fault {
            scope: Scope::Client,
            seen: Seen::Loaded,
            ..link("link-queue", "bufferbloat", "queue 256")
        },
    ]
}

/// What a listener is to be set to: what it has when it is well, but for the fault.
pub(super) fn broken(listener: &str, fault: &Value) -> Value {
    let mut all = well(listener);
    for (part, settings) in fault.as_object().into_iter().flatten() {
        for (key, value) in settings.as_object().into_iter().flatten() {
            all[part][key] = value.clone();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use model::diagnosis::Label;
    use testbed::target::FaultSet;

    use super::*;

    #[test]
    fn every_fault_is_one_the_target_knows_and_every_label_one_of_ours() {
        for fault in all() {
            assert!(fault.label.parse::<Label>().is_ok(), "{}", fault.name);
            if let How::Target(listener, change) = &fault.how {
                let set = broken(listener, change);
                let parsed = serde_json::from_value::<FaultSet>(set.clone());
                assert!(parsed.is_ok_and(|set| set != FaultSet::default()), "{set}");
                assert_ne!(set, well(listener), "{}", fault.name);
            }
        }
    }
}
