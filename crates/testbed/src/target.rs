//! The test target: an HTTP, an HTTPS, a DNS and an echo server in one process, whose faults can be
//! switched while it runs. Tests, `qoe demo`, `qoe target` and the benches measure it.
//!
//! Every listener is optional and stands on a port of its own; [`Target::faults`] breaks them one by
//! one. Nothing here needs a file or a privilege: the certificates are made at the start, and whoever
//! is to trust them is given [`Target::ca_pem`].

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use self::accept::{Gate, Tasks};
use self::certs::Authority;
use self::switch::Slot;
use self::tls::Tls;
use self::zone::Zone;

mod accept;
mod body;
mod certs;
mod control;
mod dns;
mod echo;
mod faults;
mod flush;
mod http;
mod pace;
mod page;
mod switch;
mod tcp_info;
mod tls;
mod zone;

pub use self::faults::{
    Accept, Certificate, DnsAnswer, DnsFault, EchoFault, FaultError, FaultSet, HttpFault, Listener,
    TcpFault, TlsFault, UnknownListener,
};
pub use self::switch::Faults;

/// What to serve, and where. The default is every listener on a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Address of the HTTP listener; `None`: not served. Port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Address of the HTTPS listener.
    pub https: Option<SocketAddr>,
    /// Address of the DNS server, UDP and TCP on one port.
    pub dns: Option<SocketAddr>,
    /// Address of the echo server, UDP.
    pub echo: Option<SocketAddr>,
    /// Address of the control listener; anything but loopback is refused.
    pub control: Option<SocketAddr>,
    /// Names (or addresses) the certificate is good for, besides 127.0.0.1, `::1` and the address of
    /// the HTTPS listener.
    pub names: Vec<String>,
    /// What the DNS server answers: addresses by name, at most 1,000 a name.
    pub zone: BTreeMap<String, Vec<IpAddr>>,
    /// Whether HTTP/2 is offered beside HTTP/1.1 on HTTPS.
    pub http2: bool,
}

impl Default for TargetConfig {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let names = ["localhost", "target.test"].map(String::from);
        Self {
            http: Some(any_port),
            https: Some(any_port),
            dns: Some(any_port),
            echo: Some(any_port),
            control: Some(any_port),
            zone: names
                .iter()
                .map(|name| (name.clone(), vec![IpAddr::from(Ipv4Addr::LOCALHOST)]))
                .collect(),
            names: names.into(),
            http2: true,
        }
    }
}

/// A running target. Dropping it stops it without waiting; [`Target::stop`] waits.
#[derive(Debug)]
pub struct Target {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    dns: Option<SocketAddr>,
    echo: Option<SocketAddr>,
    control: Option<Arc<Slot>>,
    ca_pem: String,
    faults: Faults,
    tasks: Tasks,
}

