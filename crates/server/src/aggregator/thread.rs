//! The thread that writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future;
use model::Event;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Applied, Health, Metrics, Settings, Unavailable};
use crate::store::{AlertRow, Claim, Class, Detected, Rolled, Sent, StoreError, Writer};

/// What the thread can be told.
pub(super) enum Command {
    Apply(Job),
    Close,
    Roll { rolled: Vec<Rolled>, answer: oneshot::Sender<Result<(), Unavailable>> },
    Alerts { change: AlertChange, answer: oneshot::Sender<Result<usize, Unavailable>> },
    Detect { found: Detected, answer: oneshot::Sender<Result<(), Unavailable>> },
}

/// What is to be written of alerts.
pub(super) enum AlertChange {
    Put(Vec<AlertRow>),
    Claim(Claim),
    Settle(Sent),
}

/// A batch that waits to be counted.
pub(super) struct Job {
    pub(super) events: Vec<Event>,
    pub(super) answer: oneshot::Sender<Result<Applied, Unavailable>>,
    /// Its place in the queue, given back just before it is answered: who was answered finds room
    /// for the next one.
    pub(super) room: OwnedSemaphorePermit,
}

/// The writers' threads. They end when they are told to, or the last [`super::Aggregator`] is
/// dropped, and what was queued is committed.
#[must_use = "wait for them, so that what was queued is committed"]
#[derive(Default)]
pub struct WriterThreads {
    ended: Vec<oneshot::Receiver<()>>,
}

/// What a thread does beside its batches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duties {
    /// It tries a store that fails, and removes what is old.
    AllChores,
    /// It tries a store that fails.
    Batches,
}

/// How often old rows are looked for, and how long the writer is left to batches between two
/// steps where there are many.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const SWEEP_PAUSE: Duration = Duration::from_millis(100);
/// How often a store that fails is tried, so that it is known to be well without traffic.
const RETRY_EVERY: Duration = Duration::from_secs(1);

impl WriterThreads {
    pub(super) fn start(
        &mut self,
        writer: Writer,
        queue: Receiver<Command>,
        settings: Settings,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        duties: Duties,
    ) {
        let (end, ended) = oneshot::channel();
        health.alive.store(true, Ordering::Release);
        let run = move || {
            let alive = Alive(Arc::clone(&health));
            Thread { writer, queue, settings, health, metrics, duties, held: None }.run();
            drop(alive);
            // Sent by being dropped where the thread panicked.
            let _ = end.send(());
        };
        thread::Builder::new()
            .name("writer".to_owned())
            .spawn(run)
            .expect("a thread can be started at start-up");
        self.ended.push(ended);
    }

    /// Resolves when all that was queued is committed and the threads have ended.
    pub async fn finished(&mut self) {
        while !self.ended.is_empty() {
            self.one_finished().await;
        }
    }

    /// Resolves when one of them has ended, as it does unasked where it panicked.
    pub async fn one_finished(&mut self) {
        if !self.ended.is_empty() {
            let (_, at, _) = future::select_all(&mut self.ended).await;
            self.ended.swap_remove(at);
        }
    }
}

/// Says when the thread is gone, however it went.
struct Alive(Arc<Health>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.store(false, Ordering::Release);
    }
}

struct Thread {
    writer: Writer,
    queue: Receiver<Command>,
    settings: Settings,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    duties: Duties,
    /// Taken from the queue while jobs were gathered; its turn is next.
    held: Option<Command>,
}

