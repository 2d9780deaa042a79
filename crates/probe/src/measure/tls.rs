//! TLS: a full handshake, verified, timed at the socket from ClientHello to its end.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::ErrorStage;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::{self, Instant as Deadline};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::SetupError;
use super::certificate;
use super::socket::{Log, Socket};
use crate::failure::{Failure, kind, of_io};
use crate::measurement::{Certificate, Tls};

/// The stream that HTTP speaks over.
pub(crate) type Secured = TlsStream<Socket>;

/// What all handshakes share: trust and the provider's tables, made once.
#[derive(Debug)]
pub(crate) struct Client {
    config: ClientConfig,
    verifier: Arc<WebPkiServerVerifier>,
}

/// A completed handshake.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) stream: Secured,
    pub(crate) time: Duration,
    /// Of that, what this machine took.
    pub(crate) local: Duration,
    pub(crate) session: Tls,
    pub(crate) certificate: Option<Certificate>,
}

/// A failed one; the certificate that was shown is told all the same.
#[derive(Debug)]
pub(crate) struct HandshakeError {
    pub(crate) failure: Failure,
    pub(crate) certificate: Option<Certificate>,
}

impl Client {
    /// Trusts the built-in roots (which age with the program) and those of a file.
    pub(crate) fn new(ca_file: Option<&Path>, alpn: &[&str]) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = ca_file {
            add_file(&mut roots, path)?;
        }
        let setup = |e: &dyn std::fmt::Display| SetupError::Tls(e.to_string());
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // As browsers offer them, for handshakes that are like theirs: the shorter key first.
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let provider = Arc::new(provider);
        let roots = Arc::new(roots);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|e| setup(&e))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| setup(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed handshake is shorter: every measurement makes a whole one.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Self { config, verifier })
    }

    /// The same trust for QUIC, which has nothing older than TLS 1.3.
    #[cfg(feature = "http3")]
    pub(super) fn quic(
        &self,
        seen: Arc<OnceLock<Vec<CertificateDer<'static>>>>,
    ) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::clone(self.config.crypto_provider());
        let verifier = Remembering { inner: Arc::clone(&self.verifier), seen };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h3".to_vec()];
        Ok(config)
    }

    /// Shakes hands on a fresh connection.
    pub(crate) async fn handshake(
        &self,
        stream: Socket,
        host: &Host<&str>,
        deadline: Deadline,
    ) -> Result<Handshake, HandshakeError> {
        let seen = Arc::new(OnceLock::new());
        let log = stream.log();
        let result = self.shake(stream, host, Arc::clone(&seen), deadline).await;
        let certificate = seen.get().and_then(certificate::read);
        match result {
            Ok(stream) => Ok(Handshake {
                time: span(&log),
                local: log.local(),
                session: session(&stream),
                stream,
                certificate,
            }),
            Err(mut failure) => {
                certificate::explain(&mut failure, certificate.as_ref(), super::now_ms());
                Err(HandshakeError { failure, certificate })
            }
        }
    }

    async fn shake(
        &self,
        stream: Socket,
        host: &Host<&str>,
        seen: Arc<OnceLock<Vec<CertificateDer<'static>>>>,
        deadline: Deadline,
    ) -> Result<Secured, Failure> {
        let name = server_name(host).ok_or_else(|| {
            let detail = "the host's name fits in no certificate";
            Failure::new(ErrorStage::Tls, kind::TLS_CERT_NAME_INVALID, detail)
        })?;
        let mut config = self.config.clone();
        let verifier = Remembering { inner: Arc::clone(&self.verifier), seen };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match time::timeout_at(deadline, shaking).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(e)) => Err(of_io(ErrorStage::Tls, &e, "handshake")),
            Err(_) => Err(Failure::new(
                ErrorStage::Tls,
                kind::TLS_TIMED_OUT,
                "the handshake did not end in time",
            )),
        }
    }
}

/// Verifies as the platform's rules are, and keeps the certificates that were shown, so that one
/// that is refused can still be told about. Handshakes have one of these each.
#[derive(Debug)]
struct Remembering {
    inner: Arc<WebPkiServerVerifier>,
    seen: Arc<OnceLock<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = std::iter::once(end_entity).chain(intermediates);
        let _ = self.seen.set(shown.map(|der| der.clone().into_owned()).collect());
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), SetupError> {
    let wrong = |detail: String| SetupError::CaFile { path: PathBuf::from(path), detail };
    let pem = fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        added += 1;
    }
    if added == 0 {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(())
}

fn server_name(host: &Host<&str>) -> Option<ServerName<'static>> {
    match host {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            ServerName::try_from((*name).to_owned()).ok()
        }
        Host::Ipv4(ip) => Some(ServerName::from(IpAddr::V4(*ip))),
        Host::Ipv6(ip) => Some(ServerName::from(IpAddr::V6(*ip))),
    }
}

/// ClientHello to the last message of the handshake, ours in 1.3 and the server's in 1.2. Keys were
/// made before it; that work is in no stage.
fn span(log: &Log) -> Duration {
    let end = log.last_write().map(|(_, after)| after).max(log.last_arrival());
    let span = log.first_write().zip(end).map(|(start, end)| end.saturating_duration_since(start));
    span.unwrap_or_default()
}

fn session(stream: &Secured) -> Tls {
    let (_, connection) = stream.get_ref();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        // The only other one that is offered.
        _ => "1.3",
    };
    let suite = connection.negotiated_cipher_suite().map(|s| s.suite());
    let cipher = suite.and_then(|s| s.as_str()).unwrap_or("unknown");
    Tls {
        version,
        // rustls marks the suites of 1.3 in their names; IANA does not.
        cipher: cipher.replacen("TLS13_", "TLS_", 1),
        alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
    }
}
