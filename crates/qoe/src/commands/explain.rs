//! `qoe explain`: incidents, and what one of them rests on. Reads the store itself, as `qoe report`
//! does.

mod view;

use std::process::ExitCode;

use anyhow::bail;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use server::store::{
    DATABASE, DriftQuery, DriftRow, IncidentQuery, IncidentRow, Location, Reader, Span,
};

use super::Context;
use super::places::StoreArgs;
use super::report::since::{self, Since};
use crate::exit::Outcome;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an ID, the incidents there were, the newest first, and what has become slower for hours.

--json prints one object of schema qoe.incidents/1: incidents, and without an ID drifts, each with the \
names of the read API. \
Fields may be added; none change.")]
pub(crate) struct Args {
    /// Explain this one
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// List those from then on: a span (24h), a time of day (14:02), or a moment
    /// (2026-11-24T14:02:00Z)
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = since::parse)]
    since: Since,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Incidents that are listed at most.
const MOST: usize = 1_000;

#[derive(Serialize)]
struct Found {
    schema: &'static str,
    incidents: Vec<IncidentRow>,
    /// Where no incident was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    drifts: Option<Vec<DriftRow>>,
    truncated: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let location = args.store.location(context)?;
    let zone = TimeZone::system();
    let now = Timestamp::now();
    let from_ms = args.since.moment_ms(now, &zone);
    let ever = Span { from_ms: 0, to_ms: i64::MAX };
    let query = match &args.id {
        Some(id) => {
            IncidentQuery { id: Some(id.to_ascii_lowercase()), ..IncidentQuery::new(ever, 1) }
        }
        None => IncidentQuery::new(Span { from_ms, to_ms: i64::MAX }, MOST),
    };
    // A directory without a database holds nothing.
    let reader = match &location {
        Location::Directory(dir) if !dir.join(DATABASE).exists() => None,
        location => Some(Reader::open(location)?),
    };
    let found = reader.as_ref().map(|reader| reader.incidents(&query)).transpose()?;
    let (incidents, mut truncated) = found.unwrap_or_default();
    if let (Some(id), true) = (&args.id, incidents.is_empty()) {
        bail!("there is no incident {id}; `qoe explain` lists those of the last day");
    }
    let drifts = match &args.id {
        Some(_) => None,
        None => {
            let query = DriftQuery { client_id: None, target: None, span: query.span, limit: MOST };
            let found = reader.as_ref().map(|reader| reader.drifts(&query)).transpose()?;
            let (drifts, more) = found.unwrap_or_default();
            truncated |= more;
            Some(drifts)
        }
    };
    if args.json {
        output::print_json(&Found { schema: "qoe.incidents/1", incidents, drifts, truncated })?;
    } else if let Some(drifts) = drifts {
        output::print(&view::list(&incidents, &drifts, truncated, &zone, context.style))?;
    } else {
        for incident in &incidents {
            output::print(&view::whole(incident, &zone, context.style))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
