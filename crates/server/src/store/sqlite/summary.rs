//! Merging a stretch of time.

use rusqlite::Transaction;

use super::{Reader, reader};
use crate::store::summary::{MERGED, Merging};
use crate::store::{Cell, Span, StoreError, SummaryQuery, SummaryRow};

impl Reader {
    pub(crate) fn summary_of(
        &self,
        query: &SummaryQuery,
        now_ms: i64,
    ) -> Result<(Vec<SummaryRow>, bool), StoreError> {
        let tx = self.moment()?;
        let cells =
            reader::cells(&tx, "agg_1m", query.client_id.as_deref(), query.target.as_deref())
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
    let mut merging = Merging::of(cell);
    while let Some(row) = rows.next().map_err(failed("read windows"))? {
        *left = left.checked_sub(1).ok_or(StoreError::TooMany { limit: MERGED })?;
        let (start, sketches, label) = row
            .get(0)
            .and_then(|start| Ok((start, row.get_ref(1)?.as_blob()?, row.get(2)?)))
            .map_err(failed("read windows"))?;
        merging.add(start, sketches, label)?;
    }
    if merging.is_empty() {
        return Ok(None);
    }
    Ok(Some(merging.finish(now_ms)))
}
