//! Hours and days in their tables, and the queue of those to merge.

use std::sync::LazyLock;

use model::window::Window;
use tokio_postgres::Row;

use super::connection::{Connection, Value};
use super::reader::limit_of;
use super::time::Time;
use super::windows::{Columns, Keys, window_row};
use super::{Failure, Reader};
use crate::store::rollups::HourOfCell;
use crate::store::windows::kept_window;
use crate::store::{Cell, Rolled, Rollup, RollupTask, Span, StoreError, WindowQuery, WindowRow};

/// The statements for minutes, made over for hours and days.
struct Statements {
    select: String,
    put: String,
    delete: String,
    merge: String,
}

static HOURS: LazyLock<Statements> = LazyLock::new(|| Statements::of(Rollup::Hour));
static DAYS: LazyLock<Statements> = LazyLock::new(|| Statements::of(Rollup::Day));

impl Statements {
    fn of(rollup: Rollup) -> Self {
        let (table, source) = (rollup.table(), rollup.source());
        let put = include_str!("put_windows.sql");
        // The queue's lock keeps others from the row, so it is not compared.
        let put = put.split("\nWHERE").next().unwrap_or(put).replace("agg_1m", table);
        Self {
            select: include_str!("select_windows.sql")
                .replace("agg_1m", table)
                .replace("diagnosis_label", "NULL::text"),
            put: put.replace(
                "revision = excluded.revision",
                &format!("revision = {table}.revision + 1"),
            ),
            delete: format!(
                "DELETE FROM {table} WHERE client_id = $1 AND target = $2 AND window_start_ts = $3"
            ),
            merge: format!(
                "SELECT sketches, facts FROM {source} WHERE client_id = $1 AND target = $2
                   AND window_start_ts >= $3 AND window_start_ts < $4"
            ),
        }
    }

    fn for_each(rollup: Rollup) -> &'static Self {
        match rollup {
            Rollup::Hour => &HOURS,
            Rollup::Day => &DAYS,
        }
    }
}

impl Reader {
    pub(crate) fn rollups(
        &self,
        rollup: Rollup,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        let row = |row: &Row| {
            let row = window_row(row, now_ms);
            let provisional = rollup.is_provisional(row.window_start_ts, now_ms);
            WindowRow { provisional, ..row }
        };
        self.windows_by(&Statements::for_each(rollup).select, query, row)
    }

    pub(crate) fn rollup_tasks(
        &self,
        now_ms: i64,
        limit: usize,
    ) -> Result<Vec<RollupTask>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT client_id, target, span, window_start_ts, generation FROM rollup_queue
             WHERE due_ts <= $1
             ORDER BY due_ts, span, client_id, target, window_start_ts LIMIT $2",
            &[&Time(now_ms), &limit_of(limit)],
        );
        let rows = rows.map_err(StoreError::postgres("read what is to be merged"))?;
        let task = |row: &Row| RollupTask {
            cell: Cell { client_id: row.get(0), target: row.get(1) },
            // The table holds these two names alone.
            rollup: Rollup::named(row.get(2)).unwrap_or(Rollup::Day),
            start_ms: row.get::<_, Time>(3).0,
            generation: row.get(4),
        };
        Ok(rows.iter().map(task).collect())
    }

    pub(crate) fn merged(&self, task: &RollupTask) -> Result<Option<Window>, StoreError> {
        let Cell { client_id, target } = &task.cell;
        let Span { from_ms, to_ms } = task.span();
        let rows = self.conn.borrow().query(
            &Statements::for_each(task.rollup).merge,
            &[client_id, target, &Time(from_ms), &Time(to_ms)],
        );
        let mut merged: Option<Window> = None;
        for row in rows.map_err(StoreError::postgres("read windows to merge"))? {
            let window = kept_window(client_id, target, row.get(0), row.get(1))?;
            merged.get_or_insert_default().merge(&window);
        }
        Ok(merged)
    }
}

/// The values of enqueue.sql: spans of cells, a column each.
#[derive(Default)]
pub(super) struct Spans<'a> {
    clients: Vec<&'a str>,
    targets: Vec<&'a str>,
    spans: Vec<&'static str>,
    starts: Vec<Time>,
    dues: Vec<Time>,
}

impl<'a> Spans<'a> {
    /// Hours to queue.
    pub(super) fn of_hours(hours: impl Iterator<Item = HourOfCell<'a>>) -> Self {
        let mut spans = Self::default();
        hours.for_each(|hour| spans.push(Rollup::Hour, hour));
        spans
    }

    fn push(&mut self, rollup: Rollup, (client_id, target, start_ms): HourOfCell<'a>) {
        self.clients.push(client_id);
        self.targets.push(target);
        self.spans.push(rollup.as_str());
        self.starts.push(Time(start_ms));
        self.dues.push(Time(rollup.due_ms(start_ms)));
    }

