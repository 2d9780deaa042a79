//! What JetStream holds.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt;
use serde::Deserialize;
use server::bus::message;
use server::bus::{Bus, Connect, Names};
use tokio::time::timeout;
use uuid::Uuid;

use crate::event::{Name, World};
use crate::judge::{Letter, Message, Stream};

/// The name of the aggregators' consumer.
const DURABLE: &str = "aggregator";

/// How the stream and its consumer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The first sequence still there.
    pub first: u64,
    /// The last one given.
    pub last: u64,
    /// Everything up to it is acknowledged.
    pub floor: u64,
    /// Never delivered, or delivered and not acknowledged.
    pub waiting: u64,
    /// Deliveries beyond the first.
    pub redelivered: u64,
}

impl Look {
    /// Looks once: at the stream, and then at the consumer.
    ///
    /// # Errors
    /// Where the server does not tell.
    pub async fn now(nats: &async_nats::Client) -> anyhow::Result<Self> {
        let jetstream = jetstream::new(nats.clone());
        let stream = jetstream.get_stream(Names::default().events()).await?;
        let consumer = stream.consumer_info(DURABLE).await?;
        let state = &stream.cached_info().state;
        let delivered = &consumer.delivered;
        Ok(Self {
            first: state.first_sequence,
            last: state.last_sequence,
            floor: consumer.ack_floor.stream_sequence,
            waiting: consumer.num_pending + consumer.num_ack_pending as u64,
            redelivered: delivered.consumer_sequence.saturating_sub(delivered.stream_sequence),
        })
    }

    /// Whether everything there is acknowledged.
    pub fn is_done(&self) -> bool {
        self.waiting == 0 && self.floor == self.last
    }
}

/// Without a message for so long, reading has failed.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads the stream from its beginning.
///
/// # Errors
/// Where it can't be read to its end.
pub async fn stream(nats: &async_nats::Client, world: &World) -> anyhow::Result<Stream> {
    let Look { first, last, floor, waiting, redelivered } = Look::now(nats).await?;
    let handle = jetstream::new(nats.clone()).get_stream(Names::default().events()).await?;
    let count = handle.cached_info().state.messages;
    let mut messages = Vec::new();
    if count > 0 {
        let consumer = handle.create_consumer(OrderedConfig::default()).await?;
        let mut coming = consumer.messages().await?;
        loop {
            let Ok(next) = timeout(SILENCE, coming.next()).await else {
                bail!("the stream says nothing after {} of {count} messages", messages.len())
            };
            let delivery = next.context("the stream ended")??;
            let info = delivery.info().map_err(|error| anyhow::anyhow!("{error}"))?;
            let (sequence, left) = (info.stream_sequence, info.pending);
            let events = match message::Message::read(&delivery.payload) {
                Ok(message) => Some(message.texts().map(|text| name(world, text)).collect()),
                Err(_) => None,
            };
            messages.push(Message { sequence, events });
            if left == 0 || sequence >= last {
                break;
            }
        }
    }
    Ok(Stream { first, last, floor, waiting, redelivered, messages })
}

#[derive(Deserialize)]
struct Ids {
    event_id: Uuid,
    client_id: String,
}

fn name(world: &World, text: &[u8]) -> Option<Name> {
    let Ids { event_id, client_id } = serde_json::from_slice(text).ok()?;
    Some(Name { key: world.key(event_id)?, client: World::client(&client_id)? })
}

/// Reads all dead letters.
///
/// # Errors
/// Where the bus does not tell.
pub async fn letters(nats_url: &str) -> anyhow::Result<Vec<Letter>> {
    let bus = Bus::connect(&Connect::to(nats_url)).await?;
    let letters = bus.dead_letters(0, usize::MAX).await?;
    let letter = |letter: server::bus::dead_letter::DeadLetter| Letter {
        sequence: letter.sequence,
        index: match letter.kind {
            server::bus::dead_letter::Kind::Event { index, .. } => Some(index),
            server::bus::dead_letter::Kind::Message => None,
        },
        reason: letter.reason,
        payload: letter.payload,
    };
    Ok(letters.into_iter().map(letter).collect())
}
