//! Counts batches of events, durably: a batch that was answered is committed.
//!
//! One thread owns the connection that writes. It takes what is queued, up to a bound, into one
//! transaction, so that many requests share one sync to disk; nothing waits for company, since
//! while one transaction is written the next one gathers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use model::Event;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::store::{Judged, Retention, Store, StoreError};

mod thread;

pub use thread::WriterThread;
use thread::{Command, Job};

/// The way to the writer thread. Cheap to clone.
#[derive(Clone)]
pub struct Aggregator {
    commands: mpsc::Sender<Command>,
    /// One permit an event that waits: the bound of the queue, in what costs memory.
    room: Arc<Semaphore>,
    health: Arc<Health>,
}

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
    Store(Arc<StoreError>),
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

/// Bounds of the queue and of a transaction, and how long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many events may wait; with 0 every batch is refused.
    pub queue_events: u32,
    /// How many events one transaction takes at most (one batch is never split).
    pub transaction_events: usize,
    /// How long ids and windows are kept.
    pub retention: Retention,
    /// The wall clock, milliseconds since the Unix epoch.
    pub now: fn() -> i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_events: 100_000,
            transaction_events: 10_000,
            retention: Retention::default(),
            now: crate::clock::now_ms,
        }
    }
}

/// How the writer fares.
#[derive(Default)]
struct Health {
    alive: AtomicBool,
    failing: AtomicBool,
}

impl Aggregator {
    /// Starts the one thread that writes to `store`.
    pub fn start(store: &Store, settings: Settings) -> Result<(Self, WriterThread), StoreError> {
        let (commands, queue) = mpsc::channel();
        let health = Arc::new(Health::default());
        let thread = WriterThread::start(store.writer()?, queue, settings, Arc::clone(&health));
        let room = Arc::new(Semaphore::new(settings.queue_events as usize));
        Ok((Self { commands, room, health }, thread))
    }

    /// Counts the events, each once, and resolves after the commit.
    ///
    /// A caller that stops waiting changes nothing: what was queued is counted.
    pub async fn submit(&self, events: Vec<Event>) -> Result<Applied, Unavailable> {
        let waiting = u32::try_from(events.len()).unwrap_or(u32::MAX).max(1);
        let room = self.take_room(waiting)?;
        let (answer, applied) = oneshot::channel();
        self.send(Command::Apply(Job { events, answer, room }))?;
        applied.await.unwrap_or(Err(Unavailable::Closed))
    }

    /// Writes what the diagnoser found, and resolves after the commit.
    pub async fn record(&self, judged: Vec<Judged>) -> Result<(), Unavailable> {
        let (answer, recorded) = oneshot::channel();
        self.send(Command::Record { judged, answer })?;
        recorded.await.unwrap_or(Err(Unavailable::Closed))
    }

    /// Whether the writer is alive and its last transaction succeeded.
    pub fn ready(&self) -> bool {
        self.alive() && !self.health.failing.load(Ordering::Acquire)
    }

    /// Whether the writer is alive.
    pub fn alive(&self) -> bool {
        self.health.alive.load(Ordering::Acquire)
    }

    /// Has the writer end when it has committed what is queued now. What comes later is refused.
    pub fn close(&self) {
        // A writer that has ended needs no telling.
        let _ = self.commands.send(Command::Close);
    }

    fn take_room(&self, events: u32) -> Result<OwnedSemaphorePermit, Unavailable> {
        let room = Arc::clone(&self.room);
        room.try_acquire_many_owned(events).map_err(|_| Unavailable::QueueFull)
    }

    fn send(&self, command: Command) -> Result<(), Unavailable> {
        self.commands.send(command).map_err(|_| Unavailable::Closed)
    }
}
