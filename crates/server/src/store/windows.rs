//! Windows as they are read: the rows of `agg_1m`.

use model::diagnosis::WATERMARK_MS;
use model::sketch::{DecodeError, Quantile, Sketch};
use model::units::Minute;
use model::window::{Counts, Facts, Window};
use model::{ErrorStage, Metric};
use serde::ser::{Serialize, SerializeMap, Serializer};

use utoipa::ToSchema;

use super::StoreError;
use crate::openapi::CountColumns;

/// A stretch of time, milliseconds since the Unix epoch. It holds the windows that start in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from_ms: i64,
    /// The first moment after it.
    pub to_ms: i64,
}

/// Which windows to read.
#[derive(Clone, Debug)]
pub struct WindowQuery {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// Of this target alone.
    pub target: Option<String>,
    /// That start here.
    pub span: Span,
    /// At most this many; of each client and target the newest.
    pub limit: usize,
}

/// One minute of one client and target.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
#[schema(as = Window)]
pub struct WindowRow {
    /// Who measured.
    pub client_id: String,
    /// What was measured.
    pub target: String,
    /// The minute's start, milliseconds since the Unix epoch.
    pub window_start_ts: i64,
    /// Before the watermark (end + 2 min). A later event still counts, in a new revision.
    pub provisional: bool,
    /// How many transactions have added to it.
    pub revision: u64,
    /// When the last of them did, milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// What it was judged to be; `None` where all is well and where it was not judged yet.
    #[schema(required)]
    pub diagnosis_label: Option<String>,
    /// `count_*` and `errors_*`.
    #[serde(flatten, serialize_with = "flat_counts")]
    #[schema(value_type = CountColumns)]
    pub counts: Counts,
    /// `dns_p50_ms` to `throughput_p99_kbps`.
    #[serde(flatten)]
    pub percentiles: MetricPercentiles,
}

/// Percentiles of one metric: milliseconds, or kilobits a second for the throughput.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// The 95th.
    pub p95: Option<f64>,
    /// The 99th.
    pub p99: Option<f64>,
}

/// The percentiles of every metric. In JSON they are flat, with the names of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetricPercentiles(pub(super) [Percentiles; Metric::ALL.len()]);

impl WindowRow {
    /// The first millisecond after the window.
    pub fn window_end_ts(&self) -> i64 {
        Minute::of_ms(self.window_start_ts).end_ms()
    }
}

impl Percentiles {
    pub(super) fn of(sketch: &Sketch) -> Self {
        // Microseconds to milliseconds, bits to kilobits a second.
        #[expect(clippy::cast_precision_loss, reason = "samples are at most 2^53, so exact")]
        let at = |q| sketch.quantile(q).map(|value| value as f64 / 1e3);
        Self { p50: at(Quantile::P50), p95: at(Quantile::P95), p99: at(Quantile::P99) }
    }

    pub(super) fn in_order(self) -> [Option<f64>; 3] {
        [self.p50, self.p95, self.p99]
    }
}

impl MetricPercentiles {
    /// Metric, percentile and unit of each column, in order.
    pub(crate) fn columns() -> impl Iterator<Item = (Metric, &'static str, &'static str)> {
        Metric::ALL.into_iter().flat_map(|metric| {
            let unit = if metric == Metric::Throughput { "kbps" } else { "ms" };
            ["p50", "p95", "p99"].map(|share| (metric, share, unit))
        })
    }

    /// Those of one metric.
    pub fn of(&self, metric: Metric) -> Percentiles {
        self.0[metric as usize]
    }
}

impl Serialize for MetricPercentiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let values = self.0.into_iter().flat_map(Percentiles::in_order);
        for ((metric, share, unit), value) in Self::columns().zip(values) {
            map.serialize_entry(&format_args!("{metric}_{share}_{unit}"), &value)?;
        }
        map.end()
    }
}

/// Counts under the names of the columns.
pub(super) fn flat_counts<S: Serializer>(
    counts: &Counts,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("count_total", &counts.total)?;
    map.serialize_entry("count_success", &counts.success)?;
    map.serialize_entry("count_error", &counts.error())?;
    map.serialize_entry("count_troubled", &counts.troubled)?;
    for stage in ErrorStage::ALL {
        map.serialize_entry(&format_args!("errors_{stage}"), &counts.of(stage))?;
    }
    map.end()
}

/// A count for a column, whose integers are signed.
pub(super) fn to_integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A window as it was kept, with its facts where they were read too.
pub(super) fn kept_window(
    client_id: &str,
    target: &str,
    sketches: &[u8],
    facts: Option<&[u8]>,
) -> Result<Window, StoreError> {
    let read = || -> Result<Window, DecodeError> {
        let window = Window::decode(sketches)?;
        Ok(match facts {
            Some(facts) => window.with_facts(Facts::decode(facts)?),
            None => window,
        })
    };
    read().map_err(|error| unreadable_window(client_id, target, &error))
}

/// A kept window that can't be decoded.
pub(super) fn unreadable_window(
    client_id: &str,
    target: &str,
    error: &dyn std::fmt::Display,
) -> StoreError {
    StoreError::Corrupt {
        what: "a window",
        client_id: client_id.to_owned(),
        target: target.to_owned(),
        detail: error.to_string(),
    }
}

/// Whether the window that starts at `start_ms` is before its watermark.
pub(super) fn is_provisional(start_ms: i64, now_ms: i64) -> bool {
    now_ms < Minute::of_ms(start_ms).end_ms() + WATERMARK_MS
}
