//! Alerts in their table.

use rusqlite::{Row, Transaction};

use super::Reader;
use super::windows::limit_of;
use crate::store::alerts::{Columns, MOST_RECEIVERS, MOST_TOLD};
use crate::store::{
    AlertQuery, AlertRow, AlertState, Claim, Fate, ReceiverFares, Sent, StoreError, Told,
};

/// Rows that a step removes at most.
const ROWS: usize = 5_000;

/// The columns of `columns`, in its order.
macro_rules! columns {
    () => {
        "incident_id, receiver, seq, event, message, created_ts, due_ts, attempts, state,
         delivered_ts, failed_ts, last_error, body"
    };
}

/// Writes notices that are to be sent, save those that another has written.
pub(super) fn put(tx: &Transaction<'_>, rows: &[AlertRow]) -> rusqlite::Result<usize> {
    let mut insert = tx.prepare_cached(
        "INSERT OR IGNORE INTO alerts
             (incident_id, receiver, seq, event, message, created_ts, due_ts, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut written = 0;
    for row in rows {
        written += insert.execute((
            &row.incident_id,
            &row.receiver,
            row.seq,
            row.event.as_str(),
            &row.message,
            row.created_ts,
            row.due_ts,
            row.body.json(),
        ))?;
    }
    Ok(written)
}

/// Takes a message to send it; says whether it was there to be taken.
pub(super) fn claim(tx: &Transaction<'_>, claim: &Claim) -> rusqlite::Result<bool> {
    let taken = tx
        .prepare_cached(
            "UPDATE alerts SET attempts = attempts + 1, due_ts = ?3
             WHERE message = ?1 AND state = 'pending' AND attempts = ?2",
        )?
        .execute((&claim.message, claim.attempts, claim.again_ms))?;
    Ok(taken > 0)
}

/// Writes what became of a message. One that was delivered or given up stays so.
pub(super) fn settle(tx: &Transaction<'_>, sent: &Sent) -> rusqlite::Result<()> {
    let Sent { message, at_ms, fate } = sent;
    match fate {
        Fate::Delivered => tx
            .prepare_cached(
                "UPDATE alerts SET state = 'delivered', delivered_ts = ?2, tried_ts = ?2
                 WHERE message = ?1 AND state <> 'delivered'",
            )?
            .execute((message, at_ms)),
        Fate::Again { due_ms, why } => tx
            .prepare_cached(
                "UPDATE alerts SET due_ts = ?3, last_error = ?4, tried_ts = ?2,
                     failed_ts = coalesce(failed_ts, ?2)
                 WHERE message = ?1 AND state = 'pending'",
            )?
            .execute((message, at_ms, due_ms, why)),
        Fate::GivenUp { why } => tx
            .prepare_cached(
                "UPDATE alerts SET state = 'given_up', last_error = ?3, tried_ts = ?2,
                     failed_ts = coalesce(failed_ts, ?2)
                 WHERE message = ?1 AND state = 'pending'",
            )?
            .execute((message, at_ms, why)),
    }
    .map(drop)
}

/// Removes some of what was decided before a moment and is settled.
pub(super) fn prune(tx: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM alerts WHERE (incident_id, receiver, seq) IN (
             SELECT incident_id, receiver, seq FROM alerts
             WHERE created_ts < ?1 AND state <> 'pending' ORDER BY created_ts LIMIT ?2)",
    )?
    .execute((before_ms, limit_of(ROWS)))
}

impl Reader {
    pub(crate) fn alerts(&self, query: &AlertQuery) -> Result<(Vec<AlertRow>, bool), StoreError> {
        let read = || -> rusqlite::Result<Vec<Columns>> {
            let pending = concat!(
                "SELECT ",
                columns!(),
                " FROM alerts WHERE state = 'pending' AND (?1 IS NULL OR receiver = ?1)
                     AND ?2 = 'pending' AND created_ts >= ?3
                 ORDER BY created_ts, message, incident_id, receiver, seq LIMIT ?4"
            );
            let all = concat!(
                "SELECT ",
                columns!(),
                " FROM alerts WHERE (?1 IS NULL OR receiver = ?1)
                     AND (?2 IS NULL OR state = ?2) AND created_ts >= ?3
                 ORDER BY created_ts DESC, message, incident_id, receiver, seq LIMIT ?4"
            );
            let sql = if query.state == Some(AlertState::Pending) { pending } else { all };
            let limit = limit_of(query.limit.saturating_add(1));
            let state = query.state.map(AlertState::as_str);
            let of = (&query.receiver, state, query.from_ms, limit);
            self.conn.prepare_cached(sql)?.query_map(of, columns)?.collect()
        };
        let found = read().map_err(StoreError::sqlite("read alerts"))?;
        let more = found.len() > query.limit;
        let rows = found.into_iter().take(query.limit).map(Columns::row);
        Ok((rows.collect::<Result<_, _>>()?, more))
    }

    pub(crate) fn told(&self, incidents: &[&str], from_ms: i64) -> Result<Vec<Told>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(Columns, bool)>> {
            let mut select = self.conn.prepare_cached(concat!(
                "WITH last AS (
                     SELECT incident_id AS i, receiver AS r, max(seq) AS s,
                         max(state <> 'given_up') AS heard
                     FROM alerts WHERE incident_id IN (
                         SELECT value FROM json_each(?1)
                         UNION SELECT incident_id FROM alerts WHERE created_ts >= ?2)
                     GROUP BY incident_id, receiver ORDER BY 1, 2 LIMIT ?3)
                 SELECT ",
                columns!(),
                ", heard FROM last JOIN alerts
                     ON incident_id = i AND receiver = r AND seq = s ORDER BY 1, 2"
            ))?;
            let ids = serde_json::Value::from(incidents).to_string();
            let rows = select.query_map((ids, from_ms, limit_of(MOST_TOLD)), |row| {
                Ok((columns(row)?, row.get(13)?))
            })?;
            rows.collect()
        };
        let found = read().map_err(StoreError::sqlite("read what was told"))?;
        let told = |(columns, heard): (Columns, bool)| Ok(Told { last: columns.row()?, heard });
        found.into_iter().map(told).collect()
    }

    pub(crate) fn receivers(&self, from_ms: i64) -> Result<Vec<ReceiverFares>, StoreError> {
        let read = || -> rusqlite::Result<Vec<ReceiverFares>> {
            let mut select = self.conn.prepare_cached(
                "SELECT receiver,
                     count(*) FILTER (WHERE state = 'pending'),
                     min(created_ts) FILTER (WHERE state = 'pending'),
                     min(failed_ts) FILTER (WHERE state = 'pending'),
                     count(*) FILTER (WHERE state = 'given_up' AND tried_ts >= ?1),
                     max(delivered_ts),
                     (SELECT last_error FROM alerts AS one
                      WHERE one.receiver = alerts.receiver AND last_error IS NOT NULL
                          AND (state = 'pending' OR state = 'given_up' AND tried_ts >= ?1)
                      ORDER BY tried_ts DESC LIMIT 1)
                 FROM alerts GROUP BY receiver ORDER BY receiver LIMIT ?2",
            )?;
            select.query_map((from_ms, limit_of(MOST_RECEIVERS)), fares)?.collect()
        };
        read().map_err(StoreError::sqlite("read how receivers fare"))
    }
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        incident_id: row.get(0)?,
        receiver: row.get(1)?,
        seq: row.get(2)?,
        event: row.get(3)?,
        message: row.get(4)?,
        created_ts: row.get(5)?,
        due_ts: row.get(6)?,
        attempts: row.get(7)?,
        state: row.get(8)?,
        delivered_ts: row.get(9)?,
        failed_ts: row.get(10)?,
        last_error: row.get(11)?,
        body: row.get(12)?,
    })
}

fn fares(row: &Row<'_>) -> rusqlite::Result<ReceiverFares> {
    Ok(ReceiverFares {
        receiver: row.get(0)?,
        pending: row.get(1).map(i64::cast_unsigned)?,
        oldest_pending_ts: row.get(2)?,
        failing_since_ts: row.get(3)?,
        given_up: row.get(4).map(i64::cast_unsigned)?,
        last_delivered_ts: row.get(5)?,
        last_error: row.get(6)?,
    })
}
