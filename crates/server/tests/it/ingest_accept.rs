//! The accept loop: what connections may do, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use server::ingest::accept::{AcceptLimits, TlsError, serve, server_config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::raw_http::{DEADLINE, Raw};

const GET: &str = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

struct Served {
    addr: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    /// Requests that reached a handler.
    requests: Arc<AtomicUsize>,
    /// One permit lets one `GET /held` go.
    held: Arc<Semaphore>,
}

async fn start(tls: Option<Arc<rustls::ServerConfig>>, limits: AcceptLimits) -> Served {
    let requests = Arc::new(AtomicUsize::new(0));
    let held = Arc::new(Semaphore::new(0));
    let (count, count_held, gate) = (requests.clone(), requests.clone(), held.clone());
    let router = Router::new()
        .route(
            "/",
            get(async move || {
                count.fetch_add(1, Ordering::SeqCst);
                "here"
            }),
        )
        .route(
            "/held",
            get(async move || {
                count_held.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                "released"
            }),
        )
        .route("/unread", post(async || "did not look"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, tls, router, limits, shutdown.clone()));
    Served { addr, shutdown, task, requests, held }
}

impl Served {
    async fn stopped(self) {
        tokio::time::timeout(DEADLINE, self.task).await.expect("stops in time").unwrap();
    }

