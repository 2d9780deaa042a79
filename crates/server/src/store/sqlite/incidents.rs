//! Incidents, how the detector stands, and a fleet's windows by time.

use model::diagnosis::CellWindow;
use model::units::{MINUTE_MS, Minute};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::windows::limit_of;
use super::{Reader, drifts, reopened};
use crate::store::incidents::STATES;
use crate::store::windows::kept_window;
use crate::store::{
    Cell, Detected, FleetWindow, IncidentQuery, IncidentRow, Revisions, Span, StoreError,
    WindowLabel,
};

/// Writes what a step of the detector found.
pub(super) fn record(tx: &Transaction<'_>, found: &Detected) -> rusqlite::Result<()> {
    let mut put = tx.prepare_cached(
        "INSERT OR REPLACE INTO incidents (id, label, scope_type, scope_id, severity, onset_ts,
             opened_ts, told_ts, last_bad_ts, end_ts, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for row in &found.incidents {
        let body = serde_json::to_string(&row.body)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        put.execute((
            &row.id,
            row.label.to_string(),
            &row.scope_type,
            &row.scope_id,
            row.severity.as_str(),
            row.onset_ts,
            row.opened_ts,
            row.told_ts,
            row.last_bad_ts,
            row.end_ts,
            body,
        ))?;
    }
    drifts::note(tx, &found.drifts)?;
    label(tx, &found.labels)?;
    reopened::settle(tx, &found.reopened)?;
    if let Some((minute_ms, state)) = &found.state {
        tx.execute("INSERT OR REPLACE INTO detector_state VALUES (?1, ?2)", (minute_ms, state))?;
        tx.execute(
            "DELETE FROM detector_state WHERE minute_ts NOT IN (
                 SELECT minute_ts FROM detector_state ORDER BY minute_ts DESC LIMIT ?1)",
            [STATES],
        )?;
    }
    Ok(())
}

fn label(tx: &Transaction<'_>, labels: &[WindowLabel]) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached(
        "UPDATE agg_1m SET diagnosis_label = ?4
         WHERE client_id = ?1 AND target = ?2 AND window_start_ts = ?3",
    )?;
    for WindowLabel { cell: Cell { client_id, target }, start_ms, label } in labels {
        update.execute((client_id, target, start_ms, label.map(|label| label.to_string())))?;
    }
    Ok(())
}

/// Removes some of those that ended before a moment.
pub(super) fn prune(tx: &Transaction<'_>, before_ms: i64, rows: usize) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM incidents WHERE id IN (
             SELECT id FROM incidents WHERE last_bad_ts < ?1 ORDER BY last_bad_ts LIMIT ?2)",
    )?
    .execute((before_ms, limit_of(rows)))
}

impl Reader {
    /// Incidents, the newest first. Whether there were more than the limit is the second part.
    pub(crate) fn incidents(
        &self,
        query: &IncidentQuery,
    ) -> Result<(Vec<IncidentRow>, bool), StoreError> {
        let read = || -> rusqlite::Result<Vec<IncidentRow>> {
            let mut select = self.conn.prepare_cached(
                "SELECT id, label, scope_type, scope_id, severity, onset_ts, opened_ts, told_ts,
                     last_bad_ts, end_ts, body FROM incidents
                 WHERE last_bad_ts > ?1 AND onset_ts < ?2
                   AND (?3 IS NULL OR (end_ts IS NULL) = ?3) AND (?4 IS NULL OR id = ?4)
                 ORDER BY last_bad_ts DESC, onset_ts DESC, id LIMIT ?5",
            )?;
            let from_ms = query.span.from_ms.saturating_sub(MINUTE_MS);
            let limit = limit_of(query.limit.saturating_add(1));
            select
                .query_map((from_ms, query.span.to_ms, query.open, &query.id, limit), incident_row)?
                .collect()
        };
        let mut found = read().map_err(StoreError::sqlite("read incidents"))?;
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        Ok((found, more))
    }

