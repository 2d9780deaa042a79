//! The aggregator as a process of its own: from the bus into the store.

use std::time::Duration;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use super::door::Served;
use super::{Door, Horizon};
use crate::aggregator::{self, Aggregator};
use crate::bus::{self, Consumer, Health, consume, janitor};
use crate::clock::now_ms;
use crate::health::{self, Check, Checks};
use crate::ingest::Auth;
use crate::metrics::Page;
use crate::store::{Location, Retention};
use crate::trace;

/// What an aggregator needs.
pub struct Aggregating {
    /// The bus that the events wait on.
    pub bus: bus::Connect,
    /// The store they are counted in.
    pub store: Location,
    /// Where its health is told.
    pub door: Door,
    /// A collector that traces go to; nowhere where there is none.
    pub collector: Option<trace::Endpoint>,
    /// How many threads write to the store.
    pub writers: usize,
    /// How long the ids of counted events are kept.
    pub keep_ids: Duration,
    /// How long one may give no sign of life before others get what it had taken; the same for all.
    pub takeover: Duration,
}

/// How long messages at work are waited for at the end, so that all is over within ten seconds.
const DRAIN: Duration = Duration::from_secs(6);

/// Counts what comes over the bus until `shutdown`; then takes nothing more, commits and
/// acknowledges what it has, and returns. Any number of them share the work.
///
/// # Errors
/// Where bus or store can't be used as they are, however long one waits, or ids would be forgotten
/// before their events can come again.
pub async fn aggregator(cfg: Aggregating, shutdown: CancellationToken) -> anyhow::Result<()> {
    let served = Served::start(cfg.door, &shutdown);
    let Some(bus) = super::bus(&cfg.bus, &served, &shutdown).await? else {
        return Ok(());
    };
    let Some(store) = super::store(&cfg.store, &served, &shutdown).await? else {
        return Ok(());
    };
    let tracer = super::tracer(cfg.collector.as_ref(), "aggregator")?;
    let take = consume::Settings {
        drain: DRAIN,
        ack_wait: cfg.takeover,
        tracer: tracer.clone(),
        ..consume::Settings::default()
    };
    // Each of these may find the server gone again.
    let horizon = || Horizon::of(&bus, take.limits.max_age_ms, cfg.keep_ids);
    match super::patiently(horizon, super::bus_passes, &served, &shutdown).await? {
        Some(horizon) => horizon.check()?,
        None => return Ok(()),
    }

    let settings = aggregator::Settings {
        writers: cfg.writers,
        retention: Retention::of_ids(cfg.keep_ids),
        ..aggregator::Settings::default()
    };
    let started = super::writers(&store, settings, &served, &shutdown).await?;
    let Some((aggregator, mut writers)) = started else { return Ok(()) };
    let subscribe = || Consumer::start(&bus, aggregator.clone(), take.clone());
    let subscribed = super::patiently(subscribe, super::bus_passes, &served, &shutdown).await?;
    let Some(consumer) = subscribed else { return Ok(()) };
    let page = Page::of("aggregator").with(&**aggregator.metrics()).with(&consumer.health());
    let page = page.for_readers(Auth::new(store.tokens(), now_ms));
    served.open(page.router(), checks(&aggregator, consumer.health()));

    let stop = shutdown.child_token();
    let janitor = tokio::spawn(janitor::run(bus.clone(), consume::DURABLE, stop.clone()));
    let mut taking = std::pin::pin!(consumer.run(stop.clone()));
    let broken = tokio::select! {
        () = &mut taking => false,
        () = writers.one_finished() => true,
    };
    if broken {
        // What was not acknowledged comes again, to whoever is left.
        stop.cancel();
        taking.await;
    }
    aggregator.close();
    writers.finished().await;
    let _ = janitor.await;
    served.close().await;
    bus.close().await;
    super::finish(tracer).await;
    if broken {
        bail!("the writer panicked");
    }
    Ok(())
}

fn checks(aggregator: &Aggregator, consumer: Health) -> Checks {
    let (alive, writes) = (aggregator.clone(), aggregator.clone());
    let ready = move || {
        let fares = consumer.fares();
        if let Some(why) = fares.halted {
            return Err(format!("halted: {why}"));
        }
        if !fares.connected {
            return Err("not connected to the bus".to_owned());
        }
        health::writes(&writes)
    };
    Checks { healthy: Check::of(move || health::is_alive(&alive)), ready: Check::of(ready) }
}
