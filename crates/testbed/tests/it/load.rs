//! Sending to an ingest that answers as it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use model::sketch::Quantile;
use model::wire::WireEvent;
use testbed::load::raw::{Plan, Template, Until, drive};
use testbed::load::{Format, SendError, Sender};
use testbed::simulate::{Scenario, events};
use tokio::net::TcpListener;
use url::Url;
use uuid::Uuid;

/// One answer of the ingest.
#[derive(Clone, Debug)]
enum Say {
    /// 202, everything accepted.
    Accept,
    /// This status, `Retry-After` and body.
    Status(u16, Option<&'static str>, &'static str),
    /// Reads the request, counts it, and closes without a word.
    Vanish,
}

/// What it was sent.
#[derive(Clone, Debug)]
struct Seen {
    authorization: String,
    content_type: String,
    path: String,
    body: Bytes,
    answered: bool,
}

/// An ingest that answers by a list, then accepts.
struct Ingest {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Ingest {
    async fn that(says: &[Say]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::new(Mutex::new(VecDeque::from(says.to_vec())));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, says) = (Arc::clone(&log), Arc::clone(&says));
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&log), Arc::clone(&says)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { addr, seen }
    }

    fn sender(&self) -> Sender {
        let url = format!("http://{}/v1/events?via=test", self.addr);
        Sender::new(&Url::parse(&url).unwrap(), "qoe_secret").unwrap().batch(50)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The events of every request that was answered, sorted.
    fn ids(&self) -> Vec<Uuid> {
        let answered = self.seen().into_iter().filter(|seen| seen.answered);
        let mut ids: Vec<_> =
            answered.flat_map(|seen| parse(&seen.body)).map(|e| e.event_id).collect();
        ids.sort_unstable();
        ids
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
    says: Arc<Mutex<VecDeque<Say>>>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let header = |name| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (authorization, content_type) = (header("authorization"), header("content-type"));
    let path = request.uri().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let say = says.lock().unwrap().pop_front().unwrap_or(Say::Accept);
    let answered = matches!(say, Say::Accept);
    let events = parse(&body).len();
    seen.lock().unwrap().push(Seen { authorization, content_type, path, body, answered });
    let response = Response::builder();
    match say {
        Say::Accept => {
            let body = format!(r#"{{"accepted":{events},"duplicates":null,"rejected":[]}}"#);
            Ok(response.status(202).body(Full::from(body)).unwrap())
        }
        Say::Status(status, retry_after, body) => {
            let response = match retry_after {
                Some(seconds) => response.header("retry-after", seconds),
                None => response,
            };
            Ok(response.status(status).body(Full::from(body)).unwrap())
        }
        Say::Vanish => Err("vanish"),
    }
}

fn parse(body: &[u8]) -> Vec<WireEvent> {
    if body.starts_with(b"[") {
        return serde_json::from_slice(body).unwrap();
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn scenario() -> Scenario {
    Scenario::fleet(1, 4, 3, 1_700_000_040_000, 10, 6)
}

fn ids() -> Vec<Uuid> {
    let mut ids: Vec<_> = events(&scenario()).map(|event| event.event_id).collect();
    ids.sort_unstable();
    ids
}

const PUT_OFF: Say = Say::Status(429, Some("0"), "{}");
const FULL: Say = Say::Status(503, Some("0"), r#"{"title":"bus full"}"#);

#[tokio::test]
async fn every_event_arrives_once_in_either_format() {
    for (format, content_type) in
        [(Format::Json, "application/json"), (Format::Ndjson, "application/x-ndjson")]
    {
        let ingest = Ingest::that(&[]).await;
        let mut steps = 0;
        let sender = ingest.sender().format(format).connections(3);
        let totals = sender.send_all(events(&scenario()), |_| steps += 1).await.unwrap();
        assert_eq!((totals.sent, totals.accepted, totals.batches), (720, 720, 15));
        assert_eq!((totals.retries, steps), (0, 15));
        assert_eq!(ingest.ids(), ids());
        for seen in ingest.seen() {
            assert_eq!(seen.authorization, "Bearer qoe_secret");
            assert_eq!(seen.content_type, content_type);
            assert_eq!(seen.path, "/v1/events?via=test");
        }
    }
}

#[tokio::test]
async fn what_is_put_off_or_lost_is_sent_again() {
    let says = [PUT_OFF, FULL, Say::Vanish, Say::Accept, Say::Vanish, PUT_OFF];
    let ingest = Ingest::that(&says).await;
    let mut pauses = Vec::new();
    let totals = ingest
        .sender()
        .connections(2)
        .send_all(events(&scenario()), |progress| {
            pauses.extend(progress.paused.map(|(pause, why)| (pause, why.to_owned())));
        })
        .await
        .unwrap();
    assert_eq!((totals.sent, totals.accepted, totals.retries), (720, 720, 5));
    assert_eq!(ingest.ids(), ids());
    assert_eq!(pauses.len(), 5);
    assert!(pauses.iter().any(|(pause, why)| pause.is_zero() && why.contains("429")), "{pauses:?}");
    assert!(pauses.iter().any(|(pause, why)| pause.is_zero() && why.contains("503")), "{pauses:?}");
    assert!(pauses.iter().any(|(pause, _)| !pause.is_zero()), "{pauses:?}");
}

#[tokio::test]
async fn the_same_body_comes_again() {
    let ingest = Ingest::that(&[FULL, PUT_OFF]).await;
    let sender = ingest.sender().connections(1).batch(1_000);
    sender.send_all(events(&scenario()), |_| ()).await.unwrap();
    let seen = ingest.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|again| again.body == seen[0].body));
}

#[tokio::test]
async fn retry_after_is_waited_for_within_the_patience() {
    let ingest = Ingest::that(&[Say::Status(429, Some("7"), "{}")]).await;
    // Told to wait, it waits: stopped when it says so.
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let sender = ingest.sender().connections(1).patience(Duration::from_secs(60));
    let sending = sender.send_all(events(&scenario()), move |progress| {
        tell.send(progress.paused.map(|(pause, _)| pause)).unwrap();
    });
    tokio::select! {
        ended = sending => panic!("{ended:?}"),
        paused = told.recv() => assert_eq!(paused, Some(Some(Duration::from_secs(7)))),
    }
    assert_eq!(ingest.seen().len(), 1);

    let ingest = Ingest::that(&[Say::Status(429, Some("7"), "{}")]).await;
    let sender = ingest.sender().connections(1).patience(Duration::from_secs(5));
    let error = sender.send_all(events(&scenario()), |_| ()).await.unwrap_err();
    assert!(matches!(error, SendError::GaveUp { attempts: 1, .. }), "{error}");
    assert!(error.to_string().contains("429"), "{error}");
}

#[tokio::test]
async fn rejections_are_counted_by_code() {
    const SOME: Say = Say::Status(
        202,
        None,
        r#"{"accepted":1,"duplicates":1,"rejected":[
            {"index":0,"event_id":null,"code":"too_old","field":"ts_ms","detail":"8 days"}]}"#,
    );
    const NONE: Say = Say::Status(
        422,
        None,
        r#"{"title":"no event accepted","status":422,"rejected":[
            {"index":0,"event_id":null,"code":"too_old","field":"ts_ms","detail":"9 days"},
            {"index":1,"event_id":null,"code":"client_mismatch","field":"client_id","detail":"x"}]}"#,
    );
    let ingest = Ingest::that(&[SOME, NONE]).await;
    let sender = ingest.sender().connections(1).batch(2);
    let totals = sender.send_all(events(&scenario()).take(6), |_| ()).await.unwrap();
    assert_eq!((totals.sent, totals.accepted, totals.duplicates), (6, 3, 1));
    let expected = [("client_mismatch".to_owned(), 1), ("too_old".to_owned(), 2)];
    assert_eq!(totals.rejected, expected.into());
    assert_eq!(totals.first_rejection.unwrap(), "event 0: too_old ts_ms: 8 days");
}

