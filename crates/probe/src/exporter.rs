//! The exporter: measures when Prometheus asks, as blackbox_exporter does, under its names, so that
//! set-ups and dashboards made for that one work with this. Off unless started.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::target::parse_resolver;
use measure::Tools;
use module::Probers;
use policy::{Policy, Rule};
use query::{Query, Target};

mod chain;
mod measure;
mod metrics;
mod module;
mod others;
mod page;
mod place;
mod policy;
mod query;

pub(crate) use page::Page;

/// Measure when Prometheus asks, under blackbox_exporter's names.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDR", env = "QOE_PROBE_LISTEN", default_value = "127.0.0.1:9115")]
    listen: SocketAddr,
    /// What may be measured: a host, .example.com for all below it, or a network (10.0.0.0/8). Can be
    /// given many times; needed wherever others than this machine can ask
    #[arg(long, value_name = "TARGET", env = "QOE_PROBE_ALLOW", value_delimiter = ',')]
    allow: Vec<Rule>,
    /// Let everybody who can connect have anything measured that this machine can reach
    #[arg(long, conflicts_with = "allow")]
    allow_any_target: bool,
    /// The resolver to ask, with or without port, instead of the system's
    #[arg(long, value_name = "ADDR", env = "QOE_PROBE_RESOLVER", value_parser = parse_resolver)]
    resolver: Option<SocketAddr>,
    /// Certificates (PEM) to trust beside the built-in ones
    #[arg(long, value_name = "FILE", env = "QOE_PROBE_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// Connections at a time; Prometheus keeps one or two.
const MAX_CONNECTIONS: usize = 256;

/// Measurements at a time.
const MAX_MEASUREMENTS: usize = 64;

/// For the head of a request, and between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long stopping waits for measurements under way.
const STOP: Duration = Duration::from_secs(3);

/// Serves until `shutdown`.
///
/// # Errors
/// The address can't be listened on, the certificates can't be read, or others could have anything
/// measured and nobody said that they may.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let open = args.allow.is_empty() && !args.allow_any_target;
    ensure!(
        !open || args.listen.ip().is_loopback(),
        "whoever reaches {} could have anything measured that this machine reaches: name what may be \
         with --allow, or say --allow-any-target",
        args.listen
    );
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let exporter = Arc::new(Exporter {
        policy: Policy::new(args.allow),
        tools: Tools::new(args.resolver, args.ca_file.as_deref())?,
        probers: Probers::new(args.resolver, args.ca_file)?,
        free: Semaphore::new(MAX_MEASUREMENTS),
        counts: Counts::default(),
    });
    tracing::info!("http://{address}/probe?target=URL&module=http_2xx");
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tracker = TaskTracker::new();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of files, most likely; the next may find one.
                    tracing::warn!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        let (exporter, stopping) = (Arc::clone(&exporter), shutdown.clone());
        tracker.spawn(async move {
            let _permit = permit;
            let service = service_fn(|request| answer(&exporter, request));
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(serving);
            tokio::select! {
                ended = &mut serving => return drop(ended),
                () = stopping.cancelled() => serving.as_mut().graceful_shutdown(),
            }
            let _ = serving.await;
        });
    }
    tracker.close();
    let _ = tokio::time::timeout(STOP, tracker.wait()).await;
    Ok(())
}

struct Exporter {
    policy: Policy,
    probers: Probers,
    tools: Tools,
    free: Semaphore,
    counts: Counts,
}

/// What became of the requests for measurements.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

type Answer = Response<Full<Bytes>>;

async fn answer(exporter: &Exporter, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if request.method() != Method::GET {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".to_owned()));
    }
    Ok(match request.uri().path() {
        "/probe" => exporter.probe(&request).await,
        "/metrics" => text(StatusCode::OK, metrics::own(&exporter.counts)),
        "/-/healthy" => text(StatusCode::OK, "healthy\n".to_owned()),
        "/" => text(StatusCode::OK, "/probe?target=URL&module=http_2xx\n/metrics\n".to_owned()),
        path => text(StatusCode::NOT_FOUND, format!("nothing at {path}\n")),
    })
}

impl Exporter {
    async fn probe(&self, request: &Request<Incoming>) -> Answer {
        let refused = |status, why: String| {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            text(status, why + "\n")
        };
        let query = match Query::read(request.uri(), request.headers()) {
            Ok(query) => query,
            Err(why) => return refused(StatusCode::BAD_REQUEST, why),
        };
        if !query.target.host().is_some_and(|host| self.policy.allows_host(&host)) {
            let why = format!("{} is not among what may be measured (--allow)", query.target);
            return refused(StatusCode::FORBIDDEN, why);
        }
        let Ok(_permit) = self.free.try_acquire() else {
            let why = format!("{MAX_MEASUREMENTS} measurements are under way already");
            return refused(StatusCode::SERVICE_UNAVAILABLE, why);
        };
        let (body, story, success) = match &query.target {
            Target::Http(url) => {
                let prober = match self.probers.of(query.family, query.timeout) {
                    Ok(prober) => prober,
                    Err(error) => {
                        return refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
                    }
                };
                // A redirect may lead to where nobody may look: it is not followed there.
                let may_follow = |next: &url::Url| self.policy.allows(next);
                let hops = prober.measure_chain(url, query.timeout, &may_follow).await;
                let (body, success) = metrics::of(&hops);
                (body, hops.iter().map(story).collect::<String>(), success)
            }
            Target::Other(place, ask) => {
                let outcome = self.tools.measure(place, ask, query.family, query.timeout).await;
                (outcome.page(), outcome.story(), outcome.is_success())
            }
        };
        let count = if success { &self.counts.succeeded } else { &self.counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        text(StatusCode::OK, if query.debug { format!("{story}\n{body}") } else { body })
    }
}

/// What went on, for a person.
fn story(m: &crate::Measurement) -> String {
    let failure = m.any_failure().map_or_else(|| "ok".to_owned(), ToString::to_string);
    let mut out = format!("{}: {failure}\n", m.target);
    for (name, time) in m.stages() {
        let time = time.map_or_else(|| "–".to_owned(), |time| format!("{time:?}"));
        out.push_str(&format!("  {name} {time}\n"));
    }
    out
}

fn text(status: StatusCode, text: String) -> Answer {
    let kind = if text.starts_with('#') {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
