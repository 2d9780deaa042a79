//! A connection that only looks.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{connection, schema};
use crate::store::{Cell, StoreError};

/// A connection that only looks, beside a running server or without one. Each answer is of one
/// moment. Blocks.
pub(crate) struct Reader {
    pub(super) conn: Connection,
}

impl Reader {
    /// Opens the database in `dir`, which must be there and of this program's schema version.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let conn = connection::read_only(dir)?;
        schema::require_latest(&conn)?;
        Ok(Self { conn })
    }

    /// The view of one moment for everything asked through it.
    pub(super) fn moment(&self) -> Result<Transaction<'_>, StoreError> {
        self.conn.unchecked_transaction().map_err(StoreError::sqlite("begin to read"))
    }
}

/// Every cell with windows in a table, in order, of one client or one target where these are given.
///
/// The table's key leads with the cell, so each step is one descent of the tree, however
/// many windows a cell has.
pub(super) fn cells(
    tx: &Transaction<'_>,
    table: &'static str,
    client_id: Option<&str>,
    target: Option<&str>,
) -> rusqlite::Result<Vec<Cell>> {
    let mut next = tx.prepare_cached(&format!(
        "SELECT client_id, target FROM {table} WHERE (client_id, target) > (?1, ?2)
         ORDER BY client_id, target LIMIT 1"
    ))?;
    let mut found = Vec::new();
    // No client and no target has an empty name, so this precedes all of them.
    let mut at =
        Cell { client_id: client_id.unwrap_or_default().to_owned(), target: String::new() };
    loop {
        let cell = next
            .query_row((&at.client_id, &at.target), |row| {
                Ok(Cell { client_id: row.get(0)?, target: row.get(1)? })
            })
            .optional()?;
        match cell {
            Some(cell) if client_id.is_none_or(|only| only == cell.client_id) => at = cell,
            _ => return Ok(found),
        }
        if target.is_none_or(|only| only == at.target) {
            found.push(at.clone());
        }
    }
}
