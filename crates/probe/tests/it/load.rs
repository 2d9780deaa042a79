//! Tests that load the line, against the test target with a known rate.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probe::load::{Allowance, LoadOptions, Tests};
use probe::{Confidence, Measurement, Options, Prober};
use testbed::target::{HttpFault, Listener, Target, TargetConfig};
use tokio::io::AsyncWriteExt as _;

use crate::support::{failure, options, prober, read_head, serve, url};

const ALL: Tests = Tests { download: true, upload: true, responsiveness: true };

struct Bench {
    target: Target,
    ca_file: tempfile::NamedTempFile,
    prober: Prober,
}

impl Bench {
    async fn start(http2: bool) -> Self {
        let target =
            Target::start(TargetConfig { http2, ..TargetConfig::default() }).await.unwrap();
        let mut ca_file = tempfile::NamedTempFile::new().unwrap();
        ca_file.write_all(target.ca_pem().as_bytes()).unwrap();
        let options = Options { ca_file: Some(ca_file.path().to_owned()), ..options() };
        Self { target, ca_file, prober: prober(options) }
    }

    fn options(&self) -> Options {
        Options { ca_file: Some(self.ca_file.path().to_owned()), ..options() }
    }

    async fn load(&self, scheme: &str, tests: Tests, allowance: &Allowance) -> Measurement {
        let address =
            if scheme == "http" { self.target.http_addr() } else { self.target.https_addr() };
        let mut m =
            self.prober.measure(&url(&format!("{scheme}://{}/health", address.unwrap()))).await;
        assert_eq!(failure(&m), None, "{m:?}");
        self.prober.load(&mut m, tests, &short(), allowance).await;
        m
    }
}

fn short() -> LoadOptions {
    LoadOptions {
        connections: 2,
        duration: Duration::from_millis(1_500),
        longest: Duration::from_millis(1_500),
    }
}

#[tokio::test]
async fn the_rate_of_a_slow_target_is_found_both_ways() {
    let bench = Bench::start(true).await;
    // A connection has this rate; two of them twice as much.
    let rate_bps = Some(8_000_000);
    bench
        .target
        .faults()
        .set(Listener::Https, HttpFault { rate_bps, ..HttpFault::default() })
        .unwrap();
    let allowance = Allowance::of(1 << 30);
    let tests = Tests { responsiveness: false, ..ALL };
    let m = bench.load("https", tests, &allowance).await;
    for carried in [m.throughput.unwrap(), m.upload.unwrap()] {
        let rate = carried.bits_per_second;
        assert!((10_000_000..22_000_000).contains(&rate), "{m:?}");
        assert!(carried.low_bits_per_second.unwrap() <= rate && carried.complete);
        assert!(allowance.used() >= carried.bytes);
    }
    let event = serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap();
    sides(&event["transfers"]["download"], 2, &["probe", "target"]);
    // A target that reads so slowly answers an upload long after it has ended.
    sides(&event["transfers"]["upload"], 2, &["probe"]);
    assert!(event["upload_kbps"].as_f64().unwrap() > 10_000.0, "{event}");
}

#[tokio::test]
async fn an_allowance_is_never_exceeded() {
    for scheme in ["http", "https"] {
        let bench = Bench::start(true).await;
        let allowed = 5 << 20;
        let allowance = Allowance::of(allowed);
        let m = bench.load(scheme, ALL, &allowance).await;
        let moved = m.throughput.map_or(0, |t| t.bytes) + m.upload.map_or(0, |t| t.bytes);
        assert!(moved <= allowed && allowance.used() <= allowed, "{m:?}");
        assert!(m.throughput.or(m.upload).is_none_or(|carried| !carried.complete), "{m:?}");
    }
    let nothing = Allowance::of(100);
    let bench = Bench::start(true).await;
    let m = bench.load("http", ALL, &nothing).await;
    assert!(m.throughput.is_none() && m.upload.is_none() && m.latency.is_none());
    assert_eq!((nothing.used(), m.any_failure()), (0, None));
}

#[tokio::test]
async fn latency_is_told_at_rest_and_under_load_with_its_terms() {
    for (scheme, http2) in [("https", true), ("https", false), ("http", false)] {
        let bench = Bench::start(http2).await;
        let allowance = Allowance::of(8 << 30);
        let tests = Tests { responsiveness: true, ..Tests::default() };
        let m = bench.load(scheme, tests, &allowance).await;
        let latency = m.latency.as_ref().unwrap_or_else(|| panic!("{m:?}"));
        let terms = latency.terms.unwrap();
        assert_eq!(terms.tls.is_some(), scheme == "https");
        assert!(latency.rpm.unwrap() > 1.0 && latency.loaded.unwrap() > Duration::ZERO);
        assert!(latency.idle.is_some() && latency.jitter.is_some());
        assert_eq!(latency.beside, !http2, "HTTP/1.1 has no room on a loaded connection");
        let flows = m.transfers.download.unwrap();
        assert!(flows.connections >= 1 && flows.probe.unwrap().rtt_ms.is_some(), "{flows:?}");
        assert_eq!(latency.confidence, Some(Confidence::Low), "so short a test says little");
        assert!(latency.bytes > 1 << 20 && latency.bytes <= allowance.used());
        let event = serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap();
        assert!(event["latency"]["rpm"].as_f64().unwrap() > 1.0, "{event}");
    }
}

