//! Datagrams to the echo server, and what its faults do to them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testbed::target::{
    Accept, EchoFault, FaultError, HttpFault, Listener, Target, TargetConfig, TcpFault,
};
use tokio::net::UdpSocket;

use super::client::in_time;

async fn start() -> (Target, UdpSocket) {
    let target = Target::start(TargetConfig::default()).await.unwrap();
    let socket = connected(target.echo_addr().unwrap()).await;
    (target, socket)
}

async fn connected(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

fn request(number: u8) -> Vec<u8> {
    [b"qoe?".as_slice(), &[7; 9], &[number]].concat()
}

async fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 100];
    let length = in_time(socket.recv(&mut buffer)).await.unwrap();
    buffer[..length].to_vec()
}

#[tokio::test]
async fn requests_come_back_and_nothing_else_does() {
    let (_target, socket) = start().await;
    let strange: [&[u8]; 4] = [b"", b"ping", &[0; 14], b"qoe!1234567890"];
    for strange in strange {
        socket.send(strange).await.unwrap();
    }
    let (short, long) = (&request(1)[..13], [request(1), vec![0]].concat());
    socket.send(short).await.unwrap();
    socket.send(&long).await.unwrap();
    socket.send(&request(2)).await.unwrap();
    // Loopback keeps the order: had another been answered, it would be first.
    let answer = received(&socket).await;
    assert_eq!((answer.len(), &answer[..4], answer[13]), (14, b"qoe!".as_slice(), 2));
}

#[tokio::test]
async fn some_are_lost_and_some_late() {
    let (target, socket) = start().await;
    let fault = EchoFault { lose_every: 2, ..EchoFault::default() };
    target.faults().set(Listener::Echo, fault).unwrap();
    for number in 1..=4 {
        socket.send(&request(number)).await.unwrap();
    }
    let numbers = [received(&socket).await[13], received(&socket).await[13]];
    assert_eq!(numbers, [1, 3]);

    let fault = EchoFault { delay_every: 1, delay_ms: 60, ..EchoFault::default() };
    target.faults().set(Listener::Echo, fault).unwrap();
    let start = Instant::now();
    socket.send(&request(5)).await.unwrap();
    assert_eq!(received(&socket).await[13], 5);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn only_its_own_faults_apply_and_none_after_the_end() {
    let (target, _socket) = start().await;
    let faults = target.faults().clone();
    let refused = |outcome| match outcome {
        Err(FaultError::DoesNotApply { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    let http = HttpFault { delay_ms: 1, ..HttpFault::default() };
    assert_eq!(refused(faults.set(Listener::Echo, http)), "http");
    let tcp = TcpFault { accept: Accept::Stall };
    assert_eq!(refused(faults.set(Listener::Echo, tcp)), "tcp");
    let echo = EchoFault { lose_every: 1, ..EchoFault::default() };
    assert_eq!(refused(faults.set(Listener::Http, echo)), "echo");
    in_time(target.stop()).await;
    assert!(matches!(
        faults.set(Listener::Echo, EchoFault::default()),
        Err(FaultError::NotServed(Listener::Echo))
    ));
}
