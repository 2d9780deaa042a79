//! Events whose whole content follows from their id, so that what a database says was counted can
//! be checked against what must have been in it.

use model::event::{Gap, Timings};
use model::stage::ErrorStage;
use model::units::{BitsPerSecond, MINUTE_MS, Micros};
use model::wire::{NetworkContext, WireEvent, WireGap, WireTimings};
use model::{ClientId, Event, SchemaVersion, Target};
use uuid::Uuid;

/// How many clients there are. Several writers send for each, so that rows are fought over.
pub const CLIENTS: u8 = 12;
/// How many targets each of them measures.
const TARGETS: u64 = 3;
/// One event in so many has a twin: another client's event with the same id.
const TWINS: u64 = 12;
/// One in so many was made by a probe in trouble of its own.
const TROUBLED: u64 = 9;
/// One in so many tells of events that its probe had to drop.
const GAPS: u64 = 11;

/// Which event it is, whoever sends it. It stands in the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Who posts it.
    pub writer: u16,
    /// In which minute of the run it was made; below 4,096.
    pub minute: u16,
    /// The writer's count.
    pub counter: u32,
}

/// An event of a client: what `(client_id, event_id)` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The id.
    pub key: Key,
    /// Whose it is.
    pub client: u8,
}

/// What all events of a run follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// The seed of the run.
    pub seed: u64,
    /// The minute in which it began, milliseconds since the Unix epoch.
    pub began_ms: i64,
}

impl World {
    /// The id of an event. Two runs share none.
    pub fn id(&self, key: Key) -> Uuid {
        let mark = u128::from(mix(self.seed) >> 32);
        let check = u128::from(self.hash(key, 0) & 0x3fff_ffff);
        let counter = u128::from(key.counter);
        // Version 8 is for whoever needs a layout of his own; the variant is in the top of the
        // lower half.
        Uuid::from_u128(
            mark << 96
                | u128::from(key.writer) << 80
                | 0x8 << 76
                | u128::from(key.minute & 0xfff) << 64
                | 0b10 << 62
                | counter << 30
                | check,
        )
    }

    /// Which event an id names, if it is one of this run.
    pub fn key(&self, id: Uuid) -> Option<Key> {
        let bits = id.as_u128();
        #[expect(clippy::cast_possible_truncation, reason = "each part is cut out of the id")]
        let key = Key {
            writer: (bits >> 80) as u16,
            minute: (bits >> 64) as u16 & 0xfff,
            counter: (bits >> 30) as u32,
        };
        (self.id(key) == id).then_some(key)
    }

    /// The client that an event is made for.
    pub fn home(&self, key: Key) -> Name {
        #[expect(clippy::cast_possible_truncation, reason = "below the number of clients")]
        let client = (self.hash(key, 1) % u64::from(CLIENTS)) as u8;
        Name { key, client }
    }

    /// Another client's event with the same id and other content, for some.
    pub fn twin(&self, key: Key) -> Option<Name> {
        let home = self.home(key);
        let client = (home.client + 1) % CLIENTS;
        self.hash(key, 2).is_multiple_of(TWINS).then_some(Name { key, client })
    }

    /// What a client is called.
    pub fn client_id(client: u8) -> String {
        format!("chaos-{client:02}")
    }

    /// Which client is called so.
    pub fn client(client_id: &str) -> Option<u8> {
        let client = client_id.strip_prefix("chaos-")?.parse().ok()?;
        (client < CLIENTS && Self::client_id(client) == client_id).then_some(client)
    }

