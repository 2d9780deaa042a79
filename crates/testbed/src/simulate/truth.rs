//! What was broken, for scoring what was told.

use model::diagnosis::Label;
use serde::{Deserialize, Serialize};

use super::scenario::Scenario;

/// A fault as it was: what, where, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// What a classic diagnosis ought to call it; absent where it has no name for it.
    pub label: Option<Label>,
    /// The fault's name in a scenario, e.g. `dns_delay`.
    pub kind: String,
    /// The cells it touches, as (client, target).
    pub cells: Vec<(String, String)>,
    /// Start, milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// First millisecond after it.
    pub to_ms: i64,
    /// How much, for a person.
    pub magnitude: String,
}

/// The truth of each of the scenario's faults, in its order.
pub fn truths(scenario: &Scenario) -> Vec<Truth> {
    let truth = |fault: &super::Fault| Truth {
        label: fault.kind.label(),
        kind: fault.kind.name().to_owned(),
        cells: scenario
            .cells(fault)
            .into_iter()
            .map(|(client, target)| (client.to_owned(), target.to_owned()))
            .collect(),
        from_ms: scenario.minute_ms(fault.from_minute),
        to_ms: scenario.minute_ms(fault.from_minute.saturating_add(fault.minutes)),
        magnitude: fault.kind.magnitude(),
    };
    scenario.faults.iter().map(truth).collect()
}
