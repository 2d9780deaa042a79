//! What was found, as a table, and what it means, in sentences.

use server::bus::inspect::{Report, StreamReport, Sync};
use server::roles::{self, Horizon};
use server::store::{inspect, schema};

use super::{Findings, Unreachable};
use crate::render::table::{Align, table};
use crate::render::units::{ABSENT, size};
use crate::render::{Ink, Style};

/// A line of the table.
struct Row {
    part: String,
    setting: &'static str,
    value: String,
    judged: Judged,
}

/// What a value means for what was promised.
#[derive(Clone, Copy)]
enum Judged {
    /// A fact.
    Told,
    /// As it should be.
    Good,
    /// Something can be lost.
    Weak,
}

/// All of it.
pub(super) fn text(findings: &Findings, style: Style) -> String {
    let mut rows = Vec::new();
    match &findings.bus {
        Some(Ok(bus)) => rows.extend(of_bus(bus)),
        Some(Err(unreachable)) => rows.extend(of_unreachable("NATS", unreachable)),
        None => {}
    }
    match &findings.store {
        Some(Ok(inspect::Report::Shared(shared))) => rows.extend(of_shared(shared)),
        Some(Ok(inspect::Report::Embedded(embedded))) => rows.extend(of_embedded(embedded)),
        Some(Err(unreachable)) => rows.extend(of_unreachable("store", unreachable)),
        None => {}
    }
    if let Some(horizon) = &findings.horizon {
        rows.push(of_horizon(horizon));
    }
    let mut text = drawn(&rows);
    text.push('\n');
    text += &sentences("Could not be looked at", Ink::Bad, &findings.unreachable(), style);
    text += &sentences("Can be lost", Ink::Bad, &findings.risks(), style);
    text += &sentences("Alerts that do not arrive", Ink::Bad, &findings.untold(), style);
    if findings.is_well() {
        text += &format!("{}\n", style.paint(Ink::Good, well(findings)));
    }
    text += &sentences("Good to know", Ink::Notice, &findings.notes(), style);
    text
}

/// What holds where nothing weak was found: no more than was looked at.
fn well(findings: &Findings) -> &'static str {
    match (&findings.bus, &findings.store) {
        (None, Some(Ok(inspect::Report::Shared(_)))) => {
            "The database loses nothing by a crash or a power cut; the bus was not looked at (--bus)."
        }
        (Some(_), None) => {
            "The bus loses nothing by a crash or a power cut; the database was not looked at \
             (--database-file)."
        }
        _ => "Nothing that was answered 202 can be lost by a crash or a power cut.",
    }
}

fn drawn(rows: &[Row]) -> String {
    let heading = ["part", "setting", "", "value"].map(|title| (title, Align::Left));
    let mut before = "";
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let part = if row.part == before { "" } else { &row.part };
            before = &row.part;
            let judged = match row.judged {
                Judged::Told => "",
                Judged::Good => "ok",
                Judged::Weak => "weak",
            };
            [part, row.setting, judged, &row.value].map(str::to_owned).to_vec()
        })
        .collect();
    table(&heading, &rows)
}

fn sentences(title: &str, ink: Ink, sentences: &[String], style: Style) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let lines: String = sentences.iter().map(|sentence| format!("  {sentence}\n")).collect();
    format!("{}\n{lines}", style.paint(ink, format!("{title}:")))
}

fn of_bus(bus: &Report) -> Vec<Row> {
    let row =
        |setting, value: String, judged| Row { part: "NATS".to_owned(), setting, value, judged };
    let mut rows = vec![
        row("server", bus.at.clone(), Judged::Told),
        row("version", bus.version.clone(), judged(bus.is_new_enough())),
        row("sync_interval", sync(bus.sync), judged(bus.sync == Sync::Always)),
        row("max_payload", size(bus.max_payload as u64), Judged::Told),
    ];
    rows.extend(bus.cluster.clone().map(|cluster| row("cluster", cluster, Judged::Told)));
    rows.extend(bus.streams.iter().flat_map(of_stream));
    let lag = match bus.backlog {
        None => ABSENT.to_owned(),
        Some(backlog) => format!("{} messages, {} at work", backlog.lag, backlog.at_work),
    };
    rows.push(Row {
        part: "aggregators".to_owned(),
        setting: "lag",
        value: lag,
        judged: Judged::Told,
    });
    rows
}

