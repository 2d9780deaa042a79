//! The shared store when its server misbehaves: what each failure means, that nothing of a failed
//! transaction stands, and that the next one succeeds.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use model::units::MINUTE_MS;
use model::{ClientId, Event};
use server::aggregator::Settings;
use server::store::{Class, Location, PostgresSettings, Reader, Retention, Store, Writer, schema};
use testbed::servers::postgres::{Options, Postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{T0, World, apart, event, settings_of};

fn batch(n: std::ops::Range<u64>) -> [Vec<Event>; 1] {
    [n.map(|n| event("c", n, T0)).collect()]
}

fn total(world: &World) -> u64 {
    world.windows().iter().map(|window| window.counts.total).sum()
}

/// Has the server end every other connection to the database.
const END_CONNECTIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
fn a_connection_that_was_ended_is_made_anew_by_the_next_transaction() {
    let world = World::shared();
    let mut writer = world.store.writer().unwrap();
    writer.apply(&batch(0..3), T0).unwrap();
    let reader = world.reader();
    world.sql(END_CONNECTIONS);
    // One of the two may still be told of the end; the one after it is not.
    let applied = writer.apply(&batch(0..5), T0).or_else(|error| {
        assert_eq!(error.class(), Class::Again, "{error}");
        writer.apply(&batch(0..5), T0)
    });
    assert_eq!(applied.unwrap(), [3]);
    assert!(reader.rollup_tasks(T0, 1).is_err());
    assert_eq!(total(&world), 5);
}

#[tokio::test]
async fn a_reader_that_lost_its_connection_is_not_lent_again() {
    let world = World::shared();
    world.sql(END_CONNECTIONS);
    let look = || world.store.read(|reader: &Reader| reader.rollup_tasks(T0, 1));
    if let Err(error) = look().await {
        assert_eq!(error.class(), Class::Again, "{error}");
    }
    assert_eq!(look().await.unwrap(), []);
}

#[test]
fn a_transaction_that_is_cut_short_leaves_nothing() {
    let world = World::shared();
    let mut writer = world.store.writer().unwrap();
    writer.apply(&batch(0..1), T0).unwrap();
    let mut rival = apart(|| world.database().connect().unwrap());
    rival.batch_execute("BEGIN; LOCK TABLE rollup_queue IN EXCLUSIVE MODE").unwrap();
    thread::scope(|scope| {
        let cut = scope.spawn(|| writer.apply(&batch(0..9), T0).unwrap_err());
        // It has written windows and waits to queue their hour.
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)";
        while !rival.query_one(waits, &[]).unwrap().get::<_, bool>(0) {
            thread::sleep(Duration::from_millis(5));
        }
        rival.batch_execute(END_CONNECTIONS).unwrap();
        let error = cut.join().unwrap();
        assert_eq!(error.class(), Class::Again, "{error}");
    });
    rival.batch_execute("ROLLBACK").unwrap();
    assert_eq!(total(&world), 1);
    assert_eq!(writer.apply(&batch(0..9), T0).unwrap(), [1]);
    assert_eq!(total(&world), 9);
}

#[test]
fn a_database_that_can_only_be_read_is_tried_again() {
    let world = World::shared();
    let mut writer = world.store.writer().unwrap();
    let read_only = |on: &str| {
        world.sql(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {on}',
             current_database()); END $$"
        ));
    };
    read_only("on");
    world.sql(END_CONNECTIONS);
    for _ in 0..2 {
        let error = writer.apply(&batch(0..1), T0).unwrap_err();
        assert_eq!(error.class(), Class::Again, "{error}");
    }
    writer.probe().unwrap_err();
    assert!(total(&world) == 0, "it can be read");
    apart(|| {
        let mut client = world.database().connect().unwrap();
        client.batch_execute("SET default_transaction_read_only = off").unwrap();
        let name: String = client.query_one("SELECT current_database()", &[]).unwrap().get(0);
        client
            .batch_execute(&format!("ALTER DATABASE {name} RESET default_transaction_read_only"))
            .unwrap();
    });
    writer.probe().unwrap();
    assert_eq!(writer.apply(&batch(0..1), T0).unwrap(), [0]);
}

