//! Windows that a transaction touches: read, merged and written, each once.

use futures_util::future;
use model::units::Minute;
use model::window::{Counts, Window};
use model::{Event, Metric};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::Connection;
use super::rollups::{ENQUEUE, Spans};
use super::time::Time;
use crate::store::rollups::hours;
use crate::store::windows::{Percentiles, is_provisional, kept_window, to_integer};
use crate::store::{MetricPercentiles, StoreError, WindowRow};

/// The windows of a transaction's events, in the order of their key.
pub(super) struct Touched<'a> {
    events: Vec<&'a Event>,
    windows: Vec<One>,
}

/// One of them.
struct One {
    /// Its events: where they begin and end.
    from: usize,
    to: usize,
    /// As it was kept, then with the events folded in.
    window: Window,
    /// As it was kept; 0 where it is new.
    revision: i64,
}

/// The windows' keys, a column each.
pub(super) struct Keys<'a> {
    pub(super) clients: Vec<&'a str>,
    pub(super) targets: Vec<&'a str>,
    pub(super) starts: Vec<Time>,
}

/// The values of put_windows.sql.
pub(super) struct Columns<'a> {
    keys: Keys<'a>,
    counts: [Vec<i64>; 10],
    percentiles: [Vec<Option<f64>>; 18],
    sketches: Vec<Vec<u8>>,
    revisions: Vec<i64>,
    troubled: Vec<i64>,
    facts: Vec<Option<Vec<u8>>>,
    now: Time,
}

impl<'a> Columns<'a> {
    pub(super) fn of(
        keys: Keys<'a>,
        windows: &[&Window],
        revisions: Vec<i64>,
        now_ms: i64,
    ) -> Self {
        let mut counts: [Vec<i64>; 10] = Default::default();
        let mut percentiles: [Vec<Option<f64>>; 18] = Default::default();
        for window in windows {
            let of = window.counts();
            let all = [of.total, of.success, of.error()].into_iter().chain(of.errors);
            counts.iter_mut().zip(all).for_each(|(column, n)| column.push(to_integer(n)));
            let all = Metric::ALL
                .into_iter()
                .flat_map(|metric| Percentiles::of(window.sketch(metric)).in_order());
            percentiles.iter_mut().zip(all).for_each(|(column, value)| column.push(value));
        }
        let sketches = windows.iter().map(|window| window.encode()).collect();
        let troubled = windows.iter().map(|window| to_integer(window.counts().troubled)).collect();
        let facts = windows.iter().map(|window| window.facts().encode()).collect();
        let now = Time(now_ms);
        Self { keys, counts, percentiles, sketches, revisions, troubled, facts, now }
    }

    /// In the order of the statement's places.
    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        let Keys { clients, targets, starts } = &self.keys;
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![clients, targets, starts];
        values.extend(self.counts.iter().map(|column| column as &(dyn ToSql + Sync)));
        values.extend(self.percentiles.iter().map(|column| column as &(dyn ToSql + Sync)));
        values.extend([
            &self.sketches as &(dyn ToSql + Sync),
            &self.revisions,
            &self.troubled,
            &self.facts,
            &self.now,
        ]);
        values
    }
}

impl<'a> Touched<'a> {
    /// Finds the windows of some events.
    pub(super) fn group(mut events: Vec<&'a Event>) -> Self {
        events.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        let mut windows = Vec::new();
        let mut from = 0;
        for events in events.chunk_by(|a, b| key(a) == key(b)) {
            let to = from + events.len();
            windows.push(One { from, to, window: Window::default(), revision: 0 });
            from = to;
        }
        Self { events, windows }
    }

