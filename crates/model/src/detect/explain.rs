//! From evidence to causes: the fewest units that explain the bad cells of a minute.

use std::collections::{HashMap, HashSet};

use super::cause::{Cause, Effect, name};
use super::cells::Cells;
use super::engine::Engine;
use super::evidence::{KINDS, Kinds, only, tail};
use super::observe::FAILINGS;
use super::scope::{Scope, ScopeKind};
use crate::diagnosis::Label;

/// Evidence of this many minutes decides whom a unit explains.
const FIT_MINUTES: i64 = 5;
/// A cell speaks for and against a unit by no more than this.
const FIT_MOST: f64 = 5.0;
const FIT_LEAST: f64 = -4.0;
/// The unit that an incident is open on keeps it unless another is better by more than this.
const INCUMBENT: f64 = 1.0;
/// Causes a minute: of a large fleet some are always bad.
const MOST_CAUSES: usize = 1_000;

/// A unit that may be at fault, by one kind of evidence, and how much better the minutes are explained
/// then.
#[derive(Debug)]
struct Candidate {
    gain: f64,
    unit: usize,
    kind: usize,
}

/// What was found in a minute.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) unit: usize,
    pub(super) cells: Cells,
    pub(super) cause: Cause,
    pub(super) onset: i64,
    /// The unit, or one address of it.
    pub(super) scope: Scope,
    /// How likely it is that one rather than the next best.
    pub(super) confidence: f64,
    /// Share of its cells' measurements that failed.
    pub(super) failing: f64,
    /// This minute shows it, and not only those before.
    pub(super) is_fresh: bool,
}

impl Engine {
    /// The fewest units that explain the bad cells, each with its cause.
    pub(super) fn explain(&self, now: i64) -> Vec<Finding> {
        let mut explained: HashMap<usize, Kinds> = HashMap::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (unit, state) in self.units.iter().enumerate() {
            let found = state.found();
            for kind in (0..KINDS).filter(|&kind| found & only(kind) != 0) {
                if state.scope.kind.is_met_by(kind) {
                    let gain = self.gain(unit, kind, now, &explained);
                    candidates.push(Candidate { gain, unit, kind });
                }
            }
        }
        let mut findings: Vec<Finding> = Vec::new();
        for _ in 0..MOST_CAUSES {
            // Of equals the first.
            let best = candidates.iter().rev().max_by(|a, b| a.gain.total_cmp(&b.gain));
            let Some(best) = best.filter(|best| best.gain > 0.0) else { break };
            let &Candidate { unit, kind, .. } = best;
            let state = &self.units[unit];
            let related = self.related(unit);
            let confidence = self.confidence(best, &candidates, &related);
            let is_left = |cell: usize, kind: usize| {
                explained.get(&cell).is_none_or(|kinds| kinds & only(kind) == 0)
            };
            let bad: Cells = state
                .cells
                .iter()
                .copied()
                .filter(|&cell| is_left(cell, kind) && self.fit(cell, unit, kind, now) > 0.0)
                .collect();
            let cause = name(state, &self.cells, &bad, now);
            let explains = cause.as_ref().map_or(0, |cause| cause.explains) | only(kind);
            for &cell in state.cells.iter() {
                *explained.entry(cell).or_default() |= explains;
            }
            for other in &mut candidates {
                if related.contains(&other.unit) && explains & only(other.kind) != 0 {
                    other.gain = self.gain(other.unit, other.kind, now, &explained);
                }
            }
            if let Some(cause) = cause {
                findings.push(self.finding(unit, kind, bad, cause, confidence, now));
            }
        }
        findings
    }

