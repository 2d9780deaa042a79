//! The numbers that an incident rests on, so that whoever reads the verdict can check it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Minute};
use super::engine::Engine;
use super::evidence::{fails, tail};
use super::incident::Incident;
use super::observe::{Bucket, Failing, Signal, value};
use super::scope::Scope;
use super::unit::open_at;
use super::usual::at;
use crate::diagnosis::Label;
use crate::stage::ErrorStage;

/// Cells that figures are taken from at most: more make them no truer.
const MOST_CELLS: usize = 64;
/// The last minutes that the present is told from.
const PRESENT: i64 = 10;

/// The numbers of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// What `current` and `usual` are of: `dns`, `tcp`, `tls`, `ttfb`, `throughput` or `loaded`;
    /// absent for failures.
    pub signal: Option<String>,
    /// The last minutes, at most ten.
    pub current: Option<Level>,
    /// The last hour of good minutes, as it is expected to be at this time of day.
    pub usual: Option<Level>,
    /// By what the time of day makes `usual` differ from the rest of the day, as a factor (the median of the
    /// cells); absent where it does not, or is not known to.
    pub seasonal_factor: Option<f64>,
    /// `current` less `usual`, of the medians, and its ratio.
    pub change: Option<Change>,
    /// What each stage has more than usual, milliseconds: look-up, connect, handshake, first byte.
    pub excess_ms: [f64; 4],
    /// How sure it is.
    pub evidence: Option<Sum>,
    /// Failed measurements of the last minutes, by stage.
    pub failures: BTreeMap<String, u64>,
    /// Measurements of the last minutes.
    pub measurements: u64,
    /// The cells of whom it is.
    pub cells: Tally,
    /// Others of the same cells, that the data can't tell apart: type and name.
    pub ambiguous_with: Vec<(String, String)>,
}

/// A distribution, in milliseconds, or kilobits a second for throughput. Values are within 1 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// Samples.
    pub n: u64,
}

/// How far the medians are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Milliseconds, or kilobits a second.
    pub difference: f64,
    /// Times the usual.
    pub ratio: f64,
}

/// The sum of the logarithms of likelihood ratios, and where it counts as found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// `level`, `tail` or `failures`.
    pub kind: String,
    /// What it has come to.
    pub sum: f64,
    /// From where on a change counts as found.
    pub opens_at: f64,
    /// Minutes it was summed over.
    pub minutes: u64,
}

/// Cells of a unit, by what their last minutes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// They were told.
    pub bad: u64,
    /// They were measured and not told.
    pub good: u64,
    /// They were not measured.
    pub unknown: u64,
}

impl Payload {
    /// What the incident itself holds: no levels, no failures, and no others to compare with.
    pub fn of(incident: &Incident) -> Self {
        let name = |scope: &Scope| (scope.kind.as_str().to_owned(), scope.id.to_string());
        Self {
            excess_ms: incident.excess.map(|us| rounded(us / 1e3)),
            cells: Tally { bad: incident.cells.len() as u64, ..Tally::default() },
            ambiguous_with: incident.ambiguous_with.iter().map(name).collect(),
            ..Self::default()
        }
    }
}

impl Engine {
    /// The numbers of an incident that a minute does not show: those of the last that did, and for whom
    /// it is by now.
    pub fn payload_after(&self, incident: &Incident, last: &Payload) -> Payload {
        let Payload { ambiguous_with, .. } = Payload::of(incident);
        Payload { cells: self.tally(incident), ambiguous_with, ..last.clone() }
    }

    /// The numbers of an incident as they stand.
    pub fn payload(&self, incident: &Incident) -> Payload {
        let from = incident.onset.max(incident.last_bad + 1 - PRESENT);
        let bad =
            || incident.cells.iter().take(MOST_CELLS).filter_map(|&cell| self.cells.get(cell));
        let minutes = || bad().flat_map(|cell| present(cell, from, incident.last_bad));
        let mut failures = BTreeMap::new();
        let mut measurements = 0;
        for minute in minutes() {
            measurements += u64::from(minute.seen.tried(0));
            for failing in Failing::ALL {
                let n = u64::from(minute.seen.failed(failing as usize));
                if n > 0 {
                    *failures.entry(failing.as_str().to_owned()).or_default() += n;
                }
            }
        }
        let signal = signal_of(incident.label);
        let to = incident.last_bad;
        let (current, usual) = match signal {
            Some(signal) => levels(signal, bad, from, to),
            None => (None, None),
        };
        let change = current.zip(usual).map(|(now, usual): (Level, Level)| Change {
            difference: rounded(now.p50 - usual.p50),
            ratio: rounded(now.p50 / usual.p50),
        });
        Payload {
            signal: signal.map(|signal| signal.as_str().to_owned()),
            current,
            usual,
            seasonal_factor: signal.and_then(|signal| seasonal_factor(signal, bad(), to)),
            change,
            evidence: self.evidence(incident),
            failures,
            measurements,
            cells: self.tally(incident),
            ..Payload::of(incident)
        }
    }

