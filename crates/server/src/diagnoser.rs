//! Judges the fleet minute by minute and merges hours and days, beside the events that come in.
//!
//! What is found rests on stored windows and on how the detector stood, what is to be merged is in the
//! store's queue: nothing is lost by a stop at any moment, and after a restart the same is said.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

mod fleet;
mod history;
mod metrics;
mod rows;
mod seen;

pub use fleet::Fleet;
pub use history::{Rediagnosed, rediagnose};
pub use metrics::Metrics;

use crate::aggregator::{Aggregator, Unavailable};
use crate::rollup;
use crate::store::{Reader, Store, StoreError};

/// How often it is looked whether anything is due.
const TICK: Duration = Duration::from_secs(1);

/// How much longer than it took a step is rested from while events wait to be counted: they are
/// left 95 % of a processor, and verdicts come some seconds later.
const YIELD: u32 = 19;

/// Why a step could not be made. It is made again; nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// What is to be judged can't be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// What was found can't be written.
    #[error(transparent)]
    Write(#[from] Unavailable),
}

/// What is known of a diagnoser. Cheap to clone; every clone tells the same.
#[derive(Clone, Default)]
pub struct Fares {
    failing: Arc<Mutex<Option<String>>>,
    metrics: Metrics,
}

impl Fares {
    /// Why the last step could not be made, where it could not.
    pub fn failing(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Its figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn told(&self, done: &Result<bool, StepError>) {
        let new = done.as_ref().err().map(ToString::to_string);
        let mut old = self.lock();
        if let (None, Some(error)) = (&*old, &new) {
            tracing::error!(%error, "can't judge or merge what is due");
        }
        *old = new;
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges and merges what is due, about once a second, until `shutdown`; of several that share a store one
/// acts at a time.
pub async fn run(
    store: Store,
    aggregator: Aggregator,
    now: fn() -> i64,
    mut fleet: Fleet,
    fares: Fares,
    shutdown: CancellationToken,
) {
    let mut pause = TICK;
    let mut leadership = store.leadership("diagnoser");
    while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let began = Instant::now();
        let held;
        (leadership, held) = leadership.held().await;
        fares.metrics.leads(matches!(held, Ok(true)));
        let done = match held {
            Ok(true) => {
                let done = detect_and_merge(&store, &aggregator, &mut fleet, now()).await;
                fares.metrics.stepped(&mut fleet, began.elapsed(), now());
                done
            }
            Ok(false) => {
                // Another one goes on from here.
                fleet.take();
                Ok(false)
            }
            Err(error) => Err(error.into()),
        };
        pause = match &done {
            // More may wait, but ingest comes first.
            Ok(true) if aggregator.is_busy() => began.elapsed() * YIELD,
            Ok(true) => Duration::ZERO,
            _ => TICK,
        };
        fares.told(&done);
    }
}

/// One step of each kind; says whether more may wait.
async fn detect_and_merge(
    store: &Store,
    aggregator: &Aggregator,
    fleet: &mut Fleet,
    now_ms: i64,
) -> Result<bool, StepError> {
    let merged = rollup::step(store, aggregator, now_ms).await?;
    let more = detect(store, aggregator, fleet, now_ms).await?;
    Ok(merged == rollup::SPANS || more)
}

/// One step of the detector; says whether more may be due.
pub async fn detect(
    store: &Store,
    aggregator: &Aggregator,
    fleet: &mut Fleet,
    now_ms: i64,
) -> Result<bool, StepError> {
    // Where it fails, another one begins from how the last one stood.
    let mut own = fleet.take();
    let look = move |reader: &Reader| own.step(reader, now_ms).map(|found| (own, found));
    let (own, found) = store.read(look).await?;
    let more = found.is_some();
    if let Some(found) = found.filter(|found| !found.is_empty()) {
        aggregator.detect(found).await?;
    }
    *fleet = own;
    Ok(more)
}
