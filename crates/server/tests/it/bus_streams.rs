//! What a server must be before it is trusted with events.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use server::bus::inspect::Sync;
use server::bus::{Bus, BusError, Connect, Made, Names, Publisher, StreamSettings, publish};
use testbed::servers::nats::{Nats, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::bus::{BusWorld, EVENTS, events, message, streams};
use crate::platform::Platform;

/// Says what a server of this version says first, and answers a ping.
async fn pretend(info: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://user:secret@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
            let mut heard = [0; 4096];
            while let Ok(1..) = stream.read(&mut heard).await {
                let _ = stream.write_all(b"PONG\r\n").await;
            }
        }
    });
    url
}

async fn refused(connect: &Connect) -> String {
    let Err(error) = Bus::connect(connect).await else { panic!("connected") };
    error.to_string()
}

#[tokio::test]
async fn servers_that_forget_are_refused_unless_somebody_decided_otherwise() {
    let old = r#"{"server_id":"X","version":"2.9.10","max_payload":1048576,"jetstream":true}"#;
    let connect = Connect::to(pretend(old).await);
    assert_eq!(
        refused(&connect).await,
        "NATS 2.9.10 is too old: before 2.10.23 it can forget a whole stream when it is killed; \
         upgrade it, or allow old servers explicitly where losing events does not matter"
    );
    assert!(Bus::connect(&Connect { allow_old: true, ..connect }).await.is_ok());

    let plain = r#"{"server_id":"X","version":"2.12.3","max_payload":1048576}"#;
    let text = refused(&Connect::to(pretend(plain).await)).await;
    assert!(text.contains("runs without JetStream") && !text.contains("secret"), "{text}");

    let small = r#"{"server_id":"X","version":"2.12.3","max_payload":4096,"jetstream":true}"#;
    let text = refused(&Connect::to(pretend(small).await)).await;
    assert_eq!(text, "max_payload of NATS is 4096 bytes, and 65536 are needed; raise it");
}

#[tokio::test]
async fn who_can_not_be_reached_is_named_without_secrets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let text = refused(&Connect::to(format!("nats://user:secret@{at}"))).await;
    assert!(text.starts_with(&format!("connect to NATS at nats://{at}: ")), "{text}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no credentials, but a secret").unwrap();
    let credentials = Some(file.path().to_owned());
    let text = refused(&Connect { credentials, ..Connect::to(at.to_string()) }).await;
    assert!(text.contains("it is neither a NATS credentials file nor one line"), "{text}");
    assert!(!text.contains("but a secret"), "{text}");
}

#[tokio::test]
async fn a_name_and_password_are_shown_from_a_file() {
    let more = "authorization: {user: me, password: \"s3cret\"}".to_owned();
    let server = Nats::start(&Options { more, ..Options::default() }).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let credentials = Some(file.path().to_owned());
    let connect = Connect { credentials, ..Connect::to(server.url()) };
    std::fs::write(file.path(), "me:wr0ng\n").unwrap();
    let text = refused(&connect).await;
    assert!(text.contains("uthoriz") && !text.contains("wr0ng"), "{text}");
    std::fs::write(file.path(), "me:s3cret\n").unwrap();
    assert!(Bus::connect(&connect).await.unwrap().connected());
}

