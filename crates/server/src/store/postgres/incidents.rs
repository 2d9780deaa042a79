//! Incidents, how the detector stands, and a fleet's windows by time.

use model::diagnosis::CellWindow;
use model::units::{MINUTE_MS, Minute};
use tokio_postgres::Row;

use super::connection::{Connection, Value};
use super::reader::limit_of;
use super::time::Time;
use super::{Failure, Reader, drifts, reopened};
use crate::store::incidents::STATES;
use crate::store::windows::kept_window;
use crate::store::{
    Cell, Detected, FleetWindow, IncidentQuery, IncidentRow, Revisions, Span, StoreError,
    WindowLabel,
};

/// Writes what a step of the detector found.
pub(super) fn record(conn: &Connection, found: &Detected) -> Result<(), StoreError> {
    let doing = "write incidents";
    let kept = found.incidents.iter().map(Kept::of).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Vec<Value<'_>>> = kept.iter().map(Kept::values).collect();
    conn.transaction(doing, |conn| {
        label(conn, &found.labels)
            .and_then(|()| put(conn, &rows, found.state.as_ref()))
            .and_then(|()| drifts::note(conn, &found.drifts))
            .and_then(|()| reopened::settle(conn, &found.reopened))
            .map_err(StoreError::postgres(doing))
    })
}

fn put(
    conn: &Connection,
    rows: &[Vec<Value<'_>>],
    state: Option<&(i64, Vec<u8>)>,
) -> Result<(), Failure> {
    conn.execute_each(
        "INSERT INTO incidents (id, label, scope_type, scope_id, severity, onset_ts, opened_ts,
             told_ts, last_bad_ts, end_ts, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb)
         ON CONFLICT (id) DO UPDATE SET
             label = excluded.label, scope_type = excluded.scope_type,
             scope_id = excluded.scope_id, severity = excluded.severity,
             onset_ts = excluded.onset_ts, opened_ts = excluded.opened_ts,
             told_ts = excluded.told_ts, last_bad_ts = excluded.last_bad_ts,
             end_ts = excluded.end_ts, body = excluded.body",
        rows,
    )?;
    if let Some((minute_ms, state)) = state {
        conn.execute(
            "INSERT INTO detector_state (minute_ts, state) VALUES ($1, $2)
             ON CONFLICT (minute_ts) DO UPDATE SET state = excluded.state",
            &[&Time(*minute_ms), state],
        )?;
        conn.execute(
            "DELETE FROM detector_state WHERE minute_ts NOT IN (
                 SELECT minute_ts FROM detector_state ORDER BY minute_ts DESC LIMIT $1)",
            &[&STATES],
        )?;
    }
    Ok(())
}

/// A statement for each row and not for all: a join may be planned from the wrong end.
fn label(conn: &Connection, labels: &[WindowLabel]) -> Result<(), Failure> {
    let text = |of: &WindowLabel| of.label.map(|label| label.to_string());
    let mut labels: Vec<_> =
        labels.iter().map(|of| (&of.cell, Time(of.start_ms), text(of))).collect();
    // In key order, as those who count lock them; of one window the last stays the last.
    labels.sort_by_key(|(cell, start, _)| (*cell, start.0));
    let rows: Vec<Vec<Value<'_>>> = labels
        .iter()
        .map(|(cell, start, label)| vec![&cell.client_id as Value<'_>, &cell.target, start, label])
        .collect();
    conn.execute_each(
        "UPDATE agg_1m SET diagnosis_label = $4
         WHERE client_id = $1 AND target = $2 AND window_start_ts = $3",
        &rows,
    )
    .map(drop)
}

/// An incident as its row has it.
struct Kept<'a> {
    row: &'a IncidentRow,
    label: String,
    severity: &'static str,
    times: [Time; 4],
    end: Option<Time>,
    body: String,
}

impl<'a> Kept<'a> {
    fn of(row: &'a IncidentRow) -> Result<Self, StoreError> {
        Ok(Self {
            row,
            label: row.label.to_string(),
            severity: row.severity.as_str(),
            times: [row.onset_ts, row.opened_ts, row.told_ts, row.last_bad_ts].map(Time),
            end: row.end_ts.map(Time),
            body: serde_json::to_string(&row.body).map_err(|error| unreadable(&row.id, &error))?,
        })
    }

    fn values(&self) -> Vec<Value<'_>> {
        let Self { row, label, severity, times: [onset, opened, told, last], end, body } = self;
        let (kind, id) = (&row.scope_type, &row.scope_id);
        vec![&row.id, label, kind, id, severity, onset, opened, told, last, end, body]
    }
}

/// Removes some of those that ended before a moment.
pub(super) fn prune(conn: &Connection, before_ms: i64, rows: i64) -> Result<u64, Failure> {
    conn.execute(
        "DELETE FROM incidents WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM incidents WHERE last_bad_ts < $1 ORDER BY last_bad_ts LIMIT $2))",
        &[&Time(before_ms), &rows],
    )
}

