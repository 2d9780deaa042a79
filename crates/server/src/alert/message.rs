//! What is sent: a message of some notices, in the words of each kind of receiver.

use jiff::Timestamp;
use url::Url;

use super::config::{INCIDENT, Kind, Receiver};
use super::sign;
use crate::store::{AlertBody, AlertEvent, AlertRow, Severity};

mod alertmanager;
mod ntfy;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

/// A request to be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub url: Url,
    /// Beside what every request has.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The header that names a message, the same each time it is sent.
pub const KEY: &str = "idempotency-key";
/// Notices that are told one by one where people read them; of more, how many they are.
const TOLD: usize = 10;

/// The request that tells these notices, which are of one message, at this moment. Sent again it has
/// the same body, save what only the moment can say: a signature, and when an Alertmanager is to
/// forget what goes on.
pub fn message(
    receiver: &Receiver,
    id: &str,
    rows: &[AlertRow],
    incident_url: Option<&str>,
    now_ms: i64,
) -> Message {
    let mut headers = vec![(KEY, id.to_owned())];
    if let Some(token) = &receiver.token {
        headers.push(("authorization", format!("Bearer {}", token.expose())));
    }
    let mut url = receiver.url.clone();
    let json = |value: &serde_json::Value| value.to_string().into_bytes();
    let body = match receiver.kind {
        Kind::Webhook => {
            let body = json(&webhook::body(id, rows, incident_url));
            if let Some(secret) = &receiver.secret {
                let signature = sign::header(secret.expose().as_bytes(), now_ms / 1_000, &body);
                headers.push((sign::HEADER, signature));
            }
            body
        }
        Kind::Slack => json(&slack::body(rows, incident_url)),
        Kind::Alertmanager => {
            url = alertmanager::endpoint(&url);
            json(&alertmanager::body(rows, incident_url, now_ms))
        }
        Kind::Ntfy => {
            headers.extend(ntfy::headers(rows, incident_url));
            ntfy::body(rows).into_bytes()
        }
    };
    let kind = if receiver.kind == Kind::Ntfy { "text/plain" } else { "application/json" };
    headers.push(("content-type", format!("{kind}; charset=utf-8")));
    Message { url, headers, body }
}

/// What an Alertmanager is to know of what goes on, said anew lest it forget.
pub fn refresh(
    receiver: &Receiver,
    mut rows: Vec<AlertRow>,
    incident_url: Option<&str>,
    now_ms: i64,
) -> Message {
    // What it was before is over already.
    rows.iter_mut().for_each(|row| row.body.before = None);
    message(receiver, &format!("refresh-{now_ms}"), &rows, incident_url, now_ms)
}

/// A notice that says of itself that it is none.
pub fn test_notice(receiver: &str, now_ms: i64) -> AlertRow {
    use crate::store::{AlertState, What};
    use model::diagnosis::Label;
    AlertRow {
        incident_id: "0000000000000000".to_owned(),
        receiver: receiver.to_owned(),
        seq: 0,
        event: AlertEvent::Test,
        message: format!("test-{now_ms}"),
        created_ts: now_ms,
        due_ts: now_ms,
        attempts: 0,
        state: AlertState::Pending,
        delivered_ts: None,
        failed_ts: None,
        last_error: None,
        body: AlertBody {
            what: What {
                label: Label::InsufficientData,
                scope_type: "global".to_owned(),
                scope_id: String::new(),
            },
            severity: Severity::Info,
            onset_ts: now_ms,
            end_ts: None,
            text: "This is a test of qoe's alerts. Nothing is wrong.".to_owned(),
            secondary: Vec::new(),
            cells: Vec::new(),
            cell_count: 0,
            before: None,
            worst: Severity::Info,
            flaps: 0,
        },
    }
}

/// RFC 3339, to the second.
fn moment(ms: i64) -> String {
    Timestamp::from_second(ms.div_euclid(1_000)).unwrap_or_default().to_string()
}

/// Where an incident is shown; a test is of none.
fn link(incident_url: Option<&str>, row: &AlertRow) -> Option<String> {
    let url = incident_url.filter(|_| row.event != AlertEvent::Test)?;
    Some(url.replace(INCIDENT, &row.incident_id))
}

/// `target https://shop.example/`, for people.
fn scope(body: &AlertBody) -> String {
    let what = &body.what;
    match what.scope_id.is_empty() {
        true => "everybody".to_owned(),
        false => format!("{} {}", what.scope_type, what.scope_id),
    }
}

/// One line for people.
fn headline(row: &AlertRow) -> String {
    let body = &row.body;
    let (label, scope) = (body.what.label, scope(body));
    match row.event {
        AlertEvent::Test => "TEST: qoe's alerts arrive here".to_owned(),
        AlertEvent::Opened if body.flaps > 0 => format!("AGAIN: {label}, {scope}"),
        AlertEvent::Opened => format!("{label}, {scope}"),
        AlertEvent::Changed => format!("CHANGED: {label}, {scope}"),
        AlertEvent::Reminder => format!("STILL: {label}, {scope}"),
        AlertEvent::Ended => format!("OVER: {label}, {scope}"),
    }
}

/// What more there is to say, for people.
fn detail(row: &AlertRow) -> String {
    let body = &row.body;
    if row.event == AlertEvent::Test {
        return body.text.clone();
    }
    let mut said = vec![body.text.clone()];
    if let Some(before) = &body.before {
        let what = &before.what;
        said.push(format!(
            "Before: {}, {} {}, {}.",
            what.label,
            what.scope_type,
            what.scope_id,
            severity(before.severity)
        ));
    }
    let since = moment(body.onset_ts);
    said.push(match body.end_ts {
        Some(end_ts) => format!("From {since} to {}.", moment(end_ts)),
        None if row.event == AlertEvent::Ended => format!("From {since}; it is seen no more."),
        None => format!("Since {since}."),
    });
    if body.flaps > 0 {
        said.push("It comes and goes: of such one there is a notice every 30 minutes.".to_owned());
    }
    said.join(" ")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Minor => "minor",
        Severity::Major => "major",
        Severity::Critical => "critical",
    }
}

/// In one line: the one notice there is, or how many of which kind.
fn summary(rows: &[AlertRow]) -> String {
    if let [row] = rows {
        return match row.event {
            AlertEvent::Test | AlertEvent::Ended => headline(row),
            _ => format!("{}: {}", severity(row.body.severity), headline(row)),
        };
    }
    let count = |event| rows.iter().filter(|row| row.event == event).count();
    let kinds = [
        (count(AlertEvent::Opened), "new"),
        (count(AlertEvent::Changed), "changed"),
        (count(AlertEvent::Reminder), "still there"),
        (count(AlertEvent::Ended), "over"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(count, kind)| format!("{count} {kind}")).collect();
    format!("{} incidents: {}", rows.len(), kinds.join(", "))
}

/// Those that are told one by one, and how many are not.
fn told(rows: &[AlertRow]) -> (&[AlertRow], usize) {
    let told = &rows[..rows.len().min(TOLD)];
    (told, rows.len() - told.len())
}
