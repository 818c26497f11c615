//! `/api/v1/audit`: who did what, from where.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use gatehouse_domain::{AppError, AuditQuery, AuditView, Operation, Page};
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;

use super::SignedIn;
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema; the query is read by AuditQuery")]
pub struct ListParams {
    /// Searched for in names, e-mail addresses, addresses and operations; all words must be there.
    q: Option<String>,
    /// Only this person's: identifier or e-mail address.
    who: Option<String>,
    /// Only this operation: an `operationId`.
    #[param(schema_with = operations)]
    operation: Option<String>,
    /// Only what was done to this: its identifier.
    target: Option<String>,
    /// Only what was done at or after this moment (RFC 3339).
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only what was done before this moment (RFC 3339).
    #[param(format = DateTime)]
    to: Option<String>,
    /// The newest are always first.
    #[param(default = "-at", pattern = "^(-at|-created_at)?$")]
    sort: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    #[param(pattern = "^[0-9]*$")]
    cursor: Option<String>,
}

fn operations() -> utoipa::openapi::Object {
    let names = Operation::ALL.iter().filter(|operation| operation.is_change()).map(|operation| operation.as_str());
    utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String).enum_values(Some(names)).build()
}

/// The company's audit log, the newest first. A page may be short, or empty, and still have a `next`.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "listAudit", tag = "audit", params(ListParams),
    responses(
        (status = 200, body = Page<AuditView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Json<Page<AuditView>>, HttpError> {
    Ok(Json(state.platform.audit(&actor, &read(query)?).await?))
}

/// The same as one JSON document a line, all of them: entries, and the hashes that they are checked by.
#[utoipa::path(
    get, path = "/api/v1/audit.jsonl", operation_id = "exportAudit", tag = "audit", params(ListParams),
    responses(
        (status = 200, body = String, content_type = "application/jsonl"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let pieces = state.platform.export_own_audit(&actor, read(query)?).await?;
    let headers =
        [(header::CONTENT_TYPE, "application/jsonl"), (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.jsonl\"")];
    Ok((headers, crate::export::body(pieces)).into_response())
}

fn read(query: Option<String>) -> Result<AuditQuery, AppError> {
    let pairs = crate::form_posts::parse_form(query.unwrap_or_default().as_bytes());
    AuditQuery::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(AppError::from)
}
