//! `/api/v1/integrations`: analysis engines, their proxy choice and their test.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{RawQuery, State},
    response::Response,
};
use gatehouse_domain::{
    AppError, Capabilities, IntegrationForm, IntegrationQuery, IntegrationReport, IntegrationStatus, IntegrationView, KeyNeed,
    Operation, Page, ProxyChoice,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{JsonBody, OptionalBody, PathId, SignedIn, if_match, no_fields, text_fields};
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// An integration as it is sent. Read-only fields of the answer are accepted and ignored, unknown ones refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct IntegrationInput {
    /// 1 to 100 characters; unique in the company without regard to case.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The engine: one of `GET /api/v1/engines`.
    #[serde(rename = "type")]
    #[schema(min_length = 1)]
    kind: String,
    /// What it is for.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Where the service is; the service's own address when left out.
    api_url: Option<String>,
    /// At most 20.
    tags: Option<Vec<String>>,
    /// Which way its requests take; the company's default when left out.
    #[schema(nullable = false)]
    proxy: Option<ProxyChoice>,
    /// What it looks at, at least one; what a new one of this type starts with when left out.
    capabilities: Option<CapabilitiesInput>,
    /// Whether it takes part in analyses.
    #[schema(default = "active", nullable = false)]
    status: Option<IntegrationStatus>,
    /// Left out: the stored one is kept. Null: it is erased. It must be given again when the origin of `api_url` changes.
    #[schema(format = Password, write_only, min_length = 1)]
    api_key: Option<String>,
    /// As `api_key`, for types with a second secret.
    #[schema(format = Password, write_only, min_length = 1)]
    api_password: Option<String>,
    /// Send only scheme and host of URLs.
    #[schema(default = false, nullable = false)]
    hide_url_parameters: Option<bool>,
    /// What never leaves.
    exclusions: Option<ExclusionsInput>,
    /// How many detections, or what score, make `malicious`; for types that have one.
    detection_threshold: Option<u16>,
    /// How long an answer is used again, in hours; 0: not at all.
    #[schema(default = 0, maximum = 720)]
    cache_hours: Option<u16>,
    /// How long one look-up may take in all, in seconds.
    #[schema(minimum = 1, maximum = 1800)]
    timeout_s: Option<u16>,
    /// Certificates trusted besides the system's, for the service, as PEM.
    ca_pem: Option<String>,
    /// Settings of the type's own, by name.
    options: Option<BTreeMap<String, Option<String>>>,
}

/// What an integration shall look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct CapabilitiesInput {
    /// URLs.
    #[schema(default = false, nullable = false)]
    url: Option<bool>,
    /// Addresses of senders, and other IP addresses.
    #[schema(default = false, nullable = false)]
    sender_ip: Option<bool>,
    /// Attachments and files.
    #[schema(default = false, nullable = false)]
    attachment: Option<bool>,
}

/// What is never sent to an engine.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct ExclusionsInput {
    /// Hosts, `*.suffix`, or the beginning of a URL (`https://intranet.example/hr/`).
    urls: Option<Vec<String>>,
    /// Addresses and networks.
    ips: Option<Vec<String>>,
    /// File extensions.
    extensions: Option<Vec<String>>,
}

/// The body of a call that takes none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema; the query is read by IntegrationQuery")]
pub struct ListParams {
    /// Searched for in name, description, type, address and tags.
    q: Option<String>,
    /// `name`, `type`, `status` or `created_at`; a minus in front turns the order round.
    #[param(default = "name", pattern = "^(-?(name|type|status|created_at))?$")]
    sort: Option<String>,
    /// Only this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only these.
    status: Option<IntegrationStatus>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those with this proxy choice: `default`, `none`, or the identifier of a setting.
    proxy: Option<String>,
    /// Exactly this name, without regard to case.
    name: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// What an engine is and can do.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngineView {
    /// As in an integration's `type`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its name.
    name: &'static str,
    /// What it does.
    summary: &'static str,
    /// The service's own address; empty where everybody has another.
    api_url: &'static str,
    /// What it can look at.
    capabilities: Capabilities,
    /// Whether it needs a key.
    needs_api_key: bool,
    /// Whether it needs a second secret.
    needs_api_password: bool,
    /// Whether attachments themselves are sent to it, not only their hashes.
    uploads: bool,
    /// What an administrator must know.
    notes: &'static [&'static str],
    /// Settings of its own, by name, with their defaults.
    options: BTreeMap<&'static str, &'static str>,
}

