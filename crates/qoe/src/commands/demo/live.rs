//! The live part: probes measure, the target is broken at a minute's start and mended one or two whole
//! minutes later, and what the detector says of it is printed as it comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::probe::Measurement;
use ::probe::agent::Observer;
use jiff::tz::TimeZone;
use model::diagnosis::Label;
use model::units::MINUTE_MS;
use testbed::score::{self, Observed, Score};
use testbed::simulate::{ScopeName, Truth};
use tokio::time::Instant;

use super::faults::{self, LiveFault};
use super::watch::{self, Watch, minute_ms};
use super::world::{CLIENTS, World};
use crate::commands::now_ms;
use crate::commands::report::incident::{one as in_words, scored};
use crate::commands::report::view::clock;
use crate::output::print;
use crate::progress::Progress;
use crate::render::sparkline::sparkline;
use crate::render::{Ink, Style, units};
use ::probe::check::view;

/// How long a fault's name may still take after it was mended. A minute is judged a quarter of a minute
/// after its end.
const LINGER: Duration = Duration::from_secs(60);
/// What is well for so long between two faults, so that one is not taken for the other.
const APART_MS: i64 = MINUTE_MS;
/// How often the store is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What became of the live faults.
pub(super) struct Named {
    faults: Vec<(LiveFault, BTreeMap<String, Duration>)>,
    score: Score,
}

/// What the probes measured, in order of time, for the curves.
type Tape = Arc<Mutex<Vec<(i64, Measurement)>>>;

/// Breaks the target in every way, one after another.
pub(super) async fn show(
    world: &World,
    progress: &Progress,
    style: Style,
) -> anyhow::Result<Named> {
    let tape = Tape::default();
    let probes = world.probes(Some(&recorder(&tape)))?;
    let began_ms = watch::minute_ms(now_ms());
    let mut watch = Watch::new(&world.store, began_ms);
    print("  As it is now, seen by one of the probes:\n\n")?;
    print(&indented(&picture(world, style).await?))?;

    let mut named = Vec::new();
    let mut truths = Vec::new();
    // What the probes measure first is well.
    let mut well_from_ms = now_ms();
    for fault in LiveFault::ALL {
        let apart_ms = minute_ms(well_from_ms) + APART_MS;
        let start_ms = watch::next_minute_ms(now_ms().max(apart_ms - 1));
        let wait = Duration::from_millis((start_ms - now_ms()).max(0).unsigned_abs());
        progress.wait_until(Instant::now() + wait, "the next fault begins with the minute").await;
        let (told, end_ms) = one(world, fault, &mut watch, &tape, progress, style).await?;
        truths.push(truth(world, fault, start_ms, end_ms));
        well_from_ms = end_ms;
        named.push((fault, told));
    }
    probes.stop().await?;
    let told: Vec<_> = watch.all().await?.iter().flat_map(scored).collect();
    let observed = Observed { from_ms: began_ms, to_ms: now_ms(), cells: CLIENTS.len() as u64 };
    Ok(Named { faults: named, score: score::score(&truths, &told, &observed) })
}

/// One fault: broken, shown, named, mended. Returns who named it after how long, and when it
/// was mended.
async fn one(
    world: &World,
    fault: LiveFault,
    watch: &mut Watch<'_>,
    tape: &Tape,
    progress: &Progress,
    style: Style,
) -> anyhow::Result<(BTreeMap<String, Duration>, i64)> {
    let began = Instant::now();
    let (began_ms, lasts) = (now_ms(), fault.lasts());
    fault.inject(world.target.faults())?;
    let time = |ms| clock(ms, &TimeZone::system(), "%H:%M:%S");
    print(&format!("{}  {}\n\n", time(began_ms), style.paint(Ink::Notice, fault.what())))?;
    print(&indented(&picture(world, style).await?))?;

    let mut told = BTreeMap::new();
    let mut mended_ms = None;
    loop {
        for incident in watch.news().await? {
            progress.clear();
            let text = in_words(&incident, &TimeZone::system(), style);
            print(&format!("{}  {text}", time(now_ms())))?;
            if incident.label == fault.label() && incident.opened_ts >= minute_ms(began_ms) {
                for cell in incident.body.cells {
                    told.entry(cell.client_id).or_insert_with(|| began.elapsed());
                }
            }
        }
        let everyone = told.len() == CLIENTS.len();
        if mended_ms.is_none() && began.elapsed() >= lasts {
            faults::mend(world.target.faults())?;
            mended_ms = Some(now_ms());
        }
        if let Some(mended_ms) = mended_ms
            && (everyone || began.elapsed() >= lasts + LINGER)
        {
            progress.clear();
            print(&format!(
                "{}  mended. {} since a minute before: {}\n\n",
                time(mended_ms),
                fault.measure(),
                curve(tape, fault, began_ms, style)
            ))?;
            return Ok((told, mended_ms));
        }
        let left = lasts.saturating_sub(began.elapsed());
        let what = match left.is_zero() {
            true => "mended; the minute is judged a quarter of a minute after its end".to_owned(),
            false => format!("mended in {}", units::span(left)),
        };
        let who = format!("named by {} of {} probes", told.len(), CLIENTS.len());
        progress.update(&format!("{who}; {what}"));
        tokio::time::sleep(if left.is_zero() { LOOK } else { LOOK.min(left) }).await;
    }
}

