//! HTTP/3: the QUIC handshake, one GET on the fresh connection, and what QUIC says of the path.
//!
//! QUIC connects and shakes hands in one: there is no TCP stage, and the TLS stage is all of it. A
//! socket is made for each connection, so that no path is shared.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Buf as _;
use http::{Request, header};
use model::ErrorStage;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, EndpointConfig, TokioRuntime};
use rustls_pki_types::CertificateDer;
use tokio::time::{self, Instant as Deadline};
use url::{Host, Position, Url};

use super::certificate;
use super::http::{BodyEnd, Progress};
use super::tls::Client;
use crate::VERSION;
use crate::failure::{Failure, kind};
use crate::measurement::{Certificate, QuicPath, Tls};

/// A connection that stands.
pub(super) struct Shaken {
    connection: quinn::Connection,
    endpoint: Endpoint,
    pub(super) time: Duration,
    pub(super) session: Tls,
}

/// A response whose head has come.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) request: Duration,
    pub(super) ttfb: Duration,
    pub(super) answered: Instant,
    stream: h3::client::RequestStream<h3_quinn::BidiStream<bytes::Bytes>, bytes::Bytes>,
    connection: quinn::Connection,
    // Dropped last: both close with them.
    _driver: Driver,
    _endpoint: Endpoint,
}

struct Driver(tokio::task::AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects and shakes hands; beside the outcome the certificate that was shown.
pub(super) async fn shake(
    client: &Client,
    host: &Host<&str>,
    address: SocketAddr,
    deadline: Deadline,
) -> (Result<Shaken, Failure>, Option<Certificate>) {
    let seen = Arc::new(OnceLock::new());
    let outcome = try_shake(client, host, address, &seen, deadline).await;
    let shown = seen.get().and_then(certificate::read);
    let outcome = outcome.map_err(|mut failure| {
        certificate::explain(&mut failure, shown.as_ref(), super::now_ms());
        failure
    });
    (outcome, shown)
}

async fn try_shake(
    client: &Client,
    host: &Host<&str>,
    address: SocketAddr,
    seen: &Arc<OnceLock<Vec<CertificateDer<'static>>>>,
    deadline: Deadline,
) -> Result<Shaken, Failure> {
    let setup = |e: &dyn std::fmt::Display| {
        Failure::new(ErrorStage::Tls, kind::TLS_FAILED, format!("cannot set up QUIC: {e}"))
    };
    let tls = client.quic(Arc::clone(seen)).map_err(|e| setup(&e))?;
    let tls = QuicClientConfig::try_from(tls).map_err(|e| setup(&e))?;
    let name = match host {
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any).map_err(|e| setup(&e))?;
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime));
    let endpoint = endpoint.map_err(|e| setup(&e))?;
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let start = Instant::now();
    let connecting = endpoint.connect_with(config, address, &name).map_err(|e| setup(&e))?;
    match time::timeout_at(deadline, connecting).await {
        Ok(Ok(connection)) => Ok(Shaken {
            time: start.elapsed(),
            connection,
            endpoint,
            session: Tls {
                version: "1.3",
                // QUIC's interface does not tell which suite was agreed on.
                cipher: "unknown".to_owned(),
                alpn: Some("h3".to_owned()),
            },
        }),
        Ok(Err(error)) => Err(of_quic(&error)),
        Err(_) => {
            let what = format!("no QUIC answer from {address}");
            Err(Failure::new(ErrorStage::Tls, kind::TLS_TIMED_OUT, what))
        }
    }
}

