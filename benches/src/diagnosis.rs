//! Diagnoses scored against worlds whose faults are known: each detector on each world, by the
//! seeds that nothing was tuned on.

mod detector;
mod export;
mod ours;
mod report;
mod rivals;
mod tally;
mod told;
mod windows;
mod worlds;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use detector::Detector;
use tally::Tally;
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
    /// Print the scores as JSON lines too
    #[arg(long)]
    json: bool,
}

/// Scores every detector, or writes the worlds.
pub(crate) fn run(mut args: Args) -> anyhow::Result<()> {
    if args.quick {
        args.seeds.truncate(1);
        args.per_minute = vec![6];
        args.days = 0.5;
    }
    let tuned = args.seeds.iter().any(|seed| TUNING.contains(seed));
    ensure!(args.tuning || !tuned, "seeds 1 to 9 are for tuning: --tuning allows them");
    let worlds = chosen(&args)?;
    for per_minute in &args.per_minute {
        for world in &worlds {
            // What is not about the sample count is asked once.
            let only = args.worlds.is_empty() && args.per_minute.len() > 1;
            if only && !world.every_rate && *per_minute != 6 {
                continue;
            }
            one(&args, world, *per_minute)?;
        }
    }
    Ok(())
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

/// One world at one rate, over all seeds.
fn one(args: &Args, world: &World, per_minute: u32) -> anyhow::Result<()> {
    let length = Length::of_days(args.days, args.quick);
    let mut tallies: Vec<Tally> = Vec::new();
    for seed in &args.seeds {
        let scenario = world.scenario(*seed, per_minute, length);
        scenario.check().with_context(|| format!("world {} of seed {seed}", world.name))?;
        if let Some(dir) = &args.export {
            export::write(&dir.join(format!("{}-n{per_minute}-s{seed}", world.name)), &scenario)?;
            continue;
        }
        for mut detector in detectors() {
            let wanted = |name: &String| detector.name().starts_with(name.as_str());
            if !args.detectors.is_empty() && !args.detectors.iter().any(wanted) {
                continue;
            }
            let began = Instant::now();
            let outputs = detector.run(
                &detector::Topology::of(&scenario),
                &mut testbed::simulate::events(&scenario),
            )?;
            let took = began.elapsed();
            for output in outputs {
                let tally = match tallies.iter_mut().find(|tally| tally.rules == output.rules) {
                    Some(tally) => tally,
                    None => {
                        tallies.push(Tally::of(output.rules));
                        let last = tallies.len() - 1;
                        &mut tallies[last]
                    }
                };
                tally.add(&scenario, &output, took);
            }
        }
    }
    if args.export.is_none() {
        print!("{}", report::text(world, per_minute, &args.seeds, &tallies));
        if args.json {
            for tally in &tallies {
                println!("{}", report::json(world, per_minute, &args.seeds, tally));
            }
        }
    }
    Ok(())
}

/// Everyone who is scored.
fn detectors() -> Vec<Box<dyn Detector>> {
    vec![Box::new(ours::Ours), Box::new(rivals::Today), Box::new(rivals::Rivals)]
}
