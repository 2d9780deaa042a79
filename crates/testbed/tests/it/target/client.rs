//! Clients as plain as can be, so that what they see is what the target did.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use testbed::target::Target;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What should happen happens within this time, or never.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long is waited for what should not happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("done before the deadline")
}

/// A response, read to its end or to its error.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) error: Option<hyper::Error>,
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (head, mut body) = response.into_parts();
        let mut got = Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: Vec::new(),
            error: None,
        };
        while let Some(frame) = in_time(body.frame()).await {
            match frame {
                Ok(frame) => got.body.extend_from_slice(frame.data_ref().unwrap()),
                Err(error) => {
                    got.error = Some(error);
                    break;
                }
            }
        }
        got
    }
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "target.test")
        .body(Full::from(body.into()))
        .unwrap()
}

/// An HTTP/1.1 connection.
pub(crate) async fn http1<S>(stream: S) -> http1::SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = in_time(http1::handshake(TokioIo::new(stream))).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An HTTP/2 connection.
pub(crate) async fn http2<S>(stream: S) -> http2::SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        in_time(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn connect(addr: SocketAddr) -> TcpStream {
    in_time(TcpStream::connect(addr)).await.unwrap()
}

/// One request on an HTTP/1.1 connection of its own.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> Got {
    let mut sender = http1(connect(addr).await).await;
    Got::read(in_time(sender.send_request(request(method, path, body))).await.unwrap()).await
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Got {
    send(addr, "GET", path, "").await
}

/// What a client of `target` trusts, offering `alpn`.
pub(crate) fn tls_config(
    target: &Target,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(target.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A handshake with the target's HTTPS listener, verified against its authority.
pub(crate) async fn tls(
    target: &Target,
    name: &str,
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let config = tls_config(target, alpn, rustls::ALL_VERSIONS);
    let stream = connect(target.https_addr().unwrap()).await;
    in_time(
        TlsConnector::from(config).connect(ServerName::try_from(name.to_owned()).unwrap(), stream),
    )
    .await
}

/// One GET over HTTP/2 over TLS.
pub(crate) async fn get_h2(target: &Target, path: &str) -> Got {
    let mut sender = http2(tls(target, "localhost", &["h2"]).await.unwrap()).await;
    let request = Request::builder()
        .uri(format!("https://localhost{path}"))
        .body(Full::from(Bytes::new()))
        .unwrap();
    Got::read(in_time(sender.send_request(request)).await.unwrap()).await
}
