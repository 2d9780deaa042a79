//! Alerts in their table.

use tokio_postgres::Row;

use super::connection::{Connection, Value};
use super::reader::limit_of;
use super::time::Time;
use super::{Failure, Reader};
use crate::store::alerts::{Columns, MOST_RECEIVERS, MOST_TOLD};
use crate::store::{
    AlertQuery, AlertRow, AlertState, Claim, Fate, ReceiverFares, Sent, StoreError, Told,
};

/// Rows that a step removes at most.
const ROWS: i64 = 5_000;

/// The columns of `columns`, in its order.
macro_rules! columns {
    () => {
        "incident_id, receiver, seq, event, message, created_ts, due_ts, attempts, state,
         delivered_ts, failed_ts, last_error, body"
    };
}

/// Writes notices that are to be sent, save those that another has written.
pub(super) fn put(conn: &Connection, rows: &[AlertRow]) -> Result<usize, Failure> {
    let kept: Vec<_> = rows
        .iter()
        .map(|row| (number(row.seq), row.event.as_str(), row.body.json(), times(row)))
        .collect();
    let values: Vec<Vec<Value<'_>>> = rows
        .iter()
        .zip(&kept)
        .map(|(row, (seq, event, body, (created, due)))| {
            let key: [Value<'_>; 3] = [&row.incident_id, &row.receiver, seq];
            let rest: [Value<'_>; 5] = [event, &row.message, created, due, body];
            key.into_iter().chain(rest).collect()
        })
        .collect();
    let written = conn.execute_each(
        "INSERT INTO alerts
             (incident_id, receiver, seq, event, message, created_ts, due_ts, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        &values,
    )?;
    Ok(usize::try_from(written.into_iter().sum::<u64>()).unwrap_or(usize::MAX))
}

fn times(row: &AlertRow) -> (Time, Time) {
    (Time(row.created_ts), Time(row.due_ts))
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Takes a message to send it; says whether it was there to be taken.
pub(super) fn claim(conn: &Connection, claim: &Claim) -> Result<bool, Failure> {
    let taken = conn.execute(
        "UPDATE alerts SET attempts = attempts + 1, due_ts = $3
         WHERE message = $1 AND state = 'pending' AND attempts = $2",
        &[&claim.message, &number(claim.attempts), &Time(claim.again_ms)],
    )?;
    Ok(taken > 0)
}

/// Writes what became of a message. One that was delivered or given up stays so.
pub(super) fn settle(conn: &Connection, sent: &Sent) -> Result<(), Failure> {
    let (message, at) = (&sent.message, Time(sent.at_ms));
    match &sent.fate {
        Fate::Delivered => conn.execute(
            "UPDATE alerts SET state = 'delivered', delivered_ts = $2, tried_ts = $2
             WHERE message = $1 AND state <> 'delivered'",
            &[message, &at],
        ),
        Fate::Again { due_ms, why } => conn.execute(
            "UPDATE alerts SET due_ts = $3, last_error = $4, tried_ts = $2,
                 failed_ts = coalesce(failed_ts, $2)
             WHERE message = $1 AND state = 'pending'",
            &[message, &at, &Time(*due_ms), why],
        ),
        Fate::GivenUp { why } => conn.execute(
            "UPDATE alerts SET state = 'given_up', last_error = $3, tried_ts = $2,
                 failed_ts = coalesce(failed_ts, $2)
             WHERE message = $1 AND state = 'pending'",
            &[message, &at, why],
        ),
    }
    .map(drop)
}

/// Removes some of what was decided before a moment and is settled.
pub(super) fn prune(conn: &Connection, before_ms: i64) -> Result<u64, Failure> {
    conn.execute(
        "DELETE FROM alerts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM alerts WHERE created_ts < $1 AND state <> 'pending'
             ORDER BY created_ts LIMIT $2))",
        &[&Time(before_ms), &ROWS],
    )
}

impl Reader {
    pub(crate) fn alerts(&self, query: &AlertQuery) -> Result<(Vec<AlertRow>, bool), StoreError> {
        let pending = concat!(
            "SELECT ",
            columns!(),
            " FROM alerts WHERE state = 'pending' AND ($1::text IS NULL OR receiver = $1)
                 AND $2::text = 'pending' AND created_ts >= $3
             ORDER BY created_ts, message, incident_id, receiver, seq LIMIT $4"
        );
        let all = concat!(
            "SELECT ",
            columns!(),
            " FROM alerts WHERE ($1::text IS NULL OR receiver = $1)
                 AND ($2::text IS NULL OR state = $2) AND created_ts >= $3
             ORDER BY created_ts DESC, message, incident_id, receiver, seq LIMIT $4"
        );
        let sql = if query.state == Some(AlertState::Pending) { pending } else { all };
        let limit = limit_of(query.limit.saturating_add(1));
        let state = query.state.map(AlertState::as_str);
        let values: [Value<'_>; 4] = [&query.receiver, &state, &Time(query.from_ms), &limit];
        let rows = self.conn.borrow().query(sql, &values);
        let rows = rows.map_err(StoreError::postgres("read alerts"))?;
        let more = rows.len() > query.limit;
        let found = rows.iter().take(query.limit).map(|row| columns(row).row());
        Ok((found.collect::<Result<_, _>>()?, more))
    }

    pub(crate) fn told(&self, incidents: &[&str], from_ms: i64) -> Result<Vec<Told>, StoreError> {
        let rows = self.conn.borrow().query(
            concat!(
                "WITH last AS (
                     SELECT incident_id AS i, receiver AS r, max(seq) AS s,
                         bool_or(state <> 'given_up') AS heard
                     FROM alerts WHERE incident_id = ANY ($1)
                         OR incident_id IN (SELECT incident_id FROM alerts WHERE created_ts >= $2)
                     GROUP BY incident_id, receiver ORDER BY 1, 2 LIMIT $3)
                 SELECT ",
                columns!(),
                ", heard FROM last JOIN alerts
                     ON incident_id = i AND receiver = r AND seq = s ORDER BY 1, 2"
            ),
            &[&incidents, &Time(from_ms), &limit_of(MOST_TOLD)],
        );
        let rows = rows.map_err(StoreError::postgres("read what was told"))?;
        let told = |row: &Row| Ok(Told { last: columns(row).row()?, heard: row.get(13) });
        rows.iter().map(told).collect()
    }

    pub(crate) fn receivers(&self, from_ms: i64) -> Result<Vec<ReceiverFares>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT receiver,
                 count(*) FILTER (WHERE state = 'pending'),
                 min(created_ts) FILTER (WHERE state = 'pending'),
                 min(failed_ts) FILTER (WHERE state = 'pending'),
                 count(*) FILTER (WHERE state = 'given_up' AND tried_ts >= $1),
                 max(delivered_ts),
                 (SELECT last_error FROM alerts AS one
                  WHERE one.receiver = alerts.receiver AND last_error IS NOT NULL
                      AND (state = 'pending' OR state = 'given_up' AND tried_ts >= $1)
                  ORDER BY tried_ts DESC LIMIT 1)
             FROM alerts GROUP BY receiver ORDER BY receiver LIMIT $2",
            &[&Time(from_ms), &limit_of(MOST_RECEIVERS)],
        );
        let rows = rows.map_err(StoreError::postgres("read how receivers fare"))?;
        Ok(rows.iter().map(fares).collect())
    }
}

fn moment(row: &Row, at: usize) -> Option<i64> {
    row.get::<_, Option<Time>>(at).map(|time| time.0)
}

fn columns(row: &Row) -> Columns {
    Columns {
        incident_id: row.get(0),
        receiver: row.get(1),
        seq: row.get::<_, i32>(2).into(),
        event: row.get(3),
        message: row.get(4),
        created_ts: row.get::<_, Time>(5).0,
        due_ts: row.get::<_, Time>(6).0,
        attempts: row.get::<_, i32>(7).into(),
        state: row.get(8),
        delivered_ts: moment(row, 9),
        failed_ts: moment(row, 10),
        last_error: row.get(11),
        body: row.get(12),
    }
}

fn fares(row: &Row) -> ReceiverFares {
    ReceiverFares {
        receiver: row.get(0),
        pending: row.get::<_, i64>(1).cast_unsigned(),
        oldest_pending_ts: moment(row, 2),
        failing_since_ts: moment(row, 3),
        given_up: row.get::<_, i64>(4).cast_unsigned(),
        last_delivered_ts: moment(row, 5),
        last_error: row.get(6),
    }
}
