//! `/api/v1/traffic`: the platform's own requests, and which way they went.

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use futures::{StreamExt as _, stream};
use gatehouse_domain::{AppError, Cause, Page, Route, TrafficQuery, TrafficView};
use http::header;
use serde::Deserialize;
use utoipa::{
    IntoParams,
    openapi::{Object, ObjectBuilder, Type},
};

use super::SignedIn;
use crate::{
    http_errors::{HttpError, Problem},
    state::AppState,
};

/// Records in one step of an export.
const EXPORT_STEP: u16 = 1000;

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document's schema; the query is read by TrafficQuery")]
pub struct ListParams {
    /// Searched for in host, consumer, proxy, method and cause; all words must be there.
    q: Option<String>,
    /// `direct`, the identifier of a proxy setting, or `egress:NAME` for a way out of the gateway's policy.
    proxy: Option<String>,
    /// The identifier of a consumer; `person:NAME` or `client:ADDRESS` for one of the gateway's.
    consumer: Option<String>,
    /// Exactly this host, with or without port.
    host: Option<String>,
    #[param(schema_with = cause_filter)]
    cause: Option<String>,
    /// Only what ended at or after this moment (RFC 3339).
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only what ended before this moment (RFC 3339).
    #[param(format = DateTime)]
    to: Option<String>,
    /// The newest are always first.
    #[param(default = "-at", pattern = "^(-at|-created_at)?$")]
    sort: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

fn cause_filter() -> Object {
    let causes = Cause::ALL.iter().map(|cause| cause.as_str()).chain(["any", "none"]);
    let what = "A cause; `any` for all that failed, `none` for all that did not.";
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(causes)).description(Some(what)).build()
}

/// The platform's own requests and those through its gateways, the newest first. A page may be short, or empty, and still have a `next`.
#[utoipa::path(
    get, path = "/api/v1/traffic", operation_id = "listTraffic", tag = "traffic", params(ListParams),
    responses(
        (status = 200, body = Page<TrafficView>),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Json<Page<TrafficView>>, HttpError> {
    Ok(Json(state.platform.traffic(&actor, &read(query)?).await?))
}

/// The same as comma-separated values (RFC 4180), all of them.
#[utoipa::path(
    get, path = "/api/v1/traffic.csv", operation_id = "exportTraffic", tag = "traffic", params(ListParams),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export(
    State(state): State<AppState>, SignedIn(actor): SignedIn, RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let query = TrafficQuery { limit: EXPORT_STEP, cursor: None, ..read(query)? };
    // The first step is taken before the answer begins, so that an error still is one.
    let first = state.platform.traffic(&actor, &query).await?;
    let head =
        "at,consumer_kind,consumer_id,consumer,method,host,via,proxy_id,proxy,reason,status,bytes_in,bytes_out,ms,cause\r\n";
    let steps = stream::unfold(Some((first, true)), move |step| {
        let (state, actor, query) = (state.clone(), actor.clone(), query.clone());
        async move {
            let (page, is_first) = step?;
            let mut text = if is_first { head.to_string() } else { String::new() };
            page.items.iter().for_each(|record| text.push_str(&line(record)));
            let next = match page.next {
                None => None,
                Some(cursor) => {
                    match state.platform.traffic(&actor, &TrafficQuery { cursor: Some(cursor), ..query }).await {
                        Ok(page) => Some((page, false)),
                        // A file that breaks off must not look whole: the connection does too.
                        Err(error) => return Some((Err(std::io::Error::other(error.to_string())), None)),
                    }
                }
            };
            Some((Ok(text), next))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"traffic.csv\""),
    ];
    Ok((headers, Body::from_stream(steps.fuse())).into_response())
}

fn read(query: Option<String>) -> Result<TrafficQuery, AppError> {
    let pairs = crate::form_posts::parse_form(query.unwrap_or_default().as_bytes());
    TrafficQuery::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(AppError::from)
}

fn line(record: &TrafficView) -> String {
    let (via, proxy_id, proxy, reason) = match &record.route {
        None => ("", "", "", ""),
        Some(Route::Proxy { proxy, .. }) => ("proxy", proxy.id.as_str(), proxy.name.as_str(), ""),
        Some(Route::Direct { reason }) => ("direct", "", "", reason.as_str()),
    };
    let fields = [
        record.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        record.consumer.kind.clone(),
        record.consumer.id.clone(),
        record.consumer.name.clone(),
        record.method.clone(),
        record.host.clone(),
        via.into(),
        proxy_id.into(),
        proxy.into(),
        reason.into(),
        record.status.map(|status| status.to_string()).unwrap_or_default(),
        record.bytes_in.to_string(),
        record.bytes_out.to_string(),
        record.ms.to_string(),
        record.cause.map(|cause| cause.as_str().to_string()).unwrap_or_default(),
    ];
    fields.map(|field| cell(&field)).join(",") + "\r\n"
}

/// A field, in quotes where it must be. What a spreadsheet would take for a formula is made a text: names are typed by people.
fn cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_string() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (text, expected) in
            [("a", "a"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "'=1+1"), ("a\nb", "\"a\nb\"")]
        {
            assert_eq!(cell(text), expected);
        }
    }
}
