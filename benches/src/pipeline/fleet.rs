//! What a fleet sends: each probe measures one target at a steady pace, so that every event lies in
//! another window than its neighbours, and a window gets few of them.

use model::wire::WireEvent;
use testbed::simulate::{Scenario, events};

use crate::ingest::{TS_DIGITS, write_digits};

/// Figures and targets of so many measurements; a probe has always the same.
const CLIENTS: u32 = 100;
const TARGETS: u32 = 6;

/// The events of a fleet in the order of time, without end.
pub(super) struct Fleet {
    texts: Vec<Text>,
    /// Probes in it, at least as many as there are texts.
    pub(super) probes: u64,
    /// Between two events of one.
    every_ms: u64,
    begin_ms: i64,
    /// Events in a body.
    batch: u32,
    given: u64,
    random: u64,
}

/// An event, and where its id, its time and its probe's number are.
struct Text {
    bytes: Vec<u8>,
    id: usize,
    ts: usize,
    client: usize,
}

const CLIENT: &str = "probe-00000000";
const CLIENT_DIGITS: usize = 8;

impl Fleet {
    /// Events from `begin_ms` on, `batch` of them in a body, of as many different probes.
    pub(super) fn new(probes: u64, every_ms: u64, begin_ms: i64, batch: u32) -> Self {
        let scenario = Scenario::fleet(1, CLIENTS, TARGETS, begin_ms, 1, 1);
        let texts: Vec<Text> = events(&scenario).map(Text::new).collect();
        // A probe keeps its target from one round of the fleet to the next.
        let probes = probes.next_multiple_of(texts.len() as u64);
        Self { texts, probes, every_ms, begin_ms, batch, given: 0, random: 0 }
    }

    /// Events a second that it sends.
    pub(super) fn per_second(&self) -> f64 {
        self.probes as f64 * 1e3 / self.every_ms as f64
    }

    /// Appends the next body and says how many events are in it.
    pub(super) fn append_to(&mut self, out: &mut Vec<u8>) -> u32 {
        for n in 0..self.batch {
            out.push(if n == 0 { b'[' } else { b',' });
            self.event(out);
        }
        out.push(b']');
        self.batch
    }

    fn event(&mut self, out: &mut Vec<u8>) {
        let n = self.given;
        self.given += 1;
        let (random, text) = (self.roll(), &self.texts[(n % self.texts.len() as u64) as usize]);
        let start = out.len();
        out.extend_from_slice(&text.bytes);
        let out = &mut out[start..];
        let ts_ms = self.begin_ms.unsigned_abs() + n * self.every_ms / self.probes;
        write_digits(&mut out[text.ts..][..TS_DIGITS], ts_ms, 10);
        write_digits(&mut out[text.client..][..CLIENT_DIGITS], n % self.probes, 10);
        // As version 7 has it: the time, then what is random.
        let id = &mut out[text.id..][..36];
        write_digits(&mut id[..8], ts_ms >> 16, 16);
        write_digits(&mut id[9..13], ts_ms, 16);
        write_digits(&mut id[15..18], n, 16);
        write_digits(&mut id[20..23], random, 16);
        write_digits(&mut id[24..], random >> 12, 16);
    }

    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Text {
    fn new(event: WireEvent) -> Self {
        let event = WireEvent { client_id: CLIENT.to_owned(), ..event };
        let text = serde_json::to_string(&event).expect("an event has text keys");
        let find = |what: &str| text.find(what).expect("an event's JSON holds what it was made of");
        Self {
            id: find(&event.event_id.hyphenated().to_string()),
            ts: find(&format!("\"ts_ms\":{}", event.ts_ms)) + "\"ts_ms\":".len(),
            client: find(CLIENT) + CLIENT.len() - CLIENT_DIGITS,
            bytes: text.into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use model::decode::{Limits, Media, decode};

    use super::*;

    const BEGIN_MS: i64 = 1_800_046_740_000;

    #[test]
    fn each_probe_measures_its_own_target_at_its_pace() {
        let mut fleet = Fleet::new(1_000, 10_000, BEGIN_MS, 100);
        assert_eq!((fleet.probes, fleet.per_second()), (1_200, 120.0));
        let (mut ids, mut events) = (HashSet::new(), Vec::new());
        for _ in 0..24 {
            let mut body = Vec::new();
            assert_eq!(fleet.append_to(&mut body), 100);
            let decoded = decode(&body, Media::Json, BEGIN_MS, &Limits::default()).unwrap();
            assert_eq!(decoded.rejected, []);
            events.extend(decoded.events.into_iter().map(|taken| taken.event));
        }
        ids.extend(events.iter().map(|event| event.id));
        assert_eq!(ids.len(), 2_400);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        let probes: HashSet<_> = events.iter().map(|event| event.client.clone()).collect();
        assert_eq!(probes.len(), 1_200);
        for (first, second) in events.iter().zip(&events[1_200..]) {
            assert_eq!((&first.client, &first.target), (&second.client, &second.target));
            assert_eq!(first.ts_ms + 10_000, second.ts_ms);
        }
    }
}
