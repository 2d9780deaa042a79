//! Where accepted events go: into the store of this process, or onto the bus.

use std::time::Instant;

use bytes::Bytes;
use model::decode::Accepted;
use opentelemetry::KeyValue;

use crate::aggregator::{Aggregator, Unavailable};
use crate::bus::{self, Publisher};
use crate::trace::Step;

/// What makes events durable before a request is answered.
#[derive(Clone)]
pub enum Sink {
    /// They are counted at once.
    Aggregator(Aggregator),
    /// They wait on the bus for an aggregator.
    Bus(Publisher),
}

impl Sink {
    /// Takes the events of a body, and resolves when they are durable; how many were counted
    /// before is known only where they are counted at once.
    pub(super) async fn submit(
        &self,
        body: Bytes,
        events: Vec<Accepted>,
    ) -> Result<Option<usize>, Unavailable> {
        match self {
            Self::Aggregator(aggregator) => {
                drop(body);
                let began = Instant::now();
                let events: Vec<_> = events.into_iter().map(|taken| taken.event).collect();
                let count = events.len();
                let applied = aggregator.submit(events).await?;
                aggregator.metrics().received(count, began.elapsed());
                Ok(Some(applied.duplicates))
            }
            Self::Bus(publisher) => publisher.submit(body, events).await.map(|()| None),
        }
    }

    /// What a trace says of it.
    pub(super) fn step(&self) -> (Step, Vec<KeyValue>) {
        match self {
            Self::Aggregator(aggregator) => {
                (Step::Count { bus: false }, aggregator.span_attributes())
            }
            Self::Bus(_) => (Step::Publish, bus::span_attributes("send")),
        }
    }

    /// Whether events would be taken now.
    pub fn ready(&self) -> bool {
        match self {
            Self::Aggregator(aggregator) => aggregator.ready(),
            Self::Bus(publisher) => publisher.ready(),
        }
    }
}
