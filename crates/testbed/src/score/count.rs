//! The counting.

use std::collections::{BTreeMap, BTreeSet};

use model::diagnosis::Label;
use model::units::MINUTE_MS;

use super::{Delay, FaultScore, Observed, Score, Told};
use crate::simulate::Truth;

/// The right label still counts as found this long after the fault's end.
const FOUND_GRACE_MS: i64 = 2 * MINUTE_MS;
/// An alarm still is about a fault this long after its end.
const ALARM_GRACE_MS: i64 = 6 * MINUTE_MS;
/// Runs of one label that are this close are one alarm.
const GAP_MS: i64 = 2 * MINUTE_MS;
const DAY_MS: f64 = 86_400_000.0;

/// Compares what was told with what was true.
pub fn score(truths: &[Truth], told: &[Told], observed: &Observed) -> Score {
    let told = by_cell(told);
    let mut score = Score::default();
    let mut delays = Vec::new();
    for truth in truths {
        let (row, found) = row(truth, &told, &mut score.confusion);
        if truth.label.is_some() {
            let of_label = score.labels.entry(name(truth.label)).or_default();
            of_label.cells += truth.cells.len() as u64;
            of_label.found += row.found.len() as u64;
            score.cells += truth.cells.len() as u64;
            score.found += row.found.len() as u64;
            delays.extend(found);
        }
        score.faults.push(row);
    }
    score.delay = Delay::of(delays);
    score.recall = ratio(score.found, score.cells);
    let named = || score.faults.iter().filter(|row| row.label.is_some());
    let of_each = named().filter_map(|row| {
        ratio(row.found.len() as u64, (row.found.len() + row.missed.len()) as u64)
    });
    let (sum, n) = of_each.fold((0.0, 0_u64), |(sum, n), share| (sum + share, n + 1));
    score.macro_recall = (n > 0).then(|| sum / n as f64);

    count_alarms(&mut score, truths, &told);
    let judged = score.right + score.mislabelled + score.false_alarms;
    score.precision = ratio(score.right, judged);
    score.f1 = score.recall.zip(score.precision).map(|(recall, precision)| {
        if recall + precision > 0.0 { 2.0 * recall * precision / (recall + precision) } else { 0.0 }
    });
    count_clear_time(&mut score, truths, &told, observed);
    score
}

type Cell<'a> = (&'a str, &'a str);

/// A label over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    label: Label,
    from_ms: i64,
    to_ms: i64,
}

impl Run {
    fn meets(&self, from_ms: i64, to_ms: i64) -> bool {
        self.from_ms < to_ms && self.to_ms > from_ms
    }
}

/// What was told of each cell, by label and time.
fn by_cell(told: &[Told]) -> BTreeMap<Cell<'_>, Vec<Run>> {
    let mut cells: BTreeMap<Cell<'_>, Vec<Run>> = BTreeMap::new();
    for told in told.iter().filter(|told| told.label.is_fault()) {
        let Told { client, target, label, from_ms, to_ms } = told;
        let run = Run { label: *label, from_ms: *from_ms, to_ms: *to_ms };
        cells.entry((client, target)).or_default().push(run);
    }
    cells.values_mut().for_each(|runs| runs.sort_unstable());
    cells
}

/// One fault against what was told of its cells, and the delay for each cell it was found on.
fn row(
    truth: &Truth,
    told: &BTreeMap<Cell<'_>, Vec<Run>>,
    confusion: &mut BTreeMap<String, BTreeMap<String, u64>>,
) -> (FaultScore, Vec<u64>) {
    let mut row = FaultScore {
        kind: truth.kind.clone(),
        magnitude: truth.magnitude.clone(),
        label: truth.label,
        from_ms: truth.from_ms,
        to_ms: truth.to_ms,
        found: Vec::new(),
        missed: Vec::new(),
        delay: None,
        otherwise: BTreeMap::new(),
    };
    let mut delays = Vec::new();
    let confused = confusion.entry(name(truth.label)).or_default();
    for cell in &truth.cells {
        let runs = told.get(&(cell.0.as_str(), cell.1.as_str())).map_or(&[][..], Vec::as_slice);
        let meanwhile =
            || runs.iter().filter(|run| run.meets(truth.from_ms, truth.to_ms + FOUND_GRACE_MS));
        let right = meanwhile().filter(|run| truth.label == Some(run.label));
        match right.map(|run| windows_until(truth.from_ms, run.from_ms)).min() {
            Some(delay) => {
                delays.push(delay);
                row.found.push(cell.clone());
            }
            None => row.missed.push(cell.clone()),
        }
        let labels: BTreeSet<Label> = meanwhile().map(|run| run.label).collect();
        if labels.is_empty() {
            *confused.entry(name(None)).or_default() += 1;
        }
        for label in labels {
            *confused.entry(label.to_string()).or_default() += 1;
            if truth.label != Some(label) {
                *row.otherwise.entry(label.to_string()).or_default() += 1;
            }
        }
    }
    row.delay = Delay::of(delays.clone());
    (row, delays)
}

