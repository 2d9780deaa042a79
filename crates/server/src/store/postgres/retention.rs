//! What is no longer needed goes: partitions as a whole, and rows of other tables in steps.

use tokio_postgres::error::SqlState;

use super::connection::Connection;
use super::partitions::{AGG_1M, EVENTS_SEEN, Table};
use super::time::Time;
use super::{Failure, StoreError, alerts, drifts, gaps, incidents};
use crate::store::{Pruned, Retention, Rollup};

/// Rows of one table that a step removes at most.
const ROWS: i64 = 5_000;

const HOURS: &str = "DELETE FROM agg_1h WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM agg_1h WHERE window_start_ts < $1 ORDER BY window_start_ts LIMIT $2))";
const DAYS: &str = "DELETE FROM agg_1d WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM agg_1d WHERE window_start_ts < $1 ORDER BY window_start_ts LIMIT $2))";

/// Removes what is older than `keep`, counted back from the newest counted event or from
/// `now_ms`, whichever is earlier: a clock that leaps ahead removes nothing.
///
/// A partition goes when all of its day is older. The counts are estimates: nobody reads a day's
/// rows to count them.
pub(super) fn prune(
    conn: &Connection,
    keep: &Retention,
    now_ms: i64,
) -> Result<Pruned, StoreError> {
    let step = || -> Result<Pruned, Failure> {
        let newest = conn.query_one("SELECT max(window_start_ts) FROM events_seen", &[])?;
        let Some(Time(newest)) = newest.get(0) else { return Ok(Pruned::default()) };
        let present = newest.min(now_ms);
        let windows_from_ms = keep.windows_from_ms(present);
        let seen = drop_before(conn, &EVENTS_SEEN, keep.seen_from_ms(present))?;
        let windows = drop_before(conn, &AGG_1M, windows_from_ms)?;
        let incidents = incidents::prune(conn, windows_from_ms, ROWS)?;
        let gaps = gaps::prune(conn, windows_from_ms)?;
        let alerts = alerts::prune(conn, windows_from_ms)?;
        let drifts = drifts::prune(conn, windows_from_ms, ROWS)?;
        let mut rows = vec![incidents, gaps, alerts, drifts];
        for (rollup, delete) in [(Rollup::Hour, HOURS), (Rollup::Day, DAYS)] {
            let from_ms = keep.rollups_from_ms(rollup, present);
            rows.push(conn.execute(delete, &[&Time(from_ms), &ROWS])?);
        }
        let more = rows.iter().any(|&rows| i64::try_from(rows) == Ok(ROWS));
        let rows = usize::try_from(rows.into_iter().sum::<u64>()).unwrap_or(usize::MAX);
        Ok(Pruned { seen, windows: windows.saturating_add(rows), more })
    };
    step().map_err(StoreError::postgres("remove what is old"))
}

/// Drops a table's old partitions, and says about how many rows they had.
fn drop_before(conn: &Connection, table: &Table, from_ms: i64) -> Result<usize, Failure> {
    let mut rows = 0;
    for partition in table.older_than(conn, from_ms)? {
        let about = conn.query_one(
            "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass($1)",
            &[&partition],
        )?;
        // Who waits for this lock makes all who read and write wait behind it, so it gives up
        // soon; the next sweep tries again.
        let dropped = conn.batch(&format!(
            "BEGIN; SET LOCAL lock_timeout = '300ms'; DROP TABLE IF EXISTS {partition}; COMMIT"
        ));
        match dropped {
            Ok(()) => rows += usize::try_from(about.get::<_, i64>(0)).unwrap_or(0),
            Err(failure) if failure.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::debug!(partition, "an old partition is in use; it goes later");
                conn.batch("ROLLBACK")?;
                return Ok(rows);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(rows)
}
