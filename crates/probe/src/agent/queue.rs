//! Events that wait to be shipped: a bounded queue in memory that loses the oldest first, and
//! says how many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::wire::WireEvent;
use tokio::sync::Notify;

/// How many events wait at most: at one every second that is close to three hours.
pub(super) const CAPACITY: usize = 10_000;

/// One event as it will be sent: a line of NDJSON without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) Box<str>);

/// The queue. Taking a batch takes it out; what was not acknowledged is put back.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<Line>,
    dropped: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::default(), filled: Notify::new() }
    }

    /// Adds an event.
    pub(super) fn push(&self, event: &WireEvent) {
        match serde_json::to_string(event) {
            Ok(line) => self.push_line(Line(line.into())),
            Err(e) => tracing::error!(event = %event.event_id, "cannot write an event: {e}"),
        }
    }

    fn push_line(&self, line: Line) {
        let mut inner = self.lock();
        inner.lines.push_back(line);
        inner.shrink_to(self.capacity);
        drop(inner);
        self.filled.notify_one();
    }

    /// Takes the oldest events out, `count` at most.
    pub(super) fn take(&self, count: usize) -> Vec<Line> {
        let mut inner = self.lock();
        let count = count.min(inner.lines.len());
        inner.lines.drain(..count).collect()
    }

    /// Puts events back to where they were taken from.
    pub(super) fn put_back(&self, lines: Vec<Line>) {
        let mut inner = self.lock();
        for line in lines.into_iter().rev() {
            inner.lines.push_front(line);
        }
        inner.shrink_to(self.capacity);
    }

    /// Waits until there is something to take.
    pub(super) async fn wait(&self) {
        while self.len() == 0 {
            self.filled.notified().await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Events lost because there was no room, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn shrink_to(&mut self, capacity: usize) {
        while self.lines.len() > capacity {
            self.lines.pop_front();
            self.dropped += 1;
            // Told at the first and then seldom, or a long outage fills the log.
            if self.dropped == 1 || self.dropped.is_multiple_of(1_000) {
                tracing::warn!(dropped = self.dropped, "the queue is full, the oldest are lost");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: usize) -> Line {
        Line(n.to_string().into())
    }

    #[test]
    fn the_oldest_are_lost_first_and_counted() {
        let queue = Queue::new(3);
        (0..3).for_each(|n| queue.push_line(line(n)));
        let batch = queue.take(2);
        assert_eq!(batch, [line(0), line(1)]);
        queue.push_line(line(3));
        queue.put_back(batch);
        assert_eq!(queue.dropped(), 1);
        assert_eq!(queue.take(9), [line(1), line(2), line(3)]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_event() {
        let queue = Queue::new(3);
        let pushing = async { queue.push_line(line(0)) };
        tokio::join!(queue.wait(), pushing);
        assert_eq!(queue.len(), 1);
    }
}
