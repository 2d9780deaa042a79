//! Sends events to an ingest until each is accounted for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderValue, StatusCode};
use model::wire::WireEvent;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

mod answer;
mod batch;
mod connection;

use answer::Answer;
pub use answer::Totals;
use batch::{Batch, Batches};
use connection::{Connection, Peer};

/// First pause after an answer that says nothing of when to come back; doubles to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// From the request to the end of its answer; a connection that takes longer is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How events are put into a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON array.
    #[default]
    Json,
    /// A line an event.
    Ndjson,
}

/// Sends events over keep-alive connections. What the ingest puts off (429, 503) or what a
/// connection loses is sent again, the same batch: ids make that harmless.
#[derive(Clone)]
pub struct Sender {
    peer: Peer,
    connections: usize,
    batch: usize,
    format: Format,
    patience: Duration,
}

/// Why not everything was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// What the sender was given can't be used.
    #[error("send events: {0}")]
    Config(&'static str),
    /// The ingest will not take the batch, now or later.
    #[error("send events: {url} answered {status}: {detail}")]
    Refused {
        /// Where to.
        url: String,
        /// Its answer.
        status: StatusCode,
        /// Its reason, shortened.
        detail: String,
    },
    /// The same batch failed for longer than the patience allows.
    #[error("send events: gave up on {url} after {attempts} attempts in {waited:?}: {last}")]
    GaveUp {
        /// Where to.
        url: String,
        /// How often the batch was sent.
        attempts: u32,
        /// Since when.
        waited: Duration,
        /// What happened last.
        last: String,
    },
    /// An answer that can't be read, or that does not account for every event.
    #[error("send events: answer of {url}: {detail}")]
    Answer {
        /// Where to.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// How far it came.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Everything that was answered so far.
    pub totals: &'a Totals,
    /// A batch was put off for this long just now, and why.
    pub paused: Option<(Duration, &'a str)>,
}

impl Sender {
    /// A sender with four connections, batches of 500 as JSON, and a minute of patience.
    ///
    /// # Errors
    /// A URL that is not http or https, or a token that no header can hold.
    pub fn new(url: &Url, token: &str) -> Result<Self, SendError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| SendError::Config("the token holds characters no header can"))?;
        bearer.set_sensitive(true);
        Ok(Self {
            peer: Peer::new(url, bearer)?,
            connections: 4,
            batch: 500,
            format: Format::default(),
            patience: Duration::from_secs(60),
        })
    }

    /// How many requests are under way at once; at least 1.
    #[must_use]
    pub fn connections(mut self, n: usize) -> Self {
        self.connections = n.max(1);
        self
    }

    /// The most events in a batch, 1 to 10,000; a batch ends earlier where its body would grow
    /// beyond what an ingest takes.
    #[must_use]
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events.clamp(1, batch::MAX_EVENTS);
        self
    }

    /// How events are put into a body.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// How long one batch is sent again and again before all is given up.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whom to trust over https.
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.peer.tls = Some(config);
        self
    }

    /// Sends everything and says what became of it. Batches are taken in order but travel side by
    /// side. `progress` is called after each batch and at each pause.
    ///
    /// # Errors
    /// The first batch that can't be delivered; what others were doing is dropped.
    pub async fn send_all<I>(
        &self,
        events: I,
        progress: impl FnMut(Progress<'_>) + Send,
    ) -> Result<Totals, SendError>
    where
        I: IntoIterator<Item = WireEvent>,
        I::IntoIter: Send,
    {
        self.peer.check()?;
        let batches = Mutex::new(Batches::new(events.into_iter(), self.batch, self.format));
        let state = Mutex::new(State { totals: Totals::default(), progress });
        try_join_all((0..self.connections).map(|_| self.work(&batches, &state))).await?;
        Ok(state.into_inner().unwrap_or_else(PoisonError::into_inner).totals)
    }

    async fn work<I: Iterator<Item = WireEvent>, P: FnMut(Progress<'_>)>(
        &self,
        batches: &Mutex<Batches<I>>,
        state: &Mutex<State<P>>,
    ) -> Result<(), SendError> {
        let mut connection = None;
        loop {
            // Kept short of an await: one worker at a time makes a batch, the others travel.
            let next = lock(batches).next();
            let Some(batch) = next else { return Ok(()) };
            let answer = self.deliver(&mut connection, &batch, state).await?;
            lock(state).answered(&answer, batch.events);
        }
    }

    /// Sends one batch until it is answered for good.
    async fn deliver<P: FnMut(Progress<'_>)>(
        &self,
        connection: &mut Option<Connection>,
        batch: &Batch,
        state: &Mutex<State<P>>,
    ) -> Result<Answer, SendError> {
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answered = self.post(connection, batch.body.clone());
            let (why, retry_after) = match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
                Ok(Ok((status, retry_after, body))) => match status {
                    StatusCode::ACCEPTED | StatusCode::UNPROCESSABLE_ENTITY => {
                        return Answer::read(&body, batch.events)
                            .map_err(|detail| SendError::Answer { url: self.url(), detail });
                    }
                    status if is_passing(status) => (format!("answered {status}"), retry_after),
                    status => {
                        let detail = answer::reason(&body);
                        return Err(SendError::Refused { url: self.url(), status, detail });
                    }
                },
                Ok(Err(error)) => {
                    *connection = None;
                    (error.to_string(), None)
                }
                Err(_) => {
                    *connection = None;
                    (format!("no answer within {ANSWER_TIMEOUT:?}"), None)
                }
            };
            let pause = retry_after.unwrap_or_else(|| backoff(attempts));
            let waited = started.elapsed();
            if waited + pause > self.patience {
                return Err(SendError::GaveUp { url: self.url(), attempts, waited, last: why });
            }
            lock(state).paused(pause, &why);
            tokio::time::sleep(pause).await;
        }
    }

    async fn post(
        &self,
        connection: &mut Option<Connection>,
        body: Bytes,
    ) -> Result<(StatusCode, Option<Duration>, Bytes), connection::Lost> {
        if connection.as_ref().is_none_or(Connection::is_closed) {
            *connection = Some(self.peer.connect().await?);
        }
        let connection = connection.as_mut().expect("connected above");
        let response = connection.send(self.peer.request(self.format, body)).await?;
        let retry_after = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let status = response.status();
        Ok((status, retry_after, connection::body(response).await?))
    }

    fn url(&self) -> String {
        self.peer.url.to_string()
    }
}

