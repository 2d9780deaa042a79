//! A network of the bench's own: nothing but a loopback, and a resolver's address in
//! `resolv.conf` that is the test target's.
//!
//! blackbox_exporter and curl look names up where the system says, at port 53, and nowhere else;
//! and a capture of a loopback that others use would hold their packets too. So the bench runs
//! itself once more, through `unshare`, in namespaces of its own; the machine sees nothing of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail};

/// Set for the process inside; `qoe` takes variables that begin with its name for settings.
const INSIDE: &str = "BENCH_IN_OWN_NETWORK";

/// Loopback up, two files over the system's (the second only where the system has one), then
/// the program.
const ENTER: &str = r#"
ip link set lo up
mount --bind "$1" /etc/resolv.conf
if [ -e /etc/nsswitch.conf ]; then mount --bind "$2" /etc/nsswitch.conf; fi
shift 2
exec "$@"
"#;

/// Whether this process is the one inside.
pub(crate) fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Why there can be no network of our own; `None`: there can.
pub(crate) fn missing() -> Option<String> {
    if let Some(program) = ["unshare", "ip", "mount"].into_iter().find(|p| on_path(p).is_none()) {
        return Some(format!("needs {program} (Debian: util-linux, iproute2, mount)"));
    }
    let tried = unshare().args(["true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match tried {
        Ok(status) if status.success() => None,
        _ => Some("needs root, or a kernel that lets users have namespaces".to_owned()),
    }
}

/// Runs this program inside, with these arguments; what it prints is printed.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    let file = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
        let path = scratch.path().join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    let status = unshare()
        .args(["sh", "-euc", ENTER, "sh"])
        .arg(file("resolv.conf", "nameserver 127.0.0.1\n")?)
        .arg(file("nsswitch.conf", "hosts: files dns\n")?)
        .arg(env::current_exe().context("finding this program")?)
        .args(args)
        .env(INSIDE, "1")
        .status()
        .context("running unshare")?;
    if !status.success() {
        bail!("in a network of its own: {status}");
    }
    Ok(())
}

/// Where a program is, as a shell would find it.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn unshare() -> Command {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--mount", "--"]);
    unshare
}

/// Whether this is root; a process's own directory belongs to whoever runs it.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(Path::new("/proc/self")).is_ok_and(|meta| meta.uid() == 0)
}
