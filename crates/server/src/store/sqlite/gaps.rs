//! What probes lost, in its table.

use model::Event;
use rusqlite::{Row, Transaction};

use super::Reader;
use super::windows::limit_of;
use crate::store::windows::to_integer;
use crate::store::{GapQuery, GapRow, StoreError};

/// Rows that a step removes at most.
const ROWS: usize = 5_000;

/// Notes what events that are counted now tell of.
pub(super) fn note(tx: &Transaction<'_>, fresh: &[&Event]) -> rusqlite::Result<()> {
    let mut telling = fresh.iter().filter_map(|event| Some((event, event.gap?))).peekable();
    if telling.peek().is_none() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT OR IGNORE INTO probe_gaps (client_id, event_id, at_ts, count, first_ts, last_ts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (event, gap) in telling {
        insert.execute((
            event.client.as_str(),
            &event.id.as_bytes()[..],
            event.ts_ms,
            to_integer(gap.count),
            gap.first_ts_ms,
            gap.last_ts_ms,
        ))?;
    }
    Ok(())
}

/// Removes some of what was told before a moment.
pub(super) fn prune(tx: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM probe_gaps WHERE (client_id, at_ts, event_id) IN (
             SELECT client_id, at_ts, event_id FROM probe_gaps
             WHERE at_ts < ?1 ORDER BY at_ts LIMIT ?2)",
    )?
    .execute((before_ms, limit_of(ROWS)))
}

impl Reader {
    /// Gaps, the newest first. Whether there were more than the limit is the second part.
    pub(crate) fn gaps(&self, query: &GapQuery) -> Result<(Vec<GapRow>, bool), StoreError> {
        let read = || -> rusqlite::Result<Vec<GapRow>> {
            let mut select = self.conn.prepare_cached(
                "SELECT client_id, at_ts, count, first_ts, last_ts FROM probe_gaps
                 WHERE at_ts >= ?1 AND at_ts < ?2 AND (?3 IS NULL OR client_id = ?3)
                 ORDER BY at_ts DESC, client_id, event_id LIMIT ?4",
            )?;
            let limit = limit_of(query.limit.saturating_add(1));
            let of = (query.span.from_ms, query.span.to_ms, &query.client_id, limit);
            select.query_map(of, gap_row)?.collect()
        };
        let mut found = read().map_err(StoreError::sqlite("read what probes lost"))?;
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        Ok((found, more))
    }
}

fn gap_row(row: &Row<'_>) -> rusqlite::Result<GapRow> {
    Ok(GapRow {
        client_id: row.get(0)?,
        at_ts: row.get(1)?,
        count: row.get(2).map(i64::cast_unsigned)?,
        first_ts: row.get(3)?,
        last_ts: row.get(4)?,
    })
}
