//! The least that could keep the same rows: one thread, events that are decoded already, and
//! transactions on SQLite with the same statements, settings and durability as the server's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use model::sketch::Quantile;
use model::units::{MINUTE_MS, Minute};
use model::window::Window;
use model::{ClientId, Event, Metric, Target};
use rusqlite::{Connection, OptionalExtension as _, Statement, Transaction, TransactionBehavior};
use server::clock::now_ms;
use server::store::{DATABASE, schema};

/// A database of the server's schema.
pub(crate) struct Bare {
    conn: Connection,
    clients: HashMap<ClientId, i64>,
}

const HOUR_MS: i64 = 60 * MINUTE_MS;
/// After its beginning an hour is merged by the server.
const HOUR_DUE_MS: i64 = 65 * MINUTE_MS;

type Cell<'a> = (&'a ClientId, &'a Target);

impl Bare {
    /// Makes one in `dir`, which must not be there yet.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        schema::up(dir)?;
        let conn = Connection::open(dir.join(DATABASE)).context("failed to open a database")?;
        // The server's: see `store/sqlite/connection.rs`.
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8192;",
        )
        .context("failed to configure a database")?;
        Ok(Self { conn, clients: HashMap::new() })
    }

    /// Counts events in one transaction and says how long that took.
    pub(crate) fn apply(&mut self, events: &[Event]) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .context("failed to begin a transaction")?;
        count(&tx, &mut self.clients, events).context("failed to count events")?;
        tx.commit().context("failed to commit")?;
        Ok(began.elapsed())
    }
}

fn count(
    tx: &Transaction<'_>,
    clients: &mut HashMap<ClientId, i64>,
    events: &[Event],
) -> anyhow::Result<()> {
    let now_ms = now_ms();
    let mut seen = tx.prepare_cached(
        "INSERT OR IGNORE INTO events_seen (window_start_ts, client_id, event_id)
         VALUES (?1, ?2, ?3)",
    )?;
    // Ordered, so that neighbours share pages, as the server has it.
    let mut cells: BTreeMap<Cell<'_>, BTreeMap<Minute, Vec<&Event>>> = BTreeMap::new();
    for event in events {
        let client = key(tx, clients, &event.client, now_ms)?;
        let minute = event.minute();
        if seen.execute((minute.start_ms(), client, &event.id.as_bytes()[..]))? == 1 {
            let cell = cells.entry((&event.client, &event.target)).or_default();
            cell.entry(minute).or_default().push(event);
        }
    }
    let mut find = tx.prepare_cached(
        "SELECT sketches FROM agg_1m
         WHERE client_id = ?1 AND target = ?2 AND window_start_ts = ?3",
    )?;
    let mut put =
        tx.prepare_cached(include_str!("../../crates/server/src/store/sqlite/put_window.sql"))?;
    let mut enqueue =
        tx.prepare_cached(include_str!("../../crates/server/src/store/sqlite/enqueue.sql"))?;
    for ((client, target), minutes) in cells {
        let cell = (client.as_str(), target.as_str());
        for (minute, events) in &minutes {
            let kept = find
                .query_row((cell.0, cell.1, minute.start_ms()), |row| row.get::<_, Vec<u8>>(0))
                .optional()?;
            let mut window = match kept {
                Some(bytes) => Window::decode(&bytes)?,
                None => Window::default(),
            };
            events.iter().for_each(|event| window.fold(event));
            write(&mut put, cell, *minute, &window, now_ms)?;
        }
        let hours = minutes.keys().map(|minute| minute.start_ms().div_euclid(HOUR_MS) * HOUR_MS);
        for hour in hours.collect::<BTreeSet<_>>() {
            enqueue.execute((cell.0, cell.1, "1h", hour, hour + HOUR_DUE_MS))?;
        }
    }
    Ok(())
}

fn key(
    tx: &Transaction<'_>,
    clients: &mut HashMap<ClientId, i64>,
    client: &ClientId,
    now_ms: i64,
) -> rusqlite::Result<i64> {
    if let Some(key) = clients.get(client) {
        return Ok(*key);
    }
    let key = tx.query_row(
        "INSERT INTO clients (client_id, first_seen, last_seen) VALUES (?1, ?2, ?2) RETURNING id",
        (client.as_str(), now_ms),
        |row| row.get(0),
    )?;
    clients.insert(client.clone(), key);
    Ok(key)
}

fn write(
    put: &mut Statement<'_>,
    (client, target): (&str, &str),
    minute: Minute,
    window: &Window,
    now_ms: i64,
) -> rusqlite::Result<()> {
    put.raw_bind_parameter(1, client)?;
    put.raw_bind_parameter(2, target)?;
    put.raw_bind_parameter(3, minute.start_ms())?;
    let counts = window.counts();
    let mut at = 4;
    for count in [counts.total, counts.success, counts.error()].into_iter().chain(counts.errors) {
        put.raw_bind_parameter(at, count.cast_signed())?;
        at += 1;
    }
    for metric in Metric::ALL {
        for quantile in [Quantile::P50, Quantile::P95, Quantile::P99] {
            let value = window.sketch(metric).quantile(quantile).map(|value| value as f64 / 1e3);
            put.raw_bind_parameter(at, value)?;
            at += 1;
        }
    }
    put.raw_bind_parameter(at, window.encode())?;
    put.raw_bind_parameter(at + 1, now_ms)?;
    put.raw_bind_parameter(at + 2, counts.troubled.cast_signed())?;
    put.raw_execute().map(drop)
}

/// Fails where the windows in `dir` do not hold so many events.
pub(crate) fn check_count(dir: &Path, events: u64) -> anyhow::Result<()> {
    let conn = Connection::open(dir.join(DATABASE)).context("failed to open a database")?;
    let sum = "SELECT coalesce(sum(count_total), 0) FROM agg_1m";
    let counted: i64 =
        conn.query_row(sum, [], |row| row.get(0)).context("failed to add up windows")?;
    ensure!(counted.unsigned_abs() == events, "{events} events were taken, {counted} counted");
    Ok(())
}
