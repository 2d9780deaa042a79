//! What is due: from incidents, what was told of them, and the time, to notices. A function of its
//! arguments; what it says twice is written once, since a notice has its place in the table.

use std::collections::{BTreeMap, BTreeSet};

use model::diagnosis::Label;
use model::units::MINUTE_MS;

use super::config::{Config, Policy, Receiver};
use crate::store::{AlertBody, AlertEvent, AlertRow, AlertState, Before, IncidentRow, Told, What};

#[cfg(test)]
mod tests;

/// What is planned from.
pub struct Input<'a> {
    /// Who is told, and when.
    pub config: &'a Config,
    /// Those that go on, and those that ended in the last days.
    pub incidents: &'a [IncidentRow],
    /// Whether these are all: then one that was told and is not among them is over.
    pub complete: bool,
    /// What was told of them, and of others in the last days.
    pub told: &'a [Told],
    /// Now, milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// What is to be told to a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// To whom.
    pub receiver: String,
    /// Of which incident.
    pub incident_id: String,
    /// Its place among the notices of the two.
    pub seq: u32,
    /// What it tells.
    pub event: AlertEvent,
    /// The incident as it is now.
    pub body: AlertBody,
}

/// Of one that comes and goes a notice is sent so often and no more. One that comes back is told at once
/// the first time: it may be another.
const FLAPPING_MS: i64 = 30 * MINUTE_MS;
/// How long it is remembered that one came and went.
const FLAPS_FOR_MS: i64 = 2 * FLAPPING_MS;
/// A label or scope that was revised waits so long after the notice before: it may be revised again.
const REVISED_AFTER_MS: i64 = 5 * MINUTE_MS;
/// Cells that a notice names at most, and characters of its text.
const MOST_CELLS: usize = 10;
const MOST_TEXT: usize = 1_000;

/// Every notice that is due, by receiver and then by incident.
pub fn due(input: &Input<'_>) -> Vec<Notice> {
    let mut found = Vec::new();
    let open = input.incidents.iter().filter(|incident| incident.end_ts.is_none());
    let open: BTreeSet<&str> = open.map(|incident| incident.id.as_str()).collect();
    for receiver in &input.config.receivers {
        let mut history = History::of(&receiver.name, input.told, &open);
        if input.complete {
            found.extend(history.withdrawn(input));
        }
        let (over, open): (Vec<_>, Vec<_>) =
            input.incidents.iter().partition(|incident| incident.end_ts.is_some());
        // What is over first: the same that opened anew meanwhile is one that comes and goes.
        for incident in over.into_iter().chain(open) {
            let last = history.by_incident.get(incident.id.as_str()).copied();
            let due = step(input, receiver, &history, incident, last);
            let Some((event, body)) = due else { continue };
            if event == AlertEvent::Ended {
                history.just_ended.insert(body.what.clone());
            }
            found.push(Notice {
                receiver: receiver.name.clone(),
                incident_id: incident.id.clone(),
                seq: last.map_or(0, |told| told.last.seq.saturating_add(1)),
                event,
                body,
            });
        }
    }
    found
}

/// What one receiver was told.
struct History<'a> {
    by_incident: BTreeMap<&'a str, &'a Told>,
    /// By what is wrong: the newest notice of one that does not go on.
    by_what: BTreeMap<&'a What, &'a AlertRow>,
    /// What it is to be told now to be over.
    just_ended: BTreeSet<What>,
}

impl<'a> History<'a> {
    fn of(receiver: &str, told: &'a [Told], open: &BTreeSet<&str>) -> Self {
        let mut history = Self {
            by_incident: BTreeMap::new(),
            by_what: BTreeMap::new(),
            just_ended: BTreeSet::new(),
        };
        for told in told.iter().filter(|told| told.last.receiver == receiver) {
            let last = &told.last;
            history.by_incident.insert(&last.incident_id, told);
            if last.event != AlertEvent::Ended && open.contains(last.incident_id.as_str()) {
                continue;
            }
            let newest = history.by_what.entry(&last.body.what).or_insert(last);
            if last.created_ts > newest.created_ts {
                *newest = last;
            }
        }
        history
    }

    /// Told, and neither there any more nor told to be over.
    fn withdrawn(&self, input: &Input<'_>) -> Vec<Notice> {
        let there: BTreeSet<&str> = input.incidents.iter().map(|one| one.id.as_str()).collect();
        let gone = self.by_incident.values().filter(|told| {
            let open = !matches!(told.last.event, AlertEvent::Ended | AlertEvent::Test);
            open && told.heard && !there.contains(told.last.incident_id.as_str())
        });
        gone.map(|told| Notice {
            receiver: told.last.receiver.clone(),
            incident_id: told.last.incident_id.clone(),
            seq: told.last.seq.saturating_add(1),
            event: AlertEvent::Ended,
            body: AlertBody { before: None, ..told.last.body.clone() },
        })
        .collect()
    }
}

