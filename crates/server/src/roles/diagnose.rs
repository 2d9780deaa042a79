//! The diagnoser as a process of its own, with what tells incidents.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use model::detect::Topology;
use tokio_util::sync::CancellationToken;

use super::Door;
use super::door::Served;
use super::tell::Telling;
use crate::aggregator::{self, Aggregator};
use crate::alert;
use crate::clock::now_ms;
use crate::diagnoser::{self, Fleet};
use crate::health::{self, Check, Checks};
use crate::ingest::Auth;
use crate::metrics::Page;
use crate::store::{Location, Retention};

/// What a diagnoser needs.
pub struct Diagnosing {
    /// The store whose windows it judges.
    pub store: Location,
    /// Where its health is told.
    pub door: Door,
    /// How long the ids of counted events are kept.
    pub keep_ids: Duration,
    /// Who is told of incidents; nobody where there is none.
    pub alerts: Option<Arc<alert::config::Config>>,
    /// What is known of who is where.
    pub topology: Topology,
}

/// Judges windows until `shutdown`. Of several, one acts; another takes over when it is gone.
///
/// # Errors
/// Where the store can't be used as it is, however long one waits.
pub async fn diagnoser(cfg: Diagnosing, shutdown: CancellationToken) -> anyhow::Result<()> {
    let served = Served::start(cfg.door, &shutdown);
    let Some(store) = super::store(&cfg.store, &served, &shutdown).await? else {
        return Ok(());
    };
    let settings = aggregator::Settings {
        writers: 1,
        retention: Retention::of_ids(cfg.keep_ids),
        ..aggregator::Settings::default()
    };
    let started = super::writers(&store, settings, &served, &shutdown).await?;
    let Some((aggregator, mut writer)) = started else { return Ok(()) };
    let fares = diagnoser::Fares::default();
    let page = Page::of("diagnoser").with(&**aggregator.metrics()).with(fares.metrics());
    let page = page.of_store(&store, now_ms).for_readers(Auth::new(store.tokens(), now_ms));
    served.open(page.router(), checks(&aggregator, fares.clone()));

    let mut telling = Telling::start(cfg.alerts, &store, &aggregator)?;
    let stop = shutdown.child_token();
    let fleet = Fleet::of(Arc::new(cfg.topology));
    let judging = diagnoser::run(store, aggregator.clone(), now_ms, fleet, fares, stop.clone());
    let mut judging = tokio::spawn(judging);
    let broken = tokio::select! {
        ended = &mut judging => {
            ended.context("the diagnoser panicked")?;
            None
        }
        () = writer.one_finished() => Some("the writer"),
        () = telling.ended() => Some("what tells incidents"),
    };
    if broken.is_some() {
        stop.cancel();
        let _ = judging.await;
    } else {
        telling.finish().await?;
    }
    aggregator.close();
    writer.finished().await;
    served.close().await;
    if let Some(part) = broken {
        bail!("{part} panicked");
    }
    Ok(())
}

fn checks(aggregator: &Aggregator, fares: diagnoser::Fares) -> Checks {
    let alive = aggregator.clone();
    let ready = move || fares.failing().map_or(Ok(()), Err);
    Checks { healthy: Check::of(move || health::is_alive(&alive)), ready: Check::of(ready) }
}
