//! Events without end, each under an id of its own.

use std::fmt;

use model::event::Timings;
use model::units::{MINUTE_MS, Micros};
use model::{ClientId, Event, SchemaVersion, Target};
use uuid::Uuid;

/// The time of the run: a minute's start, late on a day.
pub(super) const NOW_MS: i64 = 1_800_046_740_000;

/// How events lie in windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A thousand windows a minute; a transaction touches all of them.
    Dense,
    /// Every event has a window to itself.
    Fleet,
}

/// How a sender chooses ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Version 4: the worst for an index that begins with them.
    Random,
    /// Version 7: they grow with time.
    Ordered,
}

/// The events of one connection; its clients are nobody else's.
pub(super) struct Feed {
    shape: Shape,
    ids: Ids,
    clients: Vec<ClientId>,
    targets: Vec<Target>,
    /// Events that were given.
    given: u64,
    random: u64,
}

/// Events a request brings.
const REQUEST: usize = 100;
/// Transactions of a minute, where windows are shared: each gets thirty events.
const DENSE_MINUTE: u64 = 30_000;

impl Feed {
    pub(super) fn new(shape: Shape, ids: Ids, worker: usize) -> Self {
        let (clients, targets) = match shape {
            Shape::Dense => (50, 20),
            Shape::Fleet => (20_000, 1),
        };
        let client = |n| ClientId::trusted(format!("probe-{worker:02}-{n:06}-0190c2c0-7000"));
        let target = |n| Target::trusted(format!("https://www{n:02}.shop.example/health"));
        Self {
            shape,
            ids,
            clients: (0..clients).map(client).collect(),
            targets: (0..targets).map(target).collect(),
            given: 0,
            random: 0x9e37_79b9_7f4a_7c15 ^ (worker as u64 + 1),
        }
    }

    /// So many events, in requests of one client each or of many.
    pub(super) fn next(&mut self, events: usize) -> Vec<Vec<Event>> {
        let mut requests = Vec::with_capacity(events.div_ceil(REQUEST));
        let mut left = events;
        while left > 0 {
            let size = left.min(REQUEST);
            requests.push((0..size).map(|_| self.event()).collect());
            left -= size;
        }
        requests
    }

    fn event(&mut self) -> Event {
        let n = self.given;
        self.given += 1;
        let clients = self.clients.len() as u64;
        let (client, target, minute) = match self.shape {
            // A hundred events of one client over all targets, five times.
            Shape::Dense => (n / 100 % clients, n % self.targets.len() as u64, n / DENSE_MINUTE),
            Shape::Fleet => (n % clients, 0, n / clients),
        };
        let us = |of: u64| Some(Micros(of * 1_000 + n * 7_919 % 5_003));
        Event {
            version: SchemaVersion::V1_1,
            id: self.id(n),
            client: self.clients[client as usize].clone(),
            target: self.targets[target as usize].clone(),
            ts_ms: NOW_MS + minute as i64 * MINUTE_MS + (n % 60_000) as i64,
            failure: None,
            timings: Timings { dns: us(12), tcp: us(21), tls: us(44), ttfb: us(88), total: None },
            throughput: None,
            troubled: false,
            gap: None,
            beside: None,
        }
    }

    fn id(&mut self, n: u64) -> Uuid {
        let low = self.roll();
        match self.ids {
            Ids::Random => Uuid::from_u64_pair(self.roll(), low),
            Ids::Ordered => Uuid::from_u64_pair((NOW_MS.unsigned_abs() << 16) + n, low),
        }
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

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::Ordered => "version 7",
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "1,000 windows a minute",
            Self::Fleet => "a window for each event",
        })
    }
}
