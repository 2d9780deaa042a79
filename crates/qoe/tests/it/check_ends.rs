//! `qoe check` that is ended by Ctrl-C, and what it asks the test target for beside the page.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testbed::target::{EchoFault, Listener, Target, TargetConfig};

use crate::running::{eventually, qoe};

/// A server that gives each connection this answer, or none, and counts them.
fn server(answer: Option<&'static str>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let Some(answer) = answer else {
                kept.push(stream);
                continue;
            };
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (addr, count)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Measures the first server again and again, then another; Ctrl-C once it has come `after` times.
/// The exit code, and what it said.
fn interrupted(answer: Option<&'static str>, after: usize) -> (Option<i32>, String) {
    let ((addr, count), (second, never)) = (server(answer), server(Some(OK)));
    let mut child = qoe()
        .args(["check", "-n", "100000", "--interval", "1ms", "--no-throughput"])
        .args([format!("http://{addr}/"), format!("http://{second}/")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it measures", || (count.load(Ordering::SeqCst) >= after).then_some(()));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    eventually("it ends", || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    assert_eq!(never.load(Ordering::SeqCst), 0, "it ends for all targets");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn ctrl_c_ends_it_and_what_was_measured_is_shown() {
    let (code, text) = interrupted(Some(OK), 4);
    assert_eq!(code, Some(0), "{text}");
    let count = text.lines().find_map(|line| line.split_once(" measurements, none failed"));
    let count: u32 = count.unwrap().0.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((3..100_000).contains(&count) && text.contains("median"), "{text}");

    let (code, text) = interrupted(Some(BUSY), 4);
    assert_eq!(code, Some(22), "that of the last failure: {text}");
    assert!(text.contains("http.error"), "{text}");

    assert_eq!(interrupted(None, 1), (Some(130), String::new()), "nothing was measured");
}

#[tokio::test(flavor = "multi_thread")]
async fn echoes_that_the_target_loses_are_loss() {
    let target = Target::start(TargetConfig::default()).await.unwrap();
    let fault = EchoFault { lose_every: 4, ..EchoFault::default() };
    target.faults().set(Listener::Echo, fault).unwrap();
    let (url, port) = (target.http_addr().unwrap(), target.echo_addr().unwrap().port());
    let mut command = qoe();
    command.args(["check", "--json", "--no-throughput", "--echo", "20", "--echo-port"]);
    command.arg(port.to_string()).arg(format!("http://{url}/health"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &report["targets"][0]["runs"][0];
    let echoes = &run["details"]["echoes"];
    assert_eq!((&echoes["method"], &echoes["received"]), (&"udp".into(), &15.into()), "{run}");
    assert_eq!(run["event"]["latency"]["loss_ratio"], 0.25, "{run}");
    assert!(run["event"]["latency"]["jitter_ms"].is_number(), "{run}");
}
