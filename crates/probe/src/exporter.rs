//! The exporter: measures when Prometheus asks, as blackbox_exporter does, under its names, so that
//! set-ups and dashboards made for that one work with this. Off unless started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::serve::{Answer, serve, text};
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
    let answer = move |request| {
        let exporter = Arc::clone(&exporter);
        async move { answer(&exporter, request).await }
    };
    serve(listener, MAX_CONNECTIONS, answer, shutdown).await;
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

async fn answer(exporter: &Exporter, request: Request<Incoming>) -> Answer {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".to_owned());
    }
    match request.uri().path() {
        "/probe" => exporter.probe(&request).await,
        "/metrics" => text(StatusCode::OK, metrics::own(&exporter.counts)),
        "/-/healthy" => text(StatusCode::OK, "healthy\n".to_owned()),
        "/" => text(StatusCode::OK, "/probe?target=URL&module=http_2xx\n/metrics\n".to_owned()),
        path => text(StatusCode::NOT_FOUND, format!("nothing at {path}\n")),
    }
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
