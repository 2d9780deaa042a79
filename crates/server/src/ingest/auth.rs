//! Who is asking: bearer tokens, of which the store keeps a hash.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::store::{Scope, TokenRecord, Tokens};

/// The `client_id` of a token that may speak for every client: a gateway's, the simulator's.
pub const ANY_CLIENT: &str = "*";

/// How long a record may be used after it was read: so long can a revoked token still work.
const FRESH_MS: u64 = 5_000;

/// How long a record may be used while the store can't be asked: events go on to the bus through an
/// outage of the database, and a token that was revoked just before works until then.
const TRUSTED_MS: u64 = 3_600_000;

/// How long a store that did not answer is not asked again for a record that is at hand.
const SPARED_MS: u64 = 2_000;

/// How long the store has to answer, where a record is at hand and where none is.
const PATIENCE: Duration = Duration::from_millis(500);
const PATIENCE_UNKNOWN: Duration = Duration::from_secs(5);

/// How many records are kept at hand.
const KEPT_RECORDS: u64 = 100_000;

/// Checks tokens. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Auth {
    tokens: Tokens,
    now: fn() -> i64,
    recent: moka::sync::Cache<TokenId, Remembered>,
    /// When the store last did not answer.
    failed_ms: Arc<AtomicI64>,
}

type TokenId = [u8; ID.end - ID.start];

#[derive(Clone)]
struct Remembered {
    record: Arc<TokenRecord>,
    read_ms: i64,
}

impl Auth {
    /// Over the tokens of a store; `now` gives milliseconds since the Unix epoch.
    pub fn new(tokens: Tokens, now: fn() -> i64) -> Self {
        Self {
            tokens,
            now,
            recent: moka::sync::Cache::new(KEPT_RECORDS),
            failed_ms: Arc::default(),
        }
    }

    /// The record of the token in a request's headers, if it is good and may do `needed`.
    ///
    /// # Errors
    /// The answer to give: 401 where there is no good token, 403 where it may not do this, 503
    /// where the store cannot be asked.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        needed: Scope,
    ) -> Result<Arc<TokenRecord>, Problem> {
        let token = Token::of(headers)?;
        let record = self.record(token).await?;
        // A token that nobody has costs the same work and gets the same answer as a wrong one.
        let sent: [u8; 32] = Sha256::digest(token.text).into();
        let kept = record.as_ref().map_or([0; 32], |record| record.sha256);
        let same = bool::from(sent.ct_eq(&kept));
        let Some(record) = record.filter(|_| same) else {
            return Err(unauthorized("invalid_token", "the token is not known"));
        };
        if record.revoked {
            return Err(unauthorized("revoked_token", "the token was revoked"));
        }
        if !record.is_good((self.now)()) {
            return Err(unauthorized("expired_token", "the token has expired"));
        }
        if !record.scope.allows(needed) {
            return Err(insufficient(needed));
        }
        Ok(record)
    }

    async fn record(&self, token: Token<'_>) -> Result<Option<Arc<TokenRecord>>, Problem> {
        let now = (self.now)();
        let known = self.recent.get(&token.id);
        // However the clock was set in between.
        let age_ms = known.as_ref().map_or(u64::MAX, |known| now.abs_diff(known.read_ms));
        let spared = now.abs_diff(self.failed_ms.load(Ordering::Relaxed)) < SPARED_MS;
        let trusted = known.filter(|_| age_ms < TRUSTED_MS).map(|known| known.record);
        if let Some(record) = &trusted
            && (age_ms < FRESH_MS || spared)
        {
            return Ok(Some(Arc::clone(record)));
        }
        let patience = if trusted.is_some() { PATIENCE } else { PATIENCE_UNKNOWN };
        let asked = tokio::time::timeout(patience, self.tokens.lookup(token.id_text())).await;
        let found = match asked {
            Ok(Ok(found)) => found,
            failed => {
                self.failed_ms.store(now, Ordering::Relaxed);
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no answer in {patience:?}"),
                };
                tracing::warn!(trusted = trusted.is_some(), "can't look a token up: {why}");
                return trusted.map(Some).ok_or_else(unavailable);
            }
        };
        // Only what exists is remembered, so that guesses displace nothing.
        let Some(record) = found.map(Arc::new) else {
            self.recent.invalidate(&token.id);
            return Ok(None);
        };
        let remembered = Remembered { record: Arc::clone(&record), read_ms: now };
        self.recent.insert(token.id, remembered);
        Ok(Some(record))
    }
}

