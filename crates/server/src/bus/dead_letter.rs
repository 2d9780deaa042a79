//! What could not be counted: kept byte by byte as it was sent, with the reason, until somebody
//! has it tried again or throws it away.

use async_nats::header::HeaderMap;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;

use super::message::{Draft, Packing};
use super::{Bus, BusError, Refused, StreamState};

const REASON: &str = "Qoe-Reason";
const DETAIL: &str = "Qoe-Detail";
const KIND: &str = "Qoe-Kind";
const SUBJECT: &str = "Qoe-Source-Subject";
const SEQUENCE: &str = "Qoe-Source-Sequence";
const INDEX: &str = "Qoe-Source-Index";
const RECEIVED: &str = "Qoe-Received-Ms";
const DIED: &str = "Qoe-Dead-Ms";
const CLIENT: &str = "Qoe-Client-Id";

/// No more is said of a reason, in bytes.
const DETAIL_BYTES: usize = 1_000;

/// What was laid aside, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number among the dead letters; 0 before it has one.
    pub number: u64,
    /// Why, for machines: a rejection code of the contract, `store_refused`, or what is wrong with
    /// a message.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// What it is.
    pub kind: Kind,
    /// The subject its message came on.
    pub subject: String,
    /// The sequence of its message in the stream of events.
    pub sequence: u64,
    /// When it was laid aside, milliseconds since the Unix epoch.
    pub died_ms: i64,
    /// Whose it is, where that could be read.
    pub client_id: Option<String>,
    /// The bytes as they were sent.
    pub payload: Bytes,
}

/// What a dead letter's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The JSON text of one event.
    Event {
        /// Its place in its message, from 0.
        index: usize,
        /// When it was received, milliseconds since the Unix epoch.
        received_ms: i64,
    },
    /// A whole message, since it can't be taken apart.
    Message,
}

impl DeadLetter {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, text: &str| headers.insert(name, one_line(text));
        put(REASON, &self.reason);
        put(DETAIL, &self.detail);
        put(SUBJECT, &self.subject);
        put(SEQUENCE, &self.sequence.to_string());
        put(DIED, &self.died_ms.to_string());
        match self.kind {
            Kind::Message => put(KIND, "message"),
            Kind::Event { index, received_ms } => {
                put(KIND, "event");
                put(INDEX, &index.to_string());
                put(RECEIVED, &received_ms.to_string());
            }
        }
        if let Some(client_id) = &self.client_id {
            put(CLIENT, client_id);
        }
        headers
    }

    fn read(kept: StreamMessage) -> Self {
        let text = |name: &str| kept.headers.get(name).map(|value| value.as_str().to_owned());
        let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
        let unsigned = |name: &str| number(name).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let kind = match (text(KIND).as_deref(), number(RECEIVED)) {
            (Some("event"), Some(received_ms)) => Kind::Event {
                index: usize::try_from(unsigned(INDEX)).unwrap_or(usize::MAX),
                received_ms,
            },
            _ => Kind::Message,
        };
        Self {
            number: kept.sequence,
            reason: text(REASON).unwrap_or_default(),
            detail: text(DETAIL).unwrap_or_default(),
            kind,
            subject: text(SUBJECT).unwrap_or_default(),
            sequence: unsigned(SEQUENCE),
            died_ms: number(DIED).unwrap_or_default(),
            client_id: text(CLIENT),
            payload: kept.payload,
        }
    }
}

/// A header is one line; what else stands in a reason becomes spaces.
fn one_line(text: &str) -> String {
    let end = text.floor_char_boundary(DETAIL_BYTES);
    text[..end].replace(|c: char| c.is_control(), " ")
}

impl Bus {
    /// Lays an event or a message aside, and returns when it is kept. What comes again under the
    /// same id within minutes is kept once.
    pub(super) async fn bury(&self, letter: &DeadLetter, id: &str) -> Result<(), Refused> {
        let subject = format!("{}.{}", self.names.dead_letters_subject(), letter.reason);
        let message = PublishMessage::build().headers(letter.headers()).message_id(id);
        let message = message.payload(letter.payload.clone());
        self.keep(&self.names.dead_letters(), subject, message).await
    }

    /// The dead letters from number `from` on, `limit` of them at most, oldest first.
    ///
    /// # Errors
    /// Where there is no such stream, or the server does not answer.
    pub async fn dead_letters(&self, from: u64, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let stream = self.stream(&self.names.dead_letters()).await?;
        let mut letters = Vec::new();
        let mut next = from;
        while letters.len() < limit {
            let Some(letter) = self.letter_from(&stream, next).await? else { break };
            next = letter.number + 1;
            letters.push(letter);
        }
        Ok(letters)
    }

    /// How many dead letters there are, and the number of the last one.
    ///
    /// # Errors
    /// Where there is no such stream, or the server does not answer.
    pub async fn dead_letter_count(&self) -> Result<(u64, u64), BusError> {
        let stream = self.stream(&self.names.dead_letters()).await?;
        let state = StreamState::of(stream.cached_info());
        Ok((state.messages, state.last_sequence))
    }

    /// One dead letter.
    ///
    /// # Errors
    /// [`BusError::NoLetter`], or where the server does not answer.
    pub async fn dead_letter(&self, number: u64) -> Result<DeadLetter, BusError> {
        let stream = self.stream(&self.names.dead_letters()).await?;
        match self.letter_from(&stream, number).await? {
            Some(letter) if letter.number == number => Ok(letter),
            _ => Err(BusError::NoLetter(number)),
        }
    }

    /// Puts a dead letter among the events again, and forgets it when it is there. If it still
    /// can't be counted it becomes a new one.
    ///
    /// # Errors
    /// [`BusError::NoLetter`], or where the bus does not take it; then it stays.
    pub async fn replay_dead_letter(&self, number: u64) -> Result<(), BusError> {
        let letter = self.dead_letter(number).await?;
        let payload = match letter.kind {
            Kind::Message => letter.payload,
            Kind::Event { received_ms, .. } => {
                let mut draft = Draft::with_room(letter.payload.len());
                draft.push(&letter.payload);
                draft.finish(received_ms, Packing::Plain)
            }
        };
        // Of no part: it holds whatever clients it holds.
        let subject = format!("{}.1-0", self.names.events_subject());
        let message = PublishMessage::build().payload(payload);
        let kept = self.keep(&self.names.events(), subject, message).await;
        kept.map_err(|refused| {
            BusError::request(format!("put dead letter {number} among the events"))(&refused)
        })?;
        self.drop_dead_letter(number).await
    }

    /// Throws a dead letter away.
    ///
    /// # Errors
    /// [`BusError::NoLetter`], or where the server does not answer.
    pub async fn drop_dead_letter(&self, number: u64) -> Result<(), BusError> {
        self.dead_letter(number).await?;
        let stream = self.stream(&self.names.dead_letters()).await?;
        let dropped = stream.delete_message(number).await;
        let doing = || format!("throw dead letter {number} away");
        dropped.map(|_| ()).map_err(|error| BusError::request(doing())(&error))
    }

    async fn letter_from(
        &self,
        stream: &Stream,
        number: u64,
    ) -> Result<Option<DeadLetter>, BusError> {
        // The server takes 0 for "no sequence given".
        let any = format!("{}.*", self.names.dead_letters_subject());
        let kept = stream.raw_message_builder().sequence(number.max(1)).next_by_subject(any);
        match kept.send().await {
            Ok(kept) => Ok(Some(DeadLetter::read(kept))),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(BusError::request(format!("read dead letter {number}"))(&error)),
        }
    }
}
