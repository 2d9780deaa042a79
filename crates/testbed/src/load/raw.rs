//! Driving an ingest as hard as it goes, with as little of the machine as possible: bodies are
//! made beforehand, requests are written by hand, answers are only counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use model::sketch::{Quantile, Sketch};
use model::wire::WireEvent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What to drive, and how long.
#[derive(Clone)]
pub struct Plan {
    /// Where to.
    pub addr: SocketAddr,
    /// The request's path.
    pub path: String,
    /// Bearer token.
    pub token: Option<String>,
    /// The bodies' media type.
    pub content_type: &'static str,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// Requests a second at most, spread evenly; as many as go where it is not given.
    pub pace: Option<f64>,
    /// When to stop.
    pub until: Until,
}

/// When to stop; what is under way then is still waited for.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After a time.
    Elapsed(Duration),
    /// After so many requests.
    Requests(u64),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Answers.
    pub requests: u64,
    /// Events in requests that were answered 2xx.
    pub events: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Request to end of answer, microseconds; where there is a pace, from when it was due.
    pub latency: Sketch,
}

impl Report {
    /// Answers a second.
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Events answered 2xx a second.
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency; absent without an answer.
    pub fn latency_at(&self, quantile: Quantile) -> Option<Duration> {
        self.latency.quantile(quantile).map(Duration::from_micros)
    }
}

/// Drives. `source` appends a body to the buffer and says how many events are in it; it is called
/// once a request, under a lock, so it had better be quick ([`Template`] is).
///
/// # Errors
/// A connection that can't be made or breaks, an answer that is not HTTP/1.1 with a length.
pub async fn drive(
    plan: &Plan,
    source: impl FnMut(&mut Vec<u8>) -> u32 + Send,
) -> io::Result<Report> {
    let started = Instant::now();
    let shared = Mutex::new(Shared { source, begun: 0 });
    let tallies = try_join_all((0..plan.connections).map(|_| one(plan, started, &shared))).await?;
    let mut report = Report {
        elapsed: started.elapsed(),
        requests: 0,
        events: 0,
        statuses: BTreeMap::new(),
        latency: Sketch::new(),
    };
    for tally in tallies {
        report.events += tally.events;
        report.latency.merge(&tally.latency);
        for (status, n) in tally.statuses {
            report.requests += n;
            *report.statuses.entry(status).or_default() += n;
        }
    }
    Ok(report)
}

/// A JSON array of events that is another one each time it is used: the ids' last 48 bits count.
#[derive(Clone, Debug)]
pub struct Template {
    body: Vec<u8>,
    /// Where each id's last twelve digits are.
    digits: Vec<usize>,
    used: u64,
}

impl Template {
    /// Takes the events as they are, except for the ends of their ids.
    pub fn new(events: &[WireEvent]) -> Self {
        let mut body = vec![b'['];
        let mut digits = Vec::with_capacity(events.len());
        for event in events {
            if body.len() > 1 {
                body.push(b',');
            }
            let start = body.len();
            serde_json::to_writer(&mut body, event)
                .expect("an event has text keys, and a Vec takes every write");
            let id = event.event_id.hyphenated().to_string();
            let place = body[start..].windows(id.len()).position(|text| text == id.as_bytes());
            digits.push(start + place.expect("an event's id is in its JSON") + id.len() - 12);
        }
        body.push(b']');
        Self { body, digits, used: 0 }
    }

    /// Appends the next body and says how many events are in it.
    pub fn append_to(&mut self, out: &mut Vec<u8>) -> u32 {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let start = out.len();
        out.extend_from_slice(&self.body);
        for place in &self.digits {
            self.used += 1;
            for (i, digit) in out[start + place..][..12].iter_mut().enumerate() {
                *digit = HEX[(self.used >> (4 * (11 - i)) & 0xf) as usize];
            }
        }
        // A request holds 10,000 at most.
        u32::try_from(self.digits.len()).unwrap_or(u32::MAX)
    }
}

struct Shared<S> {
    source: S,
    begun: u64,
}

/// What one connection saw.
struct Tally {
    events: u64,
    statuses: BTreeMap<u16, u64>,
    latency: Sketch,
}

async fn one<S: FnMut(&mut Vec<u8>) -> u32>(
    plan: &Plan,
    started: Instant,
    shared: &Mutex<Shared<S>>,
) -> io::Result<Tally> {
    let mut stream = TcpStream::connect(plan.addr).await?;
    stream.set_nodelay(true)?;
    let head = head(plan);
    let mut request = Vec::new();
    let mut answer = Vec::new();
    let mut tally = Tally { events: 0, statuses: BTreeMap::new(), latency: Sketch::new() };
    loop {
        request.clear();
        request.extend_from_slice(head.as_bytes());
        let (events, due) = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let over = match plan.until {
                Until::Elapsed(time) => started.elapsed() >= time,
                Until::Requests(n) => shared.begun >= n,
            };
            if over {
                return Ok(tally);
            }
            let due = plan.pace.map(|pace| started + after(shared.begun, pace));
            shared.begun += 1;
            ((shared.source)(&mut request), due)
        };
        write_length(&mut request, head.len());
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        let asked = due.unwrap_or_else(Instant::now);
        stream.write_all(&request).await?;
        let status = read_answer(&mut stream, &mut answer).await?;
        let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        tally.latency.insert(micros);
        *tally.statuses.entry(status).or_default() += 1;
        tally.events += if status / 100 == 2 { u64::from(events) } else { 0 };
    }
}

/// When so many requests have gone before.
fn after(requests: u64, pace: f64) -> Duration {
    Duration::from_secs_f64(requests as f64 / pace)
}

/// Room for the length, which is known when the body is there; a value may be padded.
const LENGTH_DIGITS: usize = 10;

fn head(plan: &Plan) -> String {
    let Plan { path, addr, content_type, .. } = plan;
    let mut head =
        format!("POST {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: {content_type}\r\n");
    if let Some(token) = &plan.token {
        _ = write!(head, "authorization: Bearer {token}\r\n");
    }
    _ = write!(head, "content-length: {:LENGTH_DIGITS$}\r\n\r\n", "");
    head
}

fn write_length(request: &mut [u8], head: usize) {
    let length = format!("{:>LENGTH_DIGITS$}", request.len() - head);
    let place = head - 4 - LENGTH_DIGITS;
    request[place..place + LENGTH_DIGITS].copy_from_slice(length.as_bytes());
}

/// Reads one answer to its end and gives its status.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<u16> {
    buffer.clear();
    let mut searched = 0;
    let head = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The end may straddle two reads.
        let from = usize::saturating_sub(searched, 3);
        if let Some(at) = buffer[from..].windows(4).position(|end| end == b"\r\n\r\n") {
            break from + at + 4;
        }
        searched = buffer.len();
    };
    let broken = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let text = std::str::from_utf8(&buffer[..head]).map_err(|_| broken("answer is not HTTP"))?;
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| broken("answer is not HTTP/1.1"))?;
    if status == 204 {
        return Ok(status);
    }
    let length: usize = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| broken("answer has no length"))?;
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(status)
}