/// What an event tells of a transfer over so many connections.
fn sides(transfer: &serde_json::Value, connections: u64, sides: &[&str]) {
    assert_eq!(transfer["connections"], connections, "{transfer}");
    for side in sides {
        let side = &transfer[side];
        assert!(side["retrans"].is_u64() && side["rwnd_limited_ms"].is_number(), "{transfer}");
        assert!(side["rtt_ms"].as_f64().unwrap() > 0.0, "{transfer}");
    }
}

/// The sender of a download is the target: that it was the one with bytes to send shows whose numbers
/// these are.
#[tokio::test]
async fn the_target_tells_of_the_fixed_object_on_its_connection() {
    for http2 in [true, false] {
        let bench = Bench::start(http2).await;
        let rate_bps = Some(16_000_000);
        let slow = HttpFault { rate_bps, ..HttpFault::default() };
        bench.target.faults().set(Listener::Https, slow).unwrap();
        let options = Options { throughput: true, ..bench.options() };
        let address = bench.target.https_addr().unwrap();
        let m = prober(options).measure(&url(&format!("https://{address}/health"))).await;
        assert_eq!((failure(&m), &m.throughput_failure), (None, &None));
        let event = serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap();
        sides(&event["transfers"]["download"], 1, &["probe", "target"]);
        assert!(event["transfers"].get("upload").is_none(), "{event}");
        let busy = |side: Option<model::wire::WireTcpInfo>| side.unwrap().busy_ms.unwrap();
        let download = m.transfers.download.unwrap();
        assert!(busy(download.target) > busy(download.probe), "{download:?}");
    }
}

#[tokio::test]
async fn a_foreign_target_is_asked_for_nothing_of_ours() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let address = serve(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    break;
                }
                noted.lock().unwrap().push(head);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 20);
                let body = vec![7; 1 << 20];
                if stream.write_all(answer.as_bytes()).await.is_err()
                    || stream.write_all(&body).await.is_err()
                {
                    break;
                }
            }
        }
    })
    .await;
    let prober = prober(Options { throughput: true, ..options() });
    let mut m = prober.measure(&url(&format!("http://{address}/"))).await;
    assert_eq!((failure(&m), &m.throughput_failure), (None, &None));
    let fixed = m.transfers.download.unwrap();
    assert!(fixed.target.is_none() && fixed.probe.is_some());
    let tests = Tests { download: true, ..Tests::default() };
    prober.load(&mut m, tests, &short(), &Allowance::of(1 << 30)).await;
    let adaptive = m.transfers.download.unwrap();
    assert!(adaptive.target.is_none() && adaptive.connections == 2, "{adaptive:?}");
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 2 && asked.iter().all(|head| !head.contains("tcp-info")), "{asked:?}");
}

/// Over HTTP/1.1 a timed request waits for the one before it on the same connection, which is no
/// latency of the line's.
#[tokio::test]
async fn timed_requests_do_not_count_their_wait_for_each_other() {
    let bench = Bench::start(false).await;
    let address = bench.target.http_addr().unwrap();
    let mut m = bench.prober.measure(&url(&format!("http://{address}/slow?ms=800"))).await;
    assert_eq!(failure(&m), None, "{m:?}");
    let tests = Tests { responsiveness: true, ..Tests::default() };
    bench.prober.load(&mut m, tests, &short(), &Allowance::of(8 << 30)).await;
    let latency = m.latency.as_ref().unwrap_or_else(|| panic!("{m:?}"));
    // Each answer takes as long as one on a fresh connection; one that waited takes several times that.
    let terms = latency.terms.unwrap();
    assert!(terms.loaded < 2 * terms.http, "{latency:?}");
}

#[tokio::test]
async fn a_site_that_offers_nothing_has_no_throughput_and_no_error() {
    let address = serve(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
            if stream.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
    })
    .await;
    let prober = prober(options());
    let mut m = prober.measure(&url(&format!("http://{address}/"))).await;
    m.failure = None;
    prober.load(&mut m, ALL, &short(), &Allowance::of(1 << 30)).await;
    assert!(m.throughput.is_none() && m.upload.is_none() && m.latency.is_none(), "{m:?}");
    assert!(m.any_failure().is_none(), "{m:?}");
}
