//! From the bus into the store: pull, count, acknowledge. A message leaves the bus after the commit
//! of its events and never before; what can't be counted is laid aside, and nothing is given up for
//! having been tried too often.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures_util::StreamExt;
use model::decode::Limits;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::count::Counter;
use super::{Bus, BusError, Health};
use crate::aggregator::Aggregator;
use crate::trace::Tracer;
use work::Work;

mod watchdog;
mod work;

/// How messages are taken.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name that all aggregators share the work under.
    pub durable: String,
    /// How many messages are at work at once, most of them unread.
    pub at_work: u32,
    /// How many events are read or wait for the store, which must have room for them.
    pub events: u32,
    /// What ingest lets in.
    pub limits: Limits,
    /// How long the server waits for a sign of life before it gives a message to another.
    pub ack_wait: Duration,
    /// How long nothing may come while something waits.
    pub silence: Duration,
    /// How often it is looked how much waits.
    pub look_every: Duration,
    /// How long messages at work are waited for at the end.
    pub drain: Duration,
    /// Where traces go.
    pub tracer: Tracer,
    /// The wall clock, milliseconds since the Unix epoch.
    pub now: fn() -> i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durable: DURABLE.to_owned(),
            // Enough to fill a transaction where there is little in a message.
            at_work: 256,
            events: 50_000,
            limits: Limits::default(),
            ack_wait: Duration::from_secs(60),
            silence: Duration::from_secs(60),
            look_every: Duration::from_secs(2),
            drain: Duration::from_secs(8),
            tracer: Tracer::default(),
            now: crate::clock::now_ms,
        }
    }
}

/// What the consumer of aggregators is called.
pub const DURABLE: &str = "aggregator";

/// Messages that all aggregators together may have at work; more than theirs come to.
const MOST_UNACKNOWLEDGED: i64 = 4_096;

/// How long a pull waits at the server for messages. One that is told to stop takes what its last
/// pull brings, since that would come to another only after [`Settings::ack_wait`].
const PULL: Duration = Duration::from_secs(1);

/// How long that is awaited from a server that says nothing.
const LAST_PULL: Duration = Duration::from_secs(2);

/// After a pull that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes messages from the bus.
pub struct Consumer {
    bus: Bus,
    settings: Settings,
    health: Health,
    counter: Counter,
}

impl Consumer {
    /// Counts into `aggregator` what comes over `bus`, whose streams must be there.
    ///
    /// # Errors
    /// Where a stream is missing or would lose events, or the server does not answer.
    pub async fn start(
        bus: &Bus,
        aggregator: Aggregator,
        settings: Settings,
    ) -> Result<Self, BusError> {
        bus.check_streams().await?;
        let health = Health::default();
        let counter = Counter::new(
            aggregator,
            &settings.limits,
            settings.events,
            health.clone(),
            settings.tracer.clone(),
        );
        let consumer = Self { bus: bus.clone(), settings, health, counter };
        consumer.subscribe().await?;
        consumer.health.update(|fares| fares.connected = true);
        Ok(consumer)
    }

    /// How it fares.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Takes messages until `shutdown`; then takes no more, and returns when those at work are
    /// counted and acknowledged, or handed back for others to take.
    pub async fn run(self, shutdown: CancellationToken) {
        let (rebuild, rebuilt) = watch::channel(());
        tokio::select! {
            () = self.take(&shutdown, rebuilt) => {}
            () = self.watch(&rebuild) => {}
        }
    }

