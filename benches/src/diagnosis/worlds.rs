//! The worlds that are scored, each a function of seed, rate and length.

use std::collections::BTreeSet;

use testbed::simulate::{Climate, Fault, FaultKind, Scenario, Scope, Shape, Untidy};

/// A Monday, so that a week begins with it.
const START_MS: i64 = 1_767_571_200_000;
const CLIENTS: u32 = 8;
const TARGETS: u32 = 6;
const DAY: u32 = 1_440;

/// How long a trace is, minutes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// One with faults; the first half has none.
    with_faults: u32,
    /// Makes those without faults shorter.
    quick: bool,
}

impl Length {
    pub(crate) fn of_days(days: f64, quick: bool) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let with_faults = (days.clamp(0.1, 365.0) * f64::from(DAY)) as u32;
        Self { with_faults, quick }
    }

    /// So many days, or half of one.
    fn days(self, days: u32) -> u32 {
        if self.quick { DAY / 2 } else { days * DAY }
    }
}

/// Servers that are slow at an hour of their own.
fn nightly() -> Untidy {
    Untidy { nightly_jobs: 2.0, ..Untidy::default() }
}

/// A kind of trace.
pub(crate) struct World {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What is in it.
    pub(crate) what: &'static str,
    /// Whether it is scored at every rate.
    pub(crate) every_rate: bool,
    /// Whether a quick run has it.
    pub(crate) quick: bool,
    /// Days at its beginning that are not scored: what every day has takes so many to learn.
    pub(crate) unscored_days: i64,
    make: fn(Blank, Length) -> Scenario,
}

impl World {
    pub(crate) fn scenario(&self, seed: u64, per_minute: u32, length: Length) -> Scenario {
        (self.make)(Blank { seed, per_minute }, length)
    }
}

/// What a world is made from.
#[derive(Clone, Copy)]
struct Blank {
    seed: u64,
    per_minute: u32,
}

impl Blank {
    fn fleet(self, minutes: u32) -> Scenario {
        Scenario::fleet(self.seed, CLIENTS, TARGETS, START_MS, minutes, self.per_minute)
    }

    /// Faults one after the other in the second half.
    fn faults(self, length: Length) -> Scenario {
        self.fleet(length.with_faults).random_faults_from(length.with_faults / 2)
    }

    /// Between two figures, by the seed.
    fn between(self, low: f64, high: f64) -> f64 {
        // The golden ratio spreads consecutive seeds evenly.
        #[expect(clippy::cast_precision_loss, reason = "seeds are small")]
        let part = (self.seed as f64 * 0.618_033_988_749_895).fract();
        low + (high - low) * part
    }

    fn evening(self) -> Climate {
        Climate { evening_peak: self.between(0.3, 0.9), ..Climate::default() }
    }
}

