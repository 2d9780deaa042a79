//! Onto the bus: 202 for what the server has confirmed and for nothing else, few messages for many
//! requests, and 503 whenever it can't be.

use std::time::Duration;

use futures_util::future::join_all;
use model::decode::{Limits, Media, decode};
use server::bus::{StreamSettings, consume, publish};

use crate::bus::{BusWorld, EVENTS, batch, events, eventually, streams};
use crate::platform::{NOW, Parts, Platform, wire};

#[tokio::test]
async fn what_is_accepted_over_the_bus_is_counted_once_however_often_it_is_sent() {
    let world = BusWorld::new().await;
    let platform = world.platform().await;
    let consuming = world.consume(&platform.running.aggregator).await;
    for _ in 0..3 {
        let answer = platform.post(batch("c", 0, 50)).await;
        assert_eq!((answer.status, &answer.body["accepted"]), (202, &50.into()));
        assert!(answer.body["duplicates"].is_null());
    }
    assert_eq!(platform.post(wire("d", 1).to_string()).await.status, 202);
    world.drained().await;
    assert_eq!((platform.counted("c").await, platform.counted("d").await), (50, 1));
    let fares = consuming.health.fares();
    assert_eq!((fares.counted, fares.duplicates, fares.dead_letters), (151, 100, 0));
    consuming.stop().await;
}

#[tokio::test]
async fn only_what_was_accepted_goes_onto_the_bus() {
    let world = BusWorld::new().await;
    let platform = world.platform().await;
    let bad = r#"{"event_id": "no"}"#.to_owned();
    let [first, second] = &events("c", 0, 2)[..] else { panic!() };
    let body = format!("\n [ {bad}, {first},{bad}\n,\t{second} ] ");
    let answer = platform.post(body).await;
    assert_eq!((answer.status, answer.rejected().len()), (202, 2));
    let consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!(platform.counted("c").await, 2);
    assert_eq!(consuming.health.fares().dead_letters, 0);
}

/// All of them are there before the first message is made, on one thread.
#[tokio::test]
async fn what_many_requests_bring_goes_in_few_messages() {
    let world = BusWorld::new().await;
    let publisher = world.publisher().await;
    let submit = async |n: u128| {
        let body = wire(&format!("c{n}"), n).to_string();
        let decoded = decode(body.as_bytes(), Media::Json, NOW, &Limits::default()).unwrap();
        publisher.submit(body.into(), decoded.events).await.unwrap();
    };
    join_all((0..200).map(submit)).await;
    assert_eq!(world.messages(EVENTS).await, 1);
    let platform = Platform::new();
    let _consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!((platform.counted("c0").await, platform.counted("c199").await), (1, 1));
}

#[tokio::test]
async fn what_is_too_large_for_a_message_goes_in_several() {
    let world = BusWorld::with(&streams(), 64 << 10).await;
    let platform = world.platform().await;
    let answer = platform.post(batch("c", 0, 1_000)).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (202, &1_000.into()));
    assert!(world.messages(EVENTS).await >= 8);
    let _consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!(platform.counted("c").await, 1_000);
}

#[tokio::test]
async fn more_than_may_wait_is_put_off() {
    let world = BusWorld::new().await;
    let settings = publish::Settings { queue_bytes: 1_000, ..publish::Settings::default() };
    let publisher = world.publisher_with(settings).await;
    let platform = Platform::over(Parts::default(), Some(publisher));
    let answer = platform.post(batch("c", 0, 10)).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert_eq!(platform.post(batch("c", 0, 1)).await.status, 202);
    assert_eq!(world.messages(EVENTS).await, 1);
}