/// The fault's first window is 1, whatever was told before it.
fn windows_until(fault_ms: i64, told_ms: i64) -> u64 {
    1 + told_ms.saturating_sub(fault_ms).max(0).unsigned_abs() / MINUTE_MS.unsigned_abs()
}

fn count_alarms(score: &mut Score, truths: &[Truth], told: &BTreeMap<Cell<'_>, Vec<Run>>) {
    let faults = faults_by_cell(truths);
    for (cell, runs) in told {
        let faults = faults.get(cell).map_or(&[][..], Vec::as_slice);
        for alarm in joined(runs) {
            let meanwhile =
                || faults.iter().filter(|t| alarm.meets(t.from_ms, t.to_ms + ALARM_GRACE_MS));
            let of_label = score.labels.entry(alarm.label.to_string()).or_default();
            let (kind, of_label) = if meanwhile().any(|truth| truth.label == Some(alarm.label)) {
                (&mut score.right, Some(&mut of_label.right))
            } else if meanwhile().any(|truth| truth.label.is_some()) {
                (&mut score.mislabelled, Some(&mut of_label.wrong))
            } else if meanwhile().next().is_some() {
                (&mut score.unnamed, None)
            } else {
                (&mut score.false_alarms, Some(&mut of_label.wrong))
            };
            *kind += 1;
            if let Some(of_label) = of_label {
                *of_label += 1;
            }
            score.runs += 1;
        }
    }
}

/// How much of the time without a fault there was, and how much of that was told to be faulty.
fn count_clear_time(
    score: &mut Score,
    truths: &[Truth],
    told: &BTreeMap<Cell<'_>, Vec<Run>>,
    observed: &Observed,
) {
    let clip =
        |from_ms: i64, to_ms: i64| (from_ms.max(observed.from_ms), to_ms.min(observed.to_ms));
    let faulty: BTreeMap<Cell<'_>, Vec<(i64, i64)>> = faults_by_cell(truths)
        .into_iter()
        .map(|(cell, faults)| {
            (cell, union(faults.iter().map(|t| clip(t.from_ms, t.to_ms + ALARM_GRACE_MS))))
        })
        .collect();
    let observed_ms = (observed.to_ms - observed.from_ms).max(0) as f64 * observed.cells as f64;
    let clear_ms = observed_ms - faulty.values().map(|spans| length(spans)).sum::<f64>();
    if clear_ms <= 0.0 {
        return;
    }
    let mut told_ms = 0.0;
    for (cell, runs) in told {
        let told = union(runs.iter().map(|run| clip(run.from_ms, run.to_ms)));
        let faulty = faulty.get(cell).map_or(&[][..], Vec::as_slice);
        let both = told.iter().flat_map(|a| {
            faulty.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))).filter(|(from, to)| from < to)
        });
        told_ms += length(&told) - length(&both.collect::<Vec<_>>());
    }
    score.false_alarms_per_cell_day = Some(score.false_alarms as f64 / (clear_ms / DAY_MS));
    score.false_time = Some(told_ms / clear_ms);
}

fn faults_by_cell(truths: &[Truth]) -> BTreeMap<Cell<'_>, Vec<&Truth>> {
    let mut cells: BTreeMap<Cell<'_>, Vec<&Truth>> = BTreeMap::new();
    for truth in truths {
        for (client, target) in &truth.cells {
            cells.entry((client, target)).or_default().push(truth);
        }
    }
    cells
}

/// Runs of one label that follow each other closely are one. Takes them by label and time.
fn joined(runs: &[Run]) -> Vec<Run> {
    let mut alarms: Vec<Run> = Vec::new();
    for run in runs {
        match alarms.last_mut() {
            Some(last) if last.label == run.label && run.from_ms - last.to_ms <= GAP_MS => {
                last.to_ms = last.to_ms.max(run.to_ms);
            }
            _ => alarms.push(*run),
        }
    }
    alarms
}

/// The spans that these cover together, disjoint and ascending.
fn union(spans: impl Iterator<Item = (i64, i64)>) -> Vec<(i64, i64)> {
    let mut spans: Vec<_> = spans.filter(|(from, to)| from < to).collect();
    spans.sort_unstable();
    let mut union: Vec<(i64, i64)> = Vec::new();
    for (from, to) in spans {
        match union.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => union.push((from, to)),
        }
    }
    union
}

fn length(spans: &[(i64, i64)]) -> f64 {
    spans.iter().map(|(from, to)| to - from).sum::<i64>() as f64
}

impl Delay {
    /// By nearest rank.
    fn of(mut delays: Vec<u64>) -> Option<Self> {
        delays.sort_unstable();
        let at =
            |tenths: usize| delays.get((delays.len() * tenths).div_ceil(10).max(1) - 1).copied();
        Some(Self { p50: at(5)?, p90: at(9)? })
    }
}

pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A label's name; `-` for none.
fn name(label: Option<Label>) -> String {
    label.map_or_else(|| "-".to_owned(), |label| label.to_string())
}

#[cfg(test)]
mod tests;
