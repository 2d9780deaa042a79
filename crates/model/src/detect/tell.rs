//! From a minute's causes to what is told: incidents that open, go on, change and end.

use std::collections::HashMap;

use super::engine::{CellId, Engine, Said};
use super::evidence::{KINDS, only};
use super::explain::Finding;
use super::incident::Incident;
use super::scope::Scope;
use crate::diagnosis::Label;

/// A label may be another within so many minutes; later a different cause is a different incident.
const REVISED_WITHIN: i64 = 5;
/// It takes so many minutes in a row.
const SUCCESSOR_AFTER: u32 = 3;
/// Minutes without evidence after which an incident has ended.
const MISSED_MOST: u32 = 2;

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
                None => {
                    self.open(now, finding);
                    seen.push(true);
                }
            }
        }
        let mut over = Vec::new();
        for (incident, seen) in self.incidents.iter_mut().zip(seen.iter().copied()) {
            if seen || incident.end.is_some() {
                continue;
            }
            incident.missed += 1;
            if incident.missed >= MISSED_MOST {
                incident.end = Some(incident.last_bad + 1);
                over.push((incident.cells.clone(), incident.explains));
            }
        }
        // What was part of it begins anew.
        for (cells, explains) in over {
            for unit in cells.iter().flat_map(|&cell| self.cells[cell].units.clone()) {
                for kind in (0..KINDS).filter(|&kind| explains & only(kind) != 0) {
                    self.units[unit].tracks[kind].reset();
                }
            }
        }
        for unit in &mut self.units {
            unit.busy = false;
        }
        for incident in self.incidents.iter().filter(|incident| incident.end.is_none()) {
            self.units[incident.unit].busy = true;
        }
    }

    /// The incident of this minute that a finding is only another sign of: of the same unit, or of the
    /// same way to the target for some of its cells.
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
            let inside = || finding.cells.iter().all(|cell| incident.cells.contains(cell));
            incident.unit == finding.unit
                || (is_way(finding.cause.label) && is_way(incident.label) && inside())
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
                && finding.cells.iter().all(|cell| incident.cells.contains(cell))
        })
    }

    /// The open incident that a finding goes on with.
    fn same(&self, finding: &Finding, taken: &[bool]) -> Option<usize> {
        let open = |i: &usize| self.incidents[*i].end.is_none() && !taken[*i];
        let overlap = |i: usize| {
            let cells = &self.incidents[i].cells;
            let common = finding.cells.iter().filter(|cell| cells.contains(cell)).count();
            2 * common >= finding.cells.len().min(cells.len())
        };
        let all = || (0..taken.len()).filter(open);
        let label = finding.cause.label;
        all()
            .find(|&i| self.incidents[i].label == label && self.incidents[i].unit == finding.unit)
            .or_else(|| all().find(|&i| self.incidents[i].label == label && overlap(i)))
            .or_else(|| all().find(|&i| self.incidents[i].unit == finding.unit))
    }

    /// False where it says something else of the incident's unit, which is not believed yet.
    fn go_on(&mut self, i: usize, now: i64, finding: Finding) -> bool {
        let incident = &mut self.incidents[i];
        let young = now - incident.opened_at < REVISED_WITHIN;
        let label = finding.cause.label;
        if incident.label == label {
            incident.other = None;
            if incident.unit != finding.unit && young {
                incident.unit = finding.unit;
                incident.scope = self.units[finding.unit].scope.clone();
                incident.scoped_at = now;
                incident.cells.clear();
            }
        } else if young {
            incident.label = label;
        } else {
            let times = match incident.other {
                Some((other, times)) if other == label => times + 1,
                _ => 1,
            };
            incident.other = Some((label, times));
            if times < SUCCESSOR_AFTER {
                return false;
            }
            incident.end = Some(incident.last_bad + 1);
            self.open(now, finding);
            return true;
        }
        let incident = &mut self.incidents[i];
        incident.told_at = now;
        if finding.is_fresh {
            incident.last_bad = now;
        }
        incident.missed = 0;
        incident.excess = finding.cause.excess;
        incident.explains |= finding.cause.explains;
        let unit = &self.units[incident.unit];
        for cell in finding.cells {
            if unit.cells.contains(&cell) && !incident.cells.contains(&cell) {
                incident.cells.push(cell);
            }
        }
        true
    }

    fn open(&mut self, now: i64, finding: Finding) {
        let scope = self.units[finding.unit].scope.clone();
        let id = self.new_id(&scope, now);
        let same = self.units_of_same_cells(finding.unit);
        let ambiguous_with =
            same.into_iter().map(|other| self.units[other].scope.clone()).collect();
        self.incidents.push(Incident {
            id,
            label: finding.cause.label,
            scope,
            scoped_at: now,
            ambiguous_with,
            cells: finding.cells,
            onset: finding.onset,
            opened_at: now,
            last_bad: now,
            told_at: now,
            end: None,
            secondary: Vec::new(),
            excess: finding.cause.excess,
            explains: finding.cause.explains,
            unit: finding.unit,
            other: None,
            missed: 0,
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
            for &cell in &incident.cells {
                let weighs_more = worst.get(&cell).is_none_or(|other| rank(incident) > rank(other));
                if weighs_more {
                    worst.insert(cell, incident);
                }
            }
        }
        here.iter()
            .map(|&cell| Said {
                cell: CellId(cell),
                label: worst.get(&cell).map(|incident| incident.label),
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
