//! Modules other than HTTP: their metrics under blackbox_exporter's names, of real servers.

use std::io::Write as _;
use std::net::SocketAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};
use probe::echo::{EchoOptions, Method, echo};
use testbed::target::{
    Accept, Certificate, DnsAnswer, DnsFault, Listener, Target, TargetConfig, TcpFault, TlsFault,
};
use tokio::net::{TcpListener, UdpSocket};

use super::{Exporter, chain_is_told, value};

/// What each of them has, whatever it measures.
const COMMON: [&str; 4] =
    ["probe_duration_seconds", "probe_ip_addr_hash", "probe_ip_protocol", "probe_success"];

struct Bench {
    target: Target,
    exporter: Exporter,
    _ca_file: tempfile::NamedTempFile,
}

impl Bench {
    async fn start() -> Self {
        let target = Target::start(TargetConfig::default()).await.unwrap();
        let mut ca_file = tempfile::NamedTempFile::new().unwrap();
        ca_file.write_all(target.ca_pem().as_bytes()).unwrap();
        let dns = target.dns_addr().unwrap().to_string();
        let ca = ca_file.path().to_str().unwrap();
        let exporter = Exporter::start(&["--ca-file", ca, "--resolver", &dns]);
        Self { target, exporter, _ca_file: ca_file }
    }

    async fn probe(&self, module: &str, target: impl ToString, more: &str) -> String {
        let target = target.to_string();
        let path = format!("/probe?module={module}&target={target}{more}");
        let (status, page) = self.exporter.get(&path).await;
        assert_eq!(status, 200, "{path}: {page}");
        page
    }
}

fn has(page: &str, families: &[&str]) {
    for family in families.iter().chain(&COMMON) {
        assert!(page.contains(&format!("# TYPE {family} gauge\n")), "{family} is not in\n{page}");
    }
}

fn phase(page: &str, family: &str, phase: &str) -> Option<f64> {
    value(page, &format!("{family}{{phase=\"{phase}\"}}"))
}

fn failed(page: &str, stage: &str, kind: &str) {
    let info = format!("probe_failure_info{{stage=\"{stage}\",type=\"{kind}\"}} 1\n");
    assert!(value(page, "probe_success") == Some(0.0) && page.contains(&info), "{info}{page}");
}

