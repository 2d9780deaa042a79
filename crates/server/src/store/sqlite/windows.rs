//! How windows are read.

use model::window::Counts;
use rusqlite::Row;

use super::{Reader, reader};
use crate::store::windows::is_provisional;
use crate::store::{MetricPercentiles, Percentiles, Span, StoreError, WindowQuery, WindowRow};

impl Reader {
    /// Windows by client, target and time. Whether there were more than the limit is the second
    /// part of the answer.
    pub(crate) fn windows(
        &self,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        self.windows_in("agg_1m", query, now_ms)
    }

    /// Those of minutes, or of hours or days, which have no label.
    pub(super) fn windows_in(
        &self,
        table: &'static str,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        let tx = self.moment()?;
        let mut select = include_str!("select_windows.sql").replace("agg_1m", table);
        if table != "agg_1m" {
            select = select.replace("diagnosis_label", "NULL");
        }
        let read = || -> rusqlite::Result<(Vec<WindowRow>, bool)> {
            let mut newest = tx.prepare_cached(&select)?;
            let mut found = Vec::new();
            for cell in
                reader::cells(&tx, table, query.client_id.as_deref(), query.target.as_deref())?
            {
                let wanted = query.limit - found.len();
                let key = (&cell.client_id, &cell.target);
                let Span { from_ms, to_ms } = query.span;
                // One more than wanted, to know whether there are more.
                let limit = limit_of(wanted + 1);
                let mut rows = newest
                    .query_map((key.0, key.1, from_ms, to_ms, limit), |row| {
                        window_row(row, now_ms)
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let more = rows.len() > wanted;
                rows.truncate(wanted);
                found.extend(rows.into_iter().rev());
                if more {
                    return Ok((found, true));
                }
            }
            Ok((found, false))
        };
        read().map_err(StoreError::sqlite("read windows"))
    }
}

fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get(at).map(i64::cast_unsigned)
}

/// A number of rows for a LIMIT.
pub(super) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// By the order of columns in select_windows.sql.
fn window_row(row: &Row<'_>, now_ms: i64) -> rusqlite::Result<WindowRow> {
    let start: i64 = row.get(2)?;
    let mut counts = Counts { total: count(row, 6)?, success: count(row, 7)?, ..Counts::default() };
    for (at, errors) in (8..).zip(&mut counts.errors) {
        *errors = count(row, at)?;
    }
    counts.troubled = count(row, 33)?;
    let mut percentiles = MetricPercentiles::default();
    for (at, of) in (15..).step_by(3).zip(&mut percentiles.0) {
        *of = Percentiles { p50: row.get(at)?, p95: row.get(at + 1)?, p99: row.get(at + 2)? };
    }
    Ok(WindowRow {
        client_id: row.get(0)?,
        target: row.get(1)?,
        window_start_ts: start,
        provisional: is_provisional(start, now_ms),
        revision: count(row, 3)?,
        updated_at: row.get(4)?,
        diagnosis_label: row.get(5)?,
        counts,
        percentiles,
    })
}
