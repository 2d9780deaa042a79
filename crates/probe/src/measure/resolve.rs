//! The look-up: our own queries over our own sockets, so that what is timed is the query and
//! its answer and nothing else.
//!
//! A and AAAA are asked at once. The stage ends when both are answered; where one has brought
//! addresses, the other is awaited [`GRACE`] longer and no more, and a wait that brings nothing
//! is not charged to the resolver. A query that stays unanswered is sent again (to the next
//! server, where there is one), and the waiting is part of the stage, as it is for any program
//! on this machine.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use model::ErrorStage;
use tokio::time::Instant as Deadline;
use url::Host;

use super::exchange::{Exchange, Heard};
use super::system::System;
use crate::failure::{Failure, kind};
use crate::family::Family;
use crate::measurement::Lookup as Asked;

/// How long a second family is awaited when the first has brought addresses: the resolution
/// delay of RFC 8305.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// What a named resolver gets: stub resolvers' defaults.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 2;

const BOTH: [Family; 2] = [Family::V4, Family::V6];

/// Knows whom to ask.
#[derive(Debug)]
pub(crate) struct Resolver {
    named: Option<SocketAddr>,
    system: System,
}

/// How a host becomes addresses. Made before the clock starts: reading files is the probe's
/// own work.
#[derive(Debug)]
pub(crate) enum Plan {
    /// A literal address, or one the hosts file gives: there is no look-up to time.
    Known(Vec<IpAddr>),
    /// Names to ask for, servers to ask, tries.
    Ask(Questions),
    /// No query can hold this name.
    Impossible(Failure),
}

#[derive(Debug)]
pub(crate) struct Questions {
    names: Vec<Name>,
    servers: Vec<SocketAddr>,
    attempts: u32,
    try_timeout: Duration,
    families: Vec<Family>,
}

/// What a look-up brought.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    pub(crate) addresses: Vec<IpAddr>,
    /// First query to the last answer that was needed; absent where none was.
    pub(crate) time: Option<Duration>,
    /// Who answered.
    pub(crate) server: Option<SocketAddr>,
    /// Queries sent again for want of an answer.
    pub(crate) retries: u32,
    /// The questions that decided it, each apart.
    pub(crate) asked: Vec<Asked>,
    pub(crate) failure: Option<Failure>,
}

impl Resolver {
    /// A named resolver, or the system's. With a named one, the hosts file and the search list
    /// have no say.
    pub(crate) fn new(named: Option<SocketAddr>) -> Self {
        Self::with_etc(named, Path::new("/etc"))
    }

    fn with_etc(named: Option<SocketAddr>, etc: &Path) -> Self {
        Self { named, system: System::at(etc) }
    }

    /// How this host becomes addresses.
    pub(crate) fn plan(&self, host: &Host<&str>) -> Plan {
        let name = match host {
            Host::Ipv4(ip) => return Plan::Known(vec![(*ip).into()]),
            Host::Ipv6(ip) => return Plan::Known(vec![(*ip).into()]),
            Host::Domain(name) => name,
        };
        let questions = match self.named {
            Some(server) => {
                let absolute =
                    if name.ends_with('.') { (*name).to_owned() } else { format!("{name}.") };
                parse_names(&[absolute]).map(|names| Questions {
                    names,
                    servers: vec![server],
                    attempts: ATTEMPTS,
                    try_timeout: TRY_TIMEOUT,
                    families: BOTH.to_vec(),
                })
            }
            None => {
                let known = self.system.hosts(name);
                if !known.is_empty() {
                    return Plan::Known(known);
                }
                let conf = self.system.resolv_conf();
                parse_names(&conf.candidates(name)).map(|names| Questions {
                    names,
                    servers: conf.servers.clone(),
                    attempts: conf.attempts,
                    try_timeout: conf.timeout,
                    families: BOTH.to_vec(),
                })
            }
        };
        match questions {
            Ok(questions) => Plan::Ask(questions),
            Err(failure) => Plan::Impossible(failure),
        }
    }
}

impl Plan {
    /// The same for one family alone.
    pub(crate) fn limited_to(self, family: Family) -> Self {
        match self {
            Self::Known(mut addresses) => {
                addresses.retain(|address| Family::of(*address) == family);
                if addresses.is_empty() {
                    let what = format!("the host is known here, but has no {family} address");
                    let kind = kind::DNS_NAME_NOT_RESOLVED;
                    return Self::Impossible(Failure::new(ErrorStage::Dns, kind, what));
                }
                Self::Known(addresses)
            }
            Self::Ask(questions) => Self::Ask(Questions { families: vec![family], ..questions }),
            Self::Impossible(failure) => Self::Impossible(failure),
        }
    }

