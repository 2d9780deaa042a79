//! Who was ever seen.

use super::Reader;
use crate::store::{StoreError, TableSize};

impl Reader {
    pub(crate) fn unseen(&self, clients: &[String]) -> Result<Vec<String>, StoreError> {
        let failed = StoreError::sqlite("look for clients");
        let look = || -> rusqlite::Result<_> {
            let mut query =
                self.conn.prepare_cached("SELECT 1 FROM clients WHERE client_id = ?1")?;
            let mut unseen = Vec::new();
            for client in clients {
                if !query.exists([client])? {
                    unseen.push(client.clone());
                }
            }
            Ok(unseen)
        };
        look().map_err(failed)
    }

    /// Clients that were seen since a moment, and those of them that have not been since another.
    pub(crate) fn fleet_size(
        &self,
        from_ms: i64,
        silent_ms: i64,
    ) -> Result<(i64, i64), StoreError> {
        self.conn
            .prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE last_seen < ?2) FROM clients
                 WHERE last_seen >= ?1",
            )
            .and_then(|mut query| {
                query.query_row((from_ms, silent_ms), |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .map_err(StoreError::sqlite("count clients"))
    }

    /// The file is one for all tables.
    pub(crate) fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let pragma = |name| self.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let bytes = pragma("page_count").and_then(|pages| Ok(pages * pragma("page_size")?));
        let bytes = bytes.map_err(StoreError::sqlite("look at the size of the database"))?;
        Ok(vec![TableSize { table: "all".to_owned(), bytes, partitions: 0 }])
    }
}
