//! A data directory and events to count in it.

use std::path::PathBuf;

use model::event::Timings;
use model::units::{MINUTE_MS, Micros, Minute};
use model::{BitsPerSecond, ClientId, ErrorStage, Event, Target};
use server::aggregator::{Aggregator, Settings, WriterThread};
use server::store::{Cell, Reader, Span, Store, WindowQuery, WindowRow};
use uuid::Uuid;

/// A round moment, on a minute: 2023-11-14T22:13:00Z.
pub(crate) const T0: i64 = 1_699_999_980_000;
pub(crate) const TARGET: &str = "https://t.example/";
pub(crate) const ALWAYS: Span = Span { from_ms: 0, to_ms: i64::MAX };

/// A data directory that goes with the test.
pub(crate) struct World {
    pub(crate) store: Store,
    dir: tempfile::TempDir,
}

/// A store with its writer at work.
pub(crate) struct Running {
    pub(crate) aggregator: Aggregator,
    pub(crate) writer: WriterThread,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open(&dir.path().join("data")).unwrap(), dir }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().join("data")
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

    /// All that must not depend on order and batching: rows without revision and time of
    /// change, and the bytes behind them.
    pub(crate) fn contents(&self) -> Vec<(WindowRow, Vec<u8>)> {
        let reader = self.reader();
        self.windows()
            .into_iter()
            .map(|row| {
                let cell = cell(&row.client_id, &row.target);
                let span = Span { from_ms: row.window_start_ts, to_ms: row.window_start_ts + 1 };
                let [kept] = &reader.cell_windows(&cell, span).unwrap()[..] else { panic!() };
                let bytes = kept.window.window.encode();
                (WindowRow { revision: 0, updated_at: 0, ..row }, bytes)
            })
            .collect()
    }
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
        id: Uuid::from_u128(u128::from(n) + 1),
        client: ClientId::trusted(client),
        target: Target::trusted(TARGET),
        ts_ms,
        failure: n.is_multiple_of(9).then(|| ErrorStage::ALL[(n / 9) as usize % 7]),
        timings,
        throughput: n.is_multiple_of(3).then_some(BitsPerSecond(90_000_000 + n)),
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
