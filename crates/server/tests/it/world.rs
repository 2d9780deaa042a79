//! A store of either kind and events to count in it.

use std::collections::HashMap;
use std::path::PathBuf;

use model::event::Timings;
use model::units::{MINUTE_MS, Micros, Minute};
use model::{BitsPerSecond, ClientId, ErrorStage, Event, SchemaVersion, Target};
use server::aggregator::{Aggregator, Settings, WriterThreads};
use server::store::{
    Cell, FleetWindow, GapQuery, GapRow, Location, PostgresSettings, Reader, Span, Store,
    WindowQuery, WindowRow, schema,
};
use testbed::servers::postgres::{Database, Postgres};
use uuid::Uuid;

/// A round moment, on a minute: 2023-11-14T22:13:00Z.
pub(crate) const T0: i64 = 1_699_999_980_000;
pub(crate) const TARGET: &str = "https://t.example/";
pub(crate) const ALWAYS: Span = Span { from_ms: 0, to_ms: i64::MAX };

/// A store that goes with the test.
pub(crate) struct World {
    pub(crate) store: Store,
    place: Place,
}

enum Place {
    Directory(tempfile::TempDir),
    Database(Database),
}

/// A store with its writer at work.
pub(crate) struct Running {
    pub(crate) aggregator: Aggregator,
    pub(crate) writer: WriterThreads,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data")).unwrap();
        Self { store, place: Place::Directory(dir) }
    }

    /// A shared store of its own, on the tests' PostgreSQL server.
    pub(crate) fn shared() -> Self {
        Self::on(apart(|| Postgres::shared().unwrap()))
    }

    /// A shared store on that server.
    pub(crate) fn on(server: &Postgres) -> Self {
        let database = apart(|| server.create_database().unwrap());
        let location = Location::from(settings_of(&database));
        schema::up(&location).unwrap();
        Self { store: Store::open(&location).unwrap(), place: Place::Database(database) }
    }

    /// The database of a shared store.
    pub(crate) fn database(&self) -> &Database {
        match &self.place {
            Place::Database(database) => database,
            Place::Directory(_) => panic!("this store is embedded"),
        }
    }

    /// Runs statements on a shared store, beside the program.
    pub(crate) fn sql(&self, statements: &str) {
        let database = self.database();
        apart(|| database.connect().unwrap().batch_execute(statements).unwrap());
    }

    pub(crate) fn dir(&self) -> PathBuf {
        match &self.place {
            Place::Directory(dir) => dir.path().join("data"),
            Place::Database(_) => panic!("this store has no directory"),
        }
    }

    pub(crate) fn start(&self, settings: Settings) -> Running {
        let (aggregator, writer) = Aggregator::start(&self.store, settings).unwrap();
        Running { aggregator, writer }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.store.location()).unwrap()
    }

    pub(crate) fn windows(&self) -> Vec<WindowRow> {
        let query = WindowQuery { client_id: None, target: None, span: ALWAYS, limit: 1_000_000 };
        self.reader().windows(&query, T0).unwrap().0
    }

    pub(crate) fn gaps(&self) -> Vec<GapRow> {
        let query = GapQuery { client_id: None, span: ALWAYS, limit: 1_000_000 };
        self.reader().gaps(&query).unwrap().0
    }

    /// All that must not depend on order and batching: rows without revision and time of
    /// change, and the bytes behind them.
    pub(crate) fn contents(&self) -> Vec<(WindowRow, Vec<u8>)> {
        let mut kept = HashMap::new();
        let mut keep = |of: FleetWindow| {
            kept.insert((of.cell, of.window.start.start_ms()), of.window.window.encode());
            Ok(())
        };
        self.reader().each_fleet_window(ALWAYS, &mut keep).unwrap();
        let with_bytes = |row: WindowRow| {
            let bytes = kept[&(cell(&row.client_id, &row.target), row.window_start_ts)].clone();
            (WindowRow { revision: 0, updated_at: 0, ..row }, bytes)
        };
        self.windows().into_iter().map(with_bytes).collect()
    }
}

/// Runs `work` on a thread of its own: the client of the tests' server may not meet async code.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// How our program reaches a test's database.
pub(crate) fn settings_of(database: &Database) -> PostgresSettings {
    PostgresSettings::parse(&database.url(), None).unwrap().accept_data_loss()
}

impl Running {
    pub(crate) async fn stop(mut self) {
        self.aggregator.close();
        self.writer.finished().await;
    }
}

pub(crate) fn cell(client_id: &str, target: &str) -> Cell {
    Cell { client_id: client_id.to_owned(), target: target.to_owned() }
}

/// An event of `client`; everything else follows from `n`, its id too.
pub(crate) fn event(client: &str, n: u64, ts_ms: i64) -> Event {
    let timings = Timings {
        dns: (!n.is_multiple_of(5)).then_some(Micros(10_000 + n % 7)),
        tcp: Some(Micros(20_000 + n % 11)),
        tls: Some(Micros(30_000 + n % 13)),
        ttfb: Some(Micros(40_000 + n % 17)),
        total: None,
    };
    Event {
        version: SchemaVersion::V1_1,
        id: Uuid::from_u128(u128::from(n) + 1),
        client: ClientId::trusted(client),
        target: Target::trusted(TARGET),
        ts_ms,
        failure: n.is_multiple_of(9).then(|| ErrorStage::ALL[(n / 9) as usize % 7]),
        timings,
        throughput: n.is_multiple_of(3).then_some(BitsPerSecond(90_000_000 + n)),
        troubled: false,
        gap: None,
        beside: None,
    }
}

/// A good minute of `client`, or one with a slow look-up.
pub(crate) fn minute(client: &str, at: Minute, slow_dns: bool) -> Vec<Event> {
    (0..6)
        .map(|i| {
            let ts_ms = at.start_ms() + i * MINUTE_MS / 6;
            let mut event = event(client, ts_ms.unsigned_abs() * 45 + 1, ts_ms);
            let spread = i.unsigned_abs() * 300;
            event.timings.dns = Some(Micros(if slow_dns { 210_000 } else { 10_000 } + spread));
            event.failure = None;
            event
        })
        .collect()
}

/// A test of each of these on either store.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test] async fn $test() { super::$test(crate::world::World::new()).await })*
        }
        mod shared {
            $(#[tokio::test] async fn $test() { super::$test(crate::world::World::shared()).await })*
        }
    };
}
pub(crate) use on_both_stores;
