//! The look-up against small servers whose every answer the test writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// A name server: the answers to the n-th query (from 0), each a whole datagram.
struct Server {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
}

impl Server {
    async fn start(
        answers: impl Fn(usize, &Message) -> Vec<Message> + Send + Sync + 'static,
    ) -> Self {
        let (socket, tcp) = Self::bind().await;
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&queries);
        let answers = Arc::new(answers);
        let udp_answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let n = counter.fetch_add(1, Ordering::SeqCst);
                for answer in udp_answers(n, &query) {
                    socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
                }
            }
        });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                while let Ok(length) = stream.read_u16().await {
                    let mut buffer = vec![0; usize::from(length)];
                    stream.read_exact(&mut buffer).await.unwrap();
                    let query = Message::from_vec(&buffer).unwrap();
                    for answer in answers(usize::MAX, &query) {
                        let bytes = answer.to_vec().unwrap();
                        stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
                        stream.write_all(&bytes).await.unwrap();
                    }
                }
            }
        });
        Self { address, queries }
    }

    /// One port for both protocols: a port that is free for UDP may be taken for TCP.
    async fn bind() -> (UdpSocket, TcpListener) {
        for _ in 0..100 {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(socket.local_addr().unwrap()).await {
                return (socket, tcp);
            }
        }
        panic!("no port is free for both UDP and TCP");
    }

    fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }
}

fn kind_of(query: &Message) -> RecordType {
    query.queries[0].query_type
}

/// Answers A with 192.0.2.1 and AAAA with nothing.
fn v4_only(query: &Message) -> Message {
    let mut answer = query.clone().into_response();
    if kind_of(query) == RecordType::A {
        let name = query.queries[0].name.clone();
        answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 1))));
    }
    answer
}

fn with_code(query: &Message, code: ResponseCode) -> Message {
    let mut answer = query.clone().into_response();
    answer.metadata.response_code = code;
    answer
}

fn questions(name: &str, servers: &[SocketAddr]) -> Questions {
    Questions {
        names: vec![Name::from_ascii(name).unwrap()],
        servers: servers.to_vec(),
        attempts: 2,
        try_timeout: TRY_TIMEOUT,
        families: BOTH.to_vec(),
    }
}

async fn ask(server: SocketAddr, within: Duration) -> Lookup {
    questions("a.test.", &[server]).ask(Deadline::now() + within).await
}

const LONG: Duration = Duration::from_secs(30);

fn kind_in(lookup: &Lookup) -> Option<&'static str> {
    lookup.failure.as_ref().map(|f| f.kind)
}

