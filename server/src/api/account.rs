//! `/api/v1/account`: one's own sessions, password and one-time passwords.

use axum::{Extension, Json, extract::State};
use gatehouse_domain::{OwnSessionView, Page, SecondFactorView, Secret};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JsonBody, PathId, SignedIn, text_fields};
use crate::{
    http_errors::{HttpError, Problem},
    security::Visitor,
    state::AppState,
};

/// A change of one's password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct PasswordInput {
    /// The password of now.
    #[schema(format = Password, write_only, min_length = 1)]
    current_password: String,
    /// The new one.
    #[schema(format = Password, write_only, min_length = 8, max_length = 200)]
    new_password: String,
}

/// One's password, for what a borrowed session must not do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct OwnPassword {
    /// The password of now.
    #[schema(format = Password, write_only, min_length = 1)]
    password: String,
}

/// A one-time password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct OneTimePassword {
    /// What the authenticator app shows.
    #[schema(min_length = 1, write_only)]
    code: String,
}

/// What an authenticator app needs. It is not shown again.
#[derive(Serialize, ToSchema)]
pub struct NewSecondFactor {
    /// In base32, to be typed.
    secret: String,
    /// `otpauth://totp/…`, to be scanned.
    uri: String,
}

/// Recovery codes: each is taken once, in the place of a one-time password. They are not shown again.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// The codes.
    recovery_codes: Vec<String>,
}

/// One's own sessions, the last used first.
#[utoipa::path(
    get, path = "/api/v1/account/sessions", operation_id = "listSessions", tag = "account",
    responses((status = 200, body = Page<OwnSessionView>), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn sessions(
    State(state): State<AppState>, SignedIn(actor): SignedIn, Extension(visitor): Extension<Visitor>,
) -> Result<Json<Page<OwnSessionView>>, HttpError> {
    Ok(Json(Page { items: state.platform.own_sessions(&actor, visitor.session.as_ref()).await?, next: None }))
}

/// Ends one of one's own sessions.
#[utoipa::path(
    delete, path = "/api/v1/account/sessions/{id}", operation_id = "endSession", tag = "account", params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn end_session(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<StatusCode, HttpError> {
    state.platform.end_session(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all of one's sessions but the one that asks.
#[utoipa::path(
    delete, path = "/api/v1/account/sessions", operation_id = "endOtherSessions", tag = "account",
    responses((status = 204), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn end_other_sessions(
    State(state): State<AppState>, SignedIn(actor): SignedIn, Extension(visitor): Extension<Visitor>,
) -> Result<StatusCode, HttpError> {
    state.platform.end_other_sessions(&actor, visitor.session.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes one's password. All of one's other sessions end.
#[utoipa::path(
    put, path = "/api/v1/account/password", operation_id = "changePassword", tag = "account", request_body = PasswordInput,
    responses(
        (status = 204),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change_password(
    State(state): State<AppState>, SignedIn(actor): SignedIn, Extension(visitor): Extension<Visitor>, JsonBody(body): JsonBody,
) -> Result<StatusCode, HttpError> {
    let mut fields = text_fields(&body, &["current_password", "new_password"])?;
    let mut secret = |name: &str| Secret::new(fields.remove(name).unwrap_or_default());
    let (current, new) = (secret("current_password"), secret("new_password"));
    state.platform.change_password(&actor, &current, &new, visitor.session.as_ref(), &visitor.address).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether one-time passwords are asked for when one signs in.
#[utoipa::path(
    get, path = "/api/v1/account/second-factor", operation_id = "getSecondFactor", tag = "account",
    responses((status = 200, body = SecondFactorView), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn second_factor(
    State(state): State<AppState>, SignedIn(actor): SignedIn,
) -> Result<Json<SecondFactorView>, HttpError> {
    Ok(Json(state.platform.second_factor(&actor).await?))
}

/// Makes a secret for an authenticator app (RFC 6238). Nothing is asked for until it is confirmed.
#[utoipa::path(
    post, path = "/api/v1/account/second-factor", operation_id = "beginSecondFactor", tag = "account", request_body = OwnPassword,
    responses(
        (status = 201, body = NewSecondFactor),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn begin_second_factor(
    State(state): State<AppState>, SignedIn(actor): SignedIn, Extension(visitor): Extension<Visitor>, JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<NewSecondFactor>), HttpError> {
    let password = own_password(&body)?;
    let new = state.platform.begin_second_factor(&actor, &password, &visitor.address).await?;
    let new = NewSecondFactor { secret: new.secret.expose().to_string(), uri: new.uri.expose().to_string() };
    Ok((StatusCode::CREATED, Json(new)))
}

/// Turns one-time passwords on with the first of them.
#[utoipa::path(
    put, path = "/api/v1/account/second-factor", operation_id = "confirmSecondFactor", tag = "account", request_body = OneTimePassword,
    responses(
        (status = 200, body = RecoveryCodes),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn confirm_second_factor(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<Json<RecoveryCodes>, HttpError> {
    let fields = text_fields(&body, &["code"])?;
    let codes = state.platform.confirm_second_factor(&actor, fields.get("code").map_or("", String::as_str)).await?;
    Ok(Json(RecoveryCodes { recovery_codes: codes.iter().map(|code| code.expose().to_string()).collect() }))
}

/// Turns one-time passwords off.
#[utoipa::path(
    delete, path = "/api/v1/account/second-factor", operation_id = "removeSecondFactor", tag = "account", request_body = OwnPassword,
    responses(
        (status = 204),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove_second_factor(
    State(state): State<AppState>, SignedIn(actor): SignedIn, Extension(visitor): Extension<Visitor>, JsonBody(body): JsonBody,
) -> Result<StatusCode, HttpError> {
    let password = own_password(&body)?;
    state.platform.remove_second_factor(&actor, &password, &visitor.address).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn own_password(body: &serde_json::Value) -> Result<Secret, HttpError> {
    let mut fields = text_fields(body, &["password"])?;
    Ok(Secret::new(fields.remove("password").unwrap_or_default()))
}
