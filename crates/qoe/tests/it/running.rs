//! Starts `qoe` with nothing of the surroundings in it, and talks to a server it runs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take before a test gives up on it: far beyond what it takes on a machine
/// that is busy. What is judged by the minute takes two of them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// The program, with an empty environment: no settings, no colour, no proxy.
pub(crate) fn qoe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qoe"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// A `qoe up` or a role of its own, on a free port. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts it on `data_dir` and returns when it has said where it listens.
    pub(crate) fn start(data_dir: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = qoe();
        command.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        configure(&mut command);
        Self::run(command)
    }

    /// Starts a command that says where it listens, and returns when it has.
    pub(crate) fn run(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| {
                let (_, rest) = line.split_once("http://")?;
                rest.split(|c: char| c.is_whitespace() || c == '/').next()?.parse().ok()
            })
            .expect("it says where it listens");
        // Read on, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer, and fails when [`PATIENCE`] is over.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Events counted by client and start of the minute.
pub(crate) type Windows = BTreeMap<(String, i64), u64>;

/// What `qoe report` says was counted.
pub(crate) fn windows(data_dir: &Path) -> Windows {
    let report = report(data_dir);
    let rows = report["windows"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            let client = row["client_id"].as_str().unwrap().to_owned();
            let start = row["window_start_ts"].as_i64().unwrap();
            ((client, start), row["count_total"].as_u64().unwrap())
        })
        .collect()
}

/// `qoe report --json` of the last day.
pub(crate) fn report(data_dir: &Path) -> Value {
    let output =
        qoe().args(["report", "--json", "--since", "1d", "--data-dir"]).arg(data_dir).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `qoe token create`.
pub(crate) fn create_token(data_dir: &Path, client_id: &str, scope: &str) -> String {
    let output = qoe()
        .args(["token", "create", "--client-id", client_id, "--scope", scope, "--data-dir"])
        .arg(data_dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An event of the contract, with an id of its own.
pub(crate) fn event(client_id: &str, ts_ms: i64) -> Value {
    serde_json::json!({
        "event_id": uuid::Uuid::now_v7(),
        "client_id": client_id,
        "ts_ms": ts_ms,
        "schema_version": "1.1",
        "target": "https://shop.example/",
        "network_context": {"interface_type": "ethernet", "vpn_enabled": false},
        "timings": {"dns_ms": 12.0, "tcp_ms": 20.0, "tls_ms": 40.0, "http_ttfb_ms": 80.0, "total_ms": 155.0},
    })
}

pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