fn of_stream(stream: &StreamReport) -> Vec<Row> {
    let row = |setting, value, judged| Row { part: stream.name.clone(), setting, value, judged };
    let Some(found) = &stream.found else {
        return vec![row("stream", "missing".to_owned(), Judged::Weak)];
    };
    let state = &found.state;
    let most = state.max_bytes.map_or_else(|| "without end".to_owned(), size);
    let full = match state.max_bytes {
        Some(most) if most > 0 => format!(", {} % full", state.bytes.saturating_mul(100) / most),
        _ => String::new(),
    };
    let messages = match state.messages {
        0 => "0".to_owned(),
        messages => format!(
            "{messages}, {}, number {} to {}",
            size(state.bytes),
            state.first_sequence,
            state.last_sequence
        ),
    };
    vec![
        row("discard", found.discard.to_owned(), judged(found.discard == "new")),
        row("retention", found.retention.to_owned(), judged(found.retention == "limits")),
        row("storage", found.storage.to_owned(), judged(found.storage == "file")),
        row("replicas", found.replicas.to_string(), Judged::Told),
        row(
            "max_age",
            found.max_age.map_or_else(|| "without end".to_owned(), roles::days),
            Judged::Told,
        ),
        row(
            "max_bytes",
            format!("{most}{full}"),
            judged(state.max_bytes.is_some() && state.has_room()),
        ),
        row("messages", messages, Judged::Told),
    ]
}

fn of_shared(shared: &inspect::Shared) -> Vec<Row> {
    let row =
        |setting, value, judged| Row { part: "PostgreSQL".to_owned(), setting, value, judged };
    let commit = match shared.synchronous_commit.as_str() {
        "off" if !shared.accepts_data_loss => "off, on for qoe".to_owned(),
        commit => commit.to_owned(),
    };
    let commits = shared.synchronous_commit != "off" || !shared.accepts_data_loss;
    let (used, most) = shared.connections;
    vec![
        row("database", shared.at.clone(), Judged::Told),
        row("version", shared.version.clone(), Judged::Told),
        row("fsync", shared.fsync.clone(), judged(shared.fsync == "on")),
        row("synchronous_commit", commit, judged(commits)),
        row(
            "full_page_writes",
            shared.full_page_writes.clone(),
            judged(shared.full_page_writes == "on"),
        ),
        row("connections", format!("{used} of {most}"), Judged::Told),
        row(
            "takes writes",
            if shared.read_only { "no" } else { "yes" }.to_owned(),
            judged(!shared.read_only),
        ),
        row("schema", of_schema(shared.schema), judged(shared.fits())),
    ]
}

fn of_embedded(embedded: &inspect::Embedded) -> Vec<Row> {
    let row = |setting, value, judged| Row { part: "SQLite".to_owned(), setting, value, judged };
    let good = judged(embedded.synchronous == "full");
    vec![
        row("database", embedded.path.display().to_string(), Judged::Told),
        row("version", embedded.version.to_owned(), Judged::Told),
        row("journal_mode", embedded.journal_mode.clone(), Judged::Told),
        row("synchronous", embedded.synchronous.to_owned(), good),
        row(
            "size",
            format!("{}, log {}", size(embedded.bytes), size(embedded.wal_bytes)),
            Judged::Told,
        ),
        row("schema", of_schema(embedded.schema), judged(embedded.schema <= schema::LATEST)),
    ]
}

fn of_unreachable(part: &str, unreachable: &Unreachable) -> Vec<Row> {
    let row = |setting, value: &str, judged| Row {
        part: part.to_owned(),
        setting,
        value: value.to_owned(),
        judged,
    };
    vec![row("at", &unreachable.at, Judged::Told), row("state", "not reached", Judged::Weak)]
}

fn of_horizon(horizon: &Horizon) -> Row {
    Row {
        part: "horizon".to_owned(),
        setting: "age of an event",
        value: horizon.to_string(),
        judged: judged(horizon.check().is_ok()),
    }
}

fn of_schema(found: usize) -> String {
    match found {
        _ if found == schema::LATEST => format!("version {found}"),
        _ => format!("version {found}, this program's is {}", schema::LATEST),
    }
}

fn sync(sync: Sync) -> String {
    match sync {
        Sync::Always => "always".to_owned(),
        Sync::Every(every) => format!("{} s", every.as_secs_f64()),
        Sync::Unknown => "not told".to_owned(),
    }
}

fn judged(good: bool) -> Judged {
    if good { Judged::Good } else { Judged::Weak }
}
