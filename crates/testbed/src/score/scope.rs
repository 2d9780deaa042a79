//! Whether incidents were told for whom they were true.

use std::collections::BTreeSet;

use model::diagnosis::Label;
use model::units::MINUTE_MS;
use serde::{Deserialize, Serialize};

use crate::simulate::{Scenario, ScopeName, Truth};

/// When the scope is asked for, after the fault's start.
const ASKED_MS: i64 = 6 * MINUTE_MS;
/// By how much an onset may be off.
const ONSET_MS: u64 = 2 * MINUTE_MS.unsigned_abs();
/// An incident that ended this short before is still the one that is meant.
const JUST_MS: i64 = 3 * MINUTE_MS;

/// An incident that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldIncident {
    /// What it was called.
    pub label: Label,
    /// Its scope, each with when it was told, ascending.
    pub scopes: Vec<ToldScope>,
    /// Its cells, as (client, target).
    pub cells: Vec<(String, String)>,
    /// When it is told to have begun, milliseconds since the Unix epoch.
    pub onset_ms: i64,
    /// When it was opened.
    pub opened_ms: i64,
    /// The last bad window.
    pub last_bad_ms: i64,
    /// When it ended; absent: not yet.
    pub end_ms: Option<i64>,
}

/// A scope, as it was told at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldScope {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Which.
    pub scope: ScopeName,
    /// Others that the data can't tell from it.
    #[serde(default)]
    pub ambiguous_with: Vec<ScopeName>,
}

/// How many scopes were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeScore {
    /// Faults that have a label.
    pub faults: u64,
    /// Those for which an incident of that label, with a cell in common, was open six windows
    /// after the start.
    pub named: u64,
    /// Those whose scope then takes in the same cells.
    pub right: u64,
    /// Those whose onset is within two windows of the start.
    pub onsets: u64,
    /// Incidents of those faults' labels and cells meanwhile: as many as named faults, at best.
    pub incidents: u64,
}

impl ScopeScore {
    /// `right` of `named`.
    pub fn accuracy(&self) -> Option<f64> {
        super::count::ratio(self.right, self.named)
    }

    /// `onsets` of `named`.
    pub fn onset_accuracy(&self) -> Option<f64> {
        super::count::ratio(self.onsets, self.named)
    }

    /// Incidents for each named fault.
    pub fn incidents_per_fault(&self) -> Option<f64> {
        super::count::ratio(self.incidents, self.named)
    }

    /// Adds another trace's.
    pub fn merge(&mut self, other: &Self) {
        self.faults += other.faults;
        self.named += other.named;
        self.right += other.right;
        self.onsets += other.onsets;
        self.incidents += other.incidents;
    }
}

