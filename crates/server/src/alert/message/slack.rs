//! An incoming webhook of Slack: `text` for what shows no blocks, and blocks for what does.

use serde_json::{Value, json};

use super::{detail, headline, link, severity, summary, told};
use crate::store::{AlertEvent, AlertRow, Severity};

/// A section of Slack's holds 3,000 characters.
const MOST: usize = 2_900;

pub(super) fn body(rows: &[AlertRow], incident_url: Option<&str>) -> Value {
    let (shown, more) = told(rows);
    let section =
        |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let mut blocks: Vec<Value> = Vec::new();
    if rows.len() > 1 {
        blocks.push(section(format!("*{}*", escaped(&summary(rows)))));
    }
    blocks.extend(shown.iter().map(|row| section(text(row, incident_url))));
    if more > 0 {
        blocks.push(section(format!("… and {more} more")));
    }
    json!({"text": escaped(&summary(rows)), "blocks": blocks})
}

fn text(row: &AlertRow, incident_url: Option<&str>) -> String {
    let of = match row.event {
        AlertEvent::Test | AlertEvent::Ended => String::new(),
        _ => format!(" ({})", severity(row.body.severity)),
    };
    let head = format!("{} *{}*{of}\n", sign(row), escaped(&headline(row)));
    let link = link(incident_url, row).map(|url| format!("\n<{url}|Show it>")).unwrap_or_default();
    let room = MOST.saturating_sub(head.chars().count() + link.chars().count());
    let detail: String = escaped(&detail(row)).chars().take(room).collect();
    head + &detail + &link
}

fn sign(row: &AlertRow) -> &'static str {
    match (row.event, row.body.severity) {
        (AlertEvent::Test, _) => ":wave:",
        (AlertEvent::Ended, _) => ":white_check_mark:",
        (_, Severity::Critical) => ":rotating_light:",
        (_, Severity::Major) => ":red_circle:",
        (_, Severity::Minor) => ":large_orange_circle:",
        (_, Severity::Info) => ":information_source:",
    }
}

/// The three characters by which Slack would take a name for a link or a call to everybody; one that
/// marks letters would mark ours too.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace(['*', '`', '\r', '\n'], " ")
}
