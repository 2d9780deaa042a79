//! Questions to the DNS server, and what its faults do to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use testbed::target::{Accept, DnsAnswer, DnsFault, Listener, Target, TargetConfig, TcpFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::client::{A_WHILE, connect, in_time};

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

async fn start() -> Target {
    let v6 = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let zone = BTreeMap::from([
        ("shop.example".to_owned(), vec![address(1), v6, address(2)]),
        ("many.example".to_owned(), (0..60).map(address).collect()),
        ("most.example.".to_owned(), (0..200).map(address).collect()),
    ]);
    Target::start(TargetConfig { zone, ..TargetConfig::default() }).await.unwrap()
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

async fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

async fn receive(socket: &UdpSocket) -> Message {
    let mut answer = vec![0; 65_535];
    let len = in_time(socket.recv(&mut answer)).await.unwrap();
    Message::from_vec(&answer[..len]).unwrap()
}

async fn ask(server: SocketAddr, query: &Message) -> Message {
    let socket = socket(server).await;
    socket.send(&query.to_vec().unwrap()).await.unwrap();
    let answer = receive(&socket).await;
    assert_eq!((answer.id, answer.queries.as_slice()), (query.id, query.queries.as_slice()));
    answer
}

async fn ask_on(stream: &mut TcpStream, query: &Message) -> Message {
    let query = query.to_vec().unwrap();
    stream.write_u16(query.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&query).await.unwrap();
    let mut answer = vec![0; in_time(stream.read_u16()).await.unwrap().into()];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

fn addresses(answer: &Message) -> Vec<IpAddr> {
    answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

#[tokio::test]
async fn names_have_their_addresses_by_type() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    let answer = ask(dns, &query("shop.example.", RecordType::A)).await;
    assert_eq!(addresses(&answer), [address(1), address(2)]);
    assert!(answer.answers.iter().all(|record| record.ttl == 0));
    assert!(answer.recursion_desired && answer.authoritative && !answer.truncation);

    let answer = ask(dns, &query("shop.example.", RecordType::AAAA)).await;
    assert_eq!(addresses(&answer), [IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))]);
}

#[tokio::test]
async fn no_data_and_no_name_are_told_apart() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    for (name, kind, code) in [
        ("shop.example.", RecordType::MX, ResponseCode::NoError),
        ("many.example.", RecordType::AAAA, ResponseCode::NoError),
        ("example.", RecordType::A, ResponseCode::NoError),
        ("www.shop.example.", RecordType::A, ResponseCode::NXDomain),
        ("shop.test.", RecordType::A, ResponseCode::NXDomain),
    ] {
        let answer = ask(dns, &query(name, kind)).await;
        assert_eq!((answer.response_code, answer.answers.len()), (code, 0), "{name} {kind}");
    }
}

#[tokio::test]
async fn letter_case_does_not_matter_and_comes_back() {
    let target = start().await;
    let asked = query("sHoP.ExamplE.", RecordType::A);
    let answer = ask(target.dns_addr().unwrap(), &asked).await;
    assert_eq!(answer.answers.len(), 2);
    assert!(answer.queries[0].name().eq_case(asked.queries[0].name()));
    assert!(answer.answers[0].name.eq_case(asked.queries[0].name()));
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_comes_over_tcp() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    let mut many = query("many.example.", RecordType::A);
    let plain = ask(dns, &many).await;
    assert_eq!((plain.truncation, plain.answers.len()), (true, 0));

    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    many.set_edns(edns.clone());
    let with_edns = ask(dns, &many).await;
    assert_eq!((with_edns.truncation, with_edns.answers.len()), (false, 60));
    assert!(with_edns.edns.is_some());

    let mut most = query("most.example.", RecordType::A);
    most.set_edns(edns);
    assert!(ask(dns, &most).await.truncation, "3 KB is more than we send in a datagram");

    let mut stream = connect(dns).await;
    for (name, len) in [("most.example.", 200), ("shop.example.", 2), ("many.example.", 60)] {
        let answer = ask_on(&mut stream, &query(name, RecordType::A)).await;
        assert_eq!((answer.truncation, answer.answers.len()), (false, len), "{name}");
    }
}

