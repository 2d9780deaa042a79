//! What is no longer needed goes, a small part at a time, so that batches hardly wait.

use rusqlite::{OptionalExtension, Transaction};

use super::windows::limit_of;
use super::{alerts, drifts, gaps, incidents};
use crate::store::{Pruned, Retention, Rollup, StoreError};

/// Where the sweep over cells has come to.
#[derive(Default)]
pub(super) struct Position {
    client_id: String,
    target: String,
}

/// Rows of one table that a step removes at most: about 10 ms of the writer's time.
const ROWS: usize = 5_000;
/// Cells that a step looks at.
const CELLS: usize = 500;

/// Removes a bounded part of what is older than `keep`, counted back from the newest counted
/// event or from `now_ms`, whichever is earlier: a clock that leaps ahead removes nothing.
pub(super) fn prune(
    tx: &Transaction<'_>,
    at: &mut Position,
    keep: &Retention,
    now_ms: i64,
) -> Result<Pruned, StoreError> {
    let mut step = || -> rusqlite::Result<Pruned> {
        let newest: Option<i64> =
            tx.query_row("SELECT max(window_start_ts) FROM events_seen", [], |row| row.get(0))?;
        let Some(newest) = newest else { return Ok(Pruned::default()) };
        let present = newest.min(now_ms);
        let seen = prune_seen(tx, keep.seen_from_ms(present))?;
        let (windows, swept) = prune_cells(tx, at, keep.windows_from_ms(present))?;
        let mut rolled = 0;
        for rollup in [Rollup::Hour, Rollup::Day] {
            rolled += prune_rollups(tx, rollup, keep.rollups_from_ms(rollup, present))?;
        }
        rolled += gaps::prune(tx, keep.windows_from_ms(present))?;
        rolled += incidents::prune(tx, keep.windows_from_ms(present), ROWS)?;
        rolled += drifts::prune(tx, keep.windows_from_ms(present), ROWS)?;
        rolled += alerts::prune(tx, keep.windows_from_ms(present))?;
        Ok(Pruned { seen, windows: windows + rolled, more: seen == ROWS || !swept || rolled > 0 })
    };
    step().map_err(StoreError::sqlite("remove what is old"))
}

fn prune_seen(tx: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM events_seen WHERE (window_start_ts, client_id, event_id) IN (
             SELECT window_start_ts, client_id, event_id FROM events_seen
             WHERE window_start_ts < ?1
             ORDER BY window_start_ts, client_id, event_id LIMIT ?2)",
    )?
    .execute((before_ms, limit_of(ROWS)))
}

fn prune_rollups(tx: &Transaction<'_>, rollup: Rollup, before_ms: i64) -> rusqlite::Result<usize> {
    let table = rollup.table();
    tx.prepare_cached(&format!(
        "DELETE FROM {table} WHERE rowid IN (
             SELECT rowid FROM {table} WHERE window_start_ts < ?1 LIMIT ?2)"
    ))?
    .execute((before_ms, limit_of(ROWS)))
}

/// Sweeps on over the cells, whose windows lie in order of time; says how many rows went and
/// whether the end of the cells was reached.
fn prune_cells(
    tx: &Transaction<'_>,
    at: &mut Position,
    before_ms: i64,
) -> rusqlite::Result<(usize, bool)> {
    let mut next = tx.prepare_cached(
        "SELECT client_id, target FROM agg_1m WHERE (client_id, target) > (?1, ?2)
         ORDER BY client_id, target LIMIT 1",
    )?;
    let mut windows = tx.prepare_cached(
        "DELETE FROM agg_1m WHERE client_id = ?1 AND target = ?2 AND window_start_ts IN (
             SELECT window_start_ts FROM agg_1m
             WHERE client_id = ?1 AND target = ?2 AND window_start_ts < ?3
             ORDER BY window_start_ts LIMIT ?4)",
    )?;
    let mut removed = 0;
    for _ in 0..CELLS {
        let cell: Option<(String, String)> = next
            .query_row((&at.client_id, &at.target), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((client_id, target)) = cell else {
            *at = Position::default();
            return Ok((removed, true));
        };
        let room = limit_of(ROWS.saturating_sub(removed));
        removed += windows.execute((&client_id, &target, before_ms, room))?;
        if removed >= ROWS {
            // This cell may have more: the next step begins with it.
            return Ok((removed, false));
        }
        *at = Position { client_id, target };
    }
    Ok((removed, false))
}
