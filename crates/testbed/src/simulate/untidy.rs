//! What makes a world less tidy than the model, and is no fault: each thing off by default.

use serde::{Deserialize, Serialize};

use super::measure::Moment;
use super::random::{Random, Stream};
use super::scenario::Scenario;

mod nightly;
mod pulse;

use nightly::Nightly;
use pulse::{Pulse, Pulses};

/// Ordinary trouble. All of it is off at 0, the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Untidy {
    /// Share of the look-ups that a cache in the client answers at once.
    pub stub_hits: f64,
    /// Share of the look-ups whose query is lost: 1 s or 5 s more, by the client's system.
    pub dns_resends: f64,
    /// Share of the clients whose handshakes are TLS 1.2, of two round trips.
    pub tls12: f64,
    /// Bursts an hour of each client on Wi-Fi: +20 to 200 ms for 10 to 60 s.
    pub wifi_bursts_per_hour: f64,
    /// Handovers an hour of one client in three: nothing passes for 1 to 5 s, and the round trip
    /// is up to 30 % longer or shorter afterwards.
    pub handovers_per_hour: f64,
    /// Changes of route a day of each site and target: 3 to 8 ms more or less, for 3 to 180 min.
    pub route_flaps_per_day: f64,
    /// Deployments a day of each target: the server takes 0.8 to 1.25 times as long for 1 to 8 h.
    pub deploys_per_day: f64,
    /// Share by which the server of each target is slower for 40 min of each night, at a time of its own;
    /// every second one on weekdays alone.
    pub nightly_jobs: f64,
    /// Share by which servers are faster, and evenings quieter, on Saturday and Sunday.
    pub weekend: f64,
    /// Share of the clients that are cut off up to 20 min every two hours, and deliver afterwards.
    pub late: f64,
    /// Share of the clients whose clock is off by one to two minutes.
    pub clocks: f64,
    /// Share of the measurements that never arrive.
    pub missing: f64,
    /// Share of the measurements that arrive twice.
    pub doubled: f64,
    /// Throughput is measured every so many measurements only; 0 and 1: with each.
    pub throughput_every: u32,
    /// Addresses a target has, by turns: 2, or one.
    pub addresses: u32,
    /// Share of the clients that are given another resolver, once.
    pub resolver_changes: f64,
}

const HOUR_MS: f64 = 3_600_000.0;
const MINUTE_MS: f64 = 60_000.0;

impl Untidy {
    /// Some of everything.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            stub_hits: 0.3,
            dns_resends: 0.004,
            tls12: 0.3,
            wifi_bursts_per_hour: 2.0,
            handovers_per_hour: 1.0,
            route_flaps_per_day: 4.0,
            deploys_per_day: 2.0,
            nightly_jobs: 0.0,
            weekend: 0.2,
            late: 0.15,
            clocks: 0.15,
            missing: 0.02,
            doubled: 0.01,
            throughput_every: 5,
            addresses: 2,
            resolver_changes: 0.0,
        }
    }

    /// Whether anything is on that a measurement's own random numbers decide.
    pub(super) fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it matters when an event arrives.
    pub(super) fn stamps(&self) -> bool {
        self.late > 0.0 || self.clocks > 0.0 || self.doubled > 0.0
    }

    /// Says which number is out of range.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let fields = [
            ("stub_hits", self.stub_hits, 1.0),
            ("dns_resends", self.dns_resends, 1.0),
            ("tls12", self.tls12, 1.0),
            ("wifi_bursts_per_hour", self.wifi_bursts_per_hour, 60.0),
            ("handovers_per_hour", self.handovers_per_hour, 60.0),
            ("route_flaps_per_day", self.route_flaps_per_day, 1_440.0),
            ("deploys_per_day", self.deploys_per_day, 1_440.0),
            ("nightly_jobs", self.nightly_jobs, 100.0),
            ("weekend", self.weekend, 0.9),
            ("late", self.late, 1.0),
            ("clocks", self.clocks, 1.0),
            ("missing", self.missing, 1.0),
            ("doubled", self.doubled, 1.0),
            ("addresses", f64::from(self.addresses), 2.0),
            ("resolver_changes", self.resolver_changes, 1.0),
        ];
        let wrong = fields.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value));
        wrong.map_or(Ok(()), |(name, ..)| Err(name))
    }
}

/// What comes and goes, as it is at one minute.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// One a client, in the scenario's order.
    wifi: Vec<Option<Pulses>>,
    handovers: Vec<Option<Pulses>>,
    cut_off: Vec<Option<Pulses>>,
    clock_ms: Vec<i64>,
    /// One a client and target; those of one site share theirs by having its name.
    routes: Vec<Option<Pulses>>,
    /// One a target.
    deploys: Vec<Option<Pulses>>,
    /// One a target, where there are any, and by what they are slower.
    nightly: Vec<Nightly>,
    nightly_jobs: f64,
}