    /// In the order of the statement's places.
    pub(super) fn values(&self) -> [Value<'_>; 5] {
        [&self.clients, &self.targets, &self.spans, &self.starts, &self.dues]
    }

    /// Queues them. Each may stand here once.
    fn enqueue(&self, conn: &Connection) -> Result<(), Failure> {
        if self.clients.is_empty() {
            return Ok(());
        }
        conn.execute(ENQUEUE, &self.values()).map(drop)
    }
}

/// Queues spans, in the order in which they are given.
pub(super) const ENQUEUE: &str = include_str!("enqueue.sql");

/// Writes what was merged, save what changed since.
pub(super) fn roll(conn: &Connection, rolled: &[Rolled], now_ms: i64) -> Result<(), Failure> {
    let mut rolled: Vec<&Rolled> = rolled.iter().collect();
    rolled.sort_by(|a, b| key(&a.task).cmp(&key(&b.task)));
    let settled = settle(conn, &rolled)?;
    for rollup in [Rollup::Hour, Rollup::Day] {
        let of_kind = || settled.iter().filter(|rolled| rolled.task.rollup == rollup);
        let statements = Statements::for_each(rollup);
        let full = of_kind().filter_map(|rolled| Some((&rolled.task, rolled.window.as_ref()?)));
        let (tasks, windows): (Vec<&RollupTask>, Vec<&Window>) = full.unzip();
        if !tasks.is_empty() {
            let revisions = vec![1; tasks.len()];
            let columns = Columns::of(keys(&tasks), &windows, revisions, now_ms);
            conn.execute(&statements.put, &columns.values())?;
        }
        let gone: Vec<(&Cell, Time)> = of_kind()
            .filter(|rolled| rolled.window.is_none())
            .map(|Rolled { task, .. }| (&task.cell, Time(task.start_ms)))
            .collect();
        let rows: Vec<Vec<Value<'_>>> = gone
            .iter()
            .map(|(cell, start)| vec![&cell.client_id as Value<'_>, &cell.target, start])
            .collect();
        conn.execute_each(&statements.delete, &rows)?;
    }
    let mut days = Spans::default();
    let mut last = None;
    for RollupTask { cell, start_ms, .. } in
        settled.iter().map(|rolled| &rolled.task).filter(|task| task.rollup == Rollup::Hour)
    {
        let start = Rollup::Day.start_of(*start_ms);
        // Hours of one cell and day stand together.
        if last.replace((cell, start)) != Some((cell, start)) {
            days.push(Rollup::Day, (&cell.client_id, &cell.target, start));
        }
    }
    days.enqueue(conn)
}

/// Takes from the queue what did not change since it was read, and locks the rest out.
fn settle<'a>(conn: &Connection, rolled: &[&'a Rolled]) -> Result<Vec<&'a Rolled>, Failure> {
    let tasks: Vec<&RollupTask> = rolled.iter().map(|rolled| &rolled.task).collect();
    let Keys { clients, targets, starts } = keys(&tasks);
    let spans: Vec<&str> = tasks.iter().map(|task| task.rollup.as_str()).collect();
    let generations: Vec<i64> = tasks.iter().map(|task| task.generation).collect();
    let rows = conn.query(
        // As windows are read: by the index, in order, whatever the planner thinks the queue holds.
        "WITH mine AS MATERIALIZED (
             SELECT at, place
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
                 WITH ORDINALITY AS k (client_id, target, span, window_start_ts, generation, at),
             LATERAL (
                 SELECT ctid AS place FROM rollup_queue
                 WHERE client_id = k.client_id AND target = k.target AND span = k.span
                   AND window_start_ts = k.window_start_ts AND generation = k.generation
                 LIMIT 1 FOR UPDATE
             ) AS queued
         ), gone AS (
             DELETE FROM rollup_queue WHERE ctid = ANY (ARRAY(SELECT place FROM mine))
         )
         SELECT at FROM mine",
        &[&clients, &targets, &spans, &starts, &generations],
    )?;
    let mut places: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    places.sort_unstable();
    let at = |place: i64| usize::try_from(place - 1).ok().and_then(|at| rolled.get(at)).copied();
    Ok(places.into_iter().filter_map(at).collect())
}

fn key(task: &RollupTask) -> (&Cell, &'static str, i64) {
    (&task.cell, task.rollup.as_str(), task.start_ms)
}

fn keys<'a>(tasks: &[&'a RollupTask]) -> Keys<'a> {
    Keys {
        clients: tasks.iter().map(|task| task.cell.client_id.as_str()).collect(),
        targets: tasks.iter().map(|task| task.cell.target.as_str()).collect(),
        starts: tasks.iter().map(|task| Time(task.start_ms)).collect(),
    }
}
