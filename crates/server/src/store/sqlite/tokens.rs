//! Tokens in their table.

use std::path::Path;

use rusqlite::{OptionalExtension, Row};

use super::{Reader, connection};
use crate::store::tokens::{NewToken, UnknownScope};
use crate::store::{StoreError, TokenRecord};

macro_rules! select {
    () => {
        "SELECT id, sha256, client_id, scope, created_at, expires_at, revoked_at IS NOT NULL FROM tokens"
    };
}

pub(crate) fn create(dir: &Path, new: &NewToken<'_>) -> Result<(), StoreError> {
    let NewToken { id, sha256, client_id, scope, created_ms, expires_ms } = *new;
    connection::read_write(dir)?
        .execute(
            "INSERT INTO tokens (id, sha256, client_id, scope, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (id, sha256, client_id, scope.as_str(), created_ms, expires_ms),
        )
        .map(drop)
        .map_err(StoreError::sqlite("keep a token"))
}

pub(crate) fn revoke(dir: &Path, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    connection::read_write(dir)?
        .execute(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
            (id, now_ms),
        )
        .map(|changed| changed > 0)
        .map_err(StoreError::sqlite("revoke a token"))
}

impl Reader {
    pub(crate) fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        self.conn
            .prepare_cached(concat!(select!(), " WHERE id = ?1"))
            .and_then(|mut query| query.query_row([id], record).optional())
            .map_err(StoreError::sqlite("look up a token"))
    }

    pub(crate) fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let list = || {
            let mut query = self.conn.prepare(concat!(select!(), " ORDER BY created_at, id"))?;
            query.query_map([], record)?.collect::<rusqlite::Result<_>>()
        };
        list().map_err(StoreError::sqlite("list tokens"))
    }
}

/// By the order of columns in `select!`.
fn record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let scope: String = row.get(3)?;
    Ok(TokenRecord {
        id: row.get(0)?,
        sha256: row.get(1)?,
        client_id: row.get(2)?,
        scope: scope.parse().map_err(|error: UnknownScope| {
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
        })?,
        created_ms: row.get(4)?,
        expires_ms: row.get(5)?,
        revoked: row.get(6)?,
    })
}
