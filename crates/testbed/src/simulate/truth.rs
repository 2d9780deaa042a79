//! What was broken, for scoring what was told.

use model::diagnosis::Label;
use serde::{Deserialize, Serialize};

use super::fault::ScopeName;
use super::scenario::Scenario;
use super::world;

/// A fault as it was: what, where, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// What a classic diagnosis ought to call it; absent where it has no name for it.
    pub label: Option<Label>,
    /// What a diagnosis with the whole set of labels ought to call it.
    #[serde(default)]
    pub extended: Option<Label>,
    /// Whom it touches, by name.
    #[serde(default)]
    pub scope: ScopeName,
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

impl Truth {
    /// The same with the whole set's label for its label, for scoring a diagnosis that has it.
    #[must_use]
    pub fn extended(self) -> Self {
        Self { label: self.extended, ..self }
    }

    /// The same where its label is one of the four that are not outages; without one where not,
    /// for scoring rules that know no outage.
    #[must_use]
    pub fn four(self) -> Self {
        let four = self.label.filter(|label| !matches!(label, Label::Outage(_)));
        Self { label: four, ..self }
    }
}

/// The truth of each of the scenario's faults, in its order.
pub fn truths(scenario: &Scenario) -> Vec<Truth> {
    let truth = |fault: &super::Fault| Truth {
        label: fault.kind.label(),
        extended: fault.kind.extended_label(),
        scope: fault.scope.named(|target, nth| {
            world::addresses(scenario, target).get(nth as usize).cloned().unwrap_or_default()
        }),
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
