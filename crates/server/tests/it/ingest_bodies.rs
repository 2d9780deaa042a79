//! Bodies over real sockets: slow ones, those that end early, and those nobody wants.

use std::net::SocketAddr;
use std::time::Duration;

use server::ingest::Settings;
use server::ingest::accept::{AcceptLimits, serve};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::platform::{Parts, Platform, wire};
use crate::raw_http::Raw;

/// A platform behind the accept loop.
pub(crate) struct Served {
    pub(crate) platform: Platform,
    pub(crate) addr: SocketAddr,
    _stop: DropGuard,
}

pub(crate) async fn start(body_timeout: Duration) -> Served {
    let ingest = Settings { body_timeout, ..Settings::default() };
    let platform = Platform::of(Parts { ingest, ..Parts::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = serve(listener, None, platform.router(), AcceptLimits::default(), stop.clone());
    tokio::spawn(serving);
    Served { platform, addr, _stop: stop.drop_guard() }
}

impl Served {
    /// The head of a request with these fields beside the usual ones.
    fn head(&self, fields: &str) -> String {
        let token = &self.platform.token;
        format!(
            "POST /v1/events HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {token}\r\n{fields}\r\n\r\n"
        )
    }
}

/// Longer than any test.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_body_that_dribbles_in_is_given_up() {
    let served = start(Duration::from_millis(100)).await;
    let mut raw = Raw::connect(served.addr).await;
    raw.send(served.head("Content-Length: 500")).await;
    raw.send("{\"event_id\":").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.problem().as_str()), (408, "body_timeout"));
    raw.closed().await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_event() {
    let served = start(PATIENT).await;
    let event = wire("c", 0).to_string();
    for fields in
        [format!("Content-Length: {}", event.len() + 1), "Transfer-Encoding: chunked".into()]
    {
        let mut raw = Raw::connect(served.addr).await;
        raw.send(served.head(&fields)).await;
        if fields.contains("chunked") {
            raw.send(format!("{:x}\r\n", event.len())).await;
        }
        // All of it that matters; but its end was not seen.
        raw.send(&event).await;
        raw.finish().await;
        let reply = raw.reply().await;
        assert_eq!((reply.status, reply.problem().as_str()), (400, "incomplete_body"), "{fields}");
        raw.closed().await;
    }
    assert_eq!(served.platform.counted("c").await, 0);
}

#[tokio::test]
async fn who_asks_first_keeps_a_body_that_is_too_large() {
    let served = start(PATIENT).await;
    let expect =
        |length: usize| served.head(&format!("Expect: 100-continue\r\nContent-Length: {length}"));
    let mut raw = Raw::connect(served.addr).await;
    raw.send(expect((1 << 20) + 1)).await;
    let first = raw.next().await.unwrap();
    assert_eq!((first.status, first.problem().as_str()), (413, "body_too_large"));
    raw.closed().await;

    let event = wire("c", 0).to_string();
    let mut raw = Raw::connect(served.addr).await;
    raw.send(expect(event.len())).await;
    assert_eq!(raw.next().await.unwrap().status, 100);
    raw.send(&event).await;
    assert_eq!(raw.reply().await.status, 202);
    assert_eq!(served.platform.counted("c").await, 1);
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_at_the_limit() {
    let served = start(PATIENT).await;
    let mut raw = Raw::connect(served.addr).await;
    raw.send(served.head("Transfer-Encoding: chunked")).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    for _ in 0..64 {
        raw.send(&chunk).await;
    }
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.problem().as_str()), (413, "body_too_large"));
    assert_eq!(reply.headers["connection"], "close");
    raw.closed().await;
}

#[tokio::test]
async fn a_refusal_does_not_cost_the_connection() {
    let served = start(PATIENT).await;
    let mut raw = Raw::connect(served.addr).await;
    let good = wire("c", 0).to_string();
    for (body, status) in
        [(good.as_str(), 202), ("x", 400), ("[]", 400), ("{}", 422), ("null", 400), (&good, 202)]
    {
        let head = served.head(&format!("Content-Length: {}", body.len()));
        raw.send(format!("{head}{body}")).await;
        assert_eq!(raw.reply().await.status, status, "{body}");
    }
    assert_eq!(served.platform.counted("c").await, 1);
}
