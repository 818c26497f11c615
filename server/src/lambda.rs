//! `gatehouse serve` on AWS Lambda: the same router, called through the Lambda Runtime API instead of a listener.
//!
//! Recognised by `AWS_LAMBDA_RUNTIME_API`. One call at a time: take it, answer it, wait for what it set going, take the next. Between
//! calls the process is stopped, so nothing is spawned that is to go on by itself: scheduled work is a call, too.
//!
//! Of AWS's crates this takes the client alone. `lambda_http` (1.3) makes an address absolute and resolves it, so that a path does not
//! arrive as it was sent, ends in a panic for what `http` refuses, and takes no events but HTTP. `lambda_runtime` (1.5) below it writes
//! what is to tell of a stream that broke off into the answer's body, where it passes for content.

mod answer;
mod event;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use gatehouse_domain::AppError;
use gatehouse_platform::Platform;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use lambda_runtime_api_client::{PooledClient, body::Body, build_request};
use serde_json::json;
use tokio::sync::Mutex;
use tower::ServiceExt as _;

use crate::{
    config::Settings, ending::Ending, http_errors::HttpError, router::router, serve::end_signal, site, startup, state::AppState,
    tls::Tls,
};
use answer::Failure;
use event::Event;

/// Set by Lambda: host and port of its Runtime API.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// The number of the Runtime API.
const API: &str = "/2018-06-01/runtime";
/// How long before Lambda would end us we stop waiting for what goes on.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a database that could not be opened is not tried again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Where the Runtime API is, if this is Lambda.
#[must_use]
pub fn runtime_api() -> Option<String> {
    std::env::var(RUNTIME_API).ok().filter(|address| !address.is_empty())
}

/// Answers calls until told to end.
///
/// # Errors
/// In words for the operator; Lambda is told, too.
pub async fn serve(settings: Settings, address: &str) -> Result<(), String> {
    if let Err(why) = fits(&settings) {
        refuse(address, &why).await?;
        return Err(why);
    }
    let runtime = Runtime::at(address)?;
    // What leptos spawns while it renders runs on this runtime. Only a second call fails.
    let _ = any_spawner::Executor::init_tokio();
    let function = Arc::new(Function { settings, app: Mutex::default() });
    // The database is connected to while Lambda gets the first call ready.
    tokio::spawn({
        let function = function.clone();
        async move { function.app().await.map(drop) }
    });
    let calls = async {
        loop {
            runtime.turn(&function).await?;
        }
    };
    tokio::select! {
        result = calls => result,
        () = end_signal() => Ok(()),
    }
}

/// Tells Lambda that there is nothing to be begun with these settings.
///
/// # Errors
/// Lambda does not hear it.
pub async fn refuse(address: &str, why: &str) -> Result<(), String> {
    const KIND: &str = "Gatehouse.Settings";
    Runtime::at(address)?.post("init/error", Some(KIND), Failure::json(KIND, why).into()).await
}

/// What can't be on Lambda is said before anything is begun.
fn fits(settings: &Settings) -> Result<(), String> {
    if !(settings.database.starts_with("ws://") || settings.database.starts_with("wss://")) {
        return Err(format!(
            "DATABASE is {}: on Lambda a database inside this process would be gone with it, and every other process would have another one. \
             Name a SurrealDB server: wss://HOST:PORT, with DATABASE_USER and DATABASE_PASSWORD",
            settings.database
        ));
    }
    if !settings.gateway_listen.is_empty() {
        return Err("GATEWAY_LISTEN: nobody can connect to a function on Lambda but Lambda itself. Run the gateway elsewhere with 'gatehouse gateway', \
                    on the same database"
            .into());
    }
    if !matches!(settings.tls, Tls::Off) {
        return Err(
            "TLS: Lambda speaks HTTPS for us, with a certificate of its own. Leave TLS, TLS_CERTIFICATE and TLS_KEY out".into()
        );
    }
    settings.keys().map(drop).map_err(|error| {
        format!("{error}. On Lambda a key is never made: give it with SECRET_KEY from a secret store, or with SECRET_KEY_FILE from a layer")
    })
}

/// The Runtime API, as we speak it.
struct Runtime {
    client: PooledClient,
}

