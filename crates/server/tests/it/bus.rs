//! A nats-server of one's own, and what stands on it.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::ContextBuilder;
use server::aggregator::Aggregator;
use server::bus::message::{Draft, Packing};
use server::bus::{Bus, Connect, Consumer, Health, Publisher, StreamSettings, consume, publish};
use testbed::servers::nats::{Nats, Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::platform::{NOW, Parts, Platform, array, wire};
use crate::raw_http::DEADLINE;

pub(crate) const EVENTS: &str = "QOE_EVENTS";
pub(crate) const LETTERS: &str = "QOE_DLQ";

/// A server with both streams, and a connection of ours and one of a stranger.
pub(crate) struct BusWorld {
    pub(crate) nats: Nats,
    pub(crate) bus: Bus,
    pub(crate) jetstream: jetstream::Context,
}

/// A consumer at work.
pub(crate) struct Consuming {
    pub(crate) health: Health,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<()>,
}

impl BusWorld {
    pub(crate) async fn new() -> Self {
        Self::with(&streams(), 1 << 20).await
    }

    pub(crate) async fn with(streams: &StreamSettings, max_payload: usize) -> Self {
        let world = Self::bare(max_payload).await;
        world.bus.make_streams(streams).await.unwrap();
        world
    }

    /// Without streams.
    pub(crate) async fn bare(max_payload: usize) -> Self {
        let options = Options { sync_always: false, max_payload, ..Options::default() };
        let nats = Nats::start(&options).unwrap();
        let bus = Bus::connect(&Connect::to(nats.url())).await.unwrap();
        let stranger = async_nats::connect(nats.url()).await.unwrap();
        // What was asked as the server died gets no answer.
        let jetstream = ContextBuilder::new().timeout(Duration::from_secs(1)).build(stranger);
        Self { nats, bus, jetstream }
    }

    pub(crate) async fn publisher(&self) -> Publisher {
        self.publisher_with(publish::Settings::default()).await
    }

    pub(crate) async fn publisher_with(&self, settings: publish::Settings) -> Publisher {
        let settings = publish::Settings { now: || NOW, ..settings };
        Publisher::start(&self.bus, settings).await.unwrap()
    }

    /// An ingest that publishes here, with a store beside it.
    pub(crate) async fn platform(&self) -> Platform {
        Platform::over(Parts::default(), Some(self.publisher().await))
    }

    pub(crate) async fn consume(&self, aggregator: &Aggregator) -> Consuming {
        self.consume_with(aggregator, consume::Settings::default()).await
    }

    pub(crate) async fn consume_with(
        &self,
        aggregator: &Aggregator,
        settings: consume::Settings,
    ) -> Consuming {
        begin(&self.bus, aggregator, settings).await
    }

    /// Publishes as anybody could.
    pub(crate) async fn publish_raw(&self, subject: &str, payload: impl Into<bytes::Bytes>) -> u64 {
        let sent = self.jetstream.publish(subject.to_owned(), payload.into()).await.unwrap();
        sent.await.unwrap().sequence
    }

    pub(crate) async fn stream(&self, name: &str) -> jetstream::stream::Stream {
        self.jetstream.get_stream(name).await.unwrap()
    }

    pub(crate) async fn messages(&self, name: &str) -> u64 {
        self.stream(name).await.cached_info().state.messages
    }

    pub(crate) async fn consumer(&self) -> jetstream::consumer::Info {
        self.stream(EVENTS).await.consumer_info(consume::DURABLE).await.unwrap()
    }

    /// Waits until every message is acknowledged.
    pub(crate) async fn drained(&self) {
        eventually("all acknowledged", async || {
            let last = self.stream(EVENTS).await.cached_info().state.last_sequence;
            let consumer = self.consumer().await;
            consumer.ack_floor.stream_sequence >= last && consumer.num_ack_pending == 0
        })
        .await;
    }
}

/// Takes messages over a connection of one's own.
pub(crate) async fn begin(
    bus: &Bus,
    aggregator: &Aggregator,
    settings: consume::Settings,
) -> Consuming {
    let quick = Duration::from_millis(20);
    let settings = consume::Settings { look_every: quick, now: || NOW, ..settings };
    let consumer = Consumer::start(bus, aggregator.clone(), settings).await.unwrap();
    let (health, stop) = (consumer.health(), CancellationToken::new());
    let ended = tokio::spawn(consumer.run(stop.clone()));
    Consuming { health, stop, ended }
}

impl Consuming {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.ended).await;
        ended.expect("stops within 10 s").unwrap();
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// What a small disk has room for.
pub(crate) fn streams() -> StreamSettings {
    let (max_bytes, dead_letter_max_bytes) = (64 << 20, 64 << 20);
    StreamSettings { max_bytes, dead_letter_max_bytes, ..StreamSettings::default() }
}

/// Events of a client, numbered from `from`.
pub(crate) fn events(client: &str, from: u128, count: u128) -> Vec<String> {
    (from..from + count).map(|n| wire(client, n).to_string()).collect()
}

/// A request body of them.
pub(crate) fn batch(client: &str, from: u128, count: u128) -> String {
    array(&events(client, from, count))
}

/// A message as ingest makes it.
pub(crate) fn message<T: AsRef<[u8]>>(texts: &[T]) -> bytes::Bytes {
    let mut draft = Draft::with_room(0);
    texts.iter().for_each(|text| draft.push(text.as_ref()));
    draft.finish(NOW, Packing::Zstd)
}