/// Sends a GET and waits for the head of the response.
pub(super) async fn get(shaken: Shaken, url: &Url, deadline: Deadline) -> Result<Answer, Failure> {
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::new(ErrorStage::Http, kind::HTTP_FAILED, format!("cannot ask for {url}: {e}"))
    };
    let request = Request::get(&url[..Position::AfterQuery])
        .header(header::USER_AGENT, format!("qoe-probe/{VERSION}"))
        .header(header::ACCEPT, "*/*")
        .body(())
        .map_err(|e| wrong(&e))?;
    let Shaken { connection, endpoint, .. } = shaken;
    let asking = async {
        let speaking = h3_quinn::Connection::new(connection.clone());
        let (mut driver, mut sender) = h3::client::new(speaking).await.map_err(|e| protocol(&e))?;
        let driver = tokio::spawn(async move {
            // How it ended is seen by whoever waits for the answer.
            let _ = std::future::poll_fn(|cx| driver.poll_close(cx)).await;
        });
        let driver = Driver(driver.abort_handle());
        let began = Instant::now();
        let mut stream = sender.send_request(request).await.map_err(|e| protocol(&e))?;
        stream.finish().await.map_err(|e| protocol(&e))?;
        let sent = Instant::now();
        let response = stream.recv_response().await.map_err(|e| protocol(&e))?;
        let answered = Instant::now();
        let (head, ()) = response.into_parts();
        Ok(Answer {
            head,
            request: sent - began,
            ttfb: answered - sent,
            answered,
            stream,
            connection: connection.clone(),
            _driver: driver,
            _endpoint: endpoint,
        })
    };
    let late = || Failure::new(ErrorStage::Http, kind::HTTP_TIMED_OUT, "no answer in time");
    time::timeout_at(deadline, asking).await.unwrap_or_else(|_| Err(late()))
}

impl Answer {
    /// Reads the body to its end, to `cap` bytes, or until time is out.
    pub(super) async fn read_body(&mut self, cap: u64, deadline: Deadline) -> (Progress, BodyEnd) {
        let mut progress = Progress { bytes: 0, first_piece: 0, span: None };
        let reading = async {
            loop {
                match self.stream.recv_data().await {
                    Ok(Some(data)) => progress.add(data.remaining() as u64, Instant::now()),
                    Ok(None) => return BodyEnd::Complete,
                    Err(error) => {
                        let what = format!("the body broke off: {error}");
                        let kind = kind::BODY_TRUNCATED;
                        return BodyEnd::Failed(Failure::new(ErrorStage::Http, kind, what));
                    }
                }
                if progress.bytes > cap {
                    return BodyEnd::Capped;
                }
            }
        };
        let end = time::timeout_at(deadline, reading).await.unwrap_or(BodyEnd::TimedOut);
        (progress, end)
    }

    /// What QUIC says of the path by now.
    pub(super) fn path(&self) -> QuicPath {
        let path = self.connection.stats().path;
        QuicPath {
            rtt: path.rtt,
            sent_packets: path.sent_packets,
            lost_packets: path.lost_packets,
            congestion_events: path.congestion_events,
        }
    }
}

fn protocol(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(ErrorStage::Http, kind::HTTP_PROTOCOL_ERROR, error.to_string())
}

/// TLS alerts are QUIC's transport errors from 0x100 on.
fn of_quic(error: &ConnectionError) -> Failure {
    let kind = match error {
        ConnectionError::TimedOut => kind::TLS_TIMED_OUT,
        ConnectionError::VersionMismatch => kind::TLS_VERSION_OR_CIPHER_MISMATCH,
        ConnectionError::Reset => kind::TCP_RESET,
        ConnectionError::TransportError(e) => match u64::from(e.code).checked_sub(0x100) {
            Some(_) if e.reason.contains("not valid for name") => kind::TLS_CERT_NAME_INVALID,
            Some(_) if e.reason.contains("UnknownIssuer") => kind::TLS_CERT_AUTHORITY_INVALID,
            Some(45) => kind::TLS_CERT_DATE_INVALID,
            Some(48) => kind::TLS_CERT_AUTHORITY_INVALID,
            Some(42..=47) => kind::TLS_CERT_INVALID,
            Some(40 | 70 | 71 | 120) => kind::TLS_VERSION_OR_CIPHER_MISMATCH,
            Some(_) => kind::TLS_PROTOCOL_ERROR,
            None => kind::TLS_FAILED,
        },
        _ => kind::TLS_FAILED,
    };
    Failure::new(ErrorStage::Tls, kind, format!("QUIC: {error}"))
}
