//! `/api/v1/gateway/people`: who can sign in at the company's gateways.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::Response,
};
use gatehouse_domain::{AppError, GatewayPeopleQuery, GatewayPersonForm, GatewayPersonView, Operation, Page};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{JsonBody, PathId, SignedIn, if_match};
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// Where they are.
const LIST: &str = "/api/v1/gateway/people";

/// Somebody as it is sent. Read-only fields of the answer are accepted and ignored, unknown ones refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct GatewayPersonInput {
    /// The user name: 1 to 100 characters without a colon, unique in the company without regard to case. Also not the one of a
    /// `[[person]]` of the policy.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Needed when somebody is made; left out later, the stored one stays.
    #[schema(format = Password, write_only, nullable = false, min_length = 8, max_length = 200)]
    password: Option<String>,
    /// Groups, as rules of the policy name them.
    groups: Option<Vec<String>>,
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema; the query is read by GatewayPeopleQuery")]
pub struct ListParams {
    /// Searched for in names and groups; all words must be there.
    q: Option<String>,
    /// `name`; a minus in front turns the order round.
    #[param(default = "name", pattern = "^(-?name)?$")]
    sort: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// Who can sign in at the company's gateways, besides the people of the policy's text.
#[utoipa::path(
    get, path = "/api/v1/gateway/people", operation_id = "listGatewayPeople", tag = "gateway", params(ListParams),
    responses(
        (status = 200, body = Page<GatewayPersonView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Json<Page<GatewayPersonView>>, HttpError> {
    let pairs = crate::form_posts::parse_form(query.unwrap_or_default().as_bytes());
    let query = GatewayPeopleQuery::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(AppError::from)?;
    Ok(Json(state.platform.gateway_people(&actor, &query).await?))
}

/// Makes somebody who can sign in; the gateways know them within a second.
#[utoipa::path(
    post, path = "/api/v1/gateway/people", operation_id = "createGatewayPerson", tag = "gateway", request_body = GatewayPersonInput,
    responses(
        (status = 201, body = GatewayPersonView, headers(("ETag" = String), ("Location" = String))),
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
    actor.may(Operation::CreateGatewayPerson)?;
    let form = GatewayPersonForm::from_json(&body).map_err(AppError::from)?;
    let view = state.platform.create_gateway_person(&actor, &form).await?;
    Ok(super::created(LIST, &view.id.clone(), view.version, view))
}

/// Somebody who can sign in.
#[utoipa::path(
    get, path = "/api/v1/gateway/people/{id}", operation_id = "getGatewayPerson", tag = "gateway", params(("id" = String, Path)),
    responses(
        (status = 200, body = GatewayPersonView, headers(("ETag" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId) -> Result<Response, HttpError> {
    Ok(with_etag(state.platform.gateway_person(&actor, &id).await?))
}

/// Replaces somebody: groups that are left out are none, a password that is left out stays.
#[utoipa::path(
    put, path = "/api/v1/gateway/people/{id}", operation_id = "replaceGatewayPerson", tag = "gateway",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Replace only this version")),
    request_body = GatewayPersonInput,
    responses(
        (status = 200, body = GatewayPersonView, headers(("ETag" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`name_taken` or `changed` (If-Match)", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Also when the policy can't be used any more then", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(Operation::ReplaceGatewayPerson)?;
    // What does not exist is not found, whatever the body says.
    state.platform.gateway_person(&actor, &id).await?;
    let form = GatewayPersonForm::from_json(&body).map_err(AppError::from)?;
    Ok(with_etag(state.platform.replace_gateway_person(&actor, &id, if_match(&headers)?, &form).await?))
}

/// Deletes somebody; the gateways let them in no more within a second.
#[utoipa::path(
    delete, path = "/api/v1/gateway/people/{id}", operation_id = "deleteGatewayPerson", tag = "gateway",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Delete only this version")),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`changed` (If-Match)", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The policy names them and can't be used without", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap,
) -> Result<StatusCode, HttpError> {
    state.platform.delete_gateway_person(&actor, &id, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn with_etag(view: GatewayPersonView) -> Response {
    super::with_etag(StatusCode::OK, view.version, view)
}
