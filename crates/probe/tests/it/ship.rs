//! The agent against an ingest whose every answer the test writes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use probe::Identity;
use probe::agent::{self, Config, Ingest, Summary};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::support::{LONG, options, read_head, serve, url};

/// A status, headers and a body; `{accepted}` becomes the number of events that were sent.
pub(crate) type Answer = (u16, Vec<(&'static str, &'static str)>, &'static str);

const ACK: &str = r#"{"accepted":{accepted},"duplicates":0,"rejected":[]}"#;
pub(crate) const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");

/// What an ingest was sent: tokens and events, request by request.
#[derive(Clone, Default)]
pub(crate) struct Received {
    tokens: Arc<Mutex<Vec<Option<String>>>>,
    batches: Arc<Mutex<Vec<Vec<serde_json::Value>>>>,
}

impl Received {
    pub(crate) fn batches(&self) -> Vec<Vec<serde_json::Value>> {
        self.batches.lock().unwrap().clone()
    }
}

/// An ingest that gives these answers in turn, then acknowledges everything.
pub(crate) async fn ingest(answers: Vec<Answer>) -> (SocketAddr, Received) {
    let received = Received::default();
    let script = Arc::new(Mutex::new(VecDeque::from(answers)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept = received.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (received, script) = (kept.clone(), Arc::clone(&script));
            let service =
                service_fn(move |request| answer(request, received.clone(), Arc::clone(&script)));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (address, received)
}

async fn answer(
    request: Request<Incoming>,
    received: Received,
    script: Arc<Mutex<VecDeque<Answer>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/events"));
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(text("content-type").unwrap(), "application/x-ndjson");
    let body = body.collect().await.unwrap().to_bytes();
    let mut lines = String::new();
    match text("content-encoding").as_deref() {
        Some("gzip") => {
            flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut lines).unwrap();
        }
        other => {
            assert_eq!(other, None);
            lines = String::from_utf8(body.to_vec()).unwrap();
        }
    }
    let events: Vec<_> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let count = events.len();
    received.tokens.lock().unwrap().push(text("authorization"));
    received.batches.lock().unwrap().push(events);
    let next = script.lock().unwrap().pop_front();
    let (status, headers, body) = next.unwrap_or((202, vec![], ACK));
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let body = body.replace("{accepted}", &count.to_string());
    Ok(response.body(Full::from(body)).unwrap())
}

/// Runs an agent with one target until `done`, then stops it.
async fn run_until(ingest: SocketAddr, done: impl AsyncFnOnce()) -> Summary {
    run_observed(ingest, None, done).await
}

async fn run_observed(
    ingest: SocketAddr,
    observer: Option<agent::Observer>,
    done: impl AsyncFnOnce(),
) -> Summary {
    let target = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let _ = stream.write_all(page.as_bytes()).await;
    })
    .await;
    let config = config(ingest, url(&format!("http://{target}/")));
    let shutdown = CancellationToken::new();
    let agent = tokio::spawn(agent::run(config, observer, shutdown.clone()));
    tokio::time::timeout(LONG, done()).await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(LONG, agent).await.unwrap().unwrap().unwrap()
}

/// One target, every second, with nothing on disk.
fn config(ingest: SocketAddr, target: url::Url) -> Config {
    Config {
        targets: vec![target.into()],
        interval: Duration::from_secs(1),
        throughput_every: None,
        echo: None,
        load: None,
        metrics: None,
        trace_share: 0.0,
        options: options(),
        identity: Identity::named("probe-1"),
        spool: None,
        bounds: agent::Bounds::default(),
        ingest: Some(Ingest {
            url: url(&format!("http://{ingest}")),
            token: Some("qoe_secret".to_owned()),
            ca_file: None,
        }),
    }
}

