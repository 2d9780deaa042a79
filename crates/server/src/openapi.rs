//! What can be asked over HTTP, as an OpenAPI 3.1 document that is made from the routes themselves:
//! each handler says beside its code what it takes and answers, and only such handlers are routes.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::ingest::problem;
use crate::{api, health, ingest, metrics};

mod columns;
pub(crate) mod event;
pub(crate) mod incident;
pub(crate) mod refused;
pub(crate) mod score;

pub(crate) use columns::CountColumns;

/// Where it is served.
const PATH: &str = "/api/openapi.json";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "qoe", description = include_str!("openapi/info.md")),
    components(schemas(problem::Said, event::EventV1_0, event::EventV1_1)),
    modifiers(&Tokens),
    tags(
        (name = "events", description = "The way in"),
        (name = "read", description = "What was counted, and what is wrong"),
        (name = "operation", description = "How the server itself is"),
    )
)]
struct Base;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some(
            "Made by `qoe token create`, of scope `ingest` to send or `read` to read (`admin` is \
             both). The words beside it at an operation are the scope it needs."
                .to_owned(),
        );
        let header = ApiKeyValue::with_description(
            "X-API-Token",
            "The same token, as older probes send it.",
        );
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("header", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// The whole document, whatever part of it a role serves.
pub fn document() -> OpenApi {
    let parts = [ingest::described(), api::described(), health::described(), metrics::described()];
    let document = parts.into_iter().fold(Base::openapi(), OpenApi::merge_from);
    document.merge_from(routes().into_openapi())
}

/// As it is served and kept in `docs/openapi.json`. Made once: anybody may ask for it, at any rate.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let document = document().to_pretty_json().expect("no map with keys that are no strings");
        document + "\n"
    });
    &TEXT
}

/// `GET /api/openapi.json`, which needs no token: it tells nothing of what was measured.
pub fn router() -> Router {
    routes().into()
}

fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(page(routes!(get_document)))
}

/// This document.
#[utoipa::path(
    get, path = PATH, operation_id = "get_document", tag = "operation", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object)),
)]
async fn get_document() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text()).into_response()
}

/// A route whose other methods are answered as a problem.
pub(crate) fn page<S>(route: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let (schemas, paths, handler) = route;
    (schemas, paths, handler.fallback(problem::method_not_allowed))
}
