//! The fleet from minute to minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cause::Effect;
use super::cell::Cell;
use super::drift::Drift;
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
    /// What is wrong; absent where all is as usual. [`Label::InsufficientData`] where nothing is known
    /// to be wrong and what is usual is not known yet: that is no fault.
    pub label: Option<Label>,
    /// The incident it belongs to, where something is wrong.
    pub incident: Option<u64>,
}

/// Samples that the present is told from.
const PRESENT: u32 = 8;
/// How much more a change has to be that a single cell shows.
const LONE: f64 = 1.5;
/// How much more it has to be that came on slowly, as what wanders does.
const SLOW: f64 = 1.5;
const SUDDEN: usize = 10;
/// Samples that a leap is told from, and how much more it has to be: what wanders leaps a little.
const LEAP_SAMPLES: usize = 48;
const LEAP: f64 = 2.0;

/// The detector.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Engine {
    pub(super) cells: Vec<Cell>,
    pub(super) places: Vec<Place>,
    pub(super) units: Vec<Unit>,
    pub(super) unit_of: BTreeMap<Scope, usize>,
    pub(super) incidents: Vec<Incident>,
    pub(super) drifts: Vec<Drift>,
}

impl Engine {
    /// One that begins anew at a minute. Of what this one learned it knows what happens at the same time of
    /// every day, which would take days, as it was known then.
    pub fn anew(&self, at: i64) -> Self {
        let cells: Vec<Cell> = self.cells.iter().map(|cell| cell.before(at)).collect();
        Self { places: vec![Place::default(); cells.len()], cells, ..Self::default() }
    }

    /// Says where a cell is; one that is new, or has moved.
    pub fn place(&mut self, id: CellId, place: &Place) {
        if id.0 >= self.cells.len() {
            self.cells.resize_with(id.0 + 1, Cell::default);
            self.places.resize_with(id.0 + 1, Place::default);
        }
        if self.places[id.0] == *place {
            return;
        }
        let left = std::mem::take(&mut self.cells[id.0].units);
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
            if !left.contains(&unit) {
                self.units[unit].cells.add(id.0);
            }
            self.cells[id.0].units.push(unit);
        }
        for unit in left {
            if !self.cells[id.0].units.contains(&unit) {
                self.units[unit].cells.remove(id.0);
            }
        }
        self.places[id.0] = place.clone();
    }

    /// The one address of its target that a cell has reached for long; none where it reaches several by
    /// turns, which are told apart by what is seen of each.
    pub fn settled_address<'a>(
        &mut self,
        id: CellId,
        reached: impl Iterator<Item = &'a Arc<str>>,
        now: i64,
    ) -> Option<Arc<str>> {
        if id.0 >= self.cells.len() {
            self.cells.resize_with(id.0 + 1, Cell::default);
            self.places.resize_with(id.0 + 1, Place::default);
        }
        self.cells[id.0].settle_address(reached, now)
    }

    /// Where a cell is, if it is known.
    pub fn place_of(&self, cell: CellId) -> Option<&Place> {
        self.places.get(cell.0)
    }

    /// Takes a minute of the fleet, and says what is wrong in it.
    pub fn advance(&mut self, now: i64, seen: Vec<(CellId, Arc<Observation>)>) -> Vec<Said> {
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
            if said.incident.is_some() {
                self.cells[said.cell.0].mark(now);
                for &unit in &self.cells[said.cell.0].units {
                    self.units[unit].last_bad = now;
                }
            }
        }
        for &cell in &here {
            self.cells[cell].learn(now);
        }
        if now.rem_euclid(60) == 0 {
            self.note_drifts(now);
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
                let onset = match kind >= tail(0) {
                    true => track.since(),
                    false => onset(unit, &self.cells, kind, now),
                };
                let Some(onset) = onset else { continue };
                unit.tracks[kind].begin(onset);
                unit.tracks[kind].on = true;
            }
        }
    }

    /// Where most of a unit's cells have found something by themselves, the unit has.
    fn open_by_cells(&mut self) {
        let of_cell = |cell: &Cell| cell.units.first().map_or(0, |&own| self.units[own].found());
        let own: Vec<Kinds> = self.cells.iter().map(of_cell).collect();
        for unit in self.units.iter_mut().filter(|unit| unit.cells.len() > 1) {
            let any = unit.cells.iter().fold(0, |kinds, &cell| kinds | own[cell]) & !unit.found();
            for kind in (0..KINDS).filter(|&kind| any & only(kind) != 0) {
                let found = unit.cells.iter().filter(|&&cell| own[cell] & only(kind) != 0).count();
                if 3 * found >= 2 * unit.cells.len() {
                    unit.tracks[kind].on = true;
                }
            }
        }
    }

    /// Units of exactly the same cells.
    pub(super) fn units_of_same_cells(&self, unit: usize) -> Vec<usize> {
        let cells = &self.units[unit].cells;
        let Some(&first) = cells.first() else { return Vec::new() };
        let is_same = |other: &usize| {
            *other != unit
                && self.units[*other].cells.len() == cells.len()
                && cells.iter().all(|cell| self.cells[*cell].units.contains(other))
        };
        self.cells[first].units.iter().copied().filter(is_same).collect()
    }
}

