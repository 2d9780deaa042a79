//! A server's process that ends with ours, however ours ends.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts the server, which says its process id before it becomes what it is (and says more), and waits for
/// the end of standard input: the pipe closes when we end, by SIGKILL too. Then the folder in `$0` goes, if there
/// is one.
const WATCH: &str = r#"
    sh -c 'echo $$; exec "$@"' sh "$@" & server=$!
    cat >/dev/null
    kill -KILL $server 2>/dev/null
    wait $server
    [ -z "$0" ] || rm -rf "$0"
"#;

/// A server's process and the shell that watches it. Dropping it kills both.
#[derive(Debug)]
pub struct Guarded {
    watch: Child,
    server: Pid,
}

/// Who the server runs as; `None` for who we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Guarded {
    /// Starts a program as who we are; what it prints to standard error goes to `log`, made anew.
    ///
    /// # Errors
    /// Where the log can't be made or no process started.
    pub fn run(program: &Path, args: &[&str], log: &Path) -> anyhow::Result<Self> {
        Self::start(program, args, log, None, None)
    }

    /// Starts a program as somebody. `remove` is deleted at its end.
    pub(super) fn start(
        program: &Path,
        args: &[&str],
        log: &Path,
        run_as: Option<RunAs>,
        remove: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH]).arg(remove.unwrap_or(Path::new(""))).arg(program).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(log)?);
        // A signal to our terminal is for us to act on.
        command.process_group(0);
        if let Some(RunAs { uid, gid }) = run_as {
            command.uid(uid).gid(gid).current_dir("/");
        }
        let mut watch = command.spawn().context("starting sh")?;
        let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
        let server = lines.next().context("sh ended")??.parse().context("reading a process id")?;
        // Read on, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { watch, server: Pid::from_raw(server) })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.server.as_raw()
    }

    /// Sends a signal to the server; one that is gone already needs none.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(self.server, signal);
    }

    /// Whether the server is gone. The shell has waited for it when it is.
    pub fn is_gone(&self) -> bool {
        kill(self.server, None).is_err() || is_zombie(self.server)
    }
}

/// Dead, but its shell has not been told to look.
fn is_zombie(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // One that was stopped must go on to be killed; the shell does that when its input ends.
        self.signal(Signal::SIGCONT);
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}
