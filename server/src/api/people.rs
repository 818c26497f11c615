//! `/api/v1/people` and `/api/v1/invitations`: who belongs to the company, and who is to.

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use gatehouse_domain::{
    AppError, FieldErrors, InvitationForm, InvitationView, Operation, Page, PersonForm, PersonView, Role, Secret, SessionView,
};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{JsonBody, PathId, SignedIn, if_match, text_fields, with_etag};
use crate::{
    http_errors::{HttpError, Problem},
    security::{self, Visitor},
    state::AppState,
};

/// What can be changed of somebody.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct PersonInput {
    /// Name.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What they may do. Owners are an owner's to make.
    role: Role,
}

/// Who is invited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct InvitationInput {
    /// The e-mail address they will sign in with.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// What they will be allowed to do.
    role: Role,
}

/// An invitation that was just made.
#[derive(Serialize, ToSchema)]
pub struct InvitationCreated {
    /// What lists show of it.
    #[serde(flatten)]
    pub view: InvitationView,
    /// The path of the link, on this installation's address. It works once and is not shown again.
    pub link: String,
}

/// What somebody who was invited says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct Acceptance {
    /// The last part of the link.
    #[schema(write_only, min_length = 1)]
    secret: String,
    /// Their name.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The password they will sign in with.
    #[schema(format = Password, write_only, min_length = 8, max_length = 200)]
    password: String,
}

/// The company's people, by name.
#[utoipa::path(
    get, path = "/api/v1/people", operation_id = "listPeople", tag = "people",
    responses((status = 200, body = Page<PersonView>), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn list(State(state): State<AppState>, SignedIn(actor): SignedIn) -> Result<Json<Page<PersonView>>, HttpError> {
    Ok(Json(Page { items: state.platform.people(&actor).await?, next: None }))
}

/// One of them.
#[utoipa::path(
    get, path = "/api/v1/people/{id}", operation_id = "getPerson", tag = "people", params(("id" = String, Path)),
    responses(
        (status = 200, body = PersonView, headers(("ETag" = String))),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId) -> Result<Response, HttpError> {
    let view = state.platform.person(&actor, &id).await?;
    Ok(with_etag(StatusCode::OK, view.version, view))
}

/// Changes what somebody is called and may do. It holds from their next request on.
#[utoipa::path(
    put, path = "/api/v1/people/{id}", operation_id = "replacePerson", tag = "people",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it still has this version")),
    request_body = PersonInput,
    responses(
        (status = 200, body = PersonView, headers(("ETag" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`changed`", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Also for the last owner or provider", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    actor.may(Operation::ReplacePerson)?;
    // Somebody else's identifier is not found, whatever else is wrong.
    state.platform.person(&actor, &id).await?;
    let form = person_form(&body)?;
    let view = state.platform.replace_person(&actor, &id, if_match(&headers)?, &form).await?;
    Ok(with_etag(StatusCode::OK, view.version, view))
}

/// Removes somebody: their sessions end and their API tokens stop working at once.
#[utoipa::path(
    delete, path = "/api/v1/people/{id}", operation_id = "deletePerson", tag = "people",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it still has this version")),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`changed`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The last owner or provider", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId, headers: HeaderMap,
) -> Result<StatusCode, HttpError> {
    state.platform.delete_person(&actor, &id, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The company's open invitations, newest first.
#[utoipa::path(
    get, path = "/api/v1/invitations", operation_id = "listInvitations", tag = "people",
    responses((status = 200, body = Page<InvitationView>), (status = 401, body = Problem, content_type = "application/problem+json"))
)]
pub async fn invitations(
    State(state): State<AppState>, SignedIn(actor): SignedIn,
) -> Result<Json<Page<InvitationView>>, HttpError> {
    Ok(Json(Page { items: state.platform.invitations(&actor).await?, next: None }))
}

/// Invites somebody. The answer is the only place where the link can be seen; it works once, for a week.
#[utoipa::path(
    post, path = "/api/v1/invitations", operation_id = "createInvitation", tag = "people", request_body = InvitationInput,
    responses(
        (status = 201, body = InvitationCreated),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn invite(
    State(state): State<AppState>, SignedIn(actor): SignedIn, JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<InvitationCreated>), HttpError> {
    actor.may(Operation::CreateInvitation)?;
    let mut fields = text_fields(&body, &["email", "role"])?;
    let mut errors = FieldErrors::new();
    let role = errors.check("role", fields.remove("role").unwrap_or_default().parse::<Role>());
    let Some(role) = role else { return Err(HttpError(errors.into())) };
    let form = InvitationForm { email: fields.remove("email").unwrap_or_default(), role };
    Ok((StatusCode::CREATED, Json(created(state.platform.invite(&actor, &form).await?))))
}

/// What is answered of a new invitation.
pub fn created(invitation: gatehouse_platform::people::NewInvitation) -> InvitationCreated {
    InvitationCreated { link: format!("/invitation/{}", invitation.secret.expose()), view: invitation.view }
}

/// Withdraws an invitation: its link stops working at once.
#[utoipa::path(
    delete, path = "/api/v1/invitations/{id}", operation_id = "deleteInvitation", tag = "people", params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn withdraw(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<StatusCode, HttpError> {
    state.platform.withdraw_invitation(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accepts an invitation. Whoever does is signed in: the answer sets the session cookie.
#[utoipa::path(
    post, path = "/api/v1/invitations/accept", operation_id = "acceptInvitation", tag = "people", request_body = Acceptance, security(()),
    responses(
        (status = 201, body = SessionView),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`foreign_origin`", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "`link_expired`: used, withdrawn or older than a week", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn accept(
    State(state): State<AppState>, Extension(visitor): Extension<Visitor>, JsonBody(body): JsonBody,
) -> Result<Response, HttpError> {
    let mut fields = text_fields(&body, &["secret", "name", "password"])?;
    let mut secret = |name: &str| Secret::new(fields.remove(name).unwrap_or_default());
    let (link, password) = (secret("secret"), secret("password"));
    if link.is_empty() {
        return Err(AppError::invalid("secret", "This is what stands at the end of the invitation's link: it is needed.").into());
    }
    let name = fields.remove("name").unwrap_or_default();
    let session = state.platform.accept_invitation(&link, &name, &password, &visitor.origin).await?;
    let cookie = security::session_cookie(&session.secret, state.is_https());
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(session.view)).into_response())
}

/// What is accepted and ignored.
pub const READ_ONLY: &[&str] = &["id", "email", "has_second_factor", "version", "created_at"];

/// What is read only may be sent along; everything else is refused.
fn person_form(body: &Value) -> Result<PersonForm, AppError> {
    let mut body = body.clone();
    if let Value::Object(fields) = &mut body {
        fields.retain(|field, _| !READ_ONLY.contains(&field.as_str()));
    }
    let mut fields = text_fields(&body, &["name", "role"])?;
    let mut errors = FieldErrors::new();
    let role = errors.check("role", fields.remove("role").unwrap_or_default().parse::<Role>());
    match role {
        Some(role) => Ok(PersonForm { name: fields.remove("name").unwrap_or_default(), role }),
        None => Err(errors.into()),
    }
}
