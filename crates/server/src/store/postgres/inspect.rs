//! What a shared database can promise.

use super::connection::{Connection, Purpose};
use super::{Settings, schema};
use crate::store::StoreError;
use crate::store::inspect::Shared;

/// What a new session has, whatever ours has set; `reset_val` is that.
const ASK: &str = "
    SELECT (SELECT reset_val FROM pg_settings WHERE name = 'fsync'),
           (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'),
           (SELECT reset_val FROM pg_settings WHERE name = 'full_page_writes'),
           (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_standby_names'),
           (SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only')
               OR pg_is_in_recovery(),
           current_setting('server_version'),
           current_setting('server_version_num')::integer,
           current_setting('max_connections')::integer,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')";

/// Looks at the database, whether or not it has tables.
pub(crate) fn inspect(settings: &Settings) -> Result<Shared, StoreError> {
    let conn = Connection::open(settings, Purpose::Read)?;
    let row = conn.query_one(ASK, &[]);
    let row = row.map_err(StoreError::postgres("read the server's settings"))?;
    let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
    let (schema, oldest_program) = schema::versions(&conn)?;
    Ok(Shared {
        at: settings.to_string(),
        fsync: text(0),
        synchronous_commit: text(1),
        accepts_data_loss: settings.accepts_data_loss(),
        full_page_writes: text(2),
        standbys: text(3),
        read_only: row.get::<_, Option<bool>>(4).unwrap_or(false),
        version: text(5),
        version_number: row.get(6),
        connections: (row.get(8), row.get(7)),
        schema,
        oldest_program,
    })
}
