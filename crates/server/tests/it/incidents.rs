//! The detector at work on what is stored: incidents from their onset to their end, whatever the
//! restarts, and taken back where late events say otherwise.

use std::fs;
use std::sync::Arc;

use model::detect::{Payload, Topology};
use model::diagnosis::Label;
use model::event::Beside;
use model::units::MINUTE_MS;
use model::{ClientId, ErrorStage, Event, Micros, SchemaVersion, Target, event::Timings};
use server::aggregator::Settings;
use server::diagnoser::{self, Fleet};
use server::store::{Detected, DriftQuery, DriftRow, IncidentQuery, IncidentRow, Severity, Span};
use server::topology;
use uuid::Uuid;

use crate::world::{ALWAYS, Running, T0, World, on_both_stores};

on_both_stores! {
    a_slow_resolver_is_one_incident_from_its_onset_to_its_end,
    a_restart_at_any_moment_changes_nothing,
    late_events_take_an_incident_back,
    an_outage_and_a_certificate_are_told_apart_in_the_next_minute,
    what_grows_for_most_of_a_day_is_noted_once,
    sites_and_resolvers_may_be_known_from_the_topology_alone,
    a_resolver_that_says_nothing_is_out,
    what_comes_hours_late_is_judged_again,
    a_way_back_that_was_cut_off_begins_anew,
    a_way_back_tells_nothing_until_its_end,
    windows_carry_the_label_of_their_incident,
}

pub(crate) const CLIENTS: [(&str, &str); 4] =
    [("a", "10.0.0.1"), ("b", "10.0.0.1"), ("c", "10.0.0.2"), ("d", "10.0.0.3")];
pub(crate) const TARGETS: [&str; 2] = ["https://x.example/", "https://y.example/"];
const EACH: u64 = 6;

pub(crate) fn at(minutes: i64) -> i64 {
    T0 + minutes * MINUTE_MS
}

/// The time at which a minute is judged.
pub(crate) fn after(minute: i64) -> i64 {
    at(minute + 1) + 20_000
}

/// Some milliseconds that look like chance and are not.
fn noise(minute: i64, n: u64) -> u64 {
    (minute.unsigned_abs() * 7_919 + n * 104_729) % 4_001
}

pub(crate) type Change = fn(&str, &mut Event);

/// A minute of everybody; `ids` tells two of the same minute apart.
pub(crate) fn fleet_minute(minute: i64, ids: u128, change: Option<Change>) -> Vec<Event> {
    let mut events = Vec::new();
    for (client, resolver) in CLIENTS {
        for (t, target) in TARGETS.into_iter().enumerate() {
            for n in 0..EACH {
                let us = |base: u64, salt: u64| {
                    Some(Micros(base + noise(minute, n * 31 + salt + t as u64)))
                };
                let id = (ids << 64) | ((minute as u128) << 16) | u128::from(n * 2 + t as u64 + 1);
                let mut event = Event {
                    version: SchemaVersion::V1_1,
                    id: Uuid::from_u128(id),
                    client: ClientId::trusted(client),
                    target: Target::trusted(target),
                    ts_ms: at(minute) + 10_000 * n as i64,
                    failure: None,
                    timings: Timings {
                        dns: us(12_000, 1),
                        tcp: us(20_000, 2),
                        tls: us(24_000, 3),
                        ttfb: us(60_000, 4),
                        total: None,
                    },
                    throughput: None,
                    troubled: false,
                    gap: None,
                    beside: Some(Box::new(Beside {
                        resolver: Some(resolver.into()),
                        site: Some("berlin".into()),
                        ..Beside::default()
                    })),
                };
                if let Some(change) = change {
                    change(resolver, &mut event);
                }
                events.push(event);
            }
        }
    }
    events
}

pub(crate) fn slow_resolver(resolver: &str, event: &mut Event) {
    if resolver == "10.0.0.1"
        && let Some(dns) = &mut event.timings.dns
    {
        dns.0 += 200_000;
    }
}

pub(crate) async fn send(
    running: &Running,
    minutes: std::ops::Range<i64>,
    ids: u128,
    change: Option<Change>,
) {
    let events = minutes.flat_map(|minute| fleet_minute(minute, ids, change)).collect();
    running.aggregator.submit(events).await.unwrap();
}

