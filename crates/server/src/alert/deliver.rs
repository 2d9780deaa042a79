//! Delivery: a task for each receiver, so that one that hangs keeps no other waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::config::{Kind, Receiver};
use super::message;
use super::outbox::{self, Waiting};
use super::retry::{self, Outcome};
use super::send::Sender;
use crate::aggregator::{Aggregator, Unavailable};
use crate::store::{AlertQuery, AlertRow, AlertState, Claim, Fate, Sent, Store, StoreError};

/// How often a receiver's task looks for what is due.
const TICK: Duration = Duration::from_secs(1);
/// A message that was taken is somebody else's after this, if nothing more is heard of it: who took it
/// is gone. Longer than a request and its writing down take.
pub const LEASE_MS: i64 = 60_000;
/// How often an Alertmanager is told what goes on.
const REFRESH_MS: i64 = 5 * 60_000;
/// Notices that are read at once.
const READ: usize = 1_000;

/// Why a step could not be made. It is made again; nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// What waits can't be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// What became of it can't be written.
    #[error(transparent)]
    Write(#[from] Unavailable),
}

/// What all receivers' tasks are told.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Whether it is on this program to send.
    pub leads: bool,
    /// What was told and goes on.
    pub open: Arc<Vec<AlertRow>>,
}

/// Sends to one receiver.
pub struct Courier {
    receiver: Arc<Receiver>,
    sender: Sender,
    incident_url: Option<String>,
    store: Store,
    aggregator: Aggregator,
    /// One after another failed.
    failures: u32,
    /// Until when the receiver is left alone.
    rests_until_ms: i64,
    refreshed_ms: i64,
}

/// What a step found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that is due.
    Idle,
    /// One message; there may be more.
    Tried,
}

impl Courier {
    /// For a receiver, whose messages are in the store.
    pub fn new(
        receiver: Arc<Receiver>,
        sender: Sender,
        incident_url: Option<String>,
        store: Store,
        aggregator: Aggregator,
    ) -> Self {
        let (failures, rests_until_ms, refreshed_ms) = (0, 0, 0);
        Self {
            receiver,
            sender,
            incident_url,
            store,
            aggregator,
            failures,
            rests_until_ms,
            refreshed_ms,
        }
    }

    /// Sends what is due until `shutdown`; what is being sent then is sent.
    pub(super) async fn run(
        mut self,
        mut standing: watch::Receiver<Standing>,
        now: fn() -> i64,
        shutdown: CancellationToken,
    ) {
        let mut said = false;
        loop {
            let next = async {
                // New notices are sent at once, others when their time has come.
                let _ = time::timeout(TICK, standing.changed()).await;
            };
            if shutdown.run_until_cancelled(next).await.is_none() {
                return;
            }
            let known = standing.borrow_and_update().clone();
            while known.leads && !shutdown.is_cancelled() {
                match self.step(now(), &shutdown).await {
                    Ok(Step::Tried) => said = false,
                    Ok(Step::Idle) => break,
                    Err(error) => {
                        if !std::mem::replace(&mut said, true) {
                            let receiver = &self.receiver.name;
                            tracing::error!(%error, receiver, "cannot send alerts");
                        }
                        break;
                    }
                }
            }
            if known.leads && !shutdown.is_cancelled() {
                self.refresh(&known.open, now()).await;
            }
        }
    }

    /// Sends the next message that is due, if there is one.
    ///
    /// # Errors
    /// What waits can't be read or written.
    pub async fn step(
        &mut self,
        now_ms: i64,
        shutdown: &CancellationToken,
    ) -> Result<Step, DeliverError> {
        // A clock that was set back must not make this a long rest.
        let longest_ms = 2 * 60 * 60_000;
        if (now_ms..now_ms.saturating_add(longest_ms)).contains(&self.rests_until_ms)
            && self.rests_until_ms > now_ms
        {
            return Ok(Step::Idle);
        }
        let Some(waiting) = self.next(now_ms).await? else { return Ok(Step::Idle) };
        let attempts = waiting.rows[0].attempts;
        let claim = Claim {
            message: waiting.id.clone(),
            attempts,
            again_ms: now_ms.saturating_add(LEASE_MS),
        };
        if !self.aggregator.claim_alert(claim).await? {
            // Another has it.
            return Ok(Step::Tried);
        }
        crate::crash::point("alert-taken");
        let incident_url = self.incident_url.as_deref();
        let message =
            message::message(&self.receiver, &waiting.id, &waiting.rows, incident_url, now_ms);
        let outcome = self.sender.send(message, now_ms / 1_000).await;
        crate::crash::point("alert-sent");
        let created_ms = waiting.rows[0].created_ts;
        let fate = retry::fate(outcome.clone(), created_ms, attempts + 1, now_ms, chance());
        self.tell(&outcome, &fate, &waiting, now_ms);
        let sent = Sent { message: waiting.id, at_ms: now_ms, fate };
        self.settle(sent, shutdown).await?;
        Ok(Step::Tried)
    }

