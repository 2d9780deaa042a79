//! What tells incidents, beside what finds them.

use std::future;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::aggregator::Aggregator;
use crate::alert::{self, Alerting, config};
use crate::clock::now_ms;
use crate::store::Store;

/// It, at work; or nothing, where nobody is to be told.
pub(super) struct Telling {
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Telling {
    /// Starts it where there is a file of alerts.
    pub(super) fn start(
        config: Option<Arc<config::Config>>,
        store: &Store,
        aggregator: &Aggregator,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let Some(config) = config else { return Ok(Self { task: None, stop }) };
        let (store, aggregator) = (store.clone(), aggregator.clone());
        let alerting = Alerting::new(config, store, aggregator, alert::incidents, now_ms)?;
        let task = Some(tokio::spawn(alerting.run(stop.clone())));
        Ok(Self { task, stop })
    }

    /// Resolves when it has ended, as it does unasked where it panicked.
    pub(super) async fn ended(&mut self) {
        match &mut self.task {
            Some(task) => drop(task.await),
            None => future::pending().await,
        }
    }

    /// Stops it, when what is being sent is sent.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        match self.task {
            Some(task) => task.await.context("what tells incidents panicked"),
            None => Ok(()),
        }
    }
}
