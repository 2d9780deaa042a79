//! An incident as its row has it.

use model::detect::{Incident, Payload, RULE_VERSION, Severity, sentence, severity as how_bad};
use model::units::MINUTE_MS;

use crate::store::{Cell, IncidentBody, IncidentRow};

/// An incident's number, as it is written.
pub(super) fn id(id: u64) -> String {
    format!("{id:014x}")
}

pub(super) fn row(
    incident: &Incident,
    numbers: Payload,
    cells: &[Cell],
    told_ts: i64,
    minute: i64,
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
            state: incident.state(minute),
            confidence: (incident.confidence * 1e3).round() / 1e3,
            slow_by: incident.slow_by,
            flaps: incident.flaps,
            accepted_ts: incident.accepted_at.map(|minute| minute * MINUTE_MS),
            merged_into: incident.merged_into.map(id),
            secondary: incident.secondary.clone(),
            cells: own,
            withdrawn: false,
            evidence: numbers,
            rule_version: RULE_VERSION,
        },
    }
}

/// With the failures of all the minutes that the numbers are of.
fn severity(incident: &Incident, numbers: &Payload) -> Severity {
    let failed: u64 = numbers.failures.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    let failing = failed as f64 / numbers.measurements.max(1) as f64;
    how_bad(incident.label, incident.scope.kind, failing.max(incident.failing), incident.ratio)
}
