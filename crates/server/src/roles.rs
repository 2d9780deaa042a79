//! The roles, wired. The only place that knows them all: [`all_in_one`] for one machine, and
//! [`ingest()`], [`aggregator()`], [`diagnoser()`] and [`api()`] for many, over a bus and a shared
//! store.
//!
//! A role of the latter kind listens at once, waits for its servers as long as it takes, and says
//! on `/-/ready` what it waits for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::aggregator::{self, Aggregator, WriterThreads};
use crate::bus::{self, Bus, BusError};
use crate::store::{Class, Location, Store, StoreError};
use crate::trace::{self, Tracer};

mod aggregate;
mod all_in_one;
mod diagnose;
mod door;
mod horizon;
mod serve;
mod take;
mod tell;

pub use aggregate::{Aggregating, aggregator};
pub use all_in_one::{AllInOne, LOCAL_INGEST_TOKEN, LOCAL_READ_TOKEN, all_in_one};
pub use diagnose::{Diagnosing, diagnoser};
pub use door::Door;
pub use horizon::{Horizon, KEEP_IDS, days};
pub use serve::{Serving, api};
pub use take::{Taking, ingest};

use door::Served;

/// Between two attempts to reach a server.
const PAUSE: Duration = Duration::from_secs(1);

/// Where traces go: to the collector that is named, if one is.
fn tracer(collector: Option<&trace::Endpoint>, role: &'static str) -> anyhow::Result<Tracer> {
    collector.map(|endpoint| Tracer::to(endpoint, role)).transpose().map(Option::unwrap_or_default)
}

/// Sends the traces that wait.
async fn finish(tracer: Tracer) {
    // It waits for the collector, and a thread of the runtime is to send them.
    let _ = tokio::task::spawn_blocking(move || tracer.finish()).await;
}

/// The store, once its server answers and has tables; `None` where it was told to stop before.
async fn store(
    location: &Location,
    served: &Served,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let open = || async {
        let location = location.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(location)).await;
        opened.unwrap_or(Err(StoreError::Closed))
    };
    patiently(open, store_passes, served, stop).await
}

/// What writes to the store, once it can: the server may go away again after it was reached.
async fn writers(
    store: &Store,
    settings: aggregator::Settings,
    served: &Served,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Aggregator, WriterThreads)>> {
    let start = || async {
        let store = store.clone();
        let started = tokio::task::spawn_blocking(move || Aggregator::start(&store, settings));
        started.await.unwrap_or(Err(StoreError::Closed))
    };
    patiently(start, store_passes, served, stop).await
}

fn store_passes(error: &StoreError) -> bool {
    match error {
        // Tables that are older may be brought up to date at any moment.
        StoreError::Version { found, needed } => found < needed,
        error => error.class() == Class::Again,
    }
}

/// The bus, once its server answers and has the streams; `None` where it was told to stop before.
async fn bus(
    connect: &bus::Connect,
    served: &Served,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Bus>> {
    let open = || async {
        let bus = Bus::connect(connect).await?;
        bus.check_streams().await.map(|()| bus)
    };
    patiently(open, bus_passes, served, stop).await
}

fn bus_passes(error: &BusError) -> bool {
    matches!(error, BusError::Connect { .. } | BusError::Request { .. } | BusError::Missing { .. })
}

/// Tries until it works, it was told to stop (`None`), or there is no use in trying.
async fn patiently<T, E, Fut>(
    mut attempt: impl FnMut() -> Fut,
    passes: impl Fn(&E) -> bool,
    served: &Served,
    stop: &CancellationToken,
) -> anyhow::Result<Option<T>>
where
    E: std::error::Error + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>>,
{
    let mut said = String::new();
    loop {
        let Some(tried) = stop.run_until_cancelled(attempt()).await else { return Ok(None) };
        let error = match tried {
            Ok(done) => return Ok(Some(done)),
            Err(error) if !passes(&error) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        if error != said {
            tracing::warn!("waiting: {error}");
            served.waits_for(&error);
            said = error;
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return Ok(None);
        }
    }
}
