//! A kept diagnosis as the report tells it.

use model::diagnosis::Diagnosis;
use model::units::MINUTE_MS;
use server::store::DiagnosisRow;

use super::incident::Told;

/// With the numbers of now where it goes on, and of the worst where it has ended. `None` for a
/// label that says nothing of a fault.
pub(crate) fn told(row: &DiagnosisRow) -> Option<Told> {
    if !row.label.is_fault() {
        return None;
    }
    let evidence = if row.open { &row.latest } else { &row.peak };
    Some(Told {
        client: row.client_id.clone(),
        target: row.target.clone(),
        label: row.label,
        from_ms: row.since_ts,
        to_ms: row.last_ts + MINUTE_MS,
        open: row.open,
        weight: weight(evidence),
        text: evidence.text.clone(),
    })
}

/// How bad it is, to compare diagnoses of one label: milliseconds too many, failures, or the
/// share of the rate that is missing.
fn weight(diagnosis: &Diagnosis) -> f64 {
    let failures: u64 = diagnosis.failures.values().sum();
    if let Some(excess) = diagnosis.excess.filter(|_| failures == 0) {
        return excess.total_ms;
    }
    let usual = diagnosis.baseline.and_then(|stats| stats.p50_kbps);
    match (usual, diagnosis.current.p50_kbps) {
        (Some(usual), Some(now)) if usual > 0.0 => 1.0 - now / usual,
        #[expect(clippy::cast_precision_loss, reason = "only compared")]
        _ => failures as f64,
    }
}
