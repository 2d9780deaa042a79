//! The schema and its migrations, up and down. Both stores number theirs alike.

use super::{Location, StoreError, sqlite};

/// The schema version this program works with.
pub const LATEST: usize = sqlite::schema::LATEST;

/// The schema version of a store; 0 where it has no tables.
pub fn version(location: impl Into<Location>) -> Result<usize, StoreError> {
    match &location.into() {
        Location::Directory(dir) => sqlite::schema::version(dir),
    }
}

/// Brings a store to the latest version, making it where it is missing, and says from which
/// version.
pub fn up(location: impl Into<Location>) -> Result<usize, StoreError> {
    match &location.into() {
        Location::Directory(dir) => sqlite::schema::up(dir),
    }
}

/// Takes a store down to `version`; what the dropped tables held is gone. Says from which
/// version.
pub fn down(location: impl Into<Location>, version: usize) -> Result<usize, StoreError> {
    match &location.into() {
        Location::Directory(dir) => sqlite::schema::down(dir, version),
    }
}
