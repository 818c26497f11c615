//! `/api/v1/checks`: how often everything is tested by itself, who is told, and what changed.

use axum::{Json, extract::State};
use gatehouse_domain::{AppError, ChecksForm, ChecksView, HealthChange, Operation, ProxyChoice};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{OptionalBody, SignedIn};
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// Scheduled checks as they are sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct ChecksInput {
    /// 0 (never), 5, 10, 15, 30, 60, 360 or 1440.
    #[schema(default = 0, maximum = 1440, nullable = false)]
    every_minutes: Option<u16>,
    /// Told of each change of health, by a POST of JSON; null: nobody is.
    webhook_url: Option<String>,
    /// Which way that goes.
    #[schema(nullable = false)]
    webhook_proxy: Option<ProxyChoice>,
}

/// How often integrations and proxy settings are tested, and who is told of changes.
#[utoipa::path(
    get, path = "/api/v1/checks", operation_id = "getChecks", tag = "checks",
    responses(
        (status = 200, body = ChecksView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Json<ChecksView>, HttpError> {
    Ok(Json(state.platform.checks(&actor).await?))
}

/// Changes that. The first round is at once.
#[utoipa::path(
    put, path = "/api/v1/checks", operation_id = "setChecks", tag = "checks", request_body = ChecksInput,
    responses(
        (status = 200, body = ChecksView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn put(
    State(state): State<AppState>, SignedIn(actor): SignedIn, OptionalBody(body): OptionalBody,
) -> Result<Json<ChecksView>, HttpError> {
    actor.may(Operation::SetChecks)?;
    // All fields are optional: what got lost on its way must not end the checks.
    let body = body.ok_or_else(|| AppError::Malformed("Send a JSON object; {} ends the checks.".into()))?;
    let form = ChecksForm::from_json(&body).map_err(AppError::from)?;
    Ok(Json(state.platform.set_checks(&actor, &form).await?))
}

/// The last 200 changes of health, newest first.
#[utoipa::path(
    get, path = "/api/v1/checks/changes", operation_id = "listHealthChanges", tag = "checks",
    responses(
        (status = 200, body = Vec<HealthChange>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn changes(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Json<Vec<HealthChange>>, HttpError> {
    Ok(Json(state.platform.health_changes(&actor).await?))
}
