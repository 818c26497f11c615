//! `/api/v1/companies`: the companies of an installation, for its provider.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use gatehouse_domain::{CompanyView, Page};
use http::{StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    JsonBody, PathId, SignedIn, created,
    people::{self, InvitationCreated},
    text_fields,
};
use crate::{
    export,
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// A new company.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct CompanyInput {
    /// Its name, unique in the installation without regard to case.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// Who is invited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct FirstAdministrator {
    /// The e-mail address of the company's first owner.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
}

/// All companies, by name.
#[utoipa::path(
    get, path = "/api/v1/companies", operation_id = "listCompanies", tag = "companies",
    responses(
        (status = 200, body = Page<CompanyView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Json<Page<CompanyView>>, HttpError> {
    Ok(Json(Page { items: state.platform.list_companies(&actor).await?, next: None }))
}

/// Makes a company. Its first administrator is invited then.
#[utoipa::path(
    post, path = "/api/v1/companies", operation_id = "createCompany", tag = "companies", request_body = CompanyInput,
    responses(
        (status = 201, body = CompanyView, headers(("Location" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(gatehouse_domain::Operation::CreateCompany)?;
    let fields = text_fields(&body, &["name"])?;
    let view = state.platform.create_company(&actor, fields.get("name").map_or("", String::as_str)).await?;
    Ok(created("/api/v1/companies", &view.id.clone(), 1, view))
}

/// One company.
#[utoipa::path(
    get, path = "/api/v1/companies/{id}", operation_id = "getCompany", tag = "companies", params(("id" = String, Path)),
    responses(
        (status = 200, body = CompanyView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Json<CompanyView>, HttpError> {
    Ok(Json(state.platform.company(&actor, &id).await?))
}

/// Shuts a company out: its sessions and tokens stop working at once, and nothing of it runs by itself.
#[utoipa::path(
    post, path = "/api/v1/companies/{id}/suspend", operation_id = "suspendCompany", tag = "companies", params(("id" = String, Path)),
    responses(
        (status = 200, body = CompanyView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "One's own", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn suspend(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Json<CompanyView>, HttpError> {
    Ok(Json(state.platform.suspend_company(&actor, &id).await?))
}

/// Lets a company in again. One that was to be deleted stays.
#[utoipa::path(
    post, path = "/api/v1/companies/{id}/resume", operation_id = "resumeCompany", tag = "companies", params(("id" = String, Path)),
    responses(
        (status = 200, body = CompanyView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn resume(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Json<CompanyView>, HttpError> {
    Ok(Json(state.platform.resume_company(&actor, &id).await?))
}

/// Suspends a company, and deletes all of it when the waiting time is over; until then it can be resumed.
#[utoipa::path(
    delete, path = "/api/v1/companies/{id}", operation_id = "deleteCompany", tag = "companies", params(("id" = String, Path)),
    responses(
        (status = 200, description = "When it is deleted: `delete_after`", body = CompanyView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "One's own", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Json<CompanyView>, HttpError> {
    Ok(Json(state.platform.delete_company(&actor, &id).await?))
}

/// Invites the first owner of a company that has nobody yet. The answer is the only place where the link can be seen.
#[utoipa::path(
    post, path = "/api/v1/companies/{id}/invitations", operation_id = "inviteFirstAdministrator", tag = "companies",
    params(("id" = String, Path)), request_body = FirstAdministrator,
    responses(
        (status = 201, body = InvitationCreated),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn invite(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<InvitationCreated>), HttpError> {
    actor.may(gatehouse_domain::Operation::InviteFirstAdministrator)?;
    let fields = text_fields(&body, &["email"])?;
    let email = fields.get("email").map_or("", String::as_str);
    let invitation = state.platform.invite_first_administrator(&actor, &id, email).await?;
    Ok((StatusCode::CREATED, Json(people::created(invitation))))
}

/// Everything of a company but its secrets and the files of its analyses, as one JSON document: its people, invitations, proxy settings,
/// integrations, health checks, the gateway's policy and people, analyses, traffic and audit log. It stands in that log.
#[utoipa::path(
    get, path = "/api/v1/companies/{id}/export", operation_id = "exportCompany", tag = "companies", params(("id" = String, Path)),
    responses(
        (status = 200, body = serde_json::Value, content_type = "application/json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export(State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId) -> Result<Response, HttpError> {
    let (_, pieces) = state.platform.export_company(&actor, &id).await?;
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_DISPOSITION, "attachment; filename=\"company.json\"")];
    Ok((headers, export::body(pieces)).into_response())
}
