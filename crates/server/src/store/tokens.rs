//! Tokens: who may send, who may read. Only a hash of each is kept.
//!
//! A token's text is `qoe_`, eight characters of id, `_`, and 43 characters of base64url that
//! hold 256 random bits. The id finds the record; the SHA-256 of the whole text proves the token.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Store, StoreError};

/// The tokens of one store. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    #[expect(dead_code, reason = "to come")]
    store: Store,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To send events.
    Ingest,
    /// To read windows and diagnoses.
    Read,
    /// Everything.
    Admin,
}

/// A kept token. Its text is known only to whom it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The eight characters after `qoe_`.
    pub id: String,
    /// SHA-256 of the token's whole text.
    pub sha256: [u8; 32],
    /// The client it speaks for; `*` for any.
    pub client_id: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it ends, milliseconds since the Unix epoch; `None` for never.
    pub expires_ms: Option<i64>,
    /// Whether it was withdrawn.
    pub revoked: bool,
}

impl Tokens {
    pub(super) fn of(store: Store) -> Self {
        Self { store }
    }

    /// Makes a token and returns its text, which can't be had again. Blocks on the database.
    pub fn create(
        &self,
        client_id: &str,
        scope: Scope,
        ttl: Option<Duration>,
    ) -> Result<String, StoreError> {
        let _ = (client_id, scope, ttl);
        Ok(String::new())
    }

    /// The record of a token by its id, whether or not it is still good.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn lookup(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        let _ = id;
        Ok(None)
    }

    /// Withdraws a token; false when there is none of that id. Blocks on the database.
    pub fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let _ = id;
        Ok(false)
    }

    /// Every token, oldest first. Blocks on the database.
    pub fn list(&self) -> Result<Vec<TokenRecord>, StoreError> {
        Ok(Vec::new())
    }
}

impl TokenRecord {
    /// Whether it still stands at `now_ms`.
    pub fn is_good(&self, now_ms: i64) -> bool {
        !self.revoked && self.expires_ms.is_none_or(|end| now_ms < end)
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// The name on the command line and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// Whether a token of this scope may do what `needed` stands for.
    pub fn allows(self, needed: Self) -> bool {
        self == needed || self == Self::Admin
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|s| s.as_str() == name).ok_or(UnknownScope)
    }
}

/// The name is of no scope.
#[derive(Debug, thiserror::Error)]
#[error("a scope is ingest, read or admin")]
pub struct UnknownScope;
