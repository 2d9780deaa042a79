//! A topic of ntfy: a title, a text, and how loud it is.

use super::{detail, headline, link, summary, told};
use crate::store::{AlertEvent, AlertRow, Severity};

/// ntfy makes a file of what has more than 4,096 bytes.
const MOST_BYTES: usize = 3_900;

pub(super) fn body(rows: &[AlertRow]) -> String {
    let (shown, more) = told(rows);
    let mut text = match shown {
        [one] => detail(one),
        _ => {
            let each = shown.iter().map(|row| format!("{}\n{}\n\n", headline(row), detail(row)));
            each.collect::<String>().trim_end().to_owned()
        }
    };
    let rest = if more > 0 { format!("\n\n… and {more} more") } else { String::new() };
    let room = MOST_BYTES - rest.len();
    if text.len() > room {
        text.truncate(text.floor_char_boundary(room));
        text.push('…');
    }
    text + &rest
}

pub(super) fn headers(
    rows: &[AlertRow],
    incident_url: Option<&str>,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("title", one_line(&summary(rows))),
        ("priority", rows.iter().map(priority).max().unwrap_or(3).to_string()),
        ("tags", tag(rows).to_owned()),
    ];
    if let [row] = rows
        && let Some(url) = link(incident_url, row)
    {
        headers.push(("click", url));
    }
    headers
}

/// 1 to 5.
fn priority(row: &AlertRow) -> u8 {
    match (row.event, row.body.severity) {
        (AlertEvent::Ended | AlertEvent::Test, _) => 3,
        (_, Severity::Critical) => 5,
        (_, Severity::Major) => 4,
        (_, Severity::Minor) => 3,
        (_, Severity::Info) => 2,
    }
}

fn tag(rows: &[AlertRow]) -> &'static str {
    match rows {
        _ if rows.iter().any(|row| row.event == AlertEvent::Test) => "wave,qoe",
        _ if rows.iter().all(|row| row.event == AlertEvent::Ended) => "white_check_mark,qoe",
        _ if rows.iter().any(|row| row.body.severity == Severity::Critical) => "rotating_light,qoe",
        _ => "warning,qoe",
    }
}

/// As a header can hold it: what is not ASCII as RFC 2047 has it, which ntfy reads.
fn one_line(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(250).collect();
    if text.is_ascii() {
        return text;
    }
    use base64::Engine;
    format!("=?UTF-8?B?{}?=", base64::engine::general_purpose::STANDARD.encode(text))
}
