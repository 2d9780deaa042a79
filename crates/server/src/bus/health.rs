//! How a consumer fares, for those who look after it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What is known of a consumer. Cheap to clone; every clone tells the same.
#[derive(Clone)]
pub struct Health {
    told: Arc<Mutex<Told>>,
    halts: Arc<watch::Sender<usize>>,
}

/// How a consumer fared when it last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fares {
    /// Whether it is connected to the bus.
    pub connected: bool,
    /// Why it takes nothing, where somebody has to do something about it.
    pub halted: Option<String>,
    /// Messages that wait for any consumer; `None` before the first look.
    pub waiting: Option<u64>,
    /// Bytes that the stream keeps, those of messages that are done with among them.
    pub stream_bytes: Option<u64>,
    /// Dead letters that are kept, of all consumers.
    pub dead_letters_kept: Option<u64>,
    /// Messages that consumers have at work.
    pub at_work: u64,
    /// Every message up to this sequence is done with.
    pub ack_floor: u64,
    /// Messages, at least, that grew too old in the stream before any consumer was known to be done
    /// with them.
    pub missing: u64,
    /// How often it started anew because nothing came though something waited.
    pub rebuilt: u64,
    /// Messages done with, by this consumer.
    pub done: u64,
    /// Events it has counted, duplicates included.
    pub counted: u64,
    /// Those of them that had been counted before.
    pub duplicates: u64,
    /// What it laid aside as dead letters.
    pub dead_letters: u64,
    /// Messages that had been delivered before, to it or to another.
    pub redelivered: u64,
}

struct Told {
    fares: Fares,
    next: u64,
    /// When a message came, or it was begun anew.
    last: Instant,
    /// Messages at work here.
    busy: usize,
    /// What is in the way, by the one who said so.
    halts: BTreeMap<u64, String>,
}

/// Somebody has to do something; as long as it is held.
pub(super) struct Halt {
    health: Health,
    number: u64,
}

impl Default for Health {
    fn default() -> Self {
        let told = Told {
            fares: Fares::default(),
            next: 0,
            last: Instant::now(),
            busy: 0,
            halts: BTreeMap::new(),
        };
        Self { told: Arc::new(Mutex::new(told)), halts: Arc::new(watch::channel(0).0) }
    }
}

impl Health {
    /// How it fares.
    pub fn fares(&self) -> Fares {
        let told = self.lock();
        Fares { halted: told.halts.values().next().cloned(), ..told.fares.clone() }
    }

    /// Whether it takes messages.
    pub fn ready(&self) -> bool {
        let fares = self.fares();
        fares.connected && fares.halted.is_none()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Fares)) {
        change(&mut self.lock().fares);
    }

    /// A message came, which makes so many at work here.
    pub(super) fn delivered(&self, busy: usize) {
        let mut told = self.lock();
        (told.last, told.busy) = (Instant::now(), busy);
    }

    /// So many messages are at work here.
    pub(super) fn at_work(&self, busy: usize) {
        self.lock().busy = busy;
    }

    pub(super) fn busy(&self) -> usize {
        self.lock().busy
    }

    /// How long no message has come.
    pub(super) fn silent_for(&self) -> Duration {
        self.lock().last.elapsed()
    }

    /// It was begun anew.
    pub(super) fn rebuilt(&self) {
        let mut told = self.lock();
        told.last = Instant::now();
        told.fares.rebuilt += 1;
    }

    /// Takes nothing more until what is returned is dropped.
    pub(super) fn halt(&self, why: String) -> Halt {
        let mut told = self.lock();
        let number = told.next;
        told.next += 1;
        if told.halts.is_empty() {
            tracing::error!(%why, "halted");
        }
        told.halts.insert(number, why);
        self.halts.send_replace(told.halts.len());
        Halt { health: self.clone(), number }
    }

    /// Waits until nothing is in the way.
    pub(super) async fn clear(&self) {
        // The sender lives as long as we do.
        let _ = self.halts.subscribe().wait_for(|halts| *halts == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // Numbers are whole whoever panicked.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Halt {
    fn drop(&mut self) {
        let mut told = self.health.lock();
        told.halts.remove(&self.number);
        if told.halts.is_empty() {
            tracing::info!("no longer halted");
        }
        self.health.halts.send_replace(told.halts.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_halted_as_long_as_one_says_so() {
        let health = Health::default();
        health.update(|fares| fares.connected = true);
        let (a, b) = (health.halt("a".to_owned()), health.halt("b".to_owned()));
        assert_eq!(health.fares().halted.as_deref(), Some("a"));
        drop(a);
        assert_eq!(health.fares().halted.as_deref(), Some("b"));
        assert!(!health.ready());
        drop(b);
        health.clear().await;
        assert!(health.ready());
    }
}
