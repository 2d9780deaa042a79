//! One connection that carries load, and what it has carried.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use model::wire::WireTcpInfo;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant as Deadline};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::connection::{Connection, Payload, SETUP, read_side};
use super::probes::HEAD;
use super::upload::Upload;
use super::{Allowance, Direction, Goal};
use crate::failure::{Failure, of_hyper};
use crate::measurement::sides;

/// How long a connection may take to stand and to bring its first bytes.
const START: Duration = Duration::from_secs(10);

/// How long an upload's answer is waited for when it has ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long the target's side of a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sizes of the object that is downloaded, mebibytes; the larger, the fewer pauses between two.
const SIZES: [u64; 3] = [100, 10, 1];

/// A shorter answer is a page that the site gives for anything, not the object.
const MIN_OBJECT: u64 = 500_000;

/// Why a flow ended without being at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Stopped,
    /// There were no bytes left that it may move.
    Spent,
    /// The target has no such object, or takes no uploads.
    NotOffered,
}

/// A connection at work. It ends, and gives back what it did not move, when it is stopped.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) connection: Connection,
    direction: Direction,
    read: Arc<AtomicU64>,
    side: Side,
    task: JoinHandle<Result<Ended, Failure>>,
}

/// What the target last said of its side of the connection.
type Side = Arc<Mutex<Option<WireTcpInfo>>>;

impl Flow {
    /// Connects and begins. `None`: there are not even the bytes for that.
    pub(super) async fn start(
        goal: Goal<'_>,
        direction: Direction,
        allowance: &Allowance,
        piece: &Bytes,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        if !allowance.take(SETUP) {
            return Ok(None);
        }
        let connection = Connection::open(goal, Deadline::now() + START).await?;
        let work = Work {
            connection: connection.clone(),
            target: goal.target.clone(),
            allowance: allowance.clone(),
            taken: Arc::new(AtomicU64::new(SETUP)),
            read: Arc::default(),
            stop: stop.clone(),
            side: Side::default(),
            told: AtomicBool::new(false),
        };
        let side = Arc::clone(&work.side);
        let read = Arc::clone(&work.read);
        let piece = piece.clone();
        let task = tokio::spawn(async move {
            let ended = match direction {
                Direction::Down => work.download().await,
                Direction::Up => work.upload(piece).await,
            };
            work.settle();
            ended
        });
        Ok(Some(Self { connection, direction, read, side, task }))
    }

    /// Bytes carried so far: those read of a download, those acknowledged of an upload.
    pub(super) fn carried(&self) -> u64 {
        match self.direction {
            Direction::Down => self.read.load(Ordering::Relaxed),
            Direction::Up => self.connection.info().map_or(0, |info| info.bytes_acked),
        }
    }

