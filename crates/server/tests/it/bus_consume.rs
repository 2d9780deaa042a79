//! From the bus into the store: everything once, whatever comes and whatever breaks, and nothing
//! acknowledged that is neither counted nor laid aside.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use server::aggregator;
use server::bus::dead_letter::{DeadLetter, Kind};
use server::bus::message::{Draft, Packing};
use server::bus::replay::{Replayed, Since, replay};
use server::bus::{Bus, Connect, StreamSettings, consume, janitor};
use server::store::{DATABASE, Retention, schema};
use tokio_util::sync::CancellationToken;

use crate::bus::{BusWorld, EVENTS, LETTERS, begin, events, eventually, message, streams};
use crate::platform::{NOW, Parts, Platform, array, wire, with};

fn settings() -> consume::Settings {
    consume::Settings::default()
}

async fn letters(world: &BusWorld) -> Vec<DeadLetter> {
    world.bus.dead_letters(0, 1_000).await.unwrap()
}

fn database(platform: &Platform) -> Connection {
    Connection::open(platform.world.dir().join(DATABASE)).unwrap()
}

#[tokio::test]
async fn what_is_no_message_of_ours_is_laid_aside_whole_and_once() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let good = message(&events("c", 0, 3));
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = good.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(changed)
    };
    let bad = [
        (Bytes::from_static(b"{\"event_id\": 1}"), "foreign_message"),
        (Bytes::new(), "foreign_message"),
        (Bytes::from_static(b"\0\0\0"), "foreign_message"),
        (good.slice(..good.len() - 1), "broken_message"),
        (changed(12, &u32::MAX.to_le_bytes()), "broken_message"),
        (changed(16, &u32::MAX.to_le_bytes()), "broken_message"),
        (changed(2, &[9]), "unknown_format_version"),
    ];
    world.publish_raw("qoe.events.1-0", good.clone()).await;
    for (payload, _) in &bad {
        world.publish_raw("qoe.events.stranger", payload.clone()).await;
    }
    world.publish_raw("qoe.events.1-0", message(&events("c", 3, 3))).await;

    let consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!(platform.counted("c").await, 6);
    let mut letters = letters(&world).await;
    letters.sort_by_key(|letter| letter.sequence);
    assert_eq!(letters.len(), bad.len());
    for (letter, (at, (payload, reason))) in letters.iter().zip((2..).zip(&bad)) {
        assert_eq!((&letter.payload, letter.reason.as_str()), (payload, *reason));
        assert_eq!((letter.sequence, letter.kind), (at, Kind::Message));
        assert_eq!((letter.subject.as_str(), letter.died_ms), ("qoe.events.stranger", NOW));
    }
    let version = letters.last().unwrap();
    assert_eq!(version.detail, "it has format version 9, and this program reads 1");
    let consumer = world.consumer().await;
    assert_eq!((consumer.num_redelivered, consumer.delivered.consumer_sequence), (0, 9));
    assert_eq!(consuming.health.fares().dead_letters, 7);
    consuming.stop().await;
}

