//! Windows out of events, one minute after the other, in memory that does not grow with the trace.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::event::{ClientId, Event, SchemaVersion, Target, Timings};
use model::units::{BitsPerSecond, Micros, Minute};
use model::window::Window;
use model::wire::WireEvent;

/// A window is handed on when nothing more is expected for it: this long after its start.
const OPEN_MS: i64 = 26 * 60_000;

/// Folds events into the windows of cells.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    cells: HashMap<(String, String), usize>,
    names: Vec<(String, String)>,
    open: BTreeMap<Minute, HashMap<usize, Window>>,
    seen: BTreeMap<Minute, HashSet<u128>>,
}

impl Windows {
    /// Counts an event once, and hands on each window that is full by then, by minute.
    pub(crate) fn fold(&mut self, wire: &WireEvent, mut full: impl FnMut(usize, Minute, &Window)) {
        let arrived_ms = wire.recv_ts_ms.unwrap_or(wire.ts_ms);
        while let Some(oldest) = self.open.first_entry()
            && oldest.key().start_ms() + OPEN_MS <= arrived_ms
        {
            let (minute, windows) = oldest.remove_entry();
            self.seen.remove(&minute);
            windows.iter().for_each(|(cell, window)| full(*cell, minute, window));
        }
        let minute = Minute::of_ms(wire.ts_ms);
        // Only what is stamped arrives twice.
        let stamped = wire.recv_ts_ms.is_some();
        if stamped && !self.seen.entry(minute).or_default().insert(wire.event_id.as_u128()) {
            return;
        }
        let cell = self.cell(wire);
        self.open.entry(minute).or_default().entry(cell).or_default().fold(&event(wire));
    }

    /// Hands on what is left.
    pub(crate) fn finish(&mut self, mut full: impl FnMut(usize, Minute, &Window)) {
        for (minute, windows) in std::mem::take(&mut self.open) {
            windows.iter().for_each(|(cell, window)| full(*cell, minute, window));
        }
    }

    /// The client and target of a cell.
    pub(crate) fn name(&self, cell: usize) -> &(String, String) {
        &self.names[cell]
    }

    fn cell(&mut self, wire: &WireEvent) -> usize {
        let key = (wire.client_id.clone(), wire.target.clone());
        if let Some(cell) = self.cells.get(&key) {
            return *cell;
        }
        self.names.push(key.clone());
        self.cells.insert(key, self.names.len() - 1);
        self.names.len() - 1
    }
}

/// What ingest makes of an event that it accepts.
pub(crate) fn event(wire: &WireEvent) -> Event {
    let us = |ms: Option<f64>| ms.and_then(Micros::from_ms);
    let t = &wire.timings;
    Event {
        version: SchemaVersion::V1_1,
        id: wire.event_id,
        client: ClientId::trusted(""),
        target: Target::trusted(""),
        ts_ms: wire.ts_ms,
        failure: wire.error_stage,
        timings: Timings {
            dns: us(t.dns_ms),
            tcp: us(t.tcp_ms),
            tls: us(t.tls_ms),
            ttfb: us(t.http_ttfb_ms),
            total: us(t.total_ms),
        },
        throughput: wire.throughput_kbps.and_then(BitsPerSecond::from_kbps),
        troubled: !wire.probe_trouble.is_empty(),
        gap: None,
        beside: None,
    }
}
