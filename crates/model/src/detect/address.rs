//! Of a target with several addresses the one that is at fault alone.

use std::sync::Arc;

use super::cause::{FLOOR, RATE, RATIO};
use super::cell::Cell;
use super::engine::Engine;
use super::evidence::{TAIL_FLOOR, fails, tail, tail_from};
use super::observe::{Observation, value};
use super::scope::{Scope, ScopeKind};

/// Samples of an address that it takes to say anything of it.
const ENOUGH: usize = 4;
/// An address is at fault where this share of what was tried there is wrong; the others are not where
/// theirs is a quarter of it at most.
const WRONG: f64 = 0.1;
const OTHERS: f64 = 0.25;

/// What was seen of an address: wrong of tried, or what a level changed by.
#[derive(Debug, Default)]
struct Seen {
    wrong: f64,
    tried: f64,
    changes: Vec<(f64, f64)>,
}

impl Engine {
    /// The address that shows a kind of evidence in these cells while the others do not.
    pub(super) fn address_at_fault(
        &self,
        cells: &[usize],
        kind: usize,
        from: i64,
    ) -> Option<Scope> {
        let mut seen: Vec<(&Arc<str>, Seen)> = Vec::new();
        for &cell in cells {
            for minute in self.cells[cell].since(from) {
                for (address, observation) in minute.seen.by_address() {
                    let known = seen.iter().position(|(known, _)| *known == address);
                    let at = known.unwrap_or_else(|| {
                        seen.push((address, Seen::default()));
                        seen.len() - 1
                    });
                    let cell = &self.cells[cell];
                    seen[at].1.weigh(cell, minute.at, kind, observation);
                }
            }
        }
        if seen.len() < 2 {
            return None;
        }
        let mut badness = Vec::with_capacity(seen.len());
        for (address, seen) in &mut seen {
            badness.push((seen.badness(kind)?, *address));
        }
        badness.sort_by(|a, b| b.0.total_cmp(&a.0));
        let [(worst, address), (next, _), ..] = badness[..] else { return None };
        let least = if kind < tail(0) { 1.0 } else { WRONG };
        (worst >= least && next <= OTHERS * worst)
            .then(|| Scope { kind: ScopeKind::Address, id: Arc::clone(address) })
    }
}

impl Seen {
    fn weigh(&mut self, cell: &Cell, at: i64, kind: usize, of: &Observation) {
        if kind >= fails(0) {
            let failing = kind - fails(0);
            self.wrong += f64::from(of.failed(failing));
            self.tried += f64::from(of.tried(failing));
            return;
        }
        let signal = if kind >= tail(0) { kind - tail(0) } else { kind };
        let usual = &cell.usual[signal];
        let samples = of.samples(signal);
        if !usual.is_known(signal) {
            return;
        }
        let usual = usual.at(signal, at);
        self.tried += samples.len() as f64;
        if kind < tail(0) {
            let middle = usual.quantile(0.5);
            self.changes.extend(samples.iter().map(|&b| (value(b) / middle, value(b) - middle)));
        } else if let Some(floor) = TAIL_FLOOR.get(signal) {
            let from = tail_from(&usual, *floor);
            self.wrong += (samples.len() - samples.partition_point(|&b| b <= from)) as f64;
        }
    }

    /// The share that is wrong; of a level the change in parts of what matters.
    fn badness(&mut self, kind: usize) -> Option<f64> {
        if (self.tried as usize) < ENOUGH {
            return None;
        }
        if kind >= tail(0) {
            return Some(self.wrong / self.tried);
        }
        self.changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, excess) = *self.changes.get(self.changes.len() / 2)?;
        if kind == RATE {
            return Some((1.0 - ratio) / (1.0 - 1.0 / RATIO));
        }
        Some(((ratio - 1.0) / (RATIO - 1.0)).min(excess / FLOOR[kind].max(1.0)))
    }
}
