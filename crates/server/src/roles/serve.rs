//! The read API as a process of its own.

use tokio_util::sync::CancellationToken;

use super::Door;
use super::door::Served;
use crate::api;
use crate::clock::now_ms;
use crate::health::{Check, Checks};
use crate::ingest::Auth;
use crate::metrics::Page;
use crate::openapi;
use crate::store::{Location, Store};

/// What a read API needs.
pub struct Serving {
    /// The store it reads.
    pub store: Location,
    /// Where it is asked.
    pub door: Door,
}

/// Answers readers until `shutdown`.
///
/// # Errors
/// Where the store can't be used as it is, however long one waits.
pub async fn api(cfg: Serving, shutdown: CancellationToken) -> anyhow::Result<()> {
    let served = Served::start(cfg.door, &shutdown);
    if let Some(store) = super::store(&cfg.store, &served, &shutdown).await? {
        let auth = Auth::new(store.tokens(), now_ms);
        let metrics = api::Metrics::default();
        let page = Page::of("api").with(&metrics).of_store(&store, now_ms);
        let page = page.for_readers(auth.clone());
        let router = api::router(api::Deps { store: store.clone(), auth, metrics, now: now_ms });
        served.open(router.merge(page.router()).merge(openapi::router()), checks(store));
        shutdown.cancelled().await;
    }
    served.close().await;
    Ok(())
}

fn checks(store: Store) -> Checks {
    let ready = move || {
        let store = store.clone();
        async move {
            let answers = store.answers().await;
            answers.map_err(|error| {
                tracing::debug!(%error, "not ready");
                "the store cannot be read".to_owned()
            })
        }
    };
    Checks { healthy: Check::of(|| Ok(())), ready: Check::new(ready) }
}
