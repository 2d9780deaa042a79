//! The connection that changes what is kept.

use model::Event;

use super::clients::Clients;
use super::connection::{Connection, Purpose};
use super::partitions::Partitions;
use super::{Settings, alerts, apply, incidents, retention, rollups, schema};
use crate::store::{AlertRow, Claim, Detected, Pruned, Retention, Rolled, Sent, StoreError};

/// A connection that changes what is kept; there may be many, here and elsewhere. Each
/// method is one transaction: it stands as a whole or not at all.
///
/// After any error the connection is given up, so that the server takes back what was begun, and
/// the next transaction makes a new one.
pub(crate) struct Writer {
    settings: Settings,
    conn: Option<Connection>,
    known: Known,
}

/// What is remembered of the database, as long as the connection lasts: after that it may be
/// another one, restored or promoted.
#[derive(Default)]
pub(super) struct Known {
    pub(super) clients: Clients,
    pub(super) partitions: Partitions,
    /// How many transactions more begin by locking the windows they touch.
    pub(super) contended: u32,
}

impl Writer {
    pub(crate) fn open(settings: &Settings) -> Result<Self, StoreError> {
        let mut writer = Self { settings: settings.clone(), conn: None, known: Known::default() };
        writer.with(|_, _| Ok(()))?;
        Ok(writer)
    }

    pub(crate) fn apply(
        &mut self,
        batches: &[Vec<Event>],
        now_ms: i64,
    ) -> Result<Vec<usize>, StoreError> {
        self.with(|conn, known| apply::apply(conn, known, batches, now_ms))
    }

    pub(crate) fn detect(&mut self, found: &Detected) -> Result<(), StoreError> {
        self.with(|conn, _| incidents::record(conn, found))
    }

    pub(crate) fn roll(&mut self, rolled: &[Rolled], now_ms: i64) -> Result<(), StoreError> {
        let doing = "write hours and days";
        self.with(|conn, _| {
            conn.transaction(doing, |conn| {
                rollups::roll(conn, rolled, now_ms).map_err(StoreError::postgres(doing))
            })
        })
    }

    pub(crate) fn put_alerts(&mut self, rows: &[AlertRow]) -> Result<usize, StoreError> {
        let doing = "write alerts";
        self.with(|conn, _| {
            conn.transaction(doing, |conn| {
                alerts::put(conn, rows).map_err(StoreError::postgres(doing))
            })
        })
    }

    pub(crate) fn claim_alert(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        let doing = "take an alert to send it";
        self.with(|conn, _| alerts::claim(conn, claim).map_err(StoreError::postgres(doing)))
    }

    pub(crate) fn settle_alert(&mut self, sent: &Sent) -> Result<(), StoreError> {
        let doing = "write what became of an alert";
        self.with(|conn, _| alerts::settle(conn, sent).map_err(StoreError::postgres(doing)))
    }

    pub(crate) fn prune(&mut self, keep: &Retention, now_ms: i64) -> Result<Pruned, StoreError> {
        self.with(|conn, known| {
            known.partitions.ahead(conn, now_ms)?;
            retention::prune(conn, keep, now_ms)
        })
    }

    pub(crate) fn probe(&mut self) -> Result<(), StoreError> {
        self.with(|conn, _| {
            let doing = "write to the database";
            conn.transaction(doing, |conn| {
                // Where the tables went away, what can be written is no use.
                schema::require(conn)?;
                // The same value again: a row is written, nothing changes.
                conn.execute("UPDATE schema_migrations SET name = name WHERE version = 1", &[])
                    .map(drop)
                    .map_err(StoreError::postgres(doing))
            })
        })
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Known) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let conn = match self.conn.take().filter(|conn| !conn.is_closed()) {
            Some(conn) => conn,
            None => {
                self.known = Known::default();
                let conn = Connection::open(&self.settings, Purpose::Write)?;
                schema::require(&conn)?;
                conn
            }
        };
        let done = work(&conn, &mut self.known);
        if done.is_ok() {
            self.conn = Some(conn);
        }
        done
    }
}
