//! Tokens in their table.

use tokio_postgres::Row;

use super::connection::{Connection, Purpose};
use super::time::Time;
use super::{Reader, Settings, schema};
use crate::store::tokens::{NewToken, UnknownScope};
use crate::store::{StoreError, TokenRecord};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, sha256, client_id, scope, created_at, expires_at, revoked_at IS NOT NULL
             FROM tokens ",
            $rest
        )
    };
}

pub(crate) fn create(settings: &Settings, new: &NewToken<'_>) -> Result<(), StoreError> {
    let NewToken { id, sha256, client_id, scope, created_ms, expires_ms } = *new;
    connect(settings)?
        .execute(
            "INSERT INTO tokens (id, sha256, client_id, scope, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                &id,
                &&sha256[..],
                &client_id,
                &scope.as_str(),
                &Time(created_ms),
                &expires_ms.map(Time),
            ],
        )
        .map(drop)
        .map_err(StoreError::postgres("keep a token"))
}

pub(crate) fn revoke(settings: &Settings, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    connect(settings)?
        .execute(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1",
            &[&id, &Time(now_ms)],
        )
        .map(|changed| changed > 0)
        .map_err(StoreError::postgres("revoke a token"))
}

impl Reader {
    pub(crate) fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        let rows = self.conn.borrow().query(select!("WHERE id = $1"), &[&id]);
        rows.map_err(StoreError::postgres("look up a token"))?.first().map(record).transpose()
    }

    pub(crate) fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = self.conn.borrow().query(select!("ORDER BY created_at, id COLLATE \"C\""), &[]);
        rows.map_err(StoreError::postgres("list tokens"))?.iter().map(record).collect()
    }
}

fn connect(settings: &Settings) -> Result<Connection, StoreError> {
    let conn = Connection::open(settings, Purpose::Write)?;
    schema::require(&conn)?;
    Ok(conn)
}

/// By the order of columns in `select!`.
fn record(row: &Row) -> Result<TokenRecord, StoreError> {
    let (id, client_id): (String, String) = (row.get(0), row.get(2));
    let corrupt = |what, detail: String| StoreError::Corrupt {
        what,
        client_id: client_id.clone(),
        target: id.clone(),
        detail,
    };
    let sha256: &[u8] = row.get(1);
    let sha256 = sha256
        .try_into()
        .map_err(|_| corrupt("a token's hash", format!("{} bytes", sha256.len())))?;
    let scope: &str = row.get(3);
    let scope = scope
        .parse()
        .map_err(|error: UnknownScope| corrupt("a token's scope", error.to_string()))?;
    Ok(TokenRecord {
        sha256,
        scope,
        created_ms: row.get::<_, Time>(4).0,
        expires_ms: row.get::<_, Option<Time>>(5).map(|Time(ms)| ms),
        revoked: row.get(6),
        id,
        client_id,
    })
}