/// Has the fleet judged up to a minute.
pub(crate) async fn judge(world: &World, running: &Running, fleet: &mut Fleet, minute: i64) {
    while diagnoser::detect(&world.store, &running.aggregator, fleet, after(minute)).await.unwrap()
    {
    }
}

pub(crate) fn incidents(world: &World) -> Vec<IncidentRow> {
    world.reader().incidents(&IncidentQuery::new(ALWAYS, 100)).unwrap().0
}

pub(crate) fn settings() -> Settings {
    Settings { now: || T0, ..Settings::default() }
}

async fn a_slow_resolver_is_one_incident_from_its_onset_to_its_end(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    send(&running, 90..100, 0, Some(slow_resolver)).await;
    judge(&world, &running, &mut fleet, 89).await;
    assert_eq!(incidents(&world), []);
    judge(&world, &running, &mut fleet, 93).await;
    let [open] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!(open.label, Label::DnsBound);
    assert_eq!((&*open.scope_type, &*open.scope_id), ("resolver", "10.0.0.1"));
    assert_eq!((open.onset_ts, open.end_ts), (at(90), None));
    assert_eq!(open.severity, Severity::Major);
    assert!(open.opened_ts <= at(91) && open.told_ts <= after(93));
    let cells: Vec<_> = open.body.cells.iter().map(|cell| &*cell.client_id).collect();
    assert_eq!(cells, ["a", "a", "b", "b"]);
    let Payload { current, usual, excess_ms, cells, .. } = &open.body.evidence;
    let (now, then) = (current.unwrap(), usual.unwrap());
    assert!(
        (13.0..16.0).contains(&then.p50) && (208.0..220.0).contains(&now.p50),
        "{now:?} {then:?}"
    );
    assert!((190.0..210.0).contains(&excess_ms[0]), "{excess_ms:?}");
    assert_eq!((cells.bad, cells.good), (4, 0));
    assert!(open.body.text.contains("resolver 10.0.0.1"), "{}", open.body.text);

    send(&running, 100..110, 0, None).await;
    judge(&world, &running, &mut fleet, 109).await;
    let [ended] = &incidents(&world)[..] else { panic!() };
    assert_eq!((&ended.id, ended.told_ts), (&open.id, open.told_ts));
    assert_eq!((ended.last_bad_ts, ended.end_ts), (at(99), Some(at(100))));
}

async fn a_restart_at_any_moment_changes_nothing(world: World) {
    let running = world.start(settings());
    send(&running, 0..70, 0, None).await;
    send(&running, 70..80, 0, Some(slow_resolver)).await;
    send(&running, 80..130, 0, None).await;
    let mut fleet = Fleet::default();
    for minute in 0..125 {
        // After the first state was written down, every third minute has a program of its own.
        if minute > 60 && minute % 3 == 0 {
            fleet = Fleet::default();
        }
        judge(&world, &running, &mut fleet, minute).await;
    }
    let [one] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    let restarted = one.clone();

    // Another store that was judged at once, by one program.
    let twin = World::new();
    let running = twin.start(settings());
    send(&running, 0..70, 0, None).await;
    send(&running, 70..80, 0, Some(slow_resolver)).await;
    send(&running, 80..130, 0, None).await;
    judge(&twin, &running, &mut Fleet::default(), 124).await;
    let [at_once] = &incidents(&twin)[..] else { panic!() };
    let of = |row: &IncidentRow| (row.id.clone(), row.onset_ts, row.opened_ts, row.end_ts);
    assert_eq!(of(&restarted), of(at_once));
    assert_eq!(restarted.body, at_once.body);
}

async fn late_events_take_an_incident_back(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    send(&running, 90..93, 0, Some(slow_resolver)).await;
    judge(&world, &running, &mut fleet, 92).await;
    assert_eq!(incidents(&world).len(), 1);
    // Most of what those minutes held comes late, and is as usual.
    for ids in 1..60 {
        send(&running, 90..93, ids, None).await;
    }
    send(&running, 93..100, 0, None).await;
    judge(&world, &running, &mut fleet, 99).await;
    let [back] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert!(back.body.withdrawn && back.end_ts.is_some(), "{back:#?}");
}

