//! `qoe-probe exporter` as Prometheus sees it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testbed::target::{Accept, Listener, Target, TargetConfig, TcpFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

mod modules;

/// The program, ended with the test.
struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_qoe-probe"))
            .args(["exporter", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it says where it listens");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split('/').next().unwrap().parse().unwrap();
            }
        };
        // What it says later goes nowhere, but must not block it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.get_within(path, "10").await
    }

    /// As Prometheus asks that waits for so many seconds.
    async fn get_within(&self, path: &str, seconds: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             x-prometheus-scrape-timeout-seconds: {seconds}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// The certificate of the test target, as blackbox_exporter would tell it.
fn chain_is_told(page: &str) {
    let info = page.lines().find(|line| line.starts_with("probe_ssl_last_chain_info{")).unwrap();
    for label in ["fingerprint_sha256", "issuer", "serialnumber", "subject", "subjectalternative"] {
        assert!(info.contains(&format!("{label}=\"")), "{label} in {info}");
    }
    assert!(info.contains("target.test") && info.ends_with("} 1"), "{info}");
    let expiry = |name: &str| value(page, name).unwrap();
    let earliest = expiry("probe_ssl_earliest_cert_expiry");
    assert!(earliest <= expiry("probe_ssl_last_chain_expiry_timestamp_seconds"), "{page}");
}

#[tokio::test]
async fn it_answers_as_blackbox_exporter_does() {
    let target = Target::start(TargetConfig::default()).await.unwrap();
    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(target.ca_pem().as_bytes()).unwrap();
    let exporter = Exporter::start(&["--ca-file", ca_file.path().to_str().unwrap()]);
    let url = format!("https://{}/health", target.https_addr().unwrap());

    let (status, page) = exporter.get(&format!("/probe?module=http_2xx&target={url}")).await;
    assert_eq!((status, value(&page, "probe_success")), (200, Some(1.0)), "{page}");
    // What blackbox_exporter 0.23 has of the same target, less what Go's TLS alone can tell.
    for family in [
        "probe_duration_seconds",
        "probe_failed_due_to_regex",
        "probe_http_content_length",
        "probe_http_redirects",
        "probe_http_ssl",
        "probe_http_status_code",
        "probe_http_uncompressed_body_length",
        "probe_http_version",
        "probe_ip_addr_hash",
        "probe_ip_protocol",
        "probe_ssl_earliest_cert_expiry",
        "probe_ssl_last_chain_expiry_timestamp_seconds",
    ] {
        assert!(value(&page, family).is_some(), "{family} is not in\n{page}");
        assert!(page.contains(&format!("# TYPE {family} gauge\n")), "{family}");
    }
    chain_is_told(&page);
    assert_eq!(value(&page, r#"probe_tls_version_info{version="TLS 1.3"}"#), Some(1.0));
    for phase in ["connect", "processing", "tls", "transfer"] {
        let series = format!("probe_http_duration_seconds{{phase=\"{phase}\"}}");
        assert!(value(&page, &series).unwrap() > 0.0, "{series}\n{page}");
    }

    target.faults().set(Listener::Https, TcpFault { accept: Accept::Refuse }).unwrap();
    // The port is given up by another task.
    while TcpStream::connect(target.https_addr().unwrap()).await.is_ok() {}
    let (status, page) = exporter.get(&format!("/probe?target={url}")).await;
    assert_eq!((status, value(&page, "probe_success")), (200, Some(0.0)), "{page}");
    assert!(page.contains(r#"probe_failure_info{stage="tcp",type="tcp.refused"} 1"#), "{page}");
    let (_, page) = exporter.get(&format!("/probe?target={url}&debug=true")).await;
    assert!(page.starts_with(&url) && page.contains("tcp.refused"), "{page}");

    for (path, expected, said) in [
        ("/probe?target=x&module=nope", 400, "Unknown module"),
        ("/probe", 400, "Target parameter is missing"),
        ("/probe?target=ftp://x", 400, "not an http"),
        ("/nowhere", 404, "/nowhere"),
        ("/-/healthy", 200, "healthy"),
    ] {
        let (status, body) = exporter.get(path).await;
        assert!(status == expected && body.contains(said), "{path}: {status} {body}");
    }
    let (_, own) = exporter.get("/metrics").await;
    let count = |outcome: &str| {
        value(&own, &format!("qoe_probe_exporter_probes_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!([count("success"), count("failure"), count("refused")], [1.0, 2.0, 3.0].map(Some));
}

#[tokio::test]
async fn it_measures_only_what_it_may() {
    let exporter = Exporter::start(&["--allow", ".example.com,192.0.2.0/24"]);
    for target in ["http://127.0.0.1:1/", "http://example.com/", "http://example.com.evil.test/"] {
        let (status, body) = exporter.get(&format!("/probe?target={target}")).await;
        assert!(status == 403 && body.contains("--allow"), "{target}: {status} {body}");
    }
    // Nor does a redirect lead there.
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let forbidden = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = forbidden.local_addr().unwrap();
    tokio::spawn(async move {
        while forbidden.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let redirecting = crate::support::serve(move |mut stream| async move {
        crate::support::read_head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{address}/\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let exporter = Exporter::start(&["--allow", "127.0.0.1"]);
    let (status, page) = exporter.get(&format!("/probe?target=http://{redirecting}/")).await;
    assert_eq!((status, value(&page, "probe_success")), (200, Some(0.0)), "{page}");
    assert_eq!(value(&page, "probe_http_status_code"), Some(302.0), "{page}");
    assert_eq!(visits.load(Ordering::SeqCst), 0, "nobody went there");

    let output = Command::new(env!("CARGO_BIN_EXE_qoe-probe"))
        .args(["exporter", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--allow"), "{said}");
}