/// Waits until an ingest was sent this many requests.
async fn requests(received: &Received, count: usize) {
    while received.batches().len() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn ids(batch: &[serde_json::Value]) -> Vec<String> {
    batch.iter().map(|e| e["event_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_measured_arrives_with_the_token() {
    let (address, received) = ingest(vec![]).await;
    let summary = run_until(address, async || requests(&received, 1).await).await;
    let batches = received.batches();
    let event = &batches[0][0];
    assert_eq!(
        (event["client_id"].as_str(), event["schema_version"].as_str()),
        (Some("probe-1"), Some("1.1"))
    );
    assert_eq!(received.tokens.lock().unwrap()[0].as_deref(), Some("Bearer qoe_secret"));
    assert_eq!((summary.unsent, summary.refused, summary.dropped), (0, 0, 0));
    assert_eq!(summary.shipped, summary.measured);
}

#[tokio::test]
async fn prometheus_is_told_how_it_fares() {
    let (address, received) = ingest(vec![]).await;
    let target = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    // An address of its own: nobody takes the port in between.
    let own = std::net::Ipv4Addr::from_bits(0x7f53_0000 | (std::process::id() & 0xffff));
    let free = std::net::TcpListener::bind((own, 0)).unwrap().local_addr().unwrap();
    let mut config = config(address, url(&format!("http://{target}/")));
    (config.metrics, config.trace_share) = (Some(free), 1.0);
    let shutdown = CancellationToken::new();
    let agent = tokio::spawn(agent::run(config, None, shutdown.clone()));
    requests(&received, 1).await;
    let scrape = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(free).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
        answer
    };
    let shipped = async {
        while !scrape("/metrics").await.contains("\nqoe_probe_shipped_events_total 1\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, shipped).await.unwrap();
    let page = scrape("/metrics").await;
    assert!(page.contains("\n# TYPE qoe_probe_measurements_total counter\n"), "{page}");
    assert!(page.contains("\nqoe_probe_lost_events_total 0\n"), "{page}");
    assert!(!page.contains("probe-1") && !page.contains(&target.to_string()), "{page}");
    assert!(scrape("/else").await.starts_with("HTTP/1.1 404"));
    let event = &received.batches()[0][0];
    let id = event["event_id"].as_str().unwrap().replace('-', "");
    assert!(event["traceparent"].as_str().unwrap().starts_with(&format!("00-{id}-")), "{event}");
    shutdown.cancel();
    tokio::time::timeout(LONG, agent).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_acknowledged_is_sent_again() {
    let cases = [
        (503, vec![PROBLEM, ("retry-after", "0")], r#"{"title":"busy"}"#),
        (401, vec![PROBLEM, ("retry-after", "0")], r#"{"title":"who are you"}"#),
        (200, vec![("retry-after", "0")], "<html>log in to this wireless network</html>"),
        (202, vec![("retry-after", "0")], "<html>accepted by a proxy</html>"),
    ];
    join_all(cases.into_iter().map(async |first: Answer| {
        let (address, received) = ingest(vec![first.clone()]).await;
        let summary = run_until(address, async || requests(&received, 2).await).await;
        let batches = received.batches();
        assert_eq!(ids(&batches[0]), ids(&batches[1])[..batches[0].len()], "{first:?}");
        assert_eq!((summary.shipped, summary.unsent), (summary.measured, 0), "{first:?}");
    }))
    .await;
}

#[tokio::test]
async fn what_is_refused_for_good_blocks_nothing() {
    let named = r#"{"title":"no","rejected":[{"index":0,"event_id":null,"code":"invalid_field",
        "field":"target","detail":"too long"}]}"#;
    let cases = [
        (422, vec![PROBLEM], named),
        (400, vec![PROBLEM], r#"{"title":"not JSON"}"#),
        (413, vec![PROBLEM], r#"{"title":"too large"}"#),
    ];
    join_all(cases.into_iter().map(async |first: Answer| {
        let (address, received) = ingest(vec![first.clone()]).await;
        let summary = run_until(address, async || requests(&received, 2).await).await;
        let batches = received.batches();
        assert_ne!(ids(&batches[0]), ids(&batches[1]), "{first:?}");
        assert_eq!((summary.refused, summary.unsent), (1, 0), "{first:?}");
        assert_eq!(summary.shipped, summary.measured - 1, "{first:?}");
    }))
    .await;
}

#[tokio::test]
async fn what_cannot_be_shipped_at_the_end_is_told() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (seen, mut measured) = tokio::sync::mpsc::unbounded_channel();
    let observer: agent::Observer = Arc::new(move |m| seen.send(m.id).unwrap());
    let summary =
        run_observed(closed, Some(observer), async || measured.recv().await.map(drop).unwrap())
            .await;
    assert!(summary.measured >= 1);
    assert_eq!((summary.unsent, summary.shipped), (summary.measured, 0));
}

/// A name server that reads and says nothing, or one that answers that it can't.
async fn name_server(answers: bool) -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            // An answer, and the code of a server that failed.
            query[2] |= 0x80;
            query[3] = 2;
            if answers {
                socket.send_to(&query[..length], from).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_silent_name_server_is_the_probes_trouble_and_one_that_fails_is_not() {
    for (answers, trouble) in [(false, Some("resolver")), (true, None)] {
        let (address, received) = ingest(vec![]).await;
        let config = Config {
            options: probe::Options {
                resolver: Some(name_server(answers).await),
                timeout: Duration::from_millis(300),
                ..options()
            },
            ..config(address, url("http://name.test/"))
        };
        let shutdown = CancellationToken::new();
        let agent = tokio::spawn(agent::run(config, None, shutdown.clone()));
        tokio::time::timeout(LONG, requests(&received, 1)).await.unwrap();
        shutdown.cancel();
        tokio::time::timeout(LONG, agent).await.unwrap().unwrap().unwrap();
        let event = &received.batches()[0][0];
        assert_eq!(event["error_stage"], "dns", "{event}");
        let named = event["probe_trouble"].as_array().into_iter().flatten();
        // A busy machine may have stood still as well.
        let named = named.filter_map(|kind| kind.as_str()).find(|kind| *kind != "stall");
        assert_eq!(named, trouble, "{event}");
    }
}
