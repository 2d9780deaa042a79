//! `qoe compare`: whether two cohorts differ, by stage, and how sure that is. Reads the store itself, as
//! `qoe report` does.

mod bar;
mod cohort;
mod view;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory;
use clap::error::ErrorKind;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::compare::{self, Comparison};
use model::units::Minute;
use serde::Serialize;
use server::store::{CohortQuery, DATABASE, Grain, Location, Reader, StoreError};

use super::Context;
use super::places::StoreArgs;
use crate::cli::Cli;
use crate::exit::Outcome;
use crate::output;
use cohort::{Cohort, Wanted};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A cohort is client=NAME,target=URL,from=TIME,to=TIME, each of which may be left out: then it is every \
client, every target, from 2h ago, to now. A TIME is a span before now (2h), a time of day (14:02), a \
moment (2026-11-24T14:02:00Z) or now. A cohort spans a week at most.

  qoe compare client=lab-1 client=lab-2
  qoe compare target=https://shop.example/,from=26h,to=24h target=https://shop.example/

B is called slower or faster where chance is ruled out (5 %, adjusted for six stages) and the medians are \
so far apart that it matters. What else is said is `no difference told`, never that there is none.

--json prints one object of schema qoe.compare/1: a, b, stages and failures. Fields may be added; none \
change.")]
pub(crate) struct Args {
    /// What B is held against
    #[arg(value_name = "A", value_parser = cohort::parse)]
    a: Wanted,
    /// What is held against A
    #[arg(value_name = "B", value_parser = cohort::parse)]
    b: Wanted,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Found {
    schema: &'static str,
    a: Told,
    b: Told,
    /// Whether some measurements may be in both.
    overlap: bool,
    #[serde(flatten)]
    comparison: Comparison,
}

/// What a cohort is, and how much is in it.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    cohort: Cohort,
    count_total: u64,
    count_troubled: u64,
    windows: usize,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let (zone, now) = (TimeZone::system(), Timestamp::now());
    let at = |name: &str, wanted: &Wanted| {
        wanted.at(now, &zone).unwrap_or_else(|why| wrong_usage(&format!("cohort {name}: {why}")))
    };
    let (a, b) = (at("A", &args.a), at("B", &args.b));
    let location = args.store.location(context)?;
    let overlap = a.overlaps(&b);
    let ((a, in_a), (b, in_b)) = (read(&location, a)?, read(&location, b)?);
    let comparison = compare::compare(&in_a, &in_b);
    let found = Found { schema: "qoe.compare/1", a, b, overlap, comparison };
    if args.json {
        output::print_json(&found)?;
    } else {
        output::print(&view::text(&found, &zone, context.style))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As the parser itself would end the program.
fn wrong_usage(why: &str) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, why).exit()
}

/// A cohort's windows by the minute. A directory without a database holds nothing.
fn read(location: &Location, cohort: Cohort) -> anyhow::Result<(Told, compare::Cohort)> {
    let mut windows = 0;
    let mut held = compare::Cohort::default();
    let query = CohortQuery {
        client_id: cohort.client_id.clone(),
        target: cohort.target.clone(),
        grain: Grain::Minute,
        ..CohortQuery::of(cohort.span())
    };
    let nothing = matches!(location, Location::Directory(dir) if !dir.join(DATABASE).exists());
    if !nothing {
        let mut too_long = Ok(());
        let reader = Reader::open(location)?;
        let read = reader.each_window(&query, &mut |kept| {
            windows += 1;
            too_long = held.add(Minute::of_ms(kept.start_ms), &kept.window);
            too_long.map_err(|_| StoreError::Disorder)
        });
        // Its own reason stands before what stopped the reading.
        too_long?;
        read.with_context(|| format!("reading the cohort of {cohort}"))?;
    }
    let counts = held.merged().counts();
    let (count_total, count_troubled) = (counts.total, counts.troubled);
    Ok((Told { cohort, count_total, count_troubled, windows }, held))
}
