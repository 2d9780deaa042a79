//! A small disk of the bus's own, which can be filled. Only root can have one.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use tempfile::TempDir;

/// A tmpfs. Dropping it unmounts it.
pub struct Disk {
    dir: TempDir,
}

/// More than a run writes, and little enough to be filled in a moment.
const SIZE: &str = "size=384m";

impl Disk {
    /// Mounts it.
    ///
    /// # Errors
    /// Where we are not root, or may not mount all the same.
    pub fn mount() -> anyhow::Result<Self> {
        ensure!(nix::unistd::Uid::effective().is_root(), "only root can mount a disk");
        let dir = TempDir::with_prefix("qoe-chaos-disk-")?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(dir.path());
        let output = mount.output()?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "can't mount a tmpfs: {}", why.trim());
        Ok(Self { dir })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// Where there is none even for a name.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::create(self.dir.path().join("ballast"))?;
        let chunk = vec![0; 1 << 20];
        while ballast.write_all(&chunk).is_ok() {}
        // The last bytes too.
        while ballast.write_all(&chunk[..4096]).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.dir.path().join("ballast"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}
