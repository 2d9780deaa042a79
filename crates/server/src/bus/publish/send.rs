//! One message, until the server has confirmed it or is not going to.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::message::Packing;
use super::super::{Bus, Refused};
use super::dispatch::Load;
use super::{Health, Settings};

pub(super) struct Sender {
    bus: Bus,
    health: Arc<Health>,
    packing: Packing,
    deadline: Duration,
    stream: String,
    subject: String,
}

/// Before a message is sent again.
const PAUSE: Duration = Duration::from_millis(50);

impl Sender {
    pub(super) fn new(bus: Bus, health: Arc<Health>, settings: &Settings) -> Self {
        let (stream, subject) = (bus.names.events(), bus.names.events_subject());
        let Settings { packing, deadline, .. } = *settings;
        Self { bus, health, packing, deadline, stream, subject }
    }

    pub(super) async fn send(&self, load: Load, lanes: usize, lane: usize) {
        let Load { draft, received_ms, answers } = load;
        let subject = format!("{}.{lanes}-{lane}", self.subject);
        let payload = draft.finish(received_ms, self.packing);
        crate::crash::point("before-publish");
        let outcome = self.publish(&subject, &payload).await;
        crate::crash::point("after-publish");
        self.health.told(&outcome, &self.bus);
        for answer in answers {
            answer.settle(&outcome);
        }
    }

    /// Sends the message until it is confirmed, refused, or its time is up. The server takes one
    /// that comes again for the same by its id.
    async fn publish(&self, subject: &str, payload: &Bytes) -> Result<(), Refused> {
        let id = Uuid::new_v4().simple().to_string();
        let deadline = Instant::now() + self.deadline;
        let mut connected = self.bus.connected.clone();
        loop {
            connected.mark_unchanged();
            let attempt = tokio::select! {
                attempt = self.attempt(subject, &id, payload) => attempt,
                // Over a new connection no confirmation of what went over the old one comes.
                Ok(()) = connected.changed() => Err(Refused::Disconnected),
                () = tokio::time::sleep_until(deadline) => return Err(self.out_of_time()),
            };
            match attempt {
                Err(Refused::Disconnected | Refused::Unconfirmed) => {}
                done => return done,
            }
            if deadline.saturating_duration_since(Instant::now()) < PAUSE {
                return Err(self.out_of_time());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn out_of_time(&self) -> Refused {
        if self.bus.connected() { Refused::Unconfirmed } else { Refused::Disconnected }
    }

    async fn attempt(&self, subject: &str, id: &str, payload: &Bytes) -> Result<(), Refused> {
        let message = PublishMessage::build().payload(payload.clone()).message_id(id);
        self.bus.keep(&self.stream, subject.to_owned(), message).await
    }
}
