//! The bus between ingest and aggregators: NATS JetStream. An event is on it when the server has
//! confirmed that it is stored, and leaves it when an aggregator has committed it.
//!
//! Nothing outside this module knows which bus it is. In the order of the path: [`connect`],
//! [`stream`], [`message`], [`publish`], [`consume`], [`dead_letter`]; beside it [`janitor`],
//! [`inspect`] and [`replay`].

use std::fmt;

use opentelemetry::KeyValue;

pub mod connect;
pub mod consume;
mod count;
pub mod dead_letter;
pub mod health;
pub mod inspect;
pub mod janitor;
mod keep;
pub mod message;
mod metrics;
pub mod publish;
pub mod replay;
pub mod stream;

pub use connect::{Bus, Connect};
pub use consume::Consumer;
pub use health::{Fares, Health};
pub use publish::Publisher;
pub use stream::{Made, StreamSettings, StreamState};

/// What the streams and subjects of one platform are called, so that several can share a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { prefix: "qoe".to_owned() }
    }
}

impl Names {
    /// Names that begin with `prefix`: 1 to 32 lower-case letters, digits or `-`.
    pub fn of(prefix: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=32).contains(&prefix.len()) && prefix.bytes().all(plain);
        good.then(|| Self { prefix: prefix.to_owned() })
    }

    /// The stream that events wait in.
    pub fn events(&self) -> String {
        self.stream("EVENTS")
    }

    /// The stream of what could not be counted.
    pub fn dead_letters(&self) -> String {
        self.stream("DLQ")
    }

    fn stream(&self, what: &str) -> String {
        format!("{}_{what}", self.prefix.to_ascii_uppercase())
    }

    /// What events are published on: one token more, the partition.
    fn events_subject(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// What dead letters are published on: one token more, the reason.
    fn dead_letters_subject(&self) -> String {
        format!("{}.dlq", self.prefix)
    }
}

/// Why the bus can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The credentials, or a certificate, can't be read.
    #[error("read {}: {source}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No server answers as one.
    #[error("connect to NATS at {at}: {detail}")]
    Connect {
        /// The servers, without names and passwords.
        at: String,
        /// Why.
        detail: String,
    },
    /// The server is known to lose what it confirmed.
    #[error(
        "NATS {found} is too old: before {needed} it can forget a whole stream when it is killed; \
         upgrade it, or allow old servers explicitly where losing events does not matter"
    )]
    TooOld {
        /// The version it says it has.
        found: String,
        /// The oldest that is accepted.
        needed: &'static str,
    },
    /// The server keeps no streams.
    #[error("NATS at {at} runs without JetStream; start it with -js, or set jetstream in its file")]
    NoJetStream {
        /// The servers.
        at: String,
    },
    /// The server's messages are too small for an event.
    #[error("max_payload of NATS is {found} bytes, and {needed} are needed; raise it")]
    SmallPayload {
        /// What it takes.
        found: usize,
        /// What is needed.
        needed: usize,
    },
    /// There is no such stream.
    #[error(
        "there is no stream {stream}; it is not made by itself, since making it anew after a loss \
         would hide the loss: make it with qoe migrate up"
    )]
    Missing {
        /// Which.
        stream: String,
    },
    /// The stream is set up so that it loses events.
    #[error("stream {stream} would lose events: {detail}")]
    Unsafe {
        /// Which.
        stream: String,
        /// By what, and what is wanted.
        detail: String,
    },
    /// There is no such dead letter.
    #[error("there is no dead letter {0}")]
    NoLetter(u64),
    /// The server refused or did not answer.
    #[error("{doing}: {detail}")]
    Request {
        /// What was tried.
        doing: String,
        /// What it said.
        detail: String,
    },
}

impl BusError {
    fn request(doing: impl Into<String>) -> impl FnOnce(&dyn fmt::Display) -> Self {
        move |detail| Self::Request { doing: doing.into(), detail: detail.to_string() }
    }
}

/// Why the bus does not take events now. The sender tries again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The connection to the server is down.
    #[error("not connected to NATS")]
    Disconnected,
    /// The stream, or the disk below it, is full.
    #[error("the stream is full: {0}")]
    Full(String),
    /// Nobody keeps what is published.
    #[error("the stream is missing")]
    Missing,
    /// Somebody else's stream took it, or none said so.
    #[error("an answer came that is not of stream {0}")]
    Foreign(String),
    /// No answer in time; it may be stored all the same.
    #[error("the server did not confirm in time")]
    Unconfirmed,
    /// Whatever else.
    #[error("{0}")]
    Other(String),
}

/// What a trace says of the bus, by the names of OpenTelemetry's semantic conventions.
pub(crate) fn span_attributes(operation: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "nats"),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", "events"),
    ]
}
