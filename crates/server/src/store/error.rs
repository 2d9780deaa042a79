//! Why the store could not do what it was asked.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::postgres::Failure;

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
    /// A server holds the directory.
    #[error("another qoe serves {}; stop it, or name another --data-dir", dir.display())]
    Served {
        /// The directory.
        dir: PathBuf,
    },
    /// The database can't be reached, or does not let us in.
    #[error("cannot connect to {at}: {source}")]
    Reach {
        /// Which, without its password.
        at: String,
        /// Why not.
        source: Box<Failure>,
    },
    /// PostgreSQL refused, or could not be asked.
    #[error("cannot {doing}: {source}")]
    Postgres {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: Box<Failure>,
    },
    /// The text is not the URL of a database. It is not shown: it holds a password.
    #[error("the database's URL can't be used: {0}")]
    Url(String),
    /// The database server is too old.
    #[error("the server is PostgreSQL {found}, this program needs {needed} or newer")]
    ServerTooOld {
        /// The server's version.
        found: i32,
        /// The oldest that will do.
        needed: i32,
    },
    /// The database server would lose what it has committed.
    #[error("the server would lose what it commits: {setting} is {value}")]
    ServerNotDurable {
        /// The server's setting.
        setting: &'static str,
        /// What it is.
        value: String,
    },
    /// Others changed the same windows again and again.
    #[error("cannot count events: other programs keep changing the same windows")]
    Contended,
    /// The database's answer does not fit what was asked.
    #[error("the database's answer does not fit what was asked")]
    Disorder,
    /// A moment that no table can keep.
    #[error("no table can keep the time {ms} ms")]
    OutOfRange {
        /// Milliseconds since the Unix epoch.
        ms: i64,
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
    #[error(
        "more than {limit} windows lie in that range; ask for a shorter one, or for one client or target"
    )]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

/// What is to be done about work that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It passes: the same work is done again, as often as it takes.
    Again,
    /// Something in the work itself: it is halved until what is at fault stands alone, and that
    /// is put aside.
    Poison,
    /// Nothing is wrong with the work, and waiting does not help: somebody has to be told.
    Halt,
}

impl StoreError {
    /// What is to be done about the work that met with this.
    pub fn class(&self) -> Class {
        match self {
            Self::Reach { source, .. } | Self::Postgres { source, .. } => source.class(),
            Self::Database { source, .. } => class_of(source),
            Self::Path { .. } | Self::Contended | Self::Closed | Self::Random(_) => Class::Again,
            Self::Corrupt { .. } | Self::OutOfRange { .. } | Self::TooMany { .. } => Class::Poison,
            Self::TooOpen { .. }
            | Self::NotDurable { .. }
            | Self::ServerNotDurable { .. }
            | Self::ServerTooOld { .. }
            | Self::Url(_)
            | Self::Served { .. }
            | Self::Version { .. }
            | Self::Migration { .. }
            | Self::Disorder => Class::Halt,
        }
    }
}

fn class_of(error: &rusqlite::Error) -> Class {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            Class::Poison
        }
        // No such table, no database at all, damage, or no right to it.
        Some(
            ErrorCode::Unknown
            | ErrorCode::NotADatabase
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::ApiMisuse
            | ErrorCode::ParameterOutOfRange,
        ) => Class::Halt,
        // Full, locked, a disk that fails: it passes, or somebody is at it.
        Some(_) => Class::Again,
        // Columns that are not as this program knows them.
        None => Class::Halt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_missing_table_does_not() {
        let of = |code: i32| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            StoreError::Database { doing: "count events", source: Box::new(error) }.class()
        };
        use rusqlite::ffi;
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_BUSY, ffi::SQLITE_READONLY] {
            assert_eq!(of(code), Class::Again, "{code}");
        }
        assert_eq!(of(ffi::SQLITE_CONSTRAINT), Class::Poison);
        for code in [ffi::SQLITE_ERROR, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert_eq!(of(code), Class::Halt, "{code}");
        }
    }
}
