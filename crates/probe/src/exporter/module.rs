//! The modules: what is measured how, by the names that set-ups use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::measure::SetupError;
use crate::{Families, Family, Options, Prober};

/// A way to measure, over whichever family connects first or over one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) what: What,
    pub(super) family: Option<Family>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum What {
    #[default]
    Http,
    Tcp,
    Tls,
    DnsUdp,
    DnsTcp,
    Icmp,
}

const NAMES: [(&str, What); 6] = [
    ("http_2xx", What::Http),
    ("tcp_connect", What::Tcp),
    ("tls_connect", What::Tls),
    ("dns_udp", What::DnsUdp),
    ("dns_tcp", What::DnsTcp),
    ("icmp", What::Icmp),
];

impl Module {
    pub(super) fn named(name: &str) -> Option<Self> {
        let (name, family) = match name.rsplit_once('_') {
            Some((name, "ip4")) => (name, Some(Family::V4)),
            Some((name, "ip6")) => (name, Some(Family::V6)),
            _ => (name, None),
        };
        let what = NAMES.into_iter().find(|(known, _)| *known == name)?.1;
        Some(Self { what, family })
    }

    pub(super) fn names() -> String {
        format!("{}; each with _ip4 or _ip6 behind it too", NAMES.map(|(name, _)| name).join(", "))
    }
}

/// As many redirects as blackbox_exporter follows.
const MAX_REDIRECTS: u32 = 10;

/// Different timeouts; those who scrape have one or two.
const MAX_KEPT: usize = 16;

/// Probers by family and timeout: reading certificates takes longer than measuring.
pub(super) struct Probers {
    options: Options,
    kept: Mutex<Vec<Kept>>,
}

/// A prober, with the family and the timeout it is for.
type Kept = (Option<Family>, Duration, Arc<Prober>);

impl Probers {
    pub(super) fn new(
        resolver: Option<SocketAddr>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, SetupError> {
        let options = Options {
            resolver,
            ca_file,
            max_redirects: MAX_REDIRECTS,
            throughput: false,
            ..Options::default()
        };
        // What is wrong with the certificates is told at the start.
        Prober::new(options.clone())?;
        Ok(Self { options, kept: Mutex::default() })
    }

    pub(super) fn of(
        &self,
        family: Option<Family>,
        timeout: Duration,
    ) -> Result<Arc<Prober>, SetupError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().find(|(f, t, _)| (*f, *t) == (family, timeout));
        if let Some((.., prober)) = known {
            return Ok(Arc::clone(prober));
        }
        let families = family.map_or(Families::Happy, Families::Only);
        let prober = Prober::new(Options { families, timeout, ..self.options.clone() })?;
        let prober = Arc::new(prober);
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push((family, timeout, Arc::clone(&prober)));
        Ok(prober)
    }
}
