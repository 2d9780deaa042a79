//! Copies of the embedded store, made while a server runs on it, and put in its place again.

use std::io;
use std::path::{Path, PathBuf};

use super::sqlite::backup as sqlite;
use super::{StoreError, schema};

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the copy.
    pub bytes: u64,
    /// The version of its tables.
    pub schema: usize,
}

/// Why a store was not copied, or not put in its place. What was there before still is.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing to copy.
    #[error("there is no store in {}; name its directory with --data-dir DIR", .0.display())]
    NoStore(PathBuf),
    /// What would be written over is there.
    #[error("{} is there already; name another file, or write over it with --force", .0.display())]
    Exists(PathBuf),
    /// A store would be written over.
    #[error(
        "there is a store in {}, and all that it holds would be replaced: restore into another \
         --data-dir, or say --force", .0.display()
    )]
    StoreExists(PathBuf),
    /// A copy into the store's own files would destroy it.
    #[error("{} belongs to the store itself; name a file elsewhere", .0.display())]
    Itself(PathBuf),
    /// Not of ours.
    #[error("{} is no backup of a qoe store: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, or lacks.
        why: String,
    },
    /// Half of one, or spoilt since.
    #[error("{} is damaged: {why}; take another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        why: String,
    },
    /// Made by a newer program.
    #[error(
        "{} has schema version {found}, and this program knows {} at most; use the qoe that made it",
        path.display(), schema::LATEST
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
    },
    /// Somebody reads or writes the store that is to be replaced.
    #[error("another program has the store in {} open; end it and try again", .0.display())]
    InUse(PathBuf),
    /// A file can't be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the store in `dir`, as it is at one moment, into `file` (0600, on the disk when this
/// returns, and there as a whole or not at all). A server may run on it. Blocks.
///
/// # Errors
/// Where there is no store, or `file` is there and `force` is not said, or can't be written.
pub fn backup(dir: &Path, file: &Path, force: bool) -> Result<Copied, BackupError> {
    sqlite::backup(dir, file, force)
}

/// Puts the copy in `file` where the store in `dir` is, or none is yet. It is looked through
/// before, and the store is the old or the new one as a whole whenever this ends. Blocks.
///
/// # Errors
/// Where a server runs on `dir`, a store is there and `force` is not said, or the file is no whole
/// backup that this program knows.
pub fn restore(file: &Path, dir: &Path, force: bool) -> Result<Copied, BackupError> {
    sqlite::restore(file, dir, force)
}

impl BackupError {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}
