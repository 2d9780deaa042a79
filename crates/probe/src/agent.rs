//! The agent: measures its targets on a schedule and ships the events.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::echo::EchoOptions;
use crate::family::Families;
use crate::measure::{Options, Prober, SetupError};
use crate::{Identity, Measurement};
use canary::Canary;
use load::Loader;
use queue::Queue;
use spool::Spool;
use watch::{Ticks, Watch};

mod answer;
mod args;
mod canary;
mod client;
mod file;
mod files;
pub(crate) mod fuzzing;
mod gap;
mod load;
mod metered;
mod metrics;
mod offset;
mod queue;
mod schedule;
mod ship;
mod spool;
#[cfg(test)]
mod testing;
mod trouble;
mod values;
mod watch;

pub use args::Agent;
pub use file::{Fault, FileError};
pub use load::LoadPlan;
pub use spool::{Bounds, SpoolError};

/// What is measured, and what is particular to it: `None` is as it is for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What.
    pub url: Url,
    /// Time from one measurement of it to its next.
    pub interval: Option<Duration>,
    /// Limit for one measurement.
    pub timeout: Option<Duration>,
    /// Over which address families.
    pub families: Option<Families>,
    /// When its throughput is measured.
    pub throughput: Option<Transfers>,
    /// How many echoes go with each measurement; 0 for none.
    pub echo: Option<u16>,
}

/// When throughput is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfers {
    /// Never.
    Never,
    /// At most every so often; zero for with every measurement.
    Every(Duration),
}

impl From<Url> for Target {
    fn from(url: Url) -> Self {
        Self { url, interval: None, timeout: None, families: None, throughput: None, echo: None }
    }
}

/// What the agent does.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to measure.
    pub targets: Vec<Target>,
    /// Time from one measurement of a target to its next, where the target has none of its own.
    pub interval: Duration,
    /// Time from one throughput measurement of a target to its next; `None` for never, zero
    /// for with every measurement.
    pub throughput_every: Option<Duration>,
    /// Echoes to send with each measurement.
    pub echo: Option<EchoOptions>,
    /// When to load the line; `None` for never.
    pub load: Option<LoadPlan>,
    /// How to measure.
    pub options: Options,
    /// Who measures.
    pub identity: Identity,
    /// Share of the measurements whose traces servers are asked to keep, 0 to 1.
    pub trace_share: f64,
    /// Where Prometheus is told how the probe fares; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where events go; `None` only shows them to the observer.
    pub ingest: Option<Ingest>,
    /// The folder they wait in; `None` for in memory, where they are lost with the process.
    pub spool: Option<PathBuf>,
    /// How much waits there.
    pub bounds: Bounds,
}

/// Where events go.
#[derive(Clone)]
pub struct Ingest {
    /// The server's address; without a path `/v1/events` is meant.
    pub url: Url,
    /// The bearer token, never shown.
    pub token: Option<String>,
    /// Certificates (PEM) to trust beside the built-in ones.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("url", &self.url.as_str())
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// Sees every measurement as it ends, before it is shipped. Must not block.
pub type Observer = Arc<dyn Fn(&Measurement) + Send + Sync>;

/// What became of the events of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Measurements made.
    pub measured: u64,
    /// Ticks that fell while the measurement before was still running.
    pub missed: u64,
    /// Measurements made while the probe itself was in trouble.
    pub troubled: u64,
    /// Events the ingest has acknowledged.
    pub shipped: u64,
    /// Events the ingest refused for good.
    pub refused: u64,
    /// Events lost for want of room.
    pub dropped: u64,
    /// Events still unsent at the end.
    pub unsent: u64,
}

