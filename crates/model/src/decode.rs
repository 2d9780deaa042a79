//! From the body of an ingest request to checked events, by the wire contract.
//!
//! Whether a text is JSON at all is `serde_json`'s judgement, made once over the whole body (or
//! line). Only then are the events looked at, one by one, so that whatever is wrong with one
//! of them costs no other.

mod check;
mod fields;
mod later;
mod object;
mod rejection;

use std::borrow::Cow;
use std::ops::Range;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::event::Event;
use check::Interned;
use object::Survey;

pub use rejection::{Code, Rejection};

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// One object, or an array of objects.
    Json,
    /// One object a line; blank lines are skipped and not counted.
    Ndjson,
}

/// What is too much, too old or too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events in a body.
    pub max_events: usize,
    /// Bytes of one event's JSON text.
    pub max_event_bytes: usize,
    /// Levels of objects and arrays in one event, itself included.
    pub max_depth: usize,
    /// How far back `ts_ms` may lie: as far as duplicates are remembered.
    pub max_age_ms: i64,
    /// How far ahead of the receiver `ts_ms` may lie.
    pub max_ahead_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            max_event_bytes: 16 * 1024,
            max_depth: 16,
            max_age_ms: 7 * 24 * 3_600_000,
            max_ahead_ms: 5 * 60_000,
        }
    }
}

/// A body, event by event: each is in one of the two lists, under its index.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded {
    /// The checked events, ascending by index.
    pub events: Vec<Accepted>,
    /// What was refused, ascending by index.
    pub rejected: Vec<Rejection>,
}

/// A checked event and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its place among the events of the body, counted from 0.
    pub index: u32,
    /// Where its JSON text lies in the body, without white space around it.
    pub bytes: Range<usize>,
    /// What it says.
    pub event: Event,
}

/// Why a body as a whole is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// Not JSON; line and column (in bytes) count from 1.
    #[error("line {line}, column {column}: {detail}")]
    Syntax {
        /// The line of the mistake.
        line: usize,
        /// The byte in that line.
        column: usize,
        /// What was wrong there.
        detail: String,
    },
    /// No event in it.
    #[error("the body holds no event")]
    Empty,
    /// JSON, but neither an object nor an array.
    #[error("the body is neither an object nor an array of objects")]
    NotEvents,
    /// More events than a body may hold.
    #[error("the body holds more than {limit} events")]
    TooManyEvents {
        /// The most it may hold.
        limit: usize,
    },
}

/// Splits a decompressed body into events and checks each against the contract. `now_ms` is the
/// receiver's time in milliseconds since the Unix epoch.
///
/// # Errors
/// When nothing of the body can be used; what is wrong with single events, or with single
/// lines of NDJSON, is in [`Decoded::rejected`].
pub fn decode(
    body: &[u8],
    media: Media,
    now_ms: i64,
    limits: &Limits,
) -> Result<Decoded, BodyError> {
    let mut sorting = Sorting::new(now_ms, limits);
    sorting.origin = body.as_ptr().addr();
    match media {
        Media::Json => sorting.json(body)?,
        Media::Ndjson => sorting.ndjson(body)?,
    }
    if sorting.next == 0 { Err(BodyError::Empty) } else { Ok(sorting.decoded) }
}

/// Checks events whose texts were taken apart before, such as those of a message on the bus.
/// What can't be used is in [`Decoded::rejected`], and [`Accepted::bytes`] counts within each
/// event's own text. How many there are is the caller's to bound.
pub fn decode_each<'a>(
    texts: impl IntoIterator<Item = &'a [u8]>,
    now_ms: i64,
    limits: &Limits,
) -> Decoded {
    let mut sorting = Sorting::new(now_ms, limits);
    for text in texts {
        sorting.origin = text.as_ptr().addr();
        if let Err((column, what)) = sorting.text(text) {
            sorting.bad_json(format!("column {column}: {what}"));
        }
    }
    sorting.decoded
}

/// A body on its way into [`Decoded`].
struct Sorting<'a> {
    now_ms: i64,
    limits: &'a Limits,
    /// The address from which the places of events count.
    origin: usize,
    interned: Interned,
    decoded: Decoded,
    next: u32,
}

/// A number in an event that no `f64` can hold: the byte offset in the event's text.
struct Overflow(usize);

const OVERFLOW: &str = "number out of range";

impl<'a> Sorting<'a> {
    fn new(now_ms: i64, limits: &'a Limits) -> Self {
        let (interned, decoded) = (Interned::default(), Decoded::default());
        Self { now_ms, limits, origin: 0, interned, decoded, next: 0 }
    }