impl Runtime {
    fn at(address: &str) -> Result<Self, String> {
        let base = address.parse::<Uri>().ok().filter(|base| base.authority().is_some());
        let base = base.ok_or_else(|| format!("{RUNTIME_API}: '{address}' is not a host with a port"))?;
        Ok(Self { client: PooledClient::builder().with_endpoint(base).build() })
    }

    /// One call from beginning to end.
    ///
    /// # Errors
    /// Lambda does not answer: this process is of no use any more.
    async fn turn(&self, function: &Arc<Function>) -> Result<(), String> {
        let lost = |error: String| format!("Lambda's Runtime API at {API} does not answer: {error}");
        let next = build_request().uri(format!("{API}/invocation/next")).body(Body::empty()).map_err(|e| e.to_string())?;
        let (head, body) = self.client.call(next).await.map_err(|error| lost(error.to_string()))?.into_parts();
        if !head.status.is_success() {
            return Err(lost(format!("it answered {}", head.status)));
        }
        let event = body.collect().await.map_err(|error| lost(error.to_string()))?.to_bytes();
        let Some(id) = head.headers.get("lambda-runtime-aws-request-id").and_then(|id| id.to_str().ok()) else {
            return Err(lost("it names no request".into()));
        };
        let until = until(&head.headers);
        // A task of its own: a defect in it is an error of this call, and it has a stack as large as those of other requests.
        let done = tokio::spawn({
            let function = function.clone();
            async move { function.answer(&event, until).await }
        });
        let done = done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call failed");
            Err(Refusal { kind: "Gatehouse.Defect", words: "a defect: the log says more".into() })
        });
        let posted = match done {
            Ok(Told::Streamed(response)) => self.stream(id, response).await,
            Ok(Told::Whole(bytes)) => self.post(&format!("invocation/{id}/response"), None, bytes.into()).await,
            Err(Refusal { kind, words }) => {
                tracing::warn!(kind, "{words}");
                self.post(&format!("invocation/{id}/error"), Some(kind), Failure::json(kind, &words).into()).await
            }
        };
        // The next call shows whether Lambda is there; whoever asked has gone, or asks again.
        if let Err(error) = posted {
            tracing::error!(%error, "an answer did not reach Lambda");
        }
        function.finish(until).await;
        Ok(())
    }

    async fn stream(&self, id: &str, response: Response) -> Result<(), String> {
        let request = build_request()
            .method(Method::POST)
            .uri(format!("{API}/invocation/{id}/response"))
            .header("lambda-runtime-function-response-mode", "streaming")
            .header(header::CONTENT_TYPE, "application/vnd.awslambda.http-integration-response")
            .header(header::TRANSFER_ENCODING, "chunked")
            .header(header::TRAILER, format!("{}, {}", answer::ERROR_TYPE, answer::ERROR_BODY));
        self.send(request.body(answer::streamed(response))).await
    }

    async fn post(&self, path: &str, failed: Option<&'static str>, body: Body) -> Result<(), String> {
        let mut request = build_request().method(Method::POST).uri(format!("{API}/{path}"));
        if let Some(kind) = failed {
            request = request.header(answer::ERROR_TYPE, kind);
        }
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body)).await
    }

    async fn send(&self, request: Result<http::Request<Body>, http::Error>) -> Result<(), String> {
        let request = request.map_err(|error| error.to_string())?;
        let response = self.client.call(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
        }
    }
}

/// Until when a call may take.
fn until(headers: &HeaderMap) -> Instant {
    let millis =
        headers.get("lambda-runtime-deadline-ms").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Fifteen minutes are what Lambda gives at most.
    let left = millis.map_or(Duration::from_secs(900), |millis| Duration::from_millis(millis).saturating_sub(now));
    Instant::now() + left.saturating_sub(MARGIN)
}

/// An answer, and how Lambda is told.
enum Told {
    Streamed(Response),
    Whole(Vec<u8>),
}

/// A call that failed, as Lambda's metrics count it.
struct Refusal {
    kind: &'static str,
    words: String,
}

/// What is there once the database is open.
#[derive(Clone)]
struct App {
    platform: Platform,
    router: Router,
}

/// What became of opening the database.
#[derive(Default)]
enum Opened {
    #[default]
    NotYet,
    Failed(Instant),
    Open(Box<App>),
}

