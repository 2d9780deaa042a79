//! What the system says about names: `/etc/resolv.conf` and `/etc/hosts`, read again when they
//! change, because a laptop changes networks under a running probe.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use resolv_conf::ScopedIp;

/// Resolvers and the search list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    pub(super) ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

/// Names and addresses of `/etc/hosts`, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(Vec<(IpAddr, Vec<String>)>);

/// Both files.
#[derive(Debug)]
pub(super) struct System {
    resolv_conf: Watched<ResolvConf>,
    hosts: Watched<Hosts>,
}

impl System {
    /// The files under `/etc`, or under another directory in tests.
    pub(super) fn at(etc: &Path) -> Self {
        Self {
            resolv_conf: Watched::new(etc.join("resolv.conf"), parse_resolv_conf),
            hosts: Watched::new(etc.join("hosts"), parse_hosts),
        }
    }

    pub(super) fn resolv_conf(&self) -> Arc<ResolvConf> {
        self.resolv_conf.get()
    }

    /// The addresses the hosts file gives for a name; for localhost always the loopback ones
    /// (RFC 6761). Empty where the name is to be asked for.
    pub(super) fn hosts(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let found = self.hosts.get().addresses(name);
        let local = name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost");
        if found.is_empty() && local {
            return vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        }
        found
    }
}

impl Hosts {
    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let named = |names: &[String]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        self.0.iter().filter(|(_, names)| named(names)).map(|(ip, _)| *ip).collect()
    }
}

impl ResolvConf {
    /// The names to ask for, in order. A name with `ndots` dots or more is tried as it is
    /// first, others through the search list first; a name with a final dot only as it is.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let absolute = format!("{name}.");
        let searched = self.search.iter().map(|domain| match domain.trim_matches('.') {
            "" => absolute.clone(),
            domain => format!("{name}.{domain}."),
        });
        let mut names: Vec<String> = searched.collect();
        let first = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(first, absolute);
        let mut seen = Vec::new();
        names.retain(|n| {
            !seen.contains(n) && {
                seen.push(n.clone());
                true
            }
        });
        names
    }
}

fn parse_resolv_conf(text: &[u8]) -> ResolvConf {
    let (config, _lines_not_understood) = resolv_conf::Config::parse_with_errors(text);
    let servers = config.nameservers.iter().map(|server| match server {
        ScopedIp::V4(ip) => SocketAddr::new((*ip).into(), 53),
        ScopedIp::V6(ip, scope) => {
            let scope = scope.as_deref().map_or(0, scope_id);
            SocketAddr::V6(SocketAddrV6::new(*ip, 53, 0, scope))
        }
    });
    let mut servers: Vec<SocketAddr> = servers.collect();
    if servers.is_empty() {
        // What stub resolvers do without a nameserver line.
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
    }
    ResolvConf {
        servers,
        search: config.get_last_search_or_domain().cloned().collect(),
        ndots: usize::try_from(config.ndots).unwrap_or(1),
        timeout: Duration::from_secs(config.timeout.clamp(1, 30).into()),
        attempts: config.attempts.clamp(1, 5),
    }
}

/// The scope of a link-local resolver: a number, or an interface's name.
fn scope_id(scope: &str) -> u32 {
    scope.parse().ok().or_else(|| nix::net::if_::if_nametoindex(scope).ok()).unwrap_or(0)
}

fn parse_hosts(text: &[u8]) -> Hosts {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    Hosts(
        lines
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let ip = words.next()?.parse().ok()?;
                let names: Vec<String> = words.map(str::to_owned).collect();
                (!names.is_empty()).then_some((ip, names))
            })
            .collect(),
    )
}

/// A parsed file that is read again when its stamp changes. A file that is not there parses
/// as an empty one.
#[derive(Debug)]
struct Watched<T> {
    path: PathBuf,
    parse: fn(&[u8]) -> T,
    last: Mutex<Option<(Stamp, Arc<T>)>>,
}

type Stamp = Option<(SystemTime, u64)>;

impl<T> Watched<T> {
    fn new(path: PathBuf, parse: fn(&[u8]) -> T) -> Self {
        Self { path, parse, last: Mutex::new(None) }
    }

    fn get(&self) -> Arc<T> {
        let stamp: Stamp = fs::metadata(&self.path)
            .ok()
            .and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, parsed)) if *known == stamp => Arc::clone(parsed),
            _ => {
                let parsed = Arc::new((self.parse)(&fs::read(&self.path).unwrap_or_default()));
                *last = Some((stamp, Arc::clone(&parsed)));
                parsed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_gives_servers_in_order_and_the_search_list() {
        let conf = parse_resolv_conf(
            b"# made by hand\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nunknown x\n\
              search example.org corp.example.\noptions ndots:2 timeout:3 attempts:4\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(3), 4));
        assert_eq!(conf.candidates("a.b"), ["a.b.example.org.", "a.b.corp.example.", "a.b."]);
        assert_eq!(conf.candidates("a.b.c")[0], "a.b.c.");
        assert_eq!(conf.candidates("a."), ["a."]);
    }

    #[test]
    fn no_resolv_conf_means_the_local_resolver() {
        let conf = parse_resolv_conf(b"");
        assert_eq!(conf.servers, [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]);
        assert_eq!(conf.candidates("www.example.org")[0], "www.example.org.");
    }

    #[test]
    fn the_hosts_file_is_read_again_when_it_changes() {
        let etc = tempfile::tempdir().unwrap();
        let system = System::at(etc.path());
        assert!(system.hosts("printer").is_empty());
        assert_eq!(system.hosts("localhost"), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        let hosts = "192.0.2.7 printer PRINTER.lan # upstairs\n#192.0.2.8 printer\nnonsense\n";
        fs::write(etc.path().join("hosts"), hosts).unwrap();
        assert_eq!(system.hosts("printer.LAN."), [IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(system.hosts("printer"), [IpAddr::from([192, 0, 2, 7])]);
        fs::remove_file(etc.path().join("hosts")).unwrap();
        assert!(system.hosts("printer").is_empty());
    }
}
