//! A small fleet, minute by minute: four clients at two sites measure two targets.

use std::sync::Arc;

use super::*;
use crate::diagnosis::Label;
use crate::event::Beside;
use crate::stage::ErrorStage;

mod nights;

const CLIENTS: usize = 4;
const TARGETS: usize = 2;

/// What is broken: adds to the samples of a cell's minute, or fails them.
type Broken<'a> = &'a dyn Fn(usize, usize, &mut [u64; 5]) -> Option<Failing>;

const FINE: Broken<'static> = &|_, _, _| None;

struct Fleet {
    engine: Engine,
    now: i64,
    random: u64,
}

impl Fleet {
    fn new() -> Self {
        let mut engine = Engine::default();
        for client in 0..CLIENTS {
            for target in 0..TARGETS {
                let place = Place {
                    client: format!("c{client}").into(),
                    target: format!("https://t{target}.example/").into(),
                    site: Some(format!("s{}", client / 2).into()),
                    resolver: Some("r".into()),
                    ..Place::default()
                };
                engine.place(CellId(client * TARGETS + target), &place);
            }
        }
        Self { engine, now: 1_000_000, random: 7 }
    }

    /// Uniform in 0 to 1,000.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % 1_000
    }

    fn minute(&mut self, n: usize, broken: Broken<'_>) -> Vec<Said> {
        let mut seen = Vec::new();
        for client in 0..CLIENTS {
            for target in 0..TARGETS {
                let mut observation = Observation::default();
                for _ in 0..n {
                    let mut samples = [5_000, 20_000, 24_000, 60_000, 50_000_000];
                    for sample in &mut samples {
                        *sample += *sample * self.draw() / 10_000;
                    }
                    let failed = broken(client, target, &mut samples);
                    observation.count(failed);
                    if failed.is_none() {
                        for (signal, value) in Signal::ALL.into_iter().zip(samples) {
                            observation.add(signal, value);
                        }
                    }
                }
                seen.push((CellId(client * TARGETS + target), Arc::new(observation)));
            }
        }
        let said = self.engine.advance(self.now, seen);
        self.now += 1;
        said
    }

    fn quiet(&mut self, minutes: usize, n: usize) {
        for _ in 0..minutes {
            let said = self.minute(n, FINE);
            assert!(said.iter().all(|said| said.incident.is_none()), "{said:?} at {}", self.now);
        }
    }

    /// The labels of a minute, by cell.
    fn labels(said: &[Said]) -> Vec<Option<Label>> {
        said.iter().map(|said| said.label).collect()
    }

    fn only(&self) -> &Incident {
        let [incident] = self.engine.incidents() else { panic!("{:?}", self.engine.incidents()) };
        incident
    }
}

fn slow_server(_: usize, target: usize, samples: &mut [u64; 5]) -> Option<Failing> {
    if target == 1 {
        samples[3] += 200_000;
    }
    None
}

#[test]
fn a_step_is_one_incident_of_the_target_from_its_onset_to_its_end() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    let start = fleet.now;
    let mut labels = Vec::new();
    for _ in 0..120 {
        labels.push(Fleet::labels(&fleet.minute(6, &slow_server)));
    }
    let server = Some(Label::ServerBound);
    assert_eq!(labels[1], [None, server, None, server, None, server, None, server]);
    assert_eq!(labels[1], labels[119], "for as long as it lasts");
    let incident = fleet.only();
    assert_eq!(
        (incident.scope.kind, &*incident.scope.id),
        (ScopeKind::Target, "https://t1.example/")
    );
    assert!((incident.onset - start).abs() <= 2, "{incident:?}");
    assert!((incident.excess[3] - 200_000.0).abs() < 20_000.0, "{:?}", incident.excess);
    for _ in 0..10 {
        fleet.minute(6, FINE);
    }
    let end = fleet.only().end.unwrap();
    assert!((end - (start + 120)).abs() <= 3, "{end}");
    fleet.quiet(30, 6);
}

#[test]
fn a_whole_outage_of_the_look_up_is_told_in_its_first_minute_whatever_n() {
    for n in [2, 6, 30] {
        let mut fleet = Fleet::new();
        fleet.quiet(90, n);
        let said = fleet.minute(n, &|_, _, _| Some(Failing::Dns));
        let outage = Some(Label::Outage(ErrorStage::Dns));
        assert_eq!(Fleet::labels(&said), [outage; 8], "n = {n}");
        let incident = fleet.only();
        // All clients ask the one resolver: the data can't tell it from everything.
        assert_eq!(incident.scope.kind, ScopeKind::Resolver);
        assert_eq!(incident.ambiguous_with[0].kind, ScopeKind::Global);
    }
}

