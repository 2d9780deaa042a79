//! To a collector, by HTTP or gRPC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use tokio::runtime::Handle;
use url::Url;

/// Where a collector listens: `http://HOST:4318` for OTLP over HTTP, `grpc://HOST:4317` over gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    grpc: bool,
}

/// Why it is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no collector: write http://HOST:4318 (OTLP over HTTP) or grpc://HOST:4317; both are in the \
     clear, so run the collector on this machine or network"
)]
pub struct BadEndpoint(String);

/// For one batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a collector answers is short.
const MOST_BYTES: usize = 64 << 10;

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let bad = || BadEndpoint(text.to_owned());
        let grpc = text.starts_with("grpc://");
        let text = text.strip_prefix("grpc://").map(|rest| format!("http://{rest}"));
        let url = Url::parse(text.as_deref().unwrap_or(&bad().0)).map_err(|_| bad())?;
        let plain = url.username().is_empty() && url.query().is_none() && url.has_host();
        if url.scheme() != "http" || !plain {
            return Err(bad());
        }
        Ok(Self { url, grpc })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.url.as_str().strip_prefix("http").unwrap_or_default();
        write!(f, "{}{rest}", if self.grpc { "grpc" } else { "http" })
    }
}

impl Endpoint {
    /// What sends to it. Inside a tokio runtime.
    pub(super) fn exporter(&self) -> Result<SpanExporter, ExporterBuildError> {
        let builder = SpanExporter::builder();
        if self.grpc {
            let endpoint = self.url.as_str().trim_end_matches('/');
            return builder.with_tonic().with_endpoint(endpoint).with_timeout(PATIENCE).build();
        }
        let mut url = self.url.clone();
        if url.path() == "/" {
            url.set_path("/v1/traces");
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let http =
            builder.with_http().with_http_client(Http { client, runtime: Handle::current() });
        http.with_endpoint(url.as_str()).with_timeout(PATIENCE).build()
    }
}

/// The batches are sent by a thread without a runtime, so the work is done on ours.
#[derive(Debug)]
struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let work = self.runtime.spawn(async move {
            let sent = async {
                let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
                let body = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
                Ok(Response::from_parts(head, body))
            };
            tokio::time::timeout(PATIENCE, sent).await.unwrap_or_else(|late| Err(late.into()))
        });
        work.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_collector_is_is_read_and_what_is_none_is_told() {
        for text in ["http://127.0.0.1:4318/", "grpc://collector:4317/"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", "127.0.0.1:4318", "https://c.example/", "http://a:b@c:1/", "grpc://"] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("grpc://HOST:4317"), "{error}");
        }
    }
}
