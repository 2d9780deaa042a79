//! Files that a person wrote: read within a bound, and what is wrong with one told with its line.

use std::fs;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read at all.
    #[error("cannot read {what} from {}: {why}", path.display())]
    Read {
        /// Of what it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says, or that it is too long.
        why: io::Error,
    },
    /// What it holds can't be used.
    #[error("{}:{line}: {what}", path.display())]
    Holds {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and the way out.
        what: String,
    },
}

/// What is wrong, and where in the text.
pub(crate) type Wrong = (Range<usize>, String);

/// Reads a TOML file of no more bytes than that, as `parse` has it.
pub(crate) fn load<F: DeserializeOwned, T>(
    what: &'static str,
    path: &Path,
    most: u64,
    parse: impl FnOnce(F) -> Result<T, Wrong>,
) -> Result<T, FileError> {
    let path = path.to_owned();
    let text = match read_bounded(&path, most) {
        Ok(text) => text,
        Err(why) => return Err(FileError::Read { what, path, why }),
    };
    let parsed = read(&text).and_then(parse);
    parsed.map_err(|(place, what)| FileError::Holds { line: line(&text, place.start), path, what })
}

/// The text as TOML.
pub(crate) fn read<F: DeserializeOwned>(text: &str) -> Result<F, Wrong> {
    toml::from_str(text).map_err(|error| (error.span().unwrap_or(0..0), told(error.message())))
}

/// The line of a place, from 1.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A whole text file, where it has no more bytes than that.
pub(crate) fn read_bounded(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One byte more than it may have tells that it has more.
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no UTF-8 text"))
}

/// The parser's words in ours. They quote the file, which may hold anything: what is told is one line
/// of some length.
fn told(message: &str) -> String {
    const MOST: usize = 500;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let message: String = message.chars().take(MOST).map(printable).collect();
    match message.strip_prefix("unknown field ") {
        Some(unknown) => format!("unknown key {unknown}"),
        None => message,
    }
}