#[tokio::test]
async fn bad_events_are_laid_aside_one_by_one_with_the_rest_counted() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let nul = with(&wire("c", 1), &[("target", r#""https://a.example/\u0000""#)]);
    let raw_nul = wire("c", 2).to_string().replace("shop", "sh\0p");
    let huge = with(&wire("c", 3), &[("timings.dns_ms", "1e999")]);
    let old = with(&wire("c", 4), &[("ts_ms", "1")]);
    let version = with(&wire("c", 5), &[("schema_version", r#""7.0""#)]);
    let bad =
        [nul, raw_nul, huge, old, version, "[]".to_owned(), String::new(), "\u{1}".to_owned()];
    let mut texts = Vec::new();
    for (n, bad) in bad.iter().enumerate() {
        texts.push(wire("c", 100 + n as u128).to_string());
        texts.push(bad.clone());
    }
    let sequence = world.publish_raw("qoe.events.1-0", message(&texts)).await;

    let consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!(platform.counted("c").await, bad.len() as u64);
    let mut letters = letters(&world).await;
    letters.sort_by_key(|letter| match letter.kind {
        Kind::Event { index, .. } => index,
        Kind::Message => usize::MAX,
    });
    let reasons = [
        "invalid_field",
        "bad_json",
        "bad_json",
        "too_old",
        "unknown_schema_version",
        "invalid_field",
        "bad_json",
        "bad_json",
    ];
    assert_eq!(letters.len(), bad.len());
    for (n, (letter, (bad, reason))) in letters.iter().zip(bad.iter().zip(reasons)).enumerate() {
        assert_eq!(letter.payload, bad.as_bytes());
        assert_eq!(letter.kind, Kind::Event { index: 2 * n + 1, received_ms: NOW });
        assert_eq!((letter.reason.as_str(), letter.sequence), (reason, sequence));
        assert!(!letter.detail.is_empty());
    }
    assert_eq!(world.consumer().await.num_redelivered, 0);
    consuming.stop().await;
}

/// An event that ingest let in at the last moment is counted however long it waited, unless its id
/// may be forgotten by now.
#[tokio::test]
async fn events_are_judged_by_the_time_they_were_received_as_long_as_ids_are_kept() {
    let day = Duration::from_secs(24 * 3_600);
    assert_eq!(reasons_of_late_ones(11 * day).await, ["too_old"]);
    assert_eq!(reasons_of_late_ones(10 * day - day / 24).await, ["too_old", "too_old"]);
}

async fn reasons_of_late_ones(ids_are_kept: Duration) -> Vec<String> {
    let world = BusWorld::new().await;
    let retention = Retention::of_ids(ids_are_kept);
    let parts = Parts::default();
    let aggregator = aggregator::Settings { retention, ..parts.aggregator };
    let platform = Platform::of(Parts { aggregator, ..parts });
    let week = 7 * 24 * 3_600_000;
    let received = NOW - 3 * 24 * 3_600_000;
    let edge = |n, ts_ms: i64| with(&wire("c", n), &[("ts_ms", &ts_ms.to_string())]);
    let mut draft = Draft::with_room(0);
    draft.push(edge(1, received - week).as_bytes());
    draft.push(edge(2, received + 5 * 60_000).as_bytes());
    draft.push(edge(3, received - week - 2 * 60_000).as_bytes());
    world.publish_raw("qoe.events.1-0", draft.finish(received, Packing::Plain)).await;
    let _consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    letters(&world).await.into_iter().map(|letter| letter.reason).collect()
}

/// One window can't be read back, so no event of it can be counted until somebody has mended it.
#[tokio::test]
async fn what_the_store_refuses_is_found_laid_aside_and_counted_once_after_the_mend() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let consuming = world.consume(&platform.running.aggregator).await;
    world.publish_raw("qoe.events.1-0", message(&events("bad", 0, 1))).await;
    world.drained().await;
    let spoil = "ALTER TABLE agg_1m ADD COLUMN good BLOB;
                 UPDATE agg_1m SET good = sketches, sketches = X'FF' WHERE client_id = 'bad'";
    database(&platform).execute_batch(spoil).unwrap();

    let mut texts = events("good", 0, 20);
    texts.splice(7..7, events("bad", 1, 2));
    texts.splice(15..15, events("bad", 3, 1));
    world.publish_raw("qoe.events.1-0", message(&texts)).await;
    world.publish_raw("qoe.events.1-0", message(&events("good", 20, 5))).await;
    world.drained().await;
    assert_eq!(platform.counted("good").await, 25);
    let laid_aside = letters(&world).await;
    assert_eq!(laid_aside.len(), 3);
    for letter in &laid_aside {
        let Kind::Event { index, .. } = letter.kind else { panic!("{letter:?}") };
        assert_eq!(letter.payload, texts[index].as_bytes());
        assert_eq!(letter.client_id.as_deref(), Some("bad"));
        assert_eq!(letter.reason, "store_refused");
    }

    // Before the mend it only becomes a new one.
    let number = laid_aside[0].number;
    world.bus.replay_dead_letter(number).await.unwrap();
    world.drained().await;
    let again = letters(&world).await;
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|letter| letter.number != number));

    let mend = "UPDATE agg_1m SET sketches = good WHERE client_id = 'bad'";
    database(&platform).execute_batch(mend).unwrap();
    for letter in &again {
        assert_eq!(world.bus.dead_letter(letter.number).await.unwrap(), *letter);
        world.bus.replay_dead_letter(letter.number).await.unwrap();
    }
    world.drained().await;
    assert_eq!(platform.counted("bad").await, 4);
    assert_eq!(letters(&world).await, []);
    assert!(world.bus.dead_letter(number).await.is_err());
    consuming.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_thrown_away_once() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let _consuming = world.consume(&platform.running.aggregator).await;
    for n in 0..5 {
        world.publish_raw("qoe.events.x", format!("junk {n}")).await;
    }
    world.drained().await;
    let all = letters(&world).await;
    assert_eq!(world.bus.dead_letters(0, 2).await.unwrap(), all[..2]);
    assert_eq!(world.bus.dead_letters(all[1].number + 1, 9).await.unwrap(), all[2..]);
    world.bus.drop_dead_letter(all[0].number).await.unwrap();
    let gone = world.bus.drop_dead_letter(all[0].number).await.unwrap_err();
    assert_eq!(gone.to_string(), format!("there is no dead letter {}", all[0].number));
    assert_eq!(letters(&world).await, all[1..]);
    // A whole message comes back as it was sent, and is laid aside again.
    world.bus.replay_dead_letter(all[1].number).await.unwrap();
    world.drained().await;
    let again = letters(&world).await;
    assert_eq!((again.len(), &again[3].payload), (4, &all[1].payload));
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_costs_no_event_and_no_dead_letter() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let consuming = world.consume(&platform.running.aggregator).await;
    world.publish_raw("qoe.events.1-0", message(&events("c", 0, 5))).await;
    world.drained().await;
    schema::down(&platform.world.dir(), 0).unwrap();
    for n in 0..100 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * n, 10))).await;
    }
    let refused =
        async || !platform.running.aggregator.ready() && consuming.health.fares().at_work > 0;
    eventually("refused", refused).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.consumer().await.ack_floor.stream_sequence, 1);
    assert_eq!(world.messages(LETTERS).await, 0);
    schema::up(&platform.world.dir()).unwrap();
    world.drained().await;
    // The first five went down with the tables, and are no longer on the way.
    let counted: u64 = platform.world.windows().iter().map(|window| window.counts.total).sum();
    assert_eq!(counted, 1_000);
    assert_eq!(world.messages(LETTERS).await, 0);
    consuming.stop().await;
}

