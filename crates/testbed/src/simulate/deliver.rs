//! When events arrive: those that are late or doubled come in the order of their arrival.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use model::wire::WireEvent;

/// Events on their way. Holds no more than what comes in twenty minutes.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    heap: BinaryHeap<Reverse<Parcel>>,
    sent: u64,
}

/// An event, ordered by arrival, then by when it was sent.
#[derive(Debug)]
struct Parcel {
    arrives_ms: i64,
    nth: u64,
    event: WireEvent,
}

impl Deliveries {
    /// Sends an event off; its `recv_ts_ms` says when it arrives.
    pub(super) fn send(&mut self, event: WireEvent) {
        let arrives_ms = event.recv_ts_ms.unwrap_or(event.ts_ms);
        self.heap.push(Reverse(Parcel { arrives_ms, nth: self.sent, event }));
        self.sent += 1;
    }

    /// The next to have arrived by a time; `None`: whenever it arrives.
    pub(super) fn next(&mut self, by_ms: Option<i64>) -> Option<WireEvent> {
        let due = self.heap.peek()?.0.arrives_ms;
        if by_ms.is_some_and(|by_ms| due > by_ms) {
            return None;
        }
        self.heap.pop().map(|parcel| parcel.0.event)
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.arrives_ms, self.nth).cmp(&(other.arrives_ms, other.nth))
    }
}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Parcel {}
