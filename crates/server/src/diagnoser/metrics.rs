//! What a diagnoser tells of itself.

use std::time::Duration;

use model::diagnosis::Label;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Fleet;
use crate::metrics::{Part, quick};

/// Figures of a diagnoser. Cheap to clone; every clone tells the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    cells: Gauge,
    judged: Counter,
    step: Histogram,
    lag: Gauge<f64, std::sync::atomic::AtomicU64>,
    open: Family<Labelled, Gauge>,
    leads: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labelled {
    label: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            cells: Gauge::default(),
            judged: Counter::default(),
            step: quick(),
            lag: Gauge::default(),
            open: Family::default(),
            leads: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
        if !leads {
            // Another one tells of them.
            self.open.clear();
            self.cells.set(0);
            self.lag.set(0.0);
        }
    }

    pub(super) fn stepped(&self, fleet: &mut Fleet, took: Duration, now_ms: i64) {
        let figures = fleet.figures(now_ms);
        self.step.observe(took.as_secs_f64());
        self.cells.set(i64::try_from(figures.cells).unwrap_or(i64::MAX));
        self.judged.inc_by(figures.judged);
        self.lag.set(figures.behind_ms as f64 / 1e3);
        // Of each label, 0 where it has none: a scrape never finds fewer than the one before it.
        for label in Label::faults() {
            let count = figures.open.get(&label).copied().unwrap_or_default();
            self.open.get_or_create_owned(&Labelled { label: label.to_string() }).set(count);
        }
    }
}

impl Part for Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "qoe_diagnoser_cells",
            "Clients with their targets that were ever judged",
            self.cells.clone(),
        );
        registry.register(
            "qoe_diagnoser_judged_windows",
            "Windows that were judged, again where they changed",
            self.judged.clone(),
        );
        registry.register(
            "qoe_diagnoser_step_duration_seconds",
            "How long a look at what is due took",
            self.step.clone(),
        );
        registry.register(
            "qoe_diagnoser_lag_seconds",
            "For how long the oldest minute that is not judged has been over",
            self.lag.clone(),
        );
        registry.register(
            "qoe_diagnoser_incidents_open",
            "Incidents that go on, by what is wrong",
            self.open.clone(),
        );
        registry.register(
            "qoe_diagnoser_leads",
            "Whether this is the one that acts, 0 or 1",
            self.leads.clone(),
        );
    }
}
