//! The peer: Prometheus' blackbox_exporter, as Debian packages it, asked as Prometheus asks it.

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
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 9115);

const START: Duration = Duration::from_secs(10);

/// A running exporter, and one connection to it that is kept, as Prometheus keeps its own.
pub(crate) struct Blackbox {
    running: Running,
    runtime: Runtime,
    sender: http1::SendRequest<Empty<Bytes>>,
    path: String,
}

impl Blackbox {
    /// Why there is no exporter; `None`: there is one.
    pub(crate) fn missing() -> Option<String> {
        let found = netns::on_path(PROGRAM);
        found.is_none().then(|| format!("needs blackbox_exporter (Debian: {PROGRAM})"))
    }

    /// Starts one that trusts the certificates of a file and measures one URL.
    pub(crate) fn start(scratch: &Path, ca_file: &Path, url: &str) -> anyhow::Result<Self> {
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
        let address = SocketAddr::from(ADDRESS);
        let mut command = Command::new(PROGRAM);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            // Its own resolver, which reads resolv.conf, and not the C library's.
            .env("GODEBUG", "netdns=go")
            .stdout(Stdio::null());
        let running = Running::start(command, PROGRAM)?;
        let runtime = one_thread()?;
        let sender = runtime.block_on(connect(address))?;
        let path = format!("/probe?module=bench&target={url}");
        let mut blackbox = Self { running, runtime, sender, path };
        blackbox.probe().context("a first measurement")?;
        Ok(blackbox)
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
                let mut sender = connect(SocketAddr::from(ADDRESS)).await?;
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    measured(&ask(&mut sender, &self.path).await?)?;
                }
                anyhow::Ok(())
            });
            futures_util::future::try_join_all(workers).await
        })?;
        Ok(())
    }

    /// One measurement; the microseconds of its phases resolve, connect, tls and processing.
    pub(crate) fn probe(&mut self) -> anyhow::Result<Stages> {
        let text = self.runtime.block_on(ask(&mut self.sender, &self.path))?;
        measured(&text)?;
        let phase = |name: &str| {
            value(&text, &format!(r#"probe_http_duration_seconds{{phase="{name}"}}"#))
                .map(|seconds| seconds * 1e6)
                .with_context(|| format!("blackbox_exporter gave no phase {name}"))
        };
        Ok([phase("resolve")?, phase("connect")?, phase("tls")?, phase("processing")?])
    }
}

async fn ask(sender: &mut http1::SendRequest<Empty<Bytes>>, path: &str) -> anyhow::Result<String> {
    let request =
        Request::get(path).header(HOST, SocketAddr::from(ADDRESS).to_string()).body(Empty::new())?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

fn measured(text: &str) -> anyhow::Result<()> {
    if value(text, "probe_success") != Some(1.0) {
        bail!("blackbox_exporter could not measure the test target:\n{text}");
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> anyhow::Result<http1::SendRequest<Empty<Bytes>>> {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(error) if start.elapsed() > START => {
                return Err(error).context("connecting to blackbox_exporter");
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
