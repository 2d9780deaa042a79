//! Opening the data directory and the database in it: who may read them, and the settings every
//! connection depends on.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

/// Name of the database in the data directory.
pub(crate) const DATABASE: &str = "qoe.db";

/// How long a writer waits for another process's transaction (a token being made, the server's
/// own batches). Long, because the lock is not handed on in turn.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Readers do not wait for writers in WAL mode; only recovery after a crash locks them out.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// The writer's page cache: room for the leaf pages that some thousand live windows share.
const WRITE_CACHE_KIB: i64 = 64 * 1024;
/// Pages in the WAL before it is copied into the database: a page that many transactions touch
/// is then copied once. 32 MiB.
const CHECKPOINT_PAGES: i64 = 8192;

/// Makes `dir` (0700) where it is missing and refuses one that others may enter.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| StoreError::Path { doing: "make", path: dir.to_owned(), source })?;
    check_dir(dir)
}

/// Refuses a directory that others may enter.
pub(super) fn check_dir(dir: &Path) -> Result<(), StoreError> {
    check_private(dir, 0o700)
}

/// A connection that may write, and makes the database (0600) where it is missing.
pub(super) fn read_write(dir: &Path) -> Result<Connection, StoreError> {
    let path = database(dir);
    // SQLite would make it with the umask's mode; its WAL and shared memory take this file's.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::Path { doing: "open", path: path.clone(), source })?;
    check_private(&path, 0o600)?;
    let conn = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(StoreError::sqlite("open the database"))?;
    configure_writer(&conn).map_err(StoreError::sqlite("configure the database"))?;
    let (journal, synchronous) = durability(&conn)?;
    // What is answered 202 rests on these two, so they are read back.
    if journal != "wal" || synchronous != FULL {
        return Err(StoreError::NotDurable { journal, synchronous });
    }
    Ok(conn)
}

/// A connection that can only read, beside a server or without one.
pub(super) fn read_only(dir: &Path) -> Result<Connection, StoreError> {
    let path = database(dir);
    if !path.exists() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return Err(StoreError::Path { doing: "open", path, source });
    }
    let conn = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(StoreError::sqlite("open the database to read"))?;
    conn.busy_timeout(READ_PATIENCE).map_err(StoreError::sqlite("configure the database"))?;
    Ok(conn)
}

/// `PRAGMA synchronous` as it reads back: the WAL is synced at every commit.
const FULL: i64 = 2;

fn configure_writer(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(WRITE_PATIENCE)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", FULL)?;
    conn.pragma_update(None, "cache_size", -WRITE_CACHE_KIB)?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    // A reader that stays long makes the WAL grow; it shrinks back to this.
    let wal_bytes = 2 * CHECKPOINT_PAGES * 4096;
    conn.pragma_update_and_check(None, "journal_size_limit", wal_bytes, |_| Ok(()))
}

/// The file's journal mode, and how writers of ours sync: set here as they set it, which writes
/// nothing.
pub(super) fn durability_of_writers(conn: &Connection) -> Result<(String, i64), StoreError> {
    conn.pragma_update(None, "synchronous", FULL)
        .map_err(StoreError::sqlite("configure the database"))?;
    durability(conn)
}

fn durability(conn: &Connection) -> Result<(String, i64), StoreError> {
    let journal = conn.pragma_query_value(None, "journal_mode", |row| row.get(0));
    let synchronous = conn.pragma_query_value(None, "synchronous", |row| row.get(0));
    journal
        .and_then(|journal| Ok((journal, synchronous?)))
        .map_err(StoreError::sqlite("read the database's settings"))
}

fn database(dir: &Path) -> PathBuf {
    dir.join(DATABASE)
}

fn check_private(path: &Path, wanted: u32) -> Result<(), StoreError> {
    let meta = fs::metadata(path).map_err(|source| StoreError::Path {
        doing: "look at",
        path: path.to_owned(),
        source,
    })?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(StoreError::TooOpen { path: path.to_owned(), mode, wanted })
    }
}
