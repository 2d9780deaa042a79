//! What the aggregator tells of itself and of its transactions.

use std::sync::Arc;
use std::time::Duration;

use model::Event;
use model::diagnosis::WATERMARK_MS;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::metrics::{Part, Told, quick, slow};
use crate::store::Fate;

/// Counters of what writes.
#[derive(Debug)]
pub struct Metrics {
    applied: Counter,
    duplicates: Counter,
    late: Counter,
    batch: Histogram,
    since_measurement: Histogram,
    since_receipt: Histogram,
    transactions: Family<Operation, Histogram>,
    failures: Counter,
    alerts: Family<Outcome, Counter>,
    /// Room for events that wait, and how much there is where none waits.
    room: Arc<Semaphore>,
    all_room: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// How sending a message went.
const SENT: &str = "sent";
const FAILED: &str = "failed";
const GIVEN_UP: &str = "given_up";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

impl Metrics {
    pub(super) fn new(room: &Arc<Semaphore>) -> Self {
        let alerts: Family<Outcome, Counter> = Family::default();
        // There from the start: what begins with its first one shows no increase.
        for result in [SENT, FAILED, GIVEN_UP] {
            alerts.get_or_create_owned(&Outcome { result });
        }
        Self {
            applied: Counter::default(),
            duplicates: Counter::default(),
            late: Counter::default(),
            batch: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            since_measurement: slow(),
            since_receipt: slow(),
            transactions: Family::new_with_constructor(quick),
            failures: Counter::default(),
            alerts,
            room: Arc::clone(room),
            all_room: room.available_permits(),
        }
    }

    /// A transaction counted these.
    pub(super) fn applied(&self, batches: &[Vec<Event>], duplicates: usize, now_ms: i64) {
        let events = batches.iter().map(Vec::len).sum::<usize>();
        self.batch.observe(events as f64);
        self.applied.inc_by(events.saturating_sub(duplicates) as u64);
        self.duplicates.inc_by(duplicates as u64);
        let mut late = 0;
        for event in batches.iter().flatten() {
            self.since_measurement.observe(seconds(now_ms - event.ts_ms));
            late += u64::from(event.minute().end_ms() + WATERMARK_MS <= now_ms);
        }
        self.late.inc_by(late);
    }

    /// Events that came in at once are counted now.
    pub(crate) fn received(&self, events: usize, before: Duration) {
        (0..events).for_each(|_| self.since_receipt.observe(before.as_secs_f64()));
    }

    pub(super) fn transaction(&self, operation: &'static str, took: Duration) {
        self.transactions.get_or_create_owned(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// A message of alerts had this fate.
    pub(super) fn alerted(&self, fate: &Fate) {
        let result = match fate {
            Fate::Delivered => SENT,
            Fate::Again { .. } => FAILED,
            Fate::GivenUp { .. } => GIVEN_UP,
        };
        self.alerts.get_or_create_owned(&Outcome { result }).inc();
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }

    /// What was counted, duplicates among it.
    pub(crate) fn counted(&self) -> u64 {
        self.applied.get() + self.duplicates.get()
    }
}

/// Of a clock that is ahead nothing is known.
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1e3
}

impl Part for Metrics {
    fn register(&self, registry: &mut Registry) {
        let counters = [
            ("qoe_aggregator_applied_events", "Events that were counted", &self.applied),
            (
                "qoe_aggregator_duplicate_events",
                "Events that had been counted before",
                &self.duplicates,
            ),
            (
                "qoe_aggregator_late_events",
                "Events that came when their minute was no longer provisional, duplicates among them",
                &self.late,
            ),
            ("qoe_store_failures", "Transactions that failed", &self.failures),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "qoe_aggregator_batch_events",
            "Events of a transaction",
            self.batch.clone(),
        );
        registry.register(
            "qoe_aggregator_delay_since_measurement_seconds",
            "From the measurement to the commit of its window",
            self.since_measurement.clone(),
        );
        registry.register(
            "qoe_aggregator_delay_since_receipt_seconds",
            "From the receipt at the ingest to the commit of the window",
            self.since_receipt.clone(),
        );
        registry.register(
            "qoe_store_transaction_duration_seconds",
            "How long transactions took, by what they do",
            self.transactions.clone(),
        );
        registry.register(
            "qoe_alert_messages",
            "Messages to receivers of alerts, by how sending them went",
            self.alerts.clone(),
        );
        let (room, all) = (Arc::clone(&self.room), self.all_room);
        registry.register_collector(Told::gauge(
            "qoe_aggregator_pending_events",
            "Events that wait to be counted in this process",
            move || Some(all.saturating_sub(room.available_permits()) as f64),
        ));
    }
}
