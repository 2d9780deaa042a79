//! The probe against the test target, whole and broken.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::ErrorStage;
use probe::failure::kind;
use probe::{Measurement, Options, Prober};
use testbed::target::{
    Accept, Certificate, DnsAnswer, DnsFault, FaultSet, HttpFault, Listener, Target, TargetConfig,
    TcpFault, TlsFault,
};
use tokio::net::UdpSocket;

use crate::support::{LONG, check, failure, options, prober, url};

/// A target, and the file that a probe trusts it by.
struct Bench {
    target: Target,
    ca_file: tempfile::NamedTempFile,
}

impl Bench {
    async fn start() -> Self {
        let target = Target::start(TargetConfig::default()).await.unwrap();
        let mut ca_file = tempfile::NamedTempFile::new().unwrap();
        ca_file.write_all(target.ca_pem().as_bytes()).unwrap();
        Self { target, ca_file }
    }

    fn options(&self) -> Options {
        Options {
            resolver: self.target.dns_addr(),
            ca_file: Some(self.ca_file.path().to_owned()),
            ..options()
        }
    }

    fn prober(&self) -> Prober {
        prober(self.options())
    }

    fn http(&self, path: &str) -> url::Url {
        url(&format!("http://target.test:{}{path}", self.target.http_addr().unwrap().port()))
    }

    fn https(&self, path: &str) -> url::Url {
        url(&format!("https://target.test:{}{path}", self.target.https_addr().unwrap().port()))
    }

    /// Measures `https` with these faults on one listener.
    async fn broken(&self, listener: Listener, faults: impl Into<FaultSet>) -> Measurement {
        self.broken_with(self.options(), listener, faults).await
    }

    async fn broken_with(
        &self,
        options: Options,
        listener: Listener,
        faults: impl Into<FaultSet>,
    ) -> Measurement {
        self.target.faults().set(listener, faults).unwrap();
        let start = Instant::now();
        let m = prober(options).measure(&self.https("/health")).await;
        assert!(start.elapsed() < LONG, "{m:?}");
        self.target.faults().clear_all().unwrap();
        m
    }
}

#[tokio::test]
async fn https_is_measured_end_to_end_over_both_versions() {
    let bench = Bench::start().await;
    for (http2, version, alpn) in [(true, "2", "h2"), (false, "1.1", "http/1.1")] {
        let options = Options { http2, ..bench.options() };
        let m = prober(options).measure(&bench.https("/health")).await;
        assert_eq!(failure(&m), None, "{:?}", m.failure);
        for stage in [m.dns, m.tcp, m.tls, m.ttfb, m.transfer, m.total] {
            assert!(stage.is_some(), "{m:?}");
        }
        assert_eq!((m.status, m.http_version, m.body_complete), (Some(200), Some(version), true));
        assert_eq!(m.dns_server, bench.target.dns_addr());
        assert_eq!(m.remote_addr, bench.target.https_addr());
        let session = m.tls_session.unwrap();
        assert_eq!((session.version, session.alpn.as_deref()), ("1.3", Some(alpn)));
        assert!(session.cipher.starts_with("TLS_"), "{}", session.cipher);
        let certificate = m.certificate.unwrap();
        assert!(certificate.expires_ms > m.started_ms && !certificate.self_issued);
        assert!(certificate.names.contains(&"target.test".to_owned()));
    }
}

