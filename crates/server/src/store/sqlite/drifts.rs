//! What grows slowly, in its table.

use rusqlite::{Row, Transaction};

use super::Reader;
use super::windows::limit_of;
use crate::store::drifts::AGAIN_AFTER_MS;
use crate::store::{DriftQuery, DriftRow, StoreError};

/// Notes drifts, save those of cells of which one was noted less than a day from it.
pub(super) fn note(tx: &Transaction<'_>, drifts: &[DriftRow]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO drifts (client_id, target, noted_ts, signal, since_ts, percent_per_hour)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (
             SELECT 1 FROM drifts WHERE client_id = ?1 AND target = ?2
               AND noted_ts > ?3 - ?7 AND noted_ts < ?3 + ?7)",
    )?;
    for row in drifts {
        insert.execute((
            &row.client_id,
            &row.target,
            row.noted_ts,
            &row.signal,
            row.since_ts,
            row.percent_per_hour,
            AGAIN_AFTER_MS,
        ))?;
    }
    Ok(())
}

/// Removes some of those that were noted before a moment.
pub(super) fn prune(tx: &Transaction<'_>, before_ms: i64, rows: usize) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM drifts WHERE (client_id, target, noted_ts) IN (
             SELECT client_id, target, noted_ts FROM drifts
             WHERE noted_ts < ?1 ORDER BY noted_ts LIMIT ?2)",
    )?
    .execute((before_ms, limit_of(rows)))
}

impl Reader {
    pub(crate) fn drifts(&self, query: &DriftQuery) -> Result<(Vec<DriftRow>, bool), StoreError> {
        let read = || -> rusqlite::Result<Vec<DriftRow>> {
            let mut select = self.conn.prepare_cached(
                "SELECT client_id, target, signal, percent_per_hour, since_ts, noted_ts FROM drifts
                 WHERE noted_ts >= ?1 AND noted_ts < ?2
                   AND (?3 IS NULL OR client_id = ?3) AND (?4 IS NULL OR target = ?4)
                 ORDER BY noted_ts DESC, client_id, target LIMIT ?5",
            )?;
            let DriftQuery { client_id, target, span, limit } = query;
            let limit = limit_of(limit.saturating_add(1));
            select
                .query_map((span.from_ms, span.to_ms, client_id, target, limit), drift_row)?
                .collect()
        };
        let mut found = read().map_err(StoreError::sqlite("read drifts"))?;
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        Ok((found, more))
    }
}

fn drift_row(row: &Row<'_>) -> rusqlite::Result<DriftRow> {
    Ok(DriftRow {
        client_id: row.get(0)?,
        target: row.get(1)?,
        signal: row.get(2)?,
        percent_per_hour: row.get(3)?,
        since_ts: row.get(4)?,
        noted_ts: row.get(5)?,
    })
}
