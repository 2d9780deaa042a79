//! The database as one file, taken out and put in.
//!
//! Both ways write a draft beside the goal, look through it, have it synced and rename it: a crash
//! leaves the goal as it was. What is read is never trusted: it may be any file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::{NamedTempFile, TempPath};

use super::{DATABASE, connection, schema};
use crate::store::StoreError;
use crate::store::backup::{BackupError, Copied};
use crate::store::lock::lock;

/// What a draft is called until it is whole.
const DRAFT: &str = ".qoe-draft-";

/// Tables that every version has.
const TABLES: [&str; 4] = ["agg_1m", "clients", "events_seen", "tokens"];

/// How a file of SQLite begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

pub(crate) fn backup(dir: &Path, file: &Path, force: bool) -> Result<Copied, BackupError> {
    let database = dir.join(DATABASE);
    if !database.exists() {
        return Err(BackupError::NoStore(dir.to_owned()));
    }
    if is_of_store(file, dir) {
        return Err(BackupError::Itself(file.to_owned()));
    }
    if !force && file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let from = connection::read_only(dir)?;
    let folder = folder_of(file);
    let draft = draft_in(&folder)?.into_temp_path();
    copy(&from, &draft)?;
    let copied = look_through(&draft, &database)?;
    crate::crash::point("backup-drafted");
    put(draft, file, force)?;
    Ok(copied)
}

pub(crate) fn restore(file: &Path, dir: &Path, force: bool) -> Result<Copied, BackupError> {
    // Opened before anything is made, so that a wrong name leaves nothing behind.
    let mut from = open_backup(file)?;
    if is_of_store(file, dir) {
        return Err(BackupError::Itself(file.to_owned()));
    }
    // A server takes this before it opens the database.
    let _alone = lock(dir)?;
    let database = dir.join(DATABASE);
    if !force && database.exists() {
        return Err(BackupError::StoreExists(dir.to_owned()));
    }
    drop_old_drafts(dir);
    let mut draft = draft_in(dir)?;
    let path = draft.path().to_owned();
    io::copy(&mut from, draft.as_file_mut()).map_err(BackupError::file("copy", file))?;
    let draft = draft.into_temp_path();
    let copied = look_through(&path, file)?;
    crate::crash::point("restore-drafted");
    fold_up(dir)?;
    crate::crash::point("restore-folded");
    put(draft, &database, force)?;
    Ok(copied)
}

/// Copies all pages in one step: it sees one moment, and a server goes on writing meanwhile.
fn copy(from: &Connection, to: &Path) -> Result<(), StoreError> {
    let failed = StoreError::sqlite;
    let doing = "copy the database";
    let mut conn = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(failed(doing))?;
    let copying = Backup::new(from, &mut conn).map_err(failed(doing))?;
    while copying.step(-1).map_err(failed(doing))? != StepResult::Done {
        // Somebody recovers or migrates it.
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Sees whether a draft, of which `origin` is told, is a whole store of a version we know, and
/// makes it one file that needs no other.
fn look_through(draft: &Path, origin: &Path) -> Result<Copied, BackupError> {
    let foreign = |why: &str| BackupError::Foreign { path: origin.to_owned(), why: why.to_owned() };
    let damaged = |why: String| BackupError::Damaged { path: origin.to_owned(), why };
    let unreadable = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => foreign("it is no SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => damaged("it is not whole".to_owned()),
        _ => StoreError::sqlite("read the copy")(error).into(),
    };
    let conn = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let conn = conn.map_err(unreadable)?;
    let one_file = conn.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()));
    one_file.map_err(unreadable)?;
    let version: i64 =
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unreadable)?;
    let ours = |table: &str| conn.table_exists(None, table).map_err(unreadable);
    for table in TABLES {
        if !ours(table)? {
            return Err(foreign(&format!("it has no table {table}")));
        }
    }
    let version = match usize::try_from(version) {
        Ok(version @ 1..=schema::LATEST) => version,
        Ok(found) if found > schema::LATEST => {
            return Err(BackupError::Newer { path: origin.to_owned(), found });
        }
        _ => return Err(foreign("its tables have no version")),
    };
    let mut checked = conn.prepare("PRAGMA integrity_check(1)").map_err(unreadable)?;
    let verdict: String = checked.query_row([], |row| row.get(0)).map_err(unreadable)?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    drop(checked);
    // What was changed here is written when it is closed.
    conn.close().map_err(|(_, error)| unreadable(error))?;
    let file = File::open(draft).map_err(BackupError::file("read", draft))?;
    file.sync_all().map_err(BackupError::file("sync", draft))?;
    let bytes = file.metadata().map_err(BackupError::file("look at", draft))?.len();
    Ok(Copied { bytes, schema: version })
}

