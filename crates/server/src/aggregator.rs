//! Counts batches of events, durably: a batch that was answered is committed.
//!
//! A thread owns the connection that writes. It takes what is queued, up to a bound, into one
//! transaction, so that many requests share one sync to disk; nothing waits for company, since
//! while one transaction is written the next one gathers. A shared database takes several such
//! threads; a client's events always go to the same one, so that two never wait for the same row.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use model::Event;
use opentelemetry::KeyValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::bus::Refused;
use crate::partition::{self, PARTITIONS};
use crate::store::{
    AlertRow, Claim, Class, Detected, Location, Retention, Rolled, Sent, Store, StoreError,
};

mod metrics;
mod thread;

pub use metrics::Metrics;
pub use thread::WriterThreads;
use thread::{AlertChange, Command, Duties, Job};

/// The way to the writer threads. Cheap to clone.
#[derive(Clone)]
pub struct Aggregator {
    writers: Vec<Way>,
    /// One permit an event that waits: the bound of the queue, in what costs memory.
    room: Arc<Semaphore>,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// The database is a server.
    shared: bool,
}

/// The way to one of them.
#[derive(Clone)]
struct Way {
    commands: mpsc::Sender<Command>,
    health: Arc<Health>,
}

/// What became of a submitted batch. Every event of it is counted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How many of the batch's events had been counted before.
    pub duplicates: usize,
}

