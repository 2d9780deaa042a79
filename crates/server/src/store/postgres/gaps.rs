//! What probes lost, in its table.

use model::Event;
use tokio_postgres::Row;
use uuid::Uuid;

use super::connection::Connection;
use super::reader::limit_of;
use super::time::Time;
use super::{Failure, Reader};
use crate::store::windows::to_integer;
use crate::store::{GapQuery, GapRow, StoreError};

/// Rows that a step removes at most.
const ROWS: i64 = 5_000;

/// Notes what events that are counted now tell of. Each of them is nobody else's, since its id
/// was marked in this transaction.
pub(super) fn note(conn: &Connection, fresh: &[&Event]) -> Result<(), Failure> {
    let telling: Vec<_> = fresh.iter().filter_map(|event| Some((event, event.gap?))).collect();
    if telling.is_empty() {
        return Ok(());
    }
    let clients: Vec<&str> = telling.iter().map(|(event, _)| event.client.as_str()).collect();
    let ids: Vec<Uuid> = telling.iter().map(|(event, _)| event.id).collect();
    let at: Vec<Time> = telling.iter().map(|(event, _)| Time(event.ts_ms)).collect();
    let counts: Vec<i64> = telling.iter().map(|(_, gap)| to_integer(gap.count)).collect();
    let first: Vec<Option<Time>> =
        telling.iter().map(|(_, gap)| gap.first_ts_ms.map(Time)).collect();
    let last: Vec<Option<Time>> = telling.iter().map(|(_, gap)| gap.last_ts_ms.map(Time)).collect();
    conn.execute(
        "INSERT INTO probe_gaps (client_id, event_id, at_ts, count, first_ts, last_ts)
         SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::timestamptz[], $4::bigint[],
             $5::timestamptz[], $6::timestamptz[])
         ON CONFLICT DO NOTHING",
        &[&clients, &ids, &at, &counts, &first, &last],
    )
    .map(drop)
}

/// Removes some of what was told before a moment.
pub(super) fn prune(conn: &Connection, before_ms: i64) -> Result<u64, Failure> {
    conn.execute(
        "DELETE FROM probe_gaps WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM probe_gaps WHERE at_ts < $1 ORDER BY at_ts LIMIT $2))",
        &[&Time(before_ms), &ROWS],
    )
}

impl Reader {
    pub(crate) fn gaps(&self, query: &GapQuery) -> Result<(Vec<GapRow>, bool), StoreError> {
        let limit = limit_of(query.limit.saturating_add(1));
        let span = (Time(query.span.from_ms), Time(query.span.to_ms));
        let rows = self.conn.borrow().query(
            "SELECT client_id, at_ts, count, first_ts, last_ts FROM probe_gaps
             WHERE at_ts >= $1 AND at_ts < $2 AND ($3::text IS NULL OR client_id = $3)
             ORDER BY at_ts DESC, client_id, event_id LIMIT $4",
            &[&span.0, &span.1, &query.client_id, &limit],
        );
        let rows = rows.map_err(StoreError::postgres("read what probes lost"))?;
        let more = rows.len() > query.limit;
        Ok((rows.iter().take(query.limit).map(gap_row).collect(), more))
    }
}

fn gap_row(row: &Row) -> GapRow {
    let moment = |at: usize| row.get::<_, Option<Time>>(at).map(|time| time.0);
    GapRow {
        client_id: row.get(0),
        at_ts: row.get::<_, Time>(1).0,
        count: row.get::<_, i64>(2).cast_unsigned(),
        first_ts: moment(3),
        last_ts: moment(4),
    }
}