#[tokio::test]
async fn a_missing_stream_is_told_and_found_again() {
    let world = BusWorld::new().await;
    let publisher = world.publisher().await;
    let platform = Platform::over(Parts::default(), Some(publisher.clone()));
    assert!(publisher.ready());
    world.jetstream.delete_stream(EVENTS).await.unwrap();
    let answer = platform.post(batch("c", 0, 1)).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert!(!publisher.ready());
    world.bus.make_streams(&streams()).await.unwrap();
    eventually("ready without traffic", async || publisher.ready()).await;
    assert_eq!(platform.post(batch("c", 0, 1)).await.status, 202);
}

#[tokio::test]
async fn a_full_stream_takes_nothing_until_there_is_room() {
    let small = StreamSettings { max_bytes: 20_000, ..streams() };
    let world = BusWorld::with(&small, 1 << 20).await;
    let publisher = world.publisher().await;
    let platform = Platform::over(Parts::default(), Some(publisher.clone()));
    let mut accepted = 0;
    let refused = loop {
        let answer = platform.post(wire("c", accepted).to_string()).await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
    };
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));
    assert!(accepted > 10 && u128::from(world.messages(EVENTS).await) == accepted);
    assert!(!publisher.ready());
    // Nothing is counted yet, so there is nothing to make room out of.
    assert_eq!(server::bus::janitor::step(&world.bus, "aggregator").await.unwrap(), 0);

    let consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert!(server::bus::janitor::step(&world.bus, "aggregator").await.unwrap() > 0);
    eventually("ready without traffic", async || publisher.ready()).await;
    assert_eq!(platform.post(wire("c", accepted).to_string()).await.status, 202);
    world.drained().await;
    assert_eq!(u128::from(platform.counted("c").await), accepted + 1);
    consuming.stop().await;
}

#[tokio::test]
async fn a_stream_of_somebody_elses_makes_nothing_durable() {
    let world = BusWorld::new().await;
    let platform = world.platform().await;
    world.jetstream.delete_stream(EVENTS).await.unwrap();
    let foreign = async_nats::jetstream::stream::Config {
        name: "OTHER".to_owned(),
        subjects: vec!["qoe.events.>".to_owned()],
        ..Default::default()
    };
    world.jetstream.create_stream(foreign).await.unwrap();
    assert_eq!(platform.post(batch("c", 0, 1)).await.status, 503);
}

#[tokio::test]
async fn a_server_that_is_killed_costs_no_accepted_event() {
    let mut world = BusWorld::new().await;
    let platform = world.platform().await;
    // What is said while the server is gone is not heard.
    let impatient = consume::Settings { ack_wait: Duration::from_secs(1), ..Default::default() };
    let consuming = world.consume_with(&platform.running.aggregator, impatient).await;
    let mut accepted = 0;
    for round in 0..3 {
        for n in 0..20 {
            let answer = platform.post(batch("c", round * 1_000 + n * 10, 10)).await;
            accepted += if answer.status == 202 { 10 } else { 0 };
        }
        world.nats.kill();
        eventually("noticed", async || !world.bus.connected()).await;
        let answer = platform.post(batch("c", 9_000, 1)).await;
        assert_eq!((answer.status, answer.code()), (503, "unavailable"));
        world.nats.restart().unwrap();
        eventually("back", async || world.bus.connected()).await;
    }
    assert_eq!(accepted, 600);
    world.drained().await;
    assert_eq!(platform.counted("c").await, 600);
    consuming.stop().await;
}

/// The message waits in the paused server; the confirmation that never came is asked for again
/// over the next connection, and the events are there once.
#[tokio::test]
async fn a_confirmation_that_was_lost_with_the_connection_is_asked_for_again() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let mut world = BusWorld::new().await;
    let platform = world.platform().await;
    world.nats.signal(SIGSTOP);
    let post = platform.post(batch("c", 0, 5));
    let revive = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.nats.signal(SIGCONT);
        world.nats.restart().unwrap();
    };
    let (answer, ()) = tokio::join!(post, revive);
    assert_eq!(answer.status, 202);
    let _consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!(platform.counted("c").await, 5);
}