    /// Carries the plan out, within the deadline.
    pub(crate) async fn run(self, deadline: Deadline) -> Lookup {
        match self {
            Self::Known(addresses) => Lookup { addresses, ..Lookup::default() },
            Self::Impossible(failure) => Lookup { failure: Some(failure), ..Lookup::default() },
            Self::Ask(questions) => questions.ask(deadline).await,
        }
    }
}

/// What is counted over all names, servers and tries.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// When the first query was handed to the kernel: opening a socket is the probe's own work.
    pub(super) asked: Option<Instant>,
    retries: u32,
    /// What was asked last.
    questions: Vec<Asked>,
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

impl Questions {
    async fn ask(self, deadline: Deadline) -> Lookup {
        let mut tally = Tally::default();
        let mut lookup = self.ask_for_all(deadline, &mut tally).await;
        lookup.retries = tally.retries;
        lookup.asked = tally.questions;
        lookup
    }

    async fn ask_for_all(&self, deadline: Deadline, tally: &mut Tally) -> Lookup {
        let mut lookup = Lookup::default();
        // The name as it was given: a search list only makes names longer.
        let given = self.names.iter().min_by_key(|name| name.num_labels());
        for name in &self.names {
            match self.ask_for(name, deadline, tally).await {
                Outcome::Found { addresses, arrived, server } => {
                    lookup.addresses = addresses;
                    lookup.time = tally.asked.map(|asked| arrived.saturating_duration_since(asked));
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
    async fn ask_for(&self, name: &Name, deadline: Deadline, tally: &mut Tally) -> Outcome {
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
                    tally.retries += 1;
                }
                match self.try_server(server, exchange, name, until, tally).await {
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

    async fn try_server(
        &self,
        server: SocketAddr,
        exchange: &mut Option<Exchange>,
        name: &Name,
        until: Deadline,
        tally: &mut Tally,
    ) -> Tried {
        let unreachable = |e: std::io::Error| {
            let detail = format!("cannot reach {server}: {e}");
            Tried::Failed(Failure::new(ErrorStage::Dns, kind::DNS_UNREACHABLE, detail), false)
        };
        let exchange = match exchange {
            Some(open) => open,
            None => match Exchange::open(server, name, &self.families) {
                Ok(open) => exchange.insert(open),
                Err(e) => return unreachable(e),
            },
        };
        match exchange.run(until, tally).await {
            Ok(mut heard) => {
                tally.questions = std::mem::take(&mut heard.lookups);
                judge(heard, name, server, &self.families)
            }
            Err(e) => unreachable(e),
        }
    }

    /// An equal share of the time that is left, but no more than the resolver's own timeout.
    fn share(&self, deadline: Deadline, tries_left: usize) -> Deadline {
        let now = Deadline::now();
        let tries = u32::try_from(tries_left).unwrap_or(u32::MAX).max(1);
        now + (deadline.saturating_duration_since(now) / tries).min(self.try_timeout)
    }
}

/// How one try with one server ended.
enum Tried {
    Answered(Outcome),
    Silent,
    /// The server can't be used; whether it answered at all.
    Failed(Failure, bool),
}

/// What the answers of both families say together.
fn judge(heard: Heard, name: &Name, server: SocketAddr, families: &[Family]) -> Tried {
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
        let what = match families {
            [only] => format!("{name} has no {only} address, says {server}"),
            _ => format!("{name} has no address, says {server}"),
        };
        return absent(dns(kind::DNS_NAME_NOT_RESOLVED, what));
    }
    Tried::Silent
}

fn parse_names(texts: &[String]) -> Result<Vec<Name>, Failure> {
    let given = texts.last().cloned().unwrap_or_default();
    let names: Vec<Name> = texts.iter().filter_map(|t| Name::from_ascii(t).ok()).collect();
    if names.is_empty() {
        let detail = format!("`{}` is not a name DNS can hold", given.trim_end_matches('.'));
        return Err(Failure::new(ErrorStage::Dns, kind::DNS_NAME_NOT_RESOLVED, detail));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
