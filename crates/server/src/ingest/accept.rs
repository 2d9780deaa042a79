//! The listening socket: connections with a bound on their number, their time and their
//! headers, HTTP/1.1 in the clear and, over TLS, HTTP/2 as well.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::problem::Problem;
use guarded::Guarded;

mod guarded;
mod tls;

pub use tls::{Exposed, TlsError, check_exposure, server_config};

/// Bounds of the connections.
#[derive(Clone, Debug)]
pub struct AcceptLimits {
    /// Open at once; the next one waits in the kernel's queue.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's head, and between two requests on an HTTP/1.1 connection.
    pub head: Duration,
    /// Without a byte in either direction, on any connection.
    pub idle: Duration,
    /// For the requests in flight when the server stops.
    pub drain: Duration,
    /// Bytes of a URL's path and query.
    pub url_bytes: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Requests at once on an HTTP/2 connection.
    pub streams: u32,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(3),
            url_bytes: 8 << 10,
            head_bytes: 16 << 10,
            headers: 64,
            streams: 32,
        }
    }
}

/// Who is at the other end of a request's connection; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves `router` until `shutdown`; then stops accepting, lets the requests in flight end
/// within [`AcceptLimits::drain`], drops what is left, and returns.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    limits: AcceptLimits,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let server = Arc::new(Server::new(tls, router, limits, shutdown.clone()));
    let accept = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (stream, peer) = accept(&listener).await;
            let (server, abort) = (Arc::clone(&server), abort.clone());
            connections.spawn(async move {
                abort.run_until_cancelled(server.connection(stream, peer)).await;
                drop(slot);
            });
        }
    };
    shutdown.run_until_cancelled(accept).await;
    drop(listener);
    connections.close();
    if tokio::time::timeout(server.limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "dropping connections that did not end");
        abort.cancel();
        connections.wait().await;
    }
}

/// The next connection, whatever it takes.
async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => return (stream, Peer(addr)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: they come back as connections end.
                tracing::error!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

struct Server {
    tls: Option<TlsAcceptor>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    router: Router,
    limits: AcceptLimits,
    shutdown: CancellationToken,
}

impl Server {
    fn new(
        tls: Option<Arc<ServerConfig>>,
        router: Router,
        limits: AcceptLimits,
        shutdown: CancellationToken,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(limits.headers)
            .max_header_size(limits.head_bytes)
            // A connection's share of the memory.
            .max_buf_size(limits.head_bytes.max(64 << 10))
            // Who has sent a request and closes that half still gets the answer.
            .half_close(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
        Self { tls: tls.map(TlsAcceptor::from), http1, http2, router, limits, shutdown }
    }

    async fn connection(&self, stream: TcpStream, peer: Peer) {
        // Answers are small and come in one piece; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let io = Guarded::new(stream, self.limits.idle);
            return self
                .drive(self.http1.serve_connection(TokioIo::new(io), self.service(peer)))
                .await;
        };
        let handshake = tokio::time::timeout(self.limits.handshake, tls.accept(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(Guarded::new(stream, self.limits.idle));
        if http2 {
            self.drive(self.http2.serve_connection(io, self.service(peer))).await;
        } else {
            self.drive(self.http1.serve_connection(io, self.service(peer))).await;
        }
    }

    /// Runs a connection to its end, which comes after the request in flight once the server
    /// stops.
    async fn drive(&self, connection: impl GracefulConnection<Error = hyper::Error>) {
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn service(
        &self,
        peer: Peer,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + use<> {
        let (router, url_bytes) = (self.router.clone(), self.limits.url_bytes);
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
            let answer = if url > url_bytes {
                Err(Problem::new(StatusCode::URI_TOO_LONG, "url_too_long", "the URL is too long"))
            } else {
                Ok(router.clone().call(request.map(Body::new)))
            };
            async move {
                match answer {
                    Ok(answer) => answer.await,
                    Err(problem) => Ok(problem.into_response()),
                }
            }
        })
    }
}

/// What a connection is read from and written to.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}
