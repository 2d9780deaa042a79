//! Alerts: incidents are told to those who are to know, once, and until they have them.
//!
//! [`plan`] says what is due, from incidents and what was told; [`group`] puts it into messages; they
//! are written to the table `alerts`, which is outbox and log; [`deliver`] sends what waits there. A
//! message is marked as sent after it was, so one that was in flight at a crash is sent again, under
//! the same key.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub mod address;
pub mod config;
pub mod deliver;
pub mod group;
pub mod maintenance;
pub mod message;
pub mod outbox;
pub mod plan;
pub mod retry;
pub mod send;
pub mod sign;
#[cfg(test)]
mod testing;

use crate::aggregator::Aggregator;
use crate::store::{
    AlertEvent, AlertQuery, AlertRow, AlertState, Fate, IncidentQuery, IncidentRow, Reader, Sent,
    Span, Store, StoreError, Told,
};
use config::Config;
use deliver::{Courier, DeliverError, Standing};
use group::Waiting;
use send::{Sender, SetupError};

/// How often it is asked what is due.
const TICK: Duration = Duration::from_secs(2);
/// How far back one looks most times, and how far once an hour and at the start.
const RECENT_MS: i64 = 2 * 60 * 60_000;
/// Incidents that are read at most.
const MOST_INCIDENTS: usize = 10_000;
const FAR_MS: i64 = 7 * 24 * 60 * 60_000;
const FAR_EVERY_MS: i64 = 60 * 60_000;

/// Incidents as they are read.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    /// Those that go on, and those that ended since the moment that was asked for.
    pub rows: Vec<IncidentRow>,
    /// Whether these are all.
    pub complete: bool,
}

/// Where incidents come from: those that go on, and those that ended since a moment.
pub type Source = fn(&Reader, i64) -> Result<Incidents, StoreError>;

/// What tells incidents.
pub struct Alerting {
    store: Store,
    aggregator: Aggregator,
    config: Arc<Config>,
    senders: Vec<Sender>,
    source: Source,
    now: fn() -> i64,
    waiting: Waiting,
    looked_far_ms: i64,
}