/// Has the store that is to be replaced end in one file. A log left beside it would be taken for
/// the new one's.
fn fold_up(dir: &Path) -> Result<(), BackupError> {
    let log = dir.join(format!("{DATABASE}-wal"));
    if !dir.join(DATABASE).exists() {
        return remove(&log);
    }
    let fold = || -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let conn = Connection::open_with_flags(dir.join(DATABASE), flags)?;
        conn.busy_timeout(Duration::from_secs(1))?;
        // Works for the only one that has it open, and removes the log.
        conn.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
    };
    match fold() {
        Ok(()) => remove(&log),
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            Err(BackupError::InUse(dir.to_owned()))
        }
        // It is damaged, which may be why it is replaced; nothing of it is wanted.
        Err(error) => {
            tracing::warn!(%error, "the store that is replaced can't be read");
            remove(&log)
        }
    }
}

/// Renames a draft to its goal, and has that on the disk.
fn put(draft: TempPath, goal: &Path, force: bool) -> Result<(), BackupError> {
    let put = if force { draft.persist(goal) } else { draft.persist_noclobber(goal) };
    put.map_err(|failed| match failed.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(goal.to_owned()),
        _ => BackupError::file("write", goal)(failed.error),
    })?;
    let folder = folder_of(goal);
    let synced = File::open(&folder).and_then(|folder| folder.sync_all());
    synced.map_err(BackupError::file("sync", &folder))
}

/// Opens what says that it is a database and stands alone.
fn open_backup(path: &Path) -> Result<File, BackupError> {
    let foreign = |why: String| BackupError::Foreign { path: path.to_owned(), why };
    let meta = fs::metadata(path).map_err(BackupError::file("read", path))?;
    if !meta.is_file() {
        return Err(foreign("it is no file".to_owned()));
    }
    let mut magic = [0; MAGIC.len()];
    let mut file = File::open(path).map_err(BackupError::file("read", path))?;
    if file.read_exact(&mut magic).is_err() || &magic != MAGIC {
        return Err(foreign("it is no SQLite database".to_owned()));
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    if fs::metadata(&log).is_ok_and(|meta| meta.len() > 0) {
        return Err(foreign(format!(
            "part of it stands in {}, as of a database at work; make one with qoe backup",
            log.display()
        )));
    }
    io::Seek::rewind(&mut file).map_err(BackupError::file("read", path))?;
    Ok(file)
}

/// An empty file of mode 0600, which goes when it is dropped.
fn draft_in(folder: &Path) -> Result<NamedTempFile, BackupError> {
    let draft = tempfile::Builder::new().prefix(DRAFT).tempfile_in(folder);
    draft.map_err(BackupError::file("write into", folder))
}

/// What killed programs left in a directory that is ours alone now.
fn drop_old_drafts(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(DRAFT) {
            // They are in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether a path is the store's database, or one of the files beside it that SQLite reads.
fn is_of_store(path: &Path, dir: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ours = ["", "-wal", "-shm", "-journal"];
    let named_so = name.strip_prefix(DATABASE).is_some_and(|rest| ours.contains(&rest));
    let same_folder = match (fs::canonicalize(folder_of(path)), fs::canonicalize(dir)) {
        (Ok(folder), Ok(dir)) => folder == dir,
        _ => false,
    };
    let same_file = match (fs::canonicalize(path), fs::canonicalize(dir.join(DATABASE))) {
        (Ok(path), Ok(database)) => path == database,
        _ => false,
    };
    same_file || same_folder && named_so
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
