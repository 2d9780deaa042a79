//! Minutes to be judged again, in their table.

use std::collections::BTreeSet;

use super::connection::{Connection, Value};
use super::time::Time;
use super::{Failure, Reader};
use crate::store::StoreError;
use crate::store::reopened::Reopened;

/// Notes minutes by their starts, in order, as all who lock them do.
pub(super) fn note(conn: &Connection, minutes: &BTreeSet<i64>, now_ms: i64) -> Result<(), Failure> {
    let minutes: Vec<Time> = minutes.iter().copied().map(Time).collect();
    if minutes.is_empty() {
        return Ok(());
    }
    conn.execute(
        "INSERT INTO reopened (window_start_ts, generation, changed_at)
         SELECT at, 1, $2 FROM UNNEST($1::timestamptz[]) AS of (at) ORDER BY at
         ON CONFLICT (window_start_ts) DO UPDATE SET
             generation = reopened.generation + 1, changed_at = excluded.changed_at",
        &[&minutes, &Time(now_ms)],
    )
    .map(drop)
}

/// Takes away those that have not changed since they were read.
pub(super) fn settle(conn: &Connection, judged: &[Reopened]) -> Result<(), Failure> {
    let keys: Vec<(Time, i64)> =
        judged.iter().map(|of| (Time(of.start_ms), of.generation)).collect();
    let rows: Vec<Vec<Value<'_>>> =
        keys.iter().map(|(start, generation)| vec![start as Value<'_>, generation]).collect();
    conn.execute_each("DELETE FROM reopened WHERE window_start_ts = $1 AND generation = $2", &rows)
        .map(drop)
}

impl Reader {
    pub(crate) fn reopened(&self) -> Result<Vec<Reopened>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT window_start_ts, generation, changed_at FROM reopened ORDER BY window_start_ts",
            &[],
        );
        let rows = rows.map_err(StoreError::postgres("read minutes to judge again"))?;
        let of = |row: &tokio_postgres::Row| Reopened {
            start_ms: row.get::<_, Time>(0).0,
            generation: row.get(1),
            changed_ms: row.get::<_, Time>(2).0,
        };
        Ok(rows.iter().map(of).collect())
    }
}
