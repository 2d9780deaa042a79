//! A stretch of time as one row a client and target: windows merged from their sketches, never
//! from their percentiles.

use model::Metric;
use model::score::{Profile, Qoe};
use model::window::{Counts, StageSums, Window};
use serde::Serialize;
use utoipa::ToSchema;

use super::StoreError;
use super::reader::Cell;
use super::windows::{self, MetricPercentiles, Percentiles, Span, unreadable_window};
use crate::openapi::{CountColumns, score};

/// Windows that one summary merges at most: some seconds of work.
pub(super) const MERGED: usize = 1_000_000;

/// Which cells to sum up.
#[derive(Clone, Debug)]
pub struct SummaryQuery {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// Of this target alone.
    pub target: Option<String>,
    /// Over the windows that start here.
    pub span: Span,
    /// At most this many.
    pub limit: usize,
}

/// What one client measured at one target over a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Summary)]
pub struct SummaryRow {
    /// Who measured.
    pub client_id: String,
    /// What was measured.
    pub target: String,
    /// How many windows were merged.
    pub windows: usize,
    /// The start of the last of them, milliseconds since the Unix epoch.
    pub last_window_ts: i64,
    /// Whether that one is before its watermark.
    pub last_window_provisional: bool,
    /// The label of the last window; `None` where all is well and where it was not judged yet.
    #[schema(required)]
    pub diagnosis_label: Option<String>,
    /// `count_*` and `errors_*`.
    #[serde(flatten, serialize_with = "windows::flat_counts")]
    #[schema(value_type = CountColumns)]
    pub counts: Counts,
    /// `dns_p50_ms` to `throughput_p99_kbps`.
    #[serde(flatten)]
    pub percentiles: MetricPercentiles,
    /// Where the time goes on average; `None` where nothing counts in the total.
    #[schema(required)]
    pub mean: Option<MeanStages>,
    /// How good that is for the use of pages (profile `web`); `None` where nothing was measured that
    /// could say so.
    #[schema(value_type = Option<score::Score>, required)]
    pub score: Option<Qoe>,
}

/// Means over the events that count in the total, milliseconds. The parts add up to the total;
/// `rest_ms` is what no stage accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct MeanStages {
    /// Over how many events.
    pub n: u64,
    /// The whole measurement.
    pub total_ms: f64,
    /// The look-up.
    pub dns_ms: f64,
    /// SYN to established.
    pub tcp_ms: f64,
    /// The handshake.
    pub tls_ms: f64,
    /// Request sent to first byte.
    pub ttfb_ms: f64,
    /// Everything else.
    pub rest_ms: f64,
}

/// The windows of one cell, merged as they are read, in order of time.
pub(super) struct Merging {
    cell: Cell,
    merged: Window,
    windows: usize,
    last_ts: i64,
    last_label: Option<String>,
}

impl Merging {
    pub(super) fn of(cell: Cell) -> Self {
        Self { cell, merged: Window::default(), windows: 0, last_ts: 0, last_label: None }
    }

    pub(super) fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Adds the next window, as it was kept.
    pub(super) fn add(
        &mut self,
        start_ms: i64,
        sketches: &[u8],
        label: Option<String>,
    ) -> Result<(), StoreError> {
        let window = Window::decode(sketches)
            .map_err(|error| unreadable_window(&self.cell.client_id, &self.cell.target, &error))?;
        self.merged.merge(&window);
        self.windows += 1;
        (self.last_ts, self.last_label) = (start_ms, label);
        Ok(())
    }

    /// Whether no window was added.
    pub(super) fn is_empty(&self) -> bool {
        self.windows == 0
    }

    /// The row.
    pub(super) fn finish(self, now_ms: i64) -> SummaryRow {
        let Self { cell, merged, windows, last_ts, last_label } = self;
        SummaryRow {
            client_id: cell.client_id,
            target: cell.target,
            windows,
            last_window_ts: last_ts,
            last_window_provisional: windows::is_provisional(last_ts, now_ms),
            diagnosis_label: last_label,
            counts: *merged.counts(),
            percentiles: MetricPercentiles(Metric::ALL.map(|m| Percentiles::of(merged.sketch(m)))),
            mean: MeanStages::of(merged.sums()),
            score: Qoe::of(&merged, &Profile::WEB),
        }
    }
}

impl MeanStages {
    fn of(sums: &StageSums) -> Option<Self> {
        let stages = [sums.dns, sums.tcp, sums.tls, sums.ttfb];
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more digits")]
        let mean = |sum: i128| sum as f64 / sums.n as f64 / 1e3;
        let [dns_ms, tcp_ms, tls_ms, ttfb_ms] = stages.map(|sum| mean(signed(sum)));
        (sums.n > 0).then(|| Self {
            n: sums.n,
            total_ms: mean(signed(sums.total)),
            dns_ms,
            tcp_ms,
            tls_ms,
            ttfb_ms,
            rest_ms: mean(sums.rest()),
        })
    }
}

/// A sum of microseconds; 2^64 events of 2^53 each still fit.
fn signed(sum: u128) -> i128 {
    i128::try_from(sum).unwrap_or(i128::MAX)
}

impl SummaryQuery {
    /// Every cell with windows in `span`.
    pub(super) fn all(span: Span) -> Self {
        Self { client_id: None, target: None, span, limit: usize::MAX }
    }
}
