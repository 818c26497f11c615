//! `/api/v1/tokens`: API tokens of the person who asks.

use axum::{Json, extract::State};
use gatehouse_domain::{Page, TokenView};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JsonBody, PathId, SignedIn, text_fields};
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct TokenInput {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct TokenCreated {
    /// What lists show of it.
    #[serde(flatten)]
    view: TokenView,
    /// The token. It is not shown again.
    token: String,
}

/// Your API tokens, newest first.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "tokens",
    responses((status = 200, body = Page<TokenView>), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn list(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Json<Page<TokenView>>, HttpError> {
    Ok(Json(Page { items: state.platform.tokens(&actor).await?, next: None }))
}

/// Makes an API token. The answer is the only place where it can be seen.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "createToken", tag = "tokens", request_body = TokenInput,
    responses(
        (status = 201, body = TokenCreated),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<TokenCreated>), HttpError> {
    let fields = text_fields(&body, &["name"])?;
    let token = state.platform.create_token(&actor, fields.get("name").map(String::as_str).unwrap_or_default()).await?;
    Ok((StatusCode::CREATED, Json(TokenCreated { view: token.view, token: token.secret.expose().to_string() })))
}

/// Deletes one of your API tokens; it stops working at once.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "deleteToken", tag = "tokens", params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<StatusCode, HttpError> {
    state.platform.delete_token(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
