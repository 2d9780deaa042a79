//! What a request can be refused with, by what it asks for.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};

/// Where events come in.
pub(crate) struct ToSend;

/// Where rows are read.
pub(crate) struct ToRead;

/// Where one thing is read by its id.
pub(crate) struct ToReadOne;

/// Where others than this machine need a token.
pub(crate) struct ToWatch;

/// Where the role says how it is.
pub(crate) struct Unwell;

type Responses = BTreeMap<String, RefOr<Response>>;

const NO_TOKEN: (u16, &str) = (
    401,
    "`missing_token`, `malformed_token`, `invalid_token`, `expired_token` or `revoked_token`",
);
const WRONG_SCOPE: (u16, &str) = (403, "`insufficient_scope`: the token is of another scope");
const WRONG_PARAMETER: (u16, &str) = (400, "`invalid_parameter`: its name is in `detail`");
const NOT_NOW: (u16, &str) = (503, "`unavailable`: not now; come again after `Retry-After`");

impl IntoResponses for ToSend {
    fn responses() -> Responses {
        problems(&[
            (
                400,
                "`bad_json` with `line` and `column`, `empty_body`, `not_events`, `bad_encoding` or `incomplete_body`",
            ),
            NO_TOKEN,
            (
                403,
                "`insufficient_scope`, or `client_mismatch` where the token speaks for another client than every event (with `rejected`)",
            ),
            (408, "`body_timeout`: the body took longer than 30 s"),
            (
                413,
                "`body_too_large` (1 MiB), `decoded_too_large` (8 MiB unpacked) or `too_many_events` (10,000)",
            ),
            (415, "`unsupported_media_type` or `unsupported_encoding`"),
            (422, "`all_rejected`: no event was accepted; each is in `rejected`"),
            (429, "`rate_limited`: this client sends more than 1,000 requests a second"),
            NOT_NOW,
        ])
    }
}

impl IntoResponses for ToRead {
    fn responses() -> Responses {
        problems(&[WRONG_PARAMETER, NO_TOKEN, WRONG_SCOPE, NOT_NOW])
    }
}

impl IntoResponses for ToReadOne {
    fn responses() -> Responses {
        let none = (404, "`not_found`: there is none of this id");
        problems(&[WRONG_PARAMETER, NO_TOKEN, WRONG_SCOPE, none, NOT_NOW])
    }
}

impl IntoResponses for ToWatch {
    fn responses() -> Responses {
        let none = (404, "`not_found`: this role answers its own machine alone");
        problems(&[NO_TOKEN, WRONG_SCOPE, none, NOT_NOW])
    }
}

impl IntoResponses for Unwell {
    fn responses() -> Responses {
        problems(&[(503, "`unavailable`: what is wrong is in `detail`")])
    }
}

fn problems(said: &[(u16, &str)]) -> Responses {
    said.iter().map(|&(status, when)| (status.to_string(), problem(status, when).into())).collect()
}

/// One, with the headers that come with its status.
fn problem(status: u16, when: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response =
        ResponseBuilder::new().description(when).content("application/problem+json", content);
    let header = |kind: ObjectBuilder, says: &str| {
        HeaderBuilder::new().schema(Some(kind)).description(Some(says)).build()
    };
    let whole = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let text = ObjectBuilder::new().schema_type(Type::String);
    match status {
        401 | 403 => {
            response.header("WWW-Authenticate", header(text, "The challenge of RFC 6750."))
        }
        429 | 503 => response.header("Retry-After", header(whole, "In how many seconds.")),
        _ => response,
    }
    .build()
}
