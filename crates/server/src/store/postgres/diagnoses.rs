//! Writing what was found, and reading diagnoses.

use model::units::MINUTE_MS;
use tokio_postgres::Row;

use super::connection::{Connection, Value};
use super::time::Time;
use super::{Failure, rollups};
use crate::store::diagnoses::KeptEvidence;
use crate::store::{Cell, DiagnosisQuery, DiagnosisRow, Judged, Span, StoreError, Task};

/// The columns of `diagnosis_row`, in its order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT client_id, target, label, since_ts, last_ts, windows, open, evidence::text
             FROM diagnoses ",
            $rest
        )
    };
}

/// Writes what was found for some cells. A cell that changed while it was judged stays queued.
///
/// A statement for each row and not for all: a join may be planned from the wrong end.
pub(super) fn record(conn: &Connection, judged: &[Judged]) -> Result<(), StoreError> {
    let doing = "write diagnoses";
    // In key order, as those who count lock them.
    let mut judged: Vec<&Judged> = judged.iter().collect();
    judged.sort_by(|a, b| a.task.cell.cmp(&b.task.cell));
    let runs = runs(&judged)?;
    conn.transaction(doing, |conn| {
        replace_runs(conn, &judged, &runs)
            .and_then(|()| rollups::enqueue_hours(conn, &judged))
            .and_then(|()| settle(conn, &judged))
            .map_err(StoreError::postgres(doing))
    })
}

/// A run as its row has it.
struct Run<'a> {
    cell: &'a Cell,
    label: String,
    since: Time,
    last: Time,
    windows: i64,
    open: bool,
    evidence: String,
}

fn runs<'a>(judged: &[&'a Judged]) -> Result<Vec<Run<'a>>, StoreError> {
    let runs = judged.iter().flat_map(|of| of.runs.iter().map(|run| (&of.task.cell, run)));
    runs.map(|(cell, run)| {
        Ok(Run {
            cell,
            label: run.label.to_string(),
            since: Time(run.since_ts),
            last: Time(run.last_ts),
            windows: i64::from(run.windows),
            open: run.open,
            evidence: run.evidence().map_err(|error| unreadable(cell, &error))?,
        })
    })
    .collect()
}

