//! The transaction that counts events: each once, with the windows it belongs to.

use model::units::Minute;
use model::window::Window;
use model::{Event, Metric};
use rusqlite::{CachedStatement, OptionalExtension, Transaction};
use uuid::Uuid;

use super::writer::Clients;
use super::{gaps, reopened, rollups};
use crate::store::reopened::to_note;
use crate::store::rollups::hours;
use crate::store::windows::{self, kept_window};
use crate::store::{Rollup, StoreError};

/// What makes an event the one it is, in the order of `events_seen`, and where it was handed in.
/// Of two with one id the one handed in first counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    minute: Minute,
    client: i64,
    id: Uuid,
    batch: usize,
    index: usize,
}

/// Counts each event of `batches` that was not counted before; says for each batch how many of
/// its events had been (in an earlier transaction, or earlier in this one).
///
/// Everything is written in key order, so that neighbours share pages and each window is read,
/// merged and written once.
pub(super) fn apply(
    tx: &Transaction<'_>,
    clients: &mut Clients,
    batches: &[Vec<Event>],
    now_ms: i64,
) -> Result<Vec<usize>, StoreError> {
    let mut entries = Vec::with_capacity(batches.iter().map(Vec::len).sum());
    for (batch, events) in batches.iter().enumerate() {
        for (index, event) in events.iter().enumerate() {
            let client = clients
                .key(tx, &event.client, now_ms)
                .map_err(StoreError::sqlite("enter a client"))?;
            entries.push(Entry { minute: event.minute(), client, id: event.id, batch, index });
        }
    }
    entries.sort_unstable();

    let mut duplicates = vec![0; batches.len()];
    let mut fresh = Vec::with_capacity(entries.len());
    mark_seen(tx, &entries, |entry, is_new| {
        if is_new {
            fresh.push(&batches[entry.batch][entry.index]);
        } else {
            duplicates[entry.batch] += 1;
        }
    })
    .map_err(StoreError::sqlite("mark events as seen"))?;
    crate::crash::point("mid-batch");
    gaps::note(tx, &fresh).map_err(StoreError::sqlite("note what probes lost"))?;
    reopened::note(tx, &to_note(&fresh, now_ms), now_ms)
        .map_err(StoreError::sqlite("note minutes to judge again"))?;

    fresh.sort_unstable_by(|a, b| window_key(a).cmp(&window_key(b)));
    let mut store = Windows::new(tx).map_err(StoreError::sqlite("prepare to count"))?;
    for cell in fresh.chunk_by(|a, b| (&a.client, &a.target) == (&b.client, &b.target)) {
        for events in cell.chunk_by(|a, b| a.minute() == b.minute()) {
            store.fold(events, now_ms)?;
        }
        for hour in hours(cell.iter().copied()) {
            rollups::enqueue(tx, Rollup::Hour, hour)
                .map_err(StoreError::sqlite("queue an hour to be merged"))?;
        }
    }
    Ok(duplicates)
}

fn window_key(event: &Event) -> (&str, &str, Minute) {
    (event.client.as_str(), event.target.as_str(), event.minute())
}

fn mark_seen(
    tx: &Transaction<'_>,
    entries: &[Entry],
    mut told: impl FnMut(&Entry, bool),
) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT OR IGNORE INTO events_seen (window_start_ts, client_id, event_id)
         VALUES (?1, ?2, ?3)",
    )?;
    for entry in entries {
        let id = entry.id.as_bytes();
        let inserted = insert.execute((entry.minute.start_ms(), entry.client, &id[..]))?;
        told(entry, inserted == 1);
    }
    Ok(())
}

/// The statements that touch windows, prepared once a transaction.
struct Windows<'tx> {
    find: CachedStatement<'tx>,
    put: CachedStatement<'tx>,
}

impl<'tx> Windows<'tx> {
    fn new(tx: &'tx Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            find: tx.prepare_cached(
                "SELECT sketches, facts FROM agg_1m
                 WHERE client_id = ?1 AND target = ?2 AND window_start_ts = ?3",
            )?,
            put: tx.prepare_cached(include_str!("put_window.sql"))?,
        })
    }

    /// Adds events of one window to what is kept of it.
    fn fold(&mut self, events: &[&Event], now_ms: i64) -> Result<(), StoreError> {
        let Some(first) = events.first() else { return Ok(()) };
        let mut window = self.read(first)?;
        for event in events {
            window.fold(event);
        }
        self.write(first, &window, now_ms).map_err(StoreError::sqlite("write a window"))
    }

    fn read(&mut self, of: &Event) -> Result<Window, StoreError> {
        let key = (of.client.as_str(), of.target.as_str(), of.minute().start_ms());
        let kept = self
            .find
            .query_row(key, |row| {
                let (sketches, facts) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?);
                Ok(kept_window(key.0, key.1, sketches, facts.as_blob_or_null()?))
            })
            .optional()
            .map_err(StoreError::sqlite("read a window"))?;
        kept.unwrap_or_else(|| Ok(Window::default()))
    }

    fn write(&mut self, of: &Event, window: &Window, now_ms: i64) -> rusqlite::Result<()> {
        let key = (of.client.as_str(), of.target.as_str(), of.minute().start_ms());
        put_window(&mut self.put, key, window, now_ms)
    }
}

/// Binds a window to put_window.sql, or its like for another table, and runs it.
pub(super) fn put_window(
    put: &mut CachedStatement<'_>,
    (client_id, target, start_ms): (&str, &str, i64),
    window: &Window,
    now_ms: i64,
) -> rusqlite::Result<()> {
    put.raw_bind_parameter(1, client_id)?;
    put.raw_bind_parameter(2, target)?;
    put.raw_bind_parameter(3, start_ms)?;
    let counts = window.counts();
    let [total, success, error] = [counts.total, counts.success, counts.error()];
    let mut at = 4;
    for count in [total, success, error].into_iter().chain(counts.errors) {
        put.raw_bind_parameter(at, windows::to_integer(count))?;
        at += 1;
    }
    for metric in Metric::ALL {
        for value in windows::Percentiles::of(window.sketch(metric)).in_order() {
            put.raw_bind_parameter(at, value)?;
            at += 1;
        }
    }
    put.raw_bind_parameter(at, window.encode())?;
    put.raw_bind_parameter(at + 1, now_ms)?;
    put.raw_bind_parameter(at + 2, windows::to_integer(counts.troubled))?;
    put.raw_bind_parameter(at + 3, window.facts().encode())?;
    put.raw_execute().map(drop)
}
