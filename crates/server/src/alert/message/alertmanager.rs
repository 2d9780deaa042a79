//! What Prometheus' Alertmanager takes at /api/v2/alerts. It groups, silences and tells by itself, and
//! takes one that was not said anew for as long as `endsAt` has it for over.

use serde_json::{Map, Value, json};
use url::Url;

use super::{detail, headline, link, moment, severity};
use crate::store::{AlertEvent, AlertRow, What};

/// It is said anew every five minutes, so that much may fail before it is taken for over.
const FORGOTTEN_AFTER_MS: i64 = 60 * 60_000;
/// A test ends by itself.
const TEST_ENDS_AFTER_MS: i64 = 60_000;
/// Characters of a value.
const MOST: usize = 256;

/// Where alerts are posted: at the address itself where it names a path of the interface, else below.
pub(super) fn endpoint(url: &Url) -> Url {
    let mut url = url.clone();
    if !url.path().ends_with("/api/v2/alerts") {
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url
}

pub(super) fn body(rows: &[AlertRow], incident_url: Option<&str>, now_ms: i64) -> Value {
    rows.iter().flat_map(|row| alerts(row, incident_url, now_ms)).collect()
}

/// The alert as it is, and the one it was where its labels were others: that one is over.
fn alerts(row: &AlertRow, incident_url: Option<&str>, now_ms: i64) -> Vec<Value> {
    let body = &row.body;
    let ends_ms = match row.event {
        AlertEvent::Ended => body.end_ts.unwrap_or(row.created_ts),
        AlertEvent::Test => now_ms.saturating_add(TEST_ENDS_AFTER_MS),
        _ => now_ms.saturating_add(FORGOTTEN_AFTER_MS),
    };
    // Over before it began is refused.
    let alert = |labels: Map<String, Value>, ends_ms: i64| {
        let mut alert = json!({
            "labels": labels,
            "annotations": {"summary": headline(row), "description": detail(row)},
            "startsAt": moment(body.onset_ts),
            "endsAt": moment(ends_ms.max(body.onset_ts.saturating_add(1_000))),
        });
        if let Some(url) = link(incident_url, row) {
            alert["generatorURL"] = Value::from(url);
        }
        alert
    };
    let labels = labels(row, &body.what, severity(body.severity));
    let mut found = Vec::new();
    if let Some(before) = &body.before {
        let before = self::labels(row, &before.what, severity(before.severity));
        if before != labels {
            found.push(alert(before, row.created_ts));
        }
    }
    found.push(alert(labels, ends_ms));
    found
}

/// A fixed set of names; the values are an incident's own, so that their number is that of incidents.
fn labels(row: &AlertRow, what: &What, severity: &str) -> Map<String, Value> {
    let name = match row.event {
        AlertEvent::Test => "QoeTest",
        _ => "QoeIncident",
    };
    let short = |text: &str| text.chars().take(MOST).collect::<String>();
    let labels = [
        ("alertname", name.to_owned()),
        ("incident", row.incident_id.clone()),
        ("label", what.label.to_string()),
        ("scope_type", what.scope_type.clone()),
        ("scope", short(&what.scope_id)),
        ("severity", severity.to_owned()),
    ];
    // An empty value is no label there.
    let said = labels.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}
