//! What grows slowly, in its table.

use tokio_postgres::Row;

use super::connection::{Connection, Value};
use super::reader::limit_of;
use super::time::Time;
use super::{Failure, Reader};
use crate::store::drifts::AGAIN_AFTER_MS;
use crate::store::{DriftQuery, DriftRow, StoreError};

/// Notes drifts, save those of cells of which one was noted less than a day from it.
pub(super) fn note(conn: &Connection, drifts: &[DriftRow]) -> Result<(), Failure> {
    let times: Vec<[Time; 4]> = drifts
        .iter()
        .map(|row| {
            let noted = row.noted_ts;
            [noted, row.since_ts, noted - AGAIN_AFTER_MS, noted + AGAIN_AFTER_MS].map(Time)
        })
        .collect();
    let rows: Vec<Vec<Value<'_>>> = drifts
        .iter()
        .zip(&times)
        .map(|(row, [noted, since, from, to])| {
            let by = &row.percent_per_hour;
            vec![&row.client_id as Value<'_>, &row.target, noted, &row.signal, since, by, from, to]
        })
        .collect();
    conn.execute_each(
        "INSERT INTO drifts (client_id, target, noted_ts, signal, since_ts, percent_per_hour)
         SELECT $1::text, $2::text, $3::timestamptz, $4::text, $5::timestamptz, $6::float8
         WHERE NOT EXISTS (
             SELECT 1 FROM drifts WHERE client_id = $1 AND target = $2
               AND noted_ts > $7 AND noted_ts < $8)",
        &rows,
    )
    .map(drop)
}

/// Removes some of those that were noted before a moment.
pub(super) fn prune(conn: &Connection, before_ms: i64, rows: i64) -> Result<u64, Failure> {
    conn.execute(
        "DELETE FROM drifts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM drifts WHERE noted_ts < $1 ORDER BY noted_ts LIMIT $2))",
        &[&Time(before_ms), &rows],
    )
}

impl Reader {
    pub(crate) fn drifts(&self, query: &DriftQuery) -> Result<(Vec<DriftRow>, bool), StoreError> {
        let limit = limit_of(query.limit.saturating_add(1));
        let (from, to) = (Time(query.span.from_ms), Time(query.span.to_ms));
        let rows = self.conn.borrow().query(
            "SELECT client_id, target, signal, percent_per_hour, since_ts, noted_ts FROM drifts
             WHERE noted_ts >= $1 AND noted_ts < $2
               AND ($3::text IS NULL OR client_id = $3) AND ($4::text IS NULL OR target = $4)
             ORDER BY noted_ts DESC, client_id, target LIMIT $5",
            &[&from, &to, &query.client_id, &query.target, &limit],
        );
        let rows = rows.map_err(StoreError::postgres("read drifts"))?;
        let more = rows.len() > query.limit;
        Ok((rows.iter().take(query.limit).map(drift_row).collect(), more))
    }
}

fn drift_row(row: &Row) -> DriftRow {
    DriftRow {
        client_id: row.get(0),
        target: row.get(1),
        signal: row.get(2),
        percent_per_hour: row.get(3),
        since_ts: row.get::<_, Time>(4).0,
        noted_ts: row.get::<_, Time>(5).0,
    }
}
