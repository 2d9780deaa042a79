//! `qoe backup` beside a server at work, `qoe restore` after it, and both when they are killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;

use crate::http::post;
use crate::running::{Server, create_token, event, now_ms, qoe, windows};

fn run(what: &str, file: &Path, dir: &Path, more: &[&str]) -> Output {
    let mut command = qoe();
    command.arg(what).arg(file).arg("--data-dir").arg(dir).args(more).output().unwrap()
}

fn good(what: &str, file: &Path, dir: &Path, more: &[&str]) {
    let output = run(what, file, dir, more);
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

fn refused(what: &str, file: &Path, dir: &Path, more: &[&str]) -> String {
    let output = run(what, file, dir, more);
    assert_eq!(output.status.code(), Some(1), "{what}");
    String::from_utf8(output.stderr).unwrap()
}

fn batch(count: usize) -> String {
    let now = now_ms();
    serde_json::to_string(&(0..count).map(|_| event("c", now)).collect::<Vec<_>>()).unwrap()
}

fn total(dir: &Path) -> u64 {
    windows(dir).values().sum()
}

#[test]
fn a_copy_is_whole_while_a_server_writes_and_counts_on_where_it_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    let file = dir.path().join("copy.db");
    let told = refused("backup", &file, &data, &[]);
    assert!(told.contains("no store in") && !data.exists(), "{told}");

    let token = create_token(&data, "*", "ingest");
    let mut server = Server::start(&data, |_| {});
    let send = |addr, body: &str| assert_eq!(post(addr, &token, body).unwrap().status, 202);
    let first: Vec<_> = (0..20).map(|_| batch(50)).collect();
    first.iter().for_each(|body| send(server.addr, body));
    let (over, addr) = (AtomicBool::new(false), server.addr);
    let rest = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = Vec::new();
            while !over.load(Ordering::Acquire) {
                sent.push(batch(50));
                send(addr, sent.last().unwrap());
            }
            sent
        });
        good("backup", &file, &data, &[]);
        over.store(true, Ordering::Release);
        sender.join().unwrap()
    });
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(refused("backup", &file, &data, &[]).contains("--force"));
    assert!(refused("restore", &file, &data, &["--force"]).contains("another qoe serves"));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());

    good("restore", &file, &other, &[]);
    let kept = total(&other);
    assert!(kept >= 1_000 && kept <= total(&data), "{kept}");
    // Whoever sends all again finds each event counted or new, as it was at that moment.
    let server = Server::start(&other, |_| {});
    first.iter().chain(&rest).for_each(|body| send(server.addr, body));
    assert_eq!(total(&other), total(&data));
    drop(server);

    assert!(refused("restore", &file, &other, &[]).contains("--force"));
    good("restore", &file, &other, &["--force"]);
    assert_eq!(total(&other), kept);
    good("backup", &file, &other, &["--force"]);
    let told = refused("backup", &other.join("qoe.db"), &other, &["--force"]);
    assert!(told.contains("belongs to the store itself"), "{told}");
    assert_eq!(total(&other), kept);
}

#[test]
fn killed_at_any_point_the_goal_is_the_old_one_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    let file = dir.path().join("copy.db");
    let token = create_token(&data, "*", "ingest");
    let server = Server::start(&data, |_| {});
    assert_eq!(post(server.addr, &token, &batch(30)).unwrap().status, 202);
    drop(server);
    let killed_at = |point: &str, what: &str, dir: &Path, more: &[&str]| {
        let mut command = qoe();
        command.arg(what).arg(&file).arg("--data-dir").arg(dir).args(more);
        let status = command.env("QOE_CRASH_AT", point).status().unwrap();
        assert_eq!(status.signal(), Some(6), "{point}: {status}");
    };
    killed_at("backup-drafted", "backup", &data, &[]);
    assert!(!file.exists());
    good("backup", &file, &data, &[]);

    killed_at("restore-drafted", "restore", &other, &[]);
    assert!(!other.join("qoe.db").exists());
    create_token(&other, "c", "ingest");
    for point in ["restore-drafted", "restore-folded"] {
        killed_at(point, "restore", &other, &["--force"]);
        assert_eq!(total(&other), 0, "{point}");
    }
    good("restore", &file, &other, &["--force"]);
    assert_eq!(total(&other), 30);
    let left: Vec<_> = fs::read_dir(&other).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("draft")), "{left:?}");
}
