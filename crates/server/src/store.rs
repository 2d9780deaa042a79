//! What is kept, in SQLite: windows, the ids of counted events, diagnoses, clients, tokens.
//! Nothing outside this module knows which database it is.
//!
//! One [`Writer`] makes every change to windows and diagnoses; any number of [`Reader`]s look on
//! without waiting for it. [`Store`] lends readers to async code.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

mod apply;
mod connection;
mod diagnoses;
mod reader;
mod retention;
pub mod schema;
mod summary;
pub mod tokens;
mod windows;
mod writer;

pub use connection::DATABASE;
pub use diagnoses::{DiagnosisQuery, DiagnosisRow, Judged, LabelledWindow, Task};
pub use reader::{Cell, Reader};
pub use retention::{Pruned, Retention};
pub use summary::{MeanStages, SummaryQuery, SummaryRow};
pub use tokens::{Scope, TokenRecord, Tokens};
pub use windows::{MetricPercentiles, Percentiles, Span, WindowQuery, WindowRow};
pub use writer::Writer;

/// Readers at work at one time; more wait. Each keeps a page cache of its own.
const READERS: usize = 4;

/// An open data directory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    idle: Mutex<Vec<Reader>>,
    turns: Arc<Semaphore>,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Others may read the directory or the database.
    #[error("{0} is open to others (mode {mode:03o}); run: chmod {wanted:o} {0}", path.display())]
    TooOpen {
        /// What is open.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest that is accepted.
        wanted: u32,
    },
    /// The directory or the database can't be reached or made.
    #[error("cannot {doing} {}: {source}", path.display())]
    Path {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The database did not take the settings that make a commit durable.
    #[error("the database is not durable: journal_mode {journal}, synchronous {synchronous}")]
    NotDurable {
        /// `PRAGMA journal_mode`, wanted `wal`.
        journal: String,
        /// `PRAGMA synchronous`, wanted 2.
        synchronous: i64,
    },
    /// The schema is older or newer than this program.
    #[error(
        "the database has schema version {found}, this program needs {needed}; see qoe migrate"
    )]
    Version {
        /// In the database.
        found: usize,
        /// What this program works with.
        needed: usize,
    },
    /// A migration failed; it left nothing behind.
    #[error("cannot migrate the database to version {to}: {source}")]
    Migration {
        /// The version that was wanted.
        to: usize,
        /// Why not.
        source: Box<rusqlite_migration::Error>,
    },
    /// The database refused.
    #[error("cannot {doing}: {source}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: Box<rusqlite::Error>,
    },
    /// A kept value can't be read back.
    #[error("cannot read {what} of {client_id} at {target}: {detail}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Whose.
        client_id: String,
        /// On what.
        target: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The system gives no random bits.
    #[error("cannot make a token: no random bits: {0}")]
    Random(String),
    /// The program is ending.
    #[error("the store is closed")]
    Closed,
    /// A summary would have to merge more windows than one answer may cost.
    #[error("more than {limit} windows lie in that range; ask for a shorter one")]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

impl Store {
    /// Opens the store in `dir`, making the directory (0700) and the database (0600) where they
    /// are missing and bringing the schema up to date. Blocks.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        schema::up(dir)?;
        let inner = Inner {
            dir: dir.to_owned(),
            idle: Mutex::new(Vec::new()),
            turns: Arc::new(Semaphore::new(READERS)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The tokens kept here.
    pub fn tokens(&self) -> Tokens {
        Tokens::of(self.clone())
    }

    /// The one connection that changes windows and diagnoses. Blocks.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        Writer::open(self.dir())
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
            let idle = inner.readers().pop();
            let reader = match idle {
                Some(reader) => reader,
                None => Reader::open(&inner.dir)?,
            };
            let found = look(&reader);
            // One that failed may sit in a half-read state: it is dropped, not lent again.
            if found.is_ok() {
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

impl StoreError {
    fn sqlite(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source: Box::new(source) }
    }
}
