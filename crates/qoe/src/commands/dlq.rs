//! `qoe dlq`: what could not be counted, and what is to become of it.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use server::bus::dead_letter::DeadLetter;
use server::bus::{Bus, BusError};

use super::Context;
use super::places::BusArgs;
use crate::exit::Outcome;
use crate::output;

mod view;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A dead letter is an event, or a message that can't be taken apart, as it was sent, with the reason \
why it was not counted. Replay puts it among the events again and takes it out here; if it still \
can't be counted, it comes back as a new one. --json prints one object of schema qoe.dlq/1; fields \
may be added, none change.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    bus: BusArgs,
    /// Take a NATS that is known to forget: for trying things out
    #[arg(long, global = true)]
    allow_data_loss: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what there is, oldest first
    List {
        /// From this number on
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one with its reason and payload
    Show {
        /// Its number
        #[arg(value_name = "N")]
        number: u64,
        /// Print nothing but the payload, byte by byte
        #[arg(long)]
        raw: bool,
    },
    /// Have them counted, once what was wrong is mended
    Replay(Which),
    /// Throw them away
    Drop {
        #[command(flatten)]
        which: Which,
        /// Yes, all of them may be lost
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their numbers
    #[arg(value_name = "N")]
    numbers: Vec<u64>,
    /// All that are there now
    #[arg(long)]
    all: bool,
}

/// What is read at once, since payloads may be large.
const PAGE: usize = 50;

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    if let Action::Drop { which: Which { all: true, .. }, yes: false } = &args.action {
        anyhow::bail!(
            "dropping all dead letters loses what is in them; look at them with `qoe dlq list`, \
             and say --yes"
        );
    }
    let connect = args.bus.connect("qoe dlq", args.allow_data_loss, context)?;
    super::one_thread()?.block_on(async {
        let bus = Bus::connect(&connect).await?;
        let done = act(&args.action, &bus).await;
        bus.close().await;
        done
    })
}

async fn act(action: &Action, bus: &Bus) -> Outcome {
    match action {
        &Action::List { from, limit, json } => list(bus, from, limit as usize, json).await,
        &Action::Show { number, raw } => {
            let letter = found(bus.dead_letter(number).await)?;
            match raw {
                true => output::print_bytes(&letter.payload)?,
                false => output::print(&view::whole(&letter))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Replay(which) => {
            each(bus, which, "replayed", async |number| bus.replay_dead_letter(number).await).await
        }
        Action::Drop { which, .. } => {
            each(bus, which, "dropped", async |number| bus.drop_dead_letter(number).await).await
        }
    }
}

async fn list(bus: &Bus, from: u64, limit: usize, json: bool) -> Outcome {
    let (total, last) = bus.dead_letter_count().await?;
    let mut letters = Vec::new();
    let mut next = from;
    while next <= last && letters.len() < limit {
        let page = bus.dead_letters(next, PAGE.min(limit - letters.len())).await?;
        let Some(end) = page.last() else { break };
        next = end.number + 1;
        letters.extend(page.iter().map(view::Entry::of));
    }
    if json {
        output::print_json(&view::List { schema: "qoe.dlq/1", total, letters })?;
    } else {
        output::print(&view::list(&letters, total))?;
        if next <= last && letters.len() == limit {
            eprintln!("there may be more: qoe dlq list --from {next}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does the same to each, says so, and goes on to the next where one is not there.
async fn each(
    bus: &Bus,
    which: &Which,
    done: &str,
    act: impl AsyncFn(u64) -> Result<(), BusError>,
) -> Outcome {
    let numbers = match which.all {
        true => numbers(bus).await?,
        false => which.numbers.clone(),
    };
    let (mut well, mut gone) = (0_usize, 0_usize);
    for &number in &numbers {
        match act(number).await {
            Ok(()) => {
                well += 1;
                if !which.all {
                    output::print(&format!("{done} dead letter {number}\n"))?;
                }
            }
            Err(error @ BusError::NoLetter(_)) => {
                gone += 1;
                // Of all, one that went meanwhile is no failure.
                if !which.all {
                    eprintln!("qoe: {error}; see `qoe dlq list`");
                }
            }
            Err(error) => {
                let left = numbers.len() - well - gone;
                return Err(error).with_context(|| format!("{done} {well}; {left} are left"));
            }
        }
    }
    if which.all {
        output::print(&format!("{done} {well} of {} dead letters\n", numbers.len()))?;
    }
    Ok(if gone > 0 && !which.all { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The numbers of all that are there now. What becomes a dead letter meanwhile is not among them,
/// or one that can't be mended would be replayed without end.
async fn numbers(bus: &Bus) -> anyhow::Result<Vec<u64>> {
    let (total, last) = bus.dead_letter_count().await?;
    let mut numbers = Vec::with_capacity(usize::try_from(total).unwrap_or(0).min(1 << 20));
    let mut next = 1;
    while next <= last {
        let page = bus.dead_letters(next, PAGE).await?;
        let Some(end) = page.last() else { break };
        next = end.number + 1;
        numbers.extend(page.iter().map(|letter| letter.number).filter(|&number| number <= last));
    }
    Ok(numbers)
}

fn found(letter: Result<DeadLetter, BusError>) -> anyhow::Result<DeadLetter> {
    if let Err(BusError::NoLetter(number)) = &letter {
        ensure!(letter.is_ok(), "there is no dead letter {number}; see `qoe dlq list`");
    }
    Ok(letter?)
}
