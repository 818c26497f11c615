//! `/metrics`, in the text form of Prometheus: how many requests, how they ended, how long they took.
//!
//! Routes are named by their pattern, never by what a person asked for: no identifier, no secret and no company is in here.

use std::{sync::LazyLock, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use crate::{gateway::Meter, state::AppState};

/// Requests by method, route and status.
const REQUESTS: &str = "gatehouse_http_requests_total";
/// Seconds until the head of the answer stood, by method and route.
const SECONDS: &str = "gatehouse_http_request_duration_seconds";
/// Requests under way.
const UNDER_WAY: &str = "gatehouse_http_requests_in_flight";

/// Upper ends of the histogram's buckets, in seconds: a page's budget is 10 ms, a test may take its ten seconds.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// `None` only if something else in the process has taken the place: then there is nothing to tell.
static RECORDER: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(SECONDS.into()), BUCKETS).ok()?;
    let handle = builder.install_recorder().ok()?;
    metrics::describe_counter!(REQUESTS, "Requests answered.");
    metrics::describe_histogram!(SECONDS, metrics::Unit::Seconds, "Time until the head of the answer stood.");
    metrics::describe_gauge!(UNDER_WAY, "Requests under way.");
    metrics::describe_gauge!("gatehouse_build_info", "Always 1; the version is a label.");
    gauge!("gatehouse_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Some(handle)
});

/// Counts and times every request.
pub async fn measure(request: Request, next: Next) -> Response {
    LazyLock::force(&RECORDER);
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_string(),
        _ => "other".to_string(),
    };
    // What no route names is a page of the console, or nothing.
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "page".to_string(), |path| path.as_str().to_string());
    gauge!(UNDER_WAY).increment(1.0);
    let _done = Done;
    let began = Instant::now();
    let response = next.run(request).await;
    histogram!(SECONDS, "method" => method.clone(), "route" => route.clone()).record(began.elapsed().as_secs_f64());
    counter!(REQUESTS, "method" => method, "route" => route, "status" => response.status().as_str().to_string()).increment(1);
    response
}

/// Also when whoever asked has gone away meanwhile.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        gauge!(UNDER_WAY).decrement(1.0);
    }
}

/// `GET /metrics`: of this server, and of the gateway inside of it.
pub async fn show(State(state): State<AppState>) -> impl IntoResponse {
    let mut text = RECORDER.as_ref().map_or_else(String::new, |handle| {
        handle.run_upkeep();
        handle.render()
    });
    if let Some(gateway) = &state.gateway {
        text.push_str(&gateway.text());
    }
    in_text_form(text)
}

/// `/metrics` and `/healthz` of a gateway that runs alone.
pub async fn serve_gateway(listener: TcpListener, meter: Meter) {
    let app = Router::new()
        .route("/metrics", get(move || async move { in_text_form(meter.text()) }))
        .route("/healthz", get(|| async { "ok\n" }));
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "metrics are not served any more");
    }
}

fn in_text_form(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
