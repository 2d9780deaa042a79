//! The ingest as a process of its own: events over HTTP, onto the bus.

use tokio_util::sync::CancellationToken;

use super::Door;
use super::door::Served;
use crate::bus::{self, Publisher, publish};
use crate::clock::now_ms;
use crate::health::{Check, Checks};
use crate::ingest::{self, Auth, Sink};
use crate::metrics::Page;
use crate::store::Location;
use crate::trace;

/// What an ingest needs.
pub struct Taking {
    /// The bus that keeps the events.
    pub bus: bus::Connect,
    /// The store that knows the tokens.
    pub store: Location,
    /// Where events come in.
    pub door: Door,
    /// A collector that traces go to; nowhere where there is none.
    pub collector: Option<trace::Endpoint>,
}

/// Takes events until `shutdown`; then stops accepting, lets requests in flight end, and returns.
/// It holds nothing: what was answered 202 is on the bus.
///
/// # Errors
/// Where bus or store can't be used as they are, however long one waits.
pub async fn ingest(cfg: Taking, shutdown: CancellationToken) -> anyhow::Result<()> {
    let served = Served::start(cfg.door, &shutdown);
    let Some(bus) = super::bus(&cfg.bus, &served, &shutdown).await? else {
        return Ok(());
    };
    let Some(store) = super::store(&cfg.store, &served, &shutdown).await? else {
        return Ok(());
    };
    // It may find the server gone again.
    let start = || Publisher::start(&bus, publish::Settings::default());
    let started = super::patiently(start, super::bus_passes, &served, &shutdown).await?;
    let Some(publisher) = started else { return Ok(()) };
    let tracer = super::tracer(cfg.collector.as_ref(), "ingest")?;
    let (auth, metrics) = (Auth::new(store.tokens(), now_ms), ingest::Metrics::default());
    let page = Page::of("ingest").with(&metrics).with(&publisher).for_readers(auth.clone());
    let router = ingest::router(ingest::Deps {
        sink: Sink::Bus(publisher.clone()),
        auth,
        settings: ingest::Settings::default(),
        metrics,
        tracer: tracer.clone(),
        now: now_ms,
    });
    let router = router.merge(page.router());
    served.open(router, checks(publisher));
    shutdown.cancelled().await;
    served.close().await;
    bus.close().await;
    super::finish(tracer).await;
    Ok(())
}

/// Tokens it has seen are good while the store is away, so that the store is no part of this.
fn checks(publisher: Publisher) -> Checks {
    let ready = move || match publisher.ready() {
        true => Ok(()),
        false => Err("the bus does not take events".to_owned()),
    };
    Checks { healthy: Check::of(|| Ok(())), ready: Check::of(ready) }
}
