//! Writing what was found. For all cells together, one statement each.

use model::units::MINUTE_MS;
use tokio_postgres::Row;

use super::connection::Connection;
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
pub(super) fn record(conn: &Connection, judged: &[Judged]) -> Result<(), StoreError> {
    let doing = "write diagnoses";
    // In key order, as those who count lock them.
    let mut judged: Vec<&Judged> = judged.iter().collect();
    judged.sort_by(|a, b| a.task.cell.cmp(&b.task.cell));
    let runs = evidence(&judged)?;
    conn.transaction(doing, |conn| {
        label_windows(conn, &judged)
            .and_then(|()| replace_runs(conn, &judged, &runs))
            .and_then(|()| rollups::enqueue_hours(conn, &judged))
            .and_then(|()| settle(conn, &judged))
            .map_err(StoreError::postgres(doing))
    })
}

/// Each run with its evidence as JSON.
fn evidence<'a>(
    judged: &[&'a Judged],
) -> Result<Vec<(&'a Cell, &'a DiagnosisRow, String)>, StoreError> {
    let runs = judged.iter().flat_map(|of| of.runs.iter().map(|run| (&of.task.cell, run)));
    runs.map(|(cell, run)| match run.evidence() {
        Ok(json) => Ok((cell, run, json)),
        Err(error) => Err(unreadable(cell, &error)),
    })
    .collect()
}

fn label_windows(conn: &Connection, judged: &[&Judged]) -> Result<(), Failure> {
    let mut clients = Vec::new();
    let mut targets = Vec::new();
    let mut starts = Vec::new();
    let mut labels = Vec::new();
    for Judged { task: Task { cell, .. }, labels: of, .. } in judged {
        for (start, label) in of {
            clients.push(cell.client_id.as_str());
            targets.push(cell.target.as_str());
            starts.push(Time(start.start_ms()));
            labels.push(label.map(|label| label.to_string()));
        }
    }
    let (Some(oldest), Some(newest)) =
        (starts.iter().map(|start| start.0).min(), starts.iter().map(|start| start.0).max())
    else {
        return Ok(());
    };
    let days: [Time; 2] = [Time(oldest), Time(newest)];
    // An UPDATE takes its rows in any order.
    conn.query(
        "SELECT FROM UNNEST($1::text[], $2::text[], $3::timestamptz[])
             WITH ORDINALITY AS k (client_id, target, window_start_ts, at)
         JOIN agg_1m USING (client_id, target, window_start_ts)
         WHERE agg_1m.window_start_ts >= $4 AND agg_1m.window_start_ts <= $5
         ORDER BY at FOR UPDATE OF agg_1m",
        &[&clients, &targets, &starts, &days[0], &days[1]],
    )?;
    conn.execute(
        "UPDATE agg_1m SET diagnosis_label = k.label
         FROM UNNEST($1::text[], $2::text[], $3::timestamptz[], $4::text[])
             AS k (client_id, target, window_start_ts, label)
         WHERE agg_1m.client_id = k.client_id AND agg_1m.target = k.target
           AND agg_1m.window_start_ts = k.window_start_ts
           AND agg_1m.window_start_ts >= $5 AND agg_1m.window_start_ts <= $6",
        &[&clients, &targets, &starts, &labels, &days[0], &days[1]],
    )
    .map(drop)
}

