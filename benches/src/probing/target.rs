//! The test target in a process of its own, so that its CPU is in nobody's figures.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use anyhow::Context as _;
use tempfile::TempDir;
use testbed::target::TargetConfig;

use super::process::{Running, one_thread};
use crate::netns;

/// Where resolvers are asked.
pub(crate) const DNS_PORT: u16 = 53;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write the certificate of its authority
    ca_file: PathBuf,
    /// Where to serve HTTPS and, at port 53, DNS, for others than this machine
    #[arg(long, value_name = "ADDR")]
    at: Option<IpAddr>,
}

/// A running target.
#[derive(Debug)]
pub(crate) struct Target {
    _running: Running,
    scratch: TempDir,
    port: u16,
}

impl Target {
    /// Starts it and returns when it serves; it ends with this value.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("making a temporary directory")?;
        let mut command = Command::new(env::current_exe().context("finding this program")?);
        command.arg("serve-target").arg(ca_file(scratch.path()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(command, "the test target")?;
        let mut line = String::new();
        let output = running.child().stdout.take().context("no output of the test target")?;
        BufReader::new(output).read_line(&mut line).context("reading the test target's port")?;
        let port = line.trim().parse().context("the test target did not start")?;
        Ok(Self { _running: running, scratch, port })
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        ca_file(self.scratch.path())
    }

    /// A directory that goes with the target.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The port of HTTPS.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What is measured. Inside, its name is asked of the target's DNS server; outside, where
    /// the system's resolver stays, it is in the hosts file.
    pub(crate) fn url(&self) -> String {
        let host = if netns::inside() { "target.test" } else { "localhost" };
        format!("https://{host}:{}/health", self.port)
    }
}

fn ca_file(scratch: &Path) -> PathBuf {
    scratch.join("ca.pem")
}

/// Is the target: prints the port of HTTPS and serves until its standard input ends, which it
/// does with whoever started it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let dns = netns::inside().then_some(([127, 0, 0, 1], DNS_PORT).into());
    // blackbox_exporter speaks HTTP/1.1 to it, so everybody does.
    let mut config =
        TargetConfig { http: None, control: None, dns, http2: false, ..Default::default() };
    if let Some(at) = args.at {
        config.https = Some((at, 0).into());
        config.dns = Some((at, DNS_PORT).into());
        config.zone = BTreeMap::from([("target.test".to_owned(), vec![at])]);
    }
    one_thread()?.block_on(async {
        let target = testbed::target::Target::start(config).await?;
        fs::write(&args.ca_file, target.ca_pem())
            .with_context(|| format!("writing {}", args.ca_file.display()))?;
        println!("{}", target.https_addr().context("HTTPS is not served")?.port());
        let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        ended.await?.context("waiting for the end of standard input")?;
        target.stop().await;
        Ok(())
    })
}