async fn an_outage_and_a_certificate_are_told_apart_in_the_next_minute(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    send(&running, 90..91, 0, Some(|_, event| event.failure = Some(ErrorStage::Dns))).await;
    judge(&world, &running, &mut fleet, 90).await;
    let [outage] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!(outage.label, Label::Outage(ErrorStage::Dns));
    assert_eq!((outage.opened_ts, &*outage.scope_type), (at(90), "site"));
    assert_eq!(outage.severity, Severity::Critical);

    send(&running, 91..110, 0, None).await;
    let expired: Change = |_, event| {
        if event.target.as_str() == TARGETS[0] {
            event.failure = Some(ErrorStage::Tls);
            event.beside.get_or_insert_default().certificate = true;
        }
    };
    send(&running, 110..111, 0, Some(expired)).await;
    judge(&world, &running, &mut fleet, 110).await;
    let [certificate, outage] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert!(outage.end_ts.is_some());
    assert_eq!(certificate.label, Label::Certificate);
    assert_eq!((&*certificate.scope_type, &*certificate.scope_id), ("target", TARGETS[0]));
    assert_eq!(certificate.body.evidence.failures["certificate"], EACH * CLIENTS.len() as u64);
}

/// What is noted of a cell, or of all.
fn drifts(world: &World, client: Option<&str>) -> Vec<DriftRow> {
    let client_id = client.map(ToOwned::to_owned);
    let query = DriftQuery { client_id, target: None, span: ALWAYS, limit: 100 };
    world.reader().drifts(&query).unwrap().0
}

/// A minute of one client, whose connects take 1.4 % more each hour.
fn slower_minute(minute: i64) -> Vec<Event> {
    let growth = 1.014_f64.powf(minute as f64 / 60.0);
    let mut events = fleet_minute(minute, 0, None);
    events.retain(|event| event.client.as_str() == "d" && event.target.as_str() == TARGETS[0]);
    for event in &mut events {
        let tcp = event.timings.tcp.as_mut().unwrap();
        *tcp = Micros((tcp.0 as f64 * growth) as u64);
    }
    events
}

async fn what_grows_for_most_of_a_day_is_noted_once(world: World) {
    const HOURS: i64 = 23;
    let running = world.start(settings());
    for hour in 0..HOURS {
        let events = (60 * hour..60 * (hour + 1)).flat_map(slower_minute).collect();
        running.aggregator.submit(events).await.unwrap();
    }
    let mut fleet = Fleet::default();
    judge(&world, &running, &mut fleet, 60 * 21).await;
    // Another program goes on from an older state, and meets the same minutes.
    judge(&world, &running, &mut Fleet::default(), 60 * 22).await;
    judge(&world, &running, &mut fleet, 60 * HOURS - 1).await;
    let [drift] = &drifts(&world, None)[..] else { panic!("{:#?}", drifts(&world, None)) };
    assert_eq!((&*drift.client_id, &*drift.target, &*drift.signal), ("d", TARGETS[0], "tcp"));
    assert!((1.0..1.8).contains(&drift.percent_per_hour), "{drift:?}");
    assert!(drift.since_ts < at(60) && drift.noted_ts >= at(60 * 19), "{drift:?}");
    assert_eq!(incidents(&world), []);

    // Who judges from another beginning notes it at another hour: the day has its note already.
    let on = |hours: i64, signal: &str| DriftRow {
        noted_ts: drift.noted_ts + hours * 60 * MINUTE_MS,
        signal: signal.to_owned(),
        ..drift.clone()
    };
    for row in [on(-23, "dns"), on(0, "dns"), on(23, "dns"), on(24, "ttfb")] {
        let found = Detected { drifts: vec![row], ..Detected::default() };
        running.aggregator.detect(found).await.unwrap();
    }
    assert_eq!(drifts(&world, None), [on(24, "ttfb"), drift.clone()]);
    assert_eq!((drifts(&world, Some("d")).len(), drifts(&world, Some("a")).len()), (2, 0));
    let until = Span { from_ms: 0, to_ms: drift.noted_ts };
    let query = DriftQuery { client_id: None, target: None, span: until, limit: 1 };
    assert_eq!(world.reader().drifts(&query).unwrap(), (vec![], false));
    let query = DriftQuery { span: ALWAYS, ..query };
    assert_eq!(world.reader().drifts(&query).unwrap(), (vec![on(24, "ttfb")], true));
}