    /// That of the unit's track which has most.
    fn evidence(&self, incident: &Incident) -> Option<Sum> {
        let unit = self.units.get(incident.unit)?;
        let kinds = (0..unit.tracks.len()).filter(|&kind| unit.tracks[kind].on);
        let most = kinds.max_by(|&a, &b| {
            let part = |kind: usize| unit.tracks[kind].sum() / open_at(kind);
            part(a).total_cmp(&part(b))
        })?;
        let kind = match most {
            kind if kind >= fails(0) => "failures",
            kind if kind >= tail(0) => "tail",
            _ => "level",
        };
        let track = &unit.tracks[most];
        let (sum, opens_at, minutes) = (rounded(track.sum()), open_at(most), track.run() as u64);
        Some(Sum { kind: kind.to_owned(), sum, opens_at, minutes })
    }

    fn tally(&self, incident: &Incident) -> Tally {
        let mut tally = Tally { bad: incident.cells.len() as u64, ..Tally::default() };
        let Some(unit) = self.units.get(incident.unit) else { return tally };
        for cell in unit.cells.iter().filter(|&&cell| !incident.cells.has(cell)) {
            let seen = self.cells[*cell].since(incident.last_bad).next().is_some();
            *(if seen { &mut tally.good } else { &mut tally.unknown }) += 1;
        }
        tally
    }
}

fn levels<'a, I: Iterator<Item = &'a Cell>>(
    signal: Signal,
    bad: impl Fn() -> I,
    from: i64,
    to: i64,
) -> (Option<Level>, Option<Level>) {
    let signal = signal as usize;
    let mut now: Vec<Bucket> = Vec::new();
    let mut then: Vec<Bucket> = Vec::new();
    for cell in bad() {
        now.extend(present(cell, from, to).flat_map(|minute| minute.seen.samples(signal)));
        then.extend(cell.usual[signal].at(signal, to).all());
    }
    (Level::of(now), Level::of(then))
}

fn seasonal_factor<'a>(
    signal: Signal,
    bad: impl Iterator<Item = &'a Cell>,
    at: i64,
) -> Option<f64> {
    let signal = signal as usize;
    let mut all: Vec<f64> = bad.map(|cell| cell.usual[signal].at(signal, at).factor()).collect();
    all.sort_by(f64::total_cmp);
    let middle = *all.get(all.len() / 2)?;
    (middle != 1.0).then(|| rounded(middle))
}

impl Level {
    fn of(mut samples: Vec<Bucket>) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        samples.sort_unstable();
        // Microseconds to milliseconds, bits to kilobits a second.
        let quantile = |q| rounded(value(at(&samples, q)) / 1e3);
        Some(Self { p50: quantile(0.5), p95: quantile(0.95), n: samples.len() as u64 })
    }
}

/// To microseconds, or bits a second: what is written comes back as it was.
fn rounded(value: f64) -> f64 {
    libm::round(value * 1e3) / 1e3
}

fn present(cell: &Cell, from: i64, to: i64) -> impl Iterator<Item = &Minute> {
    cell.since(from).filter(move |minute| minute.at <= to)
}

/// The signal that a label is told by.
fn signal_of(label: Label) -> Option<Signal> {
    Some(match label {
        Label::DnsBound => Signal::Dns,
        Label::HandshakeBound => Signal::Tls,
        Label::ServerBound => Signal::Ttfb,
        Label::ThroughputBound => Signal::Throughput,
        Label::PathDelay | Label::PathLossBound => Signal::Tcp,
        Label::Bufferbloat => Signal::Loaded,
        Label::Outage(ErrorStage::Throughput | ErrorStage::ThroughputTimeout) => Signal::Throughput,
        _ => return None,
    })
}
