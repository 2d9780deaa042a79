//! Throughput: a fixed object over a connection of its own, its body alone on the clock.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use ::http::{HeaderName, StatusCode, header};
use model::ErrorStage;
use model::wire::{WireTcpInfo, WireTransfer};
use tokio::time::Instant as Deadline;
use url::Url;
use uuid::Uuid;

use super::http::{Answer, BodyEnd, Progress};
use super::tls::Client;
use super::{connect, open, tcp_info};
use crate::failure::{Failure, kind};
use crate::measurement::{TcpInfo, Throughput, sides};

/// Where targets offer the object.
const OBJECT: &str = "/fixed/1mb.bin";

/// A shorter answer is a page that the site gives for anything, not the object.
const MIN_OBJECT: u64 = 500_000;

/// A longer one is not asked for.
const MAX_OBJECT: u64 = 16 << 20;

/// How long the target's side of the connection is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Not from a cache, and not made smaller.
pub(crate) const FRESH: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-cache"), (header::ACCEPT_ENCODING, "identity")];

/// What the transfer brought; both can be there, where it ran out of time.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) throughput: Option<Throughput>,
    pub(super) failure: Option<Failure>,
    /// Both ends' view of the connection.
    pub(super) transfer: Option<WireTransfer>,
}

/// Transfers the object from the address that was measured, without a second look-up, within
/// `limit`, its connection included.
pub(super) async fn measure(
    client: &Client,
    target: &Url,
    address: SocketAddr,
    limit: Duration,
) -> Outcome {
    let deadline = Deadline::now() + limit;
    match ask(client, target, address, deadline).await {
        Err(failure) => Outcome::failed(failure),
        Ok((mut answer, watch)) => match offered(&answer) {
            Err(failure) => Outcome::failed(failure),
            Ok(None) => Outcome::default(),
            Ok(Some(length)) => {
                let (progress, end) = answer.read(length.min(MAX_OBJECT), deadline).await;
                let outcome = judge(progress, &end, length, Instant::now());
                let probe = watch.as_ref().and_then(tcp_info::of);
                let target = match end {
                    BodyEnd::Complete => ask_target(answer, target, deadline).await,
                    _ => None,
                };
                let probe = probe.as_ref().map(TcpInfo::wire);
                Outcome {
                    transfer: Some(WireTransfer { connections: 1, probe, target }),
                    ..outcome
                }
            }
        },
    }
}

/// The sender's side, of which the receiver knows nothing: on the same connection, after the clock, and
/// of our own test target alone.
async fn ask_target(answer: Answer, target: &Url, deadline: Deadline) -> Option<WireTcpInfo> {
    if !sides::is_told_by(&answer.head.headers) {
        return None;
    }
    let mut url = target.clone();
    url.set_path(sides::PAGE);
    url.set_query(None);
    let deadline = deadline.min(Deadline::now() + PATIENCE);
    sides::read(&answer.ask_again(&url, sides::MOST, deadline).await?)
}

async fn ask(
    client: &Client,
    target: &Url,
    address: SocketAddr,
    deadline: Deadline,
) -> Result<(Answer, Option<OwnedFd>), Failure> {
    let mut url = target.clone();
    url.set_path(OBJECT);
    url.set_query(Some(&format!("rand={}", Uuid::new_v4())));
    let connected = connect::connect(address, deadline).await?;
    let watch = connected.stream.as_fd().try_clone_to_owned().ok();
    let opened = open::open(client, target, connected.stream, deadline).await;
    let answer = opened.map_err(|refused| refused.failure)?.get(&url, &FRESH, deadline).await?;
    Ok((answer, watch))
}

/// The length of the object, or `None` where the target has none: a redirect, a client error,
/// or something much shorter says so. Only what the server itself calls its fault is a failure.
fn offered(answer: &Answer) -> Result<Option<u64>, Failure> {
    let status = answer.head.status;
    if status.is_server_error() {
        return Err(Failure::new(
            ErrorStage::Throughput,
            kind::HTTP_ERROR,
            format!("status {} for {OBJECT}", status.as_u16()),
        ));
    }
    let length = answer.content_length();
    Ok(length.filter(|length| status == StatusCode::OK && *length >= MIN_OBJECT))
}

/// Goodput of what came. The first piece had come when the clock started, so its bytes are not
/// among those the time was for.
fn judge(progress: Progress, end: &BodyEnd, length: u64, now: Instant) -> Outcome {
    let Progress { bytes, first_piece, span } = progress;
    let result = |until: Instant, complete| {
        let (first, _) = span?;
        let duration = until.saturating_duration_since(first);
        let bits = u128::from(bytes - first_piece) * 8;
        // All in one piece has taken no time that could be told.
        let rate = (bits * 1_000_000).checked_div(duration.as_micros())?;
        let bits_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
        Some(Throughput {
            bits_per_second,
            low_bits_per_second: None,
            bytes,
            retransmits: None,
            duration,
            complete,
        })
    };
    let failed = |stage, kind, detail| Some(Failure::new(stage, kind, detail));
    let last = span.map_or(now, |(_, last)| last);
    match end {
        BodyEnd::Complete | BodyEnd::Capped if bytes >= length.min(MAX_OBJECT) => {
            Outcome { throughput: result(last, true), ..Outcome::default() }
        }
        BodyEnd::TimedOut => Outcome {
            // Up to now, not to the last byte: a transfer that stalls is slow.
            throughput: result(now, false),
            failure: failed(
                ErrorStage::ThroughputTimeout,
                kind::BODY_TIMED_OUT,
                format!("{bytes} of {length} bytes in time"),
            ),
            transfer: None,
        },
        BodyEnd::Failed(failure) => Outcome::failed(failure.clone()),
        BodyEnd::Complete | BodyEnd::Capped => Outcome {
            throughput: None,
            failure: failed(
                ErrorStage::Throughput,
                kind::BODY_TRUNCATED,
                format!("{bytes} of {length} bytes"),
            ),
            transfer: None,
        },
    }
}

impl Outcome {
    /// A failure of any stage on this connection is one of throughput: the type says which.
    fn failed(mut failure: Failure) -> Self {
        failure.stage = match failure.kind {
            kind::TCP_TIMED_OUT | kind::TLS_TIMED_OUT | kind::HTTP_TIMED_OUT => {
                ErrorStage::ThroughputTimeout
            }
            _ => ErrorStage::Throughput,
        };
        Self { failure: Some(failure), ..Self::default() }
    }
}
