//! From a minute's causes to what is told: incidents that open, go on, change and end.

use std::collections::HashMap;

use super::engine::{CellId, Engine, Said};
use super::evidence::{KINDS, only};
use super::explain::Finding;
use super::incident::Incident;
use super::scope::{Scope, ScopeKind};
use crate::diagnosis::Label;

/// A label may be another within so many minutes; later a different cause is a different incident.
const REVISED_WITHIN: i64 = 5;
/// It takes so many minutes in a row.
const SUCCESSOR_AFTER: u32 = 3;
/// Minutes without evidence after which an incident has ended, and one that came back before.
const MISSED_MOST: u32 = 3;
const MISSED_FLAPPING: u32 = 12;
/// Minutes in a row that have to speak for another unit, and until when they are listened to.
const MOVES_AFTER: u32 = 2;
const MOVES_WITHIN: i64 = 10;
/// A level that has stayed for so long is the usual.
const ACCEPTED_AFTER: i64 = 360;
/// Where nothing is measured an incident is not over; after so long nobody waits for it any more.
const FORGOTTEN_AFTER: i64 = 1_440;

impl Engine {
    /// Opens, goes on with, revises and ends incidents.
    pub(super) fn tell(&mut self, now: i64, findings: Vec<Finding>) {
        let mut seen = vec![false; self.incidents.len()];
        for finding in findings {
            if let Some(i) = self.beside(&finding, &seen, now) {
                let incident = &mut self.incidents[i];
                incident.explains |= finding.cause.explains;
                let label = finding.cause.label;
                if label != incident.label && !incident.secondary.contains(&label) {
                    incident.secondary.push(label);
                }
                continue;
            }
            if self.is_remnant(&finding, &seen) {
                continue;
            }
            match self.same(&finding, &seen) {
                Some(i) => {
                    seen[i] = self.go_on(i, now, finding);
                    seen.resize(self.incidents.len(), true);
                }
                // What only lingers on opens nothing.
                None if !finding.is_fresh => {}
                None => {
                    self.open(now, finding);
                    seen.push(true);
                }
            }
        }
        self.merge(now);
        self.end(now, &seen);
        for unit in &mut self.units {
            unit.busy = false;
        }
        for incident in self.incidents.iter().filter(|incident| incident.end.is_none()) {
            self.units[incident.unit].busy = true;
        }
    }

    /// Ends what has gone, and accepts what has stayed.
    fn end(&mut self, now: i64, seen: &[bool]) {
        let mut over = Vec::new();
        for (i, incident) in self.incidents.iter_mut().enumerate() {
            if incident.end.is_some() {
                continue;
            }
            if incident.cells.iter().any(|&cell| self.cells[cell].now(now).is_some()) {
                incident.measured_at = now;
            } else if now - incident.measured_at < FORGOTTEN_AFTER {
                continue;
            }
            let is_seen = seen.get(i).copied().unwrap_or(true);
            let fails = matches!(incident.label, Label::Outage(_) | Label::Certificate);
            if is_seen {
                if !fails && incident.last_bad == now && now - incident.opened_at >= ACCEPTED_AFTER
                {
                    incident.accepted_at = Some(now);
                    incident.end = Some(now + 1);
                    over.push(i);
                }
                continue;
            }
            incident.missed += 1;
            let most = if incident.flaps > 0 { MISSED_FLAPPING } else { MISSED_MOST };
            if incident.missed >= most {
                incident.end = Some(incident.last_bad + 1);
                over.push(i);
            }
        }
        // What was part of it begins anew.
        for i in over {
            let incident = &self.incidents[i];
            for &cell in incident.cells.iter() {
                if incident.accepted_at.is_some() {
                    self.cells[cell].accept(incident.explains);
                }
                for &unit in &self.cells[cell].units {
                    for kind in (0..KINDS).filter(|&kind| incident.explains & only(kind) != 0) {
                        self.units[unit].tracks[kind].reset();
                    }
                }
            }
        }
    }

