//! The REST API, version 1: thin handlers over the use cases, and the OpenAPI document made from them.

mod account;
mod analyses;
mod audit;
mod checks;
mod companies;
mod gateway;
mod gateway_people;
mod installation;
mod integrations;
mod openapi;
mod people;
mod proxies;
mod sessions;
mod tokens;
mod traffic;

use std::{collections::HashMap, sync::OnceLock};

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    response::{IntoResponse, Response},
};
use gatehouse_domain::AppError;
use gatehouse_platform::Actor;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use leptos::server_fn::axum::server_fn_paths;
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http_errors::{HttpError, Problem, method_not_allowed},
    security::{BODY_LIMIT, Visitor},
    state::AppState,
};

/// What the document says besides the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gatehouse",
        description = "Proxy settings, and the ways an organisation's traffic takes. Errors are RFC 9457 problem documents with a stable `code`. Bodies are JSON, whatever `Content-Type` says. An empty parameter of a query counts as left out."
    ),
    components(schemas(Problem)),
    modifiers(&Security),
    security(("token" = []), ("session" = []))
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token")).build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let cookie = ApiKeyValue::with_description("gatehouse_session", "The session cookie of the console");
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        document.info.license = None;
    }
}

fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(sessions::current, sessions::sign_in, sessions::sign_out))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete))
        .routes(routes!(installation::get))
        .routes(routes!(proxies::list, proxies::create))
        .routes(routes!(proxies::get, proxies::replace, proxies::delete))
        .routes(routes!(proxies::test_draft))
        .routes(routes!(proxies::test_saved))
        .routes(routes!(proxies::make_default))
        .routes(routes!(proxies::duplicate))
        .routes(routes!(integrations::engines))
        .routes(routes!(integrations::list, integrations::create))
        .routes(routes!(integrations::get, integrations::replace, integrations::delete))
        .routes(routes!(integrations::test_draft))
        .routes(routes!(integrations::test_saved))
        .routes(routes!(integrations::duplicate))
        .routes(routes!(analyses::list, analyses::start))
        .routes(routes!(analyses::get))
        .routes(routes!(traffic::list))
        .routes(routes!(traffic::export))
        .routes(routes!(checks::get, checks::put))
        .routes(routes!(checks::changes))
        .routes(routes!(gateway::get, gateway::replace))
        .routes(routes!(gateway::check))
        .routes(routes!(gateway::explain))
        .routes(routes!(gateway_people::list, gateway_people::create))
        .routes(routes!(account::sessions, account::end_other_sessions))
        .routes(routes!(account::end_session))
        .routes(routes!(account::change_password))
        .routes(routes!(
            account::second_factor,
            account::begin_second_factor,
            account::confirm_second_factor,
            account::remove_second_factor
        ))
        .routes(routes!(people::list))
        .routes(routes!(people::get, people::replace, people::delete))
        .routes(routes!(people::invitations, people::invite))
        .routes(routes!(people::accept))
        .routes(routes!(people::withdraw))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(companies::list, companies::create))
        .routes(routes!(companies::get, companies::delete))
        .routes(routes!(companies::suspend))
        .routes(routes!(companies::resume))
        .routes(routes!(companies::invite))
        .routes(routes!(companies::export))
        .routes(routes!(gateway_people::get, gateway_people::replace, gateway_people::delete))
}

/// The API below `/api/v1`.
pub fn router() -> Router<AppState> {
    // The document says of each call what whoever calls must be allowed: without that, there is no router.
    let _ = openapi_json();
    server_functions_have_permissions();
    let (router, _) = routes().split_for_parts();
    router
        .route("/api/v1/openapi.json", axum::routing::get(show_document))
        .route("/api", axum::routing::any(unknown))
        .route("/api/{*rest}", axum::routing::any(unknown))
        .method_not_allowed_fallback(method_not_allowed)
}

/// As the calls of the API: a server function that is not in the table must not be.
fn server_functions_have_permissions() {
    for (path, _) in server_fn_paths() {
        let listed = gatehouse_app::api::OPERATIONS.iter().any(|(of, _)| *of == path);
        assert!(listed, "the server function {path} is not in the table of operations (app/src/api/mod.rs)");
    }
}

async fn unknown() -> HttpError {
    HttpError(AppError::NotFound)
}

async fn show_document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}

