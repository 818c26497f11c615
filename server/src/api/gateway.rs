//! `/api/v1/gateway`: what the company's gateways go by.

use axum::{Json, extract::State, response::Response};
use gatehouse_domain::{
    AppError, ExplanationView, GatewayPolicyView, Operation, PolicyCheckView, PolicyQuestion, gateway::policy_text,
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{JsonBody, SignedIn, if_match};
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// A policy as it is sent. What an answer has besides is accepted and ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct PolicyInput {
    /// In TOML, as in a policy file. Without a rule everything is refused.
    #[schema(max_length = 1_048_576)]
    text: String,
}

/// What is to be explained.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct QuestionInput {
    /// `http://host/path`, or `https://host` for a tunnel.
    #[schema(min_length = 1)]
    url: String,
    /// The address that asks.
    #[schema(min_length = 1)]
    client: String,
    /// The person who asks.
    person: Option<String>,
    /// Another policy than the stored one.
    text: Option<String>,
}

/// The policy of the company's gateways. Where there is none yet: an empty text of version 0. Auditors see it without the hashes of
/// passwords.
#[utoipa::path(
    get, path = "/api/v1/gateway/policy", operation_id = "getGatewayPolicy", tag = "gateway",
    responses(
        (status = 200, body = GatewayPolicyView, headers(("ETag" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Response, HttpError> {
    Ok(with_etag(state.platform.gateway_policy(&actor).await?))
}

/// Replaces it. The company's gateways have it in force within a second; what is on its way is not disturbed.
#[utoipa::path(
    put, path = "/api/v1/gateway/policy", operation_id = "replaceGatewayPolicy", tag = "gateway",
    params(("If-Match" = Option<String>, Header, description = "Replace only this version; \"0\": only where there is none yet")),
    request_body = PolicyInput,
    responses(
        (status = 200, body = GatewayPolicyView, headers(("ETag" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`changed` (If-Match)", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`: `text` says what is wrong, a line for each problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(state): State<AppState>, SignedIn(actor): SignedIn, headers: HeaderMap, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(Operation::ReplaceGatewayPolicy)?;
    let text = policy_text(&body).map_err(AppError::from)?;
    Ok(with_etag(state.platform.set_gateway_policy(&actor, version(&headers)?, &text).await?))
}

/// Says what is wrong with a policy, or what it consists of. Nothing is stored.
#[utoipa::path(
    post, path = "/api/v1/gateway/policy/check", operation_id = "checkGatewayPolicy", tag = "gateway", request_body = PolicyInput,
    responses(
        (status = 200, body = PolicyCheckView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn check(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<Json<PolicyCheckView>, HttpError> {
    actor.may(Operation::CheckGatewayPolicy)?;
    let text = policy_text(&body).map_err(AppError::from)?;
    Ok(Json(state.platform.check_gateway_policy(&actor, &text).await?))
}

/// Says which rule decides about a request, and which were passed over: of the stored policy, or of the one that is sent.
#[utoipa::path(
    post, path = "/api/v1/gateway/explain", operation_id = "explainGatewayPolicy", tag = "gateway", request_body = QuestionInput,
    responses(
        (status = 200, body = ExplanationView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "An auditor sent a policy", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn explain(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<Json<ExplanationView>, HttpError> {
    actor.may(Operation::ExplainGatewayPolicy)?;
    let question = PolicyQuestion::from_json(&body).map_err(AppError::from)?;
    Ok(Json(state.platform.explain_gateway_policy(&actor, question).await?))
}

/// Version 0 is a version here: there is no policy yet. So a tag that was never given out must not pass for it.
fn version(headers: &HeaderMap) -> Result<Option<u64>, AppError> {
    let is_zero = headers.get(header::IF_MATCH).is_some_and(|tag| tag.as_bytes().trim_ascii() == b"\"0\"");
    Ok(if_match(headers)?.map(|version| if version == 0 && !is_zero { u64::MAX } else { version }))
}

fn with_etag(view: GatewayPolicyView) -> Response {
    super::with_etag(StatusCode::OK, view.version, view)
}
