//! An incident as its row has it.

use model::detect::{Engine, Incident, RULE_VERSION, id_text, sentence};
use model::units::MINUTE_MS;

use crate::store::{Cell, IncidentBody, IncidentRow};

/// An incident as it stands after a minute. `before` is how it was last told: where the minute does not
/// show it, its numbers stay.
pub(super) fn row(
    engine: &Engine,
    incident: &Incident,
    before: Option<&IncidentRow>,
    cells: &[Cell],
    told_ts: i64,
    minute: i64,
) -> IncidentRow {
    let numbers = match before {
        Some(row) if incident.last_bad < minute => {
            engine.payload_after(incident, &row.body.evidence)
        }
        _ => engine.payload(incident),
    };
    let mut own: Vec<Cell> =
        incident.cells.iter().filter_map(|&cell| cells.get(cell)).cloned().collect();
    own.sort();
    IncidentRow {
        id: id_text(incident.id),
        label: incident.label,
        scope_type: incident.scope.kind.as_str().to_owned(),
        scope_id: incident.scope.id.to_string(),
        severity: incident.severity(),
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
            merged_into: incident.merged_into.map(id_text),
            secondary: incident.secondary.clone(),
            cells: own,
            withdrawn: false,
            evidence: numbers,
            rule_version: RULE_VERSION,
        },
    }
}
