//! What a window keeps beside counts and times, to tell whose fault it is: where its events were
//! measured and what they reached, certificates that failed, and the latency of the loaded line.

use std::sync::Arc;

use super::count;
use crate::event::{Beside, Event};
use crate::sketch::{DecodeError, Sketch, read_varint, write_varint};
use crate::stage::ErrorStage;

/// The first byte of encoded facts: of those without silent name servers, and of those with.
const VERSION: u8 = 1;
const VERSION_SILENT: u8 = 2;
/// Names that are kept of one kind. More are rare within a minute; the first by their bytes stay, so
/// that what is kept does not depend on the order of the events.
const MOST_NAMES: usize = 4;
/// The longest name that is kept, bytes.
const LONGEST_NAME: usize = 255;

/// What events of a window had in common with those of other windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The client's site, `labels.site`.
    Site,
    /// Its provider, `labels.isp`.
    Isp,
    /// The resolver it asked, `dns_server`, else `labels.resolver`.
    Resolver,
    /// The target's address it reached, `remote_addr`.
    Address,
}

/// Beside counts and times. Adds up in any order to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    certificates: u64,
    loaded: Sketch,
    places: [Names; 4],
    silent: u64,
}

/// Names and how many events had them, ascending by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(Vec<(Arc<str>, u64)>);

impl Facts {
    pub(super) fn fold(&mut self, event: &Event) {
        let Some(beside) = event.beside.as_deref() else { return };
        let Beside { certificate, loaded, silent: _, site, isp, resolver, address, trace: _ } =
            beside;
        let failed = *certificate && event.failure == Some(ErrorStage::Tls);
        self.certificates = self.certificates.saturating_add(u64::from(failed));
        if let Some(loaded) = loaded {
            self.loaded.insert(loaded.0);
        }
        for (names, name) in self.places.iter_mut().zip([site, isp, resolver, address]) {
            if let Some(name) = name {
                names.add(name, 1);
            }
        }
    }

    /// Of one that was set aside: no more than that its name server said nothing, if that is all there was.
    pub(super) fn fold_troubled(&mut self, event: &Event) {
        let Some(beside) = event.beside.as_deref().filter(|beside| beside.silent) else { return };
        self.silent = self.silent.saturating_add(1);
        let names = [&beside.site, &beside.isp, &beside.resolver];
        for (names, name) in self.places.iter_mut().zip(names) {
            if let Some(name) = name {
                names.add(name, 1);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.silent = self.silent.saturating_add(other.silent);
        self.certificates = self.certificates.saturating_add(other.certificates);
        self.loaded.merge(&other.loaded);
        for (mine, theirs) in self.places.iter_mut().zip(&other.places) {
            theirs.0.iter().for_each(|(name, n)| mine.add(name, *n));
        }
    }

    /// Failures of the handshake that are the certificate's.
    pub fn certificates(&self) -> u64 {
        self.certificates
    }

    /// Events that were set aside since their name server said nothing, while nothing else was wrong with
    /// their probe.
    pub fn silent(&self) -> u64 {
        self.silent
    }

    /// Latency of the loaded line, microseconds.
    pub fn loaded(&self) -> &Sketch {
        &self.loaded
    }

    /// The name that most events had.
    pub fn most(&self, place: Place) -> Option<&Arc<str>> {
        // Of equals the first by name.
        let names = self.places[place as usize].0.iter().rev();
        names.max_by_key(|(_, n)| *n).map(|(name, _)| name)
    }

    /// All names, ascending.
    pub fn names(&self, place: Place) -> impl Iterator<Item = &Arc<str>> {
        self.places[place as usize].0.iter().map(|(name, _)| name)
    }

    /// The versioned byte form, absent where there is nothing to keep.
    ///
    /// All numbers LEB128 varints: `1` or `2`, certificates, the sketch of the loaded line, and for each
    /// kind of place how many names there are, and each as its length, its bytes and its events; at
    /// the end of `2` the events of silent name servers.
    pub fn encode(&self) -> Option<Vec<u8>> {
        if *self == Self::default() {
            return None;
        }
        let mut out = vec![if self.silent == 0 { VERSION } else { VERSION_SILENT }];
        write_varint(&mut out, u128::from(self.certificates));
        self.loaded.encode_into(&mut out);
        for names in &self.places {
            write_varint(&mut out, names.0.len() as u128);
            for (name, n) in &names.0 {
                write_varint(&mut out, name.len() as u128);
                out.extend_from_slice(name.as_bytes());
                write_varint(&mut out, u128::from(*n));
            }
        }
        if self.silent > 0 {
            write_varint(&mut out, u128::from(self.silent));
        }
        Some(out)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes end early, go on, are of another version, or were never written by it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, rest) = match bytes.split_first() {
            None => return Err(DecodeError::Truncated),
            Some((&version @ (VERSION | VERSION_SILENT), rest)) => (version, &mut &*rest),
            Some((&other, _)) => return Err(DecodeError::UnknownVersion(other)),
        };
        let mut facts = Self { certificates: count(rest)?, ..Self::default() };
        facts.loaded = Sketch::decode(rest)?;
        for names in &mut facts.places {
            for _ in 0..small(rest, MOST_NAMES)? {
                let length = small(rest, LONGEST_NAME)?;
                let (name, after) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
                let name = std::str::from_utf8(name)
                    .map_err(|_| DecodeError::Invalid("a name that is not UTF-8"))?;
                *rest = after;
                if names.0.last().is_some_and(|(last, _)| **last >= *name) {
                    return Err(DecodeError::Invalid("names out of order"));
                }
                names.0.push((name.into(), count(rest)?));
            }
        }
        if version == VERSION_SILENT {
            facts.silent = count(rest)?;
            if facts.silent == 0 {
                return Err(DecodeError::Invalid("silent name servers of which there are none"));
            }
        }
        if rest.is_empty() { Ok(facts) } else { Err(DecodeError::Invalid("bytes after the end")) }
    }
}

impl Names {
    fn add(&mut self, name: &Arc<str>, n: u64) {
        if name.len() > LONGEST_NAME {
            return;
        }
        match self.0.binary_search_by(|(known, _)| known.cmp(name)) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(n),
            Err(at) => self.0.insert(at, (Arc::clone(name), n)),
        }
        self.0.truncate(MOST_NAMES);
    }
}