    fn json(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let text = std::str::from_utf8(body)
            .map_err(|e| syntax_at(body, e.valid_up_to(), "invalid UTF-8"))?;
        let whole = || serde_json::from_str::<&RawValue>(text).map_err(|e| syntax(&e));
        let overflow =
            |value: &RawValue, at| syntax_at(body, offset(text, value.get()) + at, OVERFLOW);
        let values = match text.trim_ascii_start().as_bytes().first() {
            None => return Err(BodyError::Empty),
            Some(b'[') => array(text, self.limits.max_events)?,
            Some(b'{') => vec![whole()?],
            Some(_) => {
                let value = whole()?;
                return Err(match Survey::of(value.get()).overflow {
                    Some(at) => overflow(value, at),
                    None => BodyError::NotEvents,
                });
            }
        };
        self.decoded.events.reserve(values.len());
        for value in values {
            self.event(value.get()).map_err(|Overflow(at)| overflow(value, at))?;
        }
        Ok(())
    }

    fn ndjson(&mut self, body: &[u8]) -> Result<(), BodyError> {
        for (number, line) in body.split(|&b| b == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            if self.next as usize == self.limits.max_events {
                return Err(BodyError::TooManyEvents { limit: self.limits.max_events });
            }
            if let Err((column, what)) = self.text(line) {
                self.bad_json(format!("line {}, column {column}: {what}", number + 1));
            }
        }
        Ok(())
    }

    /// Takes the next event, whatever its text holds; fails with the column of a mistake.
    fn text(&mut self, text: &[u8]) -> Result<(), (usize, Cow<'static, str>)> {
        let text = std::str::from_utf8(text)
            .map_err(|e| (e.valid_up_to() + 1, Cow::Borrowed("invalid UTF-8")))?;
        let value = serde_json::from_str::<&RawValue>(text)
            .map_err(|e| (e.column(), Cow::Owned(message(&e))))?;
        self.event(value.get())
            .map_err(|Overflow(at)| (offset(text, value.get()) + at + 1, Cow::Borrowed(OVERFLOW)))
    }

    fn bad_json(&mut self, detail: String) {
        let index = self.next;
        let code = Code::BadJson;
        let rejection =
            Rejection { index, event_id: None, code, field: None, detail, version: None };
        self.decoded.rejected.push(rejection);
        self.next += 1;
    }

    /// Takes the next event, given as well-formed JSON without white space around it.
    fn event(&mut self, text: &str) -> Result<(), Overflow> {
        let outcome = fields::read(text, self.now_ms, self.limits, &mut self.interned)?;
        match outcome {
            Ok(event) => {
                let start = text.as_ptr().addr() - self.origin;
                let bytes = start..start + text.len();
                self.decoded.events.push(Accepted { index: self.next, bytes, event });
            }
            Err(refused) => self.decoded.rejected.push(refused.at(self.next)),
        }
        self.next += 1;
        Ok(())
    }
}

/// The elements of an array, unread; stops at the first one too many.
fn array(text: &str, limit: usize) -> Result<Vec<&RawValue>, BodyError> {
    let mut elements = Elements { limit, exceeded: false };
    let mut json = serde_json::Deserializer::from_str(text);
    let values = elements.deserialize(&mut json).and_then(|values| json.end().map(|()| values));
    match values {
        Ok(values) => Ok(values),
        Err(_) if elements.exceeded => Err(BodyError::TooManyEvents { limit }),
        Err(error) => Err(syntax(&error)),
    }
}

struct Elements {
    limit: usize,
    exceeded: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Elements {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            if values.len() == self.limit {
                self.exceeded = true;
                return Err(serde::de::Error::custom("too many events"));
            }
            values.push(value);
        }
        Ok(values)
    }
}

/// Where `part` starts in `whole`, of which it is a slice.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

fn syntax(error: &serde_json::Error) -> BodyError {
    BodyError::Syntax { line: error.line(), column: error.column(), detail: message(error) }
}

fn syntax_at(body: &[u8], at: usize, detail: &str) -> BodyError {
    let before = &body[..at];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
    BodyError::Syntax {
        line: before.iter().filter(|&&b| b == b'\n').count() + 1,
        column: at - line_start + 1,
        detail: detail.to_owned(),
    }
}

/// What `serde_json` says, without the place that it adds.
fn message(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(place) = text.rfind(" at line ") {
        text.truncate(place);
    }
    text
}
