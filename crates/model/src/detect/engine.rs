//! The fleet from minute to minute.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cause::{Cause, Effect, name};
use super::cell::Cell;
use super::evidence::{KINDS, Kinds, fails, only, tail};
use super::incident::Incident;
use super::observe::{Observation, Signal};
use super::scope::{Scope, ScopeKind};
use super::unit::Unit;
use crate::diagnosis::Label;

/// A cell's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId(pub usize);

/// Where a cell is, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who measures.
    pub client: Arc<str>,
    /// What is measured.
    pub target: Arc<str>,
    /// The client's site.
    pub site: Option<Arc<str>>,
    /// Its provider.
    pub isp: Option<Arc<str>>,
    /// The resolver it asks.
    pub resolver: Option<Arc<str>>,
    /// The target's address that it reaches.
    pub address: Option<Arc<str>>,
}

/// What is said of a cell's minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The cell.
    pub cell: CellId,
    /// What is wrong; absent where nothing is.
    pub label: Option<Label>,
    /// The incident it belongs to.
    pub incident: Option<u64>,
}

/// A label may be another within so many minutes; later a different cause is a different incident.
const REVISED_WITHIN: i64 = 5;
/// It takes so many minutes in a row.
const SUCCESSOR_AFTER: u32 = 3;
/// Minutes without evidence after which an incident has ended.
const MISSED_MOST: u32 = 2;
/// Evidence of this many minutes decides whom a unit explains.
const FIT_MINUTES: i64 = 5;
/// A cell speaks for and against a unit by no more than this.
const FIT_MOST: f64 = 5.0;
const FIT_LEAST: f64 = -4.0;
/// The unit that an incident is open on keeps it unless another is better by more than this.
const INCUMBENT: f64 = 1.0;
/// Samples that the present is told from.
const PRESENT: u32 = 8;
/// How much more a change has to be that a single cell shows.
const LONE: f64 = 1.5;
/// How much more it has to be that came on slowly, as what wanders does.
const SLOW: f64 = 1.5;
const SUDDEN: usize = 10;
/// Causes a minute.
const MOST_CAUSES: usize = 16;

/// The detector.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Engine {
    cells: Vec<Cell>,
    places: Vec<Place>,
    units: Vec<Unit>,
    unit_of: BTreeMap<Scope, usize>,
    incidents: Vec<Incident>,
}

/// What was found in a minute.
#[derive(Debug)]
struct Finding {
    unit: usize,
    cells: Vec<usize>,
    cause: Cause,
    onset: i64,
    /// This minute shows it, and not only those before.
    is_fresh: bool,
}

impl Engine {
    /// Says where a cell is; one that is new, or has moved.
    pub fn place(&mut self, id: CellId, place: &Place) {
        if id.0 >= self.cells.len() {
            self.cells.resize_with(id.0 + 1, Cell::default);
            self.places.resize_with(id.0 + 1, Place::default);
        }
        if self.places[id.0] == *place {
            return;
        }
        for unit in std::mem::take(&mut self.cells[id.0].units) {
            self.units[unit].cells.retain(|&cell| cell != id.0);
        }
        let own: Arc<str> = format!("{} {}", place.client, place.target).into();
        let scopes = [
            Some((ScopeKind::Cell, own)),
            Some((ScopeKind::Client, Arc::clone(&place.client))),
            place.site.clone().map(|id| (ScopeKind::Site, id)),
            place.isp.clone().map(|id| (ScopeKind::Isp, id)),
            place.resolver.clone().map(|id| (ScopeKind::Resolver, id)),
            place.address.clone().map(|id| (ScopeKind::Address, id)),
            Some((ScopeKind::Target, Arc::clone(&place.target))),
            Some((ScopeKind::Global, Arc::from(""))),
        ];
        for (kind, name) in scopes.into_iter().flatten() {
            let scope = Scope { kind, id: name };
            let unit = *self.unit_of.entry(scope.clone()).or_insert_with(|| {
                self.units.push(Unit::new(scope));
                self.units.len() - 1
            });
            self.units[unit].cells.push(id.0);
            self.cells[id.0].units.push(unit);
        }
        self.places[id.0] = place.clone();
    }

