//! A probe in trouble of its own, through the real programs: what it measured meanwhile is kept and
//! set aside, and no outage of a target is made of it. Beside it stands what is in trouble itself, whose
//! outage shows that the server has judged by then.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::running::{Server, create_token, eventually, qoe, report};

/// More events than a verdict takes.
const ENOUGH: u64 = 6;

/// A server, and what its probes need.
struct Site {
    dir: tempfile::TempDir,
    server: Server,
}

/// A probe that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("data"), |_| {});
        Self { dir, server }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn spool(&self, client: &str) -> PathBuf {
        self.dir.path().join(client)
    }

    /// A probe's flags, for a client of this name.
    fn probe(&self, command: &mut Command, client: &str, target: &str) {
        let token = self.dir.path().join(format!("{client}.token"));
        if !token.exists() {
            std::fs::write(&token, create_token(&self.data(), client, "ingest")).unwrap();
        }
        command.args(["probe", "--no-throughput", "--interval", "1s", "--timeout", "300ms"]);
        command.args(["--client-id", client, "--target", target]);
        command.arg("--ingest").arg(format!("http://{}", self.server.addr));
        command.arg("--spool").arg(self.spool(client)).arg("--token-file").arg(token);
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }

    /// The outage of a target as a client sees it, if there is one.
    fn outage(&self, report: &Value, client: &str, target: &str) -> Option<String> {
        let incident = report["incidents"].as_array().unwrap().iter().find(|incident| {
            incident["label"].as_str().unwrap().starts_with("outage")
                && incident["cells"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|cell| cell["client_id"] == client && cell["target"] == target)
        });
        incident.map(|incident| incident["label"].as_str().unwrap().to_owned())
    }
}

/// How many events of a client and a target are counted, and how many set aside.
fn counts(report: &Value, client: &str, target: &str) -> (u64, u64) {
    let windows = report["windows"].as_array().unwrap().iter();
    let own = windows.filter(|w| w["client_id"] == client && w["target"] == target);
    let number = |window: &Value, name: &str| window[name].as_u64().unwrap();
    own.fold((0, 0), |(total, troubled), window| {
        (total + number(window, "count_total"), troubled + number(window, "count_troubled"))
    })
}

/// A name server that says nothing. It ends with the test.
fn silent_name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while socket.recv_from(&mut query).is_ok() {}
    });
    address
}

#[test]
fn a_silent_name_server_is_out_and_spoils_no_count_of_the_target() {
    let site = Site::new();
    let target = "http://name.test/";
    let mut command = qoe();
    site.probe(&mut command, "p", target);
    command.arg("--resolver").arg(silent_name_server().to_string());
    let _probe = Running(command.spawn().unwrap());
    let told = eventually("the outage is told", || {
        let told = report(&site.data());
        site.outage(&told, "p", target).map(|label| (label, told))
    });
    assert_eq!(told.0, "outage:dns", "{}", told.1);
    let (total, troubled) = counts(&told.1, "p", target);
    assert!(total == 0 && troubled >= ENOUGH, "each of them is set aside: {}", told.1);
}

#[test]
fn a_machine_without_a_route_makes_no_outage_of_what_it_hands_in_later() {
    let may = Command::new("unshare").args(["-n", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no namespaces here");
        return;
    }
    let site = Site::new();
    let away = "http://192.0.2.99/";
    {
        // Nothing is up there, not even loopback: the server is as far away as the target.
        let mut command = Command::new("unshare");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.arg("-n").arg(env!("CARGO_BIN_EXE_qoe"));
        site.probe(&mut command, "p", away);
        let _probe = Running(command.spawn().unwrap());
        eventually("it measures", || (lines(&site.spool("p")) >= ENOUGH).then_some(()));
    }
    // The same probe, back where there is a network, with a target that takes no connections.
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}/");
    let mut command = qoe();
    site.probe(&mut command, "p", &closed);
    let _probe = Running(command.spawn().unwrap());
    let told = eventually("what waited is handed in, and the other is judged", || {
        let told = report(&site.data());
        let (total, troubled) = counts(&told, "p", away);
        let enough = total + troubled >= ENOUGH;
        (site.outage(&told, "p", &closed).is_some() && enough).then_some(told)
    });
    assert_eq!(site.outage(&told, "p", away), None, "{told}");
    assert_eq!(counts(&told, "p", away).0, 0, "each of them is set aside");
}

/// Whole lines that wait in a spool.
fn lines(spool: &Path) -> u64 {
    let files = std::fs::read_dir(spool).into_iter().flatten();
    let paths = files.map(|entry| entry.unwrap().path());
    let spools = paths.filter(|path| path.extension().is_some_and(|ending| ending == "spool"));
    let whole = |path| std::fs::read_to_string(path).unwrap_or_default().matches('\n').count();
    spools.map(whole).sum::<usize>() as u64
}
