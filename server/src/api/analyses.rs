//! `/api/v1/analyses`: asking the engines, and what they said.

use std::time::Duration;

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatehouse_domain::{
    AnalysisQuery, AnalysisStatus, AnalysisView, AppError, FieldErrors, Operation, Page, SubjectKind, Verdict,
};
use gatehouse_platform::AnalysisInput;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type},
};

use super::{PathId, SignedIn};
use crate::{
    http_errors::{HttpError, Problem},
    security::FILE_LIMIT,
    state::AppState,
};

/// The longest that a script may wait for the end of an analysis, in seconds.
const MAX_WAIT: u64 = 60;

/// What to analyse. Only a schema: the body is read field by field.
pub struct AnalysisInputBody;

impl PartialSchema for AnalysisInputBody {
    /// One shape for each of the fields; all others are null or left out.
    fn schema() -> RefOr<Schema> {
        let text = |what: &str| Schema::from(ObjectBuilder::new().schema_type(Type::String).description(Some(what))).into();
        let fields: [(&str, RefOr<Schema>); 5] = [
            ("url", text("A URL.")),
            ("ip", text("An IP address.")),
            ("sha256", text("The hash of a file in hexadecimal: SHA-256, SHA-1 or MD5.")),
            ("email", text("A reported e-mail (RFC 5322), whole.")),
            ("file", Ref::from_schema_name("FileBody").into()),
        ];
        let mut one_of = OneOfBuilder::new().description(Some("What to analyse: exactly one of these."));
        for (name, schema) in fields {
            let nothing = Schema::from(ObjectBuilder::new().schema_type(Type::Null));
            let shape = ObjectBuilder::new().property(name, schema).required(name).additional_properties(Some(nothing));
            one_of = one_of.item(shape);
        }
        Schema::from(one_of).into()
    }
}

impl ToSchema for AnalysisInputBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((FileBody::name().into(), FileBody::schema()));
    }
}

/// A file.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "the document's schema; the body is read field by field")]
pub struct FileBody {
    /// Its name.
    name: String,
    /// Its bytes in Base64.
    base64: String,
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema")]
pub struct WaitParams {
    /// Seconds to wait for the end of the analysis.
    #[param(minimum = 0, maximum = 60, default = 0)]
    wait: Option<u64>,
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema; the query is read by AnalysisQuery")]
pub struct ListParams {
    /// Searched for in what was analysed and what was found in it.
    q: Option<String>,
    /// Only these.
    verdict: Option<Verdict>,
    /// Only these.
    status: Option<AnalysisStatus>,
    /// Only these.
    kind: Option<SubjectKind>,
    /// `created_at`; a minus in front: the newest first.
    #[param(default = "-created_at", pattern = "^(-?created_at)?$")]
    sort: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// Begins an analysis with all active integrations that can look at it.
#[utoipa::path(
    post, path = "/api/v1/analyses", operation_id = "startAnalysis", tag = "analyses", params(WaitParams),
    request_body = AnalysisInputBody,
    responses(
        (status = 200, description = "Done", body = AnalysisView, headers(("Location" = String))),
        (status = 202, description = "Still running", body = AnalysisView, headers(("Location" = String))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Mails and files: at most 64 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn start(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery, request: Request,
) -> Result<Response, HttpError> {
    actor.may(Operation::StartAnalysis)?;
    let wait = wait(&query.unwrap_or_default())?;
    let bytes = axum::body::to_bytes(request.into_body(), FILE_LIMIT).await.map_err(|_| AppError::TooLarge(FILE_LIMIT as u64))?;
    let body: Value =
        serde_json::from_slice(&bytes).map_err(|error| AppError::Malformed(format!("The body is not JSON: {error}.")))?;
    drop(bytes);
    let view = state.platform.start_analysis(&actor, input(body)?, wait).await?;
    let status = if view.status == AnalysisStatus::Done { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = HeaderValue::from_str(&format!("/api/v1/analyses/{}", view.id));
    let mut response = (status, Json(view)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One analysis with what each integration said.
#[utoipa::path(
    get, path = "/api/v1/analyses/{id}", operation_id = "getAnalysis", tag = "analyses", params(("id" = String, Path)),
    responses(
        (status = 200, body = AnalysisView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(
    State(state): State<AppState>, SignedIn(actor): SignedIn, PathId(id): PathId,
) -> Result<Json<AnalysisView>, HttpError> {
    Ok(Json(state.platform.analysis(&actor, &id).await?))
}

/// The company's analyses, the newest first, without their results.
#[utoipa::path(
    get, path = "/api/v1/analyses", operation_id = "listAnalyses", tag = "analyses", params(ListParams),
    responses(
        (status = 200, body = Page<AnalysisView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Json<Page<AnalysisView>>, HttpError> {
    let pairs = crate::form_posts::parse_form(query.unwrap_or_default().as_bytes());
    let query = AnalysisQuery::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(AppError::from)?;
    Ok(Json(state.platform.list_analyses(&actor, &query).await?))
}

fn wait(query: &str) -> Result<Duration, AppError> {
    let mut seconds = 0;
    for (key, value) in crate::form_posts::parse_form(query.as_bytes()) {
        match (key.as_str(), value.parse::<u64>()) {
            ("wait", _) if value.is_empty() => {}
            ("wait", Ok(given)) if given <= MAX_WAIT => seconds = given,
            ("wait", _) => return Err(AppError::invalid("wait", format!("Use whole seconds from 0 to {MAX_WAIT}."))),
            _ => return Err(AppError::invalid(&key, "There is no such parameter.")),
        }
    }
    Ok(Duration::from_secs(seconds))
}

fn input(body: Value) -> Result<AnalysisInput, AppError> {
    const ONE: &str = "Send exactly one of url, ip, sha256, email and file.";
    let Value::Object(fields) = body else { return Err(AppError::invalid("body", ONE)) };
    let mut errors = FieldErrors::new();
    let mut inputs = Vec::new();
    for (field, value) in fields {
        match (field.as_str(), value) {
            (_, Value::Null) => {}
            ("url", Value::String(text)) => inputs.push(AnalysisInput::Url(text)),
            ("ip", Value::String(text)) => inputs.push(AnalysisInput::Ip(text)),
            ("sha256", Value::String(text)) => inputs.push(AnalysisInput::Hash(text)),
            ("email", Value::String(text)) => inputs.push(AnalysisInput::Email(text.into_bytes())),
            ("file", Value::Object(file)) => {
                let text = |name: &str| file.get(name).and_then(Value::as_str);
                match (text("name"), text("base64").and_then(|content| STANDARD.decode(content).ok())) {
                    (Some(name), Some(bytes)) => inputs.push(AnalysisInput::File { name: name.into(), bytes }),
                    _ => errors.add("file", r#"Use {"name": "…", "base64": "…"}."#),
                }
            }
            ("url" | "ip" | "sha256" | "email", _) => errors.add(field, "This must be a text."),
            ("file", _) => errors.add(field, r#"Use {"name": "…", "base64": "…"}."#),
            _ => errors.add(field, "There is no such field."),
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => Err(AppError::invalid("url", ONE)),
    }
}