/// The OpenAPI document as it is served, printed and kept as a golden file.
#[must_use]
pub fn openapi_json() -> &'static str {
    static JSON: OnceLock<String> = OnceLock::new();
    JSON.get_or_init(|| {
        let (_, mut document) = routes().split_for_parts();
        openapi::complete(&mut document);
        // utoipa 5 writes this key of a link as Rust does (OpenAPI 3.1, 4.8.20 has it in camel case).
        let json = document.to_pretty_json().map(|json| json.replace("\"operation_id\":", "\"operationId\":"));
        json.unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    })
}

/// Whoever is signed in; 401 otherwise.
pub struct SignedIn(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        match parts.extensions.get::<Visitor>() {
            Some(Visitor { actor: Ok(actor), .. }) => Ok(Self(actor.clone())),
            Some(Visitor { actor: Err(error), .. }) => Err(HttpError(error.clone())),
            None => Err(HttpError(AppError::Unauthorized)),
        }
    }
}

/// The identifier in a path. What is no text, like `%FF`, identifies nothing: it is not found, as anything else that is not there.
pub struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|_| HttpError(AppError::NotFound))
    }
}

/// A body that is JSON. What is wrong with it is said as a problem document. No body is an object without fields: what is missing is
/// then named field by field.
pub struct JsonBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = HttpError;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, HttpError> {
        let OptionalBody(body) = OptionalBody::from_request(request, state).await?;
        Ok(Self(body.unwrap_or_else(no_fields)))
    }
}

/// An object without fields.
fn no_fields() -> Value {
    Value::Object(serde_json::Map::new())
}

/// As [`JsonBody`], for calls where no body and an empty object are not the same, or where none is needed. `null` is none.
pub struct OptionalBody(pub Option<Value>);

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = HttpError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, HttpError> {
        let bytes = axum::body::to_bytes(request.into_body(), BODY_LIMIT)
            .await
            .map_err(|_| HttpError(AppError::TooLarge(BODY_LIMIT as u64)))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(None));
        }
        // `null` is read as `None`.
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| HttpError(AppError::Malformed(format!("The body is not JSON: {error}."))))
    }
}

/// The fields of a small body: texts only.
fn text_fields(body: &Value, known: &[&str]) -> Result<HashMap<String, String>, AppError> {
    let Value::Object(fields) = body else { return Err(AppError::invalid("body", "Send a JSON object.")) };
    let mut errors = gatehouse_domain::FieldErrors::new();
    let mut texts = HashMap::new();
    for (field, value) in fields {
        match value {
            _ if !known.contains(&field.as_str()) => errors.add(field, "There is no such field."),
            Value::String(text) => {
                texts.insert(field.clone(), text.clone());
            }
            Value::Null => {}
            _ => errors.add(field, "This must be a text."),
        }
    }
    if errors.is_empty() { Ok(texts) } else { Err(errors.into()) }
}

/// The version that `If-Match` names (RFC 9110, 13.1.1); `*` names any.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, AppError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // A tag that we did not give out matches nothing, which is what version 0 does.
    Ok(Some(text.trim_start_matches("W/").trim_matches('"').parse().unwrap_or(0)))
}

/// Something that was just made: 201, with where it is and its version.
fn created(list: &str, id: &str, version: u64, body: impl Serialize) -> Response {
    let mut response = with_etag(StatusCode::CREATED, version, body);
    if let Ok(value) = HeaderValue::from_str(&format!("{list}/{id}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// Something with its version as its entity tag (RFC 9110, 8.8.3).
fn with_etag(status: StatusCode, version: u64, body: impl Serialize) -> Response {
    (status, [(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document is a promise to other programs: a change of it is seen in review. `UPDATE_GOLDEN=1` writes it anew.
    #[test]
    fn the_openapi_document_is_the_golden_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api/openapi.json");
        let now = format!("{}\n", openapi_json());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api")).expect("a folder");
            std::fs::write(path, &now).expect("written");
        }
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            golden == now,
            "docs/api/openapi.json is not what the code says; run this test with UPDATE_GOLDEN=1 and look at the difference"
        );
    }

    /// A client generator needs names for operations, and every operation says who may call it and what can go wrong.
    #[test]
    fn every_operation_is_named_and_says_what_can_go_wrong() {
        let document: Value = serde_json::from_str(openapi_json()).expect("JSON");
        let mut seen = std::collections::HashSet::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let id = operation["operationId"].as_str().expect("an operationId");
                assert!(seen.insert(id.to_string()), "{id} stands twice");
                let answers = operation["responses"].as_object().expect("responses");
                assert!(answers.keys().any(|status| status.starts_with('4')), "{method} {path} never fails?");
            }
        }
        assert!(seen.len() >= 28);
    }
}