    /// Of two incidents of one label, of which one has the other's cells too, the later is no other.
    fn merge(&mut self, now: i64) {
        for small in 0..self.incidents.len() {
            let of = &self.incidents[small];
            if of.end.is_some() {
                continue;
            }
            let takes_in = |large: &usize| {
                let other = &self.incidents[*large];
                *large != small
                    && other.end.is_none()
                    && other.told_at == now
                    && (other.opened_at, *large) < (of.opened_at, small)
                    && other.label == of.label
                    && other.cells.take_in(&of.cells)
            };
            if let Some(large) = (0..self.incidents.len()).find(takes_in) {
                let into = self.incidents[large].id;
                let of = &mut self.incidents[small];
                of.merged_into = Some(into);
                of.end = Some(of.last_bad + 1);
            }
        }
    }

    /// The incident of this minute that a finding is only another sign of: of the same unit, or for some of
    /// its cells of the same label or the same way to the target.
    fn beside(&self, finding: &Finding, seen: &[bool], now: i64) -> Option<usize> {
        let is_way = |label: Label| {
            matches!(
                label,
                Label::PathDelay
                    | Label::PathLossBound
                    | Label::HandshakeBound
                    | Label::ThroughputBound
            )
        };
        (0..seen.len()).filter(|&i| seen[i] && self.incidents[i].told_at == now).find(|&i| {
            let incident = &self.incidents[i];
            let inside = || incident.cells.take_in(&finding.cells);
            let label = finding.cause.label;
            let is_sign = label == incident.label || (is_way(label) && is_way(incident.label));
            incident.unit == finding.unit || (is_sign && inside())
        })
    }

    /// Whether a finding is what is left of an incident that is about to end: fewer of its cells, and
    /// nothing new.
    fn is_remnant(&self, finding: &Finding, seen: &[bool]) -> bool {
        (0..seen.len()).any(|i| {
            let incident = &self.incidents[i];
            let is_open = incident.end.is_none() && !seen[i];
            is_open
                && incident.label != finding.cause.label
                && incident.explains & finding.cause.explains != 0
                && finding.cells.len() < incident.cells.len()
                && incident.cells.take_in(&finding.cells)
        })
    }

    /// The open incident that a finding goes on with.
    fn same(&self, finding: &Finding, taken: &[bool]) -> Option<usize> {
        let open = |i: &usize| self.incidents[*i].end.is_none() && !taken[*i];
        let overlap = |i: usize| {
            let cells = &self.incidents[i].cells;
            2 * finding.cells.common(cells) >= finding.cells.len().min(cells.len())
        };
        let all = || (0..taken.len()).filter(open);
        let label = finding.cause.label;
        let related = |i: usize| self.incidents[i].explains & finding.cause.explains != 0;
        // One that pauses is not of another cause.
        let goes_on = |i: usize| related(i) || (finding.is_fresh && self.incidents[i].missed == 0);
        all()
            .find(|&i| self.incidents[i].label == label && self.incidents[i].unit == finding.unit)
            .or_else(|| all().find(|&i| self.incidents[i].label == label && overlap(i)))
            .or_else(|| all().find(|&i| self.incidents[i].unit == finding.unit && goes_on(i)))
    }

    /// False where it says something else of the incident's unit, which is not believed yet.
    fn go_on(&mut self, i: usize, now: i64, finding: Finding) -> bool {
        let incident = &self.incidents[i];
        let age = now - incident.opened_at;
        let (paused, fresh) = (incident.missed > 0, finding.is_fresh);
        let label = finding.cause.label;
        if incident.label == label {
            self.incidents[i].other = None;
            self.rescope(i, now, &finding);
        } else if fresh && !paused && age < REVISED_WITHIN {
            self.incidents[i].label = label;
        } else if fresh {
            let times = match incident.other {
                Some((other, times)) if other == label => times + 1,
                _ => 1,
            };
            let related = incident.explains & finding.cause.explains != 0;
            let incident = &mut self.incidents[i];
            incident.other = Some((label, times));
            if times >= SUCCESSOR_AFTER {
                incident.end = Some(incident.last_bad + 1);
                self.open(now, finding);
                return true;
            }
            // One that comes back is at first seen by other signs.
            if !(related && (paused || incident.flaps > 0)) {
                return false;
            }
        }
        let incident = &mut self.incidents[i];
        incident.told_at = now;
        if fresh {
            incident.last_bad = now;
            incident.failing = finding.failing;
            if paused {
                incident.comes_back(now);
            }
        }
        if fresh || !paused {
            incident.missed = 0;
        }
        if incident.label != label {
            return true;
        }
        incident.confidence = finding.confidence;
        incident.ratio = incident.ratio.max(finding.cause.ratio);
        incident.slow_by = finding.cause.slow_by.or(incident.slow_by);
        incident.excess = finding.cause.excess;
        incident.explains |= finding.cause.explains;
        let unit = &self.units[incident.unit];
        if !incident.cells.take_in(&finding.cells) {
            incident.cells.add_all(finding.cells.iter().copied().filter(|&c| unit.cells.has(c)));
        }
        true
    }

