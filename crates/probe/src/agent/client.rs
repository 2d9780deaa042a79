//! The connection to the ingest: one, kept open, made again when it breaks.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::{self, Instant as Deadline};
use url::{Position, Url};

use super::Ingest;
use super::answer::Answer;
use super::offset::offset_ms;
use super::queue::Line;
use crate::VERSION;
use crate::measure::resolve::Resolver;
use crate::measure::{connect, now_ms, tls};

/// Limit for one request, its connection included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// No answer of an ingest is longer than one naming every event of a batch.
const MAX_ANSWER: usize = 1 << 20;
/// Below this, compressing saves less than its header costs.
const MIN_GZIP: usize = 1_024;

/// Posts batches to one ingest.
pub(super) struct Client {
    url: Url,
    authorization: Option<HeaderValue>,
    resolver: Resolver,
    tls: tls::Client,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// # Errors
    /// The address is none of an ingest, or its certificates cannot be read.
    pub(super) fn new(ingest: &Ingest) -> anyhow::Result<Self> {
        let url = endpoint(&ingest.url)?;
        let authorization = ingest.token.as_ref().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| anyhow!("the token has characters no token has"))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Self {
            url,
            authorization: authorization.transpose()?,
            resolver: Resolver::new(None),
            tls: tls::Client::new(ingest.ca_file.as_deref(), &["http/1.1"])?,
            open: None,
        })
    }

    /// Sends a batch and waits for the answer. An error is a lost connection or time: whether
    /// the events were taken is not known, and sending them again is safe, as their ids are the
    /// same.
    pub(super) async fn post(&mut self, batch: &[Line]) -> anyhow::Result<Answer> {
        let deadline = Deadline::now() + TIMEOUT;
        let posted = time::timeout_at(deadline, self.try_post(batch, deadline)).await;
        let answer = posted.unwrap_or_else(|_| Err(anyhow!("no answer within {TIMEOUT:?}")));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn try_post(&mut self, batch: &[Line], deadline: Deadline) -> anyhow::Result<Answer> {
        // A connection that was kept may have been closed by the other side meanwhile.
        if let Some(mut open) = self.open.take()
            && open.sender.ready().await.is_ok()
            && let Ok(answer) = self.exchange(open, batch).await
        {
            return Ok(answer);
        }
        let open = self.connect(deadline).await?;
        self.exchange(open, batch).await
    }

    async fn exchange(&mut self, mut open: Open, batch: &[Line]) -> anyhow::Result<Answer> {
        let request = self.request(batch)?;
        let sent_ms = now_ms();
        let response = open.sender.send_request(request).await.context("cannot send")?;
        let received_ms = now_ms();
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|e| anyhow!("cannot read the answer: {e}"))?.to_bytes();
        let text = |name| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        self.open = Some(open);
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER),
            body: body.to_vec(),
            clock_offset_ms: text(header::DATE)
                .and_then(|date| offset_ms(sent_ms, received_ms, &date)),
        })
    }

    fn request(&self, batch: &[Line]) -> anyhow::Result<Request<Full<Bytes>>> {
        let (body, encoding) = encode(batch)?;
        let mut request = Request::post(&self.url[Position::BeforePath..Position::AfterQuery])
            .header(header::HOST, &self.url[Position::BeforeHost..Position::AfterPort])
            .header(header::USER_AGENT, format!("qoe-probe/{VERSION}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson");
        if let Some(encoding) = encoding {
            request = request.header(header::CONTENT_ENCODING, encoding);
        }
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::new(body)).context("cannot write the request")
    }

    async fn connect(&self, deadline: Deadline) -> anyhow::Result<Open> {
        let host = self.url.host().context("no host")?;
        let port = self.url.port_or_known_default().context("no port")?;
        let lookup = self.resolver.plan(&host).run(deadline).await;
        if let Some(failure) = lookup.failure {
            return Err(anyhow!(failure.detail));
        }
        let addresses = connect::order(&lookup.addresses, port);
        let tried = connect::connect_any(&addresses, deadline).await;
        let stream = tried.outcome.map_err(|failure| anyhow!(failure.detail))?.stream;
        // Nobody reads this clock.
        stream.log().stop();
        if self.url.scheme() == "https" {
            let shaken = self.tls.handshake(stream, &host, deadline).await;
            open(shaken.map_err(|e| anyhow!(e.failure.detail))?.stream).await
        } else {
            open(stream).await
        }
    }
}

async fn open<S>(stream: S) -> anyhow::Result<Open>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        // How it ended is seen by whoever sends next.
        let _ = connection.await;
    });
    Ok(Open { sender, driver: driver.abort_handle() })
}

/// Where events are posted: without a path of its own, the contract's.
fn endpoint(url: &Url) -> anyhow::Result<Url> {
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.host().is_some(),
        "{url} is not the http or https address of an ingest"
    );
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "the address of an ingest carries no password; give a token file"
    );
    let mut url = url.clone();
    if url.path() == "/" {
        url.set_path("/v1/events");
    }
    Ok(url)
}

fn encode(batch: &[Line]) -> anyhow::Result<(Bytes, Option<&'static str>)> {
    let length = batch.iter().map(|line| line.0.len() + 1).sum();
    let mut text = Vec::with_capacity(length);
    for Line(line) in batch {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    if text.len() < MIN_GZIP {
        return Ok((text.into(), None));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text).context("cannot compress")?;
    Ok((encoder.finish().context("cannot compress")?.into(), Some("gzip")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingest_is_named_with_or_without_its_path() {
        let at = |text: &str| endpoint(&Url::parse(text).unwrap());
        assert_eq!(at("http://q.test:8460").unwrap().as_str(), "http://q.test:8460/v1/events");
        assert_eq!(at("https://q.test/qoe/events").unwrap().path(), "/qoe/events");
        assert!(at("ftp://q.test/").is_err());
        assert!(at("https://u:p@q.test/").is_err());
    }
}
