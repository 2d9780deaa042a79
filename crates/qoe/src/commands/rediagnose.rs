//! `qoe rediagnose`: judges a stretch of the past again, as the rules of this program have it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use server::diagnoser;
use server::store::{Location, Reader, Span, Writer};

use super::Context;
use super::places::StoreArgs;
use super::report::since::{self, Since};
use super::report::view::clock;
use crate::exit::Outcome;
use crate::output;
use crate::progress::Progress;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is usual is learned from the day before. Incidents of the stretch that are found again are kept \
by their id, others are taken back. An embedded store must not have a server at work on it, except \
with --dry-run.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// From when: a span (24h), a time of day (14:02), or a moment (2026-11-24T14:02:00Z)
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    from: Since,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    to: Option<Since>,
    /// Who is where, a file: docs/diagnosis.md [default: what events say]
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let (zone, now) = (TimeZone::system(), Timestamp::now());
    let minute = |ms: i64| model::Minute::of_ms(ms).start_ms();
    let from_ms = minute(args.from.moment_ms(now, &zone));
    let to = args.to.as_ref().map_or(now.as_millisecond(), |to| to.moment_ms(now, &zone));
    let to_ms = minute(to);
    if from_ms >= to_ms {
        bail!("--from is not before --to: there is nothing to judge");
    }
    let topology = super::topology(args.topology.as_deref())?;
    let location = args.store.location(context)?;
    // Also an embedded store is one's own while this writes.
    let _lock = match &location {
        Location::Directory(dir) if !args.dry_run => {
            Some(server::store::lock(dir).context("a server is at work on it: stop it first")?)
        }
        _ => None,
    };
    let reader = Reader::open(&location)?;
    let progress = Progress::on_terminal();
    progress.step("judging again");
    let told = |at: i64| progress.update(&clock(at, &zone, "%Y-%m-%d %H:%M"));
    let span = Span { from_ms, to_ms };
    let done = diagnoser::rediagnose(&reader, span, topology, now.as_millisecond(), told)?;
    if !args.dry_run {
        Writer::open(&location)?.detect(&done.found)?;
    }
    progress.clear();
    let back = done.found.incidents.iter().filter(|row| row.body.withdrawn).count();
    let mut text = String::new();
    for row in &done.found.incidents {
        let what = if row.body.withdrawn { "taken back" } else { "told" };
        text += &format!("{}  {what:<10}  {}\n", row.id, row.body.text);
    }
    text += &format!(
        "{} windows judged again: {} incidents as they were, {} new or changed, {back} taken back{}\n",
        done.windows,
        done.same,
        done.found.incidents.len() - back,
        if args.dry_run { "; nothing was written" } else { "" }
    );
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