#[tokio::test]
async fn every_fault_is_charged_to_its_stage() {
    use ErrorStage::{Dns, Http, Tcp, Tls};
    let bench = Bench::start().await;
    let dns = |answer| FaultSet::from(DnsFault { answer, ..DnsFault::default() });
    let tcp = |accept| FaultSet::from(TcpFault { accept });
    let tls = |certificate| FaultSet::from(TlsFault { certificate, ..TlsFault::default() });
    let cut = HttpFault { truncate_at: Some(1), ..HttpFault::default() };
    for (listener, faults, stage, kind, exit_code) in [
        (Listener::Dns, dns(DnsAnswer::Nxdomain), Dns, kind::DNS_NXDOMAIN, 6),
        (Listener::Dns, dns(DnsAnswer::Servfail), Dns, kind::DNS_SERVFAIL, 6),
        (Listener::Https, tcp(Accept::Refuse), Tcp, kind::TCP_REFUSED, 7),
        (Listener::Https, tls(Certificate::Expired), Tls, kind::TLS_CERT_DATE_INVALID, 60),
        (Listener::Https, tls(Certificate::SelfSigned), Tls, kind::TLS_CERT_AUTHORITY_INVALID, 60),
        (Listener::Https, tls(Certificate::WrongHost), Tls, kind::TLS_CERT_NAME_INVALID, 60),
        (Listener::Https, cut.into(), Http, kind::BODY_TRUNCATED, 18),
    ] {
        let m = bench.broken(listener, faults).await;
        assert_eq!(failure(&m), Some((stage, kind)), "{faults:?}: {:?}", m.failure);
        assert_eq!(m.failure.as_ref().unwrap().exit_code(), exit_code, "{faults:?}");
        let shown = faults.tls.certificate != Certificate::Good;
        if shown {
            assert!(m.certificate.is_some(), "{faults:?}: the certificate is told all the same");
        }
    }
    // A reset right after the connection was accepted is seen in the handshake, or while still
    // connecting where it is quicker than this program.
    let m = bench.broken(Listener::Https, tcp(Accept::Reset)).await;
    let (stage, kind) = failure(&m).unwrap();
    assert!(matches!(stage, Tcp | Tls) && kind == kind::TCP_RESET, "{:?}", m.failure);

    let m = bench.prober().measure(&bench.https("/health")).await;
    assert_eq!(failure(&m), None, "and all is well again");
}

#[tokio::test]
async fn silence_ends_within_the_timeout_in_its_stage() {
    let bench = Bench::start().await;
    let silent = DnsFault { answer: DnsAnswer::Silence, ..DnsFault::default() };
    let slow = HttpFault { delay_ms: 600_000, ..HttpFault::default() };
    let slow_tls = TlsFault { delay_ms: 600_000, ..TlsFault::default() };
    for (listener, faults, stage, kind) in [
        (Listener::Dns, FaultSet::from(silent), ErrorStage::Dns, kind::DNS_TIMEOUT),
        (
            Listener::Https,
            TcpFault { accept: Accept::Stall }.into(),
            ErrorStage::Tls,
            kind::TLS_TIMED_OUT,
        ),
        (Listener::Https, slow_tls.into(), ErrorStage::Tls, kind::TLS_TIMED_OUT),
        (Listener::Https, slow.into(), ErrorStage::Http, kind::HTTP_TIMED_OUT),
    ] {
        let options = Options { timeout: Duration::from_millis(300), ..bench.options() };
        let m = bench.broken_with(options, listener, faults).await;
        assert_eq!(failure(&m), Some((stage, kind)), "{faults:?}: {:?}", m.failure);
        assert_eq!(m.failure.unwrap().exit_code(), 28);
    }
}

#[tokio::test]
async fn a_delay_shows_in_its_stage_and_in_no_other() {
    let bench = Bench::start().await;
    let delay_ms = 120;
    let delay = Duration::from_millis(delay_ms);
    let faults: [(Listener, FaultSet, Stage); 3] = [
        (Listener::Dns, DnsFault { delay_ms, ..DnsFault::default() }.into(), |m| m.dns),
        (Listener::Https, TlsFault { delay_ms, ..TlsFault::default() }.into(), |m| m.tls),
        (Listener::Https, HttpFault { delay_ms, ..HttpFault::default() }.into(), |m| m.ttfb),
    ];
    for (listener, faults, stage) in faults {
        let m = bench.broken(listener, faults).await;
        assert_eq!(failure(&m), None);
        let slow = stage(&m).unwrap();
        assert!(slow >= delay, "{faults:?}: {m:?}");
        // What the delay adds is in that stage: the others together do not hold it too.
        let total = m.total.unwrap();
        assert!(total >= slow && m.elapsed >= total);
    }
}