/// What wanders by little is evidence too, and a fault that comes on top of it is still no slow one, and
/// of those alone whom it touches.
#[test]
fn a_leap_is_told_from_what_wandered_before_it() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 30);
    let wandering = |_: usize, _: usize, samples: &mut [u64; 5]| {
        samples[2] += samples[2] / 25;
        None
    };
    for _ in 0..8 {
        let said = fleet.minute(30, &wandering);
        assert!(said.iter().all(|said| said.incident.is_none()), "{said:?}");
    }
    let start = fleet.now;
    for _ in 0..3 {
        fleet.minute(30, &|client, target, samples| {
            wandering(client, target, samples);
            samples[2] += if target == 0 { 100_000 } else { 0 };
            None
        });
    }
    let incident = fleet.only();
    assert_eq!((incident.label, incident.scope.kind), (Label::HandshakeBound, ScopeKind::Target));
    assert_eq!((incident.onset, incident.opened_at), (start, start + 1));
    assert_eq!(*incident.cells, [0, 2, 4, 6]);
}

#[test]
fn every_round_trip_is_the_path_and_the_handshake_alone_is_the_target() {
    let longer = |client: usize, _: usize, samples: &mut [u64; 5]| {
        if client < 2 {
            samples[1..4].iter_mut().for_each(|us| *us += 40_000);
        }
        None
    };
    let slow_tls = |_: usize, target: usize, samples: &mut [u64; 5]| {
        samples[2] += if target == 0 { 90_000 } else { 0 };
        None
    };
    let cases: [(Broken<'_>, Label, ScopeKind); 2] = [
        (&longer, Label::PathDelay, ScopeKind::Site),
        (&slow_tls, Label::HandshakeBound, ScopeKind::Target),
    ];
    for (broken, label, kind) in cases {
        let mut fleet = Fleet::new();
        fleet.quiet(90, 2);
        for _ in 0..5 {
            fleet.minute(2, broken);
        }
        let incident = fleet.only();
        assert_eq!((incident.label, incident.scope.kind), (label, kind));
    }
}

#[test]
fn two_faults_at_once_are_both_named() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    let both = |client: usize, target: usize, samples: &mut [u64; 5]| {
        if client == 3 {
            samples[0] += 150_000;
        }
        slow_server(client, target, samples)
    };
    for _ in 0..6 {
        fleet.minute(6, &both);
    }
    let mut found: Vec<_> = fleet
        .engine
        .incidents()
        .iter()
        .map(|incident| (incident.label, incident.scope.kind, incident.cells.len()))
        .collect();
    found.sort();
    let expected =
        [(Label::DnsBound, ScopeKind::Client, 2), (Label::ServerBound, ScopeKind::Target, 4)];
    assert_eq!(found, expected);
}

#[test]
fn the_first_minutes_of_a_cell_say_nothing_of_its_levels() {
    let mut fleet = Fleet::new();
    for _ in 0..5 {
        let said = fleet.minute(6, &slow_server);
        assert!(said.iter().all(|said| said.incident.is_none()));
    }
}

#[test]
fn the_same_minutes_say_the_same_from_any_point_on() {
    let mut fleet = Fleet::new();
    fleet.quiet(80, 6);
    let (saved, random) = (fleet.engine.clone(), fleet.random);
    let first: Vec<_> = (0..20).map(|_| fleet.minute(6, &slow_server)).collect();
    let mut again = Fleet { engine: saved, now: fleet.now - 20, random };
    let second: Vec<_> = (0..20).map(|_| again.minute(6, &slow_server)).collect();
    assert_eq!(first, second);
    assert_eq!(fleet.engine.incidents(), again.engine.incidents());
}

fn sighting(id: u128, client: &str, ts_ms: i64, recv_ms: Option<i64>) -> Sighting {
    Sighting {
        client: client.into(),
        target: "https://t.example/".into(),
        id,
        ts_ms,
        recv_ms,
        failed: None,
        troubled: false,
        held_up: None,
        samples: vec![(Signal::Tcp, 20_000)],
        beside: Beside::default(),
    }
}

