//! A download over HTTPS on loopback: how fast against curl, and for how much CPU against a client
//! that is nothing but hyper over rustls.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::process::{children_cpu, micros, one_thread, own_cpu};
use super::target::Target;
use crate::netns;
use crate::table::{Goal, Ratio};

/// What is downloaded, and how often on one connection.
const OBJECT: &str = "/fixed/100mb.bin";
const TIMES: usize = 20;

/// A share of curl's rate.
const RATE: f64 = 0.95;

/// A multiple of the bare client's CPU.
const CPU: f64 = 1.2;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    url: Url,
    /// Certificates to trust
    ca_file: PathBuf,
}

/// Compares the probe's load test on one connection with both.
pub(crate) fn download(rounds: usize) -> anyhow::Result<Vec<Ratio>> {
    if netns::on_path("curl").is_none() {
        println!("download: skipped, needs curl (Debian: curl)");
        return Ok(Vec::new());
    }
    if let Some(why) = netns::missing() {
        println!("download: skipped, {why}");
        return Ok(Vec::new());
    }
    if !netns::inside() {
        netns::run(&["download".to_owned(), format!("--rounds={rounds}")])?;
        return Ok(Vec::new());
    }
    let target = Target::start()?;
    let ratio = |what: &str, peer, goal| Ratio {
        what: what.to_owned(),
        ours: vec![],
        peer,
        peers: vec![],
        goal,
    };
    let mut rate = ratio("download over HTTPS, Mbit/s", "curl", Goal::AtLeast(RATE));
    let mut cpu = ratio("CPU of a downloaded GiB, ms", "bare client", Goal::AtMost(CPU));
    let mut beside = ratio("CPU of a downloaded GiB, ms", "curl", Goal::AtMost(1.0));
    for _ in 0..rounds {
        let ours = itself("measure-loop", &target, "/health", &["1", "0", "1", "--download"])?;
        let ours = &ours["load"];
        let bare = itself("bare-download", &target, OBJECT, &[])?;
        let curl = curl(&target)?;
        let figure = |found: &Value, name: &str| {
            found[name].as_f64().with_context(|| format!("it gave no {name}"))
        };
        rate.add(figure(ours, "download_bps")? / 1e6, curl.bits_per_second / 1e6);
        let own = figure(ours, "cpu_us_a_gib")? / 1e3;
        cpu.add(own, figure(&bare, "cpu_us_a_gib")? / 1e3);
        beside.add(own, curl.cpu_us_a_gib / 1e3);
    }
    Ok(vec![rate, cpu, beside])
}

/// Microseconds of CPU for each GiB.
pub(crate) fn a_gib(cpu_us: f64, bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few GiB")]
    let gib = bytes as f64 / f64::from(1 << 30);
    cpu_us / gib
}

/// This program once more, as one of its children, and the figures it prints.
fn itself(child: &str, target: &Target, path: &str, flags: &[&str]) -> anyhow::Result<Value> {
    let url = Url::parse(&target.url())?.join(path)?;
    let output = Command::new(env::current_exe().context("finding this program")?)
        .args([child, url.as_str()])
        .arg(target.ca_file())
        .args(flags)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {child}"))?;
    if !output.status.success() {
        bail!("{child}: {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("reading its figures")
}

/// What curl says, and what it took.
struct Curl {
    bits_per_second: f64,
    cpu_us_a_gib: f64,
}

/// One curl that fetches the object again and again on one connection.
fn curl(target: &Target) -> anyhow::Result<Curl> {
    let url = Url::parse(&target.url())?.join(OBJECT)?;
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--ipv4", "--cacert"]).arg(target.ca_file());
    command.args(["--write-out", "%{size_download} %{time_total}\n"]);
    for _ in 0..TIMES {
        command.args(["--output", "/dev/null", url.as_str()]);
    }
    let before = children_cpu()?;
    let output = command.stdin(Stdio::null()).output().context("running curl")?;
    let cpu = children_cpu()?.saturating_sub(before);
    if !output.status.success() {
        bail!("curl could not download: {}", output.status);
    }
    let (mut bytes, mut seconds) = (0, 0.0);
    for line in String::from_utf8(output.stdout)?.lines() {
        let (size, time) = line.split_once(' ').context("reading curl's figures")?;
        bytes += size.parse::<u64>()?;
        seconds += time.parse::<f64>()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few GiB")]
    let bits = bytes as f64 * 8.0;
    Ok(Curl { bits_per_second: bits / seconds, cpu_us_a_gib: a_gib(micros(cpu), bytes) })
}

/// Is the bare client.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (cpu_us, bytes) = one_thread()?.block_on(fetch(args))?;
    println!("{}", json!({ "cpu_us_a_gib": a_gib(cpu_us, bytes) }));
    Ok(())
}

/// The object again and again on one connection: the CPU that took, and the bytes.
async fn fetch(args: &Args) -> anyhow::Result<(f64, u64)> {
    let host = args.url.host_str().context("no host")?.to_owned();
    let port = args.url.port_or_known_default().context("no port")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&args.ca_file)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    let name = ServerName::try_from(host.clone())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (before, mut bytes) = (own_cpu()?, 0);
    for _ in 0..TIMES {
        let request = Request::get(args.url.path()).header(HOST, &host);
        let request = request.body(Empty::<Bytes>::new())?;
        sender.ready().await?;
        let mut body = sender.send_request(request).await?.into_body();
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
    Ok((micros(own_cpu()?.saturating_sub(before)), bytes))
}