#[tokio::test]
async fn what_can_not_be_laid_aside_is_kept_and_told() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let consuming = world.consume(&platform.running.aggregator).await;
    world.jetstream.delete_stream(LETTERS).await.unwrap();
    world.publish_raw("qoe.events.x", "junk").await;
    eventually("told", async || consuming.health.fares().halted.is_some()).await;
    let why = consuming.health.fares().halted.unwrap();
    assert_eq!(why, "dead letters can't be kept: the stream is missing");
    assert!(!consuming.health.ready());
    assert_eq!(world.consumer().await.num_ack_pending, 1);
    world.bus.make_streams(&streams()).await.unwrap();
    world.drained().await;
    assert_eq!(letters(&world).await.len(), 1);
    assert!(consuming.health.ready());
    consuming.stop().await;
}

/// What it could not count goes to the other at once, not after the server's patience.
#[tokio::test]
async fn one_that_stops_hands_its_work_to_the_others() {
    let world = BusWorld::new().await;
    let (broken, well) = (Platform::new(), Platform::new());
    schema::down(&broken.world.dir(), 0).unwrap();
    let first = world.consume(&broken.running.aggregator).await;
    for n in 0..10 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * n, 10))).await;
    }
    eventually("taken", async || world.consumer().await.num_ack_pending == 10).await;
    first.stop().await;
    let second = world.consume(&well.running.aggregator).await;
    world.drained().await;
    assert_eq!(well.counted("c").await, 100);
    second.stop().await;
}

/// Dies without a word: what it had is given to the other after the server's patience.
#[tokio::test]
async fn one_that_dies_is_replaced() {
    let world = BusWorld::new().await;
    let (broken, well) = (Platform::new(), Platform::new());
    schema::down(&broken.world.dir(), 0).unwrap();
    let impatient = consume::Settings { ack_wait: Duration::from_secs(1), ..settings() };
    let alone = Bus::connect(&Connect::to(world.nats.url())).await.unwrap();
    let _first = begin(&alone, &broken.running.aggregator, impatient.clone()).await;
    world.publish_raw("qoe.events.1-0", message(&events("c", 0, 10))).await;
    eventually("taken", async || world.consumer().await.num_ack_pending == 1).await;
    // Signs of life keep it there for longer than the server waits.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(world.consumer().await.num_redelivered, 0);
    alone.close().await;
    let second = world.consume_with(&well.running.aggregator, impatient).await;
    world.drained().await;
    assert_eq!(well.counted("c").await, 10);
    second.stop().await;
}

