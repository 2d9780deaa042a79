//! `qoe up` from its start to its end, and the ways in which it refuses to start.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::signal::Signal;
use testbed::target::{Target, TargetConfig};

use crate::http::{get, post};
use crate::running::{Server, create_token, event, eventually, now_ms, qoe, report, windows};

#[test]
fn a_life_from_start_to_sigint() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut server = Server::start(&dir, |_| {});

    // A token that is made now works now.
    let token = create_token(&dir, "lab-1", "ingest");
    let now = now_ms();
    let events: Vec<_> = (0..30).map(|i| event("lab-1", now - i)).collect();
    let body = serde_json::to_string(&events).unwrap();
    let answer = post(server.addr, &token, &body).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(answer.body.contains(r#""accepted":30"#), "{}", answer.body);

    // The report needs no token and no server, and does not mind one.
    assert_eq!(windows(&dir).values().sum::<u64>(), 30);
    let read = create_token(&dir, "me", "read");
    let api = get(server.addr, "/api/v1/windows", &read).unwrap();
    assert_eq!(api.status, 200, "{}", api.body);
    let shown = qoe().args(["report", "--data-dir"]).arg(&dir).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("lab-1 · shop.example  30 measurements"), "{shown}");

    server.signal(Signal::SIGINT);
    assert!(server.wait().success());
    assert_eq!(windows(&dir).values().sum::<u64>(), 30);
}

#[test]
fn a_flood_of_duplicates_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let token = create_token(&dir, "*", "ingest");
    let mut server = Server::start(&dir, |_| {});
    let now = now_ms();
    let events: Vec<_> = (0..100).map(|i| event(&format!("c{}", i % 7), now - i * 900)).collect();
    let body = serde_json::to_string(&events).unwrap();
    assert_eq!(post(server.addr, &token, &body).unwrap().status, 202);
    let facts = |dir| {
        let mut report = report(dir);
        // Time goes on: what is only of this moment is left out.
        for row in report["windows"].as_array_mut().unwrap() {
            row.as_object_mut()
                .unwrap()
                .retain(|key, _| key != "provisional" && key != "diagnosis_label");
        }
        report["windows"].clone()
    };
    let before = facts(&dir);
    for _ in 0..50 {
        let answer = post(server.addr, &token, &body).unwrap();
        assert!(answer.body.contains(r#""duplicates":100"#), "{}", answer.body);
    }
    assert_eq!(facts(&dir), before);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert_eq!(facts(&dir), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_probe_measures_and_reports() {
    let target = Target::start(TargetConfig::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, target.ca_pem()).unwrap();
    let data = dir.path().join("data");
    let url = format!("https://target.test:{}/health", target.https_addr().unwrap().port());
    let dns = target.dns_addr().unwrap().to_string();
    let measured = tokio::task::spawn_blocking(move || {
        let mut server = Server::start(&data, |command| {
            command.args(["--target", &url, "--resolver", &dns, "--interval", "1s", "--ca-file"]);
            command.arg(&ca);
        });
        eventually("a measurement is counted", || windows(&data).values().next().map(|_| ()));
        server.signal(Signal::SIGTERM);
        assert!(server.wait().success());
        report(&data)
    });
    let report = measured.await.unwrap();
    let row = &report["windows"][0];
    assert_eq!(row["count_error"], 0, "{row}");
    assert!(row["tls_p50_ms"].is_number(), "{row}");
}

#[test]
fn it_says_in_one_line_why_it_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], words: &[&str]| {
        let output = qoe().arg("up").args(args).stdout(Stdio::null()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.lines().count() == 1, "{args:?}: {error}");
        for word in words {
            assert!(error.contains(word), "{args:?}: no {word} in {error}");
        }
    };
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    refused(&["--listen", &taken, "--data-dir", &at("a")], &[&taken, "--listen"]);

    std::fs::write(at("file"), "").unwrap();
    let below_a_file = at("file/data");
    refused(&["--listen", "127.0.0.1:0", "--data-dir", &below_a_file], &[&below_a_file]);

    let wide = at("wide");
    std::fs::create_dir(&wide).unwrap();
    std::fs::set_permissions(&wide, std::fs::Permissions::from_mode(0o755)).unwrap();
    refused(&["--listen", "127.0.0.1:0", "--data-dir", &wide], &["chmod 700", &wide]);

    refused(&["--listen", "0.0.0.0:0", "--data-dir", &at("b")], &["--insecure-http", "--tls-cert"]);
}

#[test]
fn an_empty_store_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        qoe().args(["report", "--data-dir"]).arg(dir.path().join("none")).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("qoe up --target"));
    assert!(!dir.path().join("none").exists(), "looking makes nothing");
}

#[test]
fn tables_go_down_and_up() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let migrate = |args: &[&str]| {
        let output = qoe().arg("migrate").args(args).arg("--data-dir").arg(&dir).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(migrate(&["up"]).1.contains("from version 0"));
    assert!(migrate(&["status"]).1.contains("up to date"));
    assert!(!migrate(&["down", "--to", "0"]).0, "not without --yes");
    assert!(migrate(&["down", "--to", "0", "--yes"]).0);
    assert!(migrate(&["status"]).1.contains("qoe migrate up"));
}
