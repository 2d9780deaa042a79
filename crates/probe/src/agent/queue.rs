//! Events that wait to be shipped, oldest first, each with a number of its own: on disk where the
//! probe has a spool, in memory otherwise. Both are bounded, lose the oldest first, and say what.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::wire::{WireEvent, WireGap};
use tokio::sync::Notify;

use super::gap::{Gap, Losses};
use super::spool::Spool;

/// How many events wait in memory at most: at one every second that is close to three hours.
pub(super) const CAPACITY: usize = 10_000;

/// One event as it will be sent: a line of NDJSON without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) Box<str>);

/// Events that are on their way. They stay in the queue until they are settled, also where the
/// request was given up half-way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    /// The number after the last of them.
    pub(super) upto: u64,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    kept: Mutex<Kept>,
    filled: Notify,
}

#[derive(Debug)]
enum Kept {
    Memory(Memory),
    Disk(Box<Spool>),
}

impl Queue {
    /// In memory: lost with the process.
    pub(super) fn in_memory(capacity: usize) -> Self {
        Self::of(Kept::Memory(Memory::new(capacity)))
    }

    /// On disk.
    pub(super) fn spooled(spool: Spool) -> Self {
        Self::of(Kept::Disk(Box::new(spool)))
    }

    fn of(kept: Kept) -> Self {
        Self { kept: Mutex::new(kept), filled: Notify::new() }
    }

    /// Adds an event, which takes along what was lost before it.
    pub(super) fn push(&self, event: &WireEvent) {
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.push(event),
            Kept::Disk(spool) => spool.push(event),
        }
        self.filled.notify_one();
    }

    /// The oldest events, `count` at most.
    ///
    /// What was given before and not settled counts as not arrived.
    pub(super) fn peek(&self, count: usize) -> Batch {
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.peek(count),
            Kept::Disk(spool) => spool.peek(count),
        }
    }

    /// A batch is done with: taken, or, of these lines, refused for good.
    pub(super) fn settle<'a>(&self, batch: &Batch, refused: impl IntoIterator<Item = &'a Line>) {
        let carried = refused.into_iter().filter_map(|line| line.told().gap.map(Gap::from));
        let untold = carried.fold(Gap::default(), Gap::and);
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.settle(batch.upto, untold),
            Kept::Disk(spool) => spool.settle(batch, untold),
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        if let Kept::Disk(spool) = &mut *self.lock() {
            spool.close();
        }
    }

    /// Waits until there is something to ship.
    pub(super) async fn wait(&self) {
        while self.len() == 0 {
            self.filled.notified().await;
        }
    }

    /// How many events wait.
    pub(super) fn len(&self) -> u64 {
        match &*self.lock() {
            Kept::Memory(memory) => memory.lines.len() as u64,
            Kept::Disk(spool) => spool.len(),
        }
    }

    /// How many events were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        match &*self.lock() {
            Kept::Memory(memory) => memory.losses.lost(),
            Kept::Disk(spool) => spool.lost(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue that is lost with its process.
#[derive(Debug)]
struct Memory {
    capacity: usize,
    lines: VecDeque<Line>,
    /// The number of the first of them.
    first: u64,
    losses: Losses,
}

impl Memory {
    fn new(capacity: usize) -> Self {
        Self { capacity, lines: VecDeque::new(), first: 0, losses: Losses::default() }
    }

    fn push(&mut self, event: &WireEvent) {
        while self.lines.len() >= self.capacity {
            let Some(lost) = self.lines.pop_front() else { break };
            self.losses.lose(self.first, &lost);
            self.first += 1;
        }
        match Line::of(event, self.losses.take()) {
            Ok(line) => self.lines.push_back(line),
            Err(carried) => self.losses.hand_back(carried),
        }
    }

    fn peek(&mut self, count: usize) -> Batch {
        let lines: Vec<Line> = self.lines.iter().take(count).cloned().collect();
        let upto = self.first + lines.len() as u64;
        self.losses.sending(upto);
        Batch { lines, upto }
    }

    fn settle(&mut self, upto: u64, untold: Gap) {
        let done = usize::try_from(upto.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let done = done.min(self.lines.len());
        self.lines.drain(..done);
        self.first += done as u64;
        self.losses.settled();
        self.losses.hand_back(untold);
    }
}

/// What the queue wants to know of an event.
#[derive(Default, serde::Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    pub(super) ts_ms: Option<i64>,
    #[serde(default)]
    pub(super) gap: Option<WireGap>,
}

impl Line {
    /// An event that carries a gap; the gap comes back where the event can't be written.
    pub(super) fn of(event: &WireEvent, gap: Gap) -> Result<Self, Gap> {
        let written = match gap.to_wire() {
            None => serde_json::to_string(event),
            gap => serde_json::to_string(&WireEvent { gap, ..event.clone() }),
        };
        match written {
            Ok(line) => Ok(Self(line.into())),
            Err(e) => {
                tracing::error!(event = %event.event_id, "cannot write an event: {e}");
                Err(gap.and(Gap::one(Some(event.ts_ms))))
            }
        }
    }

    /// As far as it can be read.
    pub(super) fn told(&self) -> Told {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::event;

    fn times(batch: &Batch) -> Vec<i64> {
        batch.lines.iter().map(|line| line.told().ts_ms.unwrap()).collect()
    }

    #[test]
    fn the_oldest_are_lost_first_and_the_next_event_says_so() {
        let queue = Queue::in_memory(3);
        (0..4).for_each(|n| queue.push(&event(n)));
        let batch = queue.peek(9);
        assert_eq!((times(&batch), batch.upto, queue.lost()), (vec![1, 2, 3], 4, 1));
        let gap = |line: &Line| line.told().gap.map(Gap::from);
        let lost = |count, first, last| {
            Some(Gap { count, first_ts_ms: Some(first), last_ts_ms: Some(last) })
        };
        let gaps: Vec<_> = batch.lines.iter().map(gap).collect();
        assert_eq!(gaps, [None, None, lost(1, 0, 0)]);

        // What was on its way when it was lost has arrived after all.
        queue.push(&event(4));
        queue.settle(&batch, []);
        let batch = queue.peek(9);
        assert_eq!((times(&batch), gap(&batch.lines[0])), (vec![4], None));
        // A refused event leaves what it carried to the next one.
        (5..9).for_each(|n| queue.push(&event(n)));
        let batch = queue.peek(1);
        assert_eq!((times(&batch), gap(&batch.lines[0])), (vec![6], None));
        (9..12).for_each(|n| queue.push(&event(n)));
        let batch = queue.peek(9);
        queue.settle(&batch, &batch.lines);
        queue.push(&event(12));
        assert_eq!(gap(&queue.peek(1).lines[0]), lost(5, 4, 8));
        assert_eq!(queue.len(), 1);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_event() {
        let queue = Queue::in_memory(3);
        let pushing = async { queue.push(&event(0)) };
        tokio::join!(queue.wait(), pushing);
        assert_eq!(queue.len(), 1);
    }
}
