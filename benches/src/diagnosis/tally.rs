//! What a rule set reached on a world, over its seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::units::MINUTE_MS;
use testbed::score::{LabelScore, Observed, ScopeScore, Score, scopes, score};
use testbed::simulate::{Scenario, Truth, truths};

use super::detector::{Labels, Output};
use super::told::runs;

/// Sums over traces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The rule set.
    pub(crate) rules: &'static str,
    /// One a trace.
    pub(crate) scores: Vec<Score>,
    /// By label.
    pub(crate) labels: BTreeMap<String, LabelScore>,
    /// By the fault's label and what it was told, in cells.
    pub(crate) confusion: BTreeMap<String, BTreeMap<String, u64>>,
    /// Of incidents; absent where none was told.
    pub(crate) scopes: Option<ScopeScore>,
    /// Cells, and those of which a drift was noted within a day.
    pub(crate) noted: (usize, usize),
    /// Notes of drift, whenever.
    pub(crate) notes: usize,
    /// Time taken, events made included.
    pub(crate) took: Duration,
    /// Measurements judged.
    pub(crate) events: u64,
}

pub(crate) const DAY_MS: i64 = 1_440 * MINUTE_MS;

impl Tally {
    /// Adds what was told of a trace from a time on.
    pub(crate) fn add(
        &mut self,
        scenario: &Scenario,
        from_ms: i64,
        output: &Output,
        took: Duration,
    ) {
        self.rules = output.rules;
        let known = |truth: Truth| match output.labels {
            Labels::Four => truth.four(),
            Labels::Extended => truth.extended(),
        };
        let truths: Vec<Truth> = truths(scenario).into_iter().map(known).collect();
        let cells = scenario.clients.len() * scenario.targets.len();
        let to_ms = scenario.end_ms();
        let observed = Observed { from_ms: from_ms.min(to_ms), to_ms, cells: cells as u64 };
        let score = score(&truths, &runs(&output.verdicts), &observed);
        for (label, of_label) in &score.labels {
            self.labels.entry(label.clone()).or_default().merge(of_label);
        }
        for (label, told) in &score.confusion {
            let mine = self.confusion.entry(label.clone()).or_default();
            told.iter().for_each(|(told, n)| *mine.entry(told.clone()).or_default() += n);
        }
        if !output.incidents.is_empty() {
            let scopes = scopes(scenario, &truths, &output.incidents);
            self.scopes.get_or_insert_default().merge(&scopes);
        }
        let soon = output.notes.iter().filter(|note| note.at_ms < scenario.start_ms + DAY_MS);
        let noted: BTreeSet<_> = soon.map(|note| (&note.client, &note.target)).collect();
        self.noted = (self.noted.0 + cells, self.noted.1 + noted.len());
        self.notes += output.notes.len();
        self.took += took;
        self.events += scenario.len();
        self.scores.push(score);
    }

    /// Adds what other traces gave.
    pub(crate) fn merge(&mut self, other: Self) {
        self.scores.extend(other.scores);
        for (label, of_label) in &other.labels {
            self.labels.entry(label.clone()).or_default().merge(of_label);
        }
        for (label, told) in other.confusion {
            let mine = self.confusion.entry(label).or_default();
            told.into_iter().for_each(|(told, n)| *mine.entry(told).or_default() += n);
        }
        if let Some(scopes) = other.scopes {
            self.scopes.get_or_insert_default().merge(&scopes);
        }
        self.noted = (self.noted.0 + other.noted.0, self.noted.1 + other.noted.1);
        self.notes += other.notes;
        self.took += other.took;
        self.events += other.events;
    }

    /// A sum over the traces.
    pub(crate) fn sum(&self, of: impl Fn(&Score) -> u64) -> u64 {
        self.scores.iter().map(of).sum()
    }

    /// A mean over the traces that have it.
    pub(crate) fn mean(&self, of: impl Fn(&Score) -> Option<f64>) -> Option<f64> {
        let all: Vec<f64> = self.scores.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }
}
