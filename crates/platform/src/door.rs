//! The one door out, as use cases and engines see it.
//!
//! Every outgoing request is an [`OutRequest`] that names who asks and which proxy choice holds. The implementation turns
//! the choice into a route anew for every request, walks it, records it in the traffic log, and answers. There is no other
//! way out, and no fallback: what can't go the chosen way fails and says so.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use gatehouse_domain::{CaPem, Cause, Consumer, Route, Secret, StageResult, TestTarget};

use crate::{CompanyId, ProxyId};

/// A proxy choice with its identifier parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The company's default, whichever that is when a request is made.
    Default,
    /// Direct.
    None,
    /// This setting.
    Setting(ProxyId),
}

/// Who asks, and which way their requests take.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Whose connections, credentials and records these are.
    pub company: CompanyId,
    /// For the traffic log.
    pub consumer: Consumer,
    /// Resolved anew for every request.
    pub choice: Choice,
    /// Trusted besides the system's certificates (and the proxy setting's), for the target.
    pub ca_pem: Option<CaPem>,
    /// When what was sent stands in the traffic log.
    pub recorded: Recorded,
}

/// When a request's record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Before its answer is given.
    BeforeAnswer,
    /// Soon, together with others: much cheaper where there are many. Whoever shows a result first calls [`Door::settle`].
    Soon,
}

/// What may be done again when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing: doing it twice would not be the same as once.
    Never,
    /// The request: it only asks.
    Safe,
}

/// One request.
#[derive(Debug, Clone)]
pub struct OutRequest {
    /// `GET`, `POST`.
    pub method: &'static str,
    /// Where to; path and query may hold a secret and are never logged.
    pub url: TestTarget,
    /// Fields besides `Host`, `User-Agent`, `Accept`, `Content-Length`; the values may be secrets.
    pub headers: Vec<(&'static str, Secret)>,
    /// Sent as it is.
    pub body: Vec<u8>,
    /// From the first step to the last byte, all attempts and pauses together.
    pub timeout: Duration,
    /// The largest body of an answer that is taken, in bytes; a larger one is [`Cause::TooLarge`].
    pub max_answer: usize,
    /// Whether it may be sent again.
    pub retry: Retry,
    /// Walk the whole way on a connection of its own, and tell of each stage: for tests.
    pub trace: bool,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct OutAnswer {
    /// Status.
    pub status: u16,
    /// Field names in lower case; values that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
    /// Which way it went.
    pub route: Route,
    /// All six, for a request with `trace`; else empty.
    pub stages: Vec<StageResult>,
}

impl OutAnswer {
    /// The first value of a field, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OutError {
    /// For scripts.
    pub cause: Cause,
    /// For a person: names the proxy where it was the proxy. Never a credential, never foreign text.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Which way it went; none when it did not come to that.
    pub route: Option<Route>,
    /// All six, for a request with `trace`; else empty.
    pub stages: Vec<StageResult>,
}

/// The way out.
#[async_trait]
pub trait Door: Send + Sync {
    /// Sends a request the way the asker's choice leads now, and records it.
    ///
    /// # Errors
    /// Why there is no answer. An answer with an error status is an answer.
    async fn send(&self, asker: &Asker, request: OutRequest) -> Result<OutAnswer, OutError>;

    /// Returns when everything that was sent before is recorded.
    async fn settle(&self);

    /// Asks this machine's name servers for the IPv4 addresses of a name, and records it. No proxy carries DNS: the answer's
    /// route is direct whatever was chosen. No address there is the empty list. What is recorded is `zone`: the part of the name
    /// that holds neither a key nor what is asked about.
    ///
    /// # Errors
    /// [`Cause::TargetTimeout`], [`Cause::TargetUnreachable`].
    async fn look_up(&self, asker: &Asker, name: &str, zone: &str, timeout: Duration)
    -> Result<(Vec<Ipv4Addr>, Route), OutError>;

    /// Which way a request to this target would take now. Opens no connection.
    ///
    /// # Errors
    /// When the setting is gone or the database does not answer.
    async fn route(&self, asker: &Asker, target: &TestTarget) -> Result<Route, OutError>;

    /// Whether these certificates can be used for verification.
    ///
    /// # Errors
    /// Which one can't, for the person who pasted it.
    fn check_ca(&self, pem: &CaPem) -> Result<(), String>;
}

/// A door shared by many.
pub type SharedDoor = Arc<dyn Door>;
