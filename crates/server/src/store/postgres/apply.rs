//! The transaction that counts events: each once, with the windows it belongs to.

use futures_util::future;
use model::Event;
use model::units::Minute;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Failure;
use super::connection::Connection;
use super::partitions::Day;
use super::time::Time;
use super::windows::Touched;
use super::writer::Known;
use super::{gaps, reopened};
use crate::store::StoreError;
use crate::store::reopened::to_note;

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

/// How often a transaction that lost a race is begun again at once. The sender tries further.
const ATTEMPTS: u32 = 5;
/// How many transactions after one that lost a race lock the windows they touch before they read
/// them: a rival is likely to come again.
const CONTENDED: u32 = 64;

const DOING: &str = "count events";

/// Counts each event of `batches` that was not counted before; says for each batch how many of
/// its events had been (in an earlier transaction, or earlier in this one).
///
/// Everything is locked in key order, table after table, so that rivals wait for one another and
/// never in a circle.
pub(super) fn apply(
    conn: &Connection,
    known: &mut Known,
    batches: &[Vec<Event>],
    now_ms: i64,
) -> Result<Vec<usize>, StoreError> {
    let entries = enter(conn, known, batches, now_ms)?;
    if entries.is_empty() {
        return Ok(vec![0; batches.len()]);
    }
    for _ in 0..ATTEMPTS {
        known.partitions.ensure(conn, days(batches))?;
        let locking = known.contended > 0;
        known.contended = known.contended.saturating_sub(1);
        match attempt(conn, &entries, batches, now_ms, locking) {
            Ok(Some(duplicates)) => return Ok(duplicates),
            Ok(None) => {}
            Err(StoreError::Postgres { source, .. }) if source.lost_a_race() => {}
            // Another program's retention took it away.
            Err(StoreError::Postgres { source, .. }) if source.lacks_a_partition() => {
                known.partitions.forget();
            }
            Err(error) => return Err(error),
        }
        conn.batch("ROLLBACK").map_err(StoreError::postgres(DOING))?;
        known.contended = CONTENDED;
    }
    Err(StoreError::Contended)
}

/// The days of some events, of neighbours once.
fn days(batches: &[Vec<Event>]) -> impl Iterator<Item = Day> {
    let mut last = None;
    let days = batches.iter().flatten().map(|event| Day::of_ms(event.ts_ms));
    days.filter(move |day| last.replace(*day) != Some(*day))
}

/// Enters clients where they are new, and puts the events in order.
fn enter(
    conn: &Connection,
    known: &mut Known,
    batches: &[Vec<Event>],
    now_ms: i64,
) -> Result<Vec<Entry>, StoreError> {
    let events = || batches.iter().flatten();
    known
        .clients
        .enter(conn, events().map(|event| &event.client), now_ms)
        .map_err(StoreError::postgres("enter clients"))?;
    let mut entries = Vec::with_capacity(events().count());
    for (batch, events) in batches.iter().enumerate() {
        for (index, event) in events.iter().enumerate() {
            let client = known.clients.key(&event.client);
            entries.push(Entry { minute: event.minute(), client, id: event.id, batch, index });
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// One transaction; `None` where a rival changed a window in between and it has to be undone.
fn attempt(
    conn: &Connection,
    entries: &[Entry],
    batches: &[Vec<Event>],
    now_ms: i64,
    locking: bool,
) -> Result<Option<Vec<usize>>, StoreError> {
    let failed = StoreError::postgres;
    let (fresh, duplicates) = mark_seen(conn, entries, batches)?;
    crate::crash::point("mid-batch");
    if fresh.is_empty() {
        conn.batch("ROLLBACK").map_err(failed(DOING))?;
        return Ok(Some(duplicates));
    }
    gaps::note(conn, &fresh).map_err(failed("note what probes lost"))?;
    let late = to_note(&fresh, now_ms);
    let mut touched = Touched::group(fresh);
    touched.read(conn, locking)?;
    touched.fold();
    if !touched.write(conn, now_ms)? {
        return Ok(None);
    }
    reopened::note(conn, &late, now_ms).map_err(failed("note minutes to judge again"))?;
    crate::crash::point("before-commit");
    conn.batch("COMMIT").map_err(failed(DOING))?;
    crate::crash::point("after-commit");
    Ok(Some(duplicates))
}

/// Begins the transaction and marks events as seen; gives those that had not been, and how many
/// had, by batch.
fn mark_seen<'a>(
    conn: &Connection,
    entries: &[Entry],
    batches: &'a [Vec<Event>],
) -> Result<(Vec<&'a Event>, Vec<usize>), StoreError> {
    let mut duplicates = vec![0; batches.len()];
    let mut first: Vec<&Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let same = |other: &&Entry| {
            (other.minute, other.client, other.id) == (entry.minute, entry.client, entry.id)
        };
        if first.last().is_some_and(same) {
            duplicates[entry.batch] += 1;
        } else {
            first.push(entry);
        }
    }
    let inserted = insert(conn, &first).map_err(StoreError::postgres("mark events as seen"))?;

    // They come back in the order they were given.
    let mut inserted = inserted.iter().map(key_of).peekable();
    let mut fresh = Vec::with_capacity(first.len());
    for entry in first {
        if inserted.next_if_eq(&(Time(entry.minute.start_ms()), entry.client, entry.id)).is_some() {
            fresh.push(&batches[entry.batch][entry.index]);
        } else {
            duplicates[entry.batch] += 1;
        }
    }
    match inserted.next() {
        None => Ok((fresh, duplicates)),
        // To take one for a duplicate would lose it.
        Some(_) => Err(StoreError::Disorder),
    }
}

fn insert(conn: &Connection, entries: &[&Entry]) -> Result<Vec<Row>, Failure> {
    let minutes: Vec<Time> = entries.iter().map(|entry| Time(entry.minute.start_ms())).collect();
    let clients: Vec<i64> = entries.iter().map(|entry| entry.client).collect();
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.id).collect();
    let statement = conn.prepare(
        "INSERT INTO events_seen (window_start_ts, client_id, event_id)
         SELECT * FROM UNNEST($1::timestamptz[], $2::bigint[], $3::uuid[])
         ON CONFLICT DO NOTHING
         RETURNING window_start_ts, client_id, event_id",
    )?;
    // Sent together: one way there and back less.
    let begin = conn.client.batch_execute("BEGIN");
    let values: [&(dyn ToSql + Sync); 3] = [&minutes, &clients, &ids];
    let insert = conn.client.query(&statement, &values);
    conn.wait(async move { future::try_join(begin, insert).await.map(|((), rows)| rows) })
}

fn key_of(row: &Row) -> (Time, i64, Uuid) {
    (row.get(0), row.get(1), row.get(2))
}
