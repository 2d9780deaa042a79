//! What is kept: windows, the ids of counted events, incidents, clients, tokens.
//! Nothing outside this module knows which database it is.
//!
//! One [`Writer`] makes every change to windows and incidents; any number of [`Reader`]s look on
//! without waiting for it. [`Store`] lends readers to async code.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

mod alerts;
pub mod backup;
mod cohorts;
mod drifts;
mod error;
mod gaps;
mod incidents;
pub mod inspect;
mod leadership;
mod lock;
mod metrics;
mod postgres;
mod reader;
mod reopened;
mod retention;
mod rollups;
pub mod schema;
mod sqlite;
mod summary;
pub mod tokens;
mod windows;
mod writer;

/// Name of the embedded store's database in the data directory.
pub const DATABASE: &str = sqlite::DATABASE;

pub use alerts::{
    AlertBody, AlertEvent, AlertQuery, AlertRow, AlertState, Before, Claim, Fate, ReceiverFares,
    Sent, Told, UnknownWord, What,
};
pub use cohorts::{Cohort, CohortQuery, Grain, GroupBy, Kept};
pub use drifts::{DriftQuery, DriftRow};
pub use error::{Class, StoreError};
pub use gaps::{GapQuery, GapRow};
pub use incidents::{
    Detected, FleetWindow, IncidentBody, IncidentQuery, IncidentRow, Revisions, Severity,
    UnknownSeverity, WindowLabel,
};
pub use leadership::Leadership;
pub use lock::lock;
pub use metrics::Metrics;
pub use postgres::{Failure as PostgresFailure, Settings as PostgresSettings};
pub use reader::{Cell, Reader, TableSize};
pub use reopened::Reopened;
pub use retention::{Pruned, Retention};
pub use rollups::{Rolled, Rollup, RollupTask};
pub use summary::{MeanStages, SummaryQuery, SummaryRow};
pub use tokens::{Scope, TokenRecord, Tokens};
pub use windows::{MetricPercentiles, Percentiles, Span, WindowQuery, WindowRow};
pub use writer::Writer;

/// Readers at work at one time; more wait. Each keeps a page cache of its own.
const READERS: usize = 4;

/// Where things are kept.
#[derive(Clone, Debug)]
pub enum Location {
    /// In a directory on this machine, in SQLite.
    Directory(PathBuf),
    /// In a PostgreSQL database, which other programs share.
    Postgres(PostgresSettings),
}

/// An open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    location: Location,
    idle: Mutex<Vec<Reader>>,
    turns: Arc<Semaphore>,
}

impl Store {
    /// Opens a store. In a directory, makes what is missing (the directory 0700, its database 0600)
    /// and brings the schema up to date; a shared database is brought up to date by
    /// [`schema::up`], once for all who use it, and refused where its schema is not this program's.
    /// Blocks.
    pub fn open(location: impl Into<Location>) -> Result<Self, StoreError> {
        let location = location.into();
        let first = match location {
            Location::Directory(_) => schema::up(&location).map(|_| None)?,
            Location::Postgres(_) => Some(Reader::at(&location)?),
        };
        let inner = Inner {
            location,
            idle: Mutex::new(first.into_iter().collect()),
            turns: Arc::new(Semaphore::new(READERS)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// The tokens kept here.
    pub fn tokens(&self) -> Tokens {
        Tokens::of(self.clone())
    }

    /// A connection that changes what is kept. Blocks.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        Writer::at(self.location())
    }

    /// The wish to be the one that acts in the matter of this name, among all who use this store.
    pub fn leadership(&self, name: &'static str) -> Leadership {
        Leadership::new(self.location().clone(), name)
    }

    /// Whether it can be read now.
    ///
    /// # Errors
    /// Why not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        self.read(|reader| reader.rollup_tasks(0, 1).map(drop)).await
    }

    /// How many connections read, or wait to.
    pub fn connections(&self) -> usize {
        let at_work = READERS - self.inner.turns.available_permits();
        self.inner.readers().len() + at_work
    }

    /// Lends `look` a reader on a thread that may block.
    pub async fn read<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = self.inner.turns.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let inner = self.inner.clone();
        let work = move || {
            // Kept by the work, not by who waits for it: a caller that went away frees no turn.
            let _turn = turn;
            let idle = inner.readers().pop().filter(Reader::is_usable);
            let reader = match idle {
                Some(reader) => reader,
                None => Reader::at(&inner.location)?,
            };
            let found = look(&reader);
            // One that failed may sit in a half-read state: it is dropped, not lent again.
            if found.is_ok() && reader.is_usable() {
                inner.readers().push(reader);
            }
            found
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(found) => found,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::Closed),
            },
        }
    }
}

impl Inner {
    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        // A push or pop that panicked leaves a whole vector.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Path> for Location {
    fn from(dir: &Path) -> Self {
        Self::Directory(dir.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(dir: &PathBuf) -> Self {
        Self::Directory(dir.clone())
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}