#[tokio::test]
async fn odd_queries_get_their_codes() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();

    let mut update = query("shop.example.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(ask(dns, &update).await.response_code, ResponseCode::NotImp);

    let mut two = query("shop.example.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("many.example.").unwrap(), RecordType::A));
    assert_eq!(ask(dns, &two).await.response_code, ResponseCode::FormErr);

    let mut newer = query("shop.example.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.set_edns(edns);
    // 16 is BADVERS here and BADSIG in a signature.
    assert_eq!(u16::from(ask(dns, &newer).await.response_code), 16);

    let socket = socket(dns).await;
    let mut broken = query("shop.example.", RecordType::A).to_vec().unwrap();
    broken.truncate(20);
    socket.send(&broken).await.unwrap();
    let answer = receive(&socket).await;
    assert_eq!(
        (answer.response_code, answer.id.to_be_bytes().as_slice()),
        (ResponseCode::FormErr, &broken[..2])
    );
}

#[tokio::test]
async fn what_is_not_a_query_is_not_answered() {
    let target = start().await;
    let socket = socket(target.dns_addr().unwrap()).await;
    let response = query("shop.example.", RecordType::A).into_response();
    socket.send(&response.to_vec().unwrap()).await.unwrap();
    socket.send(b"tiny").await.unwrap();
    let asked = query("shop.example.", RecordType::A);
    socket.send(&asked.to_vec().unwrap()).await.unwrap();
    // Datagrams are answered in turn here, so the first answer is to the last of them.
    assert_eq!(receive(&socket).await.id, asked.id);
}

#[tokio::test]
async fn failing_answers_have_their_codes_over_udp_and_tcp() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    let asked = query("shop.example.", RecordType::A);
    let mut stream = connect(dns).await;
    for (answer, code) in [
        (DnsAnswer::Servfail, ResponseCode::ServFail),
        (DnsAnswer::Nxdomain, ResponseCode::NXDomain),
        (DnsAnswer::Ok, ResponseCode::NoError),
    ] {
        target.faults().set(Listener::Dns, DnsFault { answer, ..DnsFault::default() }).unwrap();
        let udp = ask(dns, &asked).await;
        let tcp = ask_on(&mut stream, &asked).await;
        assert_eq!((udp.response_code, tcp.response_code), (code, code));
        assert_eq!(udp.answers.len(), if code == ResponseCode::NoError { 2 } else { 0 });
    }
}

#[tokio::test]
async fn silence_is_silence_until_it_is_cleared() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    let asked = query("shop.example.", RecordType::A);
    target
        .faults()
        .set(Listener::Dns, DnsFault { answer: DnsAnswer::Silence, ..DnsFault::default() })
        .unwrap();
    let socket = socket(dns).await;
    socket.send(&asked.to_vec().unwrap()).await.unwrap();
    assert!(timeout(A_WHILE, socket.recv(&mut [0; 512])).await.is_err());
    assert!(timeout(A_WHILE, ask_on(&mut connect(dns).await, &asked)).await.is_err());

    target.faults().clear_all().unwrap();
    assert_eq!(ask(dns, &asked).await.answers.len(), 2);
}

#[tokio::test]
async fn a_delay_holds_back_each_answer_and_no_other() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    let asked = query("shop.example.", RecordType::A);
    target.faults().set(Listener::Dns, DnsFault { delay_ms: 120, ..DnsFault::default() }).unwrap();
    let start = Instant::now();
    assert_eq!(ask(dns, &asked).await.answers.len(), 2);
    assert!(start.elapsed() >= Duration::from_millis(120));

    // A query that waits a minute, and one that comes after it and does not wait.
    target
        .faults()
        .set(Listener::Dns, DnsFault { delay_ms: 60_000, ..DnsFault::default() })
        .unwrap();
    let socket = socket(dns).await;
    socket.send(&asked.to_vec().unwrap()).await.unwrap();
    let start = Instant::now();
    let mut stream = connect(dns).await;
    assert!(timeout(A_WHILE, ask_on(&mut stream, &asked)).await.is_err());
    assert!(start.elapsed() >= A_WHILE);
    target.faults().clear_all().unwrap();
    let next = query("many.example.", RecordType::AAAA);
    socket.send(&next.to_vec().unwrap()).await.unwrap();
    assert_eq!(receive(&socket).await.id, next.id);
}

#[tokio::test]
async fn tcp_faults_on_dns_leave_udp_alone() {
    let target = start().await;
    let dns = target.dns_addr().unwrap();
    target.faults().set(Listener::Dns, TcpFault { accept: Accept::Refuse }).unwrap();
    let error = in_time(TcpStream::connect(dns)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(ask(dns, &query("many.example.", RecordType::A)).await.truncation);
}

#[tokio::test]
async fn zones_that_can_not_be_served_are_refused() {
    for (name, count) in [("a..b", 1), ("big.example", 1001)] {
        let zone = BTreeMap::from([(name.to_owned(), vec![address(1); count])]);
        let error =
            Target::start(TargetConfig { zone, ..TargetConfig::default() }).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
}