#[test]
fn tables_that_are_not_as_they_should_be_halt() {
    for break_it in [
        "ALTER TABLE rollup_queue RENAME TO gone",
        "ALTER TABLE agg_1m DROP COLUMN sketches",
        "ALTER TABLE agg_1m ALTER COLUMN revision TYPE text",
    ] {
        let world = World::shared();
        let mut writer = world.store.writer().unwrap();
        world.sql(break_it);
        let error = writer.apply(&batch(0..1), T0).unwrap_err();
        assert_eq!(error.class(), Class::Halt, "{break_it}: {error}");
    }
}

#[tokio::test]
async fn what_can_not_be_kept_is_refused_alone() {
    let world = World::shared();
    let running = world.start(Settings { now: || T0, writers: 1, ..Settings::default() });
    // What no ingest of ours lets in.
    let nul = Event { client: ClientId::trusted("a\0b"), ..event("", 1, T0) };
    let beyond = event("c", 2, i64::MAX / 2);
    let submit = |events| running.aggregator.submit(events);
    let good = |n| vec![event("c", n, T0)];
    let answers = futures_util::future::join_all([
        submit(good(10)),
        submit(vec![nul]),
        submit(good(11)),
        submit(vec![beyond]),
        submit(good(12)),
    ])
    .await;
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(_) => assert!(at % 2 == 0, "{at}"),
            Err(error) => assert!(at % 2 == 1 && error.class() == Class::Poison, "{at}: {error}"),
        }
    }
    assert_eq!(total(&world), 3);
    assert!(running.aggregator.ready());
}

#[test]
fn rivals_over_the_same_windows_lose_nothing_and_double_nothing() {
    const RIVALS: u64 = 4;
    const EACH: u64 = 12;
    let world = World::shared();
    let start = Barrier::new(RIVALS as usize);
    thread::scope(|scope| {
        for rival in 0..RIVALS {
            let (world, start) = (&world, &start);
            scope.spawn(move || {
                let mut writer = world.store.writer().unwrap();
                start.wait();
                for round in 0..EACH {
                    // The same forty windows, each rival from another end, half of the ids shared.
                    let events = (0..40).map(|n| {
                        let n = if rival % 2 == 0 { n } else { 39 - n };
                        let client = format!("c{}", n % 8);
                        let id = if n % 2 == 0 { round } else { round + (rival + 1) * 1_000 };
                        event(&client, id * 40 + n, T0 + (n as i64 / 8) * MINUTE_MS)
                    });
                    while let Err(error) = writer.apply(&[events.clone().collect()], T0) {
                        assert_eq!(error.class(), Class::Again, "{error}");
                    }
                }
            });
        }
    });
    assert_eq!(total(&world), EACH * 20 * (1 + RIVALS));
    assert_eq!(world.windows().len(), 40);
}

#[test]
fn a_day_that_somebody_reads_goes_later() {
    let world = World::shared();
    let mut writer = world.store.writer().unwrap();
    let old = T0 - 100 * 24 * 60 * MINUTE_MS;
    writer.apply(&[vec![event("c", 1, old), event("c", 2, T0)]], T0).unwrap();
    let prune = |writer: &mut Writer| writer.prune(&Retention::default(), T0).unwrap();
    let mut reader = apart(|| world.database().connect().unwrap());
    apart(|| reader.batch_execute("BEGIN; SELECT count(*) FROM agg_1m").unwrap());
    prune(&mut writer);
    assert_eq!(world.windows().len(), 2);
    apart(|| reader.batch_execute("ROLLBACK").unwrap());
    prune(&mut writer);
    assert_eq!(world.windows().len(), 1);
    // A partition that is gone is made again for whoever needs it, also by one who knew it.
    writer.apply(&[vec![event("c", 3, old)]], T0).unwrap();
    assert_eq!(world.windows().len(), 2);
}