fn unavailable() -> Problem {
    let detail = "tokens cannot be looked up now";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        .retry_after(super::COME_AGAIN)
}

/// Middleware for routes that need a token of scope `read`.
pub async fn require_read(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    match auth.authenticate(request.headers(), Scope::Read).await {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Where in a token's text its id stands: `qoe_` + id + `_` + secret.
const ID: std::ops::Range<usize> = 4..12;
const TOKEN_LEN: usize = 4 + 8 + 1 + 43;
const API_TOKEN: HeaderName = HeaderName::from_static("x-api-token");

/// A token as it was sent: of the right form, no more is known of it.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    id: TokenId,
}

impl<'a> Token<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| (value, true));
        let plain = headers.get_all(API_TOKEN).iter().map(|value| (value, false));
        let mut sent = bearer.chain(plain);
        let (value, in_scheme) = sent.next().ok_or_else(missing)?;
        if sent.next().is_some() {
            return Err(malformed("more than one token was sent"));
        }
        let value = value.to_str().ok();
        let text = if in_scheme { value.and_then(after_bearer) } else { value };
        text.and_then(Self::parse)
            .ok_or_else(|| malformed("the token is not of the form qoe_ID_SECRET"))
    }

    fn parse(text: &'a str) -> Option<Self> {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let formed = text.len() == TOKEN_LEN
            && text.starts_with("qoe_")
            && text.as_bytes()[ID.end] == b'_'
            && text.bytes().all(base64url);
        let id = text.as_bytes().get(ID)?.try_into().ok()?;
        formed.then_some(Self { text, id })
    }

    fn id_text(&self) -> &'a str {
        &self.text[ID]
    }
}

/// What follows `Bearer`, in any letter case.
fn after_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn missing() -> Problem {
    let detail = "send a token as `Authorization: Bearer ...`";
    challenge(StatusCode::UNAUTHORIZED, "missing_token", detail, "Bearer")
}

fn malformed(detail: &'static str) -> Problem {
    unauthorized("malformed_token", detail)
}

fn unauthorized(code: &'static str, detail: &'static str) -> Problem {
    let said = "Bearer error=\"invalid_token\"";
    challenge(StatusCode::UNAUTHORIZED, code, detail, said)
}

fn insufficient(needed: Scope) -> Problem {
    let said = match needed {
        Scope::Ingest => "Bearer error=\"insufficient_scope\", scope=\"ingest\"",
        Scope::Read => "Bearer error=\"insufficient_scope\", scope=\"read\"",
        Scope::Admin => "Bearer error=\"insufficient_scope\", scope=\"admin\"",
    };
    let detail = format!("this needs a token of scope {needed}");
    challenge(StatusCode::FORBIDDEN, "insufficient_scope", detail, said)
}

fn challenge(
    status: StatusCode,
    code: &'static str,
    detail: impl Into<String>,
    said: &'static str,
) -> Problem {
    Problem::new(status, code, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "qoe_abcd1234_0123456789012345678901234567890123456789-_A";

    fn code(headers: &[(&'static str, &str)]) -> Result<String, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Token::of(&map).map(|token| token.id_text().to_owned()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_token_is_taken_from_either_header() {
        for scheme in ["Bearer ", "bearer ", "BEARER  "] {
            let value = format!("{scheme}{GOOD}");
            assert_eq!(code(&[("authorization", &value)]), Ok("abcd1234".to_owned()));
        }
        assert_eq!(code(&[("x-api-token", GOOD)]), Ok("abcd1234".to_owned()));
    }

    #[test]
    fn what_is_no_token_is_said_to_be_none() {
        assert_eq!(code(&[]), Err("missing_token"));
        let bearer = format!("Bearer {GOOD}");
        let cut = &bearer[..bearer.len() - 1];
        let spaced = format!("{cut} ");
        let other = bearer.replace("qoe_", "abc_");
        let glued = bearer.replace("1234_", "12345");
        for value in ["Bearer", "Bearer ", "Basic dXNlcjpwdw==", GOOD, cut, &spaced, &other, &glued]
        {
            assert_eq!(code(&[("authorization", value)]), Err("malformed_token"), "{value}");
        }
        let twice = [("authorization", bearer.as_str()), ("authorization", &bearer)];
        assert_eq!(code(&twice), Err("malformed_token"));
        let both = [("authorization", bearer.as_str()), ("x-api-token", GOOD)];
        assert_eq!(code(&both), Err("malformed_token"));
    }
}
