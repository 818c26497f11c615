//! `/api/v1/proxies`: proxy settings and Test Connection.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::Response,
};
use gatehouse_domain::{
    AppError, Authentication, FieldErrors, Operation, Page, ProxyForm, ProxyQuery, ProxyView, Scheme, TestEvent, TestReport,
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::{JsonBody, OptionalBody, PathId, SignedIn, if_match, no_fields, text_fields};
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// A proxy setting as it is sent. Read-only fields of the answer are accepted and ignored, unknown ones refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct ProxyInput {
    /// 1 to 100 characters; unique in the company without regard to case.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Host name or IP address.
    #[schema(min_length = 1)]
    host: String,
    /// Port.
    #[schema(minimum = 1, maximum = 65535)]
    port: u16,
    /// How to speak to the proxy.
    #[schema(default = "http", nullable = false)]
    scheme: Option<Scheme>,
    /// What the proxy asks for.
    #[schema(default = "transparent", nullable = false)]
    authentication: Option<Authentication>,
    /// For `basic`.
    username: Option<String>,
    /// For `basic`. Left out: the stored one is kept. Null: it is erased. It must be given again when host, port or scheme change.
    #[schema(format = Password, write_only, min_length = 1)]
    password: Option<String>,
    /// Make it the company's default.
    #[schema(default = false, nullable = false)]
    is_default: Option<bool>,
    /// Hosts, `*.suffix`, addresses and networks, each with an optional `:port`, that do not go through the proxy.
    bypass: Option<Vec<String>>,
    /// Certificates trusted besides the system's, as PEM.
    ca_pem: Option<String>,
    /// How long to wait, in seconds.
    #[schema(minimum = 1, maximum = 120, default = 10)]
    timeout_s: Option<u16>,
    /// Identifier of another setting, tried when this one can't be reached: its name has no address, or nothing accepts the connection.
    /// The bypass list of this one holds for both. Null: none, the request fails.
    fallback: Option<String>,
}

/// What to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct DraftTest {
    /// The values; the name is not needed. With the `id` of a saved setting the password may be left out.
    proxy: ProxyInput,
    /// URL to ask for; the installation's default when left out.
    target: Option<String>,
}