#[tokio::test]
async fn two_share_the_work() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let few = consume::Settings { at_work: 2, ..settings() };
    let first = world.consume_with(&platform.running.aggregator, few.clone()).await;
    let second = world.consume_with(&platform.running.aggregator, few).await;
    for n in 0..200 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * n, 10))).await;
    }
    world.drained().await;
    assert_eq!(platform.counted("c").await, 2_000);
    let done = [&first, &second].map(|consuming| consuming.health.fares().done);
    assert!(done.iter().sum::<u64>() == 200 && done.iter().all(|&done| done > 0), "{done:?}");
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_killed_server_and_a_deleted_consumer_change_no_window() {
    let mut world = BusWorld::new().await;
    let platform = Platform::new();
    let impatient = consume::Settings { ack_wait: Duration::from_secs(1), ..settings() };
    let consuming = world.consume_with(&platform.running.aggregator, impatient).await;
    for round in 0..3 {
        for n in 0..20 {
            let texts = events("c", 1_000 * round + 10 * n, 10);
            world.publish_raw("qoe.events.1-0", message(&texts)).await;
        }
        world.nats.kill();
        world.nats.restart().unwrap();
        eventually("back", async || world.bus.connected()).await;
        eventually("back", async || world.jetstream.get_stream(EVENTS).await.is_ok()).await;
    }
    world.drained().await;
    assert_eq!(platform.counted("c").await, 600);

    // Made anew from the first message on: all of it comes again.
    world.stream(EVENTS).await.delete_consumer(consume::DURABLE).await.unwrap();
    world.publish_raw("qoe.events.1-0", message(&events("c", 5_000, 10))).await;
    let made = async || world.stream(EVENTS).await.consumer_info(consume::DURABLE).await.is_ok();
    eventually("made anew", made).await;
    world.drained().await;
    assert_eq!(platform.counted("c").await, 610);
    assert_eq!(world.messages(LETTERS).await, 0);
    consuming.stop().await;
}

#[tokio::test]
async fn a_stream_that_vanishes_is_told_and_not_made_anew() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let consuming = world.consume(&platform.running.aggregator).await;
    world.jetstream.delete_stream(EVENTS).await.unwrap();
    eventually("told", async || consuming.health.fares().halted.is_some()).await;
    assert!(consuming.health.fares().halted.unwrap().starts_with("there is no stream QOE_EVENTS"));
    assert!(world.jetstream.get_stream(EVENTS).await.is_err());
    world.bus.make_streams(&streams()).await.unwrap();
    world.publish_raw("qoe.events.1-0", message(&events("c", 0, 1))).await;
    eventually("counted", async || platform.counted("c").await == 1).await;
    assert!(consuming.health.ready());
    consuming.stop().await;
}

#[tokio::test]
async fn messages_that_grew_too_old_before_they_were_counted_are_missed() {
    let short = StreamSettings { max_age: Duration::from_secs(1), ..streams() };
    let world = BusWorld::with(&short, 1 << 20).await;
    let platform = Platform::new();
    let consuming = world.consume(&platform.running.aggregator).await;
    world.publish_raw("qoe.events.1-0", message(&events("c", 0, 5))).await;
    world.drained().await;
    consuming.stop().await;
    for n in 0..6 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * n, 10))).await;
    }
    eventually("gone", async || world.messages(EVENTS).await == 0).await;
    let consuming = world.consume(&platform.running.aggregator).await;
    // The server goes over them by itself, and may have begun with that.
    eventually("missed", async || consuming.health.fares().missing > 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(consuming.health.fares().missing <= 6);
    consuming.stop().await;
}

/// A paused consumer is one that has messages and gives none.
#[tokio::test]
async fn silence_while_something_waits_is_noticed() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    let alert = consume::Settings {
        silence: Duration::from_millis(200),
        // What is given to the connection just left comes again so soon.
        ack_wait: Duration::from_secs(1),
        ..settings()
    };
    let consuming = world.consume_with(&platform.running.aggregator, alert).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(consuming.health.fares().rebuilt, 0);

    let pause = format!("CONSUMER.PAUSE.{EVENTS}.{}", consume::DURABLE);
    let until = serde_json::json!({"pause_until": "2100-01-01T00:00:00Z"});
    let _: serde_json::Value = world.jetstream.request(pause.clone(), &until).await.unwrap();
    world.publish_raw("qoe.events.1-0", message(&events("c", 0, 1))).await;
    eventually("noticed", async || consuming.health.fares().rebuilt >= 2).await;
    let go_on = serde_json::json!({});
    let _: serde_json::Value = world.jetstream.request(pause, &go_on).await.unwrap();
    world.drained().await;
    assert_eq!(platform.counted("c").await, 1);
    consuming.stop().await;
}

