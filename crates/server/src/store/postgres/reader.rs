//! A connection that only looks.

use std::cell::RefCell;

use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::connection::{Connection, Purpose, block};
use super::time::Time;
use super::windows::window_row;
use super::{Failure, Settings, schema};
use crate::store::summary::{MERGED, Merging};
use crate::store::{Cell, StoreError, SummaryQuery, SummaryRow, WindowQuery, WindowRow};

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
        let moment = Moment::of(&mut conn).map_err(StoreError::postgres(doing))?;
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
                        found.push(done.finish(now_ms));
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
            found.push(done.finish(now_ms));
        }
        Ok((found, false))
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
