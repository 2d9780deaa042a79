//! The oracle: writers that post events and remember every answer. It is never broken itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::event::{Key, Name, World};
use crate::ledger::Ledger;

mod body;
mod letters;
mod writer;

pub use letters::Letters;
use writer::Writer;

/// How many writers there are.
const WRITERS: u16 = 6;
/// The writer that puts events straight on the bus.
const BESIDE: u16 = 900;
/// The writer of fresh events.
const FRESH: u16 = 901;

/// What all writers share.
pub struct Shared {
    /// What events follow from.
    pub world: World,
    ledger: Mutex<Ledger>,
    ingests: Vec<SocketAddr>,
    token: String,
    /// Events a second of all writers together.
    rate: u32,
    flood: AtomicBool,
    over: AtomicBool,
    began: Instant,
}

impl Shared {
    /// The book of what was sent and answered.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // An entry that panicked leaves a whole book.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything is to be sent again and again.
    pub fn flood(&self, on: bool) {
        self.flood.store(on, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The minute of the run.
    fn minute(&self) -> u16 {
        let minutes = self.began.elapsed().as_secs() / 60;
        u16::try_from(minutes).unwrap_or(u16::MAX) & 0xfff
    }

    /// A name that was not there before, and its twin.
    fn make(&self, writer: u16, counter: u32) -> [Option<Name>; 2] {
        let key = Key { writer, minute: self.minute(), counter };
        [Some(self.world.home(key)), self.world.twin(key)]
    }
}

/// Writers at work.
pub struct Oracle {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

impl Oracle {
    /// Starts them, within a runtime.
    pub fn start(world: World, ingests: Vec<SocketAddr>, token: String, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            world,
            ledger: Mutex::default(),
            ingests,
            token,
            rate,
            flood: AtomicBool::new(false),
            over: AtomicBool::new(false),
            began: Instant::now(),
        });
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            writers.spawn(Writer::new(Arc::clone(&shared), number, WRITERS).run());
        }
        Self { shared, writers }
    }

    /// What they share.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Has them make nothing new, and returns when all they still have to send is answered.
    pub async fn finish(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        while self.writers.join_next().await.is_some() {}
    }
}

/// Posts one event of now through one ingest; gives its name when it is owed.
pub async fn fresh(shared: &Shared, ingest: SocketAddr, counter: u32) -> anyhow::Result<Name> {
    let key = (counter..u32::MAX / 2).step_by(1_000).map(|counter| Key {
        writer: FRESH,
        minute: shared.minute(),
        counter,
    });
    // One that is not late: its window is the one of now.
    let now_ms = shared.world.began_ms + i64::from(shared.minute()) * 60_000;
    let of_now = |key: &Key| shared.world.event(shared.world.home(*key)).ts_ms >= now_ms;
    let key = key.into_iter().find(of_now).expect("most events are not late");
    let name = shared.world.home(key);
    shared.ledger().sending(&[name]);
    let mut way = crate::http::Way::to(ingest);
    let body = shared.world.text(name).into();
    let answer = way.post(&shared.token, &[("content-type", "application/json")], body).await?;
    anyhow::ensure!(answer.0 == 202, "answered {}", answer.0);
    shared.ledger().owed(&[name]);
    Ok(name)
}
