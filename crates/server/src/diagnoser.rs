//! Judges cells whose windows changed, and writes runs.
//!
//! What is to be judged is in the store's queue, written with the windows, so nothing is lost by
//! a stop at any moment; what is said rests on the stored windows alone, so judging again after
//! a restart says the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::diagnosis::{self, Diagnosis, Outcome, Run, Verdict};
use model::units::MINUTE_MS;
use tokio_util::sync::CancellationToken;

mod fleet;
mod history;
mod rows;
mod seen;

pub use fleet::Fleet;
pub use history::{Rediagnosed, rediagnose};

use crate::aggregator::{Aggregator, Unavailable};
use crate::rollup;
use crate::store::{Cell, DiagnosisRow, Judged, Reader, Span, Store, StoreError, Task};

/// How often the queue is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Cells judged, and written in one transaction, in one step.
const CELLS: usize = 32;

/// How much longer than it took a step is rested from while events wait to be counted: they are
/// left 95 % of a processor, and verdicts come some seconds later.
const YIELD: u32 = 19;

const HOUR_MS: i64 = 60 * MINUTE_MS;
/// What is read before the oldest window that changed: what is usual (an hour of good windows),
/// with room for gaps.
const PAST_MS: i64 = 6 * HOUR_MS;
/// What is read before the beginning of a run that reaches into the past: what was usual then,
/// for it is the measure of the run as long as it lasts.
const USUAL_MS: i64 = 90 * MINUTE_MS;
/// What is read of the beginning of such a run. Its middle is left out, so that a fault of weeks
/// costs no more to judge than one of hours.
const ONSET_MS: i64 = 30 * MINUTE_MS;
/// What is judged at once of a cell whose past changed, as after an outage of its probe.
const PIECE_MS: i64 = 24 * HOUR_MS;
/// How far the change of a window can be felt in later ones: until it has left the usual.
const ECHO_MS: i64 = 6 * HOUR_MS;
/// Runs that may follow one on another before the past is cut off there.
const MAX_RUNS_BACK: usize = 8;

/// Why a step could not be made. It is made again; nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// What is to be judged can't be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// What was found can't be written.
    #[error(transparent)]
    Write(#[from] Unavailable),
}

/// What is known of a diagnoser. Cheap to clone; every clone tells the same.
#[derive(Clone, Default)]
pub struct Fares(Arc<Mutex<Option<String>>>);

impl Fares {
    /// Why the last step could not be made, where it could not.
    pub fn failing(&self) -> Option<String> {
        self.lock().clone()
    }

