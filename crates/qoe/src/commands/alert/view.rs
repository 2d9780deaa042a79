//! Alerts as a person and a script see them.

use jiff::Timestamp;
use serde_json::{Value, json};
use server::store::{AlertRow, AlertState};

use crate::render::table::{Align, table};
use crate::render::units::ABSENT;

/// Characters of an error in a list.
const ERROR: usize = 80;

/// One object of schema qoe.alerts/1.
pub(super) fn json(rows: &[AlertRow], more: bool) -> Value {
    json!({
        "schema": "qoe.alerts/1",
        "more": more,
        "alerts": rows.iter().map(one).collect::<Vec<_>>(),
    })
}

fn one(row: &AlertRow) -> Value {
    json!({
        "key": row.key(),
        "incident": row.incident_id,
        "receiver": row.receiver,
        "event": row.event,
        "message": row.message,
        "state": row.state,
        "created_ts": row.created_ts,
        "due_ts": (row.state == AlertState::Pending).then_some(row.due_ts),
        "attempts": row.attempts,
        "delivered_ts": row.delivered_ts,
        "failed_ts": row.failed_ts,
        "error": row.last_error,
        "label": row.body.what.label,
        "scope": {"type": row.body.what.scope_type, "id": row.body.what.scope_id},
        "severity": row.body.severity,
    })
}

/// A line for each.
pub(super) fn list(rows: &[AlertRow]) -> String {
    if rows.is_empty() {
        return "no alerts\n".to_owned();
    }
    let heading = ["when", "receiver", "event", "incident", "what", "state", "tries", "error"];
    let heading =
        heading.map(|title| (title, if title == "tries" { Align::Right } else { Align::Left }));
    let row = |row: &AlertRow| {
        let what = &row.body.what;
        vec![
            time(row.created_ts),
            row.receiver.clone(),
            row.event.to_string(),
            row.incident_id.clone(),
            printable(format!("{}, {} {}", what.label, what.scope_type, what.scope_id).trim()),
            state(row),
            row.attempts.to_string(),
            row.last_error.as_deref().map_or_else(|| ABSENT.to_owned(), shortened),
        ]
    };
    table(&heading, &rows.iter().map(row).collect::<Vec<_>>())
}

fn state(row: &AlertRow) -> String {
    match (row.state, row.delivered_ts) {
        (AlertState::Delivered, Some(at)) => format!("delivered {}", time(at)),
        (AlertState::Delivered, None) => "delivered".to_owned(),
        (AlertState::Pending, _) => format!("due {}", time(row.due_ts)),
        (AlertState::GivenUp, _) => "given up".to_owned(),
    }
}

/// To the second.
pub(crate) fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// Names are other people's, and must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text),
    }
}
