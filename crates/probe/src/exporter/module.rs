//! The modules: what is measured how, by the names that set-ups use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::measure::SetupError;
use crate::{Families, Family, Options, Prober};

/// A way to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Module {
    /// Over whichever family connects first.
    #[default]
    Any,
    Only(Family),
}

const NAMES: [(&str, Module); 3] = [
    ("http_2xx", Module::Any),
    ("http_2xx_ip4", Module::Only(Family::V4)),
    ("http_2xx_ip6", Module::Only(Family::V6)),
];

impl Module {
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, module)| module)
    }

    pub(super) fn names() -> [&'static str; 3] {
        NAMES.map(|(name, _)| name)
    }
}

/// As many redirects as blackbox_exporter follows.
const MAX_REDIRECTS: u32 = 10;

/// Different timeouts; those who scrape have one or two.
const MAX_KEPT: usize = 16;

/// Probers by module and timeout: reading certificates takes longer than measuring.
pub(super) struct Probers {
    options: Options,
    kept: Mutex<Vec<(Module, Duration, Arc<Prober>)>>,
}

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

    pub(super) fn of(&self, module: Module, timeout: Duration) -> Result<Arc<Prober>, SetupError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().find(|(m, t, _)| (*m, *t) == (module, timeout));
        if let Some((.., prober)) = known {
            return Ok(Arc::clone(prober));
        }
        let families = match module {
            Module::Any => Families::Happy,
            Module::Only(family) => Families::Only(family),
        };
        let prober = Prober::new(Options { families, timeout, ..self.options.clone() })?;
        let prober = Arc::new(prober);
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push((module, timeout, Arc::clone(&prober)));
        Ok(prober)
    }
}
