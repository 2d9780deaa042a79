//! What the detector makes of windows that say little, or nonsense: no incident that is none, and no
//! number that is none.

use model::diagnosis::Label;
use model::{BitsPerSecond, ErrorStage, Event, Micros};
use server::diagnoser::Fleet;
use server::store::IncidentRow;

use crate::incidents::{
    Change, TARGETS, at, fleet_minute, incidents, judge, send, settings, slow_resolver,
};
use crate::world::{Running, World, on_both_stores};

on_both_stores! {
    after_a_week_of_silence_what_was_usual_is_not_believed,
    a_client_may_ask_another_resolver,
    nonsense_is_no_incident_and_makes_no_number_that_is_none,
    a_clock_that_is_minutes_ahead_is_no_incident,
}

/// What ingest makes of anything larger (`Micros`, `BitsPerSecond`).
const MOST: u64 = 1 << 53;
const WEEK: i64 = 7 * 24 * 60;

/// Sends a minute at a time, each event as `change` has it.
async fn send_as(
    running: &Running,
    minutes: std::ops::Range<i64>,
    change: impl Fn(i64, &mut Vec<Event>),
) {
    let mut events = Vec::new();
    for minute in minutes {
        let mut of_minute = fleet_minute(minute, 0, None);
        change(minute, &mut of_minute);
        events.extend(of_minute);
    }
    running.aggregator.submit(events).await.unwrap();
}

async fn after_a_week_of_silence_what_was_usual_is_not_believed(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, 0..90, 0, None).await;
    send(&running, 90..95, 0, Some(slow_resolver)).await;
    judge(&world, &running, &mut fleet, 94).await;
    assert_eq!(incidents(&world).len(), 1);
    // It falls silent with an incident open, and comes back from elsewhere.
    judge(&world, &running, &mut fleet, WEEK).await;
    let [closed] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert!(closed.end_ts.is_some(), "{closed:#?}");
    let elsewhere: Change = |_, event| {
        event.timings.tcp.as_mut().unwrap().0 += 60_000;
        event.timings.ttfb.as_mut().unwrap().0 += 60_000;
    };
    send(&running, WEEK + 1..WEEK + 60, 0, Some(elsewhere)).await;
    judge(&world, &running, &mut fleet, WEEK + 59).await;
    assert_eq!(incidents(&world), std::slice::from_ref(closed));
    // What is usual there is learned, and held against what follows.
    let slow: Change = |_, event| event.timings.ttfb.as_mut().unwrap().0 += 400_000;
    send(&running, WEEK + 60..WEEK + 65, 0, Some(slow)).await;
    judge(&world, &running, &mut fleet, WEEK + 64).await;
    assert_eq!(incidents(&world).len(), 2, "{:#?}", incidents(&world));
}

async fn a_client_may_ask_another_resolver(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    let moved: Change = |_, event| {
        if event.client.as_str() == "a" {
            event.beside.as_mut().unwrap().resolver = Some("10.0.0.9".into());
        }
    };
    let moved_and_slow: Change = |resolver, event| {
        let is_moved = event.client.as_str() == "a";
        if is_moved {
            event.beside.as_mut().unwrap().resolver = Some("10.0.0.9".into());
        } else {
            slow_resolver(resolver, event);
        }
    };
    send(&running, 0..90, 0, None).await;
    send(&running, 90..120, 0, Some(moved)).await;
    judge(&world, &running, &mut fleet, 119).await;
    assert_eq!(incidents(&world), []);
    // The one that it asked before is slow: it has no part in that.
    send(&running, 120..126, 0, Some(moved_and_slow)).await;
    judge(&world, &running, &mut fleet, 125).await;
    let [slow] = &incidents(&world)[..] else { panic!("{:#?}", incidents(&world)) };
    assert_eq!(slow.label, Label::DnsBound);
    assert!(slow.body.cells.iter().all(|cell| cell.client_id == "b"), "{slow:#?}");
}

/// Whether every number of it is one.
fn is_sound(row: &IncidentRow) -> bool {
    let text = serde_json::to_string(row).unwrap();
    // JSON has no word for what is none: serde writes null.
    let nulls = ["confidence", "p50", "p95", "difference", "ratio", "sum", "opens_at"];
    let none = |name: &&str| text.contains(&format!("\"{name}\":null"));
    !nulls.iter().any(none) && !row.body.text.contains("NaN") && !row.body.text.contains("inf")
}

async fn nonsense_is_no_incident_and_makes_no_number_that_is_none(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    let nonsense = |minute: i64, events: &mut Vec<Event>| {
        let mut n = 0;
        events.retain_mut(|event| {
            n += 1;
            let odd = (minute + n) % 2 == 0;
            match (event.client.as_str(), event.target.as_str() == TARGETS[0]) {
                // One sample a minute.
                ("a", true) => n % 12 == 1,
                // It has failed for as long as it is known.
                ("b", true) => {
                    event.failure = Some(ErrorStage::Tcp);
                    event.timings.tcp = None;
                    true
                }
                // Nothing takes any time, or hours; transfers are without measure.
                ("c", true) => {
                    let us = if odd { 0 } else { 10 * 3_600_000_000 };
                    let t = &mut event.timings;
                    [t.dns, t.tcp, t.tls, t.ttfb] = [Some(Micros(us)); 4];
                    event.throughput = Some(BitsPerSecond(if odd { 0 } else { MOST }));
                    true
                }
                ("d", true) => {
                    let t = &mut event.timings;
                    [t.dns, t.tcp, t.tls, t.ttfb] = [Some(Micros(MOST)); 4];
                    event.throughput = Some(BitsPerSecond(0));
                    true
                }
                _ => true,
            }
        });
    };
    send_as(&running, 0..150, nonsense).await;
    judge(&world, &running, &mut fleet, 130).await;
    let of_failures = |row: &IncidentRow| matches!(row.label, Label::Outage(_));
    for row in incidents(&world) {
        assert!(is_sound(&row), "{row:#?}");
        assert!(of_failures(&row) && row.body.cells.iter().all(|c| c.client_id == "b"), "{row:#?}");
    }
    // From nonsense to sense, and from sense to nonsense, no number is none either.
    send(&running, 150..170, 0, None).await;
    send_as(&running, 170..190, |minute, events| nonsense(minute * 3, events)).await;
    judge(&world, &running, &mut fleet, 189).await;
    for row in incidents(&world) {
        assert!(is_sound(&row), "{row:#?}");
        assert!(
            row.onset_ts >= at(0) && row.end_ts.is_none_or(|end| end > row.onset_ts),
            "{row:#?}"
        );
    }
}

async fn a_clock_that_is_minutes_ahead_is_no_incident(world: World) {
    // One that is years off is refused at the door: model/tests/it/decode.rs, ingest_events.rs.
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    for minute in 0..100 {
        let ahead = |_, events: &mut Vec<Event>| {
            for event in events.iter_mut().filter(|event| event.client.as_str() == "a") {
                event.ts_ms += 2 * 60_000 + 7_000;
            }
        };
        send_as(&running, minute..minute + 1, ahead).await;
        judge(&world, &running, &mut fleet, minute).await;
    }
    assert_eq!(incidents(&world), []);
}