impl Target {
    /// Binds every listener that is asked for and serves on the current runtime. When this returns,
    /// connections are accepted.
    ///
    /// # Errors
    /// An address that can't be bound, a control address off loopback, a name that no certificate or
    /// zone can hold.
    pub async fn start(config: TargetConfig) -> io::Result<Self> {
        let zone = Arc::new(Zone::new(&config.zone)?);
        let authority = Authority::new(certificate_names(&config), SystemTime::now())?;
        let tls = Arc::new(Tls::new(&authority, config.http2)?);

        // Everything is bound before anything is served: a start that fails leaves nothing behind.
        let http = config.http.map(|addr| listen("HTTP", addr)).transpose()?;
        let https = config.https.map(|addr| listen("HTTPS", addr)).transpose()?;
        let control = config.control.map(listen_on_loopback).transpose()?;
        let (dns, datagrams) = match config.dns {
            Some(addr) => {
                let (gate, socket) =
                    dns::bind(addr).await.map_err(|error| failed("DNS", addr, &error))?;
                (Some(Slot::new(gate)), Some(socket))
            }
            None => (None, None),
        };
        let (echo, echoes) = match config.echo {
            Some(addr) => {
                let named = |error: io::Error| failed("echoes", addr, &error);
                let socket = echo::bind(addr).await.map_err(named)?;
                let addr = socket.local_addr().map_err(named)?;
                (Some(Slot::of_datagrams(addr)), Some(socket))
            }
            None => (None, None),
        };

        let target = Self {
            http: http.as_deref().map(Slot::addr),
            https: https.as_deref().map(Slot::addr),
            dns: dns.as_deref().map(Slot::addr),
            echo: echo.as_deref().map(Slot::addr),
            control: control.clone(),
            ca_pem: authority.pem(),
            faults: Faults::new(http.clone(), https.clone(), dns.clone(), echo.clone()),
            tasks: Tasks::default(),
        };
        let tasks = &target.tasks;
        if let Some(slot) = http {
            let serving = Arc::clone(&slot);
            tasks.spawn(accept::run(slot, tasks.clone(), move |stream| {
                http::serve(stream, Arc::clone(&serving))
            }));
        }
        if let Some(slot) = https {
            let (serving, streams) = (Arc::clone(&slot), tasks.clone());
            tasks.spawn(accept::run(slot, tasks.clone(), move |stream| {
                http::serve_tls(stream, Arc::clone(&serving), Arc::clone(&tls), streams.clone())
            }));
        }
        if let (Some(slot), Some(socket)) = (dns, datagrams) {
            tasks.spawn(dns::serve_udp(
                socket,
                Arc::clone(&slot),
                Arc::clone(&zone),
                tasks.clone(),
            ));
            let serving = Arc::clone(&slot);
            tasks.spawn(accept::run(slot, tasks.clone(), move |stream| {
                dns::serve_tcp(stream, Arc::clone(&serving), Arc::clone(&zone))
            }));
        }
        if let (Some(slot), Some(socket)) = (echo, echoes) {
            tasks.spawn(echo::serve(socket, slot, tasks.clone()));
        }
        if let Some(slot) = control {
            let faults = target.faults.clone();
            tasks.spawn(accept::run(slot, tasks.clone(), move |stream| {
                control::serve(stream, faults.clone())
            }));
        }
        Ok(target)
    }

    /// Where HTTP is served.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where HTTPS is served.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Where DNS is served, over UDP and TCP.
    pub fn dns_addr(&self) -> Option<SocketAddr> {
        self.dns
    }

    /// Where echoes are sent back, over UDP.
    pub fn echo_addr(&self) -> Option<SocketAddr> {
        self.echo
    }

    /// Where faults are switched over HTTP.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control.as_deref().map(Slot::addr)
    }

    /// The certificate of the authority that signed this target's certificates, as PEM. It is made
    /// anew at each start.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Switches this target's faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Closes every socket and returns when all tasks have ended, delayed and stalled ones included.
    pub async fn stop(self) {
        self.close();
        self.tasks.ended().await;
    }

    fn close(&self) {
        self.tasks.cancel();
        self.faults.close();
        if let Some(control) = &self.control {
            control.close();
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.close();
    }
}

/// The names asked for, and the addresses under which the target can be reached.
fn certificate_names(config: &TargetConfig) -> Vec<String> {
    let mut names = config.names.clone();
    let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let own = config.https.map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified());
    for address in addresses.into_iter().chain(own).map(|address| address.to_string()) {
        if !names.contains(&address) {
            names.push(address);
        }
    }
    names
}

fn listen(what: &str, addr: SocketAddr) -> io::Result<Arc<Slot>> {
    Gate::bind(addr).map(Slot::new).map_err(|error| failed(what, addr, &error))
}

/// Whoever reaches the control listener can break the target, so only this machine may.
fn listen_on_loopback(addr: SocketAddr) -> io::Result<Arc<Slot>> {
    if addr.ip().is_loopback() {
        listen("control", addr)
    } else {
        let text = format!("control listener on {addr}: only on a loopback address");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

fn failed(what: &str, addr: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("listen for {what} on {addr}: {error}"))
}
