//! Events into bodies.

use bytes::Bytes;
use model::wire::WireEvent;

use super::Format;

/// What an ingest takes at once: events, and bytes of a body (1 MiB, less the closing bracket).
pub(super) const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = (1 << 20) - 1;

/// A body, and how many events it holds.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) body: Bytes,
    pub(super) events: usize,
}

/// Cuts a stream of events into batches.
pub(super) struct Batches<I> {
    events: I,
    size: usize,
    format: Format,
    /// Serialized, but the last batch had no room for it.
    kept: Option<Vec<u8>>,
}

impl<I: Iterator<Item = WireEvent>> Batches<I> {
    pub(super) fn new(events: I, size: usize, format: Format) -> Self {
        Self { events, size, format, kept: None }
    }
}

impl<I: Iterator<Item = WireEvent>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (first, next, last): (_, _, &[u8]) = match self.format {
            Format::Json => (b'[', b',', b"]"),
            Format::Ndjson => (b'\n', b'\n', b"\n"),
        };
        let mut body = Vec::new();
        let mut events = 0;
        while events < self.size {
            let start = body.len();
            match self.kept.take() {
                Some(kept) => body = kept,
                None => {
                    let Some(event) = self.events.next() else { break };
                    body.push(next);
                    serde_json::to_writer(&mut body, &event)
                        .expect("an event has text keys, and a Vec takes every write");
                }
            }
            if events > 0 && body.len() > MAX_BYTES {
                self.kept = Some(body.split_off(start));
                break;
            }
            events += 1;
        }
        if events == 0 {
            return None;
        }
        // Each event brought its separator along, the first one too.
        body[0] = first;
        body.extend_from_slice(last);
        let body = Bytes::from(body);
        let body = if self.format == Format::Ndjson { body.slice(1..) } else { body };
        Some(Batch { body, events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Scenario, events};

    fn scenario() -> Scenario {
        Scenario::fleet(1, 2, 2, 1_700_000_000_000, 2, 5)
    }

    fn batches(size: usize, format: Format) -> Vec<Batch> {
        Batches::new(events(&scenario()), size, format).collect()
    }

    #[test]
    fn every_event_is_in_one_batch_in_order() {
        let sent: Vec<_> = events(&scenario()).collect();
        let json = batches(7, Format::Json).into_iter().flat_map(|batch| {
            let events: Vec<WireEvent> = serde_json::from_slice(&batch.body).unwrap();
            assert_eq!(events.len(), batch.events);
            events
        });
        assert_eq!(json.collect::<Vec<_>>(), sent);
        let lines = batches(7, Format::Ndjson);
        assert_eq!(lines.iter().map(|b| b.events).collect::<Vec<_>>(), [7, 7, 7, 7, 7, 5]);
        let text: Vec<u8> = lines.iter().flat_map(|batch| batch.body.to_vec()).collect();
        let mut file = Vec::new();
        assert_eq!(crate::load::write_ndjson(&mut file, sent).unwrap(), 40);
        assert_eq!(text, file);
    }

    #[test]
    fn a_body_stays_under_the_limit_and_loses_nothing() {
        let padded = |event: WireEvent| WireEvent {
            labels: (0..16).map(|i| (format!("l{i}"), "x".repeat(255))).collect(),
            ..event
        };
        let scenario = Scenario { per_minute: 100, ..scenario() };
        for format in [Format::Json, Format::Ndjson] {
            let sent: Vec<_> = events(&scenario).map(padded).collect();
            let batches: Vec<_> = Batches::new(sent.clone().into_iter(), 10_000, format).collect();
            assert!(batches.len() > 2);
            assert!(batches.iter().all(|batch| batch.body.len() <= 1 << 20));
            assert_eq!(batches.iter().map(|batch| batch.events).sum::<usize>(), 800);
            let largest = batches.iter().map(|batch| batch.body.len()).max();
            assert!(largest > Some((1 << 20) - 6_000), "{largest:?}");
        }
    }
}