#[tokio::test]
async fn tcp_connects_with_and_without_tls() {
    let bench = Bench::start().await;
    let port = bench.target.https_addr().unwrap().port();
    let named = format!("target.test:{port}");
    let page = bench.probe("tcp_connect", &named, "").await;
    has(&page, &["probe_failed_due_to_regex", "probe_dns_lookup_time_seconds"]);
    assert_eq!(value(&page, "probe_success"), Some(1.0), "{page}");
    assert!(!page.contains("ssl") && !page.contains("probe_http"), "{page}");

    let page = bench.probe("tls_connect", &named, "").await;
    has(&page, &["probe_failed_due_to_regex", "probe_tls_cipher_info"]);
    assert_eq!(value(&page, "probe_success"), Some(1.0), "{page}");
    assert_eq!(value(&page, r#"probe_tls_version_info{version="TLS 1.3"}"#), Some(1.0), "{page}");
    chain_is_told(&page);

    let expired = TlsFault { certificate: Certificate::Expired, ..TlsFault::default() };
    bench.target.faults().set(Listener::Https, expired).unwrap();
    let page = bench.probe("tls_connect", &named, "").await;
    failed(&page, "tls", "tls.cert.date_invalid");
    // It is told all the same, but there is no chain that was accepted.
    assert!(value(&page, "probe_ssl_earliest_cert_expiry").is_some(), "{page}");
    assert!(!page.contains("last_chain"), "{page}");

    let closed = TcpFault { accept: Accept::Refuse };
    bench.target.faults().set(Listener::Http, closed).unwrap();
    let page = bench.probe("tcp_connect_ip4", bench.target.http_addr().unwrap(), "").await;
    failed(&page, "tcp", "tcp.refused");
    let page = bench.probe("tcp_connect_ip6", &named, "").await;
    failed(&page, "dns", "dns.name_not_resolved");
    let (_, debug) =
        bench.exporter.get(&format!("/probe?module=tcp_connect&debug=true&target={named}")).await;
    assert!(debug.starts_with(&format!("tcp://{named}: ok\n")), "{debug}");
}

#[tokio::test]
async fn dns_asks_the_target_by_datagram_and_by_connection() {
    let bench = Bench::start().await;
    let server = bench.target.dns_addr().unwrap();
    let families = [
        "probe_dns_additional_rrs",
        "probe_dns_answer_rrs",
        "probe_dns_authority_rrs",
        "probe_dns_query_succeeded",
    ];
    for module in ["dns_udp", "dns_tcp"] {
        let page = bench.probe(module, server, "&query_name=target.test&query_type=A").await;
        has(&page, &families);
        assert_eq!(value(&page, "probe_success"), Some(1.0), "{page}");
        assert_eq!(value(&page, "probe_dns_answer_rrs"), Some(1.0), "{page}");
        for name in ["connect", "request"] {
            let time = phase(&page, "probe_dns_duration_seconds", name);
            assert!(time.is_some_and(|time| time > 0.0), "{name} in {page}");
        }
        assert_eq!(phase(&page, "probe_dns_duration_seconds", "resolve"), None, "a literal one");

        let page = bench.probe(module, server, "&query_name=nowhere.test").await;
        failed(&page, "dns", "dns.nxdomain");
        assert_eq!(value(&page, "probe_dns_answer_rrs"), Some(0.0), "{page}");
    }
    // A server that has a name of its own is looked up first.
    let named = format!("target.test:{}", server.port());
    let page = bench.probe("dns_udp", named, "&query_name=target.test").await;
    assert!(phase(&page, "probe_dns_duration_seconds", "resolve").is_some(), "{page}");
    assert!(value(&page, "probe_dns_lookup_time_seconds").is_some(), "{page}");

    let silent = DnsFault { answer: DnsAnswer::Silence, ..DnsFault::default() };
    bench.target.faults().set(Listener::Dns, silent).unwrap();
    let (status, page) = bench
        .exporter
        .get_within(&format!("/probe?module=dns_udp&target={server}&query_name=a.test"), "0.7")
        .await;
    assert_eq!(status, 200);
    failed(&page, "dns", "dns.timeout");
    assert_eq!(value(&page, "probe_dns_query_succeeded"), Some(0.0), "{page}");
}

#[tokio::test]
async fn a_zones_serial_is_told() {
    let bench = Bench::start().await;
    let server = name_server().await;
    let page = bench.probe("dns_udp", server, "&query_name=zone.test&query_type=soa").await;
    assert_eq!(value(&page, "probe_dns_serial"), Some(2_026_112_601.0), "{page}");
    assert_eq!(value(&page, "probe_dns_authority_rrs"), Some(1.0), "{page}");
}

/// Answers each query with the zone's SOA, after a message that answers another.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let zone = query.queries[0].name.clone();
            let host = Name::from_ascii("ns.zone.test.").unwrap();
            let soa = SOA::new(host.clone(), host, 2_026_112_601, 1, 1, 1, 1);
            let record = Record::from_rdata(zone, 0, RData::SOA(soa));
            let mut answer = query.into_response();
            answer.add_answers([record.clone()]);
            answer.authorities.push(record);
            let right = answer.to_vec().unwrap();
            answer.metadata.id ^= 1;
            socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            socket.send_to(&right, peer).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn icmp_is_measured_where_this_program_may() {
    let bench = Bench::start().await;
    let page = bench.probe("icmp", "127.0.0.1", "").await;
    // The same question by other means.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let once = EchoOptions { count: 1, ..EchoOptions::default() };
    let by = echo(listener.local_addr().unwrap(), &once).await.method;
    has(&page, &["probe_icmp_duration_seconds"]);
    if matches!(by, Method::Icmp | Method::IcmpRaw) {
        assert_eq!(value(&page, "probe_success"), Some(1.0), "{page}");
        assert!(phase(&page, "probe_icmp_duration_seconds", "rtt").unwrap() > 0.0, "{page}");
        assert!(phase(&page, "probe_icmp_duration_seconds", "setup").unwrap() > 0.0, "{page}");
    } else {
        failed(&page, "icmp", "icmp.not_allowed");
    }
    let page = bench.probe("icmp", "nowhere.test", "").await;
    failed(&page, "dns", "dns.nxdomain");
}

#[tokio::test]
async fn what_may_not_be_measured_is_so_by_every_module() {
    let exporter = Exporter::start(&["--allow", "192.0.2.0/24"]);
    for query in [
        "tcp_connect&target=127.0.0.1:1",
        "tls_connect&target=localhost:1",
        "dns_udp&target=127.0.0.1&query_name=a",
        "dns_tcp&target=[::1]&query_name=a",
        "icmp&target=127.0.0.1",
    ] {
        let (status, body) = exporter.get(&format!("/probe?module={query}")).await;
        assert!(status == 403 && body.contains("--allow"), "{query}: {status} {body}");
    }
}
