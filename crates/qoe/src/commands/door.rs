//! The flags that say where a server listens.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use rustls::ServerConfig;
use server::ingest::accept;
use server::roles::Door;
use tokio::net::TcpListener;

use super::Context;
use crate::output;
use crate::settings::Settings;

/// Where to listen, and with what certificate.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoorArgs {
    /// Where to listen; port 0 takes a free one [default: loopback, a port for each command: `qoe
    /// up` and `ingest` 8460, `api` 8461, `aggregator` 8462, `diagnoser` 8463]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Certificate chain to serve HTTPS with, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve plain HTTP where others can reach it: tokens and events can be read on the way
    #[arg(long)]
    insecure_http: bool,
}

impl DoorArgs {
    /// Listens: on this machine's `port` unless it was said where.
    pub(crate) async fn open(&self, port: u16, context: &Context) -> anyhow::Result<Door> {
        let settings = &context.settings;
        let tls = self.tls(settings)?;
        let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let addr = self.listen.or(settings.listen).unwrap_or(here);
        let insecure = self.insecure_http || settings.insecure_http.unwrap_or(false);
        accept::check_exposure(addr, tls.is_some(), insecure)
            .context("use --tls-cert and --tls-key, or --insecure-http")?;
        let listener = TcpListener::bind(addr).await.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => anyhow!(
                "cannot listen on {addr}: something else does, perhaps another qoe; stop it, or \
                 take a free port with --listen 127.0.0.1:0"
            ),
            _ => anyhow!("cannot listen on {addr}: {error}; choose another address with --listen"),
        })?;
        Ok(Door { listener, tls })
    }

    fn tls(&self, settings: &Settings) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let certificate = self.tls_cert.as_ref().or(settings.tls_cert.as_ref());
        let key = self.tls_key.as_ref().or(settings.tls_key.as_ref());
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(accept::server_config(certificate, key)?)),
            (None, None) => Ok(None),
            _ => bail!("tls_cert and tls_key belong together, and one of them is missing"),
        }
    }
}

/// The URL that a door answers on.
pub(crate) fn url(door: &Door) -> anyhow::Result<String> {
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{}", door.listener.local_addr()?))
}

/// Says where it listens: who starts it with port 0 must learn the port.
pub(crate) fn announce(door: &Door) -> anyhow::Result<()> {
    output::print(&format!("listening on {}\n", url(door)?))?;
    Ok(())
}
