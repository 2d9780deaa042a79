//! What PostgreSQL holds.

use postgres::{IsolationLevel, Row};
use testbed::servers::postgres::Database;

use crate::judge::{GapRow, Seen, Store, WindowRow};

const SEEN: &str = "
    SELECT coalesce(c.client_id, '#' || s.client_id),
        (extract(epoch FROM s.window_start_ts) * 1000)::bigint, s.event_id
    FROM events_seen s LEFT JOIN clients c ON c.id = s.client_id";

const WINDOWS: &str = "
    SELECT client_id, target, (extract(epoch FROM window_start_ts) * 1000)::bigint,
        revision, sketches,
        count_total, count_success, count_error, errors_dns, errors_tcp, errors_tls, errors_http,
        errors_throughput, errors_throughput_timeout, errors_parse, count_troubled,
        dns_p50_ms, dns_p95_ms, dns_p99_ms, tcp_p50_ms, tcp_p95_ms, tcp_p99_ms,
        tls_p50_ms, tls_p95_ms, tls_p99_ms, ttfb_p50_ms, ttfb_p95_ms, ttfb_p99_ms,
        total_p50_ms, total_p95_ms, total_p99_ms,
        throughput_p50_kbps, throughput_p95_kbps, throughput_p99_kbps
    FROM agg_1m";

const GAPS: &str = "
    SELECT client_id, event_id, (extract(epoch FROM at_ts) * 1000)::bigint, count,
        (extract(epoch FROM first_ts) * 1000)::bigint, (extract(epoch FROM last_ts) * 1000)::bigint
    FROM probe_gaps";

const DUE: &str = "
    SELECT client_id, target, (extract(epoch FROM window_start_ts) * 1000)::bigint, span
    FROM rollup_queue";

/// Reads ids and windows as of one moment. Blocks.
///
/// # Errors
/// Where the server does not tell.
pub fn store(database: &Database) -> anyhow::Result<Store> {
    let mut client = database.connect()?;
    let moment = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let mut moment = moment.read_only(true).start()?;
    let seen = moment.query(SEEN, &[])?;
    let seen =
        seen.iter().map(|row| Seen { client_id: row.get(0), start_ms: row.get(1), id: row.get(2) });
    let seen = seen.collect();
    let mut of = |table: &str| -> anyhow::Result<Vec<WindowRow>> {
        let rows = moment.query(&WINDOWS.replace("agg_1m", table), &[])?;
        Ok(rows.iter().map(window).collect())
    };
    let [windows, hours, days] = ["agg_1m", "agg_1h", "agg_1d"].map(&mut of);
    let due = moment.query(DUE, &[])?;
    let due = due.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3)));
    let gaps = moment.query(GAPS, &[])?;
    let gaps = gaps.iter().map(gap).collect();
    Ok(Store { seen, windows: windows?, hours: hours?, days: days?, due: due.collect(), gaps })
}

fn window(row: &Row) -> WindowRow {
    let mut counts = [0; 11];
    counts.iter_mut().zip(5..).for_each(|(to, at)| *to = row.get(at));
    let mut percentiles = [None; 18];
    percentiles.iter_mut().zip(16..).for_each(|(to, at)| *to = row.get(at));
    WindowRow {
        key: (row.get(0), row.get(1), row.get(2)),
        revision: row.get(3),
        counts,
        percentiles,
        sketches: row.get(4),
    }
}

fn gap(row: &Row) -> GapRow {
    GapRow {
        client_id: row.get(0),
        id: row.get(1),
        at_ms: row.get(2),
        count: row.get(3),
        times_ms: (row.get(4), row.get(5)),
    }
}

const UNMERGED: &str = "SELECT count(*) FROM rollup_queue WHERE due_ts <= now()";

/// How many spans are due to be merged.
///
/// # Errors
/// Where the server does not tell.
pub fn unmerged(database: &Database) -> anyhow::Result<i64> {
    let row = database.connect()?.query_one(UNMERGED, &[])?;
    Ok(row.get(0))
}

/// Whether the window of an event counts it: its id is marked, and its window is there.
///
/// # Errors
/// Where the server does not tell.
pub fn has(database: &Database, id: uuid::Uuid) -> anyhow::Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM events_seen s JOIN clients c ON c.id = s.client_id
         JOIN agg_1m w ON w.client_id = c.client_id AND w.window_start_ts = s.window_start_ts
         WHERE s.event_id = $1)";
    Ok(database.connect()?.query_one(sql, &[&id])?.get(0))
}
