//! The least that could keep the same rows: the same tables, events that are sorted already, one
//! statement a table, and a window's row made beforehand. Nothing is read, merged or queued.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use model::window::Window;
use model::{ClientId, Event};
use postgres::types::ToSql;
use postgres::{Client, Statement};
use testbed::servers::postgres::Database;
use uuid::Uuid;

/// A connection of the peer.
pub(super) struct Bare {
    client: Client,
    clients: HashMap<ClientId, i64>,
    seen: Statement,
    put: Statement,
    one_seen: Statement,
    one_put: Statement,
}

const SEEN: &str = "INSERT INTO events_seen (window_start_ts, client_id, event_id)
     SELECT * FROM UNNEST($1::timestamptz[], $2::bigint[], $3::uuid[])
     ON CONFLICT DO NOTHING RETURNING event_id";
const ONE_SEEN: &str = "INSERT INTO events_seen (window_start_ts, client_id, event_id)
     VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const ONE_PUT: &str = "INSERT INTO agg_1m (client_id, target, window_start_ts,
         count_total, count_success, count_error, errors_dns, errors_tcp, errors_tls, errors_http,
         errors_throughput, errors_throughput_timeout, errors_parse, sketches, revision, updated_at)
     VALUES ($1, $2, $3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, $4, 1, $5)
     ON CONFLICT (client_id, target, window_start_ts) DO UPDATE SET
         count_total = agg_1m.count_total + 1, count_success = agg_1m.count_success + 1,
         sketches = excluded.sketches, revision = agg_1m.revision + 1,
         updated_at = excluded.updated_at";

impl Bare {
    pub(super) fn open(database: &Database) -> anyhow::Result<Self> {
        let mut client = database.connect()?;
        // The server's own statement, but for the look at what stands there.
        let put = include_str!("../../../crates/server/src/store/postgres/put_windows.sql");
        let put = client.prepare(put.split("\nWHERE").next().unwrap_or(put))?;
        let [seen, one_seen] = [SEEN, ONE_SEEN].map(|sql| client.prepare(sql));
        let one_put = client.prepare(ONE_PUT)?;
        let clients = HashMap::new();
        Ok(Self { client, clients, seen: seen?, put, one_seen: one_seen?, one_put })
    }

    /// Counts events in one transaction.
    pub(super) fn together(&mut self, events: &[Event]) -> anyhow::Result<()> {
        let mut keys = Vec::with_capacity(events.len());
        for event in events {
            keys.push((event.minute(), self.key(&event.client)?, event.id));
        }
        keys.sort_unstable();
        let time = |ms: i64| UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
        let minutes: Vec<_> = keys.iter().map(|key| time(key.0.start_ms())).collect();
        let clients: Vec<i64> = keys.iter().map(|key| key.1).collect();
        let ids: Vec<Uuid> = keys.iter().map(|key| key.2).collect();

        let mut windows: Vec<_> = events
            .iter()
            .map(|event| (event.client.as_str(), event.target.as_str(), event.minute()))
            .collect();
        windows.sort_unstable();
        windows.dedup();
        let names: Vec<&str> = windows.iter().map(|window| window.0).collect();
        let targets: Vec<&str> = windows.iter().map(|window| window.1).collect();
        let starts: Vec<_> = windows.iter().map(|window| time(window.2.start_ms())).collect();
        let counts = vec![1_i64; windows.len()];
        let percentiles = vec![Some(12.5_f64); windows.len()];
        let window = sample(events);
        let sketches = vec![&window[..]; windows.len()];
        // These events say nothing beside.
        let facts = vec![None::<&[u8]>; windows.len()];
        let now = time(super::feed::NOW_MS);

        let mut tx = self.client.transaction()?;
        tx.query(&self.seen, &[&minutes, &clients, &ids]).context("marking events")?;
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&names, &targets, &starts];
        values.extend((0..10).map(|_| &counts as &(dyn ToSql + Sync)));
        values.extend((0..18).map(|_| &percentiles as &(dyn ToSql + Sync)));
        values.extend([&sketches as &(dyn ToSql + Sync), &counts, &counts, &facts, &now]);
        tx.execute(&self.put, &values).context("writing windows")?;
        tx.commit()?;
        Ok(())
    }

    /// Counts one event in a transaction of its own.
    pub(super) fn alone(&mut self, event: &Event) -> anyhow::Result<()> {
        let key = self.key(&event.client)?;
        let time = |ms: i64| UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
        let start = time(event.minute().start_ms());
        let window = sample(std::slice::from_ref(event));
        let mut tx = self.client.transaction()?;
        if tx.execute(&self.one_seen, &[&start, &key, &event.id])? == 1 {
            let now = time(super::feed::NOW_MS);
            tx.execute(
                &self.one_put,
                &[&event.client.as_str(), &event.target.as_str(), &start, &window, &now],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    fn key(&mut self, client: &ClientId) -> anyhow::Result<i64> {
        if let Some(key) = self.clients.get(client) {
            return Ok(*key);
        }
        let insert =
            "INSERT INTO clients (client_id, first_seen, last_seen) VALUES ($1, now(), now())
             ON CONFLICT (client_id) DO UPDATE SET last_seen = now() RETURNING id";
        let key = self.client.query_one(insert, &[&client.as_str()])?.get(0);
        self.clients.insert(client.clone(), key);
        Ok(key)
    }
}

/// A window of a few events, as it is kept.
fn sample(events: &[Event]) -> Vec<u8> {
    let mut window = Window::default();
    events.iter().take(5).for_each(|event| window.fold(event));
    window.encode()
}