impl Alerting {
    /// Who is told what stands in `config`; what was told, and is to be, in the store.
    ///
    /// # Errors
    /// A receiver's certificates can't be used.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        aggregator: Aggregator,
        source: Source,
        now: fn() -> i64,
    ) -> Result<Self, SetupError> {
        let senders = config.receivers.iter().map(|one| Sender::new(one));
        let senders = senders.collect::<Result<_, _>>()?;
        let (waiting, looked_far_ms) = (Waiting::default(), i64::MIN);
        Ok(Self { store, aggregator, config, senders, source, now, waiting, looked_far_ms })
    }

    /// Tells what there is to tell until `shutdown`; of several that share a store one acts at a time.
    /// Returns when what was being sent is sent.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (tell, told) = watch::channel(Standing::default());
        let mut couriers = JoinSet::new();
        for courier in self.couriers() {
            couriers.spawn(courier.run(told.clone(), self.now, shutdown.clone()));
        }
        drop(told);
        let mut leadership = self.store.leadership("alerts");
        let mut failing = false;
        while shutdown.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            if couriers.try_join_next().is_some() {
                // It panicked. Whoever supervises us starts us anew.
                return;
            }
            let held;
            (leadership, held) = leadership.held().await;
            let done = match held {
                Ok(true) => self.look((self.now)()).await.map(Some),
                Ok(false) => Ok(None),
                Err(error) => Err(error.into()),
            };
            let failed = done.is_err();
            match done {
                Ok(Some(open)) => {
                    tell.send_replace(Standing { leads: true, open: Arc::new(open) });
                }
                Ok(None) => {
                    tell.send_replace(Standing::default());
                }
                Err(error) if !failing => tracing::error!(%error, "can't tell incidents"),
                Err(_) => {}
            }
            failing = failed;
        }
        while couriers.join_next().await.is_some() {}
    }

    /// One for each receiver.
    pub fn couriers(&self) -> Vec<Courier> {
        let each = self.config.receivers.iter().zip(&self.senders);
        each.map(|(receiver, sender)| {
            Courier::new(
                Arc::clone(receiver),
                sender.clone(),
                self.config.incident_url.clone(),
                self.store.clone(),
                self.aggregator.clone(),
            )
        })
        .collect()
    }

    /// Reads incidents and takes a step; says what was told and goes on.
    async fn look(&mut self, now_ms: i64) -> Result<Vec<AlertRow>, DeliverError> {
        let far = !(0..FAR_EVERY_MS).contains(&now_ms.saturating_sub(self.looked_far_ms));
        let recent_ms = RECENT_MS + self.config.policy.resolve_after_ms;
        let from_ms = now_ms.saturating_sub(if far { FAR_MS } else { recent_ms });
        let source = self.source;
        let incidents = self.store.read(move |reader| source(reader, from_ms)).await?;
        let open = self.step(incidents, from_ms, now_ms).await?;
        if far {
            self.give_up_orphans(now_ms).await?;
            self.looked_far_ms = now_ms;
        }
        Ok(open)
    }

    /// Writes what is due of these incidents, and says what was told of them and goes on. `from_ms` is
    /// since when those that ended were read.
    ///
    /// # Errors
    /// What was told can't be read, or what is due can't be written. It is due again.
    pub async fn step(
        &mut self,
        incidents: Incidents,
        from_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<AlertRow>, DeliverError> {
        let Incidents { rows: incidents, complete } = incidents;
        let ids: Vec<String> = incidents.iter().map(|one| one.id.clone()).collect();
        let told = move |reader: &Reader| {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            reader.told(&ids, from_ms)
        };
        let told = self.store.read(told).await?;
        let config = &self.config;
        let due = plan::due(&plan::Input {
            config,
            incidents: &incidents,
            complete,
            told: &told,
            now_ms,
        });
        let rows = self.waiting.messages(due, config.policy.group_window_ms, now_ms);
        if !rows.is_empty() {
            self.aggregator.put_alerts(rows).await?;
        }
        Ok(standing(told))
    }

    /// What waits for a receiver that the file does not name any more waits for nobody.
    async fn give_up_orphans(&self, now_ms: i64) -> Result<(), DeliverError> {
        let query = AlertQuery {
            state: Some(AlertState::Pending),
            from_ms: i64::MIN,
            limit: 1_000,
            ..AlertQuery::default()
        };
        let (rows, _) = self.store.read(move |reader| reader.alerts(&query)).await?;
        let known =
            |row: &AlertRow| self.config.receivers.iter().any(|one| one.name == row.receiver);
        let old = |row: &AlertRow| now_ms.saturating_sub(row.created_ts) > retry::GIVEN_UP_AFTER_MS;
        for row in rows.iter().filter(|row| old(row) && !known(row)) {
            let why = format!("the file of alerts names no receiver `{}`", row.receiver);
            let fate = Fate::GivenUp { why };
            let sent = Sent { message: row.message.clone(), at_ms: now_ms, fate };
            self.aggregator.settle_alert(sent).await?;
        }
        Ok(())
    }
}

fn standing(told: Vec<Told>) -> Vec<AlertRow> {
    let open = |told: &Told| {
        told.heard && !matches!(told.last.event, AlertEvent::Ended | AlertEvent::Test)
    };
    told.into_iter().filter(open).map(|told| told.last).collect()
}

/// Sends a notice that is marked as a test to a receiver now, once; nothing is kept of it.
///
/// # Errors
/// The receiver's certificates can't be used.
pub async fn test(
    receiver: &config::Receiver,
    config: &Config,
    now_ms: i64,
) -> Result<retry::Outcome, SetupError> {
    let sender = Sender::new(receiver)?;
    let row = message::test_notice(&receiver.name, now_ms);
    let id = row.message.clone();
    let message = message::message(receiver, &id, &[row], config.incident_url.as_deref(), now_ms);
    Ok(sender.send(message, now_ms / 1_000).await)
}

/// The incidents of a store.
///
/// # Errors
/// They can't be read.
pub fn incidents(reader: &Reader, from_ms: i64) -> Result<Incidents, StoreError> {
    let read = |open: bool, from_ms: i64| {
        let span = Span { from_ms, to_ms: i64::MAX };
        let query = IncidentQuery::new(span, MOST_INCIDENTS);
        reader.incidents(&IncidentQuery { open: Some(open), ..query })
    };
    let (mut rows, more) = read(true, i64::MIN)?;
    let (ended, more_ended) = read(false, from_ms)?;
    rows.extend(ended);
    Ok(Incidents { rows, complete: !(more || more_ended) })
}