    /// What is counted of an event.
    pub fn event(&self, name: Name) -> Event {
        let mut draws = Draws { state: self.hash(name.key, 16 + u64::from(name.client)) };
        let target = draws.below(TARGETS);
        let minute = self.began_ms + i64::from(name.key.minute) * MINUTE_MS;
        let ts_ms = minute + draws.time(MINUTE_MS) - lateness(&mut draws);
        let failure = (draws.below(8) == 0).then(|| {
            let stages = ErrorStage::ALL.len() as u64;
            ErrorStage::ALL[usize::try_from(draws.below(stages)).unwrap_or(0)]
        });
        let mut timings = Timings::default();
        let completed = |stage| failure.is_none_or(|failed| failed > stage);
        let mut stage = |last, most| completed(last).then(|| Micros(draws.skewed(most)));
        timings.dns = stage(ErrorStage::Dns, 40_000);
        timings.tcp = stage(ErrorStage::Tcp, 60_000);
        timings.tls = stage(ErrorStage::Tls, 90_000);
        timings.ttfb = stage(ErrorStage::Http, 400_000);
        if draws.below(2) == 0 {
            timings.total = Some(Micros(draws.skewed(900_000)));
        }
        let throughput = (failure.is_none() && draws.below(3) == 0)
            .then(|| BitsPerSecond(draws.skewed(900_000_000)));
        Event {
            version: SchemaVersion::V1_1,
            id: self.id(name.key),
            client: ClientId::trusted(Self::client_id(name.client)),
            target: Target::trusted(format!("https://t{target}.chaos.test/")),
            ts_ms,
            failure,
            timings,
            throughput,
            troubled: self.hash(name.key, 32 + u64::from(name.client)).is_multiple_of(TROUBLED),
            gap: self.gap(name, ts_ms),
            beside: None,
        }
    }

    /// What an event of this time tells of losses, if it does: with the times of what was lost, or
    /// without, as where it could not be read.
    fn gap(&self, name: Name, ts_ms: i64) -> Option<Gap> {
        let mut draws = Draws { state: self.hash(name.key, 48 + u64::from(name.client)) };
        if draws.below(GAPS) > 0 {
            return None;
        }
        let count = 1 + draws.skewed(5_000);
        let last_ts_ms = (draws.below(4) > 0).then(|| ts_ms - draws.time(MINUTE_MS));
        let first_ts_ms = last_ts_ms.map(|last| last - draws.time(60 * MINUTE_MS));
        Some(Gap { count, first_ts_ms, last_ts_ms })
    }

    /// An event as it is sent.
    pub fn wire(&self, name: Name) -> WireEvent {
        let event = self.event(name);
        let Timings { dns, tcp, tls, ttfb, total } = event.timings;
        let ms = |time: Option<Micros>| time.map(Micros::as_ms);
        WireEvent {
            event_id: event.id,
            client_id: event.client.to_string(),
            ts_ms: event.ts_ms,
            recv_ts_ms: None,
            schema_version: "1.1".to_owned(),
            target: event.target.to_string(),
            network_context: NetworkContext {
                interface_type: "ethernet".to_owned(),
                vpn_enabled: false,
                user_label: None,
            },
            timings: WireTimings {
                dns_ms: ms(dns),
                tcp_ms: ms(tcp),
                tls_ms: ms(tls),
                request_ms: None,
                http_ttfb_ms: ms(ttfb),
                transfer_ms: None,
                total_ms: ms(total),
            },
            throughput_kbps: event.throughput.map(BitsPerSecond::as_kbps),
            upload_kbps: None,
            error_stage: event.failure,
            traceparent: None,
            error_type: None,
            http_status: None,
            http_version: None,
            ip_family: None,
            remote_addr: None,
            dns_server: None,
            tls_version: None,
            tls_cipher: None,
            alpn: None,
            cert_expires_ms: None,
            tcp_info: None,
            transfers: None,
            latency: None,
            probe_version: None,
            clock_offset_ms: None,
            probe_trouble: if event.troubled { vec!["stall".to_owned()] } else { Vec::new() },
            gap: event.gap.map(|Gap { count, first_ts_ms, last_ts_ms }| WireGap {
                count,
                first_ts_ms,
                last_ts_ms,
            }),
            labels: std::collections::BTreeMap::new(),
        }
    }

    /// The JSON text of an event.
    pub fn text(&self, name: Name) -> Vec<u8> {
        serde_json::to_vec(&self.wire(name)).expect("no map with keys that are no strings")
    }

