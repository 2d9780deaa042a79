//! Who acts, where one alone must.

use super::postgres::Lease;
use super::{Location, StoreError};

/// The wish to be the one that acts in some matter. An embedded store has one program, which
/// always is.
pub struct Leadership {
    location: Location,
    name: &'static str,
    lease: Option<Lease>,
}

impl Leadership {
    pub(super) fn new(location: Location, name: &'static str) -> Self {
        Self { location, name, lease: None }
    }

    /// Whether we lead now: we did and still do, or nobody else does. Asked before each step; a
    /// step that began while we led may end after another has taken over. Blocks.
    pub fn hold(&mut self) -> Result<bool, StoreError> {
        let Location::Postgres(database) = &self.location else { return Ok(true) };
        if !self.lease.as_ref().is_some_and(Lease::holds) {
            self.lease = Lease::take(database, self.name)?;
        }
        Ok(self.lease.is_some())
    }

    /// The same, on a thread that may block.
    pub async fn held(mut self) -> (Self, Result<bool, StoreError>) {
        let again = Self::new(self.location.clone(), self.name);
        let work = move || {
            let held = self.hold();
            (self, held)
        };
        let held = tokio::task::spawn_blocking(work).await;
        held.unwrap_or((again, Err(StoreError::Closed)))
    }
}