/// What is due of one incident for one receiver.
fn step(
    input: &Input<'_>,
    receiver: &Receiver,
    history: &History<'_>,
    incident: &IncidentRow,
    told: Option<&Told>,
) -> Option<(AlertEvent, AlertBody)> {
    let Input { config, now_ms, .. } = *input;
    let policy = &config.policy;
    let silent = || config.maintenance.iter().any(|window| window.covers(incident, now_ms));
    let open = told.filter(|told| told.last.event != AlertEvent::Ended);
    match (open, incident.end_ts) {
        // One that was over before it was told is no news.
        (None, Some(_)) => None,
        (None, None) => {
            let what = what(incident);
            let newest = history.by_what.get(&what).copied();
            let again = newest.filter(|row| now_ms < row.created_ts.saturating_add(FLAPS_FOR_MS));
            let held = again.is_some_and(|row| !is_rested(row, now_ms))
                || history.just_ended.contains(&what);
            let ready = receiver.wants(incident) && has_lasted(incident, policy);
            if !ready || held || silent() {
                return None;
            }
            let flaps = again.map_or(0, |row| row.body.flaps.saturating_add(1));
            let body = AlertBody { flaps, ..body(incident) };
            Some((AlertEvent::Opened, body))
        }
        (Some(told), Some(end_ts)) => {
            let over = now_ms.saturating_sub(end_ts) >= policy.resolve_after_ms;
            let event = AlertEvent::Ended;
            // What nobody got an opening of needs no end.
            (over && told.heard && is_rested(&told.last, now_ms))
                .then(|| (event, following(incident, &told.last)))
        }
        (Some(told), None) => {
            let last = &told.last;
            let rested = now_ms.saturating_sub(last.created_ts);
            let worse = incident.severity > last.body.worst;
            let revised = what(incident) != last.body.what && rested >= REVISED_AFTER_MS;
            let again = policy.remind_every_ms.is_some_and(|every| rested >= every);
            let event = match (worse || revised, again) {
                (true, _) => AlertEvent::Changed,
                (false, true) => AlertEvent::Reminder,
                (false, false) => return None,
            };
            (told.heard && is_rested(last, now_ms) && receiver.wants(incident) && !silent())
                .then(|| (event, following(incident, last)))
        }
    }
}

/// Whether it is more than a blink. An outage is told at once.
fn has_lasted(incident: &IncidentRow, policy: &Policy) -> bool {
    let lasted_ms = incident.last_bad_ts.saturating_add(MINUTE_MS) - incident.onset_ts;
    matches!(incident.label, Label::Outage(_)) || lasted_ms >= policy.open_after_ms
}

/// Whether one that comes and goes has been left alone for long enough.
fn is_rested(last: &AlertRow, now_ms: i64) -> bool {
    last.body.flaps == 0 || now_ms >= last.created_ts.saturating_add(FLAPPING_MS)
}

fn what(incident: &IncidentRow) -> What {
    What {
        label: incident.label,
        scope_type: incident.scope_type.clone(),
        scope_id: incident.scope_id.clone(),
    }
}

/// The incident as it is now, as the first notice of it has it.
fn body(incident: &IncidentRow) -> AlertBody {
    let kept = &incident.body;
    AlertBody {
        what: what(incident),
        severity: incident.severity,
        onset_ts: incident.onset_ts,
        end_ts: incident.end_ts,
        text: kept.text.chars().take(MOST_TEXT).collect(),
        secondary: kept.secondary.clone(),
        cells: kept.cells.iter().take(MOST_CELLS).cloned().collect(),
        cell_count: kept.cells.len(),
        before: None,
        worst: incident.severity,
        flaps: 0,
    }
}

/// The incident as it is now, after another notice of it.
fn following(incident: &IncidentRow, last: &AlertRow) -> AlertBody {
    let now = body(incident);
    let before = Before { what: last.body.what.clone(), severity: last.body.severity };
    let differs = before.what != now.what || before.severity != now.severity;
    AlertBody {
        before: differs.then_some(before),
        worst: last.body.worst.max(now.severity),
        flaps: last.body.flaps,
        ..now
    }
}

impl Notice {
    /// As it is kept, as part of a message.
    pub fn row(self, message: &str, now_ms: i64) -> AlertRow {
        AlertRow {
            incident_id: self.incident_id,
            receiver: self.receiver,
            seq: self.seq,
            event: self.event,
            message: message.to_owned(),
            created_ts: now_ms,
            due_ts: now_ms,
            attempts: 0,
            state: AlertState::Pending,
            delivered_ts: None,
            failed_ts: None,
            last_error: None,
            body: self.body,
        }
    }
}