/// Measures until `shutdown`, then tries for three seconds to ship what is left.
///
/// # Errors
/// The certificates cannot be read, the ingest's address is none, or another process has the spool.
pub async fn run(
    config: Config,
    observer: Option<Observer>,
    shutdown: CancellationToken,
) -> anyhow::Result<Summary> {
    let telling = match config.metrics {
        Some(addr) => Some(metrics::listen(addr).await?),
        None => None,
    };
    let mut probers = Probers::new(config.options.clone())?;
    let queue = Arc::new(queue_of(config.spool.as_deref(), config.bounds)?);
    let counters = Arc::new(ship::Counters::default());
    // Measuring has to end before shipping can.
    let drain = CancellationToken::new();
    let shipping = match &config.ingest {
        Some(ingest) => {
            warn_of_clear_text(ingest);
            let client = client::Client::new(ingest)?;
            let shipper =
                ship::run(client, Arc::clone(&queue), Arc::clone(&counters), drain.clone());
            Some(tokio::spawn(shipper))
        }
        None => None,
    };

    files::raise_limit(config.targets.len());
    let state_dir = crate::identity::default_state_dir();
    let loader = config.load.map(|plan| Arc::new(Loader::new(plan, state_dir.as_deref())));
    let ticks = Arc::new(Ticks::default());
    let canary = Arc::new(Canary::new(config.options.resolver));
    let mut measuring = JoinSet::new();
    let config = Arc::new(config);
    for target in config.targets.clone() {
        let watch = Watch {
            prober: probers.of(&target)?,
            target,
            canary: Arc::clone(&canary),
            config: Arc::clone(&config),
            observer: observer.clone(),
            counters: Arc::clone(&counters),
            queue: shipping.is_some().then(|| Arc::clone(&queue)),
            ticks: Arc::clone(&ticks),
            loader: loader.clone(),
        };
        measuring.spawn(watch.run(shutdown.clone()));
    }
    if let Some(listener) = telling {
        let (ticks, counters) = (Arc::clone(&ticks), Arc::clone(&counters));
        let told = metrics::Told { ticks, counters, queue: Arc::clone(&queue) };
        tokio::spawn(metrics::tell(listener, told, shutdown.clone()));
    }
    shutdown.cancelled().await;
    measuring.join_all().await;
    if let Some(mut shipping) = shipping {
        drain.cancel();
        if tokio::time::timeout(DRAIN, &mut shipping).await.is_err() {
            shipping.abort();
            let _ = shipping.await;
        }
    }

    queue.close();
    let summary = Summary {
        measured: ticks.measured.load(Ordering::Relaxed),
        missed: ticks.missed.load(Ordering::Relaxed),
        troubled: ticks.troubled.load(Ordering::Relaxed),
        shipped: counters.shipped.load(Ordering::Relaxed),
        refused: counters.refused.load(Ordering::Relaxed),
        dropped: queue.lost(),
        unsent: queue.len(),
    };
    if summary.unsent > 0 {
        match &config.spool {
            Some(dir) => tracing::info!(
                events = summary.unsent,
                "stopped; what is unsent waits in {}",
                dir.display()
            ),
            None => tracing::warn!(events = summary.unsent, "stopped with events unsent"),
        }
    }
    Ok(summary)
}

/// A disk that can't be used keeps nobody from measuring.
fn queue_of(spool: Option<&Path>, bounds: Bounds) -> Result<Queue, SpoolError> {
    let opened = spool.map(|dir| Spool::open(dir, bounds)).transpose();
    match opened {
        Ok(Some(spool)) => return Ok(Queue::spooled(spool)),
        Ok(None) => {}
        Err(error @ SpoolError::InUse { .. }) => return Err(error),
        Err(error) => tracing::warn!("{error}; events wait in memory, and are lost with it"),
    }
    Ok(Queue::in_memory(queue::CAPACITY))
}

/// What measures, shared by all targets that are measured alike.
struct Probers {
    options: Options,
    made: Vec<(Duration, Families, Arc<Prober>)>,
}

impl Probers {
    /// Makes the one that measures where a target says nothing of its own.
    fn new(options: Options) -> Result<Self, SetupError> {
        let first = Arc::new(Prober::new(options.clone())?);
        Ok(Self { made: vec![(options.timeout, options.families, first)], options })
    }

    fn of(&mut self, target: &Target) -> Result<Arc<Prober>, SetupError> {
        let timeout = target.timeout.unwrap_or(self.options.timeout);
        let families = target.families.unwrap_or(self.options.families);
        let known = self.made.iter().find(|made| (made.0, made.1) == (timeout, families));
        if let Some((.., prober)) = known {
            return Ok(Arc::clone(prober));
        }
        let options = Options { timeout, families, ..self.options.clone() };
        let prober = Arc::new(Prober::new(options)?);
        self.made.push((timeout, families, Arc::clone(&prober)));
        Ok(prober)
    }
}

/// How long stopping tries to ship what is left.
const DRAIN: Duration = Duration::from_secs(3);

fn warn_of_clear_text(ingest: &Ingest) {
    let loopback = match ingest.url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if ingest.token.is_some() && ingest.url.scheme() == "http" && !loopback {
        tracing::warn!("the token goes to {} unencrypted; use https", ingest.url);
    }
}
