//! Starting and stopping.

use std::io;
use std::net::SocketAddr;

use testbed::target::{
    Accept, DnsFault, FaultError, FaultSet, HttpFault, Listener, Target, TargetConfig, TcpFault,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::client::{connect, get, http2, in_time, request, tls};

async fn start() -> Target {
    Target::start(TargetConfig::default()).await.unwrap()
}

#[tokio::test]
async fn stop_ends_whatever_waits() {
    let target = start().await;
    let faults = target.faults().clone();
    let addrs = [target.http_addr(), target.https_addr(), target.dns_addr(), target.control_addr()]
        .map(Option::unwrap);
    let [http, https, dns, _] = addrs;

    // A slow request over HTTP/1.1 and one over HTTP/2, each certainly being served.
    let mut slow = connect(http).await;
    slow.write_all(b"GET /drip?bytes=100000&bps=8000 HTTP/1.1\r\nhost: target.test\r\n\r\n")
        .await
        .unwrap();
    in_time(slow.read_u8()).await.unwrap();
    let mut sender = http2(tls(&target, "localhost", &["h2"]).await.unwrap()).await;
    let slow_h2 =
        tokio::spawn(sender.send_request(request("GET", "https://localhost/slow?ms=60000", "")));
    in_time(sender.send_request(request("GET", "https://localhost/health", ""))).await.unwrap();

    // A stalled connection, a delayed request, a handshake that was begun, a delayed DNS query.
    faults.set(Listener::Https, TcpFault { accept: Accept::Stall }).unwrap();
    let mut stalled = connect(https).await;
    faults.set(Listener::Http, HttpFault { delay_ms: 600_000, ..HttpFault::default() }).unwrap();
    let delayed = tokio::spawn(async move { TcpStream::connect(http).await?.read_u8().await });
    faults.set(Listener::Dns, DnsFault { delay_ms: 600_000, ..DnsFault::default() }).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket
        .send_to(b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01", dns)
        .await
        .unwrap();

    in_time(target.stop()).await;
    // Cut off at its head or in its body, as it comes.
    in_time(slow.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(in_time(slow_h2).await.unwrap().is_err());
    assert!(in_time(stalled.read_u8()).await.is_err());
    assert!(in_time(delayed).await.unwrap().is_err());
    for addr in addrs {
        let error = in_time(TcpStream::connect(addr)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
    let error = faults.set(Listener::Http, FaultSet::default()).unwrap_err();
    assert!(
        matches!(error, FaultError::NotServed(Listener::Http)),
        "a stopped target stays stopped"
    );
}

#[tokio::test]
async fn dropping_a_target_stops_it() {
    let target = start().await;
    let faults = target.faults().clone();
    let http = target.http_addr().unwrap();
    let mut open = connect(http).await;
    drop(target);
    assert!(in_time(TcpStream::connect(http)).await.is_err());
    assert!(in_time(open.read_u8()).await.is_err());
    drop(faults);
}

#[tokio::test]
async fn a_target_can_be_started_again_on_its_ports() {
    let target = start().await;
    let config = TargetConfig {
        http: target.http_addr(),
        https: target.https_addr(),
        dns: target.dns_addr(),
        control: target.control_addr(),
        ..TargetConfig::default()
    };
    let old_ca = target.ca_pem().to_owned();
    get(config.http.unwrap(), "/health").await;
    in_time(target.stop()).await;
    let target = Target::start(config.clone()).await.unwrap();
    assert_eq!(target.http_addr(), config.http);
    assert_ne!(target.ca_pem(), old_ca);
    assert_eq!(get(config.http.unwrap(), "/health").await.status, 200);
}

#[tokio::test]
async fn a_start_that_fails_says_where_and_leaves_nothing_behind() {
    let running = start().await;
    let taken = running.https_addr();
    let free: SocketAddr =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = TargetConfig { http: Some(free), https: taken, ..TargetConfig::default() };
    let error = Target::start(config).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&format!("HTTPS on {}", taken.unwrap())), "{error}");
    assert!(in_time(TcpStream::connect(free)).await.is_err());
}

#[tokio::test]
async fn names_no_certificate_can_hold_are_refused() {
    let config = TargetConfig { names: vec!["ümlaut.example".into()], ..TargetConfig::default() };
    let error = Target::start(config).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("ümlaut.example"), "{error}");
}

#[tokio::test]
async fn every_listener_is_optional() {
    let config = TargetConfig {
        http: None,
        https: None,
        dns: None,
        control: None,
        ..TargetConfig::default()
    };
    let target = Target::start(config).await.unwrap();
    assert_eq!((target.http_addr(), target.control_addr()), (None, None));
    target.faults().clear_all().unwrap();
    in_time(target.stop()).await;
}