/// Why a batch could not be taken now; it counts once when it comes again. The sender tries later.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// As many events wait as the queue may hold.
    #[error("the queue to the store is full")]
    QueueFull,
    /// The transaction failed, and nothing of it stands.
    #[error("the store cannot write: {0}")]
    Store(Arc<StoreError>),
    /// The bus did not confirm that it keeps all of the batch.
    #[error("the bus does not take events: {0}")]
    Bus(#[from] Refused),
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
    /// How many threads write to a shared database; an embedded one has one.
    pub writers: usize,
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
            writers: 4,
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

impl Unavailable {
    /// What is to be done about the batch.
    pub fn class(&self) -> Class {
        match self {
            Self::QueueFull | Self::Bus(_) | Self::Closed => Class::Again,
            Self::Store(error) => error.class(),
        }
    }
}

impl Aggregator {
    /// Starts the threads that write to `store`.
    pub fn start(store: &Store, settings: Settings) -> Result<(Self, WriterThreads), StoreError> {
        let count = match store.location() {
            Location::Directory(_) => 1,
            Location::Postgres(_) => settings.writers.clamp(1, PARTITIONS),
        };
        let room = Arc::new(Semaphore::new(settings.queue_events as usize));
        let metrics = Arc::new(Metrics::new(&room));
        let mut writers = Vec::with_capacity(count);
        let mut threads = WriterThreads::default();
        for duties in [Duties::AllChores].into_iter().chain([Duties::Batches].repeat(count - 1)) {
            let (commands, queue) = mpsc::channel();
            let health = Arc::new(Health::default());
            let (writer, told) = (store.writer()?, Arc::clone(&metrics));
            threads.start(writer, queue, settings, Arc::clone(&health), told, duties);
            writers.push(Way { commands, health });
        }
        let shared = matches!(store.location(), Location::Postgres(_));
        Ok((Self { writers, room, settings, metrics, shared }, threads))
    }

    /// Counts the events, each once, and resolves after the commit (the last one, where they go to
    /// several writers; where one of these fails, what the others took is counted).
    ///
    /// A caller that stops waiting changes nothing: what was queued is counted.
    pub async fn submit(&self, events: Vec<Event>) -> Result<Applied, Unavailable> {
        let waiting = u32::try_from(events.len()).unwrap_or(u32::MAX).max(1);
        let mut room = self.take_room(waiting)?;
        let mut answers = Vec::with_capacity(self.writers.len());
        for (way, events) in self.writers.iter().zip(self.shares(events)) {
            if events.is_empty() && self.writers.len() > 1 {
                continue;
            }
            // An empty batch took the place of one event.
            let places = events.len().max(1).min(room.num_permits());
            let of_it = room.split(places).expect("no more than are there");
            let (answer, applied) = oneshot::channel();
            way.send(Command::Apply(Job { events, answer, room: of_it }))?;
            answers.push(applied);
        }
        drop(room);
        let mut sum = Ok(Applied { duplicates: 0 });
        for answer in answers {
            let of_it = answer.await.unwrap_or(Err(Unavailable::Closed));
            sum = match (sum, of_it) {
                (Ok(sum), Ok(of_it)) => {
                    Ok(Applied { duplicates: sum.duplicates + of_it.duplicates })
                }
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        sum
    }

    /// Writes what the detector found, and resolves after the commit.
    pub async fn detect(&self, found: Detected) -> Result<(), Unavailable> {
        let (answer, written) = oneshot::channel();
        self.writers[0].send(Command::Detect { found, answer })?;
        written.await.unwrap_or(Err(Unavailable::Closed))
    }

    /// Writes notices that are to be sent, and resolves after the commit; says how many nobody had
    /// written before.
    pub async fn put_alerts(&self, rows: Vec<AlertRow>) -> Result<usize, Unavailable> {
        self.alerts(AlertChange::Put(rows)).await
    }

    /// Takes a message to send it; says whether it was there to be taken.
    pub async fn claim_alert(&self, claim: Claim) -> Result<bool, Unavailable> {
        self.alerts(AlertChange::Claim(claim)).await.map(|taken| taken > 0)
    }

    /// Writes what became of a message, and resolves after the commit.
    pub async fn settle_alert(&self, sent: Sent) -> Result<(), Unavailable> {
        self.alerts(AlertChange::Settle(sent)).await.map(drop)
    }

    async fn alerts(&self, change: AlertChange) -> Result<usize, Unavailable> {
        let (answer, written) = oneshot::channel();
        self.writers[0].send(Command::Alerts { change, answer })?;
        written.await.unwrap_or(Err(Unavailable::Closed))
    }

    /// Writes hours and days that were merged, and resolves after the commit.
    pub async fn roll(&self, rolled: Vec<Rolled>) -> Result<(), Unavailable> {
        let (answer, written) = oneshot::channel();
        self.writers[0].send(Command::Roll { rolled, answer })?;
        written.await.unwrap_or(Err(Unavailable::Closed))
    }

    /// What a trace says of its store, by the names of OpenTelemetry's semantic conventions.
    pub(crate) fn span_attributes(&self) -> Vec<KeyValue> {
        let system = if self.shared { "postgresql" } else { "sqlite" };
        vec![
            KeyValue::new("db.system.name", system),
            KeyValue::new("db.operation.name", "count events"),
        ]
    }

    /// What is told of it.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the writers are alive and the last transaction of each succeeded.
    pub fn ready(&self) -> bool {
        self.writers.iter().all(|way| way.health.is_well())
    }

    /// Whether events wait to be counted.
    pub fn is_busy(&self) -> bool {
        self.room.available_permits() < self.settings.queue_events as usize
    }

    /// The ids of events from this moment on are known. An older one could be counted twice.
    pub fn ids_from_ms(&self) -> i64 {
        self.settings.retention.seen_from_ms((self.settings.now)())
    }

    /// Whether the writers are alive.
    pub fn alive(&self) -> bool {
        self.writers.iter().all(|way| way.health.alive.load(Ordering::Acquire))
    }

    /// Has the writers end when they have committed what is queued now. What comes later is
    /// refused.
    pub fn close(&self) {
        for way in &self.writers {
            // A writer that has ended needs no telling.
            let _ = way.commands.send(Command::Close);
        }
    }

    /// The events by the writer they go to.
    fn shares(&self, events: Vec<Event>) -> Vec<Vec<Event>> {
        let count = self.writers.len();
        let of = |event: &Event| partition::of(event.client.as_str()) % count;
        // Most batches are one client's.
        let one = events.first().map_or(0, of);
        let mut shares = vec![Vec::new(); count];
        if count == 1 || events.iter().all(|event| of(event) == one) {
            shares[one] = events;
        } else {
            events.into_iter().for_each(|event| shares[of(&event)].push(event));
        }
        shares
    }

    fn take_room(&self, events: u32) -> Result<OwnedSemaphorePermit, Unavailable> {
        let room = Arc::clone(&self.room);
        room.try_acquire_many_owned(events).map_err(|_| Unavailable::QueueFull)
    }
}

impl Way {
    fn send(&self, command: Command) -> Result<(), Unavailable> {
        self.commands.send(command).map_err(|_| Unavailable::Closed)
    }
}

impl Health {
    fn is_well(&self) -> bool {
        self.alive.load(Ordering::Acquire) && !self.failing.load(Ordering::Acquire)
    }
}
