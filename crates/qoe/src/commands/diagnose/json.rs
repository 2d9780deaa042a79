//! What was found, as JSON that is written as it is found. All times are milliseconds since the Unix
//! epoch.

use std::io::{self, Write};

use model::detect::{
    CellId, Incident, IncidentState, Judged, Payload, Replay, Scope, Severity, Signal, SlowBy,
    Tally, id_text, sentence,
};
use model::diagnosis::Label;
use model::units::MINUTE_MS;
use serde::Serialize;

use super::classic::Said;

#[derive(Serialize)]
struct Window<'a> {
    client_id: &'a str,
    target: &'a str,
    /// The window's start.
    start: i64,
    label: Option<Label>,
    incident: Option<String>,
    total: u32,
    failed: u32,
    troubled: u32,
    /// When this verdict was first given.
    given_at: i64,
    /// How often another was given before.
    revisions: u32,
}

#[derive(Serialize)]
struct Told<'a> {
    id: String,
    label: Label,
    scope: Whom<'a>,
    cells: Vec<Cell<'a>>,
    onset: i64,
    opened_at: i64,
    given_at: i64,
    last_bad: i64,
    end: Option<i64>,
    state: IncidentState,
    severity: Severity,
    flaps: u32,
    accepted_at: Option<i64>,
    merged_into: Option<String>,
    /// Why a transfer is slow.
    cause: Option<SlowBy>,
    secondary: &'a [Label],
    excess_ms: Excess,
    text: String,
    /// The numbers it rests on.
    evidence: Payload,
}

#[derive(Serialize)]
struct Whom<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ambiguous_with: Option<Vec<Whom<'a>>>,
}

/// That a stage of a cell grows slowly.
#[derive(Serialize)]
struct Note<'a> {
    kind: &'static str,
    client_id: &'a str,
    target: &'a str,
    stage: Signal,
    percent_per_hour: f64,
    since: i64,
    noted_at: i64,
}

#[derive(Serialize)]
struct Cell<'a> {
    client_id: &'a str,
    target: &'a str,
}

/// What is added to the usual, by stage.
#[derive(Serialize)]
struct Excess {
    dns: f64,
    tcp: f64,
    tls: f64,
    ttfb: f64,
}

#[derive(Serialize)]
struct Summary {
    events: u64,
    refused: u64,
    duplicates: u64,
    late: u64,
    too_late: u64,
}

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\"schema\":\"qoe.diagnose/1\",\n\"windows\":[")
}

pub(super) fn window(
    out: &mut impl Write,
    first: bool,
    replay: &Replay,
    judged: &Judged,
) -> io::Result<()> {
    let (client_id, target) = replay.key(judged.cell);
    out.write_all(if first { b"\n" } else { b",\n" })?;
    let window = Window {
        client_id,
        target,
        start: judged.minute * MINUTE_MS,
        label: judged.label,
        incident: judged.incident.map(id_text),
        total: judged.total,
        failed: judged.failed,
        troubled: judged.troubled,
        given_at: judged.given_ms,
        revisions: judged.revisions,
    };
    Ok(serde_json::to_writer(out, &window)?)
}

/// A window by the classic rules, which look at it when it has ended.
pub(super) fn classic(out: &mut impl Write, first: bool, said: &Said) -> io::Result<()> {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let counts = said.window.counts();
    out.write_all(if first { b"\n" } else { b",\n" })?;
    let window = Window {
        client_id: &said.client,
        target: &said.target,
        start: said.start.start_ms(),
        label: said.label,
        incident: None,
        total: small(counts.total),
        failed: small(counts.error()),
        troubled: small(counts.troubled),
        given_at: said.start.end_ms(),
        revisions: 0,
    };
    Ok(serde_json::to_writer(out, &window)?)
}

/// What the classic rules end with: they know no incidents.
pub(super) fn end_classic(out: &mut impl Write, tally: Tally, refused: u64) -> io::Result<()> {
    out.write_all(b"],\n\"incidents\":[],\n\"drifts\":[],\n\"summary\":")?;
    summary(out, tally, refused)
}

pub(super) fn end(out: &mut impl Write, replay: &Replay, refused: u64) -> io::Result<()> {
    out.write_all(b"],\n\"incidents\":[")?;
    for (nth, (incident, given_at)) in replay.incidents().enumerate() {
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &told(replay, incident, given_at))?;
    }
    out.write_all(b"],\n\"drifts\":[")?;
    for (nth, drift) in replay.drifts().iter().enumerate() {
        let (client_id, target) = replay.key(drift.cell);
        let note = Note {
            kind: "drift",
            client_id,
            target,
            stage: drift.signal,
            percent_per_hour: (drift.percent_per_hour * 1e2).round() / 1e2,
            since: drift.since * MINUTE_MS,
            noted_at: drift.noted_at * MINUTE_MS,
        };
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &note)?;
    }
    out.write_all(b"],\n\"summary\":")?;
    summary(out, replay.tally, refused)
}

fn summary(out: &mut impl Write, tally: Tally, refused: u64) -> io::Result<()> {
    let summary = Summary {
        events: tally.events,
        refused,
        duplicates: tally.duplicates,
        late: tally.late,
        too_late: tally.too_late,
    };
    serde_json::to_writer(&mut *out, &summary)?;
    out.write_all(b"}\n")
}

fn told<'a>(replay: &'a Replay, incident: &'a Incident, given_at: i64) -> Told<'a> {
    let others: Vec<_> = incident.ambiguous_with.iter().map(whom).collect();
    let mut cells: Vec<_> = incident
        .cells
        .iter()
        .map(|&cell| {
            let (client_id, target) = replay.key(CellId(cell));
            Cell { client_id, target }
        })
        .collect();
    cells.sort_by_key(|cell| (cell.client_id, cell.target));
    let [dns, tcp, tls, ttfb] = incident.excess.map(|us| us.round() / 1e3);
    let numbers = replay.numbers(incident);
    Told {
        id: id_text(incident.id),
        label: incident.label,
        scope: Whom {
            confidence: Some((incident.confidence * 1e3).round() / 1e3),
            ambiguous_with: Some(others),
            ..whom(&incident.scope)
        },
        cells,
        onset: incident.onset * MINUTE_MS,
        opened_at: incident.opened_at * MINUTE_MS,
        given_at,
        last_bad: incident.last_bad * MINUTE_MS,
        end: incident.end.map(|minute| minute * MINUTE_MS),
        state: incident.state(replay.last_minute()),
        severity: incident.severity(),
        flaps: incident.flaps,
        accepted_at: incident.accepted_at.map(|minute| minute * MINUTE_MS),
        merged_into: incident.merged_into.map(id_text),
        cause: incident.slow_by,
        secondary: &incident.secondary,
        excess_ms: Excess { dns, tcp, tls, ttfb },
        text: sentence(incident, &numbers),
        evidence: numbers,
    }
}

fn whom(scope: &Scope) -> Whom<'_> {
    Whom { r#type: scope.kind.as_str(), id: &scope.id, confidence: None, ambiguous_with: None }
}
