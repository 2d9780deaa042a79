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
use std::time::Duration;

use hickory_proto::rr::Name;
use model::ErrorStage;
use tokio::time::Instant as Deadline;
use url::Host;

use super::system::System;
use crate::failure::{Failure, kind};
use questions::Questions;

mod questions;

/// How long a second family is awaited when the first has brought addresses: the resolution
/// delay of RFC 8305.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// What a named resolver gets: stub resolvers' defaults.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 2;

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
    /// Carries the plan out, within the deadline.
    pub(crate) async fn run(self, deadline: Deadline) -> Lookup {
        match self {
            Self::Known(addresses) => Lookup { addresses, ..Lookup::default() },
            Self::Impossible(failure) => Lookup { failure: Some(failure), ..Lookup::default() },
            Self::Ask(questions) => questions.ask(deadline).await,
        }
    }
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