/// All of them, in the order they are scored.
pub(crate) const ALL: &[World] = &[
    World {
        name: "faults",
        what: "every kind of fault, one at a time, 8 to 20 min, after as long without",
        every_rate: true,
        quick: true,
        unscored_days: 0,
        make: Blank::faults,
    },
    World {
        name: "quiet",
        what: "no fault, 2 days",
        every_rate: true,
        quick: true,
        unscored_days: 0,
        make: |blank, length| blank.fleet(length.days(2)),
    },
    World {
        name: "season",
        what: "no fault, round trips 30 to 90 % longer at 21:00, 5 days",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| blank.fleet(length.days(5)).with_climate(blank.evening()),
    },
    World {
        name: "nightly",
        what: "no fault, servers take three times as long for 40 min of each night, some not on weekends, three days to learn them and 13 that are scored",
        every_rate: false,
        quick: false,
        unscored_days: 3,
        make: |blank, length| blank.fleet(length.days(16)).with_untidy(nightly()),
    },
    World {
        name: "nights",
        what: "every kind of fault in the last two of eight days, on top of such nights and of evenings; the first three are not scored",
        every_rate: false,
        quick: false,
        unscored_days: 3,
        make: |blank, length| {
            let days = length.days(8);
            let scenario = blank.fleet(days).random_faults_from(days / 4 * 3);
            scenario.with_untidy(nightly()).with_climate(blank.evening())
        },
    },
    World {
        name: "noise",
        what: "no fault, 2.5 times the noise, 2 days",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| {
            blank.fleet(length.days(2)).with_climate(Climate { noise: 2.5, ..Climate::default() })
        },
    },
    World {
        name: "drift",
        what: "no fault, round trips and servers 1 to 3 % slower an hour, 3 days",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| {
            let drift_per_hour = blank.between(0.01, 0.03);
            let climate = Climate { drift_per_hour, ..Climate::default() };
            blank.fleet(length.days(3)).with_climate(climate)
        },
    },
    World {
        name: "slow-drift",
        what: "no fault, round trips and servers 1 % slower an hour, 2 days",
        every_rate: true,
        quick: false,
        unscored_days: 0,
        make: |blank, length| {
            let climate = Climate { drift_per_hour: 0.01, ..Climate::default() };
            blank.fleet(length.days(2)).with_climate(climate)
        },
    },
    World {
        name: "resolver",
        what: "no fault, every second client is given another resolver, 2 days",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| {
            let untidy = Untidy { resolver_changes: 0.5, ..Untidy::default() };
            blank.fleet(length.days(2)).with_untidy(untidy)
        },
    },
    World {
        name: "untidy-quiet",
        what: "no fault, some of everything that is untidy, 3 days",
        every_rate: true,
        quick: true,
        unscored_days: 0,
        make: |blank, length| blank.fleet(length.days(3)).with_untidy(Untidy::everything()),
    },
    World {
        name: "untidy",
        what: "every kind of fault in an untidy world with evenings",
        every_rate: true,
        quick: true,
        unscored_days: 0,
        make: |blank, length| {
            let scenario = blank.faults(length).with_untidy(Untidy::everything());
            scenario.with_climate(blank.evening())
        },
    },
    World {
        name: "delivery",
        what: "every kind of fault; late, doubled and missing samples, clocks off by 1 to 2 min",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| {
            let untidy = Untidy { late: 0.25, clocks: 0.25, ..Untidy::default() };
            blank.faults(length).with_untidy(Untidy { missing: 0.05, doubled: 0.05, ..untidy })
        },
    },
    World {
        name: "sparse",
        what: "every kind of fault; throughput with every tenth measurement only",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| {
            blank.faults(length).with_untidy(Untidy { throughput_every: 10, ..Untidy::default() })
        },
    },
    World {
        name: "two",
        what: "two faults at once, of different kinds and in different cells",
        every_rate: true,
        quick: true,
        unscored_days: 0,
        make: two,
    },
    World {
        name: "evening",
        what: "every kind of fault on top of evenings",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: |blank, length| blank.faults(length).with_climate(blank.evening()),
    },
    World {
        name: "ramp",
        what: "delays that grow from nothing to twice the usual in 30 min, and stay as long",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: ramps,
    },
    World {
        name: "flapping",
        what: "every kind of fault for 18 to 30 min, two minutes on, two off",
        every_rate: false,
        quick: true,
        unscored_days: 0,
        make: |blank, length| {
            let mut scenario = blank.faults(length);
            let end = scenario.minutes;
            for fault in &mut scenario.faults {
                fault.shape = Shape::Flapping { on: 2, off: 2 };
                // The next begins twenty minutes after its end, at the earliest.
                fault.minutes = (fault.minutes + 10).min(end - fault.from_minute);
            }
            scenario
        },
    },
    World {
        name: "addresses",
        what: "faults of one of the two addresses of a target",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: addresses,
    },
    World {
        name: "long",
        what: "faults that last six hours",
        every_rate: false,
        quick: false,
        unscored_days: 0,
        make: long,
    },
    World {
        name: "start",
        what: "an outage, and a certificate, from the first minute on for 45 min",
        every_rate: false,
        quick: true,
        unscored_days: 0,
        make: start,
    },
];

/// A fault from a minute for so many.
fn fault(kind: FaultKind, scope: Scope, from_minute: u32, minutes: u32) -> Fault {
    Fault { kind, scope, from_minute, minutes, shape: Shape::Steady }
}

/// Each fault with another that begins three minutes later, in other cells.
fn two(blank: Blank, length: Length) -> Scenario {
    let mut scenario = blank.faults(length);
    let other = Blank { seed: blank.seed + 1_000, ..blank };
    let mut others = other.fleet(20 * DAY).random_faults().faults.into_iter();
    for first in scenario.faults.clone() {
        let cells: BTreeSet<_> = scenario.cells(&first).into_iter().collect();
        let second = others.by_ref().find(|second| {
            let apart = scenario.cells(second).iter().all(|cell| !cells.contains(cell));
            apart && second.kind.extended_label() != first.kind.extended_label()
        });
        // One of everyone has no other beside it.
        let Some(second) = second.filter(|_| first.scope != Scope::Global) else { continue };
        let from_minute = first.from_minute + 3;
        let minutes = first.minutes.min(scenario.minutes - from_minute);
        scenario.faults.push(fault(second.kind, second.scope, from_minute, minutes));
    }
    scenario
}

