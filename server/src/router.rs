//! Every address of the server, from the outside in.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use gatehouse_domain::AppError;
use http::{Method, header};
use tower_http::{
    compression::{CompressionLayer, CompressionLevel, predicate::Predicate},
    trace::TraceLayer,
};
use tracing::Span;

use crate::{
    api, ending, form_posts,
    http_errors::HttpError,
    metrics, pac, pages, security,
    security::{BODY_LIMIT, FILE_LIMIT},
    site,
    state::AppState,
};

/// The whole server.
pub fn router(state: AppState) -> Router {
    // A request passes these from the last to the first.
    Router::new()
        .merge(api::router())
        .route("/fn/{*rest}", any(pages::server_function))
        .fallback_service(any(console).layer(axum::middleware::from_fn(metrics::measure)).with_state(state.clone()))
        .layer(from_fn_with_state(state.clone(), security::identify))
        .layer(from_fn_with_state(state.clone(), security::same_origin))
        .layer(axum::middleware::from_fn(limit_body))
        // Files and probes need nobody's identity.
        .merge(site::router(&state.leptos))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::show))
        .route("/proxy.pac", get(pac::show))
        .route("/wpad.dat", get(pac::show))
        // A layer of routes, and the fallback's: they know which route it is.
        .route_layer(axum::middleware::from_fn(metrics::measure))
        // A defect in one handler is a 500 for one request.
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(from_fn_with_state(state.clone(), security::client))
        .layer(from_fn_with_state(state.clone(), ending::lead_away))
        .layer(from_fn_with_state(state.clone(), security::headers))
        .layer(CompressionLayer::new().quality(CompressionLevel::Precise(4)).compress_when(IsDocument))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(|request: &Request| tracing::info_span!("http", method = %request.method(), path = loggable_path(request.uri().path())))
                .on_request(())
                .on_failure(())
                .on_response(|response: &Response, took: Duration, _: &Span| {
                    tracing::info!(status = response.status().as_u16(), ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "answered");
                }),
        )
        .with_state(state)
}

/// Pages, and what forms on them post.
async fn console(state: State<AppState>, request: Request) -> Response {
    match *request.method() {
        Method::POST => form_posts::post(state, request).await,
        Method::GET | Method::HEAD => pages::page(state, request).await,
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD, POST")]).into_response(),
    }
}

async fn ready(State(state): State<AppState>) -> Response {
    // Before anything stops: balancers have to notice first.
    if state.ending.has_begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, "ending\n").into_response();
    }
    match state.platform.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

/// Refuses a body that says it is too large; handlers count what they read.
async fn limit_body(request: Request, next: axum::middleware::Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let takes_files = matches!(request.uri().path(), "/incident-responder/analyses" | "/api/v1/analyses");
    let limit = if takes_files { FILE_LIMIT } else { BODY_LIMIT };
    if length.is_some_and(|length| length > limit as u64) {
        discard(request).await;
        return HttpError(AppError::TooLarge(limit as u64)).into_response();
    }
    let request = request.map(|body| axum::body::Body::new(http_body_util::Limited::new(body, limit)));
    next.run(request).await
}

/// Reads what is refused, if it is not much and comes soon: a connection that is closed in the middle of a body loses the answer
/// for many clients, who then tell of a broken connection instead of a body that is too large.
pub async fn discard(request: Request) {
    const MUCH: usize = 16 * 1024 * 1024;
    let mut rest = http_body_util::Limited::new(request.into_body(), MUCH);
    let all = async { while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut rest).await {} };
    // What does not come in time is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
}

/// One-time links are secrets; everything else in a path may be seen by an operator.
fn loggable_path(path: &str) -> &str {
    if path.starts_with("/setup/") {
        "/setup/…"
    } else if path.starts_with("/invitation/") {
        "/invitation/…"
    } else {
        path
    }
}

/// Compresses pages and JSON. What streams has to arrive as it happens, and files are compressed already.
#[derive(Clone, Copy)]
struct IsDocument;

impl Predicate for IsDocument {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &http::Response<B>) -> bool {
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        (kind.starts_with("text/html") || kind.starts_with("application/json"))
            && response.body().size_hint().exact().is_none_or(|n| n > 1024)
    }
}
