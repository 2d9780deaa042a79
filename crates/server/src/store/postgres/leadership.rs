//! One of many: a lock that a connection holds and that goes with it.

use sha2::{Digest, Sha256};

use super::Settings;
use super::connection::{Connection, Purpose};
use crate::store::StoreError;

/// The lead in one matter, held as long as its connection lives.
pub(crate) struct Lease(Connection);

impl Lease {
    /// Takes the lead, unless another has it.
    pub(crate) fn take(settings: &Settings, name: &str) -> Result<Option<Self>, StoreError> {
        let conn = Connection::open(settings, Purpose::Read)?;
        let taken = conn
            .query_one("SELECT pg_try_advisory_lock($1)", &[&key(name)])
            .map(|row| row.get(0))
            .map_err(StoreError::postgres("take the lead"))?;
        Ok(if taken { Some(Self(conn)) } else { None })
    }

    /// Whether it still holds. The server ends it with the connection.
    pub(crate) fn holds(&self) -> bool {
        self.0.batch("SELECT 1").is_ok()
    }
}

/// The number of a named lock, in every program the same.
pub(super) fn key(name: &str) -> i64 {
    let digest = Sha256::new().chain_update(b"qoe ").chain_update(name).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}