#[tokio::test]
async fn throughput_is_the_bodys_alone_on_a_connection_of_its_own() {
    let bench = Bench::start().await;
    // The wait before the first byte is 20 times what the body then takes at this pace.
    let faults = HttpFault { delay_ms: 400, ..HttpFault::default() };
    for target in [bench.http("/health"), bench.https("/health")] {
        for listener in [Listener::Http, Listener::Https] {
            bench.target.faults().set(listener, faults).unwrap();
        }
        let m = prober(Options { throughput: true, ..bench.options() }).measure(&target).await;
        assert_eq!(failure(&m), None);
        assert_eq!(m.throughput_failure, None);
        let throughput = m.throughput.unwrap();
        assert!(throughput.complete && throughput.bytes == 1 << 20, "{throughput:?}");
        // Had the wait been on the clock, it would be at most 21 Mbit/s.
        assert!(throughput.bits_per_second > 30_000_000, "{throughput:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_what_throughput_shows() {
    let bench = Bench::start().await;
    let rate = 16_000_000;
    let faults = HttpFault { rate_bps: Some(rate), ..HttpFault::default() };
    bench.target.faults().set(Listener::Https, faults).unwrap();
    let options = Options { throughput: true, ..bench.options() };
    let m = prober(options).measure(&bench.https("/health")).await;
    check(&m);
    let measured = m.throughput.unwrap();
    assert!(measured.complete);
    // The pace is an upper bound but for what may come at once at the start.
    assert!(measured.bits_per_second < rate * 12 / 10, "{measured:?}");
}

#[tokio::test]
async fn throughput_out_of_time_is_partial_and_keeps_the_timings() {
    let bench = Bench::start().await;
    let faults = HttpFault { rate_bps: Some(1_000_000), ..HttpFault::default() };
    bench.target.faults().set(Listener::Https, faults).unwrap();
    let throughput_timeout = Duration::from_millis(500);
    let options = Options { throughput: true, throughput_timeout, ..bench.options() };
    let m = prober(options).measure(&bench.https("/health")).await;
    assert_eq!(failure(&m), None);
    assert!(m.total.is_some());
    let failed = m.throughput_failure.as_ref().unwrap();
    assert_eq!(failed.stage, ErrorStage::ThroughputTimeout, "{failed}");
    let partial = m.throughput.unwrap();
    assert!(!partial.complete && partial.bytes > 0 && partial.bytes < 1 << 20, "{partial:?}");
    assert!(partial.duration <= throughput_timeout);
    let event = m.to_event(&probe::Identity::named("p"));
    assert_eq!(event.error_stage, Some(ErrorStage::ThroughputTimeout));
    assert!(event.throughput_kbps.is_some() && event.timings.total_ms.is_some());
}

#[tokio::test]
async fn a_name_is_looked_up_once_a_measurement() {
    let bench = Bench::start().await;
    let queries = Arc::new(AtomicUsize::new(0));
    let resolver = count_queries(bench.target.dns_addr().unwrap(), Arc::clone(&queries)).await;
    let options = Options { resolver: Some(resolver), throughput: true, ..bench.options() };
    let m = prober(options).measure(&bench.https("/health")).await;
    assert_eq!((failure(&m), m.throughput_failure.clone()), (None, None));
    assert!(m.throughput.is_some());
    assert_eq!(queries.load(Ordering::SeqCst), 2, "A and AAAA, and none for the transfer");
}

#[tokio::test]
async fn the_status_of_a_page_is_told() {
    let bench = Bench::start().await;
    for (code, expected) in [
        (204, None),
        (304, None),
        (418, Some((ErrorStage::Http, kind::HTTP_ERROR))),
        (500, Some((ErrorStage::Http, kind::HTTP_ERROR))),
    ] {
        for target in
            [bench.http(&format!("/status/{code}")), bench.https(&format!("/status/{code}"))]
        {
            let m = bench.prober().measure(&target).await;
            assert_eq!((failure(&m), m.status), (expected, Some(code)), "{target}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_accepted() {
    let bench = Bench::start().await;
    let options = Options { ca_file: None, ..bench.options() };
    let m = prober(options).measure(&bench.https("/health")).await;
    assert_eq!(failure(&m), Some((ErrorStage::Tls, kind::TLS_CERT_AUTHORITY_INVALID)));
    assert!(m.certificate.is_some() && m.tls_session.is_none());
}

/// One stage of a measurement.
type Stage = fn(&Measurement) -> Option<Duration>;

/// A relay to a name server that counts the queries.
async fn count_queries(server: SocketAddr, queries: Arc<AtomicUsize>) -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            queries.fetch_add(1, Ordering::SeqCst);
            let (query, back) = (buffer[..length].to_vec(), Arc::clone(&socket));
            tokio::spawn(async move {
                let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                upstream.send_to(&query, server).await.unwrap();
                let mut answer = [0; 4_096];
                let (length, _) = upstream.recv_from(&mut answer).await.unwrap();
                back.send_to(&answer[..length], peer).await.unwrap();
            });
        }
    });
    address
}