    /// Reads what is kept of them; with `locking` no other transaction changes them until this
    /// one has ended.
    pub(super) fn read(&mut self, conn: &Connection, locking: bool) -> Result<(), StoreError> {
        let Keys { clients, targets, starts } = self.keys();
        // The days they lie in: other partitions are not looked into.
        let (oldest, newest) =
            starts.iter().fold((i64::MAX, i64::MIN), |(oldest, newest), start| {
                (oldest.min(start.0), newest.max(start.0))
            });
        // LIMIT binds the planner: a look into the index for each key, in order, whatever it thinks
        // the table holds.
        macro_rules! select {
            ($lock:literal) => {
                concat!(
                    "SELECT at, revision, sketches, facts
                     FROM UNNEST($1::text[], $2::text[], $3::timestamptz[])
                         WITH ORDINALITY AS k (client_id, target, window_start_ts, at),
                     LATERAL (
                         SELECT revision, sketches, facts FROM agg_1m
                         WHERE client_id = k.client_id AND target = k.target
                           AND window_start_ts = k.window_start_ts
                           AND window_start_ts >= $4 AND window_start_ts <= $5
                         LIMIT 1 ",
                    $lock,
                    ") AS kept"
                )
            };
        }
        let sql = if locking { select!("FOR UPDATE") } else { select!("") };
        let rows = conn
            .query(sql, &[&clients, &targets, &starts, &Time(oldest), &Time(newest)])
            .map_err(StoreError::postgres("read windows"))?;
        for row in rows {
            let (at, revision): (i64, i64) = (row.get(0), row.get(1));
            let one = usize::try_from(at - 1).ok().and_then(|at| self.windows.get_mut(at));
            let one = one.ok_or(StoreError::Disorder)?;
            one.revision = revision;
            let event = self.events[one.from];
            let key = (event.client.as_str(), event.target.as_str());
            one.window = kept_window(key.0, key.1, row.get(2), row.get(3))?;
        }
        Ok(())
    }

    /// Adds the events to what was read.
    pub(super) fn fold(&mut self) {
        for One { from, to, window, .. } in &mut self.windows {
            self.events[*from..*to].iter().for_each(|event| window.fold(event));
        }
    }

    /// Writes them and queues their hours to be merged. False where another transaction changed
    /// one since it was read; then nothing of this one may stand.
    pub(super) fn write(&self, conn: &Connection, now_ms: i64) -> Result<bool, StoreError> {
        let windows: Vec<&Window> = self.windows.iter().map(|one| &one.window).collect();
        let revisions = self.windows.iter().map(|one| one.revision + 1).collect();
        let columns = Columns::of(self.keys(), &windows, revisions, now_ms);
        let values = columns.values();

        let hours = Spans::of_hours(hours(self.windows.iter().map(|one| self.events[one.from])));
        let hours = hours.values();
        let both = || {
            let put = conn.prepare(include_str!("put_windows.sql"))?;
            let enqueue = conn.prepare(ENQUEUE)?;
            let put = conn.client.execute(&put, &values);
            let enqueue = conn.client.execute(&enqueue, &hours);
            conn.wait(async move { future::try_join(put, enqueue).await })
        };
        let (written, _) = both().map_err(StoreError::postgres("write windows"))?;
        Ok(usize::try_from(written) == Ok(self.windows.len()))
    }

    fn keys(&self) -> Keys<'a> {
        let first = || self.windows.iter().map(|one| self.events[one.from]);
        Keys {
            clients: first().map(|event| event.client.as_str()).collect(),
            targets: first().map(|event| event.target.as_str()).collect(),
            starts: first().map(|event| Time(event.minute().start_ms())).collect(),
        }
    }
}

fn key(event: &Event) -> (&str, &str, Minute) {
    (event.client.as_str(), event.target.as_str(), event.minute())
}

/// By the order of columns in select_windows.sql.
pub(super) fn window_row(row: &Row, now_ms: i64) -> WindowRow {
    let Time(start) = row.get(2);
    let Time(updated_at) = row.get(4);
    let count = |at: usize| row.get::<_, i64>(at).cast_unsigned();
    let mut counts = Counts { total: count(6), success: count(7), ..Counts::default() };
    for (at, errors) in (8..).zip(&mut counts.errors) {
        *errors = count(at);
    }
    counts.troubled = count(33);
    let mut percentiles = MetricPercentiles::default();
    for (at, of) in (15..).step_by(3).zip(&mut percentiles.0) {
        *of = Percentiles { p50: row.get(at), p95: row.get(at + 1), p99: row.get(at + 2) };
    }
    WindowRow {
        client_id: row.get(0),
        target: row.get(1),
        window_start_ts: start,
        provisional: is_provisional(start, now_ms),
        revision: count(3),
        updated_at,
        diagnosis_label: row.get(5),
        counts,
        percentiles,
    }
}
