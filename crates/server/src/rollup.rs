//! Merges minutes into hours and hours into days, when these have ended and when one of theirs
//! has changed. What is to be merged is in the store's queue, so nothing is lost by a stop.

use crate::aggregator::Aggregator;
use crate::diagnoser::StepError;
use crate::store::{Reader, Rolled, Store, StoreError};

/// Hours and days merged, and written in one transaction, in one step.
pub const SPANS: usize = 256;

/// Merges those that wait longest; says how many.
pub async fn step(store: &Store, aggregator: &Aggregator, now_ms: i64) -> Result<usize, StepError> {
    let rolled = store.read(move |reader| merge_queued(reader, now_ms)).await?;
    let count = rolled.len();
    if count > 0 {
        aggregator.roll(rolled).await?;
    }
    Ok(count)
}

fn merge_queued(reader: &Reader, now_ms: i64) -> Result<Vec<Rolled>, StoreError> {
    let mut found = Vec::new();
    for task in reader.rollup_tasks(now_ms, SPANS)? {
        let window = match reader.merged(&task) {
            Ok(window) => window,
            // Others must not wait behind a cell that can't be read; without it there is no hour.
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "can't merge a span");
                None
            }
            Err(error) => return Err(error),
        };
        found.push(Rolled { task, window });
    }
    Ok(found)
}
