//! One writer: makes events, sends them, and sends again what was not answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::Shared;
use super::body::{Answer, Body};
use crate::event::Name;
use crate::http::Way;

/// Batches that were not answered, above which nothing new is made.
const BACKLOG: usize = 40;
/// Batches that are remembered to be repeated.
const RECENT: usize = 30;
/// Requests at one time in a flood.
const FLOOD: usize = 8;
/// After a request that was refused.
const PAUSE: Duration = Duration::from_millis(250);
/// After a large batch the others have their turn, but not for ever.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    shared: Arc<Shared>,
    number: u16,
    /// Events a second.
    rate: u32,
    rng: ChaCha8Rng,
    ways: Vec<Way>,
    made: u32,
    backlog: Vec<Vec<Name>>,
    recent: VecDeque<Vec<Name>>,
}

/// What is sent next.
enum Next {
    New(Vec<Name>),
    Again(Vec<Name>),
    Repeated(Vec<Name>),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, number: u16, writers: u16) -> Self {
        let ways = shared.ingests.iter().map(|addr| Way::to(*addr)).collect();
        Self {
            rate: (shared.rate / u32::from(writers)).max(1),
            rng: ChaCha8Rng::seed_from_u64(shared.world.seed ^ u64::from(number) << 32),
            ways,
            shared,
            number,
            made: 0,
            backlog: Vec::new(),
            recent: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self) {
        while let Some(next) = self.next() {
            let (names, new) = match next {
                Next::New(names) => (names, true),
                Next::Again(names) => {
                    self.shared.ledger().tally.again += names.len() as u64;
                    (names, false)
                }
                Next::Repeated(names) => {
                    self.shared.ledger().tally.repeated += names.len() as u64;
                    (names, false)
                }
            };
            let flood = !new && self.shared.flood.load(Ordering::Relaxed);
            let owed = match flood || self.rng.random_range(0..30) == 0 {
                true => self.at_once(&names, if flood { FLOOD } else { 2 }).await,
                false => self.send(&names).await,
            };
            if !owed {
                // A few are given up: what became of them is nobody's obligation.
                if self.shared.is_over() || self.rng.random_range(0..20) > 0 {
                    self.backlog.push(names);
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let pause =
                Duration::from_secs(1) * u32::try_from(names.len()).unwrap_or(1) / self.rate;
            self.recent.push_back(names);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
            if !self.shared.is_over() {
                tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
            }
        }
    }

    fn next(&mut self) -> Option<Next> {
        let over = self.shared.is_over();
        let again = over || self.backlog.len() > BACKLOG || self.rng.random_range(0..2) == 0;
        if again && !self.backlog.is_empty() {
            let at = self.rng.random_range(0..self.backlog.len());
            let mut names = self.backlog.swap_remove(at);
            // In other company than before, sometimes.
            if self.rng.random_range(0..4) == 0
                && let Some(more) = self.backlog.pop()
            {
                names.extend(more);
                names.shuffle(&mut self.rng);
            }
            return Some(Next::Again(names));
        }
        if over {
            return None;
        }
        let flood = self.shared.flood.load(Ordering::Relaxed);
        let repeated = if flood { 5 } else { 1 };
        if self.rng.random_range(0..20) < repeated && !self.recent.is_empty() {
            let at = self.rng.random_range(0..self.recent.len());
            return self.recent.get(at).cloned().map(Next::Repeated);
        }
        let count = match self.rng.random_range(0..20) {
            0..8 => 1,
            8..15 => self.rng.random_range(2..20),
            15..19 => self.rng.random_range(20..150),
            _ => self.rng.random_range(300..600),
        };
        let mut names = Vec::with_capacity(count + count / 8);
        for _ in 0..count {
            names.extend(self.shared.make(self.number, self.made).into_iter().flatten());
            self.made += 1;
        }
        // Twins travel together or apart.
        names.shuffle(&mut self.rng);
        Some(Next::New(names))
    }

    /// Sends to one ingest; whether it is owed now.
    async fn send(&mut self, names: &[Name]) -> bool {
        let body = Body::of(&self.shared.world, names, &mut self.rng);
        let at = self.rng.random_range(0..self.ways.len());
        self.shared.ledger().sending(names);
        post(&self.shared, &mut self.ways[at], body, names).await
    }

    /// Sends the same several times at once, to any ingest.
    async fn at_once(&mut self, names: &[Name], times: usize) -> bool {
        self.shared.ledger().sending(names);
        let mut requests = JoinSet::new();
        for _ in 0..times {
            let body = Body::of(&self.shared.world, names, &mut self.rng);
            let at = self.rng.random_range(0..self.shared.ingests.len());
            let (shared, names) = (Arc::clone(&self.shared), names.to_vec());
            let mut way = Way::to(shared.ingests[at]);
            requests.spawn(async move { post(&shared, &mut way, body, &names).await });
        }
        self.shared.ledger().tally.repeated += (names.len() * (times - 1)) as u64;
        let owed = requests.join_all().await;
        owed.contains(&true)
    }
}

/// One request, and its answer in the book.
async fn post(shared: &Shared, way: &mut Way, body: Body, names: &[Name]) -> bool {
    let Body { headers, bytes } = body;
    let answer = way.post(&shared.token, &headers, bytes).await;
    let mut ledger = shared.ledger();
    match answer.map(|(status, body)| Answer::of(status, &body, names.len())) {
        Ok(Answer::Owed) => {
            ledger.owed(names);
            return true;
        }
        Ok(Answer::Refused) => ledger.tally.refused += 1,
        Ok(Answer::Wrong(what)) => ledger.wrong(what),
        Err(_) => ledger.tally.unanswered += 1,
    }
    false
}