    /// The newest state of the detector from before a moment.
    pub(crate) fn detector_state(
        &self,
        before_ms: i64,
    ) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        self.conn
            .query_row(
                "SELECT minute_ts, state FROM detector_state WHERE minute_ts < ?1
                 ORDER BY minute_ts DESC LIMIT 1",
                [before_ms],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(StoreError::sqlite("read the detector's state"))
    }

    /// Windows of all cells by time, client and target.
    pub(crate) fn each_fleet_window(
        &self,
        span: Span,
        each: &mut dyn FnMut(FleetWindow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = StoreError::sqlite;
        let doing = "read windows to judge";
        let mut query = self
            .conn
            .prepare_cached(
                "SELECT client_id, target, window_start_ts, sketches, facts, diagnosis_label FROM agg_1m
                 WHERE window_start_ts >= ?1 AND window_start_ts < ?2
                 ORDER BY window_start_ts, client_id, target",
            )
            .map_err(failed(doing))?;
        let mut rows = query.query((span.from_ms, span.to_ms)).map_err(failed(doing))?;
        while let Some(row) = rows.next().map_err(failed(doing))? {
            let read = || -> rusqlite::Result<_> {
                let cell = Cell { client_id: row.get(0)?, target: row.get(1)? };
                let blobs = (row.get_ref(3)?.as_blob()?, row.get_ref(4)?.as_blob_or_null()?);
                Ok((cell, Minute::of_ms(row.get(2)?), blobs, row.get(5)?))
            };
            let (cell, start, (sketches, facts), label) = read().map_err(failed(doing))?;
            let window = kept_window(&cell.client_id, &cell.target, sketches, facts)?;
            each(FleetWindow { cell, window: CellWindow { start, window }, label })?;
        }
        Ok(())
    }

    /// How often the windows of each minute have changed, by their start.
    pub(crate) fn revisions(&self, span: Span) -> Result<Vec<(i64, Revisions)>, StoreError> {
        let read = || {
            let mut query = self.conn.prepare_cached(
                "SELECT window_start_ts, count(*), sum(revision), max(updated_at) FROM agg_1m
                 WHERE window_start_ts >= ?1 AND window_start_ts < ?2
                 GROUP BY window_start_ts ORDER BY window_start_ts",
            )?;
            query
                .query_map((span.from_ms, span.to_ms), |row| {
                    let (windows, sum, changed_ms) = (row.get(1)?, row.get(2)?, row.get(3)?);
                    Ok((row.get(0)?, Revisions { windows, sum, changed_ms }))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(StoreError::sqlite("look for windows that changed"))
    }

    /// The start of the oldest window from a moment on.
    pub(crate) fn first_window(&self, from_ms: i64) -> Result<Option<i64>, StoreError> {
        self.conn
            .query_row(
                "SELECT min(window_start_ts) FROM agg_1m WHERE window_start_ts >= ?1",
                [from_ms],
                |row| row.get(0),
            )
            .map_err(StoreError::sqlite("look for windows"))
    }
}

fn incident_row(row: &Row<'_>) -> rusqlite::Result<IncidentRow> {
    Ok(IncidentRow {
        id: row.get(0)?,
        label: row.get_ref(1)?.as_str()?.parse().map_err(|error| unreadable(1, error))?,
        scope_type: row.get(2)?,
        scope_id: row.get(3)?,
        severity: row.get_ref(4)?.as_str()?.parse().map_err(|error| unreadable(4, error))?,
        onset_ts: row.get(5)?,
        opened_ts: row.get(6)?,
        told_ts: row.get(7)?,
        last_bad_ts: row.get(8)?,
        end_ts: row.get(9)?,
        body: serde_json::from_str(row.get_ref(10)?.as_str()?)
            .map_err(|error| unreadable(10, error))?,
    })
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let text = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, text, Box::new(error))
}