/// A waterfall of this moment.
async fn picture(world: &World, style: Style) -> anyhow::Result<String> {
    let measurement = world.prober()?.measure(&world.target_url).await;
    Ok(view::one(&measurement, now_ms(), style))
}

fn indented(text: &str) -> String {
    let mut out: String = text.lines().flat_map(|line| ["  ", line, "\n"]).collect();
    out.push('\n');
    out
}

fn recorder(tape: &Tape) -> Observer {
    let tape = Arc::clone(tape);
    Arc::new(move |m: &Measurement| {
        tape.lock().unwrap_or_else(PoisonError::into_inner).push((m.started_ms, m.clone()));
    })
}

/// The broken stage, a character every two seconds, from a minute before the fault.
fn curve(tape: &Tape, fault: LiveFault, began_ms: i64, style: Style) -> String {
    const STEP_MS: i64 = 2_000;
    let from_ms = began_ms - MINUTE_MS;
    let mut bins: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at, m) in tape.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(value) = fault.value(m).filter(|_| *at >= from_ms) {
            bins.entry((at - from_ms) / STEP_MS).or_default().push(value);
        }
    }
    let last = bins.keys().next_back().copied().unwrap_or(0);
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let values: Vec<_> = (0..=last).map(|i| bins.remove(&i).map(median)).collect();
    sparkline(&values, style).trim_end().to_owned()
}

fn truth(world: &World, fault: LiveFault, from_ms: i64, to_ms: i64) -> Truth {
    let target = world.target_url.to_string();
    Truth {
        label: Some(fault.label()),
        extended: Some(fault.label()),
        scope: ScopeName { kind: "target".to_owned(), id: target.clone() },
        kind: fault.kind().to_owned(),
        cells: CLIENTS.map(|client| (client.to_owned(), target.clone())).into(),
        from_ms,
        to_ms,
        magnitude: fault.what().to_owned(),
    }
}

impl Named {
    /// Whether every fault was named by most of the probes.
    pub(super) fn all(&self) -> bool {
        self.faults.iter().all(|(_, told)| told.len() * 2 > CLIENTS.len())
    }

    /// Told against true.
    pub(super) fn text(&self, style: Style) -> String {
        let mut out = String::new();
        let width = LiveFault::ALL.iter().map(|fault| fault.what().chars().count()).max();
        let width = width.unwrap_or_default();
        for (fault, told) in &self.faults {
            let label: Label = fault.label();
            let line = match told.values().min() {
                Some(first) => style.paint(
                    Ink::Good,
                    format!(
                        "named {label:<16} by {} of {} probes, the first after {}",
                        told.len(),
                        CLIENTS.len(),
                        units::span(*first)
                    ),
                ),
                None => style.paint(Ink::Bad, format!("not named ({label})")),
            };
            out.push_str(&format!("  {:<width$}  {line}\n", fault.what()));
        }
        let Score { found, cells, right, runs, false_alarms, .. } = self.score;
        format!(
            "Live, told against true:\n{out}  {found} of {cells} told by the probe that was hit; \
             {right} of {runs} alarms right, {false_alarms} of nothing.\n"
        )
    }
}
