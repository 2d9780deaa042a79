//! Minutes to be judged again, in their table.

use std::collections::BTreeSet;

use rusqlite::Transaction;

use super::Reader;
use crate::store::StoreError;
use crate::store::reopened::Reopened;

/// Notes minutes by their starts.
pub(super) fn note(
    tx: &Transaction<'_>,
    minutes: &BTreeSet<i64>,
    now_ms: i64,
) -> rusqlite::Result<()> {
    if minutes.is_empty() {
        return Ok(());
    }
    let mut put = tx.prepare_cached(
        "INSERT INTO reopened (window_start_ts, generation, changed_at) VALUES (?1, 1, ?2)
         ON CONFLICT (window_start_ts) DO UPDATE SET
             generation = generation + 1, changed_at = excluded.changed_at",
    )?;
    for start_ms in minutes {
        put.execute((start_ms, now_ms))?;
    }
    Ok(())
}

/// Takes away those that have not changed since they were read.
pub(super) fn settle(tx: &Transaction<'_>, judged: &[Reopened]) -> rusqlite::Result<()> {
    let mut delete =
        tx.prepare_cached("DELETE FROM reopened WHERE window_start_ts = ?1 AND generation = ?2")?;
    for of in judged {
        delete.execute((of.start_ms, of.generation))?;
    }
    Ok(())
}

impl Reader {
    pub(crate) fn reopened(&self) -> Result<Vec<Reopened>, StoreError> {
        let failed = || StoreError::sqlite("read minutes to judge again");
        let mut query = self
            .conn
            .prepare_cached(
                "SELECT window_start_ts, generation, changed_at FROM reopened
                 ORDER BY window_start_ts",
            )
            .map_err(failed())?;
        let rows = query.query_map((), |row| {
            Ok(Reopened { start_ms: row.get(0)?, generation: row.get(1)?, changed_ms: row.get(2)? })
        });
        rows.and_then(Iterator::collect).map_err(failed())
    }
}