/// When a level began that matters; none where it does not. What wanders by little is evidence too, for as
/// long as it does: a leap after that is neither slow nor small.
fn onset(unit: &Unit, cells: &[Cell], kind: usize, now: i64) -> Option<i64> {
    let track = &unit.tracks[kind];
    let effect = |from: i64, to: i64| {
        let cells = unit.cells.iter().map(|&cell| &cells[cell]);
        Effect::between(cells, from, to, kind)
    };
    let since = track.since()?.max(now - 9);
    let lone = if is_lone(unit, kind) { LONE } else { 1.0 };
    let part = if track.run() > SUDDEN { lone * SLOW } else { lone };
    let all = effect(since, now)?;
    let from = match all.matters(kind, part) {
        true => since,
        false => {
            let newest = (now + 1 - track.minutes_of(PRESENT)).max(since);
            // Of few samples, or of one client, chance and bursts make leaps too.
            let is_one = matches!(unit.scope.kind, ScopeKind::Client | ScopeKind::Cell);
            let leaps =
                |e: &Effect| e.n >= LEAP_SAMPLES && e.matters(kind, LEAP) && e.is_twice(&all, kind);
            effect(newest, now).filter(|e| !is_one && leaps(e))?;
            newest
        }
    };
    // Nor did it begin with a minute that does not show it.
    let shows = |&at: &i64| effect(at, at).is_none_or(|e| e.matters(kind, 0.5));
    Some((from..now).find(shows).unwrap_or(from))
}

/// Whether it may yet turn out to be less, or something else. A slow transfer may be a path that loses
/// packets, which takes a minute more to be seen; nothing but a target is slow for everybody.
fn is_early(unit: &Unit, kind: usize) -> bool {
    let is_target = matches!(unit.scope.kind, ScopeKind::Target | ScopeKind::Address);
    let track = &unit.tracks[kind];
    let is_trip = kind == tail(Signal::Tcp as usize) || kind == tail(Signal::Tls as usize);
    // A client that moves from one cell to the next loses seconds, and bursts on Wi-Fi last less than a
    // minute.
    let is_one = matches!(unit.scope.kind, ScopeKind::Client | ScopeKind::Cell);
    let is_blip = is_trip && track.minutes_hit() < if is_one { 3 } else { 2 };
    let is_rate = kind == Signal::Throughput as usize;
    let is_burst = is_one && kind < tail(0) && track.minutes_off() < 3;
    let is_brief = is_burst || (is_rate && track.run() < 3);
    !is_target && (is_blip || is_brief)
}

/// Whether nobody else would see what is wrong with a single cell: a slow server or resolver has
/// others that meet it.
fn is_lone(unit: &Unit, kind: usize) -> bool {
    unit.scope.kind == ScopeKind::Cell && kind != Signal::Tcp as usize
}

const _: () = assert!(KINDS == fails(0) + 6);