    async fn requests_are(&self, n: usize) {
        let reached = async {
            while self.requests.load(Ordering::SeqCst) != n {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.expect("the requests arrive");
    }
}

fn short(set: impl FnOnce(&mut AcceptLimits)) -> AcceptLimits {
    let mut limits = AcceptLimits::default();
    set(&mut limits);
    limits
}

#[tokio::test]
async fn a_head_that_dribbles_in_is_cut_off() {
    let served = start(None, short(|l| l.head = Duration::from_millis(100))).await;
    let mut slow = Raw::connect(served.addr).await;
    slow.send("GET / HTTP/1.1\r\nHost:").await;
    slow.closed().await;
    // And so is one that says nothing after a request.
    let mut idle = Raw::connect(served.addr).await;
    idle.send(GET).await;
    assert_eq!(idle.reply().await.status, 200);
    idle.closed().await;
    assert_eq!(served.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let served = start(None, short(|l| l.connections = 2)).await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(served.addr).await;
        raw.send(GET).await;
        assert_eq!(raw.reply().await.status, 200);
        connections.push(raw);
    }
    let mut third = Raw::connect(served.addr).await;
    third.send(GET).await;
    // Time enough for a server that would take it.
    for _ in 0..10 {
        connections[0].send(GET).await;
        assert_eq!(connections[0].reply().await.status, 200);
    }
    assert_eq!(served.requests.load(Ordering::SeqCst), 12);
    connections.pop();
    assert_eq!(third.reply().await.status, 200);
}

#[tokio::test]
async fn who_closes_its_half_still_gets_the_answer() {
    let served = start(None, AcceptLimits::default()).await;
    let mut raw = Raw::connect(served.addr).await;
    raw.send("GET /held HTTP/1.1\r\nHost: t\r\n\r\n").await;
    raw.finish().await;
    served.requests_are(1).await;
    served.held.add_permits(1);
    assert_eq!(raw.reply().await.body, b"released");
    raw.closed().await;
}

#[tokio::test]
async fn an_answer_reaches_a_sender_that_is_still_sending() {
    let served = start(None, AcceptLimits::default()).await;
    for _ in 0..10 {
        let mut raw = Raw::connect(served.addr).await;
        raw.send("POST /unread HTTP/1.1\r\nHost: t\r\nContent-Length: 8000000\r\n\r\n").await;
        // A reset in between would fail the sender, and many look no further.
        raw.send_all(&[b'x'; 8_000_000]).await.unwrap();
        assert_eq!(raw.reply().await.body, b"did not look");
    }
}

#[tokio::test]
async fn heads_have_bounds() {
    let served = start(None, AcceptLimits::default()).await;
    let url = |bytes: usize| format!("GET /?{} HTTP/1.1\r\nHost: t\r\n\r\n", "x".repeat(bytes - 2));
    let fields = |n: usize| {
        let fields: String = (1..n).map(|i| format!("x-{i}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: t\r\n{fields}\r\n")
    };
    let head = |bytes: usize| {
        let rest = GET.len() + "x: \r\n".len();
        format!("GET / HTTP/1.1\r\nHost: t\r\nx: {}\r\n\r\n", "y".repeat(bytes - rest))
    };
    let both = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    let rows = [
        (url(8 << 10), 200),
        (url((8 << 10) + 1), 414),
        (fields(64), 200),
        (fields(65), 431),
        (head(15 << 10), 200),
        (head((16 << 10) + 1), 431),
        (both.to_owned(), 400),
        ("GET / HTTP/1.1\r\nx\0: y\r\n\r\n".to_owned(), 400),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".to_owned(), 400),
    ];
    for (request, status) in rows {
        let mut raw = Raw::connect(served.addr).await;
        raw.send(&request).await;
        let reply = raw.reply().await;
        assert_eq!(reply.status, status, "{} bytes: {request:.80}", request.len());
        if status == 414 {
            assert_eq!(reply.problem(), "url_too_long");
        }
    }
}

#[tokio::test]
async fn http2_needs_tls() {
    let served = start(None, AcceptLimits::default()).await;
    let mut raw = Raw::connect(served.addr).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    raw.closed().await;
    assert_eq!(served.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn stopping_lets_requests_in_flight_end() {
    let served = start(None, AcceptLimits::default()).await;
    let (mut idle, mut busy) = (Raw::connect(served.addr).await, Raw::connect(served.addr).await);
    idle.send(GET).await;
    assert_eq!(idle.reply().await.status, 200);
    busy.send("GET /held HTTP/1.1\r\nHost: t\r\n\r\n").await;
    served.requests_are(2).await;
    served.shutdown.cancel();
    idle.closed().await;
    // The socket is gone, so nobody new is let in.
    let gone = async { while TcpStream::connect(served.addr).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, gone).await.expect("the socket closes");
    served.held.add_permits(1);
    assert_eq!(busy.reply().await.body, b"released");
    drop((idle, busy));
    served.stopped().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let served = start(None, short(|l| l.drain = Duration::from_millis(50))).await;
    let mut busy = Raw::connect(served.addr).await;
    busy.send("GET /held HTTP/1.1\r\nHost: t\r\n\r\n").await;
    served.requests_are(1).await;
    served.shutdown.cancel();
    served.stopped().await;
    busy.closed().await;
}

/// A configuration from files, and the certificate a client has to trust.
fn tls() -> (Arc<rustls::ServerConfig>, rustls_pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (server_config(&certificate, &key).unwrap(), made.cert.der().clone())
}

async fn tls_client(
    to: SocketAddr,
    trusted: rustls_pki_types::CertificateDer<'static>,
    alpn: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn over_tls_both_versions_are_spoken() {
    let (config, trusted) = tls();
    let served = start(Some(config), AcceptLimits::default()).await;
    let request =
        || http::Request::get("https://localhost/").body(Empty::<bytes::Bytes>::new()).unwrap();

    let stream = tls_client(served.addr, trusted.clone(), b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let reply = sender.send_request(request()).await.unwrap();
    assert_eq!(reply.version(), http::Version::HTTP_2);
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "here");

    let stream = tls_client(served.addr, trusted, b"http/1.1").await;
    let (mut sender1, connection1) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection1);
    let reply = sender1.send_request(request()).await.unwrap();
    assert_eq!((reply.version(), reply.status().as_u16()), (http::Version::HTTP_11, 200));
    reply.into_body().collect().await.unwrap();

    // Both end with the server.
    served.shutdown.cancel();
    connection.await.unwrap().unwrap();
    served.stopped().await;
}

#[tokio::test]
async fn on_a_tls_port_nothing_else_is_spoken() {
    let (config, _) = tls();
    let limits = short(|l| l.handshake = Duration::from_millis(100));
    let served = start(Some(config), limits).await;
    for said in [GET, ""] {
        let mut raw = Raw::connect(served.addr).await;
        raw.send(said).await;
        raw.closed().await;
    }
    assert_eq!(served.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.pem");
    let said = server_config(&missing, &missing).unwrap_err();
    assert!(matches!(said, TlsError::File { what: "certificate", .. }));
    assert!(said.to_string().contains("none.pem"), "{said}");
}
