//! A receiver of alerts: an HTTP server that answers as it is told and remembers what it was sent.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// How a request is answered.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) never: bool,
}

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// A server that goes with the test.
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    seen: Arc<Seen>,
    _serving: AbortOnDropHandle<()>,
}

struct Seen {
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    came: Notify,
    answer: Box<dyn Fn(usize) -> Answer + Send + Sync>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), never: false }
    }

    /// None, and the connection stays open.
    pub(crate) fn never() -> Self {
        Self { never: true, ..Self::status(200) }
    }
}

impl Received {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Receiver {
    /// Answers each request by its number, from 0.
    pub(crate) async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(None, Box::new(answer)).await
    }

    pub(crate) async fn with_tls(
        made: &rcgen::CertifiedKey<rcgen::KeyPair>,
        answer: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))), Box::new(answer)).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        answer: Box<dyn Fn(usize) -> Answer + Send + Sync>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests, connections, came) =
            (Mutex::default(), AtomicUsize::default(), Notify::new());
        let seen = Arc::new(Seen { requests, connections, came, answer });
        let serving = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    let (seen, tls) = (Arc::clone(&seen), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => talk(stream, seen).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    talk(stream, seen).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { addr, seen, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Resolves when it has had so many requests.
    pub(crate) async fn has(&self, count: usize) {
        loop {
            let came = self.seen.came.notified();
            if self.requests().len() >= count {
                return;
            }
            came.await;
        }
    }
}

async fn talk<S>(stream: S, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let seen = Arc::clone(&seen);
        async move { Ok::<_, Infallible>(seen.answer(request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Seen {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers =
            head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let path = head.uri.to_string();
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(Received { path, headers, body });
            requests.len() - 1
        };
        self.came.notify_waiters();
        let Answer { status, headers, body, never } = (self.answer)(number);
        if never {
            std::future::pending::<()>().await;
        }
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(Full::new(body.into())).unwrap()
    }
}
