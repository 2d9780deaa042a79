//! One process a spool.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a spool can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error(
        "the spool {} belongs to a probe that runs (process {pid}); stop it, or name another with \
         --spool", dir.display()
    )]
    InUse {
        /// Which spool.
        dir: PathBuf,
        /// Whose it is, as far as that can be read.
        pid: String,
    },
    /// The folder or a file in it can't be used.
    #[error("cannot use the spool {}: {source}", path.display())]
    Io {
        /// Which folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Held as long as the process lives, and not a moment longer.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, making it where it is missing.
    pub(super) fn take(dir: &Path) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError::Io { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(dir.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(SpoolError::InUse { dir: dir.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let name = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        let mut name = name;
        // Told for people; the lock holds without.
        let _ = name();
        Ok(Self { _file: file })
    }
}
