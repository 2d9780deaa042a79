//! One message at work: counted, what is left of it laid aside, and then acknowledged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message as Delivery};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::super::count::{Counter, Refusal, sleep};
use super::super::dead_letter::{DeadLetter, Kind};
use super::super::message::Message;
use super::super::{Bus, Health, Refused};
use super::Settings;

/// Signs of life before the server's patience ends.
const SIGNS: u32 = 3;

/// Dead letters of one message on their way at once.
const LETTERS: usize = 16;

/// Before a dead letter that was not kept is tried again, from and to.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is at work in this process.
pub(super) struct Work {
    bus: Bus,
    counter: Counter,
    health: Health,
    sign_every: Duration,
    now: fn() -> i64,
    stop: CancellationToken,
    /// By sequence; of a message that came again while it was at work, the last delivery.
    at_work: Mutex<HashMap<u64, Delivery>>,
}

/// A message that was put to work.
pub(super) struct Begun {
    /// Its own among all that were ever published, also where the stream was made anew.
    id: String,
    sequence: u64,
    subject: String,
    payload: Bytes,
}

impl Work {
    pub(super) fn new(bus: &Bus, counter: &Counter, health: &Health, settings: &Settings) -> Self {
        Self {
            bus: bus.clone(),
            counter: counter.clone(),
            health: health.clone(),
            sign_every: settings.ack_wait / SIGNS,
            now: settings.now,
            stop: CancellationToken::new(),
            at_work: Mutex::default(),
        }
    }

    /// Cancelled, it ends what waits for better times.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Notes a message; `None` where it is at work already.
    pub(super) fn begin(&self, delivery: Delivery) -> Option<Begun> {
        // Without a reply subject of JetStream's it came from elsewhere.
        let info = delivery.info().ok()?;
        let sequence = info.stream_sequence;
        if info.delivered > 1 {
            self.health.update(|fares| fares.redelivered += 1);
        }
        let id = format!("{}-{sequence}-{}", info.stream, info.published.unix_timestamp_nanos());
        let subject = delivery.subject.to_string();
        let payload = delivery.payload.clone();
        let mut at_work = self.lock();
        let before = at_work.insert(sequence, delivery);
        self.health.delivered(at_work.len());
        before.is_none().then_some(Begun { id, sequence, subject, payload })
    }

    /// Sees a message through, with a sign of life now and then.
    pub(super) async fn run(&self, begun: Begun) {
        let sequence = begun.sequence;
        let signs = async {
            loop {
                tokio::time::sleep(self.sign_every).await;
                let delivery = self.lock().get(&sequence).cloned();
                if let Some(delivery) = delivery {
                    // One that is lost costs a delivery more.
                    let _ = delivery.ack_with(AckKind::Progress).await;
                }
            }
        };
        let done = tokio::select! {
            done = self.see_through(begun) => done,
            () = signs => None,
        };
        if done.is_none() {
            return;
        }
        crate::crash::point("before-ack");
        let delivery = {
            let mut at_work = self.lock();
            let delivery = at_work.remove(&sequence);
            self.health.at_work(at_work.len());
            delivery
        };
        if let Some(delivery) = delivery
            && let Err(error) = delivery.ack().await
        {
            // It comes again, and is not counted again.
            tracing::debug!(%error, sequence, "a message was not acknowledged");
        }
    }

    /// Gives what is still at work back to the server, for others to take at once.
    pub(super) async fn hand_back(&self) {
        let left: Vec<Delivery> = self.lock().drain().map(|(_, delivery)| delivery).collect();
        for delivery in left {
            let _ = delivery.ack_with(AckKind::Nak(None)).await;
        }
        // What is not said now, the server finds out by its patience.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.bus.client.flush()).await;
    }

    /// `None` where it was stopped before all was done.
    async fn see_through(&self, begun: Begun) -> Option<()> {
        let id = begun.id.clone();
        let letters = match Message::read(&begun.payload) {
            Ok(message) => {
                let outcome = self.counter.count(&message, &self.stop).await?;
                let since = (self.now)().saturating_sub(message.received_ms);
                let since = Duration::from_millis(u64::try_from(since).unwrap_or(0));
                self.counter.metrics().received(outcome.counted, since);
                self.health.update(|fares| {
                    fares.counted += outcome.counted as u64;
                    fares.duplicates += outcome.duplicates as u64;
                });
                self.letters(&begun, &message, outcome.refused)
            }
            Err(error) => vec![DeadLetter {
                number: 0,
                reason: error.code().to_owned(),
                detail: error.to_string(),
                kind: Kind::Message,
                subject: begun.subject,
                sequence: begun.sequence,
                died_ms: (self.now)(),
                client_id: None,
                payload: begun.payload,
            }],
        };
        let count = letters.len() as u64;
        let buried = stream::iter(letters).map(|letter| self.bury(letter, &id));
        let all = buried.buffer_unordered(LETTERS).all(|buried| async move { buried.is_some() });
        if !all.await {
            return None;
        }
        self.health.update(|fares| {
            fares.done += 1;
            fares.dead_letters += count;
        });
        Some(())
    }

    fn letters(&self, begun: &Begun, message: &Message, refused: Vec<Refusal>) -> Vec<DeadLetter> {
        if refused.is_empty() {
            return Vec::new();
        }
        let texts: Vec<&[u8]> = message.texts().collect();
        let letter = |refusal: Refusal| DeadLetter {
            number: 0,
            reason: refusal.reason,
            detail: refusal.detail,
            kind: Kind::Event { index: refusal.index, received_ms: message.received_ms },
            subject: begun.subject.clone(),
            sequence: begun.sequence,
            died_ms: (self.now)(),
            client_id: refusal.client_id,
            payload: Bytes::copy_from_slice(texts[refusal.index]),
        };
        refused.into_iter().map(letter).collect()
    }

    /// Lays a letter aside, however long that takes.
    async fn bury(&self, letter: DeadLetter, of_message: &str) -> Option<()> {
        let DeadLetter { reason, detail, sequence, .. } = &letter;
        let id = match letter.kind {
            Kind::Event { index, .. } => format!("{of_message}-{index}"),
            Kind::Message => of_message.to_owned(),
        };
        let mut pause = SHORTEST_PAUSE;
        let mut halted = None;
        loop {
            match self.bus.bury(&letter, &id).await {
                Ok(()) => {
                    tracing::warn!(%reason, %detail, sequence, "laid aside as a dead letter");
                    return Some(());
                }
                Err(Refused::Disconnected | Refused::Unconfirmed) => {}
                Err(refused) => {
                    let why = || format!("dead letters can't be kept: {refused}");
                    halted.get_or_insert_with(|| self.health.halt(why()));
                }
            }
            sleep(pause, &self.stop).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Delivery>> {
        // An insert or a removal that panicked leaves a whole map.
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
