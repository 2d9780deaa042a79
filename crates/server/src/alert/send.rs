//! One request to one receiver: to the very address that was checked, without following anything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::address;
use super::config::Receiver;
use super::message::Message;
use super::retry::{self, Outcome};

/// For all of it: look-up, connect, handshake, request and answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is read so far; nobody needs more of it.
const MOST_ANSWER: usize = 64 << 10;
/// Characters of an answer that are told.
const MOST_TOLD: usize = 200;
/// Addresses of a host that are tried.
const MOST_ADDRESSES: usize = 4;

/// How one receiver is reached.
#[derive(Clone)]
pub struct Sender {
    allow_private: bool,
    tls: Arc<ClientConfig>,
}

/// A receiver that can't be reached as it is described.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The certificates it names can't be used.
    #[error("receiver `{name}`: cannot use the certificates in {path}: {why}")]
    Certificates {
        /// Which receiver.
        name: String,
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
    /// TLS can't be set up at all.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Sender {
    /// Trusts the built-in roots, which age with the program, and those of the receiver's file.
    ///
    /// # Errors
    /// The file can't be read or holds no certificates.
    pub fn new(receiver: &Receiver) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = &receiver.ca_file {
            let unusable = |why: String| SetupError::Certificates {
                name: receiver.name.clone(),
                path: path.display().to_string(),
                why,
            };
            let own = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(error.to_string()))?;
            if roots.add_parsable_certificates(own).0 == 0 {
                return Err(unusable("there are none".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { allow_private: receiver.allow_private, tls: Arc::new(tls) })
    }

    /// Sends a message, within [`TIMEOUT`].
    pub async fn send(&self, message: Message, now_s: i64) -> Outcome {
        match time::timeout(TIMEOUT, self.exchange(message, now_s)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(why)) => Outcome::Later { why, after: None },
            Err(_) => Outcome::Later {
                why: format!("it took more than {} s", TIMEOUT.as_secs()),
                after: None,
            },
        }
    }

    async fn exchange(&self, message: Message, now_s: i64) -> Result<Outcome, String> {
        let Message { url, headers, body } = message;
        let request = request(&url, headers, body)?;
        let stream = self.connect(&url).await?;
        if url.scheme() != "https" {
            return answer(stream, request, now_s).await;
        }
        let name = match url.host().ok_or("the URL names no host")? {
            Host::Domain(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| "the URL's host is no name of a server".to_owned())?,
            Host::Ipv4(four) => ServerName::IpAddress(std::net::IpAddr::V4(four).into()),
            Host::Ipv6(six) => ServerName::IpAddress(std::net::IpAddr::V6(six).into()),
        };
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let secured = connector.connect(name, stream).await;
        let secured = secured.map_err(|error| format!("cannot shake hands: {error}"))?;
        answer(secured, request, now_s).await
    }

    /// Looks the host up once and connects to what was found and may be sent to; nothing looks it up
    /// again in between.
    async fn connect(&self, url: &Url) -> Result<TcpStream, String> {
        let port = url.port_or_known_default().ok_or("the URL names no port")?;
        let found: Vec<SocketAddr> = match url.host().ok_or("the URL names no host")? {
            Host::Ipv4(four) => vec![(four, port).into()],
            Host::Ipv6(six) => vec![(six, port).into()],
            Host::Domain(name) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|error| format!("cannot look up {name}: {error}"))?
                .collect(),
        };
        let mut last = Err("its host has no address".to_owned());
        let mut tried = 0;
        for address in found {
            if let Err(refused) = address::check(address.ip(), self.allow_private) {
                last = Err(refused.to_string());
                continue;
            }
            if tried == MOST_ADDRESSES {
                break;
            }
            tried += 1;
            // Of several, one that is silent must not take all the time there is.
            let patience = TIMEOUT / 3;
            last = match time::timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => Err(format!("cannot connect to {address}: {error}")),
                Err(_) => Err(format!(
                    "cannot connect to {address}: no answer within {:.1} s",
                    patience.as_secs_f64()
                )),
            };
        }
        last
    }
}

fn request(
    url: &Url,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(header::USER_AGENT, concat!("qoe/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        let value = HeaderValue::try_from(value)
            .map_err(|_| format!("the header {name} has characters that no header has"))?;
        request = request.header(name, value);
    }
    request.body(Full::new(body.into())).map_err(|error| format!("cannot write a request: {error}"))
}

/// Asks over a connection that is used for nothing else.
async fn answer<S>(stream: S, request: Request<Full<Bytes>>, now_s: i64) -> Result<Outcome, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: hyper::Error| match cause(&error) {
        Some(cause) => format!("the connection failed: {cause}"),
        None => format!("the connection failed: {error}"),
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_ANSWER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let ask = async {
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let told = match head.status.is_success() || head.status.is_redirection() {
            true => String::new(),
            // What it says of itself is worth something; that it can't be read is not.
            false => match Limited::new(body, MOST_ANSWER).collect().await {
                Ok(body) => told(&body.to_bytes()),
                Err(_) => String::new(),
            },
        };
        Ok(retry::of_answer(head.status.as_u16(), text(header::RETRY_AFTER), &told, now_s))
    };
    // Both, here: a connection that is dropped with this future leaves nothing behind.
    let mut ask = std::pin::pin!(ask);
    tokio::select! {
        outcome = &mut ask => outcome,
        // One that breaks after its answer has answered.
        ended = connection => match (ask.await, ended) {
            (Err(_), Err(broken)) => Err(failed(broken)),
            (outcome, _) => outcome,
        },
    }
}

fn cause(error: &hyper::Error) -> Option<String> {
    let source = std::error::Error::source(error)?;
    match source.downcast_ref::<io::Error>() {
        Some(error) => Some(error.to_string()),
        None => Some(source.to_string()),
    }
}

/// The beginning of an answer, as one line of a log can have it.
fn told(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().take(MOST_TOLD).map(printable).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
