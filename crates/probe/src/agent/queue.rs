//! Events that wait to be shipped, oldest first, each with a number of its own: on disk where the
//! probe has a spool, in memory otherwise. Both are bounded, lose the oldest first, and say what.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::wire::WireEvent;
use tokio::sync::Notify;

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

/// Events that were lost for want of room, or because their place on the disk could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub count: u64,
    /// The time of the oldest, where it is known.
    pub first_ts_ms: Option<i64>,
    /// The time of the newest, where it is known.
    pub last_ts_ms: Option<i64>,
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
    Disk(Spool),
}

impl Queue {
    /// In memory: lost with the process.
    pub(super) fn in_memory(capacity: usize) -> Self {
        Self::of(Kept::Memory(Memory::new(capacity)))
    }

    /// On disk.
    pub(super) fn spooled(spool: Spool) -> Self {
        Self::of(Kept::Disk(spool))
    }

    fn of(kept: Kept) -> Self {
        Self { kept: Mutex::new(kept), filled: Notify::new() }
    }

    /// Adds an event.
    pub(super) fn push(&self, event: &WireEvent) {
        let line = match serde_json::to_string(event) {
            Ok(line) => Line(line.into()),
            Err(e) => return tracing::error!(event = %event.event_id, "cannot write an event: {e}"),
        };
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.push(line),
            Kept::Disk(spool) => spool.push(line),
        }
        self.filled.notify_one();
    }

    /// The oldest events, `count` at most.
    pub(super) fn peek(&self, count: usize) -> Batch {
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.peek(count),
            Kept::Disk(spool) => spool.peek(count),
        }
    }

    /// Everything before this number is done with.
    pub(super) fn settle(&self, upto: u64) {
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.settle(upto),
            Kept::Disk(spool) => spool.settle(upto),
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

    /// What was lost since the start.
    pub(super) fn gap(&self) -> Gap {
        match &*self.lock() {
            Kept::Memory(memory) => memory.gap,
            Kept::Disk(spool) => spool.gap(),
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
    gap: Gap,
}

impl Memory {
    fn new(capacity: usize) -> Self {
        Self { capacity, lines: VecDeque::new(), first: 0, gap: Gap::default() }
    }

    fn push(&mut self, line: Line) {
        self.lines.push_back(line);
        while self.lines.len() > self.capacity {
            if let Some(lost) = self.lines.pop_front() {
                self.first += 1;
                self.gap.add(lost.ts_ms());
            }
        }
    }

    fn peek(&self, count: usize) -> Batch {
        let lines: Vec<Line> = self.lines.iter().take(count).cloned().collect();
        let upto = self.first + lines.len() as u64;
        Batch { lines, upto }
    }

    fn settle(&mut self, upto: u64) {
        let done = usize::try_from(upto.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let done = done.min(self.lines.len());
        self.lines.drain(..done);
        self.first += done as u64;
    }
}

impl Line {
    /// The event's time, where it can be read.
    pub(super) fn ts_ms(&self) -> Option<i64> {
        #[derive(serde::Deserialize)]
        struct Time {
            ts_ms: i64,
        }
        serde_json::from_str::<Time>(&self.0).ok().map(|event| event.ts_ms)
    }
}

impl Gap {
    /// One event more, of this time.
    pub(super) fn add(&mut self, ts_ms: Option<i64>) {
        self.count += 1;
        self.first_ts_ms = self.first_ts_ms.into_iter().chain(ts_ms).min();
        self.last_ts_ms = self.last_ts_ms.into_iter().chain(ts_ms).max();
        // Told at the first and then seldom, or a long outage fills the log.
        if self.count == 1 || self.count.is_multiple_of(1_000) {
            tracing::warn!(events = self.count, "events are lost, the oldest first");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: i64) -> Line {
        Line(format!(r#"{{"ts_ms":{n}}}"#).into())
    }

    #[test]
    fn the_oldest_are_lost_first_and_told_with_their_times() {
        let mut memory = Memory::new(3);
        (0..3).for_each(|n| memory.push(line(n)));
        let batch = memory.peek(2);
        assert_eq!(batch, Batch { lines: vec![line(0), line(1)], upto: 2 });
        memory.push(line(3));
        memory.push(line(4));
        let gap = Gap { count: 2, first_ts_ms: Some(0), last_ts_ms: Some(1) };
        assert_eq!(memory.gap, gap);
        // What was on its way is gone already; what came after it stays.
        memory.settle(batch.upto);
        assert_eq!(memory.peek(9).lines, [line(2), line(3), line(4)]);
        memory.settle(memory.peek(9).upto);
        assert_eq!(memory.lines.len(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_event() {
        let queue = Queue::in_memory(3);
        let pushing = async {
            match &mut *queue.lock() {
                Kept::Memory(memory) => memory.push(line(0)),
                Kept::Disk(_) => unreachable!(),
            }
            queue.filled.notify_one();
        };
        tokio::join!(queue.wait(), pushing);
        assert_eq!(queue.len(), 1);
    }
}
