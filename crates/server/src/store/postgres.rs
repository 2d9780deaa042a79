//! The shared store: PostgreSQL 15 or newer, for any number of programs at once.
//!
//! Everything blocks, and blocks on this module's own thread of I/O, so it may be called from
//! anywhere and no future that is dropped can leave a transaction half done.

mod alerts;
mod apply;
mod clients;
mod cohorts;
mod connection;
mod drifts;
mod failure;
mod gaps;
mod incidents;
mod inspect;
mod leadership;
mod partitions;
mod reader;
mod reopened;
mod retention;
mod rollups;
mod rows;
pub(super) mod schema;
mod settings;
mod time;
mod tls;
pub(super) mod tokens;
mod windows;
mod writer;

pub(super) use connection::OLDEST;
pub use failure::Failure;
pub(super) use inspect::inspect;
pub(super) use leadership::Lease;
pub(super) use reader::Reader;
pub use settings::Settings;
pub(super) use writer::Writer;

use super::StoreError;

impl StoreError {
    fn postgres(doing: &'static str) -> impl FnOnce(Failure) -> Self {
        move |source| Self::Postgres { doing, source: Box::new(source) }
    }
}
