//! The files of a spool: what they are called, and that they are ours alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::wire::WireGap;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::line;
use crate::agent::queue::Line;

const SEGMENT: &str = "spool";
const SETTLED: &str = "settled";
const LOST: &str = "lost";

/// What was lost and is not told yet. Written before what is lost goes, so that it goes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptGap {
    pub(super) gap: WireGap,
    /// The number of the event that carries it: where that one is there, it is told.
    pub(super) carrier: u64,
    /// Everything before this number is settled, or part of the gap.
    pub(super) settled: u64,
}

/// A segment's file.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.{SEGMENT}"))
}

/// The segments of a folder by their first number, ascending. What else lies there is left alone.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(number), Some(SEGMENT)) = (number, path.extension().and_then(|e| e.to_str())) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Opens a file of ours: none that a link leads to, and nothing that would block.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

/// Makes a file anew.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_APPEND).bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    // Its name must outlive a loss of power as its content does.
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
    Ok(file)
}

/// Removes a file; one that can't be removed is only a nuisance.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

/// Up to which number everything is settled, where that can be read.
pub(super) fn settled(dir: &Path) -> Option<u64> {
    let line = line::open(&fs::read(dir.join(SETTLED)).ok()?)?;
    line.0.parse().ok()
}

/// Notes it: whole or not at all, and not worth a sync, since a loss only has events sent again.
pub(super) fn keep_settled(dir: &Path, number: u64) -> io::Result<()> {
    keep(dir, SETTLED, number.to_string(), false)
}

/// What was lost and perhaps not told, where that can be read.
pub(super) fn lost(dir: &Path) -> Option<KeptGap> {
    let line = line::open(&fs::read(dir.join(LOST)).ok()?)?;
    serde_json::from_str(&line.0).ok()
}

/// Notes it, and has it synced: what it tells of is gone a moment later.
pub(super) fn keep_lost(dir: &Path, kept: &KeptGap) -> io::Result<()> {
    keep(dir, LOST, serde_json::to_string(kept)?, true)
}

/// It is told.
pub(super) fn forget_lost(dir: &Path) {
    remove(&dir.join(LOST));
}

fn keep(dir: &Path, name: &str, text: String, synced: bool) -> io::Result<()> {
    let draft = dir.join(format!("{name}.new"));
    let flags = OFlag::O_NOFOLLOW.bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
    let mut file = options.open(&draft)?;
    file.write_all(line::sealed(&Line(text.into())).as_bytes())?;
    if synced {
        file.sync_data()?;
    }
    fs::rename(&draft, dir.join(name))?;
    if synced { File::open(dir)?.sync_all() } else { Ok(()) }
}
