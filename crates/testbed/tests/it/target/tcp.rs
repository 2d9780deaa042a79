//! What TCP faults do to connections.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use testbed::target::{Accept, FaultError, HttpFault, Listener, Target, TargetConfig, TcpFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{A_WHILE, Got, connect, get, http1, in_time, request};

async fn start() -> Target {
    Target::start(TargetConfig::default()).await.unwrap()
}

fn set(target: &Target, listener: Listener, accept: Accept) {
    target.faults().set(listener, TcpFault { accept }).unwrap();
}

#[tokio::test]
async fn refuse_refuses_at_once_and_keeps_the_port() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    let mut open = http1(connect(http).await).await;
    Got::read(in_time(open.send_request(request("GET", "/health", ""))).await.unwrap()).await;
    for _ in 0..20 {
        set(&target, Listener::Http, Accept::Refuse);
        let error = in_time(TcpStream::connect(http)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

        set(&target, Listener::Http, Accept::Ok);
        assert_eq!(get(http, "/health").await.status, 200);
    }
    // A connection from before is as good as ever.
    let got =
        Got::read(in_time(open.send_request(request("GET", "/health", ""))).await.unwrap()).await;
    assert_eq!(got.text(), "ok\n");
}

#[tokio::test]
async fn refuse_set_twice_and_cleared_with_all_is_cleared() {
    let target = start().await;
    let https = target.https_addr().unwrap();
    set(&target, Listener::Https, Accept::Refuse);
    set(&target, Listener::Https, Accept::Refuse);
    assert!(in_time(TcpStream::connect(https)).await.is_err());
    target.faults().clear_all().unwrap();
    connect(https).await;
}

#[tokio::test]
async fn a_refused_port_goes_to_nobody_else() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    set(&target, Listener::Http, Accept::Refuse);
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert_eq!(other.bind(&http.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn reset_is_a_reset() {
    let target = start().await;
    for (listener, addr) in
        [(Listener::Http, target.http_addr()), (Listener::Https, target.https_addr())]
    {
        set(&target, listener, Accept::Reset);
        let mut stream = connect(addr.unwrap()).await;
        let error = in_time(stream.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn stall_accepts_and_says_nothing() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    set(&target, Listener::Http, Accept::Stall);
    let mut stream = connect(http).await;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: target.test\r\n\r\n").await.unwrap();
    assert!(timeout(A_WHILE, stream.read(&mut [0])).await.is_err());

    set(&target, Listener::Http, Accept::Ok);
    assert_eq!(get(http, "/health").await.status, 200);
    assert!(timeout(A_WHILE, stream.read(&mut [0])).await.is_err(), "what was stalled stays so");
}

#[tokio::test]
async fn faults_that_could_not_be_seen_are_refused() {
    let target = start().await;
    let faults = target.faults();
    let error =
        faults.set(Listener::Dns, HttpFault { delay_ms: 1, ..HttpFault::default() }).unwrap_err();
    assert_eq!(
        (error.key(), error.to_string().as_str()),
        (Some("http"), "http faults do not apply to the dns listener")
    );
    let error = faults
        .set(Listener::Http, HttpFault { delay_ms: 600_001, ..HttpFault::default() })
        .unwrap_err();
    assert_eq!(error.key(), Some("http.delay_ms"));
    let error = faults
        .set(Listener::Http, HttpFault { rate_bps: Some(7), ..HttpFault::default() })
        .unwrap_err();
    assert_eq!(error.key(), Some("http.rate_bps"));
    assert_eq!(faults.get(Listener::Http), Some(testbed::target::FaultSet::default()));

    let config = TargetConfig { https: None, ..TargetConfig::default() };
    let target = Target::start(config).await.unwrap();
    let error =
        target.faults().set(Listener::Https, TcpFault { accept: Accept::Stall }).unwrap_err();
    assert!(matches!(error, FaultError::NotServed(Listener::Https)));
    assert_eq!(target.faults().get(Listener::Https), None);
}

#[tokio::test]
async fn it_serves_and_refuses_on_ipv6() {
    let any_port = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    if std::net::TcpListener::bind(any_port).is_err() {
        eprintln!("no IPv6 on this machine");
        return;
    }
    let config = TargetConfig {
        http: Some(any_port),
        https: Some(any_port),
        dns: Some(any_port),
        control: Some(any_port),
        ..TargetConfig::default()
    };
    let target = Target::start(config).await.unwrap();
    let http = target.http_addr().unwrap();
    assert!(http.is_ipv6());
    assert_eq!(get(http, "/health").await.status, 200);
    super::client::tls(&target, "::1", &["h2"]).await.unwrap();

    set(&target, Listener::Http, Accept::Refuse);
    let error = in_time(TcpStream::connect(http)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
