//! The way onto the bus. What several requests bring travels in one message, since each message
//! costs the server a sync to its disk; a request is answered when all it brought is confirmed.
//!
//! Nothing waits where nothing is on its way: the first request leaves at once, and while its
//! message is written the next ones gather, for [`LINGER`] at most. So messages grow with the load
//! and with the time the server takes, and a lone request pays for no company.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::decode::Accepted;
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::message::Packing;
use super::{Bus, BusError, Refused, StreamState};
use crate::aggregator::Unavailable;
use crate::metrics::{Part, Told};
use crate::partition;
use answer::Answer;
use dispatch::{Dispatcher, Job};
use send::Sender;

mod answer;
mod dispatch;
mod send;

/// How long events wait for company where messages are on their way.
const LINGER: Duration = Duration::from_millis(3);

/// How many rounds of messages are on their way before events wait: one that the server writes,
/// and one that it has at hand when it is done.
const ROUNDS: usize = 2;

/// Bounds of what is on its way.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of bodies that wait for a confirmation; with 0 every request is refused.
    pub queue_bytes: u32,
    /// Whether messages are packed.
    pub packing: Packing,
    /// How long the server has to confirm.
    pub deadline: Duration,
    /// The wall clock, milliseconds since the Unix epoch.
    pub now: fn() -> i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_bytes: 128 << 20,
            packing: Packing::default(),
            deadline: Duration::from_secs(8),
            now: crate::clock::now_ms,
        }
    }
}

/// Puts events on the bus. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: mpsc::UnboundedSender<Job>,
    /// One permit a byte that waits.
    room: Arc<Semaphore>,
    bus: Bus,
    health: Arc<Health>,
    now: fn() -> i64,
}

impl Publisher {
    /// Starts to publish on `bus`, whose streams must be there.
    ///
    /// # Errors
    /// Where a stream is missing or would lose events.
    pub async fn start(bus: &Bus, settings: Settings) -> Result<Self, BusError> {
        bus.check_streams().await?;
        let health = Arc::new(Health::default());
        let (jobs, queue) = mpsc::unbounded_channel();
        let sender = Sender::new(bus.clone(), Arc::clone(&health), &settings);
        let dispatcher = Dispatcher::new(queue, sender, bus.client.max_payload());
        // It ends when the last publisher is dropped.
        tokio::spawn(dispatcher.run());
        let room = Arc::new(Semaphore::new(settings.queue_bytes as usize));
        let inner = Inner { jobs, room, bus: bus.clone(), health, now: settings.now };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Puts the events of a body on the bus, and resolves when the server has confirmed that it
    /// keeps all of them.
    ///
    /// A failure may leave some of them, or all, on the bus: they are counted once however often
    /// they come.
    pub async fn submit(&self, body: Bytes, events: Vec<Accepted>) -> Result<(), Unavailable> {
        let Inner { jobs, room, bus, now, .. } = &*self.inner;
        if !bus.connected() {
            return Err(Refused::Disconnected.into());
        }
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX).max(1);
        let room = Arc::clone(room).try_acquire_many_owned(bytes);
        let room = room.map_err(|_| Unavailable::QueueFull)?;
        let (answer, confirmed) = oneshot::channel();
        let answer = Answer::new(answer, room);
        let places = places(&events);
        drop(events);
        let job = Job { body, places, answer, received_ms: now() };
        jobs.send(job).map_err(|_| Unavailable::Closed)?;
        confirmed.await.unwrap_or(Err(Refused::Unconfirmed)).map_err(Unavailable::from)
    }

    /// Whether the server is there and takes events.
    pub fn ready(&self) -> bool {
        self.inner.bus.connected() && !self.inner.health.failing.load(Ordering::Acquire)
    }
}

impl Part for Publisher {
    fn register(&self, registry: &mut Registry) {
        let count = |of: fn(&Health) -> &AtomicU64| {
            let health = Arc::clone(&self.inner.health);
            move || Some(of(&health).load(Ordering::Relaxed) as f64)
        };
        let (bus, writable) = (self.inner.bus.clone(), self.clone());
        let flag = |is: bool| Some(f64::from(u8::from(is)));
        let all = [
            Told::counter(
                "qoe_bus_published_messages",
                "Messages that the bus confirmed",
                count(|health| &health.published),
            ),
            Told::counter(
                "qoe_bus_publish_failures",
                "Messages that the bus did not confirm",
                count(|health| &health.failed),
            ),
            Told::gauge(
                "qoe_bus_connected",
                "Whether there is a connection to the bus, 0 or 1",
                move || flag(bus.connected()),
            ),
            Told::gauge("qoe_bus_writable", "Whether the bus takes events, 0 or 1", move || {
                flag(writable.ready())
            }),
        ];
        all.into_iter().for_each(|told| registry.register_collector(told));
    }
}

/// Where each event lies in its body, and to which part its client belongs.
type Place = (usize, Range<usize>);

fn places(events: &[Accepted]) -> Vec<Place> {
    let mut places = Vec::with_capacity(events.len());
    let (mut last, mut part) = ("", partition::of(""));
    for taken in events {
        let client = taken.event.client.as_str();
        // Mostly one client, whose text its events share.
        if !std::ptr::eq(client, last) {
            (last, part) = (client, partition::of(client));
        }
        places.push((part, taken.bytes.clone()));
    }
    places
}

/// How publishing fares.
#[derive(Default)]
struct Health {
    failing: AtomicBool,
    /// Messages that the server confirmed, and those that it did not.
    published: AtomicU64,
    failed: AtomicU64,
}

/// How often a stream that failed is looked at, so that it is known to be well without traffic.
const RETRY_EVERY: Duration = Duration::from_secs(1);

impl Health {
    /// Notes how a message fared, and says so once when that changes.
    fn told(self: &Arc<Self>, outcome: &Result<(), Refused>, bus: &Bus) {
        let count = if outcome.is_ok() { &self.published } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(()) => self.well(),
            // The connection tells by itself when it is back.
            Err(Refused::Disconnected) => {}
            Err(refused) => {
                if !self.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!(error = %refused, "the bus does not take events");
                    tokio::spawn(recover(Arc::downgrade(self), bus.clone()));
                }
            }
        }
    }

    fn well(&self) {
        if self.failing.swap(false, Ordering::AcqRel) {
            tracing::info!("the bus takes events again");
        }
    }
}

/// Looks at the stream until there is room in it.
async fn recover(health: std::sync::Weak<Health>, bus: Bus) {
    let name = bus.names.events();
    loop {
        tokio::time::sleep(RETRY_EVERY).await;
        let Some(health) = health.upgrade() else { return };
        if !health.failing.load(Ordering::Acquire) {
            return;
        }
        if let Ok(stream) = bus.stream(&name).await
            && StreamState::of(stream.cached_info()).has_room()
        {
            return health.well();
        }
    }
}
