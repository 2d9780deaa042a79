//! The test target: an HTTP, an HTTPS and a DNS server in one process, whose faults can be switched
//! while it runs. Tests, `qoe demo`, `qoe target` and the benches measure it.
//!
//! Every listener is optional and stands on a port of its own; [`Target::faults`] breaks them one by
//! one. Nothing here needs a file or a privilege: the certificates are made at the start, and whoever
//! is to trust them is given [`Target::ca_pem`].

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

mod faults;

pub use faults::{
    Accept, Certificate, DnsAnswer, DnsFault, FaultError, FaultSet, Faults, HttpFault, Listener,
    TcpFault, TlsFault,
};

/// What to serve, and where. The default is every listener on a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Address of the HTTP listener; `None`: not served. Port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Address of the HTTPS listener.
    pub https: Option<SocketAddr>,
    /// Address of the DNS server, UDP and TCP on one port.
    pub dns: Option<SocketAddr>,
    /// Address of the control listener; anything but loopback is refused.
    pub control: Option<SocketAddr>,
    /// Names (or addresses) the certificate is good for, besides 127.0.0.1, `::1` and the address of
    /// the HTTPS listener.
    pub names: Vec<String>,
    /// What the DNS server answers: addresses by name, at most 1,000 a name.
    pub zone: BTreeMap<String, Vec<IpAddr>>,
}

impl Default for TargetConfig {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let names = ["localhost", "target.test"].map(String::from);
        Self {
            http: Some(any_port),
            https: Some(any_port),
            dns: Some(any_port),
            control: Some(any_port),
            zone: names
                .iter()
                .map(|name| (name.clone(), vec![IpAddr::from(Ipv4Addr::LOCALHOST)]))
                .collect(),
            names: names.into(),
        }
    }
}

/// A running target. Dropping it stops it without waiting; [`Target::stop`] waits.
#[derive(Debug)]
pub struct Target {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    dns: Option<SocketAddr>,
    control: Option<SocketAddr>,
    ca_pem: String,
    faults: Faults,
}

impl Target {
    /// Binds every listener that is asked for and serves on the current runtime.
    ///
    /// # Errors
    /// An address that can't be bound, a control address off loopback, a name that no certificate or
    /// zone can hold.
    #[expect(clippy::unused_async, reason = "agreed signature; the listeners follow")]
    pub async fn start(config: TargetConfig) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the target does not serve yet: {config:?}"),
        ))
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

    /// Where faults are switched over HTTP.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
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
    #[expect(clippy::unused_async, reason = "agreed signature; the listeners follow")]
    pub async fn stop(self) {}
}
