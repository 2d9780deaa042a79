//! Who was ever seen.

use super::Reader;
use crate::store::StoreError;

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
}
