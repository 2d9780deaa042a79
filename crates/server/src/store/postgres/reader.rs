//! A connection that only looks.

use std::cell::RefCell;

use model::diagnosis::CellWindow;
use model::units::Minute;
use model::window::Window;
use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::connection::{Connection, Purpose, block};
use super::time::Time;
use super::windows::window_row;
use super::{Failure, Settings, diagnoses, schema};
use crate::store::summary::{MERGED, Merging};
use crate::store::windows::unreadable_window;
use crate::store::{
    Cell, DiagnosisQuery, DiagnosisRow, Span, StoreError, SummaryQuery, SummaryRow, Task,
    WindowQuery, WindowRow,
};

/// A connection that only looks. Each answer is of one moment.
pub(crate) struct Reader {
    pub(super) conn: RefCell<Connection>,
}

/// Windows that are merged between two questions.
pub(super) const FETCHED: i32 = 5_000;

impl Reader {
    pub(crate) fn open(settings: &Settings) -> Result<Self, StoreError> {
        let conn = Connection::open(settings, Purpose::Read)?;
        schema::require(&conn)?;
        Ok(Self { conn: RefCell::new(conn) })
    }

    /// Whether the connection has ended, so that there is nothing more to ask it.
    pub(crate) fn is_closed(&self) -> bool {
        self.conn.borrow().is_closed()
    }

    pub(crate) fn windows(
        &self,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        self.windows_by(include_str!("select_windows.sql"), query, |row| window_row(row, now_ms))
    }

    /// What select_windows.sql, or its like for another table, gives.
    pub(super) fn windows_by(
        &self,
        select: &'static str,
        query: &WindowQuery,
        row: impl Fn(&Row) -> WindowRow,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        let limit = limit_of(query.limit.saturating_add(1));
        let span = (Time(query.span.from_ms), Time(query.span.to_ms));
        let rows = self
            .conn
            .borrow()
            .query(select, &[&span.0, &span.1, &query.client_id, &query.target, &limit]);
        let rows = rows.map_err(StoreError::postgres("read windows"))?;
        let more = rows.len() > query.limit;
        let mut found: Vec<WindowRow> = rows.iter().take(query.limit).map(row).collect();
        // They came with the newest first, so that the newest of the last cell are there.
        let same =
            |a: &WindowRow, b: &WindowRow| (&a.client_id, &a.target) == (&b.client_id, &b.target);
        found.chunk_by_mut(same).for_each(<[WindowRow]>::reverse);
        Ok((found, more))
    }

    pub(crate) fn summary_of(
        &self,
        query: &SummaryQuery,
        now_ms: i64,
    ) -> Result<(Vec<SummaryRow>, bool), StoreError> {
        let mut conn = self.conn.borrow_mut();
        let doing = "read windows";
        let statement = conn
            .prepare(
                "SELECT client_id, target, window_start_ts, sketches, diagnosis_label FROM agg_1m
                 WHERE window_start_ts >= $1 AND window_start_ts < $2
                   AND ($3::text IS NULL OR client_id = $3) AND ($4::text IS NULL OR target = $4)
                 ORDER BY client_id, target, window_start_ts",
            )
            .map_err(StoreError::postgres(doing))?;
        let open = conn
            .prepare(
                "SELECT label FROM diagnoses WHERE client_id = $1 AND target = $2 AND open
                 ORDER BY since_ts DESC LIMIT 1",
            )
            .map_err(StoreError::postgres(doing))?;
        let moment = Moment::of(&mut conn).map_err(StoreError::postgres(doing))?;
        let open_label = |cell: &Cell| -> Result<Option<String>, StoreError> {
            let rows = moment.wait(moment.tx.query(&open, &[&cell.client_id, &cell.target]));
            let rows = rows.map_err(StoreError::postgres("read open diagnoses"))?;
            Ok(rows.first().map(|row| row.get(0)))
        };
        let values = (Time(query.span.from_ms), Time(query.span.to_ms));
        let portal = moment
            .wait(
                moment
                    .tx
                    .bind(&statement, &[&values.0, &values.1, &query.client_id, &query.target]),
            )
            .map_err(StoreError::postgres(doing))?;

        let mut left = MERGED;
        let mut found: Vec<SummaryRow> = Vec::new();
        let mut merging: Option<Merging> = None;
        loop {
            let rows = moment
                .wait(moment.tx.query_portal(&portal, FETCHED))
                .map_err(StoreError::postgres(doing))?;
            let last = rows.len() < FETCHED.unsigned_abs() as usize;
            for row in rows {
                let (client_id, target): (&str, &str) = (row.get(0), row.get(1));
                let of = |one: &Merging| {
                    (one.cell().client_id.as_str(), one.cell().target.as_str())
                        == (client_id, target)
                };
                if !merging.as_ref().is_some_and(of) {
                    if let Some(done) = merging.take() {
                        let label = open_label(done.cell())?;
                        found.push(done.finish(label, now_ms));
                    }
                    if found.len() == query.limit {
                        return Ok((found, true));
                    }
                    let cell = Cell { client_id: client_id.to_owned(), target: target.to_owned() };
                    merging = Some(Merging::of(cell));
                }
                left = left.checked_sub(1).ok_or(StoreError::TooMany { limit: MERGED })?;
                if let Some(one) = &mut merging {
                    let Time(start) = row.get(2);
                    one.add(start, row.get(3), row.get(4))?;
                }
            }
            if last {
                break;
            }
        }
        if let Some(done) = merging {
            let label = open_label(done.cell())?;
            found.push(done.finish(label, now_ms));
        }
        Ok((found, false))
    }

