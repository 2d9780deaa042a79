//! `qoe-probe` killed again and again while its ingest is away: what it has measured arrives.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::ship::{Answer, PROBLEM, ids, ingest};
use crate::support::{LONG, read_head, serve};

/// Times the probe is killed.
const KILLS: usize = 5;
const TARGETS: usize = 20;

fn probe(ingest: SocketAddr, target: SocketAddr, spool: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qoe-probe"));
    command.arg("run");
    command.env_clear().args(["--interval", "1s", "--no-throughput", "--client-id", "p"]);
    command.args(["--ingest", &format!("http://{ingest}")]).arg("--spool").arg(spool);
    for n in 0..TARGETS {
        command.args(["--target", &format!("http://{target}/{n}")]);
    }
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

async fn target() -> SocketAddr {
    serve(|mut stream| async move {
        read_head(&mut stream).await;
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let _ = stream.write_all(page.as_bytes()).await;
    })
    .await
}

/// Ids of events whose lines were written to their end.
fn on_disk(spool: &Path) -> HashSet<String> {
    let id = |event: serde_json::Value| event["event_id"].as_str().unwrap().to_owned();
    events(spool).into_iter().map(id).collect()
}

fn events(spool: &Path) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    // Before the probe has made it nothing is there.
    for entry in std::fs::read_dir(spool).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "spool") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            found.push(serde_json::from_str(&line[9..]).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn what_was_measured_before_a_kill_arrives_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let target = target().await;
    let busy: Answer = (503, vec![PROBLEM, ("retry-after", "0")], r#"{"title":"busy"}"#);
    let (away, _) = ingest(vec![busy; 10_000]).await;
    let mut owed = HashSet::new();
    for n in 0..KILLS {
        let mut probe = probe(away, target, &spool);
        // Some more each time, so that the kills do not all meet the same moment.
        let more = owed.len() + TARGETS + n;
        let measured = async {
            while on_disk(&spool).len() < more {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, measured).await.expect("it measures");
        probe.kill().await.unwrap();
        let kept = on_disk(&spool);
        assert!(owed.is_subset(&kept), "what waited still waits");
        owed = kept;
    }

    // Killed as soon as something arrives: an answer that was not seen has it sent again.
    let (address, received) = ingest(vec![]).await;
    let arrived =
        || received.batches().iter().flat_map(|batch| ids(batch)).collect::<HashSet<String>>();
    let mut cut = probe(address, target, &spool);
    while arrived().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cut.kill().await.unwrap();
    owed.extend(on_disk(&spool));

    let before = received.batches().len();
    let mut last = probe(address, target, &spool);
    let all = async {
        while !owed.is_subset(&arrived()) || received.batches().len() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, all).await.expect("all of it arrives");
    kill(Pid::from_raw(i32::try_from(last.id().unwrap()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(tokio::time::timeout(LONG, last.wait()).await.unwrap().unwrap().success());
    assert_eq!(on_disk(&spool), HashSet::new(), "what is settled is removed at the end");
}

#[tokio::test]
async fn the_second_on_a_spool_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (address, received) = ingest(vec![]).await;
    let target = target().await;
    let first = probe(address, target, dir.path());
    while received.batches().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = probe(address, target, dir.path()).wait_with_output().await.unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(75), "{told}");
    assert!(told.contains(&format!("process {}", first.id().unwrap())), "{told}");
}

/// In a network namespace of its own nothing is up, and no way leads out.
#[tokio::test]
async fn a_machine_without_a_network_blames_itself() {
    let may = Command::new("unshare").args(["-n", "true"]).stderr(Stdio::null()).status().await;
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no namespaces here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.arg("-n").arg(env!("CARGO_BIN_EXE_qoe-probe")).arg("run");
    command.args(["--interval", "1s"]);
    command.args(["--client-id", "p", "--ingest", "http://127.0.0.1:9"]);
    command.args(["--target", "http://192.0.2.99/"]).arg("--spool").arg(dir.path());
    let _probe = command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let measured = async {
        while on_disk(dir.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, measured).await.expect("it measures");
    let event = events(dir.path()).remove(0);
    assert_eq!(event["error_stage"], "tcp", "{event}");
    let troubles = event["probe_trouble"].as_array().unwrap();
    assert!(troubles.contains(&"uplink".into()), "{event}");
}