#[test]
fn a_schema_that_is_newer_is_refused_unless_it_was_only_expanded() {
    let world = World::shared();
    let location = world.store.location();
    let note = |oldest: usize| {
        world.sql(&format!(
            "INSERT INTO schema_migrations (version, name, oldest_program) VALUES (99, 'x', {oldest})
             ON CONFLICT (version) DO UPDATE SET oldest_program = {oldest}"
        ));
    };
    note(schema::LATEST);
    Store::open(location).unwrap().writer().unwrap().apply(&batch(0..1), T0).unwrap();
    assert_eq!(schema::up(location).unwrap(), 99);
    note(schema::LATEST + 1);
    let refused = [
        Store::open(location).err().unwrap(),
        world.store.writer().err().unwrap(),
        schema::up(location).unwrap_err(),
        schema::down(location, 0).unwrap_err(),
    ];
    for error in refused {
        assert!(error.to_string().contains("version 99"), "{error}");
        assert_eq!(error.class(), Class::Halt);
    }
}

#[test]
fn several_that_migrate_at_once_wait_for_one_another() {
    let database = apart(|| Postgres::shared().unwrap().create_database().unwrap());
    let location = Location::from(settings_of(&database));
    let unready = Store::open(&location).err().unwrap().to_string();
    assert!(unready.contains("version 0") && unready.contains("qoe migrate"), "{unready}");
    let from: Vec<usize> = thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| schema::up(&location).unwrap())).collect();
        all.into_iter().map(|up| up.join().unwrap()).collect()
    });
    assert_eq!(from.iter().filter(|&&from| from == 0).count(), 1);
    Store::open(&location).unwrap();
}

#[test]
fn who_may_not_enter_is_told_to_halt() {
    let world = World::shared();
    let url = world.database().url();
    let refused = |url: &str| {
        let settings = PostgresSettings::parse(url, None).unwrap().accept_data_loss();
        Reader::open(Location::from(settings)).err().unwrap()
    };
    let (front, name) = url.rsplit_once('/').unwrap();
    let nowhere = refused(&format!("{front}/no_{name}"));
    assert_eq!(nowhere.class(), Class::Halt, "{nowhere}");
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let stranger = refused(&format!("{scheme}://qoe:wrong@{place}"));
    assert_eq!(stranger.class(), Class::Halt, "{stranger}");
    assert!(!stranger.to_string().contains("wrong"), "{stranger}");
    let settings = PostgresSettings::parse(&url, None).unwrap();
    let lossy = Writer::open(Location::from(settings)).err().unwrap();
    assert!(lossy.to_string().contains("fsync is off"), "{lossy}");
    assert_eq!(lossy.class(), Class::Halt);
}

