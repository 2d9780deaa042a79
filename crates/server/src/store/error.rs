//! Why the store could not do what it was asked.

use std::path::PathBuf;

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
