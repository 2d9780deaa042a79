//! Dead letters as a person and a script see them.

use jiff::Timestamp;
use serde::Serialize;
use server::bus::dead_letter::{DeadLetter, Kind};

use crate::render::table::{Align, table};
use crate::render::units::{ABSENT, size};

/// What `list --json` prints.
#[derive(Serialize)]
pub(super) struct List {
    pub(super) schema: &'static str,
    /// How many there are, shown or not.
    pub(super) total: u64,
    pub(super) letters: Vec<Entry>,
}

/// A dead letter without its payload.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    number: u64,
    reason: String,
    detail: String,
    kind: &'static str,
    client_id: Option<String>,
    source_subject: String,
    source_sequence: u64,
    source_index: Option<usize>,
    received_ms: Option<i64>,
    died_ms: i64,
    payload_bytes: usize,
}

impl Entry {
    pub(super) fn of(letter: &DeadLetter) -> Self {
        let (kind, source_index, received_ms) = match letter.kind {
            Kind::Event { index, received_ms } => ("event", Some(index), Some(received_ms)),
            Kind::Message => ("message", None, None),
        };
        Self {
            number: letter.number,
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            kind,
            client_id: letter.client_id.clone(),
            source_subject: letter.subject.clone(),
            source_sequence: letter.sequence,
            source_index,
            received_ms,
            died_ms: letter.died_ms,
            payload_bytes: letter.payload.len(),
        }
    }

    fn size(&self) -> String {
        size(self.payload_bytes as u64)
    }
}

/// A detail is cut to so many characters in a list.
const DETAIL: usize = 60;
/// A payload is shown up to so many bytes.
const PAYLOAD: usize = 4_000;

/// A line for each.
pub(super) fn list(letters: &[Entry], total: u64) -> String {
    if letters.is_empty() {
        return match total {
            0 => "no dead letters\n".to_owned(),
            _ => "no dead letters from there on\n".to_owned(),
        };
    }
    let heading = [
        ("number", Align::Right),
        ("since", Align::Left),
        ("what", Align::Left),
        ("bytes", Align::Right),
        ("client", Align::Left),
        ("reason", Align::Left),
        ("detail", Align::Left),
    ];
    let row = |letter: &Entry| {
        vec![
            letter.number.to_string(),
            time(letter.died_ms),
            letter.kind.to_owned(),
            letter.size(),
            letter.client_id.as_deref().map_or_else(|| ABSENT.to_owned(), printable),
            printable(&letter.reason),
            shortened(&printable(&letter.detail)),
        ]
    };
    table(&heading, &letters.iter().map(row).collect::<Vec<_>>())
}

/// All of one.
pub(super) fn whole(letter: &DeadLetter) -> String {
    let entry = Entry::of(letter);
    let mut rows = vec![
        ("number", entry.number.to_string()),
        ("reason", printable(&entry.reason)),
        ("detail", printable(&entry.detail)),
        ("what", entry.kind.to_owned()),
        ("client", entry.client_id.as_deref().map_or_else(|| ABSENT.to_owned(), printable)),
        ("subject", printable(&entry.source_subject)),
        ("message", entry.source_sequence.to_string()),
    ];
    rows.extend(entry.source_index.map(|index| ("place in it", index.to_string())));
    rows.extend(entry.received_ms.map(|ms| ("received", time(ms))));
    rows.push(("laid aside", time(entry.died_ms)));
    rows.push(("payload", entry.size()));
    let mut text: String =
        rows.into_iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    text.push('\n');
    text += &payload(letter);
    text
}

/// A payload as far as it is text; it is somebody else's, and must not steer a terminal.
fn payload(letter: &DeadLetter) -> String {
    let raw = format!("qoe dlq show {} --raw", letter.number);
    let bytes = &letter.payload;
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("the payload is not text; {raw} prints it\n");
    };
    let end = text.floor_char_boundary(PAYLOAD);
    let cut = if end < text.len() { format!("... {raw} prints all\n") } else { String::new() };
    format!("{}\n{cut}", printable(&text[..end]))
}

fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { escaped(c) } else { vec![c] }).collect()
}

fn escaped(c: char) -> Vec<char> {
    match c {
        '\n' => vec![c],
        _ => c.escape_default().collect(),
    }
}

fn shortened(text: &str) -> String {
    let text = text.replace('\n', " ");
    match text.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: &'static [u8]) -> DeadLetter {
        DeadLetter {
            number: 7,
            reason: "too_old".to_owned(),
            detail: "ts_ms is older than 7 days".to_owned(),
            kind: Kind::Event { index: 3, received_ms: 60_000 },
            subject: "qoe.events.1-0".to_owned(),
            sequence: 41,
            died_ms: 61_000,
            client_id: None,
            payload: payload.into(),
        }
    }

    #[test]
    fn a_letter_is_told_whole_and_steers_no_terminal() {
        insta::assert_snapshot!(whole(&letter(b"{\"target\": \"\x1b[2J\0\"}")), @r#"
        number       7
        reason       too_old
        detail       ts_ms is older than 7 days
        what         event
        client       –
        subject      qoe.events.1-0
        message      41
        place in it  3
        received     1970-01-01 00:01:00 UTC
        laid aside   1970-01-01 00:01:01 UTC
        payload      19 B

        {"target": "\u{1b}[2J\u{0}"}
        "#);
        assert!(whole(&letter(b"\xff")).ends_with("dlq show 7 --raw prints it\n"));
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        insta::assert_snapshot!(list(&[Entry::of(&letter(b"{}"))], 1), @r"
        number  since                    what   bytes  client  reason   detail
             7  1970-01-01 00:01:01 UTC  event    2 B  –       too_old  ts_ms is older than 7 days
        ");
        assert_eq!(list(&[], 0), "no dead letters\n");
    }
}
