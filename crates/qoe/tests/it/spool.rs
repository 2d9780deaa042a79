//! The probe and its server are killed in turn, at moments nobody chose, while the probe measures.
//! Whatever its spool has taken is counted in the end, each event once.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::http::post;
use crate::running::{Server, create_token, eventually, qoe, report};

/// Times that each of the two is killed.
const ROUNDS: u64 = 10;
const TARGETS: usize = 12;

#[test]
fn what_a_spool_has_taken_is_counted_once_through_kills_of_probe_and_server() {
    let dir = tempfile::tempdir().unwrap();
    let (data, spool) = (dir.path().join("data"), dir.path().join("spool"));
    let token = create_token(&data, "p", "ingest");
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, &token).unwrap();
    let target = target();
    let mut made: BTreeMap<String, Value> = BTreeMap::new();
    let mut random = 0x9e37_79b9_u64;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut server = Server::start(&data, |_| {});
        let mut probe = probe(server.addr, target, &spool, &token_file);
        // Some more each time, with the server there, then gone.
        let known = made.len();
        let more = |n: u64| {
            let enough = known + usize::try_from(n).unwrap();
            eventually("it measures", || {
                let mut all = made.clone();
                all.extend(on_disk(&spool));
                (all.len() >= enough).then_some(())
            });
        };
        more(1 + (random >> 40) % 14);
        if round % 2 == 0 {
            server.signal(Signal::SIGKILL);
            server.wait();
            more(15 + (random >> 50) % 9);
        }
        probe.kill().unwrap();
        probe.wait().unwrap();
        // The file that was written to is still there, whatever of it was sent.
        made.extend(on_disk(&spool));
    }

    // What waits is sent once more, with what may have been sent already.
    let mut server = Server::start(&data, |_| {});
    let waits: Vec<Value> = on_disk(&spool).into_values().collect();
    assert!(!waits.is_empty());
    let body = serde_json::to_string(&waits).unwrap();
    let answer = post(server.addr, &token, &body).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    server.signal(Signal::SIGTERM);
    server.wait();

    let mut expected: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for event in made.values() {
        let minute = event["ts_ms"].as_i64().unwrap().div_euclid(60_000) * 60_000;
        let target = event["target"].as_str().unwrap().to_owned();
        *expected.entry((target, minute)).or_default() += 1;
    }
    let counted = report(&data)["windows"].as_array().unwrap().iter().map(counted).collect();
    assert_eq!(expected, counted);
    assert!(made.len() > 100, "{} events", made.len());
}

/// What a window holds, with what a machine that stood still had set aside.
fn counted(window: &Value) -> ((String, i64), u64) {
    let target = window["target"].as_str().unwrap().to_owned();
    let number = |name: &str| window[name].as_u64().unwrap();
    let start = window["window_start_ts"].as_i64().unwrap();
    ((target, start), number("count_total") + number("count_troubled"))
}

fn probe(ingest: SocketAddr, target: SocketAddr, spool: &Path, token: &Path) -> Child {
    let mut command = qoe();
    command.args(["probe", "--no-throughput", "--client-id", "p", "--interval", "1s"]);
    command.arg("--ingest").arg(format!("http://{ingest}"));
    command.arg("--spool").arg(spool).arg("--token-file").arg(token);
    for n in 0..TARGETS {
        command.arg("--target").arg(format!("http://{target}/{n}"));
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Events whose lines were written to their end, by id.
fn on_disk(spool: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // Before the probe has made it nothing is there.
    for entry in std::fs::read_dir(spool).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "spool") {
            continue;
        }
        // One that is settled may go meanwhile.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let event: Value = serde_json::from_str(&line[9..]).unwrap();
            found.insert(event["event_id"].as_str().unwrap().to_owned(), event);
        }
    }
    found
}

/// A server that answers everything alike. It ends with the test.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let mut head = [0; 2_048];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            });
        }
    });
    address
}
