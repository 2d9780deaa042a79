//! What the demo runs: a target with faults to switch, a server with its store, probes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ::probe::agent::{self, Observer};
use ::probe::{Identity, Options, Prober};
use anyhow::Context as _;
use model::detect::Topology;
use server::roles::{self, AllInOne};
use server::store::{Scope, Store};
use testbed::target::{Target, TargetConfig};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::faults;

/// The name of the target, which only its own DNS server knows.
const HOST: &str = "shop.test";
/// The probes.
pub(super) const CLIENTS: [&str; 3] = ["demo-1", "demo-2", "demo-3"];

/// Everything that runs for as long as the demo does.
pub(super) struct World {
    pub(super) target: Target,
    pub(super) target_url: Url,
    pub(super) store: Store,
    dir: PathBuf,
    server: JoinHandle<anyhow::Result<()>>,
    stop_server: CancellationToken,
    server_addr: SocketAddr,
    options: Options,
}

/// Probes at work.
pub(super) struct Probes {
    tasks: JoinSet<anyhow::Result<agent::Summary>>,
    stop: CancellationToken,
}

impl World {
    /// Starts target and server, on free ports of loopback.
    pub(super) async fn start(dir: PathBuf) -> anyhow::Result<Self> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let target = Target::start(TargetConfig {
            names: vec![HOST.to_owned()],
            zone: [(HOST.to_owned(), vec![loopback])].into(),
            ..TargetConfig::default()
        })
        .await
        .context("starting the target")?;
        faults::mend(target.faults())?;
        let https = target.https_addr().context("the target serves no HTTPS")?;
        let target_url = Url::parse(&format!("https://{HOST}:{}/health", https.port()))?;

        let store = Store::open(&dir)?;
        let ca_file = dir.join("demo-ca.pem");
        std::fs::write(&ca_file, target.ca_pem())
            .with_context(|| format!("writing {}", ca_file.display()))?;
        let listener = TcpListener::bind((loopback, 0)).await?;
        let server_addr = listener.local_addr()?;
        let stop_server = CancellationToken::new();
        let role = AllInOne {
            data_dir: dir.clone(),
            listener,
            tls: None,
            local: None,
            local_client_id: CLIENTS[0].to_owned(),
            alerts: None,
            topology: Topology::default(),
            collector: None,
        };
        let server = tokio::spawn(roles::all_in_one(role, stop_server.clone()));
        let options =
            Options { resolver: target.dns_addr(), ca_file: Some(ca_file), ..Options::default() };
        Ok(Self { target, target_url, store, dir, server, stop_server, server_addr, options })
    }

    /// Who is who, for a person.
    pub(super) fn introduction(&self) -> String {
        format!(
            "  target  {} ({})\n{}  probes  {}\n\n",
            self.target_url,
            faults::WELL,
            self.where_to_look(),
            CLIENTS.join(", ")
        )
    }

    /// Where the server is and where its data.
    pub(super) fn where_to_look(&self) -> String {
        let dir = self.dir.display();
        format!(
            "  server  http://{}\n  data    {dir}\n  report  qoe report --data-dir {dir}\n",
            self.server_addr
        )
    }

    /// Where events go.
    pub(super) fn ingest_url(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&format!("http://{}/v1/events", self.server_addr))?)
    }

    /// A new token to send with.
    pub(super) fn token(&self, client_id: &str) -> anyhow::Result<String> {
        Ok(self.store.tokens().create(client_id, Scope::Ingest, None)?)
    }

    /// A prober as the probes have it, to measure once.
    pub(super) fn prober(&self) -> anyhow::Result<Prober> {
        Ok(Prober::new(self.options.clone())?)
    }

    /// Starts the probes: each measures the target every second, throughput too, and sends what
    /// it measured with a token of its own.
    pub(super) fn probes(&self, observer: Option<&Observer>) -> anyhow::Result<Probes> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for client in CLIENTS {
            let config = agent::Config {
                targets: vec![self.target_url.clone().into()],
                interval: Duration::from_secs(1),
                throughput_every: Some(Duration::ZERO),
                echo: None,
                load: None,
                metrics: None,
                trace_share: 0.0,
                options: self.options.clone(),
                identity: Identity::named(client),
                spool: None,
                bounds: agent::Bounds::default(),
                ingest: Some(agent::Ingest {
                    url: self.ingest_url()?,
                    token: Some(self.token(client)?),
                    ca_file: None,
                }),
            };
            tasks.spawn(agent::run(config, observer.cloned(), stop.clone()));
        }
        Ok(Probes { tasks, stop })
    }

    /// Stops the server, then the target.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop_server.cancel();
        let ended = self.server.await.context("the server panicked")?;
        self.target.stop().await;
        ended
    }
}

impl Probes {
    /// Has them hand in what they have, and end.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a probe panicked")??;
        }
        Ok(())
    }
}