impl Weather {
    /// `wireless` says of each client whether it is on Wi-Fi.
    pub(super) fn new(scenario: &Scenario, random: &mut Random, wireless: &[bool]) -> Self {
        let untidy = &scenario.untidy;
        let mut drawn = |name: &str, id: &str| random.at(Stream::of(&[name, id]), 0).unit();
        let clients = || scenario.clients.iter();
        let pulses = |names: &[&str], per_hour: f64, lasts| Pulses::new(names, per_hour, lasts);
        let handovers = clients().map(|client| {
            let moves = drawn("moves", &client.id) < 1.0 / 3.0;
            let lasts = (1e3, 5e3);
            pulses(&["handover", &client.id], untidy.handovers_per_hour, lasts).filter(|_| moves)
        });
        let handovers = handovers.collect();
        let cut_off = clients().map(|client| {
            let late = drawn("late", &client.id) < untidy.late;
            pulses(&["cut off", &client.id], 0.5, (MINUTE_MS, 20.0 * MINUTE_MS)).filter(|_| late)
        });
        let cut_off = cut_off.collect();
        let clock_ms = clients().map(|client| {
            let u = drawn("clock", &client.id);
            if u >= untidy.clocks {
                return 0;
            }
            let ahead = drawn("clock ahead", &client.id);
            // -120 to -60 s, or 60 to 120.
            let off = if ahead < 0.5 { ahead * 2.0 - 2.0 } else { ahead * 2.0 };
            whole(off * MINUTE_MS)
        });
        Self {
            wifi: clients()
                .zip(wireless)
                .map(|(client, wireless)| {
                    let lasts = (1e4, MINUTE_MS);
                    let all = pulses(&["wifi", &client.id], untidy.wifi_bursts_per_hour, lasts);
                    all.filter(|_| *wireless)
                })
                .collect(),
            clock_ms: clock_ms.collect(),
            handovers,
            cut_off,
            routes: clients()
                .flat_map(|client| scenario.targets.iter().map(move |target| (client, target)))
                .map(|(client, target)| {
                    let lasts = (3.0 * MINUTE_MS, 180.0 * MINUTE_MS);
                    let per_hour = untidy.route_flaps_per_day / 24.0;
                    pulses(&["route", &client.site, target], per_hour, lasts)
                })
                .collect(),
            deploys: scenario
                .targets
                .iter()
                .map(|target| {
                    let lasts = (HOUR_MS, 8.0 * HOUR_MS);
                    pulses(&["deploy", target], untidy.deploys_per_day / 24.0, lasts)
                })
                .collect(),
            nightly: scenario
                .targets
                .iter()
                .enumerate()
                .filter(|_| untidy.nightly_jobs > 0.0)
                .map(|(nth, target)| Nightly::new(target, nth))
                .collect(),
            nightly_jobs: untidy.nightly_jobs,
        }
    }

    pub(super) fn advance(&mut self, random: &mut Random, minute_ms: i64) {
        let per_client = [&mut self.wifi, &mut self.handovers, &mut self.cut_off];
        let all = per_client.into_iter().chain([&mut self.routes, &mut self.deploys]);
        for pulses in all.flatten().flatten() {
            pulses.advance(random, minute_ms);
        }
        for nightly in &mut self.nightly {
            nightly.advance(random, minute_ms);
        }
    }

    /// Adds what it does to a measurement of a cell, given by its place, client and target.
    pub(super) fn weigh(&self, moment: &mut Moment, at: [usize; 3], ts_ms: i64) {
        let [cell, client, target] = at;
        if let Some(burst) = pulse(&self.wifi, client, ts_ms) {
            moment.burst_ms = 20.0 + 180.0 * burst.strength;
        }
        if let Some(handovers) = &self.handovers[client] {
            if let Some(gap) = handovers.at(ts_ms) {
                moment.gap_ms = (gap.to_ms - ts_ms) as f64;
            }
            moment.rtt *= spread(handovers.latest(ts_ms).strength, 1.3);
        }
        if let Some(route) = pulse(&self.routes, cell, ts_ms) {
            // -8 to -3 ms, or 3 to 8.
            let way = route.strength * 2.0 - 1.0;
            moment.route_ms = 3.0f64.copysign(way) + 5.0 * way;
        }
        if let Some(deploy) = pulse(&self.deploys, target, ts_ms) {
            moment.server *= spread(deploy.strength, 1.25);
        }
        if self.nightly.get(target).is_some_and(|nightly| nightly.is_on(ts_ms)) {
            moment.server *= 1.0 + self.nightly_jobs;
        }
    }

    /// By how much a client's clock is ahead, milliseconds.
    pub(super) fn clock_ms(&self, client: usize) -> i64 {
        self.clock_ms[client]
    }

    /// Until when a client is cut off.
    pub(super) fn cut_off_until(&self, client: usize, ts_ms: i64) -> Option<i64> {
        pulse(&self.cut_off, client, ts_ms).map(|cut_off| cut_off.to_ms)
    }
}

fn pulse(of: &[Option<Pulses>], place: usize, ts_ms: i64) -> Option<Pulse> {
    of[place].as_ref()?.at(ts_ms)
}

/// From one over `most` to `most`, even on the logarithm.
fn spread(unit: f64, most: f64) -> f64 {
    libm::pow(most, 2.0 * unit - 1.0)
}

#[expect(clippy::cast_possible_truncation, reason = "minutes in milliseconds")]
fn whole(ms: f64) -> i64 {
    libm::round(ms) as i64
}

#[cfg(test)]
mod tests;
