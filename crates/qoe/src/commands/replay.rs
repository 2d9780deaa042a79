//! `qoe replay`: counts again what the bus still holds, into a database that was emptied or
//! restored. What the database has counted does not count twice.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use server::aggregator::{self, Aggregator};
use server::bus::replay::{self, Replayed};
use server::bus::{Bus, consume};
use server::roles::Horizon;
use server::store::{Retention, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::places::{BusArgs, DatabaseArgs};
use super::report::since::{self, Since};
use super::{Context, parse_span};
use crate::exit::{self, Outcome};
use crate::progress::Progress;
use crate::render::units::count;
use crate::{output, signals};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Roles may go on working meanwhile. Ctrl-C ends it with what was counted so far; begin again as \
often as you like.")]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Connections that write to the database at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    writers: u8,
    /// How long the ids of counted events are kept, as the aggregators have it [default: 22d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    keep_ids: Option<Duration>,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct From {
    /// What the bus took since: a span (2h), a time of day (14:02), or a moment
    /// (2026-11-24T14:02:00Z)
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    since: Option<Since>,
    /// From the message of this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    from_sequence: Option<u64>,
    /// All that the bus still holds
    #[arg(long)]
    all: bool,
}

impl From {
    fn since(&self) -> replay::Since {
        match (&self.since, self.from_sequence) {
            (Some(since), _) => {
                replay::Since::Time(since.moment_ms(Timestamp::now(), &TimeZone::system()))
            }
            (None, Some(sequence)) => replay::Since::Sequence(sequence),
            (None, None) => replay::Since::Start,
        }
    }
}

/// How long transactions at work are waited for at the end.
const LAST_WORD: Duration = Duration::from_secs(5);

/// How often a terminal is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let runtime = super::many_threads()?;
    let ended = runtime.block_on(async {
        let stop = signals::stop_on_signal()?;
        count_again(args, context, &stop).await
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}

async fn count_again(args: &Args, context: &Context, stop: &CancellationToken) -> Outcome {
    let connect = args.bus.connect("qoe replay", args.database.allow_data_loss, context)?;
    let location = args.database.location(context)?;
    let keep_ids = context.keep_ids(args.keep_ids);
    let limits = consume::Settings::default().limits;
    let bus = Bus::connect(&connect).await?;
    Horizon::of(&bus, limits.max_age_ms, keep_ids).await?.check()?;
    let settings = aggregator::Settings {
        writers: args.writers.into(),
        retention: Retention::of_ids(keep_ids),
        ..aggregator::Settings::default()
    };
    let start = move || Aggregator::start(&Store::open(location)?, settings);
    let (aggregator, mut writers) = tokio::task::spawn_blocking(start).await??;

    let progress = Progress::on_terminal();
    let (mut far, mut told_at) = (Replayed::default(), Instant::now());
    let told = |replayed: &Replayed, end: u64| {
        far = *replayed;
        if told_at.elapsed() >= TELL_EVERY {
            told_at = Instant::now();
            progress.update(&format!(
                "message {} of {end}, {} counted, {} of them before",
                far.last_sequence,
                count(far.counted, "event"),
                far.duplicates
            ));
        }
    };
    let since = args.from.since();
    let replayed = replay::replay_telling(&bus, aggregator.clone(), since, &limits, stop, told);
    let replayed = replayed.await;
    progress.clear();
    aggregator.close();
    // One that waits for a lock in the database may be left: what it had not committed is undone.
    let _ = tokio::time::timeout(LAST_WORD, writers.finished()).await;
    bus.close().await;
    match replayed.context("stopped; begin again when that is mended: nothing counts twice")? {
        Some(replayed) => {
            output::print(&summary(&replayed))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            output::print(&summary(&far))?;
            eprintln!("interrupted; begin again to go on: nothing counts twice");
            Ok(ExitCode::from(exit::INTERRUPTED))
        }
    }
}

/// What was done, a line each.
fn summary(replayed: &Replayed) -> String {
    let Replayed { messages, counted, duplicates, refused, broken, missing, .. } = *replayed;
    let mut text = match messages {
        0 => return "0 messages: the bus holds none from there on\n".to_owned(),
        _ => format!(
            "{}, number {} to {}\n",
            count(messages, "message"),
            replayed.first_sequence,
            replayed.last_sequence
        ),
    };
    text += &format!("{} counted, {duplicates} of them before\n", count(counted, "event"));
    text += &format!("{} refused, ", count(refused, "event"));
    text += &format!("{} not readable; they are dead letters\n", count(broken, "message"));
    text += &format!("{} between these no longer there\n", count(missing, "message"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_is_missing() {
        let replayed = Replayed {
            messages: 90,
            first_sequence: 11,
            counted: 1_000,
            duplicates: 1,
            refused: 2,
            broken: 1,
            missing: 10,
            last_sequence: 110,
        };
        insta::assert_snapshot!(summary(&replayed), @r"
        90 messages, number 11 to 110
        1000 events counted, 1 of them before
        2 events refused, 1 message not readable; they are dead letters
        10 messages between these no longer there
        ");
    }
}