struct Function {
    settings: Settings,
    app: Mutex<Opened>,
}

impl Function {
    /// Opens the database, when it is not open yet. Whoever comes meanwhile waits for it.
    async fn app(&self) -> Result<App, AppError> {
        let mut opened = self.app.lock().await;
        match &*opened {
            Opened::Open(app) => return Ok(App::clone(app)),
            Opened::Failed(at) if at.elapsed() < PAUSE_AFTER_FAILURE => return Err(AppError::Unavailable),
            Opened::NotYet | Opened::Failed(_) => {}
        }
        match self.open().await {
            Ok(app) => {
                *opened = Opened::Open(Box::new(app.clone()));
                Ok(app)
            }
            Err(error) => {
                tracing::error!("{error}");
                *opened = Opened::Failed(Instant::now());
                Err(AppError::Unavailable)
            }
        }
    }

    async fn open(&self) -> Result<App, String> {
        let began = Instant::now();
        let (platform, ..) = startup::open_with_store(&self.settings).await.map_err(|error| error.to_string())?;
        startup::first_administrator(&platform, &self.settings).await?;
        let state = AppState {
            platform: platform.clone(),
            leptos: site::leptos_options(),
            trusted_proxies: self.settings.trusted_proxies.clone().into(),
            // Browsers reach Lambda by HTTPS, and by nothing else, with a certificate that they know.
            tls: true,
            strict: true,
            public_url: self.settings.public_url.clone(),
            gateway: None,
            ending: Ending::on_signal(Duration::ZERO),
        };
        site::warn_if_missing(&state.leptos);
        let router = router(state);
        tracing::info!(ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), "the database is open");
        Ok(App { platform, router })
    }

    async fn answer(&self, event: &Bytes, until: Instant) -> Result<Told, Refusal> {
        let event = Event::parse(event).map_err(|error| Refusal { kind: "Gatehouse.BadEvent", words: error.to_string() })?;
        let app = self.app().await;
        let call = match (event, app) {
            (Event::Scheduled, app) => return scheduled(app, until).await,
            (Event::Http(call), Ok(app)) => (call.streams, answer(app, call.request).await),
            (Event::Http(call), Err(error)) => (call.streams, unavailable(error, call.request.headers())),
        };
        match call {
            (true, response) => Ok(Told::Streamed(response)),
            (false, response) => {
                answer::whole(response).await.map(Told::Whole).map_err(|words| Refusal { kind: "Gatehouse.BrokeOff", words })
            }
        }
    }

    /// Waits for what the answer has set going. What takes longer than the call may is stopped with us; its lease runs out, and
    /// whoever comes next goes on with it.
    async fn finish(&self, until: Instant) {
        let app = match &*self.app.lock().await {
            Opened::Open(app) => app.clone(),
            Opened::NotYet | Opened::Failed(_) => return,
        };
        if tokio::time::timeout_at(until.into(), app.platform.finish()).await.is_err() {
            tracing::warn!("what goes on takes longer than this call may; the next one goes on with it");
        }
    }
}

async fn answer(app: App, request: Request) -> Response {
    match app.router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// While the database does not open. A person gets words instead of a problem document.
fn unavailable(error: AppError, headers: &HeaderMap) -> Response {
    let wants_html =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"));
    if !wants_html {
        return HttpError(error).into_response();
    }
    let headers =
        [(header::RETRY_AFTER, "2"), (header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, format!("{error}\n")).into_response()
}

/// One round of what has to be done now and then.
async fn scheduled(app: Result<App, AppError>, until: Instant) -> Result<Told, Refusal> {
    let failed = |words: String| Refusal { kind: "Gatehouse.Unfinished", words };
    let app = app.map_err(|error| failed(error.to_string()))?;
    let Ok(tended) = tokio::time::timeout_at(until.into(), app.platform.turn_all()).await else {
        return Err(failed("what is due takes longer than this call may (Timeout); the next one goes on with it".into()));
    };
    tracing::info!(?tended, "did what was due");
    if !tended.failed.is_empty() {
        return Err(failed(json!(tended).to_string()));
    }
    serde_json::to_vec(&tended).map(Told::Whole).map_err(|error| failed(error.to_string()))
}
