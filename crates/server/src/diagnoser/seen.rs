//! What was seen of a fleet in a minute, and the cells by their numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::detect::{CellId, Engine, Observation, Place, Said, Topology};
use model::diagnosis::Label;
use model::units::MINUTE_MS;
use model::window::{Place as Kind, Window};
use serde::{Deserialize, Serialize};

use crate::store::{Cell, Reader, Span, StoreError, WindowLabel};

/// Addresses of a target that are told apart.
const MOST_ADDRESSES: usize = 16;
/// The first byte of a kept state.
const VERSION: u8 = 3;

/// A minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Vec<OfCell>);

/// A cell's minute: its number, where it was, and what was seen. Half an hour of them is kept, so what
/// stays the same is shared.
#[derive(Clone, Debug)]
struct OfCell {
    number: usize,
    at: Arc<At>,
    observation: Arc<Observation>,
    /// All that was measured was set aside, since the probe was in trouble.
    aside: bool,
    /// The label that its window has.
    written: Option<String>,
}

/// Where a cell was, and which addresses it reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At {
    place: Place,
    addresses: Vec<Arc<str>>,
}

impl Seen {
    /// How many cells were measured.
    pub(super) fn cells(&self) -> usize {
        self.0.len()
    }
}

/// The cells there have been, by their number, and the addresses of their targets.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    pub(super) cells: Vec<Cell>,
    ids: HashMap<Cell, usize>,
    /// Where each was last.
    last: Vec<Option<Arc<At>>>,
    addresses: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    topology: Arc<Topology>,
}

#[derive(Serialize)]
struct Keeping<'a> {
    cells: &'a [Cell],
    addresses: &'a BTreeMap<Arc<str>, Vec<Arc<str>>>,
    engine: &'a Engine,
}

#[derive(Deserialize)]
struct Kept {
    cells: Vec<Cell>,
    addresses: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    engine: Engine,
}

