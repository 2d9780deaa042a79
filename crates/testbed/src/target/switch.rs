//! The handle that switches faults, and what it shares with the listeners.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::accept::Gate;
use super::faults::{Accept, FaultError, FaultSet, Listener};

/// Switches the faults of a running target. A cheap handle: clones switch the same target.
#[derive(Clone, Debug)]
pub struct Faults {
    slots: Arc<[Option<Arc<Slot>>; Listener::ALL.len()]>,
}

impl Faults {
    pub(super) fn new(
        http: Option<Arc<Slot>>,
        https: Option<Arc<Slot>>,
        dns: Option<Arc<Slot>>,
        echo: Option<Arc<Slot>>,
    ) -> Self {
        Self { slots: Arc::new([http, https, dns, echo]) }
    }

    /// Replaces the faults of `listener`. When this returns they are in force: for new connections and
    /// new requests, and a refused port refuses. What is already under way ends as it began.
    ///
    /// # Errors
    /// The listener is not served, or a fault does not apply there or is out of range, or a port can't
    /// be listened on again; the faults are as before then.
    pub fn set(&self, listener: Listener, faults: impl Into<FaultSet>) -> Result<(), FaultError> {
        let faults = faults.into();
        faults.check(listener)?;
        let slot = self.slot(listener).ok_or(FaultError::NotServed(listener))?;
        slot.set(listener, faults)
    }

    /// The faults of `listener`; `None` if it is not served.
    pub fn get(&self, listener: Listener) -> Option<FaultSet> {
        self.slot(listener).map(|slot| slot.faults())
    }

    /// Clears all faults of all listeners.
    ///
    /// # Errors
    /// A port could not be listened on again; the other listeners are cleared nevertheless.
    pub fn clear_all(&self) -> Result<(), FaultError> {
        let mut outcome = Ok(());
        for listener in Listener::ALL {
            if let Some(slot) = self.slot(listener) {
                outcome = outcome.and(slot.set(listener, FaultSet::default()));
            }
        }
        outcome
    }

    /// Closes the listening sockets for good, whoever still holds a handle.
    pub(super) fn close(&self) {
        for slot in self.slots.iter().flatten() {
            slot.close();
        }
    }

    fn slot(&self, listener: Listener) -> Option<&Arc<Slot>> {
        self.slots[listener as usize].as_ref()
    }
}

/// A listener's socket and its faults of the moment.
#[derive(Debug)]
pub(super) struct Slot {
    entry: Entry,
    faults: RwLock<FaultSet>,
    /// HTTP requests until now.
    requests: AtomicU64,
}

/// How a listener is reached.
#[derive(Debug)]
enum Entry {
    /// By connections.
    Gate(Gate),
    /// By datagrams alone, at this address; the socket is with whoever serves it.
    Datagrams(SocketAddr, AtomicBool),
}

impl Slot {
    pub(super) fn new(gate: Gate) -> Arc<Self> {
        Self::at(Entry::Gate(gate))
    }

    pub(super) fn of_datagrams(addr: SocketAddr) -> Arc<Self> {
        Self::at(Entry::Datagrams(addr, AtomicBool::new(false)))
    }

    fn at(entry: Entry) -> Arc<Self> {
        Arc::new(Self { entry, faults: RwLock::default(), requests: AtomicU64::new(0) })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        match &self.entry {
            Entry::Gate(gate) => gate.addr(),
            Entry::Datagrams(addr, _) => *addr,
        }
    }

    /// Where connections come in, if they do.
    pub(super) fn gate(&self) -> Option<&Gate> {
        match &self.entry {
            Entry::Gate(gate) => Some(gate),
            Entry::Datagrams(..) => None,
        }
    }

    /// Closes it for good.
    pub(super) fn close(&self) {
        match &self.entry {
            Entry::Gate(gate) => gate.close(),
            Entry::Datagrams(_, closed) => closed.store(true, Ordering::Relaxed),
        }
    }

    fn is_closed(&self) -> bool {
        match &self.entry {
            Entry::Gate(gate) => gate.is_closed(),
            Entry::Datagrams(_, closed) => closed.load(Ordering::Relaxed),
        }
    }

    /// The number of a request, from 1.
    pub(super) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn faults(&self) -> FaultSet {
        *self.faults.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, listener: Listener, faults: FaultSet) -> Result<(), FaultError> {
        // The lock is held over the change of the socket, so that two callers can't leave one's faults
        // with the other's socket.
        let mut current = self.faults.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Err(FaultError::NotServed(listener));
        }
        if let Some(gate) = self.gate() {
            if faults.tcp.accept == Accept::Refuse {
                gate.refuse();
            } else {
                gate.listen().map_err(|source| FaultError::Listen { addr: gate.addr(), source })?;
            }
        }
        *current = faults;
        Ok(())
    }
}