#[tokio::test]
async fn room_is_made_of_what_was_counted_and_of_nothing_else() {
    let small = StreamSettings { max_bytes: 100_000, ..streams() };
    let world = BusWorld::with(&small, 1 << 20).await;
    let platform = Platform::new();
    let mut sent = 0;
    while world.stream(EVENTS).await.cached_info().state.bytes < 40_000 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * sent, 10))).await;
        sent += 1;
    }
    let consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    consuming.stop().await;
    let counted = world.messages(EVENTS).await;
    assert_eq!(janitor::step(&world.bus, consume::DURABLE).await.unwrap(), 0);
    while world.stream(EVENTS).await.cached_info().state.bytes < 90_000 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * sent, 10))).await;
        sent += 1;
    }
    assert_eq!(janitor::step(&world.bus, "nobody").await.unwrap(), 0);
    let mut purged = 0;
    loop {
        match janitor::step(&world.bus, consume::DURABLE).await.unwrap() {
            0 => break,
            more => purged += more,
        }
    }
    assert!(purged > 0 && purged <= counted, "{purged} of {counted}");
    let consuming = world.consume(&platform.running.aggregator).await;
    world.drained().await;
    assert_eq!(u128::from(platform.counted("c").await), 10 * sent);
    consuming.stop().await;
}

#[tokio::test]
async fn a_replay_fills_an_emptied_store_with_the_same_bytes_and_a_full_one_with_nothing() {
    let world = BusWorld::new().await;
    let (first, second) = (Platform::new(), Platform::new());
    for n in 0..50 {
        let texts = [events("c", 10 * n, 10), events(&format!("d{n}"), 0, 2)].concat();
        world.publish_raw("qoe.events.1-0", message(&texts)).await;
    }
    world.publish_raw("qoe.events.x", "junk").await;
    world.publish_raw("qoe.events.1-0", message(&["{}"])).await;
    let consuming = world.consume(&first.running.aggregator).await;
    world.drained().await;

    let stop = CancellationToken::new();
    let limits = settings().limits;
    let again = async |platform: &Platform, since| {
        let aggregator = platform.running.aggregator.clone();
        replay(&world.bus, aggregator, since, &limits, &stop).await.unwrap().unwrap()
    };
    let all = Replayed {
        messages: 52,
        counted: 600,
        refused: 1,
        broken: 1,
        first_sequence: 1,
        last_sequence: 52,
        ..Replayed::default()
    };
    assert_eq!(again(&second, Since::Start).await, all);
    assert_eq!(second.world.contents(), first.world.contents());
    let before = second.world.windows();
    let duplicates = Replayed { duplicates: 600, ..all };
    assert_eq!(again(&second, Since::Time(0)).await, duplicates);
    assert_eq!(second.world.windows(), before);
    let part = again(&second, Since::Sequence(51)).await;
    assert_eq!((part.messages, part.counted, part.broken, part.refused), (2, 0, 1, 1));
    assert_eq!(again(&second, Since::Sequence(53)).await, Replayed::default());
    // No letter is written twice.
    assert_eq!(letters(&world).await.len(), 2);
    stop.cancel();
    let aggregator = second.running.aggregator.clone();
    let stopped = replay(&world.bus, aggregator, Since::Start, &limits, &stop);
    assert_eq!(stopped.await.unwrap(), None);
    consuming.stop().await;
}

/// Ingest, too, gives 202 only for what a replay would find.
#[tokio::test]
async fn what_ingest_took_is_what_a_replay_finds() {
    let world = BusWorld::new().await;
    let platform = world.platform().await;
    let body = array(&events("c", 0, 30));
    assert_eq!(platform.post(body).await.status, 202);
    let aggregator = platform.running.aggregator.clone();
    let stop = CancellationToken::new();
    let limits = Parts::default().ingest.events;
    let replayed = replay(&world.bus, aggregator, Since::Start, &limits, &stop);
    assert_eq!(replayed.await.unwrap().unwrap().counted, 30);
    assert_eq!(platform.counted("c").await, 30);
}
