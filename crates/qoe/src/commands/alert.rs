//! `qoe alert`: whether alerts arrive, and which there were.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use server::alert;
use server::alert::config::{Config, Receiver};
use server::alert::retry::Outcome;
use server::store::{AlertQuery, AlertState, Reader};

use super::Context;
use super::places::StoreArgs;
use crate::exit::Outcome as Exit;
use crate::output;

mod view;

pub(crate) use view::time;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Who is told what stands in a file: docs/alerts.md. --json prints one object of schema qoe.alerts/1; \
fields may be added, none change.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Send each receiver a notice that is marked as a test, once, and say what came of it
    #[command(after_help = "\
Needs no server, and keeps nothing. Exits with 1 where one was not delivered.")]
    Test {
        /// The file of alerts
        #[arg(long, value_name = "FILE")]
        alerts: Option<PathBuf>,
        /// To this receiver alone
        #[arg(long, value_name = "NAME")]
        receiver: Option<String>,
    },
    /// Show what was told, what waits and what was given up, the newest first
    List {
        /// To this receiver alone
        #[arg(long, value_name = "NAME")]
        receiver: Option<String>,
        /// In this state alone
        #[arg(long, value_name = "STATE", value_enum)]
        state: Option<State>,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Pending,
    Delivered,
    GivenUp,
}

pub(crate) fn run(args: &Args, context: &Context) -> Exit {
    match &args.action {
        Action::Test { alerts, receiver } => {
            let config = context.alerts(alerts.as_deref())?.context(
                "it is not said who is told: name a file of alerts with --alerts FILE (setting \
                 alerts)",
            )?;
            super::one_thread()?.block_on(test(&config, receiver.as_deref()))
        }
        Action::List { receiver, state, limit, json } => {
            let query = AlertQuery {
                receiver: receiver.clone(),
                state: state.map(State::kept),
                from_ms: i64::MIN,
                limit: *limit as usize,
            };
            let location = args.store.location(context)?;
            let (rows, more) = Reader::open(&location)?.alerts(&query)?;
            match json {
                true => output::print_json(&view::json(&rows, more))?,
                false => output::print(&view::list(&rows))?,
            }
            if more && !json {
                eprintln!("there are more: --limit {}", limit.saturating_mul(10));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn test(config: &Config, only: Option<&str>) -> Exit {
    let wanted = |receiver: &&Receiver| only.is_none_or(|name| name == receiver.name);
    let receivers: Vec<&Receiver> =
        config.receivers.iter().map(AsRef::as_ref).filter(wanted).collect();
    ensure!(
        !receivers.is_empty(),
        "there is no receiver `{}`; there are {}",
        only.unwrap_or_default(),
        config.receivers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
    );
    let each = receivers.iter().map(async |receiver| {
        let began = Instant::now();
        let outcome = alert::test(receiver, config, super::now_ms()).await;
        (outcome, began.elapsed())
    });
    let mut well = true;
    for (receiver, (outcome, took)) in receivers.iter().zip(join_all(each).await) {
        let at = format!("{} ({})", receiver.name, receiver.shown());
        let said = match outcome? {
            Outcome::Delivered => format!("{at}: delivered in {} ms\n", took.as_millis()),
            Outcome::Later { why, .. } => {
                well = false;
                format!("{at}: not delivered, and would be tried again: {why}\n")
            }
            Outcome::Never { why } => {
                well = false;
                format!("{at}: not delivered, and would be given up: {why}\n")
            }
        };
        output::print(&said)?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl State {
    fn kept(self) -> AlertState {
        match self {
            Self::Pending => AlertState::Pending,
            Self::Delivered => AlertState::Delivered,
            Self::GivenUp => AlertState::GivenUp,
        }
    }
}
