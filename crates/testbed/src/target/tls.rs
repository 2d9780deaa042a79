//! The server side of TLS: one configuration for each certificate a fault can ask for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::{Acceptor, NoServerSessionStorage, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certs::{Authority, Identity};
use super::faults::{Certificate, TlsFault};

/// For the ClientHello, and again for the rest of the handshake; a fault's delay comes on top.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers handshakes with TLS 1.2 or 1.3, and h2 or HTTP/1.1 by ALPN.
pub(super) struct Tls {
    good: Arc<ServerConfig>,
    expired: Arc<ServerConfig>,
    self_signed: Arc<ServerConfig>,
    wrong_host: Arc<ServerConfig>,
}

impl Tls {
    /// Makes a certificate of each kind; offers HTTP/2 where asked to.
    pub(super) fn new(authority: &Authority, http2: bool) -> io::Result<Self> {
        let config = |certificate| {
            let identity = authority.identity(certificate).map_err(io::Error::other)?;
            config(identity, http2).map_err(io::Error::other).map(Arc::new)
        };
        Ok(Self {
            good: config(Certificate::Good)?,
            expired: config(Certificate::Expired)?,
            self_signed: config(Certificate::SelfSigned)?,
            wrong_host: config(Certificate::WrongHost)?,
        })
    }

    /// Reads the ClientHello, waits as the fault says, and does the handshake.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        fault: TlsFault,
    ) -> io::Result<TlsStream<TcpStream>> {
        let hello =
            timeout(HANDSHAKE_TIMEOUT, LazyConfigAcceptor::new(Acceptor::default(), stream))
                .await??;
        if fault.delay_ms > 0 {
            sleep(Duration::from_millis(fault.delay_ms)).await;
        }
        let config = match fault.certificate {
            Certificate::Good => &self.good,
            Certificate::Expired => &self.expired,
            Certificate::SelfSigned => &self.self_signed,
            Certificate::WrongHost => &self.wrong_host,
        };
        timeout(HANDSHAKE_TIMEOUT, hello.into_stream(Arc::clone(config))).await?
    }
}

fn config(identity: Identity, http2: bool) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // Every handshake is a full one: a resumed session would not look at the certificate again, and
    // would hide the fault.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
