//! Which error becomes which answer: [`AppError`] as an RFC 9457 problem document, for the API.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use gatehouse_domain::{AppError, UsedBy};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::collections::BTreeMap;

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` is the stable name.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status's phrase.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What happened, for a person.
    pub detail: String,
    /// The stable name of the problem.
    pub code: &'static str,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Who uses it, with `in_use`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<UsedBy>,
    /// The version it has now, with `changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// An error of a use case on its way out.
#[derive(Debug)]
pub struct HttpError(pub AppError);

impl From<AppError> for HttpError {
    fn from(error: AppError) -> Self {
        Self(error)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let error = self.0;
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = problem(status, error.code(), error.to_string(), &error);
        let headers = response.headers_mut();
        match &error {
            AppError::TooManySignIns(retry_after_s) | AppError::TooManyTests(retry_after_s) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            AppError::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(2));
            }
            AppError::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

fn problem(status: StatusCode, code: &'static str, detail: String, error: &AppError) -> Response {
    let (used_by, version) = match error {
        AppError::InUse(users) => (users.clone(), None),
        AppError::Changed(version) => (Vec::new(), Some(*version)),
        _ => (Vec::new(), None),
    };
    let body = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or("Error").to_string(),
        status: status.as_u16(),
        detail,
        code,
        fields: error.fields().0,
        used_by,
        version,
    };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// 405 with a problem document; axum has set `Allow`.
pub async fn method_not_allowed() -> Response {
    let error = AppError::Malformed(String::new());
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take that method.".into(), &error)
}