impl Thread {
    fn run(mut self) {
        let mut chore_at = Instant::now();
        loop {
            let until_chore = chore_at.saturating_duration_since(Instant::now());
            let next = match self.held.take() {
                Some(command) => Ok(command),
                None => self.queue.recv_timeout(until_chore),
            };
            match next {
                Ok(Command::Apply(job)) => self.apply(job),
                Ok(Command::Detect { found, answer }) => {
                    let began = Instant::now();
                    let written = self.writer.detect(&found);
                    let _ = answer.send(self.told("detect", began, written));
                }
                Ok(Command::Alerts { change, answer }) => {
                    let began = Instant::now();
                    let written = match change {
                        AlertChange::Put(rows) => self.writer.put_alerts(&rows),
                        AlertChange::Claim(claim) => {
                            self.writer.claim_alert(&claim).map(usize::from)
                        }
                        AlertChange::Settle(sent) => {
                            self.metrics.alerted(&sent.fate);
                            self.writer.settle_alert(&sent).map(|()| 1)
                        }
                    };
                    let _ = answer.send(self.told("alert", began, written));
                }
                Ok(Command::Roll { rolled, answer }) => {
                    let began = Instant::now();
                    let written = self.writer.roll(&rolled, (self.settings.now)());
                    let _ = answer.send(self.told("merge", began, written));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if self.health.failing.load(Ordering::Acquire) {
                chore_at = chore_at.min(now + RETRY_EVERY);
            }
            // Also where there is always a next command: chores are not put off for ever.
            if now >= chore_at {
                chore_at = now + self.chore();
            }
        }
    }

    /// Takes what else is queued into the transaction, up to the bound, and answers after it.
    fn apply(&mut self, first: Job) {
        let mut jobs = vec![first];
        let mut events = jobs[0].events.len();
        while events < self.settings.transaction_events {
            match self.queue.try_recv() {
                Ok(Command::Apply(job)) => {
                    events += job.events.len();
                    jobs.push(job);
                }
                Ok(other) => {
                    self.held = Some(other);
                    break;
                }
                Err(mpsc::TryRecvError::Empty | mpsc::TryRecvError::Disconnected) => break,
            }
        }
        self.apply_together(jobs);
    }

    fn apply_together(&mut self, jobs: Vec<Job>) {
        let mut batches = Vec::with_capacity(jobs.len());
        let mut waiting = Vec::with_capacity(jobs.len());
        for Job { events, answer, room } in jobs {
            batches.push(events);
            waiting.push((answer, room));
        }
        let began = Instant::now();
        let applied = self.writer.apply(&batches, (self.settings.now)());
        // What can't be counted must not fail those who share a transaction with its sender.
        if is_of_the_batch(&applied) && batches.len() > 1 {
            for (events, (answer, room)) in batches.into_iter().zip(waiting) {
                self.apply_together(vec![Job { events, answer, room }]);
            }
            return;
        }
        match self.told("count", began, applied) {
            Ok(duplicates) => {
                self.metrics.applied(&batches, duplicates.iter().sum(), (self.settings.now)());
                crate::crash::point("before-answer");
                for ((answer, room), duplicates) in waiting.into_iter().zip(duplicates) {
                    drop(room);
                    // Who went away will send again, and be told of duplicates.
                    let _ = answer.send(Ok(Applied { duplicates }));
                }
            }
            Err(unavailable) => {
                for (answer, room) in waiting {
                    drop(room);
                    let _ = answer.send(Err(unavailable.clone()));
                }
            }
        }
    }

    /// Removes a part of what is old, or tries whether the store can write again; says when to
    /// come back.
    fn chore(&mut self) -> Duration {
        if self.health.failing.load(Ordering::Acquire) {
            let began = Instant::now();
            let probed = self.writer.probe();
            let _ = self.told("probe", began, probed);
            return RETRY_EVERY;
        }
        if self.duties == Duties::Batches {
            return SWEEP_EVERY;
        }
        let began = Instant::now();
        let pruned = self.writer.prune(&self.settings.retention, (self.settings.now)());
        match self.told("remove", began, pruned) {
            Ok(pruned) if pruned.more => SWEEP_PAUSE,
            Ok(_) => SWEEP_EVERY,
            Err(_) => RETRY_EVERY,
        }
    }

    /// Notes how a transaction went, and says so once when that changes.
    fn told<T>(
        &self,
        doing: &'static str,
        began: Instant,
        done: Result<T, StoreError>,
    ) -> Result<T, Unavailable> {
        match done {
            Ok(done) => {
                self.metrics.transaction(doing, began.elapsed());
                if self.health.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the store can write again");
                }
                Ok(done)
            }
            Err(error) => {
                self.metrics.failed();
                // One cell that can't be read says nothing of the store as a whole.
                let of_all = error.class() != Class::Poison;
                if !of_all || !self.health.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!(%error, "a transaction failed");
                }
                Err(Unavailable::Store(Arc::new(error)))
            }
        }
    }
}

fn is_of_the_batch<T>(done: &Result<T, StoreError>) -> bool {
    done.as_ref().is_err_and(|error| error.class() == Class::Poison)
}