fn replace_runs(conn: &Connection, judged: &[&Judged], runs: &[Run<'_>]) -> Result<(), Failure> {
    let spans: Vec<[Time; 2]> =
        judged.iter().map(|of| [Time(of.replaced.from_ms), Time(of.replaced.to_ms)]).collect();
    let of = || judged.iter().map(|of| &of.task.cell).zip(&spans);
    let rows: Vec<Vec<Value<'_>>> = of()
        .map(|(cell, [from, to])| vec![&cell.client_id as Value<'_>, &cell.target, from, to])
        .collect();
    conn.execute_each(
        "DELETE FROM diagnoses
         WHERE client_id = $1 AND target = $2 AND last_ts >= $3 AND since_ts < $4",
        &rows,
    )?;
    // Later windows were judged, so what ended before them is over.
    let rows: Vec<Vec<Value<'_>>> = of()
        .map(|(cell, [from, _])| vec![&cell.client_id as Value<'_>, &cell.target, from])
        .collect();
    conn.execute_each(
        "UPDATE diagnoses SET open = false
         WHERE client_id = $1 AND target = $2 AND last_ts < $3 AND open",
        &rows,
    )?;
    let rows: Vec<Vec<Value<'_>>> = runs
        .iter()
        .map(|Run { cell, label, since, last, windows, open, evidence }| {
            vec![
                &cell.client_id as Value<'_>,
                &cell.target,
                label,
                since,
                last,
                windows,
                open,
                evidence,
            ]
        })
        .collect();
    conn.execute_each(
        "INSERT INTO diagnoses (client_id, target, label, since_ts, last_ts, windows, open, evidence)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
         ON CONFLICT (client_id, target, since_ts, label) DO UPDATE SET
             last_ts = excluded.last_ts, windows = excluded.windows, open = excluded.open,
             evidence = excluded.evidence",
        &rows,
    )
    .map(drop)
}

fn settle(conn: &Connection, judged: &[&Judged]) -> Result<(), Failure> {
    let rest: Vec<Option<Time>> = judged.iter().map(|of| of.rest_ms.map(Time)).collect();
    for (done, sql) in [
        (
            true,
            "DELETE FROM diagnosis_queue
             WHERE client_id = $1 AND target = $2 AND generation = $3
               AND $4::timestamptz IS NULL",
        ),
        (
            false,
            "UPDATE diagnosis_queue SET oldest_ts = $4, newest_ts = greatest(newest_ts, $4)
             WHERE client_id = $1 AND target = $2 AND generation = $3",
        ),
    ] {
        let of = judged.iter().map(|of| &of.task).zip(&rest);
        let rows: Vec<Vec<Value<'_>>> = of
            .filter(|(_, rest)| rest.is_none() == done)
            .map(|(Task { cell, generation, .. }, rest)| {
                vec![&cell.client_id as Value<'_>, &cell.target, generation, rest]
            })
            .collect();
        conn.execute_each(sql, &rows)?;
    }
    Ok(())
}

/// A cell's diagnoses that reach into `span`, in order of their beginning.
pub(super) fn of_cell(
    conn: &Connection,
    cell: &Cell,
    span: Span,
) -> Result<Vec<DiagnosisRow>, StoreError> {
    let rows = conn.query(
        select!(
            "WHERE client_id = $1 AND target = $2 AND last_ts >= $3 AND since_ts < $4
             ORDER BY since_ts, last_ts"
        ),
        &[&cell.client_id, &cell.target, &Time(span.from_ms), &Time(span.to_ms)],
    );
    rows.map_err(StoreError::postgres("read diagnoses"))?.iter().map(diagnosis_row).collect()
}

/// Diagnoses, the newest first, and whether there were more than the limit.
pub(super) fn newest(
    conn: &Connection,
    query: &DiagnosisQuery,
) -> Result<(Vec<DiagnosisRow>, bool), StoreError> {
    let Span { from_ms, to_ms } = query.span;
    let limit = super::reader::limit_of(query.limit.saturating_add(1));
    let rows = conn.query(
        select!(
            "WHERE last_ts > $1 AND since_ts < $2
               AND ($3::boolean IS NULL OR open = $3)
               AND ($4::text IS NULL OR client_id = $4) AND ($5::text IS NULL OR target = $5)
             ORDER BY last_ts DESC, since_ts DESC, client_id, target LIMIT $6"
        ),
        // A window reaches into the span with its last moment.
        &[
            &Time(from_ms.saturating_sub(MINUTE_MS)),
            &Time(to_ms),
            &query.open,
            &query.client_id,
            &query.target,
            &limit,
        ],
    );
    let rows = rows.map_err(StoreError::postgres("read diagnoses"))?;
    let more = rows.len() > query.limit;
    let found = rows.iter().take(query.limit).map(diagnosis_row).collect::<Result<_, _>>()?;
    Ok((found, more))
}

fn diagnosis_row(row: &Row) -> Result<DiagnosisRow, StoreError> {
    let cell = Cell { client_id: row.get(0), target: row.get(1) };
    let label: &str = row.get(2);
    let label = label.parse().map_err(|error| unreadable(&cell, &error))?;
    let evidence = serde_json::from_str(row.get(7)).map_err(|error| unreadable(&cell, &error))?;
    let KeptEvidence { latest, peak } = evidence;
    let (Time(since_ts), Time(last_ts)) = (row.get(3), row.get(4));
    Ok(DiagnosisRow {
        label,
        since_ts,
        last_ts,
        windows: u32::try_from(row.get::<_, i64>(5)).unwrap_or(u32::MAX),
        open: row.get(6),
        latest,
        peak,
        client_id: cell.client_id,
        target: cell.target,
    })
}

fn unreadable(cell: &Cell, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what: "a diagnosis",
        client_id: cell.client_id.clone(),
        target: cell.target.clone(),
        detail: error.to_string(),
    }
}
