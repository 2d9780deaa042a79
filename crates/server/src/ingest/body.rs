//! Reading a body with a bound on its bytes and its time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// Bounds of a body.
pub(super) struct ByteLimits {
    /// Bytes as it travels.
    pub(super) encoded: usize,
    /// Up to so many bytes it needs no permit.
    pub(super) small: usize,
    /// From the first look to the last byte.
    pub(super) timeout: Duration,
}

/// A body, still packed.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// Held as long as the bytes of a large body are.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Reads a whole body. A large one takes a permit, so that senders together can't fill the
/// memory; where there is none it is refused for now.
pub(super) async fn read(
    request: Request,
    limits: &ByteLimits,
    large: &Arc<Semaphore>,
) -> Result<Body, Problem> {
    let body = request.into_body();
    // Before a byte is asked for: a sender that waits for "100 Continue" keeps its body.
    if body.size_hint().lower() > limits.encoded as u64 {
        return Err(too_large(limits.encoded));
    }
    match tokio::time::timeout(limits.timeout, collect(body, limits, large)).await {
        Ok(read) => read,
        Err(_) => {
            let detail = format!("the body took longer than {} s", limits.timeout.as_secs_f64());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail).closing())
        }
    }
}

async fn collect(
    mut body: axum::body::Body,
    limits: &ByteLimits,
    large: &Arc<Semaphore>,
) -> Result<Body, Problem> {
    let mut whole = BytesMut::new();
    let mut permit = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let detail = "the body ended before its time";
            Problem::new(StatusCode::BAD_REQUEST, "incomplete_body", detail)
        })?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        let size = whole.len() + data.len();
        if size > limits.encoded {
            return Err(too_large(limits.encoded));
        }
        if size > limits.small && permit.is_none() {
            permit = Some(Arc::clone(large).try_acquire_owned().map_err(|_| busy())?);
        }
        if whole.is_empty() && body.is_end_stream() {
            // The usual case, a body in one piece, is not copied.
            return Ok(Body { bytes: data, _permit: permit });
        }
        whole.extend_from_slice(&data);
    }
    Ok(Body { bytes: whole.freeze(), _permit: permit })
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body has more than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).closing()
}

fn busy() -> Problem {
    let detail = "too many large bodies at once";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        .retry_after(super::COME_AGAIN)
        .closing()
}