/// Compares incidents with what was true. Of several for one fault the one with the most of its
/// cells counts; scopes that take in the same are the same.
pub fn scopes(scenario: &Scenario, truths: &[Truth], told: &[ToldIncident]) -> ScopeScore {
    let mut score = ScopeScore::default();
    for truth in truths.iter().filter(|truth| truth.label.is_some()) {
        score.faults += 1;
        let asked_ms = truth.from_ms + ASKED_MS;
        let cells: BTreeSet<_> = truth.cells.iter().collect();
        let common = |told: &ToldIncident| told.cells.iter().filter(|c| cells.contains(c)).count();
        let open = |told: &&ToldIncident| {
            Some(told.label) == truth.label
                && told.opened_ms <= asked_ms
                && told.end_ms.is_none_or(|end_ms| end_ms + JUST_MS >= asked_ms)
                && common(told) > 0
        };
        // By cells, then the one opened last.
        let best = told.iter().filter(open).max_by_key(|told| (common(told), told.opened_ms));
        let Some(best) = best else { continue };
        score.named += 1;
        let meanwhile = |told: &&ToldIncident| {
            Some(told.label) == truth.label
                && told.opened_ms < truth.to_ms + JUST_MS
                && told.end_ms.is_none_or(|end_ms| end_ms > truth.from_ms)
                && common(told) > 0
        };
        score.incidents += told.iter().filter(meanwhile).count() as u64;
        let off_ms = best.onset_ms.abs_diff(truth.from_ms);
        score.onsets += u64::from(off_ms <= ONSET_MS);
        let then = best.scopes.iter().rev().find(|scope| scope.at_ms <= asked_ms);
        if then.is_some_and(|then| scenario.reach(&then.scope) == scenario.reach(&truth.scope)) {
            score.right += 1;
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Fault, FaultKind, Scope, Shape, truths};

    /// Site 1 is of clients 1 and 3, and one of two in its ISP; resolver 1 has site 1 alone.
    fn scenario() -> Scenario {
        Scenario::fleet(1, 4, 2, 1_700_000_000_000, 60, 6).with_fault(Fault {
            kind: FaultKind::PathDelay { add_ms: 50.0 },
            scope: Scope::Site("site-1".to_owned()),
            from_minute: 20,
            minutes: 10,
            shape: Shape::Steady,
        })
    }

    fn scored(kind: &str, id: &str, label: Label, opened: i64) -> [u64; 3] {
        let scenario = scenario();
        let truths: Vec<_> = truths(&scenario).into_iter().map(Truth::extended).collect();
        let at = |minute| scenario.start_ms + minute * MINUTE_MS;
        let scope = ScopeName { kind: kind.to_owned(), id: id.to_owned() };
        let told = ToldIncident {
            label,
            scopes: vec![ToldScope { at_ms: at(opened), scope, ambiguous_with: Vec::new() }],
            cells: vec![truths[0].cells[0].clone()],
            onset_ms: at(20),
            opened_ms: at(opened),
            last_bad_ms: at(29),
            end_ms: Some(at(31)),
        };
        let score = scopes(&scenario, &truths, &[told]);
        assert_eq!([score.onsets, score.incidents], [score.named; 2]);
        [score.faults, score.named, score.right]
    }

    #[test]
    fn incidents_in_pieces_and_with_a_late_onset_are_counted_so() {
        let scenario = scenario();
        let truths: Vec<_> = truths(&scenario).into_iter().map(Truth::extended).collect();
        let at = |minute| scenario.start_ms + minute * MINUTE_MS;
        let piece = |cell: usize| ToldIncident {
            label: Label::PathDelay,
            scopes: Vec::new(),
            cells: vec![truths[0].cells[cell].clone()],
            onset_ms: at(23),
            opened_ms: at(24),
            last_bad_ms: at(29),
            end_ms: None,
        };
        let score = scopes(&scenario, &truths, &[piece(0), piece(1), piece(2)]);
        let expected = ScopeScore { faults: 1, named: 1, right: 0, onsets: 0, incidents: 3 };
        assert_eq!(score, expected);
        assert_eq!(score.incidents_per_fault(), Some(3.0));
    }

    #[test]
    fn a_scope_is_right_where_it_takes_in_the_same() {
        let path = Label::PathDelay;
        assert_eq!(scored("site", "site-1", path, 22), [1, 1, 1]);
        assert_eq!(scored("resolver", "192.0.2.53", path, 22), [1, 1, 1], "the same cells");
        assert_eq!(scored("client", "sim-0001", path, 22), [1, 1, 0]);
        assert_eq!(scored("isp", "isp-1", path, 22), [1, 1, 0]);
        assert_eq!(scored("target", "https://service-1.example/", path, 22), [1, 1, 0]);
    }

    #[test]
    fn an_incident_of_another_label_or_too_late_names_nothing() {
        assert_eq!(scored("site", "site-1", Label::DnsBound, 22), [1, 0, 0]);
        assert_eq!(scored("site", "site-1", Label::PathDelay, 27), [1, 0, 0]);
    }
}