    fn hash(&self, key: Key, salt: u64) -> u64 {
        let Key { writer, minute, counter } = key;
        let packed = u64::from(writer) << 48 | u64::from(minute) << 32 | u64::from(counter);
        mix(mix(self.seed ^ mix(salt)) ^ packed)
    }
}

/// How long an event was under way, milliseconds: most come at once, some after their window was
/// closed, a few after days.
fn lateness(draws: &mut Draws) -> i64 {
    match draws.below(100) {
        0..70 => 0,
        70..85 => draws.time(10 * MINUTE_MS),
        85..94 => draws.time(3 * 60 * MINUTE_MS),
        94..99 => draws.time(2 * 24 * 60 * MINUTE_MS),
        _ => draws.time(6 * 24 * 60 * MINUTE_MS),
    }
}

/// Numbers that follow from an event.
struct Draws {
    state: u64,
}

impl Draws {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn time(&mut self, limit: i64) -> i64 {
        (self.next() % limit.cast_unsigned()).cast_signed()
    }

    /// Mostly small, up to a limit, as durations are.
    fn skewed(&mut self, limit: u64) -> u64 {
        let most = 1 + self.below(limit);
        self.below(most)
    }
}

/// SplitMix64's last step: the same on every machine, in every version.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use model::decode::{Limits, decode_each};

    use super::*;

    const WORLD: World = World { seed: 7, began_ms: 1_764_000_000_000 };

    fn keys() -> impl Iterator<Item = Key> {
        (0..3_000_u32).map(|counter| Key {
            writer: u16::try_from(counter % 7).unwrap(),
            minute: u16::try_from(counter % 11).unwrap(),
            counter: counter * 1_000_003,
        })
    }

    #[test]
    fn an_id_says_which_event_it_is_and_no_other_id_does() {
        let other = World { seed: 8, ..WORLD };
        for key in keys() {
            let id = WORLD.id(key);
            assert_eq!((WORLD.key(id), other.key(id)), (Some(key), None));
            assert_eq!(WORLD.key(Uuid::from_u128(id.as_u128() ^ 1)), None);
        }
        assert_eq!(World::client("chaos-03"), Some(3));
        assert_eq!(World::client("chaos-3").or(World::client("chaos-99")), None);
    }

    #[test]
    fn what_is_sent_is_read_as_what_is_expected() {
        let names = keys().flat_map(|key| [Some(WORLD.home(key)), WORLD.twin(key)]).flatten();
        let names: Vec<Name> = names.collect();
        let texts: Vec<Vec<u8>> = names.iter().map(|name| WORLD.text(*name)).collect();
        let now_ms = WORLD.began_ms + 11 * MINUTE_MS;
        let read = decode_each(texts.iter().map(Vec::as_slice), now_ms, &Limits::default());
        assert!(read.rejected.is_empty(), "{:?}", read.rejected);
        let read: Vec<Event> = read.events.into_iter().map(|taken| taken.event).collect();
        let expected: Vec<Event> = names.iter().map(|name| WORLD.event(*name)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn there_is_something_of_everything() {
        let events: Vec<Event> = keys().map(|key| WORLD.event(WORLD.home(key))).collect();
        let clients: HashSet<_> = events.iter().map(|event| event.client.as_str()).collect();
        let failures: HashSet<_> = events.iter().map(|event| event.failure).collect();
        let late = events.iter().filter(|event| event.ts_ms < WORLD.began_ms).count();
        assert_eq!((clients.len(), failures.len()), (usize::from(CLIENTS), 8));
        assert!((300..1_500).contains(&late), "{late}");
        let troubled = events.iter().filter(|event| event.troubled).count();
        let gaps: Vec<Gap> = events.iter().filter_map(|event| event.gap).collect();
        let timed = gaps.iter().filter(|gap| gap.first_ts_ms.is_some()).count();
        assert!((200..500).contains(&troubled) && (150..400).contains(&gaps.len()));
        assert!((1..gaps.len()).contains(&timed), "{timed} of {}", gaps.len());
        assert!((100..500).contains(&keys().filter(|key| WORLD.twin(*key).is_some()).count()));
    }
}