/// One thing an hour and a half that grows and stays.
fn ramps(blank: Blank, length: Length) -> Scenario {
    let mut scenario = blank.fleet(length.with_faults);
    let first = length.with_faults / 2;
    for (i, from_minute) in (first..).step_by(100).enumerate() {
        if from_minute + 60 > scenario.minutes {
            break;
        }
        let client = scenario.clients[i % scenario.clients.len()].clone();
        let target = scenario.targets[i % scenario.targets.len()].clone();
        // Usual are 30 to 60 ms of round trip, 60 of the server, 15 of the look-up.
        let (kind, scope) = match i % 3 {
            0 => (FaultKind::PathDelay { add_ms: 45.0 }, Scope::Site(client.site)),
            1 => (FaultKind::ServerDelay { add_ms: 80.0 }, Scope::Target(target)),
            _ => (FaultKind::DnsDelay { add_ms: 30.0 }, Scope::Resolver(client.resolver)),
        };
        let shape = Shape::Ramp { minutes: 30 };
        scenario.faults.push(Fault { shape, ..fault(kind, scope, from_minute, 60) });
    }
    scenario
}

/// Faults of one address, an hour apart.
fn addresses(blank: Blank, length: Length) -> Scenario {
    let mut scenario = blank.fleet(length.with_faults);
    scenario.untidy.addresses = 2;
    let first = length.with_faults / 2;
    for (i, from_minute) in (0_u32..).zip((first..).step_by(60)) {
        if from_minute + 20 > scenario.minutes {
            break;
        }
        let target = scenario.targets[i as usize % scenario.targets.len()].clone();
        let kind = match i % 5 {
            0 => FaultKind::ServerDelay { add_ms: blank.between(300.0, 900.0) },
            1 => FaultKind::OutageTcp { share: 1.0 },
            2 => FaultKind::TlsDelay { add_ms: blank.between(150.0, 400.0) },
            3 => FaultKind::Cert,
            _ => FaultKind::Http5xx { share: 1.0 },
        };
        scenario.faults.push(fault(kind, Scope::Address { target, nth: i % 2 }, from_minute, 20));
    }
    scenario
}

/// Four faults of six hours, three hours apart.
fn long(blank: Blank, length: Length) -> Scenario {
    let scenario = blank.fleet(length.days(3));
    let (hours, warm): (u32, u32) = if length.quick { (1, 4) } else { (6, 24) };
    let client = scenario.clients[0].clone();
    let target = |i: usize| Scope::Target(scenario.targets[i].clone());
    let faults = [
        (FaultKind::OutageTcp { share: 1.0 }, target(0)),
        (FaultKind::PathDelay { add_ms: 60.0 }, Scope::Site(client.site)),
        (FaultKind::ServerDelay { add_ms: 300.0 }, target(1)),
        (FaultKind::DnsServfail { share: 1.0 }, Scope::Resolver(client.resolver)),
    ];
    let apart = (hours + hours.div_ceil(2)) * 60;
    let faults = (0..)
        .zip(faults)
        .map(|(i, (kind, scope))| fault(kind, scope, warm * 60 + i * apart, hours * 60));
    faults.fold(scenario.clone(), Scenario::with_fault)
}

/// What needs no past to be told.
fn start(blank: Blank, length: Length) -> Scenario {
    let scenario = blank.fleet(length.days(1) / 4);
    let target = |i: usize| Scope::Target(scenario.targets[i].clone());
    let outage = fault(FaultKind::OutageTcp { share: 1.0 }, target(0), 0, 45);
    let certificate = fault(FaultKind::Cert, target(1), 0, 45);
    scenario.clone().with_fault(outage).with_fault(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_can_be_simulated() {
        for quick in [false, true] {
            for world in ALL {
                let scenario = world.scenario(3, 2, Length::of_days(1.0, quick));
                assert_eq!(scenario.check(), Ok(()), "{}", world.name);
                let quiet = world.what.starts_with("no fault");
                assert_eq!(scenario.faults.is_empty(), quiet, "{}", world.name);
            }
        }
    }

    #[test]
    fn two_at_once_touch_no_cell_twice() {
        let scenario = two(Blank { seed: 3, per_minute: 2 }, Length::of_days(2.0, false));
        let cells = |fault| scenario.cells(fault).into_iter().collect::<BTreeSet<_>>();
        for (i, one) in scenario.faults.iter().enumerate() {
            for other in &scenario.faults[i + 1..] {
                let meet = one.from_minute < other.from_minute + other.minutes
                    && other.from_minute < one.from_minute + one.minutes;
                assert!(!meet || cells(one).is_disjoint(&cells(other)), "{one:?} {other:?}");
            }
        }
        assert!(scenario.faults.len() > 40, "{}", scenario.faults.len());
    }
}