#[tokio::test]
async fn what_will_not_change_is_an_error_at_once() {
    for (status, text) in [
        (400, r#"{"title":"bad","detail":"line 1"}"#),
        (401, r#"{"title":"Unauthorized"}"#),
        (403, r#"{"title":"Forbidden"}"#),
        (413, r#"{"title":"too large"}"#),
        (404, "not here"),
        (307, ""),
    ] {
        let ingest = Ingest::that(&[Say::Status(status, Some("0"), text)]).await;
        let sender = ingest.sender().connections(1);
        let error = sender.send_all(events(&scenario()), |_| ()).await.unwrap_err();
        let SendError::Refused { status: told, .. } = &error else { panic!("{error}") };
        assert_eq!(told.as_u16(), status);
        assert_eq!(ingest.seen().len(), 1);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_account_for_every_event_is_an_error() {
    for body in [r#"{"accepted":49,"duplicates":0,"rejected":[]}"#, "fine"] {
        let ingest = Ingest::that(&[Say::Status(202, None, body)]).await;
        let sender = ingest.sender().connections(1);
        let error = sender.send_all(events(&scenario()), |_| ()).await.unwrap_err();
        assert!(matches!(error, SendError::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_when_patience_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/v1/events", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let sender = Sender::new(&url, "t").unwrap().patience(Duration::ZERO);
    let error = sender.send_all(events(&scenario()), |_| ()).await.unwrap_err();
    assert!(matches!(error, SendError::GaveUp { .. }), "{error}");
    assert!(error.to_string().contains("connect"), "{error}");
}

#[tokio::test]
async fn https_without_trust_is_an_error_before_anything_is_sent() {
    let url = Url::parse("https://127.0.0.1:1/v1/events").unwrap();
    let sender = Sender::new(&url, "t").unwrap();
    let error = sender.send_all(events(&scenario()), |_| ()).await.unwrap_err();
    assert!(matches!(error, SendError::Config(_)), "{error}");
}

#[tokio::test]
async fn raw_driving_counts_what_is_answered() {
    let ingest = Ingest::that(&[Say::Status(503, None, "later")]).await;
    let batch: Vec<_> = events(&scenario()).take(20).collect();
    let mut template = Template::new(&batch);
    let plan = Plan {
        addr: ingest.addr,
        path: "/v1/events".to_owned(),
        token: Some("qoe_secret".to_owned()),
        content_type: "application/json",
        connections: 4,
        until: Until::Requests(30),
    };
    let report = drive(&plan, |out| template.append_to(out)).await.unwrap();
    assert_eq!((report.requests, report.events), (30, 29 * 20));
    assert_eq!(report.statuses, [(202, 29), (503, 1)].into());
    assert_eq!(report.latency.count(), 30);
    assert!(report.latency_at(Quantile::P99).is_some());

    let seen = ingest.seen();
    assert!(seen.iter().all(|seen| seen.authorization == "Bearer qoe_secret"));
    let mut ids: Vec<_> = seen.iter().flat_map(|s| parse(&s.body)).map(|e| e.event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 30 * 20, "each body has ids of its own");
    let mut sent = parse(&seen[0].body);
    for (sent, original) in sent.iter_mut().zip(&batch) {
        assert_eq!(sent.event_id.get_version_num(), 7);
        sent.event_id = original.event_id;
    }
    assert_eq!(sent, batch, "and is otherwise what it was made from");
}
