//! `qoe demo`: a target is broken in turn, and each fault is named while one looks on.
//!
//! Nothing in it is staged but the target: the probes measure it as they would any other, their
//! events go through the real ingest, and what is printed is what the detector wrote down.

mod faults;
mod history;
mod live;
mod watch;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::exit::Outcome;
use crate::output::print;
use crate::progress::Progress;
use crate::render::{Ink, Style};
use crate::signals;
use world::World;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the demo's server keeps its data, empty or new [default: a temporary directory,
    /// deleted at the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave server, target and probes up at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Decides the simulated history
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::many_threads()?.block_on(demo(args, context.style))
}

async fn demo(args: &Args, style: Style) -> Outcome {
    let stop = signals::stop_on_signal()?;
    // Deleted when it is dropped, after everything in it was closed.
    let scratch = tempfile::tempdir()?;
    let dir = args.data_dir.clone().unwrap_or_else(|| scratch.path().join("data"));
    let world = World::start(dir).await?;
    let shown = stop.run_until_cancelled(show(args, &world, style)).await;
    if let (true, Some(Ok(_))) = (args.keep, &shown) {
        stay(&world, &stop).await?;
    }
    world.stop().await?;
    match shown {
        None => bail!("interrupted; everything is stopped"),
        Some(named_all) => Ok(if named_all? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

/// The show, from the empty server to the score; whether every live fault was named.
async fn show(args: &Args, world: &World, style: Style) -> anyhow::Result<bool> {
    let heading = |n: u8, title: &str| {
        print(&format!("{}\n", style.paint(Ink::Strong, format!("{n}/4 {title}"))))
    };
    let progress = Progress::everywhere();

    heading(1, "A target, a server, three probes; all on this machine")?;
    print(&world.introduction())?;

    heading(2, "How the target is when it is well")?;
    progress.step("measuring");
    let usual = history::calibrate(world).await?;
    progress.clear();
    print(&usual.text(style))?;

    heading(3, "Two hours of history, with faults in it")?;
    let told = history::send(world, &usual, args.seed, &progress).await?;
    print(&told.text(style))?;

    heading(4, "Live: the target is broken in three ways")?;
    let named = live::show(world, &progress, style).await?;
    print(&named.text(style))?;
    Ok(named.all())
}

async fn stay(world: &World, stop: &CancellationToken) -> anyhow::Result<()> {
    print(&format!("\n{}Ctrl-C stops it.\n", world.where_to_look()))?;
    // The probes go on, so that there is something to see.
    let probes = world.probes(None)?;
    stop.cancelled().await;
    probes.stop().await
}
