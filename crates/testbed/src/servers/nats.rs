//! A nats-server with JetStream.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::guard::Guarded;
use super::{answers, find, free_port, wait_until};

/// The oldest version that keeps what it acknowledged.
const OLDEST: (u32, u32, u32) = (2, 10, 23);

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether every message is on disk before it is acknowledged.
    pub sync_always: bool,
    /// The largest message it takes, bytes.
    pub max_payload: usize,
    /// Where it keeps its streams, instead of a folder of its own.
    pub store: Option<PathBuf>,
    /// How many bytes it thinks its disk has for streams. Left to itself it looks at the disk, and
    /// a test would pass on one machine and fail on another.
    pub max_file_store: u64,
    /// What else stands in its file, such as who may connect.
    pub more: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync_always: true,
            max_payload: 1 << 20,
            store: None,
            max_file_store: 64 << 30,
            more: String::new(),
        }
    }
}

/// A nats-server. Dropping it kills it and deletes its folder.
#[derive(Debug)]
pub struct Nats {
    program: PathBuf,
    dir: TempDir,
    port: u16,
    monitor: u16,
    process: Option<Guarded>,
}

impl Nats {
    /// Starts a server and returns when it answers.
    ///
    /// # Errors
    /// Where there is no program, or it does not come up.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        let program = find::program("nats-server", is_new_enough)?;
        let dir = TempDir::with_prefix("qoe-nats-")?;
        let [port, monitor] = [free_port()?, free_port()?];
        let store = options.store.clone().unwrap_or_else(|| dir.path().join("store"));
        let sync = if options.sync_always { "always" } else { "\"2m\"" };
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\nmax_payload: {}\n\
             jetstream {{ store_dir: \"{}\", sync_interval: {sync}, max_file_store: {} }}\n{}\n",
            options.max_payload,
            store.display(),
            options.max_file_store,
            options.more,
        );
        std::fs::write(dir.path().join("nats.conf"), config)?;
        let mut nats = Self { program, dir, port, monitor, process: None };
        nats.restart()?;
        Ok(nats)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it tells about itself, over HTTP.
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// Sends it a signal, such as SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port with what it kept; one that still runs is killed first.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let config = self.dir.path().join("nats.conf");
        let log = self.log();
        let config = config.to_str().context("a folder with a plain name")?;
        self.process = Some(Guarded::start(&self.program, &["-c", config], &log, None, None)?);
        wait_until("nats-server", &log, || self.greets())
    }

    /// What it said of itself.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("nats.log")
    }

    /// The server speaks first.
    fn greets(&self) -> bool {
        let Some(mut stream) = answers(self.port) else { return false };
        let mut word = [0; 5];
        let timeout = stream.set_read_timeout(Some(Duration::from_secs(1)));
        timeout.is_ok() && stream.read_exact(&mut word).is_ok() && &word == b"INFO "
    }
}

/// Whether a program is a nats-server that knows what is asked of it.
fn is_new_enough(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= OLDEST)
}

/// `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let (_, digits) = text.trim().rsplit_once('v')?;
    let mut parts = digits.split(['.', '-']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15, 1)));
        assert!(version("nats-server: v2.9.10") < Some(OLDEST));
        assert!(version("nats-server: v2.12.0-RC.1") > Some(OLDEST));
        assert_eq!(version("something else"), None);
    }
}
