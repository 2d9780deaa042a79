//! Every fault of the test target, over HTTP and HTTPS, IPv4 and IPv6: each is charged to its stage,
//! by its type, within the timeout.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use model::ErrorStage::{self, Dns, Http, Tcp, Tls};
use probe::failure::kind;
use probe::{Family, Measurement, Options, Prober};
use testbed::target::{
    Accept, Certificate, DnsAnswer, DnsFault, FaultSet, HttpFault, Listener, Target, TargetConfig,
    TcpFault, TlsFault,
};

use crate::support::{LONG, failure, options, prober, url};

/// For faults that never end.
const SHORT: Duration = Duration::from_millis(400);

/// Much more than any timeout here.
const FOREVER_MS: u64 = 600_000;

struct Bench {
    target: Target,
    ca_file: tempfile::NamedTempFile,
}

impl Bench {
    async fn start(family: Family) -> Self {
        let at: IpAddr = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let any_port = Some(SocketAddr::new(at, 0));
        let config = TargetConfig {
            http: any_port,
            https: any_port,
            dns: any_port,
            zone: BTreeMap::from([("target.test".to_owned(), vec![at])]),
            ..TargetConfig::default()
        };
        let target = Target::start(config).await.unwrap();
        let mut ca_file = tempfile::NamedTempFile::new().unwrap();
        ca_file.write_all(target.ca_pem().as_bytes()).unwrap();
        Self { target, ca_file }
    }

    fn prober(&self, timeout: Duration) -> Prober {
        prober(Options {
            resolver: self.target.dns_addr(),
            ca_file: Some(self.ca_file.path().to_owned()),
            timeout,
            ..options()
        })
    }

    async fn measure(&self, scheme: &str, path: &str, timeout: Duration) -> Measurement {
        let address =
            if scheme == "http" { self.target.http_addr() } else { self.target.https_addr() };
        let target = url(&format!("{scheme}://target.test:{}{path}", address.unwrap().port()));
        let start = Instant::now();
        let m = self.prober(timeout).measure(&target).await;
        assert!(start.elapsed() < LONG, "{m:?}");
        m
    }
}

/// What is broken, and what is to be said of it over http and over https; `None` where the fault
/// does not exist there.
struct Row {
    listener: Option<Listener>,
    faults: FaultSet,
    timeout: Duration,
    http: Option<(ErrorStage, &'static str)>,
    https: (ErrorStage, &'static str),
}

impl Row {
    fn both(faults: impl Into<FaultSet>, said: (ErrorStage, &'static str)) -> Self {
        let row =
            Row { listener: None, faults: faults.into(), timeout: LONG, http: None, https: said };
        Row { http: Some(said), ..row }
    }

    fn dns(answer: DnsAnswer, kind: &'static str) -> Self {
        let faults = DnsFault { answer, ..DnsFault::default() };
        Row { listener: Some(Listener::Dns), ..Self::both(faults, (Dns, kind)) }
    }

    fn tls(faults: TlsFault, kind: &'static str) -> Self {
        Row { http: None, ..Self::both(faults, (Tls, kind)) }
    }

    fn certificate(certificate: Certificate, kind: &'static str) -> Self {
        Self::tls(TlsFault { certificate, ..TlsFault::default() }, kind)
    }

    fn endless(self) -> Self {
        Row { timeout: SHORT, ..self }
    }
}

fn table() -> Vec<Row> {
    let tcp = |accept| TcpFault { accept };
    let http = HttpFault::default();
    let tls_delay = TlsFault { delay_ms: FOREVER_MS, ..TlsFault::default() };
    vec![
        Row::dns(DnsAnswer::Servfail, kind::DNS_SERVFAIL),
        Row::dns(DnsAnswer::Nxdomain, kind::DNS_NXDOMAIN),
        Row::dns(DnsAnswer::Silence, kind::DNS_TIMEOUT).endless(),
        Row::both(tcp(Accept::Refuse), (Tcp, kind::TCP_REFUSED)),
        Row {
            https: (Tls, kind::TLS_TIMED_OUT),
            ..Row::both(tcp(Accept::Stall), (Http, kind::HTTP_TIMED_OUT)).endless()
        },
        Row::tls(tls_delay, kind::TLS_TIMED_OUT).endless(),
        Row::certificate(Certificate::Expired, kind::TLS_CERT_DATE_INVALID),
        Row::certificate(Certificate::SelfSigned, kind::TLS_CERT_AUTHORITY_INVALID),
        Row::certificate(Certificate::WrongHost, kind::TLS_CERT_NAME_INVALID),
        Row::both(HttpFault { delay_ms: FOREVER_MS, ..http }, (Http, kind::HTTP_TIMED_OUT))
            .endless(),
        Row::both(HttpFault { truncate_at: Some(1), ..http }, (Http, kind::BODY_TRUNCATED)),
        // A byte a second.
        Row::both(HttpFault { rate_bps: Some(8), ..http }, (Http, kind::BODY_TIMED_OUT)).endless(),
    ]
}

#[tokio::test]
async fn each_is_charged_to_its_stage_over_each_scheme_and_family() {
    for family in [Family::V4, Family::V6] {
        let bench = Bench::start(family).await;
        for row in table() {
            for scheme in ["http", "https"] {
                let said = if scheme == "http" { row.http } else { Some(row.https) };
                let Some(said) = said else { continue };
                let of_scheme = if scheme == "http" { Listener::Http } else { Listener::Https };
                let listener = row.listener.unwrap_or(of_scheme);
                bench.target.faults().set(listener, row.faults).unwrap();
                let m = bench.measure(scheme, "/health", row.timeout).await;
                let what = format!("{scheme} {family} {:?}: {m:?}", row.faults);
                assert_eq!(failure(&m), Some(said), "{what}");
                if said.0 > Dns {
                    assert_eq!(m.remote_addr.map(|a| Family::of(a.ip())), Some(family), "{what}");
                }
                bench.target.faults().clear_all().unwrap();
            }
        }
        for scheme in ["http", "https"] {
            let m = bench.measure(scheme, "/health", LONG).await;
            assert_eq!(failure(&m), None, "all is well again: {m:?}");
            let m = bench.measure(scheme, "/status/503", LONG).await;
            assert_eq!(failure(&m), Some((Http, kind::HTTP_ERROR)), "{m:?}");
            // Seen in the next stage, or while still connecting where it is quicker than the probe.
            let listener = if scheme == "http" { Listener::Http } else { Listener::Https };
            bench.target.faults().set(listener, TcpFault { accept: Accept::Reset }).unwrap();
            let m = bench.measure(scheme, "/health", LONG).await;
            bench.target.faults().clear_all().unwrap();
            let (stage, kind) = failure(&m).unwrap();
            let next = if scheme == "http" { Http } else { Tls };
            assert!(stage == Tcp || stage == next, "{m:?}");
            assert!(matches!(kind, kind::TCP_RESET | kind::TCP_CLOSED), "{m:?}");
        }
    }
}
