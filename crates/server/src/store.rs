//! What is kept, in SQLite: windows, the ids of counted events, diagnoses, clients, tokens.
//! Nothing outside this module knows which database it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod tokens;

pub use tokens::{Scope, TokenRecord, Tokens};

/// An open data directory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    dir: Arc<PathBuf>,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Others may read the directory or its files.
    #[error("{} can be read by others (mode {mode:o}); run: chmod 700 {}", path.display(), path.display())]
    TooOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl Store {
    /// Opens the store in `dir`, making the directory (0700) and the database (0600) where they
    /// are missing and bringing the schema up to date.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { dir: Arc::new(dir.to_owned()) })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tokens kept here.
    pub fn tokens(&self) -> Tokens {
        Tokens::of(self.clone())
    }
}