/// A server of the test's own goes through a crash, an orderly stop and a crowd.
#[test]
fn a_server_that_goes_and_comes_back_finds_what_was_committed() {
    let settings = ["max_connections = 8", "superuser_reserved_connections = 0"];
    let settings = settings.map(str::to_owned).to_vec();
    let mut server = Postgres::start(&Options { durable: true, settings }).unwrap();
    let world = World::on(&server);
    let mut writer = world.store.writer().unwrap();
    writer.apply(&batch(0..4), T0).unwrap();

    server.kill();
    for _ in 0..2 {
        let error = writer.apply(&batch(0..6), T0).unwrap_err();
        assert_eq!(error.class(), Class::Again, "{error}");
    }
    server.restart().unwrap();
    assert_eq!(writer.apply(&batch(0..6), T0).unwrap(), [4]);
    assert_eq!(total(&world), 6);

    // Others have every place.
    drop(writer);
    let mut crowd = Vec::new();
    while let Ok(client) = world.database().connect() {
        crowd.push(client);
    }
    let error = world.store.writer().err().unwrap();
    assert_eq!(error.class(), Class::Again, "{error}");
    assert!(error.to_string().contains("53300"), "{error}");
    drop(crowd);
    // They leave in the server's own time.
    let mut writer = loop {
        match world.store.writer() {
            Ok(writer) => break writer,
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    assert_eq!(writer.apply(&batch(0..7), T0).unwrap(), [6]);

    // Whoever holds up a transaction for a long time does not hold it up for ever: a server that
    // accepts and is silent.
    server.kill();
    let _silent = std::net::TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    let error = writer.apply(&batch(0..8), T0).unwrap_err();
    assert_eq!(error.class(), Class::Again, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_on_the_way_to_a_server_can_be_encrypted() {
    let world = World::shared();
    let url = url::Url::parse(&world.database().url()).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let door = encrypted_door(url.port().unwrap(), &made).await;
    let through = |port: u16, ca: Option<&Path>| {
        let mut url = url.clone();
        url.set_host(Some("localhost")).unwrap();
        url.set_port(Some(port)).unwrap();
        url.set_query(Some("sslmode=require"));
        let settings = PostgresSettings::parse(url.as_str(), ca).unwrap().accept_data_loss();
        Writer::open(Location::from(settings))
    };
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), made.cert.pem()).unwrap();
    let mut writer = through(door, Some(ca.path())).unwrap();
    assert_eq!(writer.apply(&batch(0..500), T0).unwrap(), [0]);
    // Authorities that do not know it, and a server that does not encrypt.
    let stranger = through(door, None).err().unwrap().to_string();
    assert!(stranger.contains("certificate"), "{stranger}");
    let bare = through(url.port().unwrap(), Some(ca.path())).err().unwrap().to_string();
    assert!(bare.contains("TLS"), "{bare}");
}

/// Takes connections as a server with TLS does, for one that may be built without; gives the port.
async fn encrypted_door(server: u16, made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut request = [0; 8];
                stream.read_exact(&mut request).await?;
                assert_eq!(request, *b"\0\0\0\x08\x04\xd2\x16\x2f", "it asks for TLS");
                stream.write_all(b"S").await?;
                let mut stream = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop)
            });
        }
    });
    port
}

#[test]
fn what_an_older_program_commits_while_its_tables_go_is_seen() {
    let world = World::shared();
    let location = world.store.location();
    world.store.writer().unwrap().apply(&batch(0..1), T0).unwrap();
    schema::down(location, 7).unwrap();
    world.sql("DELETE FROM rollup_queue");
    let mut older = apart(|| world.database().connect().unwrap());
    let at = T0 / 1_000;
    older
        .batch_execute(&format!(
            "BEGIN;
             INSERT INTO diagnosis_queue (client_id, target, oldest_ts, newest_ts, queued_at)
             SELECT client_id, target, window_start_ts, window_start_ts, to_timestamp({at}) FROM agg_1m"
        ))
        .unwrap();
    thread::scope(|scope| {
        let up = scope.spawn(|| schema::up(location).unwrap());
        let waits =
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON database = pg_database.oid
             WHERE datname = current_database() AND NOT granted)";
        while !older.query_one(waits, &[]).unwrap().get::<_, bool>(0) {
            thread::sleep(Duration::from_millis(5));
        }
        older.batch_execute("COMMIT").unwrap();
        assert_eq!(up.join().unwrap(), 7);
    });
    assert_eq!(world.reader().rollup_tasks(2 * T0, 10).unwrap().len(), 1);
    // It is told that it can't go on, rather than failing at some later statement.
    let oldest = "SELECT max(oldest_program) FROM schema_migrations";
    assert_eq!(older.query_one(oldest, &[]).unwrap().get::<_, i32>(0), 8);
}
