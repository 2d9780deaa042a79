//! Counts again what is still in the stream, into a store that was emptied or restored. What the
//! store has counted is not counted twice, so more may be replayed than is needed.

use std::time::Duration;

use async_nats::datetime;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::decode::Limits;
use tokio_util::sync::CancellationToken;

use super::count::{Counter, Outcome};
use super::message::Message;
use super::{Bus, BusError, Health, StreamState};
use crate::aggregator::Aggregator;
use crate::trace::Tracer;

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// All that is there.
    Start,
    /// From the message of this sequence.
    Sequence(u64),
    /// From what the bus took then, milliseconds since the Unix epoch.
    Time(i64),
}

/// What was found and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages read.
    pub messages: u64,
    /// The first sequence that was read; 0 for none.
    pub first_sequence: u64,
    /// Events counted now or before.
    pub counted: u64,
    /// Those of them that the store had counted before.
    pub duplicates: u64,
    /// Events that can't be counted. They are among the dead letters since they first came.
    pub refused: u64,
    /// Messages that can't be read, which are there too.
    pub broken: u64,
    /// Sequences that are no longer in the stream, between those that are.
    pub missing: u64,
    /// The last sequence that was read; 0 for none.
    pub last_sequence: u64,
}

/// Messages that are counted at once.
const AT_WORK: usize = 128;

/// Events that are read or wait for the store.
const EVENTS: u32 = 50_000;

/// How long the stream may say nothing before it is asked whether that was all.
const SILENCE: Duration = Duration::from_secs(10);

/// Counts everything from `since` up to what is in the stream now. `None` where it was stopped.
///
/// # Errors
/// Where the stream is missing or can't be read.
pub async fn replay(
    bus: &Bus,
    aggregator: Aggregator,
    since: Since,
    limits: &Limits,
    stop: &CancellationToken,
) -> Result<Option<Replayed>, BusError> {
    replay_telling(bus, aggregator, since, limits, stop, |_, _| {}).await
}

/// The same, and tells after each message how far it is, and which sequence is the last.
///
/// # Errors
/// Where the stream is missing or can't be read.
pub async fn replay_telling(
    bus: &Bus,
    aggregator: Aggregator,
    since: Since,
    limits: &Limits,
    stop: &CancellationToken,
    mut told: impl FnMut(&Replayed, u64),
) -> Result<Option<Replayed>, BusError> {
    let name = bus.names.events();
    let reading = || BusError::request(format!("read stream {name}"));
    let handle = bus.stream(&name).await?;
    let end = StreamState::of(handle.cached_info()).last_sequence;
    let config = pull::OrderedConfig {
        deliver_policy: policy(since).map_err(|error| reading()(&error))?,
        max_batch: i64::try_from(AT_WORK).unwrap_or(i64::MAX),
        ..pull::OrderedConfig::default()
    };
    let consumer = handle.create_consumer(config).await.map_err(|error| reading()(&error))?;
    let mut ended = consumer.cached_info().num_pending == 0;
    let mut messages = consumer.messages().await.map_err(|error| reading()(&error))?;

    let counter = Counter::new(aggregator, limits, EVENTS, Health::default(), Tracer::default());
    let mut replayed = Replayed::default();
    let mut at_work = FuturesUnordered::new();
    while !ended || !at_work.is_empty() {
        tokio::select! {
            Some(outcome) = at_work.next() => {
                let Some(outcome) = outcome else { return Ok(None) };
                replayed.add(&outcome);
                told(&replayed, end);
            }
            next = tokio::time::timeout(SILENCE, messages.next()),
                if !ended && at_work.len() < AT_WORK => match next
            {
                Ok(Some(Ok(delivery))) => {
                    let info = delivery.info().map_err(|error| reading()(&error))?;
                    let (sequence, left) = (info.stream_sequence, info.pending);
                    ended = left == 0 || sequence >= end;
                    if sequence <= end {
                        replayed.pass(sequence);
                        match Message::read(&delivery.payload) {
                            Ok(message) => {
                                let counter = &counter;
                                at_work.push(async move { counter.count(&message, stop).await });
                            }
                            Err(_) => replayed.broken += 1,
                        }
                    }
                }
                Ok(Some(Err(error))) => return Err(reading()(&error)),
                Ok(None) => return Err(reading()(&"it ended early")),
                Err(_) => ended = !is_more(bus, &handle, replayed.last_sequence + 1, end).await,
            },
            () = stop.cancelled() => return Ok(None),
        }
    }
    Ok(Some(replayed))
}

/// Whether the stream holds a message from one sequence up to another; also where it can't be
/// asked now.
async fn is_more(bus: &Bus, stream: &Stream, from: u64, to: u64) -> bool {
    let any = format!("{}.*", bus.names.events_subject());
    match stream.raw_message_builder().sequence(from).next_by_subject(any).send().await {
        Ok(next) => next.sequence <= to,
        Err(error) => error.kind() != LastRawMessageErrorKind::NoMessageFound,
    }
}

impl Replayed {
    fn pass(&mut self, sequence: u64) {
        if self.last_sequence > 0 {
            self.missing += sequence.saturating_sub(self.last_sequence + 1);
        } else {
            self.first_sequence = sequence;
        }
        self.last_sequence = sequence;
        self.messages += 1;
    }

    fn add(&mut self, outcome: &Outcome) {
        self.counted += outcome.counted as u64;
        self.duplicates += outcome.duplicates as u64;
        self.refused += outcome.refused.len() as u64;
    }
}

fn policy(since: Since) -> Result<DeliverPolicy, async_nats::Error> {
    Ok(match since {
        Since::Start => DeliverPolicy::All,
        Since::Sequence(start_sequence) => {
            DeliverPolicy::ByStartSequence { start_sequence: start_sequence.max(1) }
        }
        Since::Time(ms) => {
            let start_time = datetime::from_nanos(i128::from(ms) * 1_000_000)?;
            DeliverPolicy::ByStartTime { start_time }
        }
    })
}