fn replace_runs(
    conn: &Connection,
    judged: &[&Judged],
    runs: &[(&Cell, &DiagnosisRow, String)],
) -> Result<(), Failure> {
    let cells = || judged.iter().map(|of| &of.task.cell);
    let clients: Vec<&str> = cells().map(|cell| cell.client_id.as_str()).collect();
    let targets: Vec<&str> = cells().map(|cell| cell.target.as_str()).collect();
    let from: Vec<Time> = judged.iter().map(|of| Time(of.replaced.from_ms)).collect();
    let to: Vec<Time> = judged.iter().map(|of| Time(of.replaced.to_ms)).collect();
    conn.execute(
        "DELETE FROM diagnoses
         USING UNNEST($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
             AS k (client_id, target, from_ts, to_ts)
         WHERE diagnoses.client_id = k.client_id AND diagnoses.target = k.target
           AND last_ts >= from_ts AND since_ts < to_ts",
        &[&clients, &targets, &from, &to],
    )?;
    // Later windows were judged, so what ended before them is over.
    conn.execute(
        "UPDATE diagnoses SET open = false
         FROM UNNEST($1::text[], $2::text[], $3::timestamptz[]) AS k (client_id, target, from_ts)
         WHERE diagnoses.client_id = k.client_id AND diagnoses.target = k.target
           AND last_ts < from_ts AND open",
        &[&clients, &targets, &from],
    )?;
    if runs.is_empty() {
        return Ok(());
    }
    let of = || runs.iter().map(|(_, run, _)| run);
    let clients: Vec<&str> = runs.iter().map(|(cell, ..)| cell.client_id.as_str()).collect();
    let targets: Vec<&str> = runs.iter().map(|(cell, ..)| cell.target.as_str()).collect();
    let evidence: Vec<&str> = runs.iter().map(|(_, _, json)| json.as_str()).collect();
    let labels: Vec<String> = of().map(|run| run.label.to_string()).collect();
    let since: Vec<Time> = of().map(|run| Time(run.since_ts)).collect();
    let last: Vec<Time> = of().map(|run| Time(run.last_ts)).collect();
    let windows: Vec<i64> = of().map(|run| i64::from(run.windows)).collect();
    let open: Vec<bool> = of().map(|run| run.open).collect();
    conn.execute(
        "INSERT INTO diagnoses (client_id, target, label, since_ts, last_ts, windows, open, evidence)
         SELECT client_id, target, label, since_ts, last_ts, windows, open, evidence::jsonb
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
                     $6::bigint[], $7::boolean[], $8::text[])
             AS k (client_id, target, label, since_ts, last_ts, windows, open, evidence)
         ON CONFLICT (client_id, target, since_ts, label) DO UPDATE SET
             last_ts = excluded.last_ts, windows = excluded.windows, open = excluded.open,
             evidence = excluded.evidence",
        &[&clients, &targets, &labels, &since, &last, &windows, &open, &evidence],
    )
    .map(drop)
}

fn settle(conn: &Connection, judged: &[&Judged]) -> Result<(), Failure> {
    let cells = || judged.iter().map(|of| &of.task.cell);
    let clients: Vec<&str> = cells().map(|cell| cell.client_id.as_str()).collect();
    let targets: Vec<&str> = cells().map(|cell| cell.target.as_str()).collect();
    let generations: Vec<i64> = judged.iter().map(|of| of.task.generation).collect();
    let rest: Vec<Option<Time>> = judged.iter().map(|of| of.rest_ms.map(Time)).collect();
    conn.query(
        "SELECT FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS k (client_id, target, at)
         JOIN diagnosis_queue USING (client_id, target)
         ORDER BY at FOR UPDATE OF diagnosis_queue",
        &[&clients, &targets],
    )?;
    conn.execute(
        "DELETE FROM diagnosis_queue AS q
         USING UNNEST($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])
             AS k (client_id, target, generation, rest)
         WHERE q.client_id = k.client_id AND q.target = k.target AND q.generation = k.generation
           AND k.rest IS NULL",
        &[&clients, &targets, &generations, &rest],
    )?;
    conn.execute(
        "UPDATE diagnosis_queue AS q
         SET oldest_ts = k.rest, newest_ts = greatest(newest_ts, k.rest)
         FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])
             AS k (client_id, target, generation, rest)
         WHERE q.client_id = k.client_id AND q.target = k.target AND q.generation = k.generation
           AND k.rest IS NOT NULL",
        &[&clients, &targets, &generations, &rest],
    )
    .map(drop)
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
