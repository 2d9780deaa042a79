//! Echoes, against a server of datagrams that loses, doubles and turns round, and the loopback.

use std::net::SocketAddr;
use std::time::Duration;

use probe::echo::{EchoOptions, Method, echo};
use testbed::target::{EchoFault, Listener, Target, TargetConfig};
use tokio::net::UdpSocket;

fn options(udp_port: Option<u16>) -> EchoOptions {
    EchoOptions {
        count: 20,
        interval: Duration::from_millis(5),
        patience: Duration::from_millis(300),
        udp_port,
    }
}

#[tokio::test]
async fn what_a_server_loses_and_doubles_is_counted() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        let mut nth = 0;
        loop {
            let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
            nth += 1;
            if nth % 5 != 0 {
                server.send_to(&buffer[..length], peer).await.unwrap();
            }
            if nth == 7 {
                server.send_to(&buffer[..length], peer).await.unwrap();
                server.send_to(b"something else of no use", peer).await.unwrap();
            }
        }
    });
    let echoes = echo(address, &options(Some(address.port()))).await;
    assert_eq!((echoes.method, echoes.sent, echoes.duplicates), (Method::Udp, 20, 1));
    assert_eq!((echoes.round_trips.len(), echoes.reordered), (16, 0), "{echoes:?}");
    assert!((echoes.loss().unwrap() - 0.2).abs() < 1e-9);
    assert!(echoes.jitter().is_some() && echoes.median().unwrap() > Duration::ZERO);
}

#[tokio::test]
async fn the_loopback_answers_by_the_best_method_that_is_allowed() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let listener = tokio::net::TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let echoes = echo(address, &options(None)).await;
        assert_eq!(echoes.round_trips.len(), 20, "{echoes:?}");
        // A method that is not the best says why.
        assert_eq!(echoes.why_not_better.is_some(), echoes.method != Method::Icmp, "{echoes:?}");
    }
}

#[tokio::test]
async fn silence_is_loss_and_ends() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = silent.local_addr().unwrap();
    let echoes = echo(address, &options(Some(address.port()))).await;
    assert_eq!((echoes.sent, echoes.round_trips.len()), (20, 0));
    assert!((echoes.loss().unwrap() - 1.0).abs() < 1e-9);
    drop(silent);
    let refused = echo(address, &options(Some(address.port()))).await;
    assert!(refused.round_trips.is_empty() && refused.sent > 0, "nobody listens any more");
}

#[tokio::test]
async fn the_test_target_loses_and_delays_as_it_is_told() {
    let target = Target::start(TargetConfig::default()).await.unwrap();
    let address = target.echo_addr().unwrap();
    let whole = echo(address, &options(Some(address.port()))).await;
    assert_eq!((whole.method, whole.sent, whole.round_trips.len()), (Method::Udp, 20, 20));

    // Of twenty in a row each fifth is lost, and of the others each second (8 of them) is late.
    let fault = EchoFault { lose_every: 5, delay_every: 2, delay_ms: 60 };
    target.faults().set(Listener::Echo, fault).unwrap();
    let broken = echo(address, &options(Some(address.port()))).await;
    assert_eq!((broken.sent, broken.round_trips.len()), (20, 16), "{broken:?}");
    assert!((broken.loss().unwrap() - 0.2).abs() < 1e-9);
    let late = broken.round_trips.iter().filter(|time| **time >= Duration::from_millis(60));
    assert!(late.count() >= 8, "{broken:?}");
    assert!(broken.jitter() > whole.jitter(), "{broken:?} {whole:?}");
}
