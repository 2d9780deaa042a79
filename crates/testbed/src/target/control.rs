//! Switching faults over HTTP: `GET /faults`, `PUT /faults/{listener}`, `DELETE /faults`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpStream;

use super::faults::{FaultError, FaultSet, Listener};
use super::http::HEAD_TIMEOUT;
use super::switch::Faults;

/// A set of faults written out in full has a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, faults: Faults) {
    let service = service_fn(|request| respond(request, &faults));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "control connection");
    }
}

/// Why a request was not followed.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    allow: Option<&'static str>,
    error: String,
    /// Path of the JSON key to blame, such as `tls.certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, allow: None, error: error.into(), key: None }
    }
}

impl From<FaultError> for Problem {
    fn from(error: FaultError) -> Self {
        let status = match error {
            FaultError::NotServed(_) => StatusCode::NOT_FOUND,
            FaultError::DoesNotApply { .. } | FaultError::OutOfRange { .. } => {
                StatusCode::BAD_REQUEST
            }
            FaultError::Listen { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { key: error.key().map(str::to_owned), ..Self::new(status, error.to_string()) }
    }
}

async fn respond(
    request: Request<Incoming>,
    faults: &Faults,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = match follow(request, faults).await {
        Ok(current) => json(StatusCode::OK, &current),
        Err(problem) => {
            let mut response = json(problem.status, &problem);
            if let Some(allow) = problem.allow {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            }
            response
        }
    };
    Ok(response)
}

/// Does what is asked and answers with the faults of every listener.
async fn follow(
    request: Request<Incoming>,
    faults: &Faults,
) -> Result<BTreeMap<Listener, FaultSet>, Problem> {
    let path = request.uri().path();
    if path == "/faults" {
        match *request.method() {
            Method::GET => {}
            Method::DELETE => faults.clear_all()?,
            _ => return Err(not_allowed("GET, DELETE")),
        }
    } else if let Some(name) = path.strip_prefix("/faults/") {
        let listener: Listener = name
            .parse()
            .map_err(|error| Problem::new(StatusCode::NOT_FOUND, format!("{error}")))?;
        if request.method() != Method::PUT {
            return Err(not_allowed("PUT"));
        }
        faults.set(listener, read(request.into_body()).await?)?;
    } else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("nothing at {path}: /faults or /faults/LISTENER"),
        ));
    }
    Ok(Listener::ALL
        .into_iter()
        .filter_map(|listener| Some((listener, faults.get(listener)?)))
        .collect())
}

async fn read(body: Incoming) -> Result<FaultSet, Problem> {
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("read the faults (at most {MAX_BODY} bytes): {error}"),
        )
    })?;
    let body = body.to_bytes();
    let mut json = serde_json::Deserializer::from_slice(&body);
    let faults: FaultSet =
        serde_path_to_error::deserialize(&mut json).map_err(|error| Problem {
            // A syntax error is nobody's in particular.
            key: error
                .inner()
                .is_data()
                .then(|| error.path().to_string())
                .filter(|path| path != "."),
            ..Problem::new(StatusCode::BAD_REQUEST, error.inner().to_string())
        })?;
    json.end().map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(faults)
}

fn not_allowed(allow: &'static str) -> Problem {
    let error = format!("not allowed here: {allow} only");
    Problem { allow: Some(allow), ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, error) }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let mut text =
        serde_json::to_string_pretty(value).expect("maps with text keys, of numbers and text");
    text.push('\n');
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
