//! The schema and its migrations, up and down.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::connection;
use crate::store::StoreError;

/// In order; the place of each, counted from 1, is the schema version it leads to.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../../migrations/sqlite/1_initial/up.sql"))
        .down(include_str!("../../../migrations/sqlite/1_initial/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/2_rollups/up.sql"))
        .down(include_str!("../../../migrations/sqlite/2_rollups/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/3_probes/up.sql"))
        .down(include_str!("../../../migrations/sqlite/3_probes/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/4_incidents/up.sql"))
        .down(include_str!("../../../migrations/sqlite/4_incidents/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/5_alerts/up.sql"))
        .down(include_str!("../../../migrations/sqlite/5_alerts/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/6_drifts/up.sql"))
        .down(include_str!("../../../migrations/sqlite/6_drifts/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/7_reopened/up.sql"))
        .down(include_str!("../../../migrations/sqlite/7_reopened/down.sql")),
    M::up(include_str!("../../../migrations/sqlite/8_one_judge/up.sql"))
        .down(include_str!("../../../migrations/sqlite/8_one_judge/down.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// The schema version this program works with.
pub(crate) const LATEST: usize = STEPS.len();

/// The schema version of the database in `dir`; 0 where it has no tables.
pub(crate) fn version(dir: &Path) -> Result<usize, StoreError> {
    connection::check_dir(dir)?;
    version_of(&connection::read_only(dir)?)
}

/// Brings the database in `dir` to the latest version, making it where it is missing, and says
/// from which version.
pub(crate) fn up(dir: &Path) -> Result<usize, StoreError> {
    connection::make_dir(dir)?;
    let mut conn = connection::read_write(dir)?;
    let from = version_of(&conn)?;
    migrate(&mut conn, LATEST)?;
    Ok(from)
}

/// Takes the database in `dir` down to `version`; what the dropped tables held is gone. Says
/// from which version.
pub(crate) fn down(dir: &Path, version: usize) -> Result<usize, StoreError> {
    connection::check_dir(dir)?;
    let mut conn = connection::read_write(dir)?;
    let from = version_of(&conn)?;
    if version < from {
        migrate(&mut conn, version)?;
    }
    Ok(from)
}

pub(super) fn migrate(conn: &mut Connection, to: usize) -> Result<(), StoreError> {
    MIGRATIONS
        .to_version(conn, to)
        .map_err(|source| StoreError::Migration { to, source: Box::new(source) })
}

/// Refuses a schema this program does not know, rather than failing at some later query.
pub(super) fn require_latest(conn: &Connection) -> Result<(), StoreError> {
    let found = version_of(conn)?;
    if found == LATEST { Ok(()) } else { Err(StoreError::Version { found, needed: LATEST }) }
}

pub(super) fn version_of(conn: &Connection) -> Result<usize, StoreError> {
    let version: i64 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(StoreError::sqlite("read the schema version"))?;
    // One that no program of ours wrote is no version we know.
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(conn: &Connection) -> Vec<String> {
        let mut query = conn
            .prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
            .unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn up_and_down_and_up_give_the_same_schema() {
        let dir = tempfile::tempdir().unwrap();
        let dir = &dir.path().join("data");
        assert_eq!(up(dir).unwrap(), 0);
        assert_eq!(version(dir).unwrap(), LATEST);
        let conn = connection::read_only(dir).unwrap();
        let first = tables(&conn);
        assert!(first.contains(&"agg_1m".to_owned()), "{first:?}");
        assert_eq!(down(dir, 0).unwrap(), LATEST);
        assert_eq!(tables(&conn), Vec::<String>::new());
        assert_eq!(up(dir).unwrap(), 0);
        assert_eq!(tables(&conn), first);
        assert_eq!(up(dir).unwrap(), LATEST);
    }

    #[test]
    fn a_newer_schema_is_refused_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let dir = &dir.path().join("data");
        up(dir).unwrap();
        connection::read_write(dir).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(up(dir).is_err());
        let refused = require_latest(&connection::read_only(dir).unwrap()).unwrap_err();
        assert!(refused.to_string().contains("99"), "{refused}");
    }
}
