//! Everything on one machine, in one process, on one port.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use model::detect::Topology;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::tell::Telling;
use crate::aggregator::{self, Aggregator};
use crate::alert;
use crate::api;
use crate::clock::now_ms;
use crate::diagnoser::{self, Fleet};
use crate::health::{self, Checks};
use crate::ingest::accept::{self, AcceptLimits};
use crate::ingest::{self, Auth, Sink, auth, problem};
use crate::metrics::Page;
use crate::openapi;
use crate::store::{self, Retention, Scope, Store, Tokens, tokens};
use crate::trace;

/// Everything on one machine: ingest, aggregator, store, diagnoser and read API on one port.
pub struct AllInOne {
    /// Where everything is kept; made 0700 where it is missing.
    pub data_dir: PathBuf,
    /// The bound socket; its port may have been 0.
    pub listener: TcpListener,
    /// The certificate `listener` serves with; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// A second socket, for this machine alone, served in plain HTTP.
    pub local: Option<TcpListener>,
    /// The client the local ingest token speaks for.
    pub local_client_id: String,
    /// Who is told of incidents; nobody where there is none.
    pub alerts: Option<Arc<alert::config::Config>>,
    /// What is known of who is where.
    pub topology: Topology,
    /// A collector that traces go to; nowhere where there is none.
    pub collector: Option<trace::Endpoint>,
}

/// In the data directory: the token the local probe sends with, mode 0600.
pub const LOCAL_INGEST_TOKEN: &str = "local-ingest.token";
/// In the data directory: the token local commands read with, mode 0600.
pub const LOCAL_READ_TOKEN: &str = "local-read.token";

/// Runs until `shutdown`, then stops accepting, lets requests in flight end, commits what was
/// taken, and returns.
pub async fn all_in_one(cfg: AllInOne, shutdown: CancellationToken) -> anyhow::Result<()> {
    let AllInOne { data_dir, listener, tls, local, local_client_id, alerts, topology, collector } =
        cfg;
    let ingest_settings = ingest::Settings::default();
    let settings = aggregator::Settings {
        retention: Retention::for_events_up_to(ingest_settings.events.max_age_ms),
        ..aggregator::Settings::default()
    };

    // First of all: who restores a backup holds it too.
    let _only_one = store::lock(&data_dir)?;
    let dir = data_dir.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&dir)).await??;
    let tokens = store.tokens();
    keep_token(&tokens, &data_dir, LOCAL_INGEST_TOKEN, Scope::Ingest, &local_client_id).await?;
    keep_token(&tokens, &data_dir, LOCAL_READ_TOKEN, Scope::Read, auth::ANY_CLIENT).await?;

    let (aggregator, mut writer) = Aggregator::start(&store, settings)?;
    let auth = Auth::new(tokens, now_ms);
    let tracer = super::tracer(collector.as_ref(), "all")?;
    let (metrics, fares) = (ingest::Metrics::default(), diagnoser::Fares::default());
    let asked = api::Metrics::default();
    let page = Page::of("all")
        .with(&metrics)
        .with(&**aggregator.metrics())
        .with(fares.metrics())
        .with(&asked)
        .with(&metrics.conserved(aggregator.metrics()))
        .of_store(&store, now_ms)
        .for_readers(auth.clone());
    let ingest = ingest::router(ingest::Deps {
        sink: Sink::Aggregator(aggregator.clone()),
        auth: auth.clone(),
        settings: ingest_settings,
        metrics,
        tracer: tracer.clone(),
        now: now_ms,
    });
    let deps = api::Deps { store: store.clone(), auth, metrics: asked, now: now_ms };
    let api = api::router(deps);
    let health =
        health::router(Checks::of(&aggregator)).merge(page.router()).merge(openapi::router());
    let router = ingest.merge(api).merge(health).fallback(problem::not_found);

    let mut telling = Telling::start(alerts, &store, &aggregator)?;
    let stop_judging = CancellationToken::new();
    let judging = diagnoser::run(
        store,
        aggregator.clone(),
        now_ms,
        Fleet::of(Arc::new(topology)),
        fares,
        stop_judging.clone(),
    );
    let mut judging = tokio::spawn(judging);

    let limits = AcceptLimits::default();
    let stop = shutdown.child_token();
    let beside = async {
        if let Some(local) = local {
            let (router, limits) = (router.clone(), limits.clone());
            accept::serve(local, None, router, limits, stop.clone()).await;
        }
    };
    let serving = accept::serve(listener, tls, router.clone(), limits.clone(), stop.clone());
    let mut serving = std::pin::pin!(async { tokio::join!(serving, beside) });

    // Neither ends before it is told to, unless it panicked. Whoever supervises us starts us anew,
    // which is better than to go on without.
    let broken = tokio::select! {
        _ = &mut serving => None,
        () = writer.one_finished() => Some("the writer"),
        _ = &mut judging => Some("the diagnoser"),
        () = telling.ended() => Some("what tells incidents"),
    };
    if let Some(part) = broken {
        stop.cancel();
        serving.await;
        aggregator.close();
        writer.finished().await;
        bail!("{part} panicked");
    }
    stop_judging.cancel();
    judging.await.context("the diagnoser panicked")?;
    telling.finish().await?;
    aggregator.close();
    writer.finished().await;
    super::finish(tracer).await;
    Ok(())
}

/// Sees to it that the file holds a good token of this scope and client: the one that is there,
/// or a new one.
async fn keep_token(
    tokens: &Tokens,
    dir: &Path,
    name: &str,
    scope: Scope,
    client_id: &str,
) -> anyhow::Result<()> {
    let path = dir.join(name);
    let doing = || format!("keeping a token in {}", path.display());
    if let Ok(text) = std::fs::read_to_string(&path) {
        let text = text.trim();
        let record = tokens.lookup(&tokens::id_of(text)).await?;
        let good = record.is_some_and(|record| {
            record.is_good(now_ms())
                && (record.scope, record.client_id.as_str()) == (scope, client_id)
                && record.sha256 == tokens::sha256(text)
        });
        if good {
            return Ok(());
        }
    }
    let (tokens, client_id) = (tokens.clone(), client_id.to_owned());
    let create = move || tokens.create(&client_id, scope, None);
    let text = tokio::task::spawn_blocking(create).await??;
    // Whole or not at all: who reads it may come at any moment.
    let draft = dir.join(format!("{name}.new"));
    let write = || {
        let mut file = private().truncate(true).open(&draft)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)
    };
    write().with_context(doing)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