/// The engines that integrations can be made of.
#[utoipa::path(
    get, path = "/api/v1/engines", operation_id = "listEngines", tag = "integrations",
    responses(
        (status = 200, body = Vec<EngineView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn engines(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Json<Vec<EngineView>>, HttpError> {
    let view = |spec: &'static gatehouse_domain::EngineSpec| EngineView {
        kind: spec.kind,
        name: spec.label,
        summary: spec.summary,
        api_url: spec.api_url,
        capabilities: spec.can,
        needs_api_key: spec.key == KeyNeed::Required,
        needs_api_password: spec.password_label.is_some(),
        uploads: spec.uploads,
        notes: spec.notes,
        options: spec.options.iter().map(|option| (option.name, option.default)).collect(),
    };
    Ok(Json(state.platform.list_engines(&actor)?.map(view).collect()))
}

/// The company's integrations.
#[utoipa::path(
    get, path = "/api/v1/integrations", operation_id = "listIntegrations", tag = "integrations", params(ListParams),
    responses(
        (status = 200, body = Page<IntegrationView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Json<Page<IntegrationView>>, HttpError> {
    let pairs = crate::form_posts::parse_form(query.unwrap_or_default().as_bytes());
    let query = IntegrationQuery::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(AppError::from)?;
    Ok(Json(state.platform.list_integrations(&actor, &query).await?))
}

/// Makes an integration.
#[utoipa::path(
    post, path = "/api/v1/integrations", operation_id = "createIntegration", tag = "integrations", request_body = IntegrationInput,
    responses(
        (status = 201, body = IntegrationView, headers(("ETag" = String), ("Location" = String))),
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
    actor.may(Operation::CreateIntegration)?;
    let form = IntegrationForm::from_json(&body).map_err(AppError::from)?;
    Ok(created(state.platform.create_integration(&actor, &form).await?))
}

/// One integration.
#[utoipa::path(
    get, path = "/api/v1/integrations/{id}", operation_id = "getIntegration", tag = "integrations", params(("id" = String, Path)),
    responses(
        (status = 200, body = IntegrationView, headers(("ETag" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId) -> Result<Response, HttpError> {
    Ok(with_etag(state.platform.integration(&actor, &id).await?))
}

/// Replaces an integration: an optional field left out takes its default.
#[utoipa::path(
    put, path = "/api/v1/integrations/{id}", operation_id = "replaceIntegration", tag = "integrations",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Replace only this version")),
    request_body = IntegrationInput,
    responses(
        (status = 200, body = IntegrationView, headers(("ETag" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`name_taken` or `changed` (If-Match)", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(Operation::ReplaceIntegration)?;
    // What does not exist is not found, whatever the body says.
    state.platform.integration(&actor, &id).await?;
    let form = IntegrationForm::from_json(&body).map_err(AppError::from)?;
    Ok(with_etag(state.platform.replace_integration(&actor, &id, if_match(&headers)?, &form).await?))
}

/// Deletes an integration. Its results stay with their analyses.
#[utoipa::path(
    delete, path = "/api/v1/integrations/{id}", operation_id = "deleteIntegration", tag = "integrations",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Delete only this version")),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`changed` (If-Match)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap,
) -> Result<StatusCode, HttpError> {
    state.platform.delete_integration(&actor, &id, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a copy under a new name; the copy is inactive.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/duplicate", operation_id = "duplicateIntegration", tag = "integrations",
    params(("id" = String, Path)),
    responses(
        (status = 201, body = IntegrationView, headers(("ETag" = String), ("Location" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn duplicate(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Response, HttpError> {
    Ok(created(state.platform.duplicate_integration(&actor, &id).await?))
}

/// Tests values that are not saved: an integration's fields; with the `id` of a saved one its stored secrets are used where
/// none are given.
#[utoipa::path(
    post, path = "/api/v1/integrations/test", operation_id = "testIntegrationDraft", tag = "integrations",
    request_body = IntegrationInput,
    responses(
        (status = 200, description = "The report, also when the test failed", body = IntegrationReport),
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
) -> Result<Json<IntegrationReport>, HttpError> {
    actor.may(Operation::TestIntegrationDraft)?;
    // As with proxies, the draft may stand in a field of its own.
    let draft = match &body {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("integration") => &fields["integration"],
        body => body,
    };
    let id = match draft.get("id") {
        Some(Value::String(id)) => Some(id.as_str()),
        Some(Value::Null) | None => None,
        Some(_) => return Err(HttpError(AppError::invalid("id", "This must be a text."))),
    };
    let form = IntegrationForm::from_json(draft).map_err(AppError::from)?;
    Ok(Json(state.platform.test_integration_draft(&actor, id, &form).await?))
}

/// Tests a saved integration and keeps the result as its last one.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/test", operation_id = "testIntegration", tag = "integrations",
    params(("id" = String, Path)), request_body = Option<NoFields>,
    responses(
        (status = 200, description = "The report, also when the test failed", body = IntegrationReport),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_tests`", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds to wait"))),
    )
)]
pub async fn test_saved(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, OptionalBody(body): OptionalBody,
) -> Result<Json<IntegrationReport>, HttpError> {
    actor.may(Operation::TestIntegration)?;
    text_fields(&body.unwrap_or_else(no_fields), &[])?;
    Ok(Json(state.platform.test_integration(&actor, &id).await?))
}

fn created(view: IntegrationView) -> Response {
    super::created("/api/v1/integrations", &view.id.clone(), view.version, view)
}

fn with_etag(view: IntegrationView) -> Response {
    super::with_etag(StatusCode::OK, view.version, view)
}
