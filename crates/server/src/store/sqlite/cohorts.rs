//! Windows of any table, one after another.

use model::window::Window;

use super::{Reader, reader};
use crate::store::cohorts::{CohortQuery, Kept, Left};
use crate::store::windows::unreadable_window;
use crate::store::{Span, StoreError};

impl Reader {
    /// Hands on each window, by client, target and time.
    pub(crate) fn each_window(
        &self,
        query: &CohortQuery,
        each: &mut dyn FnMut(Kept<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let doing = "read windows";
        let failed = StoreError::sqlite;
        let table = query.grain.table();
        let tx = self.moment()?;
        let cells = reader::cells(&tx, table, query.client_id.as_deref(), query.target.as_deref())
            .map_err(failed("list what was measured"))?;
        let mut select = tx
            .prepare_cached(&format!(
                "SELECT window_start_ts, sketches FROM {table}
                 WHERE client_id = ?1 AND target = ?2
                   AND window_start_ts >= ?3 AND window_start_ts < ?4
                 ORDER BY window_start_ts"
            ))
            .map_err(failed(doing))?;
        let Span { from_ms, to_ms } = query.span;
        let mut left = Left::of(query);
        for cell in cells {
            let (client_id, target) = (cell.client_id.as_str(), cell.target.as_str());
            let mut rows =
                select.query((client_id, target, from_ms, to_ms)).map_err(failed(doing))?;
            while let Some(row) = rows.next().map_err(failed(doing))? {
                left.take()?;
                let (start_ms, sketches) = row
                    .get(0)
                    .and_then(|start| Ok((start, row.get_ref(1)?.as_blob()?)))
                    .map_err(failed(doing))?;
                let window = Window::decode(sketches)
                    .map_err(|error| unreadable_window(client_id, target, &error))?;
                each(Kept { client_id, target, start_ms, window })?;
            }
        }
        Ok(())
    }
}
