//! What happens every night is known for days: after the detector has gone back for late events, and where
//! the past is judged again.

use std::ops::Range;

use model::Event;
use model::detect::Topology;
use model::units::MINUTE_MS;
use server::aggregator::Settings;
use server::diagnoser::{self, Fleet};
use server::store::Span;

use crate::incidents::{at, fleet_minute, incidents, judge, settings};
use crate::world::{Running, T0, World, on_both_stores};

on_both_stores! {
    nights_stay_known_when_the_past_is_judged_again,
}

const DAY: i64 = 24 * 60;
/// The first midnight, in minutes.
const MIDNIGHT: i64 = DAY - (T0 / MINUTE_MS) % DAY;
/// The morning at which all that comes is late.
const MORNING: i64 = MIDNIGHT + 5 * DAY + 600;

/// Slow from 02:00 to 02:40.
fn slow_at_night(_: &str, event: &mut Event) {
    if (120..160).contains(&((event.ts_ms / MINUTE_MS) % DAY)) {
        event.timings.ttfb.as_mut().unwrap().0 += 200_000;
    }
}

/// Every second minute of one cell, three measurements each.
async fn send(running: &Running, minutes: Range<i64>) {
    let first = |minute| fleet_minute(minute, 0, Some(slow_at_night)).into_iter().take(3);
    let events = minutes.step_by(2).flat_map(first).collect();
    running.aggregator.submit(events).await.unwrap();
}

async fn nights_stay_known_when_the_past_is_judged_again(world: World) {
    let running = world.start(settings());
    let mut fleet = Fleet::default();
    send(&running, MIDNIGHT..MORNING).await;
    // It does not begin with what is older than a day.
    for day in 0..=5 {
        judge(&world, &running, &mut fleet, MIDNIGHT + day * DAY + 599).await;
    }
    let told = incidents(&world);
    let nights: Vec<i64> =
        told.iter().rev().map(|row| (row.onset_ts - at(MIDNIGHT)) / (DAY * MINUTE_MS)).collect();
    assert_eq!(nights, [0, 1, 2]);

    let span = Span { from_ms: at(MIDNIGHT + 5 * DAY), to_ms: at(MORNING) };
    let again = diagnoser::rediagnose(&world.reader(), span, Topology::default(), T0, |_| {});
    assert_eq!(again.unwrap().found.incidents, []);

    // What one hands in after hours makes the detector go back to a day before it.
    drop(running);
    let late = Settings { now: || T0 + MORNING * MINUTE_MS, ..Settings::default() };
    let running = world.start(late);
    send(&running, MORNING - 299..MORNING - 298).await;
    judge(&world, &running, &mut fleet, MORNING + 3).await;
    assert_eq!(world.reader().reopened().unwrap(), []);
    send(&running, MORNING..MIDNIGHT + 6 * DAY + 200).await;
    judge(&world, &running, &mut fleet, MIDNIGHT + 6 * DAY + 199).await;
    assert_eq!(incidents(&world).len(), told.len(), "{:#?}", incidents(&world));
}
