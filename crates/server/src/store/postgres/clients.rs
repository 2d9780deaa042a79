//! The integer key of each client.

use std::collections::HashMap;

use model::ClientId;

use super::connection::Connection;
use super::time::Time;
use super::{Failure, Reader};
use crate::store::{StoreError, TableSize};

/// The integer key of each client, and when it was last seen, remembered over transactions.
///
/// Clients are entered before the transaction that counts their events, in one of their own: a
/// key is good whatever becomes of the events, and no two programs wait for one another's batches
/// because both have seen a client.
#[derive(Default)]
pub(super) struct Clients {
    known: HashMap<ClientId, Known>,
}

#[derive(Clone, Copy)]
struct Known {
    key: i64,
    seen_ms: i64,
}

impl Clients {
    /// How many are remembered; a fleet larger than this costs look-ups, not memory.
    const REMEMBERED: usize = 250_000;
    /// `last_seen` is written when it is this much behind: a fleet that measures once a minute
    /// would pay for it with every event otherwise.
    const SEEN_PRECISION_MS: i64 = 600_000;

    /// Sees to it that each of `clients` has a key.
    pub(super) fn enter<'a>(
        &mut self,
        conn: &Connection,
        clients: impl Iterator<Item = &'a ClientId>,
        now_ms: i64,
    ) -> Result<(), Failure> {
        if self.known.len() >= Self::REMEMBERED {
            self.known.clear();
        }
        let mut last = None;
        let mut unknown: Vec<&ClientId> = clients
            .filter(|&client| {
                // Events of one client mostly stand together.
                let again = last.replace(client) == Some(client);
                !again && !self.known.get(client).is_some_and(|known| known.is_fresh(now_ms))
            })
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        // In order, so that two programs that enter the same do not wait for one another in a
        // circle; each once, since a row can't be changed twice by one statement.
        unknown.sort_unstable();
        unknown.dedup();
        let names: Vec<&str> = unknown.iter().map(|client| client.as_str()).collect();
        let rows = conn.query(
            "INSERT INTO clients (client_id, first_seen, last_seen)
             SELECT name, $2, $2 FROM UNNEST($1::text[]) AS name
             ON CONFLICT (client_id)
                 DO UPDATE SET last_seen = greatest(clients.last_seen, excluded.last_seen)
             RETURNING client_id, id",
            &[&names, &Time(now_ms)],
        )?;
        for row in rows {
            let (name, key): (&str, i64) = (row.get(0), row.get(1));
            self.known.insert(ClientId::trusted(name), Known { key, seen_ms: now_ms });
        }
        Ok(())
    }

    /// The key of a client that was entered.
    pub(super) fn key(&self, client: &ClientId) -> i64 {
        self.known.get(client).expect("every client of the batch was entered").key
    }
}

impl Known {
    fn is_fresh(self, now_ms: i64) -> bool {
        now_ms < self.seen_ms + Clients::SEEN_PRECISION_MS
    }
}

impl Reader {
    pub(crate) fn unseen(&self, clients: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT asked FROM unnest($1::text[]) AS asked
             WHERE NOT EXISTS (SELECT FROM clients WHERE client_id = asked)",
            &[&clients],
        );
        let rows = rows.map_err(StoreError::postgres("look for clients"))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(crate) fn fleet_size(
        &self,
        from_ms: i64,
        silent_ms: i64,
    ) -> Result<(i64, i64), StoreError> {
        let row = self.conn.borrow().query_one(
            "SELECT count(*), count(*) FILTER (WHERE last_seen < $2) FROM clients
             WHERE last_seen >= $1",
            &[&Time(from_ms), &Time(silent_ms)],
        );
        let row = row.map_err(StoreError::postgres("count clients"))?;
        Ok((row.get(0), row.get(1)))
    }

    pub(crate) fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT coalesce(parent.relname, one.relname)::text,
                    sum(pg_total_relation_size(one.oid))::bigint, count(parent.oid)
             FROM pg_class one
             LEFT JOIN pg_inherits ON inhrelid = one.oid
             LEFT JOIN pg_class parent ON parent.oid = inhparent
             WHERE one.relkind = 'r' AND one.relnamespace = current_schema()::regnamespace
             GROUP BY 1 ORDER BY 1",
            &[],
        );
        let rows = rows.map_err(StoreError::postgres("look at the sizes of tables"))?;
        let of = |row: &tokio_postgres::Row| TableSize {
            table: row.get(0),
            bytes: row.get(1),
            partitions: row.get(2),
        };
        Ok(rows.iter().map(of).collect())
    }
}