    fn finding(
        &self,
        unit: usize,
        kind: usize,
        cells: Cells,
        cause: Cause,
        confidence: f64,
        now: i64,
    ) -> Finding {
        let state = &self.units[unit];
        let onset = state.tracks[kind].since().unwrap_or(now);
        let explains = cause.explains | only(kind);
        let is_fresh = (0..KINDS)
            .filter(|&kind| explains & only(kind) != 0)
            .any(|kind| state.tracks[kind].on && state.tracks[kind].rises());
        let unit = self.fitting(unit, cause.label);
        let scope = &self.units[unit].scope;
        let address = (scope.kind == ScopeKind::Target)
            .then(|| self.address_at_fault(&cells, kind, onset.max(now - FIT_MINUTES + 1)))
            .flatten();
        let scope = address.unwrap_or_else(|| scope.clone());
        let failing = self.failing(&cells, now);
        Finding { unit, cells, cause, onset, scope, confidence, failing, is_fresh }
    }

    /// Units that share cells with one, itself among them.
    fn related(&self, unit: usize) -> HashSet<usize> {
        let cells = self.units[unit].cells.iter();
        cells.flat_map(|&cell| &self.cells[cell].units).copied().collect()
    }

    /// From the margin to the best other unit that shares cells: gains are logarithms of likelihoods.
    fn confidence(
        &self,
        best: &Candidate,
        candidates: &[Candidate],
        related: &HashSet<usize>,
    ) -> f64 {
        let cells = |unit: usize| self.units[unit].cells.len();
        let is_rival = |other: &&Candidate| {
            other.unit != best.unit
                && other.kind == best.kind
                && related.contains(&other.unit)
                && cells(other.unit) != cells(best.unit)
        };
        let next = candidates.iter().filter(is_rival).map(|other| other.gain).fold(0.0, f64::max);
        1.0 / (1.0 + libm::exp(next - best.gain))
    }

    /// The share of some cells' measurements that failed in a minute.
    fn failing(&self, cells: &[usize], now: i64) -> f64 {
        let minutes = cells.iter().filter_map(|&cell| self.cells[cell].now(now));
        let (failed, total) = minutes.fold((0, 0), |(failed, total), minute| {
            let fails: u32 = (0..FAILINGS).map(|f| minute.seen.failed(f)).sum();
            (failed + fails, total + minute.seen.tried(0))
        });
        if total == 0 { 0.0 } else { f64::from(failed) / f64::from(total) }
    }

    /// Of the units of the same cells the one that such a fault is usually of.
    fn fitting(&self, unit: usize, label: Label) -> usize {
        let fits = |unit: usize| self.units[unit].scope.kind.fits(label);
        let same = self.units_of_same_cells(unit);
        same.into_iter().find(|&other| fits(other) > fits(unit)).unwrap_or(unit)
    }

    /// How much better the minutes are explained by this unit being at fault.
    fn gain(&self, unit: usize, kind: usize, now: i64, explained: &HashMap<usize, Kinds>) -> f64 {
        let state = &self.units[unit];
        let mut gain = -state.scope.kind.penalty();
        if state.busy {
            gain += INCUMBENT;
        }
        let mut some = false;
        for &cell in state.cells.iter() {
            if explained.get(&cell).is_some_and(|kinds| kinds & only(kind) != 0) {
                continue;
            }
            let fit = self.fit(cell, unit, kind, now);
            some |= fit > 0.0;
            gain += fit;
        }
        if some { gain } else { 0.0 }
    }

    /// How much a cell speaks for a unit, or against. One whose level has changed by what would not matter
    /// speaks for nothing, however sure the change is.
    fn fit(&self, cell: usize, unit: usize, kind: usize, now: i64) -> f64 {
        let onset = self.units[unit].tracks[kind].since().unwrap_or(now);
        let from = onset.max(now - FIT_MINUTES + 1);
        let of = &self.cells[cell];
        let minutes = of.since(from).filter_map(|minute| minute.evidence.llr[kind]);
        let sum: f64 = minutes.map(f64::from).sum();
        let matters = || {
            kind >= tail(0)
                || Effect::of(std::iter::once(of), from, kind).is_none_or(|e| e.matters(kind, 0.5))
        };
        if sum <= 0.0 {
            sum.max(FIT_LEAST)
        } else if matters() {
            sum.min(FIT_MOST)
        } else {
            0.0
        }
    }
}
