//! `qoe up`: server and probe on one machine, until it is told to stop.

mod announce;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ::probe::{Identity, Options, agent, identity};
use anyhow::{Context as _, anyhow, bail};
use server::roles::{self, AllInOne, Door, LOCAL_INGEST_TOKEN};
use server::store::Store;
use server::trace::Endpoint;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::door::{self, DoorArgs};
use super::{Context, parse_span, parse_target};
use crate::exit::Outcome;
use crate::settings::{Resolver, Settings};
use crate::{output, signals};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure from this machine; can be given many times [default: nothing, only serve]
    #[arg(long = "target", value_name = "URL", value_parser = parse_target)]
    targets: Vec<Url>,
    /// From one measurement of a target to its next [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    interval: Option<Duration>,
    #[command(flatten)]
    door: DoorArgs,
    /// Where everything is kept, mode 0700 [default: $XDG_DATA_HOME/qoe]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Who is told of incidents: docs/alerts.md [default: nobody]
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// Who is where, a file: docs/diagnosis.md [default: what events say]
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// A collector that traces go to, http://HOST:4318 or grpc://HOST:4317; all that the probe of this
    /// machine measures is traced then [default: none]
    #[arg(long, value_name = "URL")]
    otlp: Option<Endpoint>,
    /// DNS server the probe asks instead of the system's, with or without a port
    #[arg(long, value_name = "ADDR")]
    resolver: Option<Resolver>,
    /// Certificates the probe trusts beside the built-in ones, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The probe never measures throughput
    #[arg(long)]
    no_throughput: bool,
}

/// In the data directory: what the probe has measured and not handed in.
const SPOOL: &str = "spool";
/// How often a target is measured unless it is told otherwise.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often its throughput is: a megabyte every five minutes is 300 MB a day.
const THROUGHPUT_EVERY: Duration = Duration::from_secs(300);

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::many_threads()?.block_on(up(args, context))
}

async fn up(args: &Args, context: &Context) -> Outcome {
    let stop = signals::stop_on_signal()?;
    let settings = &context.settings;
    let dir = context.data_dir(args.data_dir.clone())?;
    let probe = Probe::plan(args, settings)?;
    let alerts = context.alerts(args.alerts.as_deref())?;
    let topology = super::topology(args.topology.as_deref())?;
    let collector = context.collector(args.otlp.as_ref())?;
    let trace_share = if collector.is_some() { 1.0 } else { 0.0 };
    let door = args.door.open(8460, context).await?;
    let url = door::url(&door)?;
    let Door { listener, tls } = door;
    let addr = listener.local_addr()?;
    // With TLS the probe has a door of its own: the certificate need not be good for loopback.
    let local = match tls {
        Some(_) => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
        None => None,
    };
    let local_addr = local.as_ref().map_or(Ok(reachable(addr)), TcpListener::local_addr)?;

    // Makes the directory, or says at once what is wrong with it.
    drop(Store::open(&dir)?);
    let client_id = identity::client_id(Some(&dir))?;
    let role = AllInOne {
        data_dir: dir.clone(),
        listener,
        tls,
        local,
        local_client_id: client_id.clone(),
        alerts,
        topology,
        collector,
    };
    // The server outlives the probe, which has measurements to hand in when it is stopped.
    let stop_server = CancellationToken::new();
    let mut server = tokio::spawn(roles::all_in_one(role, stop_server.clone()));
    let Some(token) = local_token(&dir, &server).await else { return ended(server.await) };
    output::print(&announce::where_to_look(&dir, &url, &probe.targets, context.style))?;

    let (identity, spool) = (Identity::named(client_id), dir.join(SPOOL));
    let config = probe.config(identity, local_addr, token, spool, trace_share)?;
    let observer = announce::first_of_each(context.style);
    let mut probe = tokio::spawn(agent::run(config, Some(observer), stop.clone()));
    let summary = tokio::select! {
        summary = &mut probe => summary,
        // It goes on until it is told to stop, unless it can't.
        result = &mut server => return ended(result),
    };
    stop_server.cancel();
    server.await.context("the server panicked")??;
    output::print(&announce::farewell(&summary.context("the probe panicked")??))?;
    Ok(ExitCode::SUCCESS)
}

/// What the probe is to do, from flags and settings.
struct Probe {
    targets: Vec<Url>,
    interval: Duration,
    throughput: bool,
    options: Options,
}

impl Probe {
    fn plan(args: &Args, settings: &Settings) -> anyhow::Result<Self> {
        let targets = match args.targets.is_empty() {
            false => args.targets.clone(),
            true => settings
                .targets
                .iter()
                .map(|text| parse_target(text).map_err(|error| anyhow!("setting targets: {error}")))
                .collect::<anyhow::Result<_>>()?,
        };
        let defaults = Options::default();
        Ok(Self {
            targets,
            interval: args.interval.or(settings.interval).unwrap_or(INTERVAL),
            throughput: !args.no_throughput && settings.throughput.unwrap_or(true),
            options: Options {
                resolver: args.resolver.or(settings.resolver).map(|resolver| resolver.0),
                ca_file: args.ca_file.clone().or_else(|| settings.ca_file.clone()),
                timeout: settings.timeout.unwrap_or(defaults.timeout),
                ..defaults
            },
        })
    }

    fn config(
        self,
        identity: Identity,
        server: SocketAddr,
        token: String,
        spool: PathBuf,
        trace_share: f64,
    ) -> anyhow::Result<agent::Config> {
        Ok(agent::Config {
            targets: self.targets.into_iter().map(Into::into).collect(),
            interval: self.interval,
            throughput_every: self.throughput.then_some(THROUGHPUT_EVERY),
            echo: None,
            load: None,
            metrics: None,
            trace_share,
            options: self.options,
            identity,
            spool: Some(spool),
            bounds: agent::Bounds::default(),
            ingest: Some(agent::Ingest {
                url: Url::parse(&format!("http://{server}/v1/events"))?,
                token: Some(token),
                ca_file: None,
            }),
        })
    }
}

/// How this machine reaches a socket of its own: one that is bound to every address, by loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// The token that the server makes for the local probe when it starts; `None` where it ends first.
async fn local_token<T>(dir: &Path, server: &JoinHandle<T>) -> Option<String> {
    let path = dir.join(LOCAL_INGEST_TOKEN);
    loop {
        match std::fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => return Some(token.trim().to_owned()),
            _ if server.is_finished() => return None,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A server that ended without being told to.
fn ended(result: Result<anyhow::Result<()>, JoinError>) -> Outcome {
    result.context("the server panicked")??;
    bail!("the server ended by itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_every_address_is_reached_by_loopback() {
        let reach = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reach("[::]:80"), "[::1]:80");
        assert_eq!(reach("192.0.2.1:80"), "192.0.2.1:80");
    }
}
