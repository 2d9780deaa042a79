//! The agent: measures its targets on a schedule and ships the events.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use crate::measure::Options;
use crate::{Identity, Measurement};

mod args;
pub use args::Agent;

/// What the agent does.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to measure.
    pub targets: Vec<Url>,
    /// Time from one measurement of a target to its next.
    pub interval: Duration,
    /// Time from one throughput measurement of a target to its next; `None` for never, zero
    /// for with every measurement.
    pub throughput_every: Option<Duration>,
    /// How to measure.
    pub options: Options,
    /// Who measures.
    pub identity: Identity,
    /// Where events go; `None` only shows them to the observer.
    pub ingest: Option<Ingest>,
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
    /// Events the ingest has acknowledged.
    pub shipped: u64,
    /// Events the ingest refused for good.
    pub refused: u64,
    /// Events dropped because the queue was full.
    pub dropped: u64,
    /// Events still unsent at the end.
    pub unsent: u64,
}

/// Measures until `shutdown`, then tries for three seconds to ship what is left.
pub async fn run(
    _config: Config,
    _observer: Option<Observer>,
    shutdown: CancellationToken,
) -> anyhow::Result<Summary> {
    shutdown.cancelled().await;
    Ok(Summary::default())
}
