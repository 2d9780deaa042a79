//! What the embedded store can promise.

use std::fs;
use std::path::Path;

use super::{DATABASE, connection, schema};
use crate::store::StoreError;
use crate::store::inspect::Embedded;

/// Looks at the database in `dir`, which must be there.
pub(crate) fn inspect(dir: &Path) -> Result<Embedded, StoreError> {
    connection::check_dir(dir)?;
    let conn = connection::read_only(dir)?;
    let (journal_mode, synchronous) = connection::durability_of_writers(&conn)?;
    let path = dir.join(DATABASE);
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    Ok(Embedded {
        version: rusqlite::version(),
        journal_mode,
        synchronous: match synchronous {
            0 => "off",
            1 => "normal",
            2 => "full",
            3 => "extra",
            _ => "unknown",
        },
        schema: schema::version_of(&conn)?,
        bytes: size(&path),
        wal_bytes: size(&dir.join(format!("{DATABASE}-wal"))),
        path,
    })
}
