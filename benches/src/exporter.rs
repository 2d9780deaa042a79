//! Two exporters, asked as Prometheus asks them: the peer, blackbox_exporter as Debian packages it,
//! and `qoe-probe exporter`.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::accuracy::truth::Stages;
use crate::netns;
use crate::probing::process::{Running, one_thread};

const PROGRAM: &str = "prometheus-blackbox-exporter";

/// In a network of our own every port is free.
const BLACKBOX: ([u8; 4], u16) = ([127, 0, 0, 1], 9115);
const OURS: ([u8; 4], u16) = ([127, 0, 0, 1], 9116);

const START: Duration = Duration::from_secs(10);

type Sender = http1::SendRequest<Empty<Bytes>>;

/// A running exporter, and one connection to it that is kept, as Prometheus keeps its own.
pub(crate) struct Exporter {
    name: &'static str,
    address: SocketAddr,
    running: Running,
    runtime: Runtime,
    sender: Option<Sender>,
    path: String,
}

impl Exporter {
    /// Why there is no blackbox_exporter; `None`: there is one.
    pub(crate) fn missing() -> Option<String> {
        let found = netns::on_path(PROGRAM);
        found.is_none().then(|| format!("needs blackbox_exporter (Debian: {PROGRAM})"))
    }

    /// Starts blackbox_exporter, which trusts the certificates of a file and measures one URL.
    pub(crate) fn blackbox(scratch: &Path, ca_file: &Path, url: &str) -> anyhow::Result<Self> {
        // JSON is YAML. The exporter asks for IPv4 alone, one question where we ask two.
        let module = serde_json::json!({
            "prober": "http",
            "timeout": "5s",
            "http": {
                "preferred_ip_protocol": "ip4",
                "ip_protocol_fallback": false,
                "tls_config": { "ca_file": ca_file },
            },
        });
        let config = scratch.join("blackbox.yml");
        fs::write(&config, serde_json::json!({ "modules": { "bench": module } }).to_string())
            .with_context(|| format!("writing {}", config.display()))?;
        let address = SocketAddr::from(BLACKBOX);
        let mut command = Command::new(PROGRAM);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            // Its own resolver, which reads resolv.conf, and not the C library's.
            .env("GODEBUG", "netdns=go");
        let path = format!("/probe?module=bench&target={url}");
        Self::start("blackbox_exporter", command, address, path)
    }

    /// Starts ours for the same.
    pub(crate) fn ours(program: &Path, ca_file: &Path, url: &str) -> anyhow::Result<Self> {
        let address = SocketAddr::from(OURS);
        let mut command = Command::new(program);
        command.args(["exporter", "--listen", &address.to_string(), "--ca-file"]).arg(ca_file);
        command.env("RUST_LOG", "error");
        let path = format!("/probe?module=http_2xx_ip4&target={url}");
        Self::start("qoe-probe exporter", command, address, path)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        path: String,
    ) -> anyhow::Result<Self> {
        command.stdout(Stdio::null());
        let running = Running::start(command, name)?;
        let runtime = one_thread()?;
        let sender = Some(runtime.block_on(connect(name, address))?);
        let mut exporter = Self { name, address, running, runtime, sender, path };
        exporter.probe().context("a first measurement")?;
        Ok(exporter)
    }

    /// The process that measures.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// So many measurements on so many connections at once; what each took is not looked at.
    pub(crate) fn probe_many(&self, count: usize, in_flight: usize) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let left = &Cell::new(count);
            let workers = (0..in_flight).map(|_| async move {
                let mut sender = connect(self.name, self.address).await?;
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    self.measured(&self.ask(&mut sender).await?)?;
                }
                anyhow::Ok(())
            });
            futures_util::future::try_join_all(workers).await
        })?;
        Ok(())
    }

    /// One measurement; the microseconds of its phases resolve, connect, tls and processing.
    pub(crate) fn probe(&mut self) -> anyhow::Result<Stages> {
        let mut sender = self.sender.take().context("no connection")?;
        let text = self.runtime.block_on(self.ask(&mut sender))?;
        self.sender = Some(sender);
        self.measured(&text)?;
        let phase = |name: &str| {
            value(&text, &format!(r#"probe_http_duration_seconds{{phase="{name}"}}"#))
                .map(|seconds| seconds * 1e6)
                .with_context(|| format!("{} gave no phase {name}", self.name))
        };
        Ok([phase("resolve")?, phase("connect")?, phase("tls")?, phase("processing")?])
    }

    async fn ask(&self, sender: &mut Sender) -> anyhow::Result<String> {
        let host = self.address.to_string();
        let request = Request::get(&self.path).header(HOST, host).body(Empty::new())?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec())?)
    }

    fn measured(&self, text: &str) -> anyhow::Result<()> {
        if value(text, "probe_success") != Some(1.0) {
            bail!("{} could not measure the test target:\n{text}", self.name);
        }
        Ok(())
    }
}

async fn connect(name: &str, address: SocketAddr) -> anyhow::Result<Sender> {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(error) if start.elapsed() > START => {
                return Err(error).with_context(|| format!("connecting to {name}"));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The value of one series in Prometheus' text format.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let text = "# HELP a_b b\na_bc 3\na_b{phase=\"x\"} 2.5e-05\na_b 1\n";
        assert_eq!(value(text, "a_b"), Some(1.0));
        assert_eq!(value(text, "a_b{phase=\"x\"}"), Some(2.5e-5));
        assert_eq!(value(text, "a"), None);
    }
}
