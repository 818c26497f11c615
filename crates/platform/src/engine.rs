//! What an analysis engine is to the platform.
//!
//! An engine is one value without state that knows how to speak to one kind of service. It gets an [`EngineContext`] with
//! the integration's settings and a door that is bound to its proxy choice, and answers with a [`Finding`] or an
//! [`EngineFailure`]. It knows neither companies nor databases nor which way its requests take.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gatehouse_domain::{Cause, EngineSpec, Evidence, Indicator, Route, Secret, StageResult, TestTarget, Verdict};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::door::{Asker, Choice, OutAnswer, OutError, OutRequest, Retry, SharedDoor};

/// What an engine found out about an indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it thinks.
    pub verdict: Verdict,
    /// Why, in its own numbers.
    pub evidence: Vec<Evidence>,
    /// Its page about the indicator, for a person.
    pub link: Option<String>,
}

impl Finding {
    /// A verdict without evidence.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        Self { verdict, evidence: Vec::new(), link: None }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn because(mut self, label: impl Into<String>, value: impl ToString) -> Self {
        self.evidence.push(Evidence { label: label.into(), value: value.to_string() });
        self
    }

    /// Adds the engine's page.
    #[must_use]
    pub fn see(mut self, link: impl Into<String>) -> Self {
        self.link = Some(link.into());
        self
    }
}

/// Why an engine gave no finding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineFailure {
    /// For scripts.
    pub cause: Cause,
    /// For a person; no credential, no foreign text.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The service's status, when it answered.
    pub status: Option<u16>,
}

impl EngineFailure {
    /// One with words of its own.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), hint: None, status: None }
    }

    /// With the status that the service answered.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<OutError> for EngineFailure {
    fn from(error: OutError) -> Self {
        Self { cause: error.cause, message: error.message, hint: error.hint, status: None }
    }
}

/// A file to look at.
#[derive(Debug, Clone)]
pub struct FileContent {
    /// Its name, as the mail or the person gave it.
    pub name: String,
    /// Its bytes.
    pub bytes: Arc<Vec<u8>>,
}

/// An engine's view of the integration it works for.
#[derive(Clone)]
pub struct EngineContext {
    /// Where the service is.
    pub api_url: TestTarget,
    /// The API key; empty when there is none.
    pub api_key: Secret,
    /// The second secret; empty when there is none.
    pub api_password: Secret,
    /// See [`gatehouse_domain::IntegrationValues::detection_threshold`].
    pub threshold: u16,
    /// The type's own settings; each that the type has and that is not empty.
    pub options: BTreeMap<String, String>,
    door: SharedDoor,
    asker: Asker,
    deadline: Instant,
    trace: bool,
    seen: Arc<Mutex<Seen>>,
    progress: Arc<dyn Fn(&str) + Send + Sync>,
    current: Option<Arc<dyn CurrentChoice>>,
    place: Option<Arc<Place>>,
}

/// The proxy choice as it is now: a look-up may wait for a sandbox for minutes, and what is changed meanwhile holds for its next request.
#[async_trait]
pub trait CurrentChoice: Send + Sync {
    /// The choice.
    ///
    /// # Errors
    /// When nothing may be sent any more: the integration was deactivated or deleted.
    async fn choice(&self) -> Result<Choice, EngineFailure>;
}

/// A place among the look-ups of this process, given back while a look-up only waits.
pub struct Place {
    all: Arc<Semaphore>,
    held: tokio::sync::Mutex<Option<OwnedSemaphorePermit>>,
}

impl Place {
    /// Waits for a place.
    pub async fn take(all: Arc<Semaphore>) -> Self {
        // It is never closed.
        let held = all.clone().acquire_owned().await.ok();
        Self { all, held: tokio::sync::Mutex::new(held) }
    }

    async fn without(&self, pause: Duration) {
        let mut held = self.held.lock().await;
        drop(held.take());
        tokio::time::sleep(pause).await;
        *held = self.all.clone().acquire_owned().await.ok();
    }
}

/// What the requests of one look-up told.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The route of the last request.
    pub route: Option<Route>,
    /// The stages of the first request with a trace.
    pub stages: Vec<StageResult>,
    /// The status of the last answer.
    pub status: Option<u16>,
}

/// The largest answer that an engine takes unless it says otherwise: 4 MiB.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

impl EngineContext {
    /// One for a look-up (or a test, with `trace`) that must be over within `timeout`.
    #[must_use]
    pub fn new(door: SharedDoor, asker: Asker, api_url: TestTarget, timeout: Duration, trace: bool) -> Self {
        Self {
            api_url,
            api_key: Secret::default(),
            api_password: Secret::default(),
            threshold: 0,
            options: BTreeMap::new(),
            door,
            asker,
            deadline: Instant::now() + timeout,
            trace,
            seen: Arc::default(),
            progress: Arc::new(|_| {}),
            current: None,
            place: None,
        }
    }

    /// Asks for the proxy choice anew before every request.
    #[must_use]
    pub fn following(mut self, current: Arc<dyn CurrentChoice>) -> Self {
        self.current = Some(current);
        self
    }

    /// Gives this place back while the engine pauses.
    #[must_use]
    pub fn in_place(mut self, place: Arc<Place>) -> Self {
        self.place = Some(place);
        self
    }

    async fn asker(&self) -> Result<Asker, EngineFailure> {
        let mut asker = self.asker.clone();
        if let Some(current) = &self.current {
            asker.choice = current.choice().await?;
        }
        Ok(asker)
    }

