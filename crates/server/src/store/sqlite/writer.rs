//! The connection that changes what is kept.

use std::collections::HashMap;
use std::path::Path;

use model::{ClientId, Event};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{alerts, apply, connection, incidents, retention, rollups, schema};
use crate::store::{AlertRow, Claim, Detected, Pruned, Retention, Rolled, Sent, StoreError};

/// The one connection that changes what is kept. Each method is one transaction: it
/// stands as a whole or not at all.
pub(crate) struct Writer {
    conn: Connection,
    clients: Clients,
    swept: retention::Position,
}

impl Writer {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let conn = connection::read_write(dir)?;
        schema::require_latest(&conn)?;
        conn.set_prepared_statement_cache_capacity(48);
        Ok(Self { conn, clients: Clients::default(), swept: retention::Position::default() })
    }

    /// Counts each event of `batches` that was not counted before, in one transaction, and says
    /// for each batch how many of its events had been. Durable when it returns.
    pub(crate) fn apply(
        &mut self,
        batches: &[Vec<Event>],
        now_ms: i64,
    ) -> Result<Vec<usize>, StoreError> {
        let Self { conn, clients, .. } = self;
        let applied =
            transaction(conn, "count events", |tx| apply::apply(tx, clients, batches, now_ms));
        if applied.is_err() {
            // Keys given out in a transaction that did not commit do not exist.
            clients.forget();
        }
        applied
    }

    pub(crate) fn detect(&mut self, found: &Detected) -> Result<(), StoreError> {
        let doing = "write incidents";
        transaction(&mut self.conn, doing, |tx| {
            incidents::record(tx, found).map_err(StoreError::sqlite(doing))
        })
    }

    pub(crate) fn roll(&mut self, rolled: &[Rolled], now_ms: i64) -> Result<(), StoreError> {
        transaction(&mut self.conn, "write hours and days", |tx| {
            rollups::roll(tx, rolled, now_ms).map_err(StoreError::sqlite("write hours and days"))
        })
    }

    pub(crate) fn put_alerts(&mut self, rows: &[AlertRow]) -> Result<usize, StoreError> {
        let doing = "write alerts";
        transaction(&mut self.conn, doing, |tx| {
            alerts::put(tx, rows).map_err(StoreError::sqlite(doing))
        })
    }

    pub(crate) fn claim_alert(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        let doing = "take an alert to send it";
        transaction(&mut self.conn, doing, |tx| {
            alerts::claim(tx, claim).map_err(StoreError::sqlite(doing))
        })
    }

    pub(crate) fn settle_alert(&mut self, sent: &Sent) -> Result<(), StoreError> {
        let doing = "write what became of an alert";
        transaction(&mut self.conn, doing, |tx| {
            alerts::settle(tx, sent).map_err(StoreError::sqlite(doing))
        })
    }

    /// Removes a bounded part of what is older than `keep` allows.
    pub(crate) fn prune(&mut self, keep: &Retention, now_ms: i64) -> Result<Pruned, StoreError> {
        let swept = &mut self.swept;
        transaction(&mut self.conn, "remove what is old", |tx| {
            retention::prune(tx, swept, keep, now_ms)
        })
    }

    /// Writes nothing that matters, durably, to learn whether the store can write.
    pub(crate) fn probe(&mut self) -> Result<(), StoreError> {
        transaction(&mut self.conn, "write to the database", |tx| {
            // Where the tables went away, what can be written is no use.
            schema::require_latest(tx)?;
            // The same number again: a page is written, nothing changes.
            tx.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
                .and_then(|version| tx.pragma_update(None, "user_version", version))
                .map_err(StoreError::sqlite("write to the database"))
        })
    }
}

fn transaction<T>(
    conn: &mut Connection,
    doing: &'static str,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Immediate: a deferred one that turns to writing fails at once where another process writes.
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(StoreError::sqlite(doing))?;
    let done = work(&tx)?;
    crate::crash::point("before-commit");
    tx.commit().map_err(StoreError::sqlite(doing))?;
    crate::crash::point("after-commit");
    Ok(done)
}

/// The integer key of each client, and when it was last seen, remembered over transactions.
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
    const REMEMBERED: usize = 100_000;
    /// `last_seen` is written when it is this much behind: not once a transaction.
    const SEEN_PRECISION_MS: i64 = 60_000;

    /// The key of `client`, which is entered where it is new.
    pub(super) fn key(
        &mut self,
        tx: &Transaction<'_>,
        client: &ClientId,
        now_ms: i64,
    ) -> rusqlite::Result<i64> {
        let known = self.known.get(client).copied();
        if let Some(known) = known
            && now_ms < known.seen_ms + Self::SEEN_PRECISION_MS
        {
            return Ok(known.key);
        }
        let key = tx
            .prepare_cached(
                "INSERT INTO clients (client_id, first_seen, last_seen) VALUES (?1, ?2, ?2)
                 ON CONFLICT (client_id) DO UPDATE SET last_seen = max(last_seen, ?2)
                 RETURNING id",
            )?
            .query_row((client.as_str(), now_ms), |row| row.get(0))?;
        if self.known.len() >= Self::REMEMBERED {
            self.known.clear();
        }
        self.known.insert(client.clone(), Known { key, seen_ms: now_ms });
        Ok(key)
    }

    fn forget(&mut self) {
        self.known.clear();
    }
}