    fn told(&self, done: &Result<bool, StepError>) {
        let new = done.as_ref().err().map(ToString::to_string);
        let mut old = self.lock();
        if let (None, Some(error)) = (&*old, &new) {
            tracing::error!(%error, "can't judge what is queued");
        }
        *old = new;
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges what is queued, about once a second, until `shutdown`; of several that share a store one
/// acts at a time.
pub async fn run(
    store: Store,
    aggregator: Aggregator,
    now: fn() -> i64,
    mut fleet: Fleet,
    fares: Fares,
    shutdown: CancellationToken,
) {
    let mut pause = TICK;
    let mut leadership = store.leadership("diagnoser");
    while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let began = Instant::now();
        let held;
        (leadership, held) = leadership.held().await;
        let done = match held {
            Ok(true) => judge_and_merge(&store, &aggregator, &mut fleet, now()).await,
            Ok(false) => {
                // Another one goes on from here.
                fleet.take();
                Ok(false)
            }
            Err(error) => Err(error.into()),
        };
        pause = match &done {
            // More may wait, but ingest comes first.
            Ok(true) if aggregator.is_busy() => began.elapsed() * YIELD,
            Ok(true) => Duration::ZERO,
            _ => TICK,
        };
        fares.told(&done);
    }
}

/// One step of each kind; says whether more may wait.
async fn judge_and_merge(
    store: &Store,
    aggregator: &Aggregator,
    fleet: &mut Fleet,
    now_ms: i64,
) -> Result<bool, StepError> {
    let judged = step(store, aggregator, now_ms).await?;
    let merged = rollup::step(store, aggregator, now_ms).await?;
    let more = detect(store, aggregator, fleet, now_ms).await?;
    Ok(judged == CELLS || merged == rollup::SPANS || more)
}

/// One step of the detector; says whether more may be due.
pub async fn detect(
    store: &Store,
    aggregator: &Aggregator,
    fleet: &mut Fleet,
    now_ms: i64,
) -> Result<bool, StepError> {
    // Where it fails, another one begins from how the last one stood.
    let mut own = fleet.take();
    let look = move |reader: &Reader| own.step(reader, now_ms).map(|found| (own, found));
    let (own, found) = store.read(look).await?;
    let more = found.is_some();
    if let Some(found) = found.filter(|found| !found.is_empty()) {
        aggregator.detect(found).await?;
    }
    *fleet = own;
    Ok(more)
}

/// Judges the cells that wait longest; says how many.
pub async fn step(store: &Store, aggregator: &Aggregator, now_ms: i64) -> Result<usize, StepError> {
    let judged = store.read(move |reader| judge_queued(reader, now_ms)).await?;
    let count = judged.len();
    if count > 0 {
        aggregator.record(judged).await?;
    }
    Ok(count)
}

fn judge_queued(reader: &Reader, now_ms: i64) -> Result<Vec<Judged>, StoreError> {
    let mut found = Vec::new();
    for task in reader.tasks(CELLS)? {
        match judge(reader, task.clone(), now_ms) {
            Ok(judged) => found.push(judged),
            // Others must not wait behind a cell that can't be read. Its ingest says so too.
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "can't judge a cell");
                found.push(nothing_found(task));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Judges the windows of one cell from the oldest that changed, at most a day of them.
fn judge(reader: &Reader, task: Task, now_ms: i64) -> Result<Judged, StoreError> {
    let end_ms = task.oldest_ms.saturating_add(PIECE_MS);
    let past = Past::read(reader, &task.cell, task.oldest_ms)?;
    let mut windows = Vec::new();
    for span in past.spans(end_ms) {
        windows.extend(reader.cell_windows(&task.cell, span)?);
    }
    let verdicts = diagnosis::diagnose(&windows, now_ms);

    let read_from = past.begin_ms();
    let kept = reader.cell_diagnoses(&task.cell, Span { from_ms: read_from, to_ms: end_ms })?;
    let runs = rows(&task.cell, &verdicts, &past);
    let cut_ms = cut(task.oldest_ms, &runs, &kept);
    let mut runs: Vec<_> = runs.into_iter().filter(|run| run.last_ts >= cut_ms).collect();

    let more = reader.has_windows_from(&task.cell, end_ms)?;
    let unsettled = task.newest_ms.saturating_add(ECHO_MS) > end_ms
        || kept.iter().any(|run| run.last_ts >= end_ms)
        || runs.last().is_some_and(|run| run.open);
    if more && let Some(run) = runs.last_mut() {
        // Windows after this piece decide that.
        run.open = false;
    }
    Ok(Judged {
        replaced: Span { from_ms: cut_ms, to_ms: end_ms },
        runs,
        rest_ms: (more && unsettled).then_some(end_ms),
        task,
    })
}

fn nothing_found(task: Task) -> Judged {
    let nowhere = Span { from_ms: task.oldest_ms, to_ms: task.oldest_ms };
    Judged { replaced: nowhere, runs: Vec::new(), rest_ms: None, task }
}

/// What is read before the windows to judge.
struct Past {
    recent_ms: i64,
    /// Runs that reach across the beginning of what would be read, the latest first.
    across: Vec<DiagnosisRow>,
}

impl Past {
    /// A run that reaches across the beginning of the past would be taken for what is usual, so
    /// the past reaches back to before it.
    fn read(reader: &Reader, cell: &Cell, oldest_ms: i64) -> Result<Self, StoreError> {
        let recent_ms = oldest_ms - PAST_MS;
        let mut past = Self { recent_ms, across: Vec::new() };
        for _ in 0..MAX_RUNS_BACK {
            let from_ms = past.begin_ms();
            let here = Span { from_ms, to_ms: from_ms + USUAL_MS };
            let Some(first) = reader.cell_diagnoses(cell, here)?.into_iter().next() else { break };
            if first.since_ts - USUAL_MS >= from_ms {
                break;
            }
            past.across.push(first);
        }
        Ok(past)
    }

    fn begin_ms(&self) -> i64 {
        self.across.last().map_or(self.recent_ms, |run| run.since_ts - USUAL_MS)
    }

    /// The stretches to read, ascending and apart.
    fn spans(&self, end_ms: i64) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let recent = Span { from_ms: self.recent_ms, to_ms: end_ms };
        let onsets = self
            .across
            .iter()
            .rev()
            .map(|run| Span { from_ms: run.since_ts - USUAL_MS, to_ms: run.since_ts + ONSET_MS });
        for span in onsets.chain([recent]) {
            match spans.last_mut() {
                Some(last) if span.from_ms <= last.to_ms => last.to_ms = last.to_ms.max(span.to_ms),
                _ => spans.push(span),
            }
        }
        spans
    }

    /// The kept run that goes on from `before` to `after`, where its middle was left out.
    fn bridge(&self, before: &DiagnosisRow, after: &DiagnosisRow) -> Option<&DiagnosisRow> {
        self.across.iter().find(|kept| {
            [before.label, after.label] == [kept.label; 2]
                && kept.since_ts <= before.last_ts
                && kept.last_ts >= after.since_ts
        })
    }
}

/// Runs as they are kept; the two ends of one whose middle was left out are joined.
fn rows(cell: &Cell, verdicts: &[Verdict], past: &Past) -> Vec<DiagnosisRow> {
    let mut rows: Vec<DiagnosisRow> = Vec::new();
    for run in diagnosis::runs(verdicts) {
        let row = row(cell, run);
        match rows.last_mut() {
            Some(before)
                if !any_normal(verdicts, before.last_ts, row.since_ts)
                    && let Some(kept) = past.bridge(before, &row) =>
            {
                // Those that were left out were counted when they came.
                let came = labelled_after(verdicts, kept.last_ts, &row);
                before.windows = kept.windows.saturating_add(came);
                before.last_ts = row.last_ts;
                before.open = row.open;
                before.peak = worse(kept.peak.clone(), row.peak);
                before.latest = row.latest;
            }
            _ => rows.push(row),
        }
    }
    rows
}

fn any_normal(verdicts: &[Verdict], after_ms: i64, before_ms: i64) -> bool {
    verdicts.iter().any(|verdict| {
        let at = verdict.start.start_ms();
        verdict.outcome == Outcome::Normal && after_ms < at && at < before_ms
    })
}

fn labelled_after(verdicts: &[Verdict], after_ms: i64, run: &DiagnosisRow) -> u32 {
    let of_run = verdicts.iter().filter(|verdict| {
        let at = verdict.start.start_ms();
        after_ms < at && at <= run.last_ts && verdict.outcome.label() == Some(run.label)
    });
    u32::try_from(of_run.count()).unwrap_or(u32::MAX)
}

fn worse(a: Diagnosis, b: Diagnosis) -> Diagnosis {
    if b.severity() > a.severity() { b } else { a }
}

fn row(cell: &Cell, run: Run) -> DiagnosisRow {
    DiagnosisRow {
        client_id: cell.client_id.clone(),
        target: cell.target.clone(),
        label: run.label,
        since_ts: run.since.start_ms(),
        last_ts: run.last.start_ms(),
        windows: run.windows,
        open: run.open,
        latest: run.latest,
        peak: run.peak,
    }
}

/// The moment from which runs are replaced: no run, kept or found, reaches across it.
fn cut(oldest_ms: i64, found: &[DiagnosisRow], kept: &[DiagnosisRow]) -> i64 {
    let mut cut_ms = oldest_ms;
    loop {
        let reaching = found.iter().chain(kept).filter(|run| run.last_ts >= cut_ms);
        match reaching.map(|run| run.since_ts).min() {
            Some(since_ms) if since_ms < cut_ms => cut_ms = since_ms,
            _ => return cut_ms,
        }
    }
}
