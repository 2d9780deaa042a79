//! The agent: measures its targets on a schedule and ships the events.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::echo::EchoOptions;
use crate::measure::{Options, Prober};
use crate::{Identity, Measurement};
use canary::Canary;
use load::Loader;
use queue::Queue;
use schedule::{Grid, Pace};
use spool::Spool;
use trouble::Trouble;

mod answer;
mod args;
mod canary;
mod client;
mod files;
pub(crate) mod fuzzing;
mod gap;
mod load;
mod offset;
mod queue;
mod schedule;
mod ship;
mod spool;
#[cfg(test)]
mod testing;
mod trouble;

pub use args::Agent;
pub use load::LoadPlan;
pub use spool::{Bounds, SpoolError};

/// What is measured, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What.
    pub url: Url,
    /// Time from one measurement of it to its next; `None` for as often as the others.
    pub interval: Option<Duration>,
}

impl From<Url> for Target {
    fn from(url: Url) -> Self {
        Self { url, interval: None }
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
    let prober = Arc::new(Prober::new(config.options.clone())?);
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
            target,
            prober: Arc::clone(&prober),
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

/// How long stopping tries to ship what is left.
const DRAIN: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
struct Ticks {
    measured: AtomicU64,
    missed: AtomicU64,
    troubled: AtomicU64,
}

/// One target and its clock. Each has a task of its own, so a slow one delays no other.
struct Watch {
    target: Target,
    prober: Arc<Prober>,
    canary: Arc<Canary>,
    config: Arc<Config>,
    observer: Option<Observer>,
    counters: Arc<ship::Counters>,
    queue: Option<Arc<Queue>>,
    ticks: Arc<Ticks>,
    loader: Option<Arc<Loader>>,
}

impl Watch {
    async fn run(self, shutdown: CancellationToken) {
        let interval = self.target.interval.unwrap_or(self.config.interval).max(MIN_INTERVAL);
        let mut grid =
            Grid::new(tokio::time::Instant::now(), interval, rand::random(), rand::random());
        let mut pace = Pace::new(self.config.throughput_every);
        let watching = async {
            loop {
                tokio::time::sleep_until(grid.next()).await;
                let throughput = pace.due(tokio::time::Instant::now());
                let (mut all, troubles) = self.canary.beside(self.measure(throughput)).await;
                if let (Some(loader), Some(last), true) =
                    (&self.loader, all.last_mut(), troubles.is_empty())
                {
                    loader.run(&self.prober, last, &self.config.identity).await;
                }
                for measurement in &all {
                    self.tell(measurement, &troubles);
                }
                let missed = grid.advance(tokio::time::Instant::now());
                if missed > 0 {
                    self.tell_missed(missed);
                }
            }
        };
        // What is being measured when the end comes is given up: it would be half a measurement.
        shutdown.run_until_cancelled(watching).await;
    }

    /// A measurement, or one of each family, the last with its echoes.
    async fn measure(&self, throughput: bool) -> Vec<Measurement> {
        let mut all = self.prober.measure_all(&self.target.url, throughput).await;
        if let (Some(last), Some(echo)) = (all.last_mut(), &self.config.echo) {
            self.prober.echo(last, echo).await;
        }
        all
    }

    fn tell_missed(&self, missed: u64) {
        let before = self.ticks.missed.fetch_add(missed, Ordering::Relaxed);
        // The first is told, then every hundredth: a target that hangs misses them all.
        if before == 0 || before / 100 != (before + missed) / 100 {
            tracing::warn!(
                target_url = %self.target.url,
                missed = before + missed,
                "measurements were not made: the one before was not done yet"
            );
        }
    }

    fn tell(&self, measurement: &Measurement, troubles: &[Trouble]) {
        self.ticks.measured.fetch_add(1, Ordering::Relaxed);
        self.ticks.troubled.fetch_add(u64::from(!troubles.is_empty()), Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer(measurement);
        }
        if let Some(queue) = &self.queue {
            let mut event = measurement.to_event(&self.config.identity);
            event.probe_trouble = troubles.iter().map(|t| t.as_str().to_owned()).collect();
            event.clock_offset_ms = self.counters.clock_offset_ms();
            queue.push(&event);
        }
    }
}

/// A target is not measured more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

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
