//! From a message to counted events, however long the store needs, and what can't be counted.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use model::decode::{Accepted, Code, Decoded, Limits, Rejection, decode_each};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::message::Message;
use crate::aggregator::{Aggregator, Applied, Metrics, Unavailable};
use crate::store::Class;
use crate::trace::{Step, Tracer};

/// What became of a message's events.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How many are counted now.
    pub(super) counted: usize,
    /// How many of those had been counted before.
    pub(super) duplicates: usize,
    /// What can't be counted, whatever is tried.
    pub(super) refused: Vec<Refusal>,
}

/// An event that can't be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its place in the message, from 0.
    pub(super) index: usize,
    /// Why, for machines.
    pub(super) reason: String,
    /// Why, for people.
    pub(super) detail: String,
    /// Whose it is, where it could be read.
    pub(super) client_id: Option<String>,
}

/// Counts messages. Cheap to clone.
#[derive(Clone)]
pub(super) struct Counter {
    aggregator: Aggregator,
    limits: Arc<Limits>,
    health: Health,
    tracer: Tracer,
    /// One permit an event that is read or waits for the store.
    room: Arc<Semaphore>,
    events: u32,
}

/// Ingest judged the events by its own clock when each came, and the message has one time for all
/// of them: what was let in at an edge is not refused here.
const SLACK_MS: i64 = 60_000;

/// Between two attempts, from and to; and where the store has to be mended by somebody.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const HALTED_PAUSE: Duration = Duration::from_secs(10);

impl Counter {
    /// Counts into `aggregator`, by the limits that ingest has, so many events at once.
    pub(super) fn new(
        aggregator: Aggregator,
        limits: &Limits,
        events: u32,
        health: Health,
        tracer: Tracer,
    ) -> Self {
        let limits = Limits {
            max_age_ms: limits.max_age_ms.saturating_add(SLACK_MS),
            max_ahead_ms: limits.max_ahead_ms.saturating_add(SLACK_MS),
            ..limits.clone()
        };
        let room = Arc::new(Semaphore::new(events as usize));
        Self { aggregator, limits: Arc::new(limits), health, tracer, room, events }
    }

    /// What is told of what counts.
    pub(super) fn metrics(&self) -> &Metrics {
        self.aggregator.metrics()
    }

    /// Counts the events of a message. Returns when all of them are committed but those that can't
    /// be counted; `None` where it was stopped before.
    pub(super) async fn count(
        &self,
        message: &Message,
        stop: &CancellationToken,
    ) -> Option<Outcome> {
        let places = u32::try_from(message.len()).unwrap_or(u32::MAX).min(self.events);
        let room = stop.run_until_cancelled(self.room.acquire_many(places)).await?;
        let _room = room.expect("the semaphore is never closed");
        let whole = 0..message.len();
        let Decoded { events, rejected } = self.decode(message, whole.clone()).await?;
        let refused = rejected.into_iter().map(of_rejection).collect();
        let mut outcome = Outcome { refused, ..Outcome::default() };
        let mut parts = vec![(whole, Some(events))];
        while let Some((part, events)) = parts.pop() {
            match self.submit(message, part.clone(), events, stop).await? {
                Fate::Counted { events, duplicates } => {
                    outcome.counted += events;
                    outcome.duplicates += duplicates;
                }
                Fate::Refused(refusal) => outcome.refused.push(refusal),
                Fate::Part => {
                    let middle = part.start + part.len() / 2;
                    parts.push((middle..part.end, None));
                    parts.push((part.start..middle, None));
                }
            }
        }
        Some(outcome)
    }

