//! One connection to a server that may be gone at any moment, and one request at a time on it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than an ingest waits for the bus.
const PATIENCE: Duration = Duration::from_secs(12);

/// The way to a server.
#[derive(Debug)]
pub struct Way {
    addr: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Way {
    /// To a server that need not be there yet.
    pub fn to(addr: SocketAddr) -> Self {
        Self { addr, connection: None }
    }

    /// Posts events.
    ///
    /// # Errors
    /// Where there is no whole answer: the server may have taken them.
    pub async fn post(
        &mut self,
        token: &str,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        let mut request = Request::post("/v1/events");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(token, request, body).await
    }

    /// Reads a page.
    ///
    /// # Errors
    /// Where there is no whole answer.
    pub async fn get(&mut self, token: &str, path: &str) -> anyhow::Result<(u16, Bytes)> {
        self.send(token, Request::get(path), Bytes::new()).await
    }

    async fn send(
        &mut self,
        token: &str,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        let request = request
            .header("host", self.addr.to_string())
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(body))?;
        // Taken out, so that a connection on which anything failed is not used again.
        let connection = self.connection.take().filter(|connection| !connection.is_closed());
        let exchange = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            connection.ready().await?;
            let answer = connection.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            anyhow::Ok((connection, status, body))
        };
        let Ok(answered) = timeout(PATIENCE, exchange).await else { bail!("no answer in time") };
        let (connection, status, body) = answered.context("no whole answer")?;
        self.connection = Some(connection);
        Ok((status, body))
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
