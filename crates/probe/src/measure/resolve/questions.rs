//! Asking: every name in turn, every server in turn, again where there was silence.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use model::ErrorStage;
use tokio::time::Instant as Deadline;

use super::Lookup;
use crate::failure::{Failure, kind};
use crate::measure::exchange::{Exchange, Heard};

/// What there is to ask, and whom.
#[derive(Debug)]
pub(crate) struct Questions {
    pub(super) names: Vec<Name>,
    pub(super) servers: Vec<SocketAddr>,
    pub(super) attempts: u32,
    pub(super) try_timeout: Duration,
}

impl Questions {
    /// Asks until there are addresses, or nobody is left to ask, or time is out.
    pub(super) async fn ask(self, deadline: Deadline) -> Lookup {
        let mut lookup = Lookup::default();
        let mut asked = Asked::default();
        // The name as it was given: a search list only makes names longer.
        let given = self.names.iter().min_by_key(|name| name.num_labels());
        for name in &self.names {
            let outcome = self.ask_for(name, deadline, &mut asked).await;
            lookup.retries = asked.retries;
            match outcome {
                Outcome::Found { addresses, arrived, server } => {
                    lookup.addresses = addresses;
                    lookup.time = asked.first.map(|sent| arrived.saturating_duration_since(sent));
                    lookup.server = Some(server);
                    lookup.failure = None;
                    return lookup;
                }
                Outcome::Absent(failure, server) => {
                    lookup.server = Some(server);
                    if lookup.failure.is_none() || given == Some(name) {
                        lookup.failure = Some(failure);
                    }
                }
                Outcome::Failed(failure, server) => {
                    lookup.server = server;
                    lookup.failure = Some(failure);
                    return lookup;
                }
            }
        }
        lookup
    }

    /// Asks every server in turn, then those that were silent again.
    async fn ask_for(&self, name: &Name, deadline: Deadline, asked: &mut Asked) -> Outcome {
        let mut servers: Vec<(SocketAddr, Option<Exchange>)> =
            self.servers.iter().map(|s| (*s, None)).collect();
        let mut failed = None;
        let mut silent = None;
        for attempt in 0..self.attempts {
            let mut i = 0;
            while i < servers.len() {
                let rounds_left = usize::try_from(self.attempts - attempt).unwrap_or(1);
                let tries_left = rounds_left * servers.len() - i;
                let until = self.share(deadline, tries_left);
                let (server, exchange) = &mut servers[i];
                let server = *server;
                if silent.is_some() && until > Deadline::now() {
                    asked.retries += 1;
                }
                let tried = try_server(server, exchange, name, until).await;
                asked.first = asked.first.or(exchange.as_ref().and_then(Exchange::sent));
                match tried {
                    Tried::Answered(outcome) => return outcome,
                    Tried::Silent => {
                        silent = Some(server);
                        i += 1;
                    }
                    Tried::Failed(failure, answered) => {
                        failed = Some((failure, answered.then_some(server)));
                        servers.remove(i);
                    }
                }
            }
        }
        match (failed, silent) {
            (Some((failure, server)), None) => Outcome::Failed(failure, server),
            (_, Some(server)) => Outcome::Failed(
                Failure::new(
                    ErrorStage::Dns,
                    kind::DNS_TIMEOUT,
                    format!("no answer from {server} for {name}"),
                ),
                None,
            ),
            (None, None) => Outcome::Failed(
                Failure::new(ErrorStage::Dns, kind::DNS_FAILED, "no resolver to ask"),
                None,
            ),
        }
    }

    /// An equal share of the time that is left, but no more than the resolver's own timeout.
    fn share(&self, deadline: Deadline, tries_left: usize) -> Deadline {
        let now = Deadline::now();
        let tries = u32::try_from(tries_left).unwrap_or(u32::MAX).max(1);
        now + (deadline.saturating_duration_since(now) / tries).min(self.try_timeout)
    }
}

/// What has been sent so far.
#[derive(Debug, Default)]
struct Asked {
    /// The first query of all, where the clock of the stage starts.
    first: Option<Instant>,
    retries: u32,
}

/// How one name fared.
enum Outcome {
    Found {
        addresses: Vec<IpAddr>,
        arrived: Instant,
        server: SocketAddr,
    },
    /// The name is not there, or has no address: another name of the search list may be.
    Absent(Failure, SocketAddr),
    Failed(Failure, Option<SocketAddr>),
}

/// How one try with one server ended.
enum Tried {
    Answered(Outcome),
    Silent,
    /// The server can't be used; whether it answered at all.
    Failed(Failure, bool),
}

async fn try_server(
    server: SocketAddr,
    exchange: &mut Option<Exchange>,
    name: &Name,
    until: Deadline,
) -> Tried {
    let unreachable = |e: std::io::Error| {
        let detail = format!("cannot reach {server}: {e}");
        Tried::Failed(Failure::new(ErrorStage::Dns, kind::DNS_UNREACHABLE, detail), false)
    };
    let exchange = match exchange {
        Some(open) => open,
        None => match Exchange::open(server, name) {
            Ok(open) => exchange.insert(open),
            Err(e) => return unreachable(e),
        },
    };
    match exchange.run(until).await {
        Ok(heard) => judge(heard, name, server),
        Err(e) => unreachable(e),
    }
}

/// What the answers of both families say together.
fn judge(heard: Heard, name: &Name, server: SocketAddr) -> Tried {
    let dns = |kind, what: String| Failure::new(ErrorStage::Dns, kind, what);
    let absent = |failure| Tried::Answered(Outcome::Absent(failure, server));
    if let (false, Some(arrived)) = (heard.addresses.is_empty(), heard.arrived) {
        return Tried::Answered(Outcome::Found { addresses: heard.addresses, arrived, server });
    }
    if heard.no_such_name {
        return absent(dns(kind::DNS_NXDOMAIN, format!("{server} knows no {name}")));
    }
    if let Some(code) = heard.error {
        let kind =
            if code == ResponseCode::ServFail { kind::DNS_SERVFAIL } else { kind::DNS_FAILED };
        let code = format!("{server} answers \"{code}\" for {name}");
        return Tried::Failed(dns(kind, code), true);
    }
    if heard.malformed {
        let what = format!("{server} answers what cannot be read for {name}");
        return Tried::Failed(dns(kind::DNS_FAILED, what), true);
    }
    if heard.complete {
        let what = format!("{name} has no address, says {server}");
        return absent(dns(kind::DNS_NAME_NOT_RESOLVED, what));
    }
    Tried::Silent
}
