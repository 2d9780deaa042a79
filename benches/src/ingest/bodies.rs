//! Bodies of requests, made beforehand: a fleet's events in order of time, without end.

use std::ops::Range;

use anyhow::Context as _;
use model::Event;
use model::decode::{Limits, Media, decode};
use model::units::MINUTE_MS;
use model::wire::WireEvent;
use server::clock::now_ms;
use testbed::simulate::{Scenario, events};

/// 50 clients measure 6 targets 6 times a minute: a transaction of 5,000 events lies in some
/// 1,100 windows.
const CLIENTS: u32 = 50;
const TARGETS: u32 = 6;
const PER_MINUTE: u32 = 6;
/// After so many minutes the same measurements come again, later and under other ids.
pub(crate) const LAP_MINUTES: u32 = 20;
/// Where time begins: late enough for no event to be refused as too old, early enough for
/// sixteen million before they would come from the future.
const BEGIN_MS: i64 = 156 * 60 * MINUTE_MS;

/// The events of a lap.
pub(crate) fn fleet() -> Vec<WireEvent> {
    let start_ms = now_ms() - BEGIN_MS;
    let fleet = Scenario::fleet(1, CLIENTS, TARGETS, start_ms, LAP_MINUTES, PER_MINUTE);
    events(&fleet).collect()
}

/// Bodies that are others each time they are used. Made once, copied and patched in use, so that
/// driving costs little beside what is driven.
pub(crate) struct Bodies {
    text: Vec<u8>,
    bodies: Vec<Body>,
    next: usize,
    used: u64,
}

struct Body {
    at: Range<usize>,
    events: Vec<Places>,
}

/// Where in its body an event's time and the last twelve digits of its id are.
struct Places {
    id: usize,
    ts: usize,
    ts_ms: i64,
}

const ID_DIGITS: usize = 12;
/// Of milliseconds since the Unix epoch, until the year 2286.
pub(crate) const TS_DIGITS: usize = 13;

impl Bodies {
    pub(crate) fn new(events_each: usize) -> Self {
        let mut bodies = Self { text: Vec::new(), bodies: Vec::new(), next: 0, used: 0 };
        for events in fleet().chunks(events_each) {
            let start = bodies.text.len();
            let mut places = Vec::with_capacity(events.len());
            for event in events {
                bodies.text.push(if bodies.text.len() == start { b'[' } else { b',' });
                let from = bodies.text.len();
                serde_json::to_writer(&mut bodies.text, event)
                    .expect("an event has text keys, and a Vec takes every write");
                let find = |what: &str| {
                    let mut places = bodies.text[from..].windows(what.len());
                    let place = places.position(|text| text == what.as_bytes());
                    from - start + place.expect("an event's JSON holds its id and time")
                };
                let id = find(&event.event_id.hyphenated().to_string()) + 36 - ID_DIGITS;
                let ts = find(&format!("\"ts_ms\":{}", event.ts_ms)) + "\"ts_ms\":".len();
                places.push(Places { id, ts, ts_ms: event.ts_ms });
            }
            bodies.text.push(b']');
            bodies.bodies.push(Body { at: start..bodies.text.len(), events: places });
        }
        bodies
    }

    /// Appends the next body and says how many events are in it.
    pub(crate) fn append_to(&mut self, out: &mut Vec<u8>) -> u32 {
        let lap = (self.next / self.bodies.len()) as i64;
        let body = &self.bodies[self.next % self.bodies.len()];
        self.next += 1;
        let start = out.len();
        out.extend_from_slice(&self.text[body.at.clone()]);
        let out = &mut out[start..];
        for event in &body.events {
            self.used += 1;
            write_digits(&mut out[event.id..][..ID_DIGITS], self.used, 16);
            let ts_ms = event.ts_ms + lap * i64::from(LAP_MINUTES) * MINUTE_MS;
            write_digits(&mut out[event.ts..][..TS_DIGITS], ts_ms.unsigned_abs(), 10);
        }
        // Never more than are made in one lap.
        u32::try_from(body.events.len()).unwrap_or(u32::MAX)
    }

    /// The next `n` events or a few more, as they are after decoding.
    pub(crate) fn decoded(&mut self, n: usize) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::with_capacity(n);
        let mut body = Vec::new();
        while events.len() < n {
            body.clear();
            self.append_to(&mut body);
            let decoded = decode(&body, Media::Json, now_ms(), &Limits::default())
                .context("failed to decode a body of our own")?;
            anyhow::ensure!(decoded.rejected.is_empty(), "refused: {:?}", decoded.rejected);
            events.extend(decoded.events.into_iter().map(|taken| taken.event));
        }
        Ok(events)
    }
}

pub(crate) fn write_digits(place: &mut [u8], mut number: u64, base: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % base) as usize];
        number /= base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_body_is_another_one_and_all_of_it_is_taken() {
        let mut bodies = Bodies::new(100);
        let lap = bodies.bodies.len() * 100;
        let events = bodies.decoded(2 * lap).unwrap();
        let ids: std::collections::HashSet<_> = events.iter().map(|event| event.id).collect();
        assert_eq!(ids.len(), 2 * lap);
        assert!(events.is_sorted_by_key(|event| event.ts_ms));
        let lap_ms = i64::from(LAP_MINUTES) * MINUTE_MS;
        assert!((0..lap).all(|i| events[i + lap].ts_ms == events[i].ts_ms + lap_ms));
        assert!((0..lap).all(|i| events[i + lap].timings == events[i].timings));
    }
}
