//! What changes what is kept.

use model::Event;

use super::alerts::{AlertRow, Claim, Sent};
use super::incidents::Detected;
use super::retention::{Pruned, Retention};
use super::rollups::Rolled;
use super::{Location, StoreError, postgres, sqlite};

/// A connection that changes what is kept. Each method is one transaction: it stands as
/// a whole or not at all.
pub struct Writer(Backend);

enum Backend {
    Sqlite(sqlite::Writer),
    Postgres(postgres::Writer),
}

impl Writer {
    /// Opens the store, which must be there and of this program's schema version. An embedded one
    /// has one writer at a time.
    pub fn open(location: impl Into<Location>) -> Result<Self, StoreError> {
        Self::at(&location.into())
    }

    pub(super) fn at(location: &Location) -> Result<Self, StoreError> {
        Ok(Self(match location {
            Location::Directory(dir) => Backend::Sqlite(sqlite::Writer::open(dir)?),
            Location::Postgres(database) => Backend::Postgres(postgres::Writer::open(database)?),
        }))
    }

    /// Counts each event of `batches` that was not counted before, in one transaction, and says
    /// for each batch how many of its events had been. Durable when it returns.
    pub fn apply(&mut self, batches: &[Vec<Event>], now_ms: i64) -> Result<Vec<usize>, StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.apply(batches, now_ms),
            Backend::Postgres(writer) => writer.apply(batches, now_ms),
        }
    }

    /// Writes what a step of the detector found.
    pub fn detect(&mut self, found: &Detected) -> Result<(), StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.detect(found),
            Backend::Postgres(writer) => writer.detect(found),
        }
    }

    /// Writes hours and days that were merged, save those that changed since; the hours' days are
    /// due after them.
    pub fn roll(&mut self, rolled: &[Rolled], now_ms: i64) -> Result<(), StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.roll(rolled, now_ms),
            Backend::Postgres(writer) => writer.roll(rolled, now_ms),
        }
    }

    /// Writes notices that are to be sent, save those whose place another has taken; says how many
    /// were written.
    pub fn put_alerts(&mut self, rows: &[AlertRow]) -> Result<usize, StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.put_alerts(rows),
            Backend::Postgres(writer) => writer.put_alerts(rows),
        }
    }

    /// Takes a message to send it, and says whether it was there to be taken: of several who try,
    /// one succeeds.
    pub fn claim_alert(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.claim_alert(claim),
            Backend::Postgres(writer) => writer.claim_alert(claim),
        }
    }

    /// Writes what became of a message that was sent.
    pub fn settle_alert(&mut self, sent: &Sent) -> Result<(), StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.settle_alert(sent),
            Backend::Postgres(writer) => writer.settle_alert(sent),
        }
    }

    /// Removes a bounded part of what is older than `keep` allows.
    pub fn prune(&mut self, keep: &Retention, now_ms: i64) -> Result<Pruned, StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.prune(keep, now_ms),
            Backend::Postgres(writer) => writer.prune(keep, now_ms),
        }
    }

    /// Writes nothing that matters, durably, to learn whether the store can write.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            Backend::Sqlite(writer) => writer.probe(),
            Backend::Postgres(writer) => writer.probe(),
        }
    }
}