    /// Tells `listener` what the engine is doing.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(listener);
        self
    }

    /// What is left of the time.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What the requests told so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whoever watches what is going on: `Waiting for the sandbox`.
    pub fn progress(&self, what: &str) {
        (self.progress)(what);
    }

    /// A setting of the type's own; empty when it was left out and has no default.
    #[must_use]
    pub fn option(&self, name: &str) -> &str {
        self.options.get(name).map_or("", String::as_str)
    }

    /// `path` (with its query, already encoded) behind the path of the API URL. A slash between the two is made one.
    ///
    /// # Errors
    /// [`Cause::TooLarge`] when no URL comes of it: what is asked about is too long for one.
    pub fn url(&self, path: &str) -> Result<TestTarget, EngineFailure> {
        let base = self.api_url.to_string();
        let base = base.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_string();
        TestTarget::parse(&format!("{base}/{}", path.trim_start_matches('/'))).map_err(|_| {
            EngineFailure::new(
                Cause::TooLarge,
                "This is too long to be asked about: services take addresses of some 2,000 characters.",
            )
        })
    }

    /// A request that only asks; headers and body are added to it.
    ///
    /// # Errors
    /// As [`EngineContext::url`].
    pub fn get(&self, path: &str) -> Result<OutRequest, EngineFailure> {
        Ok(self.request("GET", self.url(path)?, Retry::Safe))
    }

    /// A request that may have an effect.
    ///
    /// # Errors
    /// As [`EngineContext::url`].
    pub fn post(&self, path: &str, content_type: &'static str, body: impl Into<Vec<u8>>) -> Result<OutRequest, EngineFailure> {
        let mut request = self.request("POST", self.url(path)?, Retry::Never);
        request.headers.push(("content-type", Secret::new(content_type)));
        request.body = body.into();
        Ok(request)
    }

    /// A request to any URL.
    #[must_use]
    pub fn request(&self, method: &'static str, url: TestTarget, retry: Retry) -> OutRequest {
        OutRequest {
            method,
            url,
            headers: Vec::new(),
            body: Vec::new(),
            timeout: self.remaining(),
            max_answer: MAX_ANSWER,
            retry,
            trace: self.trace,
        }
    }

    /// Sends it the way the integration's proxy choice leads now.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, mut request: OutRequest) -> Result<OutAnswer, EngineFailure> {
        request.timeout = request.timeout.min(self.remaining());
        if request.timeout.is_zero() {
            return Err(EngineFailure::new(Cause::EngineTimeout, "There was no result in the time that the integration allows."));
        }
        let outcome = self.door.send(&self.asker().await?, request).await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(answer) => {
                seen.route = Some(answer.route.clone());
                seen.status = Some(answer.status);
                if seen.stages.is_empty() {
                    seen.stages.clone_from(&answer.stages);
                }
                Ok(answer)
            }
            Err(error) => {
                seen.route.clone_from(&error.route);
                if !error.stages.is_empty() {
                    seen.stages.clone_from(&error.stages);
                }
                Err(error.into())
            }
        }
    }

    /// Asks name servers; see [`crate::door::Door::look_up`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn look_up(&self, name: &str, zone: &str) -> Result<Vec<Ipv4Addr>, EngineFailure> {
        let outcome = self.door.look_up(&self.asker().await?, name, zone, self.remaining()).await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok((addresses, route)) => {
                seen.route = Some(route);
                Ok(addresses)
            }
            Err(error) => {
                seen.route.clone_from(&error.route);
                Err(error.into())
            }
        }
    }

    /// Waits before asking again, if there is time for it.
    ///
    /// # Errors
    /// [`Cause::EngineTimeout`].
    pub async fn pause(&self, pause: Duration) -> Result<(), EngineFailure> {
        if self.remaining() <= pause {
            return Err(EngineFailure::new(
                Cause::EngineTimeout,
                "The service was still working on it when the time that the integration allows was over.",
            )
            .with_hint(
                "Allow more time in the integration's settings, or ask again later: the service may have finished by then.",
            ));
        }
        match &self.place {
            Some(place) => place.without(pause).await,
            None => tokio::time::sleep(pause).await,
        }
        Ok(())
    }
}

/// An analysis engine.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What it is and can do.
    fn spec(&self) -> &'static EngineSpec;

    /// Whether the service is there and accepts the key, at the least cost to the key's allowance. The text is for a person:
    /// what was proved, and what could not be.
    ///
    /// # Errors
    /// What is wrong.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure>;

    /// What the service knows about an indicator. `file` holds the bytes of an [`gatehouse_domain::IndicatorKind::File`] for
    /// engines that upload ([`EngineSpec::uploads`]); others get none and look the hash up.
    ///
    /// # Errors
    /// Why there is no verdict.
    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, file: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure>;
}

/// The engines there are.
#[derive(Clone)]
pub struct Catalogue(Arc<Vec<Arc<dyn Engine>>>);

impl Catalogue {
    /// In the order in which they are offered.
    #[must_use]
    pub fn new(engines: Vec<Arc<dyn Engine>>) -> Self {
        Self(Arc::new(engines))
    }

    /// What each is and can do.
    pub fn specs(&self) -> impl Iterator<Item = &'static EngineSpec> + '_ {
        self.0.iter().map(|engine| engine.spec())
    }

    /// The one of this kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<Arc<dyn Engine>> {
        self.0.iter().find(|engine| engine.spec().kind == kind).cloned()
    }
}