    /// Where a cell is, if it is known.
    pub fn place_of(&self, cell: CellId) -> Option<&Place> {
        self.places.get(cell.0)
    }

    /// Takes a minute of the fleet, and says what is wrong in it.
    pub fn advance(&mut self, now: i64, seen: Vec<(CellId, Observation)>) -> Vec<Said> {
        let mut here = Vec::with_capacity(seen.len());
        for (cell, observation) in seen {
            if !observation.is_empty() {
                here.push(cell.0);
                self.cells[cell.0].see(now, observation);
            }
        }
        for unit in &mut self.units {
            unit.advance(&self.cells, now);
        }
        self.close_tracks(now);
        self.open_tracks(now);
        self.open_by_cells();
        let findings = self.explain(now);
        self.tell(now, findings);
        let said = self.say(now, &here);
        for said in &said {
            if said.label.is_some() {
                self.cells[said.cell.0].mark(now);
                for &unit in &self.cells[said.cell.0].units {
                    self.units[unit].last_bad = now;
                }
            }
        }
        for &cell in &here {
            self.cells[cell].learn(now);
        }
        said
    }

    /// All incidents, those that have ended first told as they were.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// Takes out those that have ended.
    pub fn take_ended(&mut self) -> Vec<Incident> {
        let (ended, open) =
            std::mem::take(&mut self.incidents).into_iter().partition(|i| i.end.is_some());
        self.incidents = open;
        ended
    }

    /// A level that is back to half of what would matter has gone, whatever the ranks say.
    fn close_tracks(&mut self, now: i64) {
        for unit in &mut self.units {
            for kind in 0..tail(0) {
                if !unit.tracks[kind].on {
                    continue;
                }
                let since = now + 1 - unit.tracks[kind].minutes_of(PRESENT);
                let cells = unit.cells.iter().map(|&cell| &self.cells[cell]);
                let present = Effect::of(cells, since, kind);
                if present.is_some_and(|effect| !effect.matters(kind, 0.5)) {
                    unit.tracks[kind].reset();
                }
            }
        }
    }

    /// Evidence that is enough counts as found where the change matters.
    fn open_tracks(&mut self, now: i64) {
        for unit in &mut self.units {
            for kind in 0..KINDS {
                let track = &unit.tracks[kind];
                if track.on || !track.is_ripe(kind) || is_early(unit, kind) {
                    continue;
                }
                let on = kind >= tail(0) || {
                    let since = track.since().unwrap_or(now).max(now - 9);
                    let cells = unit.cells.iter().map(|&cell| &self.cells[cell]);
                    let lone = if is_lone(unit, kind) { LONE } else { 1.0 };
                    let part = if track.run() > SUDDEN { lone * SLOW } else { lone };
                    Effect::of(cells, since, kind).is_some_and(|e| e.matters(kind, part))
                };
                unit.tracks[kind].on = on;
            }
        }
    }

    /// Where most of a unit's cells have found something by themselves, the unit has.
    fn open_by_cells(&mut self) {
        for unit in 0..self.units.len() {
            let cells = &self.units[unit].cells;
            if cells.len() < 2 {
                continue;
            }
            let found: Vec<usize> = (0..KINDS)
                .filter(|&kind| !self.units[unit].tracks[kind].on)
                .filter(|&kind| {
                    let own = |cell: &&usize| {
                        let own = self.cells[**cell].units[0];
                        self.units[own].tracks[kind].on
                    };
                    3 * cells.iter().filter(own).count() >= 2 * cells.len()
                })
                .collect();
            for kind in found {
                self.units[unit].tracks[kind].on = true;
            }
        }
    }

