//! One cell from its first window to its last: what is said of each, and what is learned
//! from it.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::CellWindow;
use super::baseline::{Baseline, Medians};
use super::evidence::{self, Judged};
use super::label::Label;
use super::level::Sight;
use super::pool::{ENOUGH, MAX_GAP_MIN, Pool, gap_min, within_reach};
use super::rules::{self, Case, Cause, Finding};
use super::verdict::{Lacking, Outcome, Shortage};
use crate::stage::Metric;
use crate::units::Minute;

/// Windows that must follow a good one without a fault before it enters the baseline, so that
/// the slow beginning of a fault does not.
const QUARANTINE: usize = 3;

/// The primary cause keeps its place until another is larger by this many percent: two of a
/// size would change places by the minute.
const STICKY_PERCENT: u64 = 125;

/// The state of a cell after some of its windows.
pub(super) struct Judge<'a> {
    windows: &'a [CellWindow],
    /// The fault said of each window so far.
    faults: Vec<Option<Label>>,
    baseline: Baseline<'a>,
    /// Good windows that are not in the baseline yet, oldest first.
    pending: VecDeque<(usize, Medians)>,
    /// The fault that is open and when it began. While there is one, the baseline rests.
    open: Option<(Label, Minute)>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(windows: &'a [CellWindow]) -> Self {
        Self {
            windows,
            faults: Vec::with_capacity(windows.len()),
            baseline: Baseline::new(windows),
            pending: VecDeque::new(),
            open: None,
        }
    }

    /// Judges the next window.
    pub(super) fn next(&mut self) -> Outcome {
        let newest = self.faults.len();
        let outcome = self.judge(newest);
        self.faults.push(outcome.diagnosis().map(|d| d.label));
        outcome
    }

    fn judge(&mut self, newest: usize) -> Outcome {
        let windows = self.windows;
        if newest > 0 && gap_min(&windows[newest - 1], &windows[newest]) > MAX_GAP_MIN {
            self.open = None;
        }
        let reach = within_reach(windows, &self.faults, newest);
        let pool = Pool::of(reach, |w| w.sums().n);
        let transfers = transfers(reach, &pool);
        let mut medians = pool.medians();
        medians[Metric::Throughput as usize] =
            transfers.as_ref().unwrap_or(&pool).medians()[Metric::Throughput as usize];

        let have = pool.merged.sums().n;
        let too_few =
            (have < ENOUGH).then_some(Shortage { what: Lacking::Measurements, have, need: ENOUGH });
        let shortage = too_few.or_else(|| self.baseline.shortage());

        let sight = Sight { reach, baseline: &self.baseline };
        let case = Case { sight, medians, open: self.open.map(|(label, _)| label) };
        let mut findings = find(&case, shortage.is_none());
        let Some(primary) = lead(&mut findings, case.open) else {
            return match shortage {
                None => {
                    self.open = None;
                    self.learn(newest, medians, newest + 1 - pool.windows.len());
                    Outcome::Normal
                }
                Some(shortage) => {
                    if self.open.is_none() {
                        self.learn(newest, medians, newest + 1 - pool.windows.len());
                    }
                    Outcome::InsufficientData(shortage)
                }
            };
        };
        let since = match self.open {
            Some((label, since)) if label == primary.label => since,
            _ => evidence::onset(reach, &primary),
        };
        self.open = Some((primary.label, since));
        self.pending.clear();
        let pool = match (&primary.cause, transfers) {
            (Cause::Failing { windows }, _) => Pool::all(&reach[reach.len() - windows..]),
            (Cause::Shifted(_), Some(transfers)) if primary.label == Label::ThroughputBound => {
                transfers
            }
            (Cause::Shifted(_), _) => pool,
        };
        let judged = Judged { primary: &primary, others: &findings, pool: &pool, since };
        Outcome::Diagnosed(Box::new(evidence::diagnosis(&judged, &self.baseline)))
    }

    /// Takes a good window, and into the baseline those that have been good for long enough
    /// and are no longer part of what is judged, which begins at `judged_from`. Where the
    /// usual is not known yet, all at once.
    fn learn(&mut self, index: usize, medians: Medians, judged_from: usize) {
        if self.windows[index].window.sums().n > 0 {
            self.pending.push_back((index, medians));
        }
        while let Some(&(oldest, medians)) = self.pending.front() {
            let known = self.baseline.shortage().is_none();
            if known && (oldest >= judged_from || self.pending.len() <= QUARANTINE) {
                break;
            }
            self.pending.pop_front();
            self.baseline.admit(oldest, medians);
        }
    }
}

/// The windows that hold enough transfers, where the pool does not but those in reach do: a
/// probe may transfer less often than it measures.
fn transfers<'a>(reach: &'a [CellWindow], pool: &Pool<'_>) -> Option<Pool<'a>> {
    let count = |w: &CellWindow| w.window.sketch(Metric::Throughput).count();
    let few = pool.merged.sketch(Metric::Throughput).count() < ENOUGH;
    (few && reach.iter().map(count).sum::<u64>() >= ENOUGH)
        .then(|| Pool::of(reach, |w| w.sketch(Metric::Throughput).count()))
}

/// All that the rules find; those on levels only where there is enough to judge by.
fn find(case: &Case<'_>, levels: bool) -> Vec<Finding> {
    let mut findings: Vec<_> = rules::path_outage(case).into_iter().collect();
    if findings.is_empty() {
        findings.extend(rules::throughput_outage(case));
    }
    if levels {
        let slow = [rules::dns_bound, rules::handshake_bound, rules::server_bound];
        findings.extend(slow.iter().filter_map(|rule| rule(case)));
        if findings.is_empty() {
            findings.extend(rules::throughput_bound(case));
        }
    }
    findings
}

/// Takes out the primary cause: an outage, else the largest change. The others stay, the
/// largest first.
fn lead(findings: &mut Vec<Finding>, open: Option<Label>) -> Option<Finding> {
    let weight = |finding: &Finding| match &finding.cause {
        Cause::Failing { .. } => u64::MAX,
        Cause::Shifted(shifts) => {
            let percent = if open == Some(finding.label) { STICKY_PERCENT } else { 100 };
            shifts.iter().map(|s| s.change).sum::<u64>().saturating_mul(percent)
        }
    };
    findings.sort_by_key(|f| Reverse(weight(f)));
    let primary = findings.iter().position(|f| f.leads)?;
    Some(findings.remove(primary))
}