#[tokio::test]
async fn streams_are_made_once_changed_in_their_bounds_and_kept_apart_by_name() {
    let world = BusWorld::bare(1 << 20).await;
    let bus = &world.bus;
    let missing = bus.check_streams().await.unwrap_err();
    assert!(matches!(missing, BusError::Missing { stream } if stream == EVENTS));
    assert!(Publisher::start(bus, publish::Settings::default()).await.is_err());

    let made = async |settings: &StreamSettings| {
        bus.make_streams(settings)
            .await
            .unwrap()
            .into_iter()
            .map(|(_, made)| made)
            .collect::<Vec<_>>()
    };
    let settings = streams();
    assert_eq!(made(&settings).await, [Made::Created, Made::Created]);
    bus.check_streams().await.unwrap();
    assert_eq!(made(&settings).await, [Made::Unchanged, Made::Unchanged]);
    let day = Duration::from_secs(24 * 3600);
    let shorter = StreamSettings { max_age: day, ..settings.clone() };
    assert_eq!(made(&shorter).await, [Made::Changed, Made::Unchanged]);
    assert_eq!(world.stream(EVENTS).await.cached_info().config.max_age, day);

    let names = Names::of("other-1").unwrap();
    let other = Connect { names, ..Connect::to(world.nats.url()) };
    let other = Bus::connect(&other).await.unwrap();
    other.make_streams(&settings).await.unwrap();
    other.check_streams().await.unwrap();
    for bad in ["", "a.b", "A", "a b", "*", "a_b"] {
        assert_eq!(Names::of(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn a_stream_that_would_lose_events_is_not_used() {
    let world = BusWorld::bare(1 << 20).await;
    let forgetful = Config {
        name: EVENTS.to_owned(),
        subjects: vec!["qoe.events.*".to_owned()],
        discard: DiscardPolicy::Old,
        storage: StorageType::Memory,
        ..Config::default()
    };
    world.jetstream.create_stream(forgetful).await.unwrap();
    let text = world.bus.make_streams(&streams()).await.unwrap_err().to_string();
    assert_eq!(
        text,
        "stream QOE_EVENTS would lose events: discard is old and must be new; storage is memory \
         and must be file"
    );
    assert!(world.bus.check_streams().await.is_err());
}

#[tokio::test]
async fn an_inspection_tells_what_can_be_lost() {
    let world = BusWorld::bare(1 << 20).await;
    let monitor = world.nats.monitor_url().parse().unwrap();
    let report = world.bus.inspect(None).await.unwrap();
    assert_eq!(report.sync, Sync::Unknown);
    assert_eq!(report.max_payload, 1 << 20);
    assert!(report.streams.iter().all(|stream| stream.found.is_none()));

    world.bus.make_streams(&streams()).await.unwrap();
    let report = world.bus.inspect(Some(&monitor)).await.unwrap();
    assert_eq!(report.sync, Sync::Every(Duration::from_secs(120)));
    let risks = report.risks();
    assert_eq!(risks.len(), 1, "{risks:#?}");
    assert!(risks[0].starts_with("sync_interval is 120 s: a power cut will lose"), "{risks:#?}");
    let notes = report.notes();
    assert!(notes[0].starts_with("QOE_EVENTS is kept on one server"), "{notes:#?}");
    assert_eq!((notes.len(), report.backlog), (3, None), "{notes:#?}");
    let found = report.streams[0].found.as_ref().unwrap();
    assert_eq!((found.discard, found.retention, found.storage), ("new", "limits", "file"));

    let options = Options::default();
    let always = Nats::start(&options).unwrap();
    let bus = Bus::connect(&Connect::to(always.url())).await.unwrap();
    let monitor = always.monitor_url().parse().unwrap();
    assert_eq!(bus.inspect(Some(&monitor)).await.unwrap().sync, Sync::Always);
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let report = bus.inspect(Some(&nowhere)).await.unwrap();
    assert_eq!(report.sync, Sync::Unknown);
    assert!(report.notes()[0].contains("monitoring port at http://127.0.0.1:1"));
}

/// Somebody purged what no aggregator had seen.
#[tokio::test]
async fn an_inspection_finds_messages_that_went_uncounted() {
    let world = BusWorld::new().await;
    let platform = Platform::new();
    world.publish_raw("qoe.events.1-0", message(&events("c", 0, 2))).await;
    world.consume(&platform.running.aggregator).await.stop().await;
    for n in 1..=4 {
        world.publish_raw("qoe.events.1-0", message(&events("c", 10 * n, 2))).await;
    }
    let report = world.bus.inspect(None).await.unwrap();
    let backlog = report.backlog.unwrap();
    let (floor, lag) = (backlog.ack_floor, backlog.lag);
    assert_eq!(floor + lag, 5);
    assert!(!report.risks().iter().any(|risk| risk.contains("are gone")));
    world.stream(EVENTS).await.purge().sequence(4).await.unwrap();
    let risks = world.bus.inspect(None).await.unwrap().risks();
    // The server itself moves the floor past what is gone, some time later.
    let told = format!("messages {} to 3 of QOE_EVENTS are gone", floor + 1);
    let report = world.bus.inspect(None).await.unwrap();
    let moved = report.backlog.unwrap().ack_floor >= 3;
    assert!(moved || risks.iter().any(|risk| risk.starts_with(&told)), "{risks:#?}");
}
