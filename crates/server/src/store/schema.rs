//! The schema and its migrations, up and down. Both stores number theirs alike.

use super::{Location, StoreError, postgres, sqlite};

/// The schema version this program works with.
pub const LATEST: usize = sqlite::schema::LATEST;

const _: () = assert!(LATEST == postgres::schema::LATEST, "both stores go step by step together");

/// The schema version of a store; 0 where it has no tables.
pub fn version(location: impl Into<Location>) -> Result<usize, StoreError> {
    match &location.into() {
        Location::Directory(dir) => sqlite::schema::version(dir),
        Location::Postgres(database) => postgres::schema::version(database),
    }
}

/// Brings a store to the latest version, making it where it is missing, and says from which
/// version.
pub fn up(location: impl Into<Location>) -> Result<usize, StoreError> {
    match &location.into() {
        Location::Directory(dir) => sqlite::schema::up(dir),
        Location::Postgres(database) => postgres::schema::up(database),
    }
}

/// Takes a store down to `version`; what the dropped tables held is gone. Says from which
/// version.
pub fn down(location: impl Into<Location>, version: usize) -> Result<usize, StoreError> {
    match &location.into() {
        Location::Directory(dir) => sqlite::schema::down(dir, version),
        Location::Postgres(database) => postgres::schema::down(database, version),
    }
}