    async fn take(&self, shutdown: &CancellationToken, rebuilt: watch::Receiver<()>) {
        let tracker = TaskTracker::new();
        let work = Arc::new(Work::new(&self.bus, &self.counter, &self.health, &self.settings));
        let places = Arc::new(Semaphore::new(self.settings.at_work as usize));
        let too_late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST_PULL).await;
        };
        tokio::select! {
            () = self.pulls(&work, &places, &tracker, rebuilt, shutdown) => {}
            () = too_late => {}
        }
        tracker.close();
        work.stop().cancel();
        if tokio::time::timeout(self.settings.drain, tracker.wait()).await.is_err() {
            tracing::warn!(messages = tracker.len(), "leaving messages to others");
        }
        work.hand_back().await;
    }

    /// One pull after another, until `shutdown`.
    async fn pulls(
        &self,
        work: &Arc<Work>,
        places: &Arc<Semaphore>,
        tracker: &TaskTracker,
        mut rebuilt: watch::Receiver<()>,
        shutdown: &CancellationToken,
    ) {
        let mut consumer = None;
        let mut missing = None;
        while !shutdown.is_cancelled() {
            if missing.is_none() {
                self.health.clear().await;
            }
            let from = match consumer.take() {
                Some(consumer) => consumer,
                None => match self.subscribe().await {
                    Ok(consumer) => consumer,
                    Err(error) => {
                        tracing::warn!(%error, "can't take messages");
                        if let BusError::Missing { .. } | BusError::Unsafe { .. } = error {
                            missing.get_or_insert_with(|| self.health.halt(error.to_string()));
                        }
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            missing = None;
            match self.pull(&from, work, places, tracker, &mut rebuilt, shutdown).await {
                Ok(()) => consumer = Some(from),
                Err(Interrupted::Anew) => {}
                Err(Interrupted::Stopped) => return,
                Err(Interrupted::Failed(error)) => {
                    tracing::warn!(%error, "can't take messages");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One pull: as many messages as there are places for, each put to work as it comes.
    async fn pull(
        &self,
        from: &PullConsumer,
        work: &Arc<Work>,
        places: &Arc<Semaphore>,
        tracker: &TaskTracker,
        rebuilt: &mut watch::Receiver<()>,
        shutdown: &CancellationToken,
    ) -> Result<(), Interrupted> {
        // Half of them, so that the other half is at work while messages are on their way.
        let wanted = (self.settings.at_work / 2).max(1);
        let free = Arc::clone(places).acquire_many_owned(wanted);
        let free = shutdown.run_until_cancelled(free).await.ok_or(Interrupted::Stopped)?;
        let mut free = free.expect("the semaphore is never closed");
        let mut connected = self.bus.connected.clone();
        connected.mark_unchanged();
        rebuilt.mark_unchanged();
        let batch = from.batch().max_messages(wanted as usize).expires(PULL).messages().await;
        let mut batch = batch.map_err(|error| Interrupted::Failed(error.to_string()))?;
        loop {
            let next = tokio::select! {
                next = batch.next() => next,
                // What was asked for over the old connection does not come over the new one.
                Ok(()) = connected.changed() => return Err(Interrupted::Anew),
                Ok(()) = rebuilt.changed() => return Err(Interrupted::Anew),
            };
            let message = match next {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(Interrupted::Failed(error.to_string())),
                None => return Ok(()),
            };
            if let (Some(place), Some(begun)) = (free.split(1), work.begin(message)) {
                let work = Arc::clone(work);
                tracker.spawn(async move {
                    work.run(begun).await;
                    drop(place);
                });
            }
        }
    }

    /// The consumer that aggregators share; made where it is not there, from the first message on,
    /// since what was counted before is not counted again.
    async fn subscribe(&self) -> Result<PullConsumer, BusError> {
        let name = self.bus.names.events();
        let stream = self.bus.stream(&name).await?;
        let config = pull::Config {
            durable_name: Some(self.settings.durable.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.settings.ack_wait,
            // Never given up: what can't be counted is laid aside for a reason, not for a number.
            max_deliver: -1,
            max_ack_pending: MOST_UNACKNOWLEDGED,
            ..pull::Config::default()
        };
        let doing = || format!("make consumer {} of stream {name}", self.settings.durable);
        let made = stream.create_consumer(config).await;
        made.map_err(|error| BusError::request(doing())(&error))
    }
}

/// Why a pull ended early.
enum Interrupted {
    /// It was told to.
    Stopped,
    /// The connection or the consumer is a new one.
    Anew,
    /// It did not work.
    Failed(String),
}
