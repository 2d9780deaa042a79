//! Who serves a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{StoreError, sqlite};

/// Takes a directory, made where it is missing, for as long as the file is held: two servers on
/// one would both work, and neither tell the whole of its load.
///
/// # Errors
/// [`StoreError::Served`] where another program has it, or where it can't be made or is open to
/// others.
pub fn lock(dir: &Path) -> Result<File, StoreError> {
    sqlite::make_dir(dir)?;
    let path = dir.join("server.lock");
    let failed = |doing| {
        let path = path.clone();
        move |source| StoreError::Path { doing, path, source }
    };
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(failed("open"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Served { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("lock")(error)),
    }
}
