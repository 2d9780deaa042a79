//! The embedded store: one SQLite database in a data directory.

mod alerts;
mod apply;
pub(super) mod backup;
mod clients;
mod cohorts;
mod connection;
mod drifts;
mod gaps;
mod incidents;
mod inspect;
mod reader;
mod reopened;
mod retention;
mod rollups;
pub(super) mod schema;
mod summary;
pub(super) mod tokens;
mod windows;
mod writer;

pub(super) use connection::{DATABASE, make_dir};
pub(super) use inspect::inspect;
pub(super) use reader::Reader;
pub(super) use writer::Writer;

use super::StoreError;

impl StoreError {
    fn sqlite(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source: Box::new(source) }
    }
}
