//! The socket of a role: open from the start, with an honest answer while the role is not yet at
//! work.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::health::{self, Check, Checks};
use crate::ingest::accept::{self, AcceptLimits};
use crate::ingest::problem;

/// Where a role listens.
pub struct Door {
    /// The bound socket; its port may have been 0.
    pub listener: TcpListener,
    /// The certificate it serves with; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// A role's socket at work, until it is dropped.
pub(super) struct Served {
    slot: Arc<Slot>,
    serving: JoinHandle<()>,
    stop: DropGuard,
}

#[derive(Default)]
struct Slot {
    router: OnceLock<Router>,
    waits_for: Mutex<String>,
}

impl Served {
    /// Listens until `shutdown`, and says that the role is starting.
    pub(super) fn start(door: Door, shutdown: &CancellationToken) -> Self {
        let Door { listener, tls } = door;
        let slot = Arc::new(Slot::default());
        let stop = shutdown.child_token();
        let router = Router::new().fallback({
            let slot = Arc::clone(&slot);
            move |request: Request| async move { slot.answer(request).await }
        });
        let limits = AcceptLimits::default();
        let serving = tokio::spawn(accept::serve(listener, tls, router, limits, stop.clone()));
        Self { slot, serving, stop: stop.drop_guard() }
    }

    /// What the role waits for.
    pub(super) fn waits_for(&self, what: &str) {
        *self.slot.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = what.to_owned();
    }

    /// Serves this from now on, and the role's health.
    pub(super) fn open(&self, router: Router, checks: Checks) {
        let router = router.merge(health::router(checks)).fallback(problem::not_found);
        // A role opens once.
        let _ = self.slot.router.set(router);
    }

    /// Stops accepting, and returns when the requests in flight have ended.
    pub(super) async fn close(self) {
        drop(self.stop);
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the socket's task ended badly");
        }
    }
}

impl Slot {
    async fn answer(&self, request: Request) -> Response {
        let router = match self.router.get() {
            Some(router) => router.clone(),
            None => self.starting(),
        };
        // A router fails on nothing.
        router.oneshot(request).await.into_response()
    }

    fn starting(&self) -> Router {
        let waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let why = match waits_for.is_empty() {
            true => "starting".to_owned(),
            false => format!("waiting: {waits_for}"),
        };
        let not_yet = why.clone();
        let checks = Checks {
            healthy: Check::of(|| Ok(())),
            ready: Check::of(move || Err(not_yet.clone())),
        };
        health::router(checks).fallback(|| async { health::unavailable(why) })
    }
}