    /// Whether it is at work no more.
    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its end, and has what the target said of its side.
    pub(super) async fn end(self) -> (Result<Ended, Failure>, Option<WireTcpInfo>) {
        // A task that panicked is a fault of ours, and no finding about the line.
        let ended = self.task.await.unwrap_or(Ok(Ended::Stopped));
        (ended, *self.side.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the flow's task has.
struct Work {
    connection: Connection,
    target: Url,
    allowance: Allowance,
    taken: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    stop: CancellationToken,
    side: Side,
    /// Whether the target is one that tells its side.
    told: AtomicBool,
}

impl Work {
    /// One object after another.
    async fn download(&self) -> Result<Ended, Failure> {
        let ended = self.objects().await;
        // The object that was being read is given up here; over HTTP/1.1 it is still in the way, and
        // what was said after the last whole one stands.
        if ended.is_ok() && self.connection.is_multiplexed() && self.told.load(Ordering::Relaxed) {
            self.ask_target().await;
        }
        ended
    }

    /// Asks the target for its side of the connection, where that may be moved too.
    async fn ask_target(&self) {
        if !self.allowance.take(HEAD) {
            return;
        }
        self.taken.fetch_add(HEAD, Ordering::Relaxed);
        let side = self.connection.target_side(&self.target, PATIENCE).await;
        self.note(side);
    }

    fn note(&self, side: Option<WireTcpInfo>) {
        let mut noted = self.side.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = side.or(*noted);
    }

    async fn objects(&self) -> Result<Ended, Failure> {
        let mut sizes = SIZES.into_iter().peekable();
        let mut first = true;
        loop {
            let Some(&size) = sizes.peek() else {
                return Ok(if first { Ended::NotOffered } else { Ended::Spent });
            };
            let wanted = framed(size << 20);
            if !self.allowance.take(wanted) {
                sizes.next();
                if sizes.peek().is_none() {
                    return Ok(Ended::Spent);
                }
                continue;
            }
            self.taken.fetch_add(wanted, Ordering::Relaxed);
            let stopped = self.stop.run_until_cancelled(self.object(size));
            match stopped.await {
                None => return Ok(Ended::Stopped),
                Some(Ok(true)) => first = false,
                // Perhaps it has a smaller one.
                Some(Ok(false)) => {
                    self.taken.fetch_sub(wanted, Ordering::Relaxed);
                    self.allowance.give_back(wanted);
                    sizes.next();
                }
                Some(Err(failure)) => return Err(failure),
            }
        }
    }

    /// Whether there is an object of this size, and then reads it.
    async fn object(&self, size: u64) -> Result<bool, Failure> {
        let mut url = self.target.clone();
        url.set_path(&format!("/fixed/{size}mb.bin"));
        url.set_query(Some(&format!("rand={}", Uuid::new_v4())));
        let answer = self.connection.ask(Method::GET, &url, Payload::Nothing).await?;
        let length = answer.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
        let fits = |length: u64| (MIN_OBJECT..=size << 20).contains(&length);
        if answer.status() != StatusCode::OK || !length.is_some_and(fits) {
            return Ok(false);
        }
        let told = sides::is_told_by(answer.headers());
        self.told.store(told, Ordering::Relaxed);
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| of_hyper(&e, true, true))?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        if told && !self.connection.is_multiplexed() {
            self.ask_target().await;
        }
        Ok(true)
    }

    /// One body that goes on for as long as it may.
    async fn upload(&self, piece: Bytes) -> Result<Ended, Failure> {
        let mut url = self.target.clone();
        url.set_path("/upload");
        url.set_query(None);
        let allowance = self.allowance.clone();
        let body = Upload::new(piece, allowance, Arc::clone(&self.taken), self.stop.clone());
        let asking = self.connection.ask(Method::POST, &url, Payload::Upload(body));
        tokio::pin!(asking);
        let answer = tokio::select! {
            answer = &mut asking => Some(answer),
            // What is on its way need not arrive.
            () = async { self.stop.cancelled().await; time::sleep(FAREWELL).await } => None,
        };
        match answer {
            None => Ok(Ended::Stopped),
            Some(Ok(answer)) if answer.status().is_success() => {
                if sides::is_told_by(answer.headers()) {
                    let side = time::timeout(PATIENCE, read_side(answer)).await;
                    self.note(side.ok().flatten());
                }
                Ok(if self.stop.is_cancelled() { Ended::Stopped } else { Ended::Spent })
            }
            Some(Ok(_)) => Ok(Ended::NotOffered),
            // A server that takes no uploads may close instead of listening.
            Some(Err(_))
                if self.connection.info().is_none_or(|info| info.bytes_acked < 1 << 20) =>
            {
                Ok(Ended::NotOffered)
            }
            Some(Err(failure)) => Err(failure),
        }
    }

    /// What was taken and not moved goes back; what the kernel can't tell stays taken.
    fn settle(&self) {
        if let Some(moved) = self.connection.moved() {
            self.allowance.settle(self.taken.load(Ordering::Relaxed), moved);
        }
    }
}

/// An object with what TLS and HTTP add to it.
fn framed(bytes: u64) -> u64 {
    bytes + bytes / 32 + (16 << 10)
}
