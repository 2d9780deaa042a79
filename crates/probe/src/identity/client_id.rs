//! The client id: the machine's name and 8 random digits, made once and kept in a file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};

const FILE: &str = "client_id";

/// Reads the id kept in a directory, or makes one.
pub(super) fn read_or_make(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => return checked(&text, &path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
    let digits = getrandom::u32().context("no random numbers from the system")?;
    let id = format!("{}-{digits:08x}", host_slug(&host_name()));
    keep(dir, &path, &id, digits).with_context(|| format!("cannot write {}", path.display()))?;
    // Whoever came first decides, this process or another.
    let kept =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    checked(&kept, &path)
}

/// Writes the id whole under a name of its own, then gives it its place, which succeeds for one
/// process alone: nobody ever reads half an id or two different ones.
fn keep(dir: &Path, path: &Path, id: &str, unique: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = dir.join(format!(".{FILE}.{}.{unique:08x}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    let _ = fs::remove_file(&draft);
    written?;
    File::open(dir)?.sync_all()
}

fn checked(text: &str, path: &Path) -> anyhow::Result<String> {
    let id = text.trim();
    ensure!(
        (1..=255).contains(&id.chars().count()) && !id.chars().any(char::is_control),
        "{} does not hold a client id; remove it to have a new one made",
        path.display()
    );
    Ok(id.to_owned())
}

fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// The first label of a host name in lower-case letters, digits and dashes.
fn host_slug(host: &str) -> String {
    let label = host.trim().split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = label.chars().take(40).map(plain).collect();
    match slug.trim_matches('-') {
        "" => "probe".to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_id_is_made_once_and_kept_private() {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("new/qoe");
        let id = read_or_make(&dir).unwrap();
        assert_eq!(read_or_make(&dir).unwrap(), id);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join(FILE)), 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn first_starts_at_the_same_time_agree() {
        let state = tempfile::tempdir().unwrap();
        let ids: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| read_or_make(state.path()).unwrap())).collect();
            starts.into_iter().map(|s| s.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn what_is_not_an_id_is_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        fs::write(&path, "\n").unwrap();
        assert!(read_or_make(state.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "\n");
    }

    #[test]
    fn host_names_become_slugs() {
        assert_eq!(host_slug("Web_1.example.org\n"), "web-1");
        assert_eq!(host_slug("--"), "probe");
        assert_eq!(host_slug("büro"), "b-ro");
    }
}
