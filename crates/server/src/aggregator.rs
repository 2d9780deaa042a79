//! Counts batches of events, durably: a batch that was answered is committed.

use model::Event;

use crate::store::{Store, StoreError};

/// The way to the writer thread. Cheap to clone.
#[derive(Clone)]
pub struct Aggregator {}

/// What became of a submitted batch. Every event of it is counted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How many of the batch's events had been counted before.
    pub duplicates: usize,
}

/// Why a batch could not be taken now; none of it was counted. The sender tries again later.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// As many events wait as the queue may hold.
    #[error("the queue to the store is full")]
    QueueFull,
    /// The transaction failed, and nothing of it stands.
    #[error("the store cannot write: {0}")]
    Store(std::sync::Arc<StoreError>),
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

/// Bounds of the queue and of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many events may wait; with 0 every batch is refused.
    pub queue_events: u32,
    /// How many events one transaction takes at most (one batch is never split).
    pub transaction_events: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue_events: 100_000, transaction_events: 10_000 }
    }
}

/// The writer's thread. It ends when the last [`Aggregator`] is dropped.
#[must_use = "wait for it, so that what was queued is committed"]
pub struct WriterThread {}

impl Aggregator {
    /// Starts the one thread that writes to `store`.
    pub fn start(_store: &Store, _settings: Settings) -> Result<(Self, WriterThread), StoreError> {
        Ok((Self {}, WriterThread {}))
    }

    /// Counts the events, each once, and resolves after the commit.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn submit(&self, events: Vec<Event>) -> Result<Applied, Unavailable> {
        drop(events);
        Err(Unavailable::Closed)
    }

    /// Whether the writer is alive and its last transaction succeeded.
    pub fn ready(&self) -> bool {
        false
    }
}

impl WriterThread {
    /// Resolves when all that was queued is committed and the thread has ended.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn finished(self) {}
}
