//! Diagnoses scored against worlds whose faults are known: each detector on each world, by the
//! seeds that nothing was tuned on.

mod detector;
mod export;
mod jobs;
mod ours;
mod report;
mod rivals;
mod speed;
mod tally;
mod told;
mod windows;
mod worlds;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use detector::Detector;
use testbed::simulate::Scenario;
use worlds::{Length, World};

/// Seeds that rules were tuned on: a score on them would be flattered.
const TUNING: RangeInclusive<u64> = 1..=9;

/// What to score, and on what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seeds of the traces; 1 to 9 are for tuning and refused
    #[arg(long, value_name = "SEED", value_delimiter = ',', default_values_t = [21, 22, 23])]
    seeds: Vec<u64>,
    /// Allow the tuning seeds, and say so
    #[arg(long)]
    tuning: bool,
    /// Measurements a minute of a cell
    #[arg(long = "n", value_name = "N", value_delimiter = ',', default_values_t = [6, 2, 30])]
    per_minute: Vec<u32>,
    /// Worlds to score on [default: all; those without faults and the special ones at 6 a minute]
    #[arg(long = "world", value_name = "NAME", value_delimiter = ',')]
    worlds: Vec<String>,
    /// Days a trace with faults lasts; the first half is without
    #[arg(long, value_name = "DAYS", default_value_t = 2.0)]
    days: f64,
    /// Detectors to score, by the start of their names [default: all]
    #[arg(long = "detector", value_name = "NAME", value_delimiter = ',')]
    detectors: Vec<String>,
    /// One seed, 6 a minute, half a day: about a minute
    #[arg(long)]
    quick: bool,
    /// Write the worlds as events.ndjson, topology.toml and truth.json instead, a folder each
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Measure what the detector costs in time and memory instead
    #[arg(long)]
    speed: bool,
    /// Print each fault of each trace too, with what was told of it
    #[arg(long)]
    each: bool,
    /// Print the scores as JSON lines too
    #[arg(long)]
    json: bool,
}

/// Scores every detector, or writes the worlds.
pub(crate) fn run(mut args: Args) -> anyhow::Result<()> {
    if args.speed {
        return speed::run(6);
    }
    if args.quick {
        args.seeds.truncate(1);
        args.per_minute = vec![6];
        args.days = 0.5;
    }
    let tuned = args.seeds.iter().any(|seed| TUNING.contains(seed));
    ensure!(args.tuning || !tuned, "seeds 1 to 9 are for tuning: --tuning allows them");
    for start in &args.detectors {
        let names: Vec<_> = detectors().iter().map(|detector| detector.name()).collect();
        let found = names.iter().any(|name| name.starts_with(start.as_str()));
        ensure!(found, "no detector is named {start:?}; there are {}", names.join(", "));
    }
    let tables = tables(&args)?;
    match &args.export {
        Some(dir) => export(&args, dir, &tables),
        None => jobs::run(&args, &tables),
    }
}

/// Worlds and rates, in the order they are told.
fn tables(args: &Args) -> anyhow::Result<Vec<Table>> {
    let worlds = chosen(args)?;
    // What is not about the sample count is asked once.
    let once = args.worlds.is_empty() && args.per_minute.len() > 1;
    let all = args.per_minute.iter().flat_map(|&per_minute| {
        let asked = move |world: &&&World| !once || world.every_rate || per_minute == 6;
        worlds.iter().filter(asked).map(move |world| Table { world, per_minute })
    });
    Ok(all.collect())
}

fn chosen(args: &Args) -> anyhow::Result<Vec<&'static World>> {
    if args.worlds.is_empty() {
        return Ok(worlds::ALL.iter().filter(|world| !args.quick || world.quick).collect());
    }
    let known = || worlds::ALL.iter().map(|world| world.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = worlds::ALL.iter().find(|world| world.name == name);
        found.with_context(|| format!("no world is named {name:?}; there are {}", known()))
    };
    args.worlds.iter().map(find).collect()
}

/// Writes every world of every seed into a folder of its own.
fn export(args: &Args, dir: &Path, tables: &[Table]) -> anyhow::Result<()> {
    for table in tables {
        for seed in &args.seeds {
            let scenario = table.scenario(args, *seed)?;
            let name = format!("{}-n{}-s{seed}", table.world.name, table.per_minute);
            export::write(&dir.join(name), &scenario)?;
        }
    }
    Ok(())
}

/// A world at a rate.
#[derive(Clone, Copy)]
struct Table {
    world: &'static World,
    per_minute: u32,
}

impl Table {
    fn scenario(&self, args: &Args, seed: u64) -> anyhow::Result<Scenario> {
        let length = Length::of_days(args.days, args.quick);
        let scenario = self.world.scenario(seed, self.per_minute, length);
        scenario.check().with_context(|| format!("world {} of seed {seed}", self.world.name))?;
        Ok(scenario)
    }
}

/// Everyone who is scored.
fn detectors() -> Vec<Box<dyn Detector>> {
    vec![Box::new(ours::Ours), Box::new(rivals::Rivals)]
}
