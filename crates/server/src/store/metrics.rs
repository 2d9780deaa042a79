//! What a store tells of itself: asked for when somebody wants to know, now and then.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Store, StoreError};
use crate::metrics::{Part, Told};

/// How long an answer is good for: sizes cost the server something.
const GOOD_FOR: Duration = Duration::from_secs(15);
/// A client that was seen within a day belongs to the fleet; one that has not been for so long is
/// silent.
const DAY_MS: i64 = 24 * 3_600_000;
const SILENT_MS: i64 = 5 * 60_000;

/// Figures of a store. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    store: Store,
    now: fn() -> i64,
    asked: Arc<Mutex<Option<Instant>>>,
    bytes: Family<Table, Gauge>,
    partitions: Family<Table, Gauge>,
    clients: Gauge<i64, AtomicI64>,
    silent: Gauge<i64, AtomicI64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Table {
    table: String,
}

impl Metrics {
    /// Of a store, by a clock.
    pub fn of(store: &Store, now: fn() -> i64) -> Self {
        Self {
            store: store.clone(),
            now,
            asked: Arc::default(),
            bytes: Family::default(),
            partitions: Family::default(),
            clients: Gauge::default(),
            silent: Gauge::default(),
        }
    }

    /// Asks the store, if that was not done just before. Where it does not answer, figures stay as they
    /// were.
    pub async fn ask(self) {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|at| at.elapsed() < GOOD_FOR) {
                return;
            }
            *asked = Some(Instant::now());
        }
        let now_ms = (self.now)();
        let look = move |reader: &super::Reader| -> Result<_, StoreError> {
            Ok((reader.sizes()?, reader.fleet_size(now_ms - DAY_MS, now_ms - SILENT_MS)?))
        };
        match self.store.read(look).await {
            Ok((sizes, (clients, silent))) => {
                for size in sizes {
                    let table = Table { table: size.table };
                    self.bytes.get_or_create_owned(&table).set(size.bytes);
                    if size.partitions > 0 {
                        self.partitions.get_or_create_owned(&table).set(size.partitions);
                    }
                }
                self.clients.set(clients);
                self.silent.set(silent);
            }
            Err(error) => tracing::debug!(%error, "can't ask the store for its figures"),
        }
    }
}

impl Part for Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "qoe_store_table_bytes",
            "What a table takes with its indexes; of an embedded store all together",
            self.bytes.clone(),
        );
        registry.register("qoe_store_partitions", "Parts of a table", self.partitions.clone());
        registry.register(
            "qoe_fleet_clients",
            "Clients of which anything was counted within a day",
            self.clients.clone(),
        );
        registry.register(
            "qoe_fleet_silent_clients",
            "Those of them of which nothing was counted for five minutes",
            self.silent.clone(),
        );
        let store = self.store.clone();
        registry.register_collector(Told::gauge(
            "qoe_store_connections",
            "Connections that read, at work or waiting",
            move || Some(store.connections() as f64),
        ));
    }
}