    /// The fewest units that explain the bad cells, each with its cause.
    fn explain(&self, now: i64) -> Vec<Finding> {
        let mut candidates = Vec::new();
        for (unit, state) in self.units.iter().enumerate() {
            for kind in (0..KINDS).filter(|&kind| state.tracks[kind].on) {
                if state.scope.kind.is_met_by(kind) {
                    candidates.push((unit, kind));
                }
            }
        }
        let mut explained: HashMap<usize, Kinds> = HashMap::new();
        let mut findings: Vec<Finding> = Vec::new();
        for _ in 0..MOST_CAUSES {
            let mut best: Option<(f64, usize, usize)> = None;
            for &(unit, kind) in &candidates {
                let gain = self.gain(unit, kind, now, &explained);
                if gain > 0.0 && best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, unit, kind));
                }
            }
            let Some((_, unit, kind)) = best else { break };
            let state = &self.units[unit];
            let is_left = |cell: usize, kind: usize| {
                explained.get(&cell).is_none_or(|kinds| kinds & only(kind) == 0)
            };
            let bad: Vec<usize> = state
                .cells
                .iter()
                .copied()
                .filter(|&cell| is_left(cell, kind) && self.fit(cell, unit, kind, now) > 0.0)
                .collect();
            let cause = name(state, &self.cells, &bad, now);
            let explains = cause.as_ref().map_or(0, |cause| cause.explains) | only(kind);
            for &cell in &state.cells {
                *explained.entry(cell).or_default() |= explains;
            }
            let onset = state.tracks[kind].since().unwrap_or(now);
            if let Some(cause) = cause {
                let is_fresh = (0..KINDS)
                    .filter(|&kind| explains & only(kind) != 0)
                    .any(|kind| state.tracks[kind].on && state.tracks[kind].rises());
                let unit = self.fitting(unit, cause.label);
                findings.push(Finding { unit, cells: bad, cause, onset, is_fresh });
            }
        }
        findings
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
        for &cell in &state.cells {
            if explained.get(&cell).is_some_and(|kinds| kinds & only(kind) != 0) {
                continue;
            }
            let fit = self.fit(cell, unit, kind, now);
            some |= fit > 0.0;
            gain += fit;
        }
        if some { gain } else { 0.0 }
    }

    fn fit(&self, cell: usize, unit: usize, kind: usize, now: i64) -> f64 {
        let run = self.units[unit].tracks[kind].since().unwrap_or(now);
        let from = run.max(now - FIT_MINUTES + 1);
        let sum: f64 = self.cells[cell]
            .since(from)
            .filter_map(|minute| minute.evidence.llr[kind])
            .map(f64::from)
            .sum();
        sum.clamp(FIT_LEAST, FIT_MOST)
    }

    /// Opens, goes on with, revises and ends incidents.
    fn tell(&mut self, now: i64, findings: Vec<Finding>) {
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

    /// Units of exactly the same cells.
    fn units_of_same_cells(&self, unit: usize) -> Vec<usize> {
        let cells = &self.units[unit].cells;
        let Some(&first) = cells.first() else { return Vec::new() };
        let is_same = |other: &usize| {
            *other != unit
                && self.units[*other].cells.len() == cells.len()
                && cells.iter().all(|cell| self.cells[*cell].units.contains(other))
        };
        self.cells[first].units.iter().copied().filter(is_same).collect()
    }

    /// What is said of each cell that was measured.
    fn say(&self, now: i64, here: &[usize]) -> Vec<Said> {
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

/// Whether a slow transfer may yet turn out to be a path that loses packets, which needs a minute more
/// to be seen; nothing but a target is slow for everybody.
fn is_early(unit: &Unit, kind: usize) -> bool {
    kind == Signal::Throughput as usize
        && !matches!(unit.scope.kind, ScopeKind::Target | ScopeKind::Address)
        && unit.tracks[kind].run() < 3
}

/// Whether nobody else would see what is wrong with a single cell: a slow server or resolver has
/// others that meet it.
fn is_lone(unit: &Unit, kind: usize) -> bool {
    unit.scope.kind == ScopeKind::Cell && kind != Signal::Tcp as usize
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

const _: () = assert!(KINDS == fails(0) + 6);