    /// Takes the finding's unit for the incident's when it was said twice in a row, while the incident is
    /// young; what one minute says of an old one is chance.
    fn rescope(&mut self, i: usize, now: i64, finding: &Finding) {
        let incident = &mut self.incidents[i];
        if !finding.is_fresh {
            return;
        }
        if incident.scope == finding.scope {
            incident.moves = 0;
            return;
        }
        incident.moves += 1;
        let age = now - incident.opened_at;
        let at_once = age == 1;
        if age >= MOVES_WITHIN || (incident.moves < MOVES_AFTER && !at_once) {
            return;
        }
        incident.moves = 0;
        if incident.unit != finding.unit {
            let ambiguous_with = self.ambiguous_with(finding.unit);
            let incident = &mut self.incidents[i];
            incident.unit = finding.unit;
            incident.cells.clear();
            incident.ambiguous_with = ambiguous_with;
        }
        let incident = &mut self.incidents[i];
        incident.scope = finding.scope.clone();
        incident.scoped_at = now;
    }

    fn ambiguous_with(&self, unit: usize) -> Vec<Scope> {
        let same = self.units_of_same_cells(unit);
        same.into_iter().map(|other| self.units[other].scope.clone()).collect()
    }

    fn open(&mut self, now: i64, finding: Finding) {
        let scope = finding.scope;
        let id = self.new_id(&scope, now);
        let ambiguous_with = match scope.kind {
            ScopeKind::Address => Vec::new(),
            _ => self.ambiguous_with(finding.unit),
        };
        self.incidents.push(Incident {
            id,
            label: finding.cause.label,
            scope,
            scoped_at: now,
            confidence: finding.confidence,
            ambiguous_with,
            cells: finding.cells,
            onset: finding.onset,
            opened_at: now,
            last_bad: now,
            told_at: now,
            end: None,
            accepted_at: None,
            merged_into: None,
            flaps: 0,
            failing: finding.failing,
            ratio: finding.cause.ratio,
            slow_by: finding.cause.slow_by,
            secondary: Vec::new(),
            excess: finding.cause.excess,
            explains: finding.cause.explains,
            unit: finding.unit,
            other: None,
            missed: 0,
            moves: 0,
            back_at: Vec::new(),
            measured_at: now,
        });
    }

    /// A number made of the unit and the time, so that judging again gives the same. 53 bits, which
    /// every reader of JSON keeps.
    fn new_id(&self, scope: &Scope, now: i64) -> u64 {
        let text = format!("{now} {scope}");
        // FNV-1a.
        let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        }) >> 11;
        while self.incidents.iter().any(|incident| incident.id == hash) {
            hash += 1;
        }
        hash
    }

    /// What is said of each cell that was measured.
    pub(super) fn say(&self, now: i64, here: &[usize]) -> Vec<Said> {
        let mut worst: HashMap<usize, &Incident> = HashMap::new();
        for incident in &self.incidents {
            if incident.end.is_some() || incident.missed > 0 || incident.told_at != now {
                continue;
            }
            for &cell in incident.cells.iter() {
                let weighs_more = worst.get(&cell).is_none_or(|other| rank(incident) > rank(other));
                if weighs_more {
                    worst.insert(cell, incident);
                }
            }
        }
        let unknown = |cell: usize| !self.cells[cell].is_known();
        here.iter()
            .map(|&cell| Said {
                cell: CellId(cell),
                label: worst
                    .get(&cell)
                    .map(|incident| incident.label)
                    .or_else(|| unknown(cell).then_some(Label::InsufficientData)),
                incident: worst.get(&cell).map(|incident| incident.id),
            })
            .collect()
    }
}

/// Which of two incidents of a cell is told: what fails, then what adds most.
fn rank(incident: &Incident) -> (u8, f64) {
    let class = match incident.label {
        Label::Certificate => 3,
        Label::Outage(_) => 2,
        Label::ThroughputBound | Label::Bufferbloat => 0,
        _ => 1,
    };
    (class, incident.excess.iter().sum())
}
