//! `/api/v1/sessions`: signing in and out.

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use gatehouse_domain::{FieldErrors, Secret, SessionView};
use http::{StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{JsonBody, SignedIn, text_fields};
use crate::{
    http_errors::{HttpError, Problem},
    security::{self, Visitor},
    state::AppState,
};

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct SignIn {
    /// E-mail address.
    #[schema(min_length = 1)]
    email: String,
    /// Password.
    #[schema(format = Password, write_only, min_length = 1)]
    password: String,
    /// A one-time password or a recovery code, for those who have turned that on.
    #[schema(write_only)]
    code: Option<String>,
}

/// Who is signed in.
#[utoipa::path(
    get, path = "/api/v1/sessions", operation_id = "currentSession", tag = "sessions",
    responses((status = 200, body = SessionView), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn current(SignedIn(actor): SignedIn) -> Json<SessionView> {
    Json(actor.view)
}

/// Signs in; the answer sets the session cookie.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "signIn", tag = "sessions", security(()),
    request_body = SignIn,
    responses(
        (status = 201, body = SessionView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`wrong_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_sign_ins`", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds to wait"))),
    )
)]
pub async fn sign_in(
    State(state): State<AppState>, Extension(visitor): Extension<Visitor>, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    let mut fields = text_fields(&body, &["email", "password", "code"])?;
    let mut errors = FieldErrors::new();
    let email = fields.remove("email").unwrap_or_default();
    let code = fields.remove("code");
    let password = Secret::new(fields.remove("password").unwrap_or_default());
    if email.is_empty() {
        errors.add("email", "Enter your e-mail address.");
    }
    if password.is_empty() {
        errors.add("password", "Enter your password.");
    }
    if !errors.is_empty() {
        return Err(HttpError(errors.into()));
    }
    let session = state.platform.sign_in(&email, &password, code.as_deref(), &visitor.address, &visitor.origin).await?;
    let cookie = security::session_cookie(&session.secret, state.is_https());
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(session.view)).into_response())
}

/// Signs out; the session ends at once.
#[utoipa::path(
    delete, path = "/api/v1/sessions", operation_id = "signOut", tag = "sessions", security((), ("session" = [])),
    responses((status = 204, description = "Nobody is signed in any more, or nobody was"), (status = 403, description = "`foreign_origin`", body = Problem, content_type = "application/problem+json"))
)]
pub async fn sign_out(State(state): State<AppState>, Extension(visitor): Extension<Visitor>) -> Result<Response, HttpError> {
    if let Some(session) = &visitor.session {
        state.platform.sign_out(session, &visitor.origin).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, security::no_session_cookie(state.is_https()))]).into_response())
}