    async fn next(&self, now_ms: i64) -> Result<Option<Waiting>, StoreError> {
        let query = AlertQuery {
            receiver: Some(self.receiver.name.clone()),
            state: Some(AlertState::Pending),
            from_ms: i64::MIN,
            limit: READ,
        };
        let (mut rows, more) = self.store.read(move |reader| reader.alerts(&query)).await?;
        if more && let Some(last) = rows.last().map(|row| row.message.clone()) {
            // The rest of it was not read.
            rows.retain(|row| row.message != last);
        }
        Ok(outbox::next(&rows, now_ms))
    }

    /// Writes down what became of a message. While that can't be done nothing more is sent, or the same
    /// would be sent again.
    async fn settle(&self, sent: Sent, shutdown: &CancellationToken) -> Result<(), Unavailable> {
        loop {
            match self.aggregator.settle_alert(sent.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, receiver = self.receiver.name, "cannot write down what was sent");
                    if shutdown.run_until_cancelled(time::sleep(TICK)).await.is_none() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Says in the log when a receiver begins to fail, when it is well again, and what is lost.
    fn tell(&mut self, outcome: &Outcome, fate: &Fate, waiting: &Waiting, now_ms: i64) {
        let receiver = &self.receiver.name;
        let notices = waiting.rows.len();
        match fate {
            Fate::Delivered => {
                if self.failures > 0 {
                    tracing::info!(receiver, "the receiver of alerts takes them again");
                }
                tracing::debug!(receiver, notices, message = waiting.id, "told");
            }
            Fate::Again { why, .. } if self.failures == 0 => {
                tracing::warn!(
                    receiver,
                    notices,
                    "cannot send alerts: {why}; it is tried again for 24 hours"
                );
            }
            Fate::Again { why, .. } => tracing::debug!(receiver, "cannot send alerts: {why}"),
            Fate::GivenUp { why } => {
                tracing::error!(receiver, notices, message = waiting.id, "alerts given up: {why}");
            }
        }
        if let Outcome::Later { after, .. } = outcome {
            self.failures = self.failures.saturating_add(1);
            let wait = retry::wait(self.failures, 0).max(after.unwrap_or_default());
            let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            self.rests_until_ms = now_ms.saturating_add(wait_ms);
        } else {
            self.failures = 0;
            self.rests_until_ms = 0;
        }
    }

    /// Tells an Alertmanager what goes on, lest it forget. Nothing depends on one of these.
    async fn refresh(&mut self, open: &[AlertRow], now_ms: i64) {
        let due = !(0..REFRESH_MS).contains(&(now_ms - self.refreshed_ms));
        if self.receiver.kind != Kind::Alertmanager || !due || self.failures > 0 {
            return;
        }
        self.refreshed_ms = now_ms;
        let mine = open.iter().filter(|row| row.receiver == self.receiver.name);
        let mine: Vec<AlertRow> = mine.take(READ).cloned().collect();
        if mine.is_empty() {
            return;
        }
        let message = message::refresh(&self.receiver, mine, self.incident_url.as_deref(), now_ms);
        if let Outcome::Later { why, .. } | Outcome::Never { why } =
            self.sender.send(message, now_ms / 1_000).await
        {
            tracing::warn!(receiver = self.receiver.name, "cannot say what goes on: {why}");
        }
    }
}

/// By chance; where the system has none, as if there were no other.
fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