#[test]
fn events_are_counted_once_and_those_that_come_late_reopen_their_minute() {
    let mut replay = Replay::new(Topology::default());
    let minute = |nth: i64| 1_700_000_040_000 + nth * 60_000;
    for nth in 0..10 {
        replay.take(sighting(nth as u128, "a", minute(nth), Some(minute(nth))));
    }
    replay.take(sighting(3, "a", minute(3), Some(minute(9))));
    replay.take(sighting(99, "b", minute(2), Some(minute(9))));
    replay.take(sighting(100, "b", minute(-5), Some(minute(9))));
    let judged = replay.finish();
    let tally = replay.tally;
    assert_eq!((tally.events, tally.duplicates, tally.late, tally.too_late), (11, 1, 1, 1));
    assert_eq!(judged.iter().map(|judged| judged.total).sum::<u32>(), 11);
    let late = judged.iter().find(|judged| replay.key(judged.cell).0 == "b").unwrap();
    assert_eq!(late.minute, minute(2) / 60_000);
    assert!(late.given_ms >= minute(9), "not before it came: {late:?}");
    let first = &judged[0];
    assert_eq!(first.given_ms, minute(1) + 15_000 - minute(0).rem_euclid(60_000));
}

#[test]
fn a_year_of_silence_costs_nothing() {
    let mut replay = Replay::new(Topology::default());
    let year = 365 * 86_400_000;
    replay.take(sighting(1, "a", 1_700_000_000_000, None));
    replay.take(sighting(2, "a", 1_700_000_000_000 + year, None));
    let judged = replay.finish();
    assert_eq!(replay.tally.events, 2);
    assert!(judged.len() <= 2);
}

#[test]
fn a_clock_that_is_wrong_carries_no_other_with_it() {
    let mut replay = Replay::new(Topology::default());
    let minute = |nth: i64| 1_700_000_040_000 + nth * 60_000;
    for nth in 0..20 {
        for client in ["a", "b", "c"] {
            let id = nth as u128 * 8 + u128::from(client.as_bytes()[0]);
            replay.take(sighting(id, client, minute(nth), None));
        }
        if nth == 5 {
            replay.take(sighting(9_999, "a", minute(100_000), None));
        }
    }
    replay.finish();
    let tally = replay.tally;
    assert_eq!((tally.events, tally.too_late, tally.late), (60, 1, 0));
}

#[test]
fn one_event_of_a_clock_that_leaps_carries_no_time_away() {
    let mut replay = Replay::new(Topology::default());
    let minute = |nth: i64| 1_700_000_040_000 + nth * 60_000;
    for nth in 0..20 {
        replay.take(sighting(nth as u128, "a", minute(nth), None));
        if nth == 5 {
            replay.take(sighting(9_999, "a", minute(100_000), None));
        }
    }
    replay.finish();
    let tally = replay.tally;
    assert_eq!((tally.events, tally.too_late, tally.late), (20, 1, 0));
}

#[test]
fn a_silence_is_believed_when_a_second_event_follows_it() {
    let mut replay = Replay::new(Topology::default());
    let minute = |nth: i64| 1_700_000_040_000 + nth * 60_000;
    for (id, nth) in [0, 1, 2, 300, 301, 302].into_iter().enumerate() {
        replay.take(sighting(id as u128, "a", minute(nth), None));
    }
    replay.finish();
    let tally = replay.tally;
    assert_eq!((tally.events, tally.too_late, tally.late), (6, 0, 0));
}

#[test]
fn what_comes_and_goes_is_one_incident_that_flaps() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    let start = fleet.now;
    for age in 0..24 {
        let broken: Broken<'_> = if age % 4 < 2 { &slow_server } else { FINE };
        fleet.minute(6, broken);
    }
    let incident = fleet.only();
    assert_eq!(incident.scope.kind, ScopeKind::Target);
    assert!(incident.flaps >= 3, "{incident:?}");
    assert_eq!(incident.state(fleet.now), IncidentState::Flapping);
    assert!((incident.onset - start).abs() <= 1);
    for _ in 0..20 {
        fleet.minute(6, FINE);
    }
    assert_eq!(fleet.only().state(fleet.now), IncidentState::Ended);
    assert!((fleet.only().end.unwrap() - (start + 22)).abs() <= 2, "{:?}", fleet.only());
}

#[test]
fn a_level_that_stays_is_the_usual_after_six_hours_and_an_outage_never_is() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    for _ in 0..370 {
        fleet.minute(6, &slow_server);
    }
    let incident = fleet.only().clone();
    assert_eq!(incident.state(fleet.now), IncidentState::Accepted);
    assert!(incident.accepted_at.unwrap() - incident.opened_at >= 360);
    for _ in 0..30 {
        let said = fleet.minute(6, &slow_server);
        assert!(said.iter().all(|said| said.label.is_none()), "it is as usual");
    }
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    for _ in 0..400 {
        fleet.minute(6, &|_, target, _| (target == 0).then_some(Failing::Tcp));
    }
    let incident = fleet.only();
    assert_eq!(incident.state(fleet.now), IncidentState::Open);
    assert_eq!(incident.severity(), Severity::Critical);
    assert!((incident.failing - 1.0).abs() < 1e-9 && incident.confidence > 0.9, "{incident:?}");
}