    /// Has part of a message counted, trying until the store took it or says that it never will.
    async fn submit(
        &self,
        message: &Message,
        part: Range<usize>,
        mut first: Option<Vec<Accepted>>,
        stop: &CancellationToken,
    ) -> Option<Fate> {
        let mut pause = SHORTEST_PAUSE;
        let mut halted = None;
        loop {
            let accepted = match first.take() {
                Some(accepted) => accepted,
                None => self.decode(message, part.clone()).await?.events,
            };
            let only = match &accepted[..] {
                [] => return Some(Fate::Counted { events: 0, duplicates: 0 }),
                [only] => Some((only.index, only.event.client.clone())),
                _ => None,
            };
            let count = accepted.len();
            let traced = self.tracer.traced(accepted.iter().map(|taken| &taken.event));
            let began = Instant::now();
            let events = accepted.into_iter().map(|taken| taken.event).collect();
            // Not given up on a stop: what is queued in the writer is counted in any case.
            let error = match self.aggregator.submit(events).await {
                Ok(Applied { duplicates }) => {
                    if !traced.is_empty() {
                        let took = began.elapsed();
                        let store = self.aggregator.span_attributes();
                        self.tracer.stepped(&traced, Step::Count { bus: true }, took, &store);
                        let bus = super::span_attributes("process");
                        self.tracer.stepped(&traced, Step::Process, took, &bus);
                    }
                    return Some(Fate::Counted { events: count, duplicates });
                }
                Err(error) => error,
            };
            if matches!(error, Unavailable::Closed) {
                // This program ends; another takes the message.
                return None;
            }
            match error.class() {
                Class::Again => {
                    halted = None;
                    self.pause(pause, stop).await?;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Class::Halt => {
                    let why = || format!("the store has to be mended: {error}");
                    halted.get_or_insert_with(|| self.health.halt(why()));
                    self.pause(HALTED_PAUSE, stop).await?;
                }
                Class::Poison => {
                    return Some(only.map_or(Fate::Part, |(index, client)| {
                        Fate::Refused(Refusal {
                            index: part.start + index as usize,
                            reason: "store_refused".to_owned(),
                            detail: error.to_string(),
                            client_id: Some(client.as_str().to_owned()),
                        })
                    }));
                }
            }
        }
    }

    /// Waits, but no longer than until a store that failed is seen to work again.
    async fn pause(&self, pause: Duration, stop: &CancellationToken) -> Option<()> {
        let until = Instant::now() + pause;
        let failing = !self.aggregator.ready();
        while Instant::now() < until {
            sleep(SHORTEST_PAUSE, stop).await?;
            if failing && self.aggregator.ready() {
                break;
            }
        }
        Some(())
    }

    /// Reads the events of part of a message, off the threads that serve connections. Indexes
    /// count from the start of the part. `None` where the program ends.
    async fn decode(&self, message: &Message, part: Range<usize>) -> Option<Decoded> {
        let (limits, message) = (Arc::clone(&self.limits), message.clone());
        let ids_from_ms = self.aggregator.ids_from_ms();
        let read = move || {
            let texts = message.texts().skip(part.start).take(part.len());
            refuse_before(ids_from_ms, decode_each(texts, message.received_ms, &limits))
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(decoded) => Some(decoded),
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }
}

/// What became of part of a message.
enum Fate {
    /// It is counted.
    Counted { events: usize, duplicates: usize },
    /// It is one event, which can't be counted.
    Refused(Refusal),
    /// Some event in it can't be counted.
    Part,
}

/// Refuses events whose ids may be forgotten. None come as late as that, unless a stream or a dead
/// letter was kept beyond what [`crate::roles::Horizon`] allows, or a message lies about when it
/// came in.
fn refuse_before(ids_from_ms: i64, decoded: Decoded) -> Decoded {
    let Decoded { events, mut rejected } = decoded;
    let (events, late): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|taken| taken.event.ts_ms >= ids_from_ms);
    rejected.extend(late.into_iter().map(|taken| Rejection {
        index: taken.index,
        event_id: Some(taken.event.id.to_string()),
        code: Code::TooOld,
        field: Some("ts_ms".to_owned()),
        detail: "lies before the ids that are kept: it may have been counted".to_owned(),
        version: Some(taken.event.version),
    }));
    Decoded { events, rejected }
}

fn of_rejection(rejection: Rejection) -> Refusal {
    let Rejection { index, code, field, detail, .. } = rejection;
    let code = serde_json::to_value(code).ok();
    let code = code.as_ref().and_then(Value::as_str).unwrap_or("rejected");
    Refusal {
        index: index as usize,
        reason: code.to_owned(),
        detail: field.map_or(detail.clone(), |field| format!("{field} {detail}")),
        client_id: None,
    }
}

/// Sleeps, or says that it was stopped.
pub(super) async fn sleep(time: Duration, stop: &CancellationToken) -> Option<()> {
    stop.run_until_cancelled(tokio::time::sleep(time)).await
}