/// What to test a saved setting with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct SavedTest {
    /// URL to ask for; the installation's default when left out.
    target: Option<String>,
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema; the query is read by ProxyQuery")]
pub struct ListParams {
    /// Searched for in name, host and user name.
    q: Option<String>,
    /// `name`, `host`, `port`, `authentication`, `is_default` or `created_at`; a minus in front turns the order round.
    #[param(default = "name", pattern = "^(-?(name|host|port|authentication|is_default|created_at))?$")]
    sort: Option<String>,
    /// Only these.
    authentication: Option<Authentication>,
    /// Only these.
    scheme: Option<Scheme>,
    /// Only the default, or all others.
    is_default: Option<bool>,
    /// Only these.
    #[param(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    /// Exactly this name, without regard to case.
    name: Option<String>,
    /// Exactly this host.
    host: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// The company's proxy settings.
#[utoipa::path(
    get, path = "/api/v1/proxies", operation_id = "listProxies", tag = "proxies", params(ListParams),
    responses(
        (status = 200, body = Page<ProxyView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Json<Page<ProxyView>>, HttpError> {
    let pairs = crate::form_posts::parse_form(query.unwrap_or_default().as_bytes());
    let query = ProxyQuery::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(AppError::from)?;
    Ok(Json(state.platform.list_proxies(&actor, &query).await?))
}

/// Makes a proxy setting.
#[utoipa::path(
    post, path = "/api/v1/proxies", operation_id = "createProxy", tag = "proxies", request_body = ProxyInput,
    responses(
        (status = 201, body = ProxyView, headers(("ETag" = String), ("Location" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`name_taken`", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(Operation::CreateProxy)?;
    let form = ProxyForm::from_json(&body).map_err(AppError::from)?;
    let view = state.platform.create_proxy(&actor, &form).await?;
    Ok(created(view))
}

/// One proxy setting.
#[utoipa::path(
    get, path = "/api/v1/proxies/{id}", operation_id = "getProxy", tag = "proxies", params(("id" = String, Path)),
    responses(
        (status = 200, body = ProxyView, headers(("ETag" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId) -> Result<Response, HttpError> {
    Ok(with_etag(state.platform.proxy(&actor, &id).await?))
}

/// Replaces a proxy setting: an optional field left out takes its default.
#[utoipa::path(
    put, path = "/api/v1/proxies/{id}", operation_id = "replaceProxy", tag = "proxies",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Replace only this version")),
    request_body = ProxyInput,
    responses(
        (status = 200, body = ProxyView, headers(("ETag" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`name_taken`, `changed` (If-Match) or `in_use`", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(Operation::ReplaceProxy)?;
    // What does not exist is not found, whatever the body says.
    state.platform.proxy(&actor, &id).await?;
    let form = ProxyForm::from_json(&body).map_err(AppError::from)?;
    Ok(with_etag(state.platform.replace_proxy(&actor, &id, if_match(&headers)?, &form).await?))
}

/// Deletes a proxy setting that nobody uses.
#[utoipa::path(
    delete, path = "/api/v1/proxies/{id}", operation_id = "deleteProxy", tag = "proxies",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Delete only this version")),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`in_use` or `changed` (If-Match)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap,
) -> Result<StatusCode, HttpError> {
    state.platform.delete_proxy(&actor, &id, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes this the company's default proxy.
#[utoipa::path(
    post, path = "/api/v1/proxies/{id}/default", operation_id = "makeDefaultProxy", tag = "proxies", params(("id" = String, Path)),
    responses(
        (status = 200, body = ProxyView, headers(("ETag" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn make_default(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Response, HttpError> {
    Ok(with_etag(state.platform.make_default_proxy(&actor, &id).await?))
}

/// Makes a copy under a new name; the copy is not the default.
#[utoipa::path(
    post, path = "/api/v1/proxies/{id}/duplicate", operation_id = "duplicateProxy", tag = "proxies", params(("id" = String, Path)),
    responses(
        (status = 201, body = ProxyView, headers(("ETag" = String), ("Location" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn duplicate(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Response, HttpError> {
    let view = state.platform.duplicate_proxy(&actor, &id).await?;
    Ok(created(view))
}

/// Tests values that are not saved.
#[utoipa::path(
    post, path = "/api/v1/proxies/test", operation_id = "testProxyDraft", tag = "proxies", request_body = DraftTest,
    responses(
        (status = 200, description = "The report, also when the connection failed", body = TestReport),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_tests`", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds to wait"))),
    )
)]
pub async fn test_draft(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<Json<TestReport>, HttpError> {
    actor.may(Operation::TestProxyDraft)?;
    let Value::Object(fields) = &body else {
        return Err(HttpError(AppError::invalid("body", "Send a JSON object with 'proxy'.")));
    };
    let mut errors = FieldErrors::new();
    let mut target = None;
    let mut form = None;
    let mut id = None;
    for (field, value) in fields {
        match (field.as_str(), value) {
            ("target", Value::String(text)) => target = Some(text.as_str()),
            ("target", Value::Null) => {}
            ("target", _) => errors.add("target", "This must be a text: the URL to ask for."),
            ("proxy", draft) => {
                match draft.get("id") {
                    Some(Value::String(text)) => id = Some(text.as_str()),
                    Some(Value::Null) | None => {}
                    Some(_) => errors.add("id", "This must be a text."),
                }
                match ProxyForm::from_json(draft) {
                    Ok(draft) => form = Some(draft),
                    Err(wrong) => wrong.0.into_iter().for_each(|(field, message)| errors.add(field, message)),
                }
            }
            _ => errors.add(field, "There is no such field."),
        }
    }
    if !fields.contains_key("proxy") {
        errors.add("proxy", "Say what to test: an object with at least host and port.");
    }
    let Some(form) = form.filter(|_| errors.is_empty()) else { return Err(HttpError(errors.into())) };
    Ok(Json(state.platform.test_draft(&actor, id, &form, target, nobody_watches()).await?))
}

/// Tests a saved setting and keeps the result as its last one.
#[utoipa::path(
    post, path = "/api/v1/proxies/{id}/test", operation_id = "testProxy", tag = "proxies", params(("id" = String, Path)),
    request_body = Option<SavedTest>,
    responses(
        (status = 200, description = "The report, also when the connection failed", body = TestReport),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_tests`", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds to wait"))),
    )
)]
pub async fn test_saved(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, OptionalBody(body): OptionalBody,
) -> Result<Json<TestReport>, HttpError> {
    actor.may(Operation::TestProxy)?;
    let fields = text_fields(&body.unwrap_or_else(no_fields), &["target"])?;
    Ok(Json(state.platform.test_proxy(&actor, &id, fields.get("target").map(String::as_str), nobody_watches()).await?))
}

/// A script waits for the report; events go nowhere.
fn nobody_watches() -> mpsc::Sender<TestEvent> {
    mpsc::channel(1).0
}

fn created(view: ProxyView) -> Response {
    super::created("/api/v1/proxies", &view.id.clone(), view.version, view)
}

fn with_etag(view: ProxyView) -> Response {
    super::with_etag(StatusCode::OK, view.version, view)
}
