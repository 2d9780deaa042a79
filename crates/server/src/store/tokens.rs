//! Tokens: who may send, who may read. Only a hash of each is kept.
//!
//! A token's text is `qoe_`, eight characters of id, `_`, and 43 characters of base64url that
//! hold 256 random bits. The id finds the record; the SHA-256 of the whole text proves the token.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{Location, Reader, Store, StoreError, postgres, sqlite};
use crate::clock::now_ms;

/// The tokens of one store. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To send events.
    Ingest,
    /// To read windows and incidents.
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

/// A token to be kept; its text is not.
pub(super) struct NewToken<'a> {
    pub(super) id: &'a str,
    pub(super) sha256: [u8; 32],
    pub(super) client_id: &'a str,
    pub(super) scope: Scope,
    pub(super) created_ms: i64,
    pub(super) expires_ms: Option<i64>,
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
        let text = random_text()?;
        let now_ms = now_ms();
        let expires = ttl.map(|ttl| {
            let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            now_ms.saturating_add(ttl)
        });
        let new = NewToken {
            id: &id_of(&text),
            sha256: sha256(&text),
            client_id,
            scope,
            created_ms: now_ms,
            expires_ms: expires,
        };
        match self.store.location() {
            Location::Directory(dir) => sqlite::tokens::create(dir, &new)?,
            Location::Postgres(database) => postgres::tokens::create(database, &new)?,
        }
        Ok(text)
    }

    /// The record of a token by its id, whether or not it is still good.
    pub async fn lookup(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        let id = id.to_owned();
        self.store.read(move |reader: &Reader| reader.token(&id)).await
    }

    /// Withdraws a token; false when there is none of that id. Blocks on the database.
    pub fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        match self.store.location() {
            Location::Directory(dir) => sqlite::tokens::revoke(dir, id, now_ms()),
            Location::Postgres(database) => postgres::tokens::revoke(database, id, now_ms()),
        }
    }

    /// Every token, oldest first. Blocks on the database.
    pub fn list(&self) -> Result<Vec<TokenRecord>, StoreError> {
        Reader::at(self.store.location())?.tokens()
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

/// What is kept of a token's text: it can't be turned back, and 256 random bits can't be guessed.
pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Letters and digits that can't be taken for one another, 32 of them.
const ID_LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const ID_CHARS: usize = 8;
const PREFIX: &str = "qoe_";

/// The id in a token's text. Characters, not bytes, so any text may be given.
pub fn id_of(text: &str) -> String {
    text.chars().skip(PREFIX.len()).take(ID_CHARS).collect()
}

fn random_text() -> Result<String, StoreError> {
    let mut random = [0; ID_CHARS + 32];
    getrandom::fill(&mut random).map_err(|error| StoreError::Random(error.to_string()))?;
    let (id, secret) = random.split_at(ID_CHARS);
    let id = id.iter().map(|byte| char::from(ID_LETTERS[usize::from(byte % 32)]));
    Ok(format!("{PREFIX}{}_{}", id.collect::<String>(), URL_SAFE_NO_PAD.encode(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_agreed_shape_and_says_its_id() {
        let text = random_text().unwrap();
        assert_eq!(text.len(), 4 + 8 + 1 + 43);
        assert_eq!(&text[4..12], id_of(&text));
        assert_eq!(&text[12..13], "_");
        assert_ne!(text, random_text().unwrap());
    }

    #[test]
    fn only_admin_allows_more_than_itself() {
        assert!(Scope::Admin.allows(Scope::Read) && Scope::Admin.allows(Scope::Ingest));
        assert!(Scope::Read.allows(Scope::Read) && !Scope::Read.allows(Scope::Ingest));
        assert!(!Scope::Ingest.allows(Scope::Read) && !Scope::Ingest.allows(Scope::Admin));
    }
}