/// Why a kept state can't be gone on from.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error("it is of another version")]
    Version,
    #[error(transparent)]
    Format(#[from] postcard::Error),
    #[error(transparent)]
    Packed(#[from] std::io::Error),
}

impl Registry {
    /// Of a fleet of which this is known.
    pub(super) fn of(topology: Arc<Topology>) -> Self {
        let mut registry = Self::default();
        registry.take(topology);
        registry
    }

    /// The same cells by the same numbers, of which nothing is known.
    pub(super) fn anew(&self) -> Self {
        let (cells, ids) = (self.cells.clone(), self.ids.clone());
        Self { cells, ids, ..Self::of(Arc::clone(&self.topology)) }
    }

    fn take(&mut self, topology: Arc<Topology>) {
        for (target, addresses) in &topology.addresses {
            let known = self.addresses.entry(Arc::clone(target)).or_default();
            for address in addresses {
                if !known.contains(address) {
                    known.push(Arc::clone(address));
                }
            }
        }
        self.topology = topology;
    }

    /// Clients that the topology names and nobody has seen.
    pub(super) fn unseen(&self) -> BTreeSet<&str> {
        let mut unseen: BTreeSet<_> = self.topology.clients.keys().map(|id| &**id).collect();
        for cell in &self.cells {
            unseen.remove(&*cell.client_id);
        }
        unseen
    }

    /// Reads the windows of some minutes, by minute.
    pub(super) fn read(
        &mut self,
        reader: &Reader,
        span: Span,
    ) -> Result<BTreeMap<i64, Seen>, StoreError> {
        let mut found: BTreeMap<i64, Seen> = BTreeMap::new();
        reader.each_fleet_window(span, &mut |kept| {
            let window = &kept.window.window;
            let number = self.number(&kept.cell);
            let at = self.at(number, window);
            let seen = found.entry(kept.window.start.0).or_default();
            let observation = Arc::new(Observation::of_window(window));
            let aside = observation.is_empty() && window.counts().troubled > 0;
            let written = kept.label;
            seen.0.push(OfCell { number, at, observation, aside, written });
            Ok(())
        })?;
        Ok(found)
    }

    fn number(&mut self, cell: &Cell) -> usize {
        if let Some(&number) = self.ids.get(cell) {
            return number;
        }
        let number = self.cells.len();
        self.cells.push(cell.clone());
        self.ids.insert(cell.clone(), number);
        number
    }

    /// Where a cell was by a window of it.
    fn at(&mut self, number: usize, window: &Window) -> Arc<At> {
        if self.last.len() <= number {
            self.last.resize(number + 1, None);
        }
        let (cell, last) = (&self.cells[number], self.last[number].as_ref());
        let facts = window.facts();
        let (client, target) = match last {
            Some(last) => (Arc::clone(&last.place.client), Arc::clone(&last.place.target)),
            None => (cell.client_id.as_str().into(), cell.target.as_str().into()),
        };
        let place = self.topology.place(Place {
            client,
            target,
            site: facts.most(Kind::Site).cloned(),
            isp: facts.most(Kind::Isp).cloned(),
            resolver: facts.most(Kind::Resolver).cloned(),
            address: None,
        });
        let now = At { place, addresses: facts.names(Kind::Address).cloned().collect() };
        if let Some(last) = last.filter(|last| ***last == now) {
            return Arc::clone(last);
        }
        for address in &now.addresses {
            let known = self.addresses.entry(Arc::clone(&now.place.target)).or_default();
            if !known.contains(address) && known.len() < MOST_ADDRESSES {
                known.push(Arc::clone(address));
            }
        }
        let now = Arc::new(now);
        self.last[number] = Some(Arc::clone(&now));
        now
    }

    /// Has a detector take a minute; gives what it says of the cells, in the order of their numbers.
    pub(super) fn judge(&self, engine: &mut Engine, seen: &Seen, minute: i64) -> Vec<Said> {
        let mut all = Vec::with_capacity(seen.0.len());
        for OfCell { number, at, observation, .. } in &seen.0 {
            let id = CellId(*number);
            let At { place, addresses } = &**at;
            let mut place = place.clone();
            let old = engine.place_of(id);
            // Where a minute says nothing, as of look-ups that were answered from memory.
            let or = |new: &mut Option<Arc<str>>, old: Option<&Option<Arc<str>>>| {
                if new.is_none() {
                    *new = old.cloned().flatten();
                }
            };
            or(&mut place.site, old.map(|old| &old.site));
            or(&mut place.isp, old.map(|old| &old.isp));
            or(&mut place.resolver, old.map(|old| &old.resolver));
            // One address is the target itself.
            if self.addresses.get(&place.target).is_some_and(|known| known.len() > 1) {
                place.address = engine.settled_address(id, addresses.iter(), minute);
            }
            engine.place(id, &place);
            all.push((id, Arc::clone(observation)));
        }
        // In the order of the numbers, as they were first seen.
        all.sort_by_key(|(id, _)| *id);
        engine.advance(minute, all)
    }

    /// The labels of a minute that are not yet what was said; they count as written from here on.
    pub(super) fn label(&self, seen: &mut Seen, said: &[Said], minute: i64) -> Vec<WindowLabel> {
        let mut changed = Vec::new();
        for of in &mut seen.0 {
            let own = said.binary_search_by_key(&of.number, |said| said.cell.0).ok();
            let aside = of.aside.then_some(Label::ProbeBound);
            let label = own.map_or(aside, |at| said[at].label);
            let text = label.map(|label| label.to_string());
            if of.written != text {
                let cell = self.cells[of.number].clone();
                changed.push(WindowLabel { cell, start_ms: minute * MINUTE_MS, label });
                of.written = text;
            }
        }
        changed
    }

    /// How it stands, with the cells.
    pub(super) fn keep(&self, engine: &Engine) -> Vec<u8> {
        let Self { cells, addresses, .. } = self;
        let bytes = postcard::to_stdvec(&Keeping { cells, addresses, engine });
        let bytes = bytes.expect("plain data has a byte form");
        let packed = zstd::encode_all(&*bytes, 1).expect("memory can be written to");
        [&[VERSION], packed.as_slice()].concat()
    }

    /// What [`Self::keep`] wrote, with what is known of the fleet now.
    pub(super) fn restore(
        bytes: &[u8],
        topology: Arc<Topology>,
    ) -> Result<(Self, Engine), RestoreError> {
        let Some((&VERSION, packed)) = bytes.split_first() else {
            return Err(RestoreError::Version);
        };
        let Kept { cells, addresses, engine } = postcard::from_bytes(&zstd::decode_all(packed)?)?;
        let ids = cells.iter().cloned().zip(0..).collect();
        let mut registry = Self { cells, ids, addresses, ..Self::default() };
        registry.take(topology);
        Ok((registry, engine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_the_topology_names_and_nobody_has_seen_is_known() {
        let clients = ["a", "b", "c"].map(|id| (id.into(), Place::default())).into();
        let topology = Topology { clients, ..Topology::default() };
        let mut registry = Registry::of(Arc::new(topology));
        registry.number(&Cell { client_id: "b".to_owned(), target: "t".to_owned() });
        assert_eq!(registry.unseen().into_iter().collect::<Vec<_>>(), ["a", "c"]);
    }
}