impl Reader {
    pub(crate) fn incidents(
        &self,
        query: &IncidentQuery,
    ) -> Result<(Vec<IncidentRow>, bool), StoreError> {
        let limit = limit_of(query.limit.saturating_add(1));
        let from = Time(query.span.from_ms.saturating_sub(MINUTE_MS));
        let rows = self.conn.borrow().query(
            "SELECT id, label, scope_type, scope_id, severity, onset_ts, opened_ts, told_ts,
                 last_bad_ts, end_ts, body::text FROM incidents
             WHERE last_bad_ts > $1 AND onset_ts < $2
               AND ($3::boolean IS NULL OR (end_ts IS NULL) = $3)
               AND ($4::text IS NULL OR id = $4)
             ORDER BY last_bad_ts DESC, onset_ts DESC, id LIMIT $5",
            &[&from, &Time(query.span.to_ms), &query.open, &query.id, &limit],
        );
        let rows = rows.map_err(StoreError::postgres("read incidents"))?;
        let more = rows.len() > query.limit;
        let found = rows.iter().take(query.limit).map(incident_row).collect::<Result<_, _>>()?;
        Ok((found, more))
    }

    pub(crate) fn detector_state(
        &self,
        before_ms: i64,
    ) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT minute_ts, state FROM detector_state WHERE minute_ts < $1
             ORDER BY minute_ts DESC LIMIT 1",
            &[&Time(before_ms)],
        );
        let rows = rows.map_err(StoreError::postgres("read the detector's state"))?;
        Ok(rows.first().map(|row| (row.get::<_, Time>(0).0, row.get(1))))
    }

    pub(crate) fn each_fleet_window(
        &self,
        span: Span,
        each: &mut dyn FnMut(FleetWindow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let select =
            "SELECT client_id, target, window_start_ts, sketches, facts, diagnosis_label FROM agg_1m
             WHERE window_start_ts >= $1 AND window_start_ts < $2
             ORDER BY window_start_ts, client_id, target";
        let (from, to) = (Time(span.from_ms), Time(span.to_ms));
        self.each_row(select, &[&from, &to], "read windows to judge", &mut |row| {
            let cell = Cell { client_id: row.get(0), target: row.get(1) };
            let start = Minute::of_ms(row.get::<_, Time>(2).0);
            let window = kept_window(&cell.client_id, &cell.target, row.get(3), row.get(4))?;
            each(FleetWindow { cell, window: CellWindow { start, window }, label: row.get(5) })
        })
    }

    pub(crate) fn revisions(&self, span: Span) -> Result<Vec<(i64, Revisions)>, StoreError> {
        let rows = self.conn.borrow().query(
            "SELECT window_start_ts, count(*), sum(revision)::bigint,
                 max(updated_at) FROM agg_1m
             WHERE window_start_ts >= $1 AND window_start_ts < $2
             GROUP BY window_start_ts ORDER BY window_start_ts",
            &[&Time(span.from_ms), &Time(span.to_ms)],
        );
        let rows = rows.map_err(StoreError::postgres("look for windows that changed"))?;
        let of = |row: &Row| Revisions {
            windows: row.get(1),
            sum: row.get(2),
            changed_ms: row.get::<_, Time>(3).0,
        };
        Ok(rows.iter().map(|row| (row.get::<_, Time>(0).0, of(row))).collect())
    }

    pub(crate) fn first_window(&self, from_ms: i64) -> Result<Option<i64>, StoreError> {
        let row = self.conn.borrow().query_one(
            "SELECT min(window_start_ts) FROM agg_1m WHERE window_start_ts >= $1",
            &[&Time(from_ms)],
        );
        let row = row.map_err(StoreError::postgres("look for windows"))?;
        Ok(row.get::<_, Option<Time>>(0).map(|time| time.0))
    }
}

fn incident_row(row: &Row) -> Result<IncidentRow, StoreError> {
    let id: String = row.get(0);
    let time = |at: usize| row.get::<_, Time>(at).0;
    Ok(IncidentRow {
        label: row.get::<_, &str>(1).parse().map_err(|error| unreadable(&id, &error))?,
        scope_type: row.get(2),
        scope_id: row.get(3),
        severity: row.get::<_, &str>(4).parse().map_err(|error| unreadable(&id, &error))?,
        onset_ts: time(5),
        opened_ts: time(6),
        told_ts: time(7),
        last_bad_ts: time(8),
        end_ts: row.get::<_, Option<Time>>(9).map(|time| time.0),
        body: serde_json::from_str(row.get(10)).map_err(|error| unreadable(&id, &error))?,
        id,
    })
}

fn unreadable(id: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what: "an incident",
        client_id: id.to_owned(),
        target: String::new(),
        detail: error.to_string(),
    }
}