/// What a file says of who is where; it names one who is nobody, too.
fn topology() -> Topology {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("topology.toml");
    let client = |id: &str, site: &str| format!("[[clients]]\nid = '{id}'\nsite = '{site}'\n");
    let text = ["a", "b"].map(|id| client(id, "north")).concat()
        + &["c", "d", "nobody"].map(|id| client(id, "south")).concat()
        + "[[resolvers]]\nid = 'r1'\naddress = '10.0.0.1'\n";
    fs::write(&path, text).unwrap();
    topology::load(&path).unwrap()
}

async fn sites_and_resolvers_may_be_known_from_the_topology_alone(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::of(Arc::new(topology()));
    let slow_north: Change = |_, event| {
        if matches!(event.client.as_str(), "a" | "b") {
            event.timings.ttfb.as_mut().unwrap().0 += 200_000;
        }
    };
    send(&running, 0..90, 0, None).await;
    send(&running, 90..95, 0, Some(slow_resolver)).await;
    send(&running, 95..110, 0, None).await;
    // The program starts anew, with the same file.
    judge(&world, &running, &mut fleet, 100).await;
    fleet = Fleet::of(Arc::new(topology()));
    send(&running, 110..116, 0, Some(slow_north)).await;
    judge(&world, &running, &mut fleet, 115).await;
    let [site, resolver] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!((&*resolver.scope_type, &*resolver.scope_id), ("resolver", "r1"));
    assert_eq!((&*site.scope_type, &*site.scope_id), ("site", "north"));

    // The past is judged again by another file, or by none.
    let span = Span { from_ms: at(80), to_ms: at(116) };
    let again =
        |topology| diagnoser::rediagnose(&world.reader(), span, topology, T0, |_| {}).unwrap();
    let done = again(topology());
    assert_eq!((done.same, done.found.incidents.len()), (2, 0), "{:#?}", done.found.incidents);
    let without = again(Topology::default()).found.incidents;
    assert!(without.iter().any(|row| row.scope_id == "10.0.0.1"), "{without:#?}");
    assert!(
        without.iter().all(|row| row.body.withdrawn || row.scope_id != "north"),
        "{without:#?}"
    );
}

async fn a_resolver_that_says_nothing_is_out(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    // As the probe tells it, all is set aside.
    let silence: Change = |resolver, event| {
        if resolver == "10.0.0.1" {
            event.failure = Some(ErrorStage::Dns);
            event.troubled = true;
            event.beside = Some(Box::new(Beside {
                silent: true,
                site: Some("berlin".into()),
                ..Beside::default()
            }));
        }
    };
    send(&running, 90..91, 0, Some(silence)).await;
    judge(&world, &running, &mut fleet, 90).await;
    let [outage] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!(outage.label, Label::Outage(ErrorStage::Dns));
    assert_eq!((&*outage.scope_type, &*outage.scope_id), ("resolver", "10.0.0.1"));
}

/// A clock at which all that is sent has come hours late.
fn hours_later() -> Settings {
    Settings { now: || T0 + 301 * MINUTE_MS + 15_000, ..Settings::default() }
}

async fn what_comes_hours_late_is_judged_again(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    send(&running, 90..93, 0, Some(slow_resolver)).await;
    send(&running, 93..300, 0, None).await;
    judge(&world, &running, &mut fleet, 299).await;
    let [told] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!((told.onset_ts, told.body.withdrawn), (at(90), false));
    drop(running);

    // One probe hands in an outage that it spooled, and most of what those minutes held.
    let running = world.start(hours_later());
    for ids in 1..60 {
        send(&running, 90..93, ids, None).await;
    }
    let outage: Change = |_, event| event.failure = Some(ErrorStage::Tcp);
    send(&running, 150..155, 60, Some(outage)).await;
    assert_eq!(world.reader().reopened().unwrap().len(), 8);
    judge(&world, &running, &mut fleet, 300).await;
    assert_eq!(incidents(&world).len(), 1, "they may not be all yet");
    judge(&world, &running, &mut fleet, 302).await;
    let [outage, back] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!((&back.id, back.body.withdrawn), (&told.id, true));
    assert_eq!(outage.label, Label::Outage(ErrorStage::Tcp));
    assert_eq!((outage.onset_ts, outage.end_ts), (at(150), Some(at(155))));
    assert!(outage.told_ts > after(300), "it says when it was known");
    assert_eq!(world.reader().reopened().unwrap(), []);
}