/// What the workers share.
struct State<P> {
    totals: Totals,
    progress: P,
}

impl<P: FnMut(Progress<'_>)> State<P> {
    fn answered(&mut self, answer: &Answer, events: usize) {
        self.totals.add(answer, events);
        (self.progress)(Progress { totals: &self.totals, paused: None });
    }

    fn paused(&mut self, pause: Duration, why: &str) {
        self.totals.retries += 1;
        (self.progress)(Progress { totals: &self.totals, paused: Some((pause, why)) });
    }
}

/// A panic of `progress` leaves counts that still hold.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the same batch may be taken later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn backoff(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_PAUSE)
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("url", &self.peer.url.as_str())
            .field("connections", &self.connections)
            .field("batch", &self.batch)
            .field("format", &self.format)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(backoff(1), FIRST_PAUSE);
        assert_eq!(backoff(3), FIRST_PAUSE * 4);
        assert_eq!(backoff(40), LONGEST_PAUSE);
    }

    #[test]
    fn the_token_is_not_shown() {
        let url = Url::parse("http://127.0.0.1:1/v1/events").unwrap();
        let sender = Sender::new(&url, "qoe_secret").unwrap();
        assert!(!format!("{sender:?} {:?}", sender.peer).contains("secret"));
        assert!(Sender::new(&url, "a\nb").is_err());
        assert!(Sender::new(&Url::parse("ftp://h/").unwrap(), "t").is_err());
    }
}