#[test]
fn without_measurements_an_incident_is_stale_and_not_over() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    for _ in 0..5 {
        fleet.minute(6, &slow_server);
    }
    for _ in 0..30 {
        fleet.engine.advance(fleet.now, Vec::new());
        fleet.now += 1;
    }
    assert_eq!(fleet.only().state(fleet.now), IncidentState::Stale);
    for _ in 0..1_500 {
        fleet.engine.advance(fleet.now, Vec::new());
        fleet.now += 1;
    }
    assert_eq!(fleet.only().state(fleet.now), IncidentState::Ended);
}

#[test]
fn silence_after_an_outage_makes_it_no_better() {
    let mut fleet = Fleet::new();
    fleet.quiet(90, 6);
    for _ in 0..2 {
        fleet.minute(6, &|_, target, _| (target == 0).then_some(Failing::Tcp));
    }
    let before = fleet.only().clone();
    assert_eq!((before.severity(), before.failing), (Severity::Critical, 1.0));
    for _ in 0..3 {
        fleet.engine.advance(fleet.now, Vec::new());
        fleet.now += 1;
        assert_eq!((fleet.only().severity(), fleet.only().failing), (Severity::Critical, 1.0));
    }
}

#[test]
fn the_address_is_named_that_alone_is_at_fault() {
    let addresses: [Arc<str>; 2] = ["192.0.2.1".into(), "192.0.2.2".into()];
    let target: Arc<str> = "https://t.example/".into();
    let mut replay = Replay::new(Topology {
        addresses: [(Arc::clone(&target), addresses.to_vec())].into(),
        ..Topology::default()
    });
    let mut id = 0_u128;
    for minute in 0..110_i64 {
        for client in ["a", "b", "c", "d"] {
            for nth in 0..6_i64 {
                id += 1;
                let at_ms = 1_700_000_040_000 + minute * 60_000 + nth * 9_000;
                let second = nth % 2 == 1;
                let bad = minute >= 100 && second;
                replay.take(Sighting {
                    failed: bad.then_some(Failing::Tcp),
                    samples: if bad {
                        Vec::new()
                    } else {
                        vec![(Signal::Tcp, 20_000 + 97 * nth as u64)]
                    },
                    beside: Beside {
                        address: Some(Arc::clone(&addresses[usize::from(second)])),
                        ..Beside::default()
                    },
                    ..sighting(id, client, at_ms, Some(at_ms))
                });
            }
        }
    }
    replay.finish();
    let told: Vec<_> = replay.incidents().map(|(incident, _)| incident.clone()).collect();
    let [incident] = &told[..] else { panic!("{told:?}") };
    assert_eq!(incident.label, Label::Outage(ErrorStage::Tcp));
    assert_eq!((incident.scope.kind, &*incident.scope.id), (ScopeKind::Address, "192.0.2.2"));
}

#[test]
fn a_silent_resolver_is_an_outage_though_its_events_are_set_aside() {
    let mut replay = Replay::new(Topology::default());
    let mut id = 0_u128;
    for minute in 0..95_i64 {
        for client in ["a", "b"] {
            for nth in 0..6_i64 {
                id += 1;
                let at_ms = 1_700_000_040_000 + minute * 60_000 + nth * 9_000;
                let silent = minute >= 90;
                let beside =
                    Beside { silent, resolver: Some("192.0.2.53".into()), ..Beside::default() };
                let samples = vec![(Signal::Dns, 5_000 + 97 * nth as u64)];
                let good = Sighting { samples, ..sighting(id, client, at_ms, Some(at_ms)) };
                replay.take(match silent {
                    true => Sighting { troubled: true, samples: Vec::new(), beside, ..good },
                    false => Sighting { beside, ..good },
                });
            }
        }
    }
    replay.finish();
    let told: Vec<_> = replay.incidents().map(|(incident, _)| incident.clone()).collect();
    let [incident] = &told[..] else { panic!("{told:?}") };
    assert_eq!(incident.label, Label::Outage(ErrorStage::Dns));
    assert_eq!((incident.scope.kind, &*incident.scope.id), (ScopeKind::Resolver, "192.0.2.53"));
    assert_eq!(incident.onset * 60_000, 1_700_000_040_000 + 90 * 60_000);
}