async fn a_way_back_that_was_cut_off_begins_anew(world: World) {
    let running = world.start(hours_later());
    let mut fleet = Fleet::default();
    send(&running, 0..280, 0, None).await;
    judge(&world, &running, &mut fleet, 301).await;
    judge(&world, &running, &mut fleet, 310).await;
    assert_eq!(world.reader().reopened().unwrap(), [], "judged as it came, and not once more");
    let outage: Change = |_, event| event.failure = Some(ErrorStage::Tcp);
    send(&running, 100..102, 1, Some(outage)).await;
    // It goes back, and is killed on the way.
    let step = async |fleet: &mut Fleet| {
        diagnoser::detect(&world.store, &running.aggregator, fleet, after(312)).await.unwrap()
    };
    assert!(step(&mut fleet).await && step(&mut fleet).await && step(&mut fleet).await);
    assert_eq!(world.reader().reopened().unwrap().len(), 2);
    let mut fleet = Fleet::default();
    judge(&world, &running, &mut fleet, 315).await;
    let [outage] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!((outage.onset_ts, outage.end_ts), (at(100), Some(at(102))));
    assert_eq!(world.reader().reopened().unwrap(), []);
}

/// The labels of a client's windows of the first target, from minute to minute.
fn labels(world: &World, client: &str, minutes: std::ops::Range<i64>) -> Vec<Option<String>> {
    let span = at(minutes.start)..at(minutes.end);
    let windows = world.windows().into_iter().filter(|window| {
        span.contains(&window.window_start_ts)
            && (&*window.client_id, &*window.target) == (client, TARGETS[0])
    });
    windows.map(|window| window.diagnosis_label).collect()
}

async fn windows_carry_the_label_of_their_incident(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    send(&running, 90..93, 0, Some(slow_resolver)).await;
    // A probe in trouble says nothing of the target.
    let troubled: Change = |_, event| event.troubled = true;
    send(&running, 93..94, 0, Some(troubled)).await;
    judge(&world, &running, &mut fleet, 93).await;
    let text = |label: &str| Some(label.to_owned());
    assert_eq!(labels(&world, "a", 0..5), vec![text("insufficient_data"); 5]);
    assert_eq!(labels(&world, "a", 20..90), vec![None; 70]);
    assert_eq!(labels(&world, "a", 91..94)[..2], vec![text("dns-bound"); 2]);
    assert_eq!(labels(&world, "a", 93..94), [text("probe-bound")]);
    assert_eq!(labels(&world, "d", 90..93), vec![None; 3]);
    let summary = world.reader().summary(ALWAYS, T0).unwrap();
    let own = summary.iter().find(|row| row.client_id == "a" && row.target == TARGETS[0]).unwrap();
    assert_eq!(own.diagnosis_label, text("probe-bound"));

    // Late events say otherwise, and the labels go.
    for ids in 1..60 {
        send(&running, 90..93, ids, None).await;
    }
    send(&running, 94..101, 0, None).await;
    judge(&world, &running, &mut fleet, 100).await;
    assert_eq!(labels(&world, "a", 90..93), vec![None; 3]);
}

async fn a_way_back_tells_nothing_until_its_end(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..195, 0, None).await;
    send(&running, 195..215, 0, Some(slow_resolver)).await;
    send(&running, 215..300, 0, None).await;
    judge(&world, &running, &mut fleet, 299).await;
    let before = incidents(&world);
    assert_eq!(before.iter().map(|row| row.end_ts).collect::<Vec<_>>(), [Some(at(215))]);
    drop(running);

    let running = world.start(hours_later());
    let outage: Change = |_, event| event.failure = Some(ErrorStage::Tcp);
    send(&running, 150..155, 1, Some(outage)).await;
    let mut steps = 0;
    while diagnoser::detect(&world.store, &running.aggregator, &mut fleet, after(302))
        .await
        .unwrap()
    {
        steps += 1;
        // What ended hours ago is never told as if it went on.
        let now = incidents(&world);
        assert!(now == before || now.len() == 2, "{now:#?}");
        assert!(now.iter().all(|row| row.end_ts.is_some()), "{now:#?}");
    }
    assert!(steps > 10, "{steps}");
    assert_eq!(incidents(&world).len(), 2);
}