    pub(crate) fn diagnoses(
        &self,
        query: &DiagnosisQuery,
    ) -> Result<(Vec<DiagnosisRow>, bool), StoreError> {
        diagnoses::newest(&self.conn.borrow(), query)
    }

    pub(crate) fn tasks(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT client_id, target, generation, oldest_ts, newest_ts FROM diagnosis_queue
             ORDER BY queued_at, client_id, target LIMIT $1",
            &[&limit_of(limit)],
        );
        let rows = rows.map_err(StoreError::postgres("read what is to be judged"))?;
        let task = |row: &Row| {
            let (Time(oldest_ms), Time(newest_ms)) = (row.get(3), row.get(4));
            let cell = Cell { client_id: row.get(0), target: row.get(1) };
            Task { cell, generation: row.get(2), oldest_ms, newest_ms }
        };
        Ok(rows.iter().map(task).collect())
    }

    pub(crate) fn cell_windows(
        &self,
        cell: &Cell,
        span: Span,
    ) -> Result<Vec<CellWindow>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT window_start_ts, sketches FROM agg_1m
             WHERE client_id = $1 AND target = $2
               AND window_start_ts >= $3 AND window_start_ts < $4
             ORDER BY window_start_ts",
            &[&cell.client_id, &cell.target, &Time(span.from_ms), &Time(span.to_ms)],
        );
        let rows = rows.map_err(StoreError::postgres("read windows to judge"))?;
        let window = |row: &Row| {
            let Time(start) = row.get(0);
            let window = Window::decode(row.get(1))
                .map_err(|error| unreadable_window(&cell.client_id, &cell.target, &error))?;
            Ok(CellWindow { start: Minute::of_ms(start), window })
        };
        rows.iter().map(window).collect()
    }

    pub(crate) fn has_windows_from(&self, cell: &Cell, from_ms: i64) -> Result<bool, StoreError> {
        let row = self.conn.borrow().query_one(
            "SELECT EXISTS (SELECT FROM agg_1m
             WHERE client_id = $1 AND target = $2 AND window_start_ts >= $3)",
            &[&cell.client_id, &cell.target, &Time(from_ms)],
        );
        row.map(|row| row.get(0)).map_err(StoreError::postgres("look for windows"))
    }

    pub(crate) fn cell_diagnoses(
        &self,
        cell: &Cell,
        span: Span,
    ) -> Result<Vec<DiagnosisRow>, StoreError> {
        diagnoses::of_cell(&self.conn.borrow(), cell, span)
    }
}

/// A view of one moment, for several questions. It ends when it is dropped.
pub(super) struct Moment<'a> {
    pub(super) tx: Transaction<'a>,
    patience: std::time::Duration,
}

impl<'a> Moment<'a> {
    pub(super) fn of(conn: &'a mut Connection) -> Result<Self, Failure> {
        let patience = conn.patience();
        Ok(Self { tx: conn.moment()?, patience })
    }

    pub(super) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        block(answer, self.patience).ok_or(Failure::TimedOut(self.patience))?.map_err(Failure::from)
    }
}

impl Connection {
    fn moment(&mut self) -> Result<Transaction<'_>, Failure> {
        let patience = self.patience();
        let begin = self
            .client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start();
        block(begin, patience).ok_or(Failure::TimedOut(patience))?.map_err(Failure::from)
    }
}

/// A number of rows for a LIMIT.
pub(super) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
