//! `qoe report`: what was measured and what was wrong. Reads the store itself, so it works
//! while a server runs on it and when none does.

pub(crate) mod cells;
mod gaps;
pub(crate) mod incident;
mod score;
pub(crate) mod since;
pub(crate) mod view;

use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use server::store::{
    DATABASE, GapQuery, GapRow, IncidentQuery, IncidentRow, Location, Reader, Span, SummaryRow,
    WindowQuery, WindowRow,
};

use super::Context;
use super::places::{StoreArgs, shown};
use crate::exit::Outcome;
use crate::output;
use since::Since;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
--json prints one object of schema qoe.report/2: from_ms, to_ms, summary (a row for each client \
and target, with its score), windows (a row a minute), incidents and gaps (what probes lost), with \
the names of the read API. Fields may be added; none change.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// From when: a span (2h), a time of day (14:02), or a moment (2026-11-24T14:02:00Z)
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = since::parse)]
    since: Since,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the store knows of a stretch of time.
#[derive(Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) summary: Vec<SummaryRow>,
    pub(crate) windows: Vec<WindowRow>,
    pub(crate) incidents: Vec<IncidentRow>,
    pub(crate) gaps: Vec<GapRow>,
}

/// Windows that are read at most: a week of a hundred cells.
const WINDOWS: usize = 1_000_000;
/// Incidents that are read at most.
const INCIDENTS: usize = 10_000;
/// Gaps that are read at most.
const GAPS: usize = 1_000;

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let location = args.store.location(context)?;
    let zone = TimeZone::system();
    let now = Timestamp::now();
    let from_ms = args.since.moment_ms(now, &zone);
    let report = Report::read(&location, from_ms, now.as_millisecond())?;
    if args.json {
        output::print_json(&report)?;
    } else if report.summary.is_empty() {
        output::print(&view::nothing(&shown(&location), &report, &zone))?;
    } else {
        output::print(&view::text(&report, &zone, context.style))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Report {
    /// Reads what lies between two moments. A directory without a database holds nothing.
    pub(crate) fn read(location: &Location, from_ms: i64, now_ms: i64) -> anyhow::Result<Self> {
        // The window in progress began before now, and a probe's clock may be a little ahead.
        let to_ms = now_ms + model::units::MINUTE_MS;
        let mut report = Self {
            schema: "qoe.report/2",
            from_ms,
            to_ms,
            summary: Vec::new(),
            windows: Vec::new(),
            incidents: Vec::new(),
            gaps: Vec::new(),
        };
        if let Location::Directory(dir) = location
            && !dir.join(DATABASE).exists()
        {
            return Ok(report);
        }
        let reader = Reader::open(location)?;
        let span = Span { from_ms: model::Minute::of_ms(from_ms).start_ms(), to_ms };
        let query = WindowQuery { client_id: None, target: None, span, limit: WINDOWS };
        report.summary = reader.summary(span, now_ms)?;
        report.windows = reader.windows(&query, now_ms)?.0;
        report.incidents = reader.incidents(&IncidentQuery::new(span, INCIDENTS))?.0;
        report.gaps = reader.gaps(&GapQuery { client_id: None, span, limit: GAPS })?.0;
        Ok(report)
    }
}
