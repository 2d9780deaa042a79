//! A stretch of time as one row a client and target: windows merged from their sketches, never
//! from their percentiles.

use model::Metric;
use model::window::{Counts, StageSums, Window};
use rusqlite::{OptionalExtension, Transaction};
use serde::Serialize;

use super::reader::{self, Cell};
use super::windows::{self, MetricPercentiles, Percentiles, Span};
use super::{Reader, StoreError};

/// Windows that one summary merges at most: some seconds of work.
const MERGED: usize = 1_000_000;

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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// The label of the open diagnosis, else of the last window; `None` where all is well.
    pub diagnosis_label: Option<String>,
    /// `count_*` and `errors_*`.
    #[serde(flatten, serialize_with = "windows::flat_counts")]
    pub counts: Counts,
    /// `dns_p50_ms` to `throughput_p99_kbps`.
    #[serde(flatten)]
    pub percentiles: MetricPercentiles,
    /// Where the time goes on average; `None` where nothing counts in the total.
    pub mean: Option<MeanStages>,
}

/// Means over the events that count in the total, milliseconds. The parts add up to the total;
/// `rest_ms` is what no stage accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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

impl Reader {
    /// One row for each cell with windows in `span`, by client and target.
    pub fn summary(&self, span: Span, now_ms: i64) -> Result<Vec<SummaryRow>, StoreError> {
        let all = SummaryQuery { client_id: None, target: None, span, limit: usize::MAX };
        self.summary_of(&all, now_ms).map(|(rows, _)| rows)
    }

    /// One row for each cell that is asked for and has windows, by client and target. Whether
    /// there were more than the limit is the second part of the answer.
    pub fn summary_of(
        &self,
        query: &SummaryQuery,
        now_ms: i64,
    ) -> Result<(Vec<SummaryRow>, bool), StoreError> {
        let tx = self.moment()?;
        let cells = reader::cells(&tx, query.client_id.as_deref(), query.target.as_deref())
            .map_err(StoreError::sqlite("list what was measured"))?;
        let mut left = MERGED;
        let mut found = Vec::new();
        for cell in cells {
            let Some(row) = merge_cell(&tx, cell, query.span, now_ms, &mut left)? else { continue };
            if found.len() == query.limit {
                return Ok((found, true));
            }
            found.push(row);
        }
        Ok((found, false))
    }
}

fn merge_cell(
    tx: &Transaction<'_>,
    cell: Cell,
    span: Span,
    now_ms: i64,
    left: &mut usize,
) -> Result<Option<SummaryRow>, StoreError> {
    let failed = StoreError::sqlite;
    let mut query = tx
        .prepare_cached(
            "SELECT window_start_ts, sketches, diagnosis_label FROM agg_1m
             WHERE client_id = ?1 AND target = ?2 AND window_start_ts >= ?3 AND window_start_ts < ?4
             ORDER BY window_start_ts",
        )
        .map_err(failed("read windows"))?;
    let mut rows = query
        .query((&cell.client_id, &cell.target, span.from_ms, span.to_ms))
        .map_err(failed("read windows"))?;
    let mut merged = Window::default();
    let mut count = 0;
    let mut last = None;
    while let Some(row) = rows.next().map_err(failed("read windows"))? {
        *left = left.checked_sub(1).ok_or(StoreError::TooMany { limit: MERGED })?;
        let (start, blob) = row
            .get(0)
            .and_then(|start| Ok((start, row.get_ref(1)?.as_blob()?)))
            .map_err(failed("read windows"))?;
        let window = Window::decode(blob)
            .map_err(|error| windows::unreadable(&cell.client_id, &cell.target, &error))?;
        merged.merge(&window);
        count += 1;
        last = Some((start, row.get(2).map_err(failed("read windows"))?));
    }
    let Some((last_window_ts, last_label)) = last else { return Ok(None) };
    let open = open_label(tx, &cell).map_err(failed("read open diagnoses"))?;
    Ok(Some(SummaryRow {
        windows: count,
        last_window_ts,
        last_window_provisional: windows::is_provisional(last_window_ts, now_ms),
        diagnosis_label: open.or(last_label),
        counts: *merged.counts(),
        percentiles: MetricPercentiles(Metric::ALL.map(|m| Percentiles::of(merged.sketch(m)))),
        mean: MeanStages::of(merged.sums()),
        client_id: cell.client_id,
        target: cell.target,
    }))
}

fn open_label(tx: &Transaction<'_>, cell: &Cell) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached(
        "SELECT label FROM diagnoses WHERE client_id = ?1 AND target = ?2 AND open = 1
         ORDER BY since_ts DESC LIMIT 1",
    )?
    .query_row((&cell.client_id, &cell.target), |row| row.get(0))
    .optional()
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
