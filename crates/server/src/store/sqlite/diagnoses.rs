//! Cells to be judged, what was found, and how it is read.

use model::diagnosis::CellWindow;
use model::units::{MINUTE_MS, Minute};
use model::window::Window;
use rusqlite::{Row, Transaction};

use super::Reader;
use super::rollups::enqueue_hours;
use super::windows::limit_of;
use crate::store::diagnoses::KeptEvidence;
use crate::store::windows::unreadable_window;
use crate::store::{Cell, DiagnosisQuery, DiagnosisRow, Judged, Span, StoreError, Task};

/// The columns of `diagnosis_row`, in its order.
macro_rules! select {
    () => {
        "SELECT client_id, target, label, since_ts, last_ts, windows, open, evidence
         FROM diagnoses "
    };
}

impl Reader {
    /// Cells to be judged, those that wait longest first.
    pub(crate) fn tasks(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        let read = || {
            let mut query = self.conn.prepare_cached(
                "SELECT client_id, target, generation, oldest_ts, newest_ts FROM diagnosis_queue
                 ORDER BY queued_at, client_id, target LIMIT ?1",
            )?;
            query
                .query_map([limit_of(limit)], |row| {
                    Ok(Task {
                        cell: Cell { client_id: row.get(0)?, target: row.get(1)? },
                        generation: row.get(2)?,
                        oldest_ms: row.get(3)?,
                        newest_ms: row.get(4)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(StoreError::sqlite("read what is to be judged"))
    }

    /// A cell's windows in `span`, by time.
    pub(crate) fn cell_windows(
        &self,
        cell: &Cell,
        span: Span,
    ) -> Result<Vec<CellWindow>, StoreError> {
        let failed = StoreError::sqlite;
        let doing = "read windows to judge";
        let mut query = self
            .conn
            .prepare_cached(
                "SELECT window_start_ts, sketches FROM agg_1m
                 WHERE client_id = ?1 AND target = ?2
                   AND window_start_ts >= ?3 AND window_start_ts < ?4
                 ORDER BY window_start_ts",
            )
            .map_err(failed(doing))?;
        let mut rows = query
            .query((&cell.client_id, &cell.target, span.from_ms, span.to_ms))
            .map_err(failed(doing))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed(doing))? {
            let (start, blob) = row
                .get(0)
                .and_then(|start| Ok((Minute::of_ms(start), row.get_ref(1)?.as_blob()?)))
                .map_err(failed(doing))?;
            let window = Window::decode(blob)
                .map_err(|error| unreadable_window(&cell.client_id, &cell.target, &error))?;
            found.push(CellWindow { start, window });
        }
        Ok(found)
    }

    /// Whether a cell has windows at or after a moment.
    pub(crate) fn has_windows_from(&self, cell: &Cell, from_ms: i64) -> Result<bool, StoreError> {
        self.conn
            .prepare_cached(
                "SELECT 1 FROM agg_1m
                 WHERE client_id = ?1 AND target = ?2 AND window_start_ts >= ?3",
            )
            .and_then(|mut query| query.exists((&cell.client_id, &cell.target, from_ms)))
            .map_err(StoreError::sqlite("look for windows"))
    }

    /// A cell's diagnoses that reach into `span`, in order of their beginning.
    pub(crate) fn cell_diagnoses(
        &self,
        cell: &Cell,
        span: Span,
    ) -> Result<Vec<DiagnosisRow>, StoreError> {
        self.diagnosis_rows(
            concat!(
                select!(),
                "WHERE client_id = ?1 AND target = ?2 AND last_ts >= ?3
             AND since_ts < ?4 ORDER BY since_ts, last_ts"
            ),
            (&cell.client_id, &cell.target, span.from_ms, span.to_ms),
        )
    }

    /// Diagnoses, the newest first. Whether there were more than the limit is the second part
    /// of the answer.
    pub(crate) fn diagnoses(
        &self,
        query: &DiagnosisQuery,
    ) -> Result<(Vec<DiagnosisRow>, bool), StoreError> {
        let Span { from_ms, to_ms } = query.span;
        let limit = limit_of(query.limit + 1);
        let mut found = self.diagnosis_rows(
            concat!(
                select!(),
                "WHERE last_ts > ?1 AND since_ts < ?2
             AND (?3 IS NULL OR open = ?3)
             AND (?4 IS NULL OR client_id = ?4) AND (?5 IS NULL OR target = ?5)
             ORDER BY last_ts DESC, since_ts DESC, client_id, target LIMIT ?6"
            ),
            // A window reaches into the span with its last moment.
            (
                from_ms.saturating_sub(MINUTE_MS),
                to_ms,
                query.open,
                &query.client_id,
                &query.target,
                limit,
            ),
        )?;
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        Ok((found, more))
    }

    fn diagnosis_rows(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<DiagnosisRow>, StoreError> {
        let read = || {
            self.conn
                .prepare_cached(sql)?
                .query_map(parameters, diagnosis_row)?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(StoreError::sqlite("read diagnoses"))
    }
}

/// Writes what was found for one cell. What came in while it was judged leaves the cell queued.
pub(super) fn record(tx: &Transaction<'_>, judged: &Judged) -> Result<(), StoreError> {
    let write = || -> rusqlite::Result<()> {
        replace_runs(tx, judged)?;
        enqueue_hours(tx, judged)?;
        settle(tx, judged)
    };
    write().map_err(StoreError::sqlite("write diagnoses"))
}

fn replace_runs(tx: &Transaction<'_>, judged: &Judged) -> rusqlite::Result<()> {
    let Cell { client_id, target } = &judged.task.cell;
    let Span { from_ms, to_ms } = judged.replaced;
    tx.prepare_cached(
        "DELETE FROM diagnoses
         WHERE client_id = ?1 AND target = ?2 AND last_ts >= ?3 AND since_ts < ?4",
    )?
    .execute((client_id, target, from_ms, to_ms))?;
    // Later windows were judged, so what ended before them is over.
    tx.prepare_cached(
        "UPDATE diagnoses SET open = 0
         WHERE client_id = ?1 AND target = ?2 AND last_ts < ?3 AND open = 1",
    )?
    .execute((client_id, target, from_ms))?;
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO diagnoses
             (client_id, target, label, since_ts, last_ts, windows, open, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for run in &judged.runs {
        let evidence = run
            .evidence()
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let label = run.label.to_string();
        let times = (run.since_ts, run.last_ts);
        insert.execute((
            client_id,
            target,
            label,
            times.0,
            times.1,
            run.windows,
            run.open,
            evidence,
        ))?;
    }
    Ok(())
}

fn settle(tx: &Transaction<'_>, judged: &Judged) -> rusqlite::Result<()> {
    let Task { cell, generation, .. } = &judged.task;
    let key = (&cell.client_id, &cell.target);
    match judged.rest_ms {
        None => tx
            .prepare_cached(
                "DELETE FROM diagnosis_queue
                 WHERE client_id = ?1 AND target = ?2 AND generation = ?3",
            )?
            .execute((key.0, key.1, generation)),
        Some(rest) => tx
            .prepare_cached(
                "UPDATE diagnosis_queue SET oldest_ts = ?4, newest_ts = max(newest_ts, ?4)
                 WHERE client_id = ?1 AND target = ?2 AND generation = ?3",
            )?
            .execute((key.0, key.1, generation, rest)),
    }
    .map(drop)
}

fn diagnosis_row(row: &Row<'_>) -> rusqlite::Result<DiagnosisRow> {
    let text = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str()?));
    let label = text(2)?.parse().map_err(|error| unreadable(2, error))?;
    let evidence = serde_json::from_str(text(7)?).map_err(|error| unreadable(7, error))?;
    let KeptEvidence { latest, peak } = evidence;
    Ok(DiagnosisRow {
        client_id: row.get(0)?,
        target: row.get(1)?,
        label,
        since_ts: row.get(3)?,
        last_ts: row.get(4)?,
        windows: row.get(5)?,
        open: row.get(6)?,
        latest,
        peak,
    })
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let text = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, text, Box::new(error))
}
