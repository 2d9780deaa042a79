//! Starting, watching and stopping the processes that are driven: this program again, as what it
//! can be inside, or a role of qoe.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use server::ingest::auth::ANY_CLIENT;
use server::store::{Scope, Store};
use tempfile::TempDir;

use crate::bare;

/// A process that has said where it listens.
pub(crate) struct Child {
    process: std::process::Child,
    addr: SocketAddr,
    /// Whether it ends at a signal, and not with its input.
    role: bool,
}

impl Child {
    /// Starts this program again, as one of [`super::Inside`], and waits until it listens.
    pub(crate) fn start<'a>(args: impl IntoIterator<Item = &'a OsStr>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("failed to find this program")?;
        let mut command = Command::new(program);
        command.arg("inside").args(args);
        Self::run(command, false)
    }

    /// Starts a role of qoe, from beside this program, and waits until it listens.
    pub(crate) fn role<'a>(args: impl IntoIterator<Item = &'a OsStr>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("failed to find this program")?;
        let mut command = Command::new(program.with_file_name("qoe"));
        command.args(args);
        Self::run(command, true)
    }

    fn run(mut command: Command, role: bool) -> anyhow::Result<Self> {
        let named = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut process = started.with_context(|| format!("failed to start {named}"))?;
        let mut said = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut said).context("failed to read an address")?;
        }
        let told = said.trim();
        let Ok(addr) = told.strip_prefix("listening on http://").unwrap_or(told).parse() else {
            _ = process.kill();
            _ = process.wait();
            bail!("{named} said {told:?} instead of its address");
        };
        Ok(Self { process, addr, role })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let clock = nix::time::clock_getcpuclockid(Pid::from_raw(self.process.id().cast_signed()))
            .and_then(nix::time::clock_gettime);
        Ok(clock.context("failed to read processor time")?.into())
    }

    /// Memory it has in use now.
    pub(super) fn resident_mib(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let kib: Option<f64> = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.parse().ok());
        Ok(kib.with_context(|| format!("{path} has no VmRSS"))? / 1024.0)
    }

    /// Has it end in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.process.stdin.take());
        if self.role {
            let pid = Pid::from_raw(self.process.id().cast_signed());
            kill(pid, Signal::SIGTERM).context("failed to end a role")?;
        }
        let ended = self.process.wait().context("failed to wait for what was started")?;
        ensure!(ended.success(), "what was started ended with {ended}");
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nothing where it has ended.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// The server on a database of its own.
pub(crate) struct Server {
    pub(super) child: Child,
    /// May send for any client: that of a gateway, which no rate of a single client bounds.
    pub(super) token: String,
    dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("failed to make a directory")?;
        let data = dir.path().join("data");
        let token = Store::open(&data)?.tokens().create(ANY_CLIENT, Scope::Ingest, None)?;
        let child = Child::start(["server".as_ref(), "--dir".as_ref(), data.as_os_str()])?;
        Ok(Self { child, token, dir })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.child.addr()
    }

    /// What it lets in.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Has it end, and sees to it that what was answered was counted.
    pub(crate) fn stop_and_count(self, events: u64) -> anyhow::Result<()> {
        self.child.stop()?;
        bare::check_count(&self.dir.path().join("data"), events)
    }
}
