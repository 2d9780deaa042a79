//! Messages that did not come from an ingest, put straight on the bus: what can't be counted of
//! them must be laid aside as it is, and what can must be counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use server::bus::message::{Draft, Packing};
use tokio::time::timeout;

use super::{BESIDE, Shared};
use crate::event::Name;
use crate::judge::Broken;

/// Of the stream of events, and of no part.
const SUBJECT: &str = "qoe.events.chaos";
/// How long the bus may take to confirm.
const PATIENCE: Duration = Duration::from_secs(6);

/// Who puts them there.
pub struct Letters {
    shared: Arc<Shared>,
    jetstream: jetstream::Context,
    broken: Arc<Mutex<Vec<Broken>>>,
}

/// A message on its way.
struct Draw {
    message: Bytes,
    /// What of it can't be counted.
    broken: Vec<Bytes>,
    /// What can.
    good: Vec<Name>,
}

impl Letters {
    /// Over a connection of its own.
    pub fn new(shared: Arc<Shared>, nats: async_nats::Client) -> Self {
        Self { shared, jetstream: jetstream::new(nats), broken: Arc::default() }
    }

    /// What was put there, as far as it can't be counted.
    pub fn broken(&self) -> Arc<Mutex<Vec<Broken>>> {
        Arc::clone(&self.broken)
    }

    /// Puts messages there until the oracle is over.
    pub async fn run(self) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.shared.world.seed ^ u64::from(BESIDE));
        let mut made = 0;
        while !self.shared.is_over() {
            let Draw { message, broken, good } = self.draw(made, &mut rng);
            made += 10;
            self.shared.ledger().sending(&good);
            let publish = async {
                let confirmed = self.jetstream.publish(SUBJECT, message).await.ok()?;
                confirmed.await.ok()
            };
            let sure = timeout(PATIENCE, publish).await.ok().flatten().is_some();
            if sure {
                self.shared.ledger().take_on(&good);
            }
            let broken = broken.into_iter().map(|payload| Broken { payload, sure });
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).extend(broken);
            tokio::time::sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
        }
    }

    /// A message like no other.
    fn draw(&self, made: u32, rng: &mut ChaCha8Rng) -> Draw {
        let whole = |message: Vec<u8>| {
            let message = Bytes::from(message);
            Draw { broken: vec![message.clone()], message, good: Vec::new() }
        };
        let name = self.shared.make(BESIDE, made)[0].expect("the first is always there");
        let text = self.shared.world.text(name);
        let mut draft = Draft::with_room(0);
        draft.push(&text);
        let message = draft.finish(self.received_ms(), Packing::Plain).to_vec();
        match rng.random_range(0..6) {
            0 => whole(format!("no message of ours: {made}").into_bytes()),
            1 => whole(message[..message.len() - 3].to_vec()),
            2 => whole(changed(message, 2, 9)),
            // Says that it holds billions of events.
            3 => whole(changed(message, 15, 0xff)),
            // Says that it is packed.
            4 => whole(changed(message, 3, 1)),
            _ => self.mixed(made, rng),
        }
    }

    /// Good events and bad ones in one message.
    fn mixed(&self, made: u32, rng: &mut ChaCha8Rng) -> Draw {
        let mut draft = Draft::with_room(0);
        let (mut broken, mut good) = (Vec::new(), Vec::new());
        for counter in made..made + 6 {
            let name = self.shared.make(BESIDE, counter)[0].expect("the first is always there");
            let text = self.shared.world.text(name);
            let bad = match rng.random_range(0..10) {
                0 => replaced(&text, "\"chaos-", "\"chaos\\u0000-"),
                1 => replaced(&text, "\"schema_version\":\"1.1\"", "\"schema_version\":\"7.0\""),
                2 => text[..text.len() / 2].to_vec(),
                3 => [&text[..20], &[0xff, 0xfe], &text[20..]].concat(),
                4 => format!("[{counter}]").into_bytes(),
                _ => {
                    draft.push(&text);
                    good.push(name);
                    continue;
                }
            };
            draft.push(&bad);
            broken.push(bad.into());
        }
        let packing = if rng.random_range(0..2) == 0 { Packing::Plain } else { Packing::Zstd };
        Draw { message: draft.finish(self.received_ms(), packing), broken, good }
    }

    fn received_ms(&self) -> i64 {
        self.shared.world.began_ms + i64::from(self.shared.minute()) * 60_000
    }
}

fn changed(mut message: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    message[at] = byte;
    message
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(text).replacen(from, to, 1).into_bytes()
}
