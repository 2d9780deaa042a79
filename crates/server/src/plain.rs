//! A question to a server inside one's own network, over plain HTTP.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

const MOST_BYTES: usize = 1 << 20;
/// For all of it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is answered to `GET` of a path at a server.
///
/// # Errors
/// Where it is not `http://`, or nothing answers in time.
pub async fn get(server: &Url, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    anyhow::ensure!(server.scheme() == "http", "only http:// is supported");
    tokio::time::timeout(TIMEOUT, answer(server, path)).await.context("no answer in time")?
}

async fn answer(server: &Url, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let host = server.host_str().unwrap_or_default();
    let port = server.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header(http::header::HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    connection.abort();
    Ok((status, body.map_err(|error| anyhow::anyhow!(error))?.to_bytes()))
}
