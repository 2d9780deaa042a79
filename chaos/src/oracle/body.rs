//! A request's body: as many shapes as an ingest takes.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use serde::Deserialize;

use crate::event::{Name, World};

/// A body and its headers.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) bytes: Bytes,
}

impl Body {
    /// Events as JSON or lines of it, packed or not, as drawn.
    pub(super) fn of(world: &World, names: &[Name], rng: &mut ChaCha8Rng) -> Self {
        let texts = names.iter().map(|name| world.text(*name));
        let (media, mut bytes) = match rng.random_range(0..3) {
            0 => ("application/x-ndjson", texts.collect::<Vec<_>>().join(&b'\n')),
            1 if names.len() == 1 => ("application/json", texts.flatten().collect()),
            _ => {
                let inner = texts.collect::<Vec<_>>().join(&b',');
                ("application/json", [&b"["[..], &inner, b"]"].concat())
            }
        };
        let mut headers = vec![("content-type", media)];
        if rng.random_range(0..3) == 0 {
            headers.push(("content-encoding", "gzip"));
            bytes = gzip(&bytes);
        }
        Self { headers, bytes: bytes.into() }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = packer.write_all(bytes).and_then(|()| packer.finish());
    packed.expect("a vector takes all")
}

/// What an answer means for the events it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of them are owed.
    Owed,
    /// They may come again.
    Refused,
    /// It is no answer to what was sent.
    Wrong(String),
}

#[derive(Deserialize)]
struct Accepted {
    accepted: usize,
    rejected: Vec<serde_json::Value>,
}

impl Answer {
    /// Of a status and a body, to a request with so many good events.
    pub(super) fn of(status: u16, body: &[u8], events: usize) -> Self {
        match status {
            202 => match serde_json::from_slice::<Accepted>(body) {
                Ok(answer) if answer.accepted == events && answer.rejected.is_empty() => Self::Owed,
                _ => Self::Wrong(format!("202 for {events} events: {}", shown(body))),
            },
            408 | 429 | 503 => Self::Refused,
            _ => Self::Wrong(format!("{status}: {}", shown(body))),
        }
    }
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_for_all_events_is_an_obligation() {
        let of = |status, body: &str| Answer::of(status, body.as_bytes(), 2);
        let good = r#"{"accepted":2,"duplicates":null,"rejected":[]}"#;
        assert_eq!(of(202, good), Answer::Owed);
        assert!(matches!(of(202, r#"{"accepted":1,"rejected":[{}]}"#), Answer::Wrong(_)));
        assert!(matches!(of(202, "<html>"), Answer::Wrong(_)));
        assert!(matches!(of(401, ""), Answer::Wrong(_)));
        assert_eq!(of(503, "{}"), Answer::Refused);
    }
}