#[tokio::test]
async fn both_families_are_asked_once() {
    let server = Server::start(|_, q| {
        let mut answer = v4_only(q);
        if kind_of(q) == RecordType::AAAA {
            let name = q.queries[0].name.clone();
            let ip = AAAA("2001:db8::1".parse().unwrap());
            answer.add_answer(Record::from_rdata(name, 60, RData::AAAA(ip)));
        }
        vec![answer]
    })
    .await;
    let lookup = ask(server.address, LONG).await;
    assert_eq!(lookup.failure, None);
    let expected: [IpAddr; 2] = [[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()];
    assert_eq!(lookup.addresses, expected);
    assert_eq!((server.queries(), lookup.retries), (2, 0));
    assert_eq!(lookup.server, Some(server.address));
    assert!(lookup.time.is_some_and(|t| t > Duration::ZERO));
}

#[tokio::test]
async fn a_missing_family_is_awaited_shortly_and_not_charged() {
    let server =
        Server::start(|_, q| if kind_of(q) == RecordType::A { vec![v4_only(q)] } else { vec![] })
            .await;
    let start = Instant::now();
    let lookup = ask(server.address, LONG).await;
    assert!(start.elapsed() >= GRACE);
    assert_eq!(lookup.addresses.len(), 1);
    assert!(lookup.time.unwrap() < start.elapsed() - GRACE / 2);
}

#[tokio::test]
async fn forged_answers_are_passed_over() {
    let server = Server::start(|_, q| {
        let mut forged = v4_only(q);
        forged.metadata.id = forged.metadata.id.wrapping_add(1);
        let mut other = v4_only(q);
        other.queries[0].name = Name::from_ascii("b.test.").unwrap();
        vec![forged, other, v4_only(q)]
    })
    .await;
    let lookup = ask(server.address, LONG).await;
    assert_eq!(lookup.addresses, [IpAddr::from([192, 0, 2, 1])]);
}

#[tokio::test]
async fn a_lost_query_is_sent_again_and_its_waiting_counts() {
    let server = Server::start(|n, q| if n < 2 { vec![] } else { vec![v4_only(q)] }).await;
    let lookup = ask(server.address, Duration::from_millis(400)).await;
    assert_eq!(lookup.failure, None);
    assert_eq!((lookup.retries, server.queries()), (1, 4));
    assert!(lookup.time.unwrap() >= Duration::from_millis(150), "{:?}", lookup.time);
}

#[tokio::test]
async fn silence_is_a_timeout_within_the_deadline() {
    let server = Server::start(|_, _| vec![]).await;
    let start = Instant::now();
    let lookup = ask(server.address, Duration::from_millis(200)).await;
    assert_eq!(kind_in(&lookup), Some(kind::DNS_TIMEOUT));
    assert_eq!((lookup.time, lookup.server), (None, None));
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(start.elapsed() < LONG);
}

#[tokio::test]
async fn answers_that_fail_are_named() {
    for (code, kind) in [
        (ResponseCode::NXDomain, kind::DNS_NXDOMAIN),
        (ResponseCode::ServFail, kind::DNS_SERVFAIL),
        (ResponseCode::Refused, kind::DNS_FAILED),
        (ResponseCode::NoError, kind::DNS_NAME_NOT_RESOLVED),
    ] {
        let server = Server::start(move |_, q| vec![with_code(q, code)]).await;
        let lookup = ask(server.address, LONG).await;
        assert_eq!(kind_in(&lookup), Some(kind), "{code}");
        assert_eq!(lookup.server, Some(server.address), "{code}");
        assert_eq!(lookup.time, None);
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable_at_once() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lookup = ask(closed, LONG).await;
    assert_eq!(kind_in(&lookup), Some(kind::DNS_UNREACHABLE));
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failing = Server::start(|_, q| vec![with_code(q, ResponseCode::ServFail)]).await;
    let good = Server::start(|_, q| vec![v4_only(q)]).await;
    let servers = [closed, failing.address, good.address];
    let lookup = questions("a.test.", &servers).ask(Deadline::now() + LONG).await;
    assert_eq!((lookup.failure.clone(), lookup.server), (None, Some(good.address)));
    assert_eq!(lookup.retries, 0, "nothing was lost");
}

#[tokio::test]
async fn the_search_list_is_walked_past_names_that_are_not_there() {
    let wanted = Name::from_ascii("a.lan.test.").unwrap();
    let there = wanted.clone();
    let server = Server::start(move |_, q| {
        let known = q.queries[0].name == there;
        vec![if known { v4_only(q) } else { with_code(q, ResponseCode::NXDomain) }]
    })
    .await;
    let mut questions = questions("a.corp.test.", &[server.address]);
    questions.names.push(wanted);
    let lookup = questions.ask(Deadline::now() + LONG).await;
    assert_eq!((lookup.failure.clone(), lookup.addresses.len()), (None, 1));
    assert_eq!(server.queries(), 4);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = Server::start(|n, q| {
        let mut answer = v4_only(q);
        if n != usize::MAX {
            answer.answers.clear();
            answer.metadata.truncation = true;
        }
        vec![answer]
    })
    .await;
    let lookup = ask(server.address, LONG).await;
    assert_eq!(lookup.failure, None);
    assert_eq!(lookup.addresses, [IpAddr::from([192, 0, 2, 1])]);
}

#[test]
fn literals_and_hosts_need_no_look_up() {
    let etc = tempfile::tempdir().unwrap();
    std::fs::write(etc.path().join("hosts"), "192.0.2.9 printer\n").unwrap();
    std::fs::write(etc.path().join("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
    let known = |plan| matches!(plan, Plan::Known(addresses) if addresses.len() == 1);
    let system = Resolver::with_etc(None, etc.path());
    assert!(known(system.plan(&Host::Ipv4([192, 0, 2, 1].into()))));
    assert!(known(system.plan(&Host::Domain("printer"))));
    assert!(known(system.plan(&Host::Domain("localhost"))));
    let Plan::Ask(questions) = system.plan(&Host::Domain("www.example.org")) else {
        panic!("a name is asked for");
    };
    assert_eq!(questions.servers, [SocketAddr::from(([192, 0, 2, 53], 53))]);

    let named = Resolver::with_etc(Some(([192, 0, 2, 1], 53).into()), etc.path());
    assert!(matches!(named.plan(&Host::Domain("printer")), Plan::Ask(_)));
    let long = format!("{}.example", "x".repeat(64));
    assert!(matches!(named.plan(&Host::Domain(&long)), Plan::Impossible(_)));
}
