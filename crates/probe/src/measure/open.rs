//! A connection made ready for HTTP: as it is for http, after a handshake for https.

use std::time::Duration;

use ::http::HeaderName;
use model::ErrorStage;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant as Deadline;
use url::Url;

use super::http::{self, Answer, Version};
use super::socket::{Log, Socket};
use super::tls::{Client, HandshakeError, Secured};
use crate::failure::{Failure, kind};
use crate::measurement::{Certificate, Tls};

/// A connection on which a request can be sent.
pub(crate) struct Opened {
    stream: Stream,
    log: Log,
    pub(crate) version: Version,
    /// The handshake, where there was one.
    pub(crate) tls: Option<Shaken>,
    pub(crate) certificate: Option<Certificate>,
}

/// A handshake that completed.
pub(crate) struct Shaken {
    pub(crate) time: Duration,
    /// Of that, what this machine took.
    pub(crate) local: Duration,
    pub(crate) session: Tls,
}

enum Stream {
    Plain(Socket),
    Secured(Box<Secured>),
}

/// Readies a fresh connection for a URL's scheme.
pub(crate) async fn open(
    client: &Client,
    url: &Url,
    stream: Socket,
    deadline: Deadline,
) -> Result<Opened, HandshakeError> {
    let log = stream.log();
    if url.scheme() != "https" {
        return Ok(Opened {
            log,
            stream: Stream::Plain(stream),
            version: Version::Http1,
            tls: None,
            certificate: None,
        });
    }
    let host = url.host().ok_or_else(|| HandshakeError {
        failure: Failure::new(ErrorStage::Tls, kind::TLS_CERT_NAME_INVALID, "no host"),
        certificate: None,
    })?;
    let shaken = client.handshake(stream, &host, deadline).await?;
    Ok(Opened {
        log,
        version: Version::of_alpn(shaken.session.alpn.as_deref()),
        stream: Stream::Secured(Box::new(shaken.stream)),
        tls: Some(Shaken { time: shaken.time, local: shaken.local, session: shaken.session }),
        certificate: shaken.certificate,
    })
}

/// A stream of either kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

impl Opened {
    /// The stream alone, for whoever speaks more than one request over it.
    pub(crate) fn into_stream(self) -> Box<dyn Io> {
        match self.stream {
            Stream::Plain(stream) => Box::new(stream),
            Stream::Secured(stream) => stream,
        }
    }

    /// Sends a GET and waits for the head of the response.
    pub(crate) async fn get(
        self,
        url: &Url,
        extra: &[(HeaderName, &'static str)],
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let request = http::request(url, self.version, extra)?;
        match self.stream {
            Stream::Plain(stream) => {
                http::get(stream, self.log, self.version, request, deadline).await
            }
            Stream::Secured(stream) => {
                http::get(stream, self.log, self.version, request, deadline).await
            }
        }
    }
}
