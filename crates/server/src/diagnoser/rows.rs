//! An incident as its row has it.

use model::detect::{Incident, Level, Payload, RULE_VERSION, ScopeKind, sentence};
use model::diagnosis::Label;
use model::units::MINUTE_MS;

use crate::store::{Cell, IncidentBody, IncidentRow, Severity};

/// An incident's number, as it is written.
pub(super) fn id(id: u64) -> String {
    format!("{id:014x}")
}

pub(super) fn row(
    incident: &Incident,
    numbers: Payload,
    cells: &[Cell],
    told_ts: i64,
) -> IncidentRow {
    let mut own: Vec<Cell> =
        incident.cells.iter().filter_map(|&cell| cells.get(cell)).cloned().collect();
    own.sort();
    IncidentRow {
        id: id(incident.id),
        label: incident.label,
        scope_type: incident.scope.kind.as_str().to_owned(),
        scope_id: incident.scope.id.to_string(),
        severity: severity(incident, &numbers),
        onset_ts: incident.onset * MINUTE_MS,
        opened_ts: incident.opened_at * MINUTE_MS,
        told_ts,
        last_bad_ts: incident.last_bad * MINUTE_MS,
        end_ts: incident.end.map(|minute| minute * MINUTE_MS),
        body: IncidentBody {
            text: sentence(incident, &numbers),
            secondary: incident.secondary.clone(),
            cells: own,
            withdrawn: false,
            evidence: numbers,
            rule_version: RULE_VERSION,
        },
    }
}

/// From how much of it is a failure and for how many, or how many times the usual it is: of the median
/// or, as where some wait much longer, of the 95th percentile.
fn severity(incident: &Incident, numbers: &Payload) -> Severity {
    const HALF: f64 = 0.5;
    const MINOR: f64 = 1.5;
    const MAJOR: f64 = 3.0;
    if matches!(incident.label, Label::Outage(_) | Label::Certificate) {
        let failed: u64 = numbers.failures.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
        let half = failed as f64 >= HALF * numbers.measurements.max(1) as f64;
        let alone = matches!(incident.scope.kind, ScopeKind::Cell | ScopeKind::Client);
        return if half && !alone { Severity::Critical } else { Severity::Major };
    }
    let times = match (numbers.current, numbers.usual) {
        (Some(now), Some(usual)) => {
            let less = incident.label == Label::ThroughputBound;
            let ratio = |of: fn(Level) -> f64| {
                if less { of(usual) / of(now) } else { of(now) / of(usual) }
            };
            if less {
                ratio(|level| level.p50)
            } else {
                ratio(|level| level.p50).max(ratio(|level| level.p95))
            }
        }
        _ => 1.0,
    };
    match times {
        times if times >= MAJOR => Severity::Major,
        times if times >= MINOR => Severity::Minor,
        _ => Severity::Info,
    }
}
