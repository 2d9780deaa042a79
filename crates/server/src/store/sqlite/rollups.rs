//! Hours and days in their tables, and the queue of those to merge.

use model::window::Window;
use rusqlite::{OptionalExtension, Transaction};

use super::Reader;
use super::apply::put_window;
use super::windows::limit_of;
use crate::store::rollups::HourOfCell;
use crate::store::windows::kept_window;
use crate::store::{Cell, Rolled, Rollup, RollupTask, Span, StoreError, WindowQuery, WindowRow};

impl Reader {
    pub(crate) fn rollups(
        &self,
        rollup: Rollup,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        let (mut rows, more) = self.windows_in(rollup.table(), query, now_ms)?;
        for row in &mut rows {
            row.provisional = rollup.is_provisional(row.window_start_ts, now_ms);
        }
        Ok((rows, more))
    }

    pub(crate) fn rollup_tasks(
        &self,
        now_ms: i64,
        limit: usize,
    ) -> Result<Vec<RollupTask>, StoreError> {
        let read = || {
            let mut query = self.conn.prepare_cached(
                "SELECT client_id, target, span, window_start_ts, generation FROM rollup_queue
                 WHERE due_ts <= ?1
                 ORDER BY due_ts, span, client_id, target, window_start_ts LIMIT ?2",
            )?;
            query
                .query_map((now_ms, limit_of(limit)), |row| {
                    let span = row.get_ref(2)?.as_str()?;
                    Ok(RollupTask {
                        cell: Cell { client_id: row.get(0)?, target: row.get(1)? },
                        // The table holds these two names alone.
                        rollup: Rollup::named(span).unwrap_or(Rollup::Day),
                        start_ms: row.get(3)?,
                        generation: row.get(4)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(StoreError::sqlite("read what is to be merged"))
    }

    pub(crate) fn merged(&self, task: &RollupTask) -> Result<Option<Window>, StoreError> {
        let failed = StoreError::sqlite;
        let doing = "read windows to merge";
        let Cell { client_id, target } = &task.cell;
        let Span { from_ms, to_ms } = task.span();
        let mut query = self
            .conn
            .prepare_cached(&format!(
                "SELECT sketches, facts FROM {} WHERE client_id = ?1 AND target = ?2
                   AND window_start_ts >= ?3 AND window_start_ts < ?4",
                task.rollup.source()
            ))
            .map_err(failed(doing))?;
        let mut rows = query.query((client_id, target, from_ms, to_ms)).map_err(failed(doing))?;
        let mut merged: Option<Window> = None;
        while let Some(row) = rows.next().map_err(failed(doing))? {
            let (sketches, facts) = row
                .get_ref(0)
                .and_then(|value| Ok((value.as_blob()?, row.get_ref(1)?.as_blob_or_null()?)))
                .map_err(failed(doing))?;
            let window = kept_window(client_id, target, sketches, facts)?;
            merged.get_or_insert_default().merge(&window);
        }
        Ok(merged)
    }
}

/// Queues a span of a cell: its client, its target, and where the span begins.
pub(super) fn enqueue(
    tx: &Transaction<'_>,
    rollup: Rollup,
    (client_id, target, start_ms): HourOfCell<'_>,
) -> rusqlite::Result<()> {
    tx.prepare_cached(include_str!("enqueue.sql"))?
        .execute((client_id, target, rollup.as_str(), start_ms, rollup.due_ms(start_ms)))
        .map(drop)
}

/// Writes what was merged, save what changed since.
pub(super) fn roll(tx: &Transaction<'_>, rolled: &[Rolled], now_ms: i64) -> rusqlite::Result<()> {
    for Rolled { task, window } in rolled {
        let RollupTask { cell, rollup, start_ms, generation } = task;
        let settled = tx
            .prepare_cached(
                "DELETE FROM rollup_queue
                 WHERE client_id = ?1 AND target = ?2 AND span = ?3 AND window_start_ts = ?4
                   AND generation = ?5 RETURNING 1",
            )?
            .query_row(
                (&cell.client_id, &cell.target, rollup.as_str(), start_ms, generation),
                |_| Ok(()),
            )
            .optional()?;
        if settled.is_none() {
            continue;
        }
        let key = (cell.client_id.as_str(), cell.target.as_str(), *start_ms);
        match window {
            Some(window) => {
                let put = include_str!("put_window.sql").replace("agg_1m", rollup.table());
                put_window(&mut tx.prepare_cached(&put)?, key, window, now_ms)?;
            }
            None => {
                tx.prepare_cached(&format!(
                    "DELETE FROM {} WHERE client_id = ?1 AND target = ?2 AND window_start_ts = ?3",
                    rollup.table()
                ))?
                .execute(key)?;
            }
        }
        if *rollup == Rollup::Hour {
            enqueue(tx, Rollup::Day, (key.0, key.1, Rollup::Day.start_of(*start_ms)))?;
        }
    }
    Ok(())
}
