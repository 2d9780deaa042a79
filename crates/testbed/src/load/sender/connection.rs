//! One keep-alive connection to an ingest.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{Format, SendError};

/// An answer may hold 10,000 rejections.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Whom to send to, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) url: Url,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    host: Host,
    port: u16,
    authority: HeaderValue,
    bearer: HeaderValue,
}

/// A connection that did not bring an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("connect: {0}")]
    Connect(#[source] io::Error),
    #[error("TLS handshake: {0}")]
    Tls(#[source] io::Error),
    #[error("request: {0}")]
    Request(#[from] hyper::Error),
    #[error("read the answer: {0}")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Peer {
    pub(super) fn new(url: &Url, bearer: HeaderValue) -> Result<Self, SendError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SendError::Config("the URL is not http or https"));
        }
        let host = url.host().ok_or(SendError::Config("the URL has no host"))?.to_owned();
        let port = url.port_or_known_default().ok_or(SendError::Config("the URL has no port"))?;
        let authority = url.port().map_or(host.to_string(), |port| format!("{host}:{port}"));
        let authority = HeaderValue::from_str(&authority)
            .map_err(|_| SendError::Config("the URL's host fits no header"))?;
        Ok(Self { url: url.clone(), tls: None, host, port, authority, bearer })
    }

    /// Whether it was given all it needs.
    pub(super) fn check(&self) -> Result<(), SendError> {
        if self.url.scheme() == "https" && self.tls.is_none() {
            return Err(SendError::Config("https needs a TLS configuration"));
        }
        Ok(())
    }

    pub(super) async fn connect(&self) -> Result<Connection, Lost> {
        let stream = match &self.host {
            Host::Domain(name) => TcpStream::connect((name.as_str(), self.port)).await,
            Host::Ipv4(ip) => TcpStream::connect((*ip, self.port)).await,
            Host::Ipv6(ip) => TcpStream::connect((*ip, self.port)).await,
        };
        let stream = stream.map_err(Lost::Connect)?;
        stream.set_nodelay(true).map_err(Lost::Connect)?;
        let (Some(tls), "https") = (&self.tls, self.url.scheme()) else {
            return Connection::over(stream).await;
        };
        let name = match &self.host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|error| Lost::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?,
            Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
            Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
        };
        let connector = TlsConnector::from(Arc::clone(tls));
        Connection::over(connector.connect(name, stream).await.map_err(Lost::Tls)?).await
    }

    pub(super) fn request(&self, format: Format, body: Bytes) -> Request<Full<Bytes>> {
        let content_type = match format {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
        };
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::post(path)
            .header(header::HOST, &self.authority)
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .expect("a parsed URL's path and checked headers make a request");
        *request.version_mut() = http::Version::HTTP_11;
        request
    }
}

/// An open connection, one request at a time.
pub(super) struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    async fn over<S>(stream: S) -> Result<Self, Lost>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped; what goes wrong is told to the request as well.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        self.0.ready().await?;
        Ok(self.0.send_request(request).await?)
    }
}

/// Reads an answer to its end, so that the connection can be used again.
pub(super) async fn body(response: Response<Incoming>) -> Result<Bytes, Lost> {
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
    Ok(body.collect().await.map_err(Lost::Answer)?.to_bytes())
}
