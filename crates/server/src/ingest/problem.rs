//! Errors as answers: RFC 9457 problem details with a `code` for machines.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use model::decode::Rejection;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::event;

/// Why a request was refused.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    // Boxed, because a Result carries it past every step of every good request.
    said: Box<Said>,
}

/// Why a request was refused (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Said {
    /// Always `about:blank`: `code` says more.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599, example = 400)]
    status: u16,
    /// The kind, for machines.
    #[schema(example = "invalid_parameter")]
    code: &'static str,
    /// Why, for people.
    detail: String,
    /// The line of a mistake in a body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<usize>,
    /// The byte in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    column: Option<usize>,
    /// What was wrong with each event, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<event::Rejection>, required = false)]
    rejected: Option<Vec<Rejection>>,
}

impl Problem {
    /// A problem of a kind that `code` names. `detail` is for people and holds nothing secret.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let said = Said {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            line: None,
            column: None,
            rejected: None,
        };
        Self { status, headers: Vec::new(), said: Box::new(said) }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its kind.
    pub fn code(&self) -> &'static str {
        self.said.code
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Says where in the body the mistake is; both count from 1.
    pub(super) fn at(mut self, line: usize, column: usize) -> Self {
        self.said.line = Some(line);
        self.said.column = Some(column);
        self
    }

    pub(super) fn rejected(&self) -> &[Rejection] {
        self.said.rejected.as_deref().unwrap_or_default()
    }

    pub(super) fn with_rejected(mut self, rejected: Vec<Rejection>) -> Self {
        self.said.rejected = Some(rejected);
        self
    }

    /// The connection ends with the answer, because more of the body may come.
    pub(super) fn closing(self) -> Self {
        self.with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    pub(super) fn shutting_down() -> Self {
        let detail = "the server is shutting down";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .retry_after(super::COME_AGAIN)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = serde_json::to_vec(&self.said).expect("no map with keys that are no strings");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}

/// For a path that exists under another method; the router adds `Allow`.
pub async fn method_not_allowed() -> Problem {
    let detail = "this path does not take that method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// The fallback of the whole service.
pub async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}
