//! `qoe check` of targets that are well, and of targets that are broken in every way: one line
//! that says where and why, and curl's exit code.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use testbed::target::{
    Accept, Certificate, DnsAnswer, DnsFault, FaultSet, HttpFault, Listener, Target, TargetConfig,
    TcpFault, TlsFault,
};

use crate::running::qoe;

/// A target, and what `qoe check` needs to reach it.
struct Bench {
    target: Target,
    dir: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let target = Target::start(TargetConfig::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), target.ca_pem()).unwrap();
        Self { target, dir }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn https(&self, path: &str) -> String {
        format!("https://target.test:{}{path}", self.target.https_addr().unwrap().port())
    }

    fn http(&self, path: &str) -> String {
        format!("http://target.test:{}{path}", self.target.http_addr().unwrap().port())
    }

    /// Runs `qoe check` on a thread of its own, so that the target goes on serving.
    async fn check(&self, args: &[&str]) -> Output {
        let mut command = qoe();
        command.arg("check").args(args).arg("--ca-file").arg(self.ca());
        command.args(["--resolver", &self.target.dns_addr().unwrap().to_string()]);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_well() {
    let bench = Bench::start().await;
    let output = bench.check(&[&bench.https("/health")]).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{output:?}");
    for part in ["127.0.0.1 · IPv4 · HTTP/2 · TLS 1.3", "DNS by", "throughput", "OK. Slowest:"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    for stage in ["DNS", "TCP", "TLS", "wait", "body"] {
        assert!(
            text.lines().any(|line| line.trim_start().starts_with(stage)),
            "{stage} in\n{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_holds_an_event_that_ingest_would_take() {
    let bench = Bench::start().await;
    let output =
        bench.check(&["--json", "-n2", "--interval", "1ms", &bench.https("/health")]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "qoe.check/1");
    let target = &report["targets"][0];
    assert_eq!((&target["count"], &target["failed"]), (&2.into(), &0.into()));
    assert!(target["stages"]["total"]["p95_ms"].is_number(), "{target}");
    let event = &target["runs"][0]["event"];
    let now = event["ts_ms"].as_i64().unwrap();
    let decoded = model::decode::decode(
        event.to_string().as_bytes(),
        model::decode::Media::Json,
        now,
        &model::decode::Limits::default(),
    )
    .unwrap();
    assert_eq!((decoded.events.len(), decoded.rejected.len()), (1, 0), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_measurements_are_a_table() {
    let bench = Bench::start().await;
    let url = bench.https("/health");
    let output = bench.check(&["-n5", "--interval", "1ms", "--no-throughput", &url]).await;
    let text = text(&output);
    assert!(text.contains("5 measurements, none failed"), "{text}");
    let heading = text.lines().find(|line| line.contains("median")).unwrap();
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>(),
        ["stage", "n", "min", "median", "p95", "max"]
    );
    assert!(!text.contains('\u{1b}') && !text.contains("throughput"), "{text}");
}

/// What is broken, which URL is asked, the exit codes there may be, and a word of the sentence.
type Row = (&'static str, fn(&Bench) -> String, Listener, FaultSet, &'static [i32], &'static str);

fn rows() -> Vec<Row> {
    let tcp = |accept| FaultSet::from(TcpFault { accept });
    let dns = |answer| FaultSet::from(DnsFault { answer, ..DnsFault::default() });
    let cert = |certificate| FaultSet::from(TlsFault { certificate, ..TlsFault::default() });
    let truncate = HttpFault { truncate_at: Some(100), ..HttpFault::default() };
    let https: fn(&Bench) -> String = |b| b.https("/health");
    let http: fn(&Bench) -> String = |b| b.http("/health");
    // A reset that comes at once may meet the connect itself, or what follows it.
    vec![
        ("refused", https, Listener::Https, tcp(Accept::Refuse), &[7], "TCP"),
        ("reset, with TLS", https, Listener::Https, tcp(Accept::Reset), &[7, 35], "tcp.reset"),
        ("reset, without", http, Listener::Http, tcp(Accept::Reset), &[7, 52, 56], "Failed"),
        ("stalled handshake", https, Listener::Https, tcp(Accept::Stall), &[28], "TLS"),
        ("stalled answer", http, Listener::Http, tcp(Accept::Stall), &[28], "HTTP"),
        ("expired", https, Listener::Https, cert(Certificate::Expired), &[60], "TLS"),
        ("self-signed", https, Listener::Https, cert(Certificate::SelfSigned), &[60], "TLS"),
        ("wrong host", https, Listener::Https, cert(Certificate::WrongHost), &[60], "TLS"),
        ("no such name", https, Listener::Dns, dns(DnsAnswer::Nxdomain), &[6], "DNS"),
        ("resolver failing", https, Listener::Dns, dns(DnsAnswer::Servfail), &[6], "DNS"),
        ("resolver silent", https, Listener::Dns, dns(DnsAnswer::Silence), &[28], "DNS"),
        (
            "truncated",
            |b| b.https("/fixed/1mb.bin"),
            Listener::Https,
            truncate.into(),
            &[18],
            "truncated",
        ),
        ("status", |b| b.https("/status/503"), Listener::Https, FaultSet::default(), &[22], "503"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_one_line_and_curls_exit_code() {
    let bench = Bench::start().await;
    for (what, url, listener, fault, codes, word) in rows() {
        bench.target.faults().set(listener, fault).unwrap();
        let output = bench.check(&["--no-throughput", "--timeout", "2s", &url(&bench)]).await;
        bench.target.faults().clear_all().unwrap();
        said_in_one_line(what, &output, codes, word);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_closes_without_a_word() {
    let bench = Bench::start().await;
    let addr = half_closing();
    for (scheme, codes, word) in [("http", &[52], "HTTP"), ("https", &[35], "TLS")] {
        let url = format!("{scheme}://{addr}/");
        let output = bench.check(&["--no-throughput", "--timeout", "2s", &url]).await;
        said_in_one_line(scheme, &output, codes, word);
    }
}

fn said_in_one_line(what: &str, output: &Output, codes: &[i32], word: &str) {
    let text = text(output);
    let code = output.status.code().unwrap();
    assert!(codes.contains(&code), "{what}: {code}, not one of {codes:?}:\n{text}");
    let said: Vec<_> = text.lines().filter(|line| line.starts_with("Failed in ")).collect();
    assert!(said.len() == 1 && said[0].contains(word), "{what}:\n{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{what}");
}

/// Accepts, says that nothing will come, and reads on until the other side has had enough.
fn half_closing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    addr
}