fn small(bytes: &mut &[u8], most: usize) -> Result<usize, DecodeError> {
    let n: usize = read_varint(bytes)?;
    if n > most { Err(DecodeError::Invalid("too many names, or too long a one")) } else { Ok(n) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Micros;
    use crate::window::Window;
    use crate::window::tests::event;

    fn with(beside: Beside) -> Event {
        let failure = beside.certificate.then_some(ErrorStage::Tls);
        let troubled = beside.silent;
        Event { troubled, beside: Some(Box::new(beside)), ..event(failure, [Some(1); 5], None) }
    }

    fn beside() -> impl Strategy<Value = Beside> {
        let name = || prop::option::of("[a-h]{1,2}".prop_map(Arc::from));
        let flags = (any::<bool>(), any::<bool>());
        (flags, prop::option::of(0..10_000_u64), name(), name(), name(), name()).prop_map(
            |((certificate, silent), loaded, site, isp, resolver, address)| Beside {
                certificate,
                loaded: loaded.map(Micros),
                silent,
                site,
                isp,
                resolver,
                address,
                trace: None,
            },
        )
    }

    proptest! {
        #[test]
        fn any_order_and_any_parts_give_the_same_bytes(
            all in prop::collection::vec(beside(), 0..40), cut in 0..40_usize,
        ) {
            let mut whole = Window::default();
            all.iter().for_each(|b| whole.fold(&with(b.clone())));
            let [mut first, mut second] = [Window::default(), Window::default()];
            for (at, b) in all.iter().enumerate().rev() {
                let part = if at < cut { &mut first } else { &mut second };
                part.fold(&with(b.clone()));
            }
            first.merge(&second);
            prop_assert_eq!(first.facts().encode(), whole.facts().encode());
            if let Some(bytes) = whole.facts().encode() {
                prop_assert_eq!(&Facts::decode(&bytes).unwrap(), whole.facts());
                prop_assert!(Facts::decode(&bytes[..bytes.len() - 1]).is_err());
            }
        }

        #[test]
        fn foreign_bytes_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Facts::decode(&bytes);
        }
    }

    #[test]
    fn the_name_of_most_events_is_told() {
        let mut window = Window::default();
        for (site, n) in [("b", 2), ("a", 2), ("c", 1)] {
            for _ in 0..n {
                window.fold(&with(Beside { site: Some(site.into()), ..Beside::default() }));
            }
        }
        assert_eq!(window.facts().most(Place::Site).map(|name| &**name), Some("a"));
        assert_eq!(window.facts().most(Place::Isp), None);
        assert_eq!(Window::default().facts().encode(), None);
    }
}
