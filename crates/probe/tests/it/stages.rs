//! What a measurement tells beside its stages: they add up, the families and the addresses are told
//! apart, redirects are measurements of their own, the kernel and the server have their say.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::failure::kind;
use probe::{Families, Family, Options};
use testbed::target::{DnsFault, HttpFault, Listener, Target, TargetConfig, TlsFault};
use tokio::io::AsyncWriteExt as _;

use crate::support::{failure, options, prober, read_head, serve, url};

async fn target(zone: &[IpAddr]) -> (Target, tempfile::NamedTempFile, Options) {
    let config = TargetConfig {
        zone: BTreeMap::from([("target.test".to_owned(), zone.to_vec())]),
        ..TargetConfig::default()
    };
    let target = Target::start(config).await.unwrap();
    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(target.ca_pem().as_bytes()).unwrap();
    let options = Options {
        resolver: target.dns_addr(),
        ca_file: Some(ca_file.path().to_owned()),
        ..options()
    };
    (target, ca_file, options)
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn stages_and_residual_add_up_whatever_is_slow() {
    let (target, _ca, options) = target(&[V4]).await;
    let (http, https) = (target.http_addr().unwrap().port(), target.https_addr().unwrap().port());
    let urls = [
        format!("http://target.test:{http}/health"),
        format!("https://target.test:{https}/health"),
        format!("https://target.test:{https}/slow?ms=30"),
        format!("https://target.test:{https}/drip?bytes=300&bps=80000"),
        format!("http://target.test:{http}/fixed/1mb.bin"),
        format!("http://{}/health", target.http_addr().unwrap()),
    ];
    let slow: [(Listener, testbed::target::FaultSet); 3] = [
        (Listener::Dns, DnsFault { delay_ms: 20, ..DnsFault::default() }.into()),
        (Listener::Https, TlsFault { delay_ms: 20, ..TlsFault::default() }.into()),
        (Listener::Https, HttpFault { delay_ms: 20, ..HttpFault::default() }.into()),
    ];
    for http2 in [true, false] {
        for (listener, faults) in slow {
            target.faults().set(listener, faults).unwrap();
            for text in &urls {
                let options = Options { http2, ..options.clone() };
                let m = prober(options).measure(&url(text)).await;
                // The sum is checked for every measurement.
                assert_eq!(failure(&m), None, "{m:?}");
                assert!(m.request.is_some() && m.residual().is_some(), "{m:?}");
                assert_eq!(m.tls.is_some(), m.tls_local.is_some());
            }
            target.faults().clear_all().unwrap();
        }
    }
}

#[tokio::test]
async fn the_kernel_says_what_it_saw_of_the_connection() {
    let (target, _ca, options) = target(&[V4]).await;
    let m = prober(options)
        .measure(&url(&format!("http://{}/health", target.http_addr().unwrap())))
        .await;
    assert_eq!(failure(&m), None);
    let [connected, answered, ended] =
        [m.transport.connected, m.transport.answered, m.transport.ended].map(Option::unwrap);
    assert!(connected.rtt.unwrap() >= m.tcp.unwrap(), "the kernel's is no longer than the clock's");
    assert_eq!((connected.bytes_sent, connected.retransmits), (0, 0));
    assert!(answered.bytes_sent > 0 && ended.bytes_sent == answered.bytes_sent);
    let event = serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap();
    assert_eq!(event["tcp_info"]["retrans"], 0);
    assert!(event["tcp_info"]["min_rtt_ms"].as_f64().unwrap() > 0.0);
    assert!(event["timings"]["request_ms"].as_f64().is_some());
}

#[tokio::test]
async fn each_question_and_each_address_is_told_apart() {
    let dead = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let (target, _ca, options) = target(&[dead, V4]).await;
    let text = format!("http://target.test:{}/health", target.http_addr().unwrap().port());
    let m = prober(options.clone()).measure(&url(&text)).await;
    assert_eq!(failure(&m), None, "{m:?}");
    let told: Vec<_> =
        m.lookups.iter().map(|l| (l.question, l.rcode.as_deref(), l.addresses)).collect();
    assert_eq!(told, [("A", Some("NOERROR"), 2), ("AAAA", Some("NOERROR"), 0)]);
    assert!(m.lookups.iter().all(|l| l.time.is_some_and(|time| time <= m.elapsed)));
    let [first, second] = m.attempts.as_slice() else { panic!("{:?}", m.attempts) };
    assert_eq!(first.failure.as_ref().unwrap().kind, kind::TCP_REFUSED);
    assert_eq!((first.address.ip(), second.address.ip(), second.connected()), (dead, V4, true));
    assert_eq!(m.remote_addr, Some(second.address));

    target
        .faults()
        .set(
            Listener::Dns,
            DnsFault { answer: testbed::target::DnsAnswer::Servfail, ..DnsFault::default() },
        )
        .unwrap();
    let m = prober(options).measure(&url(&text)).await;
    assert!(m.lookups.iter().any(|l| l.rcode.as_deref() == Some("SERVFAIL")), "{:?}", m.lookups);
}

#[tokio::test]
async fn a_family_can_be_measured_alone_and_both_apart() {
    let six: IpAddr = "::1".parse().unwrap();
    let (target, _ca, options) = target(&[V4, six]).await;
    let port = target.http_addr().unwrap().port();
    let text = format!("http://target.test:{port}/health");
    let with = |families| prober(Options { families, ..options.clone() });

    // The target listens on 127.0.0.1 alone: IPv6 is broken, and only asking for it shows that.
    let both = with(Families::Both).measure_all(&url(&text), false).await;
    let told: Vec<_> = both
        .iter()
        .map(|m| (m.remote_addr.map(|a| Family::of(a.ip())), failure(m).map(|(_, kind)| kind)))
        .collect();
    assert_eq!(told, [(Some(Family::V6), Some(kind::TCP_REFUSED)), (Some(Family::V4), None)]);
    assert_eq!(both[0].lookups.len(), 1, "only the family's question was asked");
    let happy = with(Families::Happy).measure(&url(&text)).await;
    assert_eq!(failure(&happy), None);
    assert!(happy.attempts.len() <= 2);
    let four = with(Families::Only(Family::V4)).measure(&url(&text)).await;
    assert_eq!((failure(&four), four.attempts.len()), (None, 1));

    let literal = url(&format!("http://127.0.0.1:{port}/health"));
    let none = with(Families::Only(Family::V6)).measure(&literal).await;
    assert_eq!(failure(&none).unwrap().1, kind::DNS_NAME_NOT_RESOLVED);
    let both = with(Families::Both).measure_all(&literal, false).await;
    assert_eq!(both.iter().map(failure).collect::<Vec<_>>(), [None], "it lives in one family");
}

/// A server of redirects: each path a number, and one less is where it leads.
async fn countdown() -> SocketAddr {
    serve(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let n: u32 = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let answer = match n {
            0 => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            // A circle of its own.
            1_000 => {
                "HTTP/1.1 302 Found\r\nLocation: /1000\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            n => format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", n - 1),
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn each_redirect_that_is_followed_is_a_measurement_of_its_own() {
    let address = countdown().await;
    let prober = prober(Options { max_redirects: 10, ..options() });
    let hops = prober.measure_all(&url(&format!("http://{address}/2")), false).await;
    let told: Vec<_> = hops.iter().map(|m| (m.target.path(), m.status, failure(m))).collect();
    assert_eq!(told, [("/2", Some(302), None), ("/1", Some(302), None), ("/0", Some(200), None)]);
    assert_eq!(hops[0].location.as_ref().unwrap().path(), "/1");
    assert!(hops[0].id != hops[1].id);

    let hops = prober.measure_all(&url(&format!("http://{address}/100")), false).await;
    assert_eq!(hops.len(), 11);
    assert_eq!(failure(&hops[10]).unwrap().1, kind::HTTP_REDIRECT_LOOP);
    let hops = prober.measure_all(&url(&format!("http://{address}/1000")), false).await;
    assert_eq!((hops.len(), failure(&hops[0]).unwrap().1), (1, kind::HTTP_REDIRECT_LOOP));
}

#[tokio::test]
async fn what_the_server_says_of_its_own_time_is_kept() {
    let address = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nServer-Timing: app;dur=12.5, cache;desc=\"hit\"\r\n\
                      Content-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let m = prober(options()).measure(&url(&format!("http://{address}/"))).await;
    assert_eq!(failure(&m), None);
    assert_eq!(m.server_timing[0].duration, Some(Duration::from_micros(12_500)));
    assert_eq!(m.server_timing[1].description.as_deref(), Some("hit"));
}
