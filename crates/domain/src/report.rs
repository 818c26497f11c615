//! What Test Connection found out.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A step of the way a request takes. All six, always, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The proxy's name becomes addresses.
    Resolve,
    /// TCP to the proxy.
    Connect,
    /// TLS to the proxy, for the scheme `https`.
    ProxyTls,
    /// CONNECT or SOCKS, with authentication.
    ProxyHandshake,
    /// TLS to the target, through the proxy.
    TargetTls,
    /// An HTTP answer from the target.
    TargetHttp,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Resolve, Self::Connect, Self::ProxyTls, Self::ProxyHandshake, Self::TargetTls, Self::TargetHttp];

    /// What a person reads.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Resolve => "Find the proxy's address",
            Self::Connect => "Connect to the proxy",
            Self::ProxyTls => "Encrypt the connection to the proxy",
            Self::ProxyHandshake => "Ask the proxy for a way to the target",
            Self::TargetTls => "Encrypt the connection to the target",
            Self::TargetHttp => "Get an answer from the target",
        }
    }
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// It worked.
    Passed,
    /// It is where the way ends.
    Failed,
    /// Not needed here, or not reached.
    Skipped,
}

/// One stage of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageResult {
    /// Which.
    pub stage: Stage,
    /// How it ended.
    pub status: StageStatus,
    /// How long it took, in milliseconds; null when skipped.
    pub ms: Option<u64>,
    /// What was seen, or why it was skipped. Never a credential.
    pub detail: Option<String>,
}

/// Why a test or a request failed. The names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The proxy's name does not resolve.
    NameNotFound,
    /// Nothing listens there.
    ConnectionRefused,
    /// No answer to the connection attempt.
    ConnectTimeout,
    /// TLS to the proxy failed.
    ProxyTlsFailed,
    /// 407, and no credentials were given.
    ProxyAuthRequired,
    /// 407 or a SOCKS failure, with credentials given.
    ProxyAuthRejected,
    /// The proxy offers no Basic.
    ProxyAuthUnsupported,
    /// 403, 451, another 4xx, or a SOCKS rule.
    ProxyDenied,
    /// What answers is not a proxy.
    NotAProxy,
    /// The proxy closed the connection.
    ProxyClosed,
    /// The proxy did not answer in time.
    ProxyTimeout,
    /// The proxy cannot reach the target.
    TargetUnreachable,
    /// TLS to the target failed.
    TargetTlsFailed,
    /// The target did not answer in time.
    TargetTimeout,
    /// The address is one that this installation does not connect to.
    AddressNotAllowed,
    /// The engine does not accept the key.
    KeyRejected,
    /// The key's allowance is used up, or too much was asked at a time.
    QuotaExceeded,
    /// The engine did not come to a result in time.
    EngineTimeout,
    /// The engine answered with an error of its own.
    EngineError,
    /// What the engine answered is not what it documents.
    BadAnswer,
    /// What was to be sent, or the answer, is larger than the limit.
    TooLarge,
    /// Excluded by the integration's settings: nothing was sent.
    Excluded,
    /// Of an analysis as a whole: no active integration can look at this.
    NoEngine,
    /// Of an analysis as a whole: none of those asked gave an answer.
    AllFailed,
}

impl Cause {
    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NameNotFound => "name_not_found",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ProxyTlsFailed => "proxy_tls_failed",
            Self::ProxyAuthRequired => "proxy_auth_required",
            Self::ProxyAuthRejected => "proxy_auth_rejected",
            Self::ProxyAuthUnsupported => "proxy_auth_unsupported",
            Self::ProxyDenied => "proxy_denied",
            Self::NotAProxy => "not_a_proxy",
            Self::ProxyClosed => "proxy_closed",
            Self::ProxyTimeout => "proxy_timeout",
            Self::TargetUnreachable => "target_unreachable",
            Self::TargetTlsFailed => "target_tls_failed",
            Self::TargetTimeout => "target_timeout",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::KeyRejected => "key_rejected",
            Self::QuotaExceeded => "quota_exceeded",
            Self::EngineTimeout => "engine_timeout",
            Self::EngineError => "engine_error",
            Self::BadAnswer => "bad_answer",
            Self::TooLarge => "too_large",
            Self::Excluded => "excluded",
            Self::NoEngine => "no_engine",
            Self::AllFailed => "all_failed",
        }
    }

    /// What a person reads where there is room for a few words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NameNotFound => "Name not found",
            Self::ConnectionRefused => "Connection refused",
            Self::ConnectTimeout => "No answer to the connection attempt",
            Self::ProxyTlsFailed => "Encryption to the proxy failed",
            Self::ProxyAuthRequired => "The proxy asks for a user name and password",
            Self::ProxyAuthRejected => "The proxy does not accept the user name and password",
            Self::ProxyAuthUnsupported => "The proxy offers no Basic authentication",
            Self::ProxyDenied => "The proxy does not allow it",
            Self::NotAProxy => "Not a proxy",
            Self::ProxyClosed => "The proxy closed the connection",
            Self::ProxyTimeout => "The proxy did not answer in time",
            Self::TargetUnreachable => "The service can't be reached",
            Self::TargetTlsFailed => "Encryption to the service failed",
            Self::TargetTimeout => "The service did not answer in time",
            Self::AddressNotAllowed => "Address not allowed",
            Self::KeyRejected => "Key not accepted",
            Self::QuotaExceeded => "Quota used up",
            Self::EngineTimeout => "No result in time",
            Self::EngineError => "The service reports an error",
            Self::BadAnswer => "The answer can't be understood",
            Self::TooLarge => "Too large",
            Self::Excluded => "Excluded",
            Self::NoEngine => "No integration can look at this",
            Self::AllFailed => "No integration gave an answer",
        }
    }

    /// All, in the order of the contract.
    pub const ALL: [Self; 24] = [
        Self::NameNotFound,
        Self::ConnectionRefused,
        Self::ConnectTimeout,
        Self::ProxyTlsFailed,
        Self::ProxyAuthRequired,
        Self::ProxyAuthRejected,
        Self::ProxyAuthUnsupported,
        Self::ProxyDenied,
        Self::NotAProxy,
        Self::ProxyClosed,
        Self::ProxyTimeout,
        Self::TargetUnreachable,
        Self::TargetTlsFailed,
        Self::TargetTimeout,
        Self::AddressNotAllowed,
        Self::KeyRejected,
        Self::QuotaExceeded,
        Self::EngineTimeout,
        Self::EngineError,
        Self::BadAnswer,
        Self::TooLarge,
        Self::Excluded,
        Self::NoEngine,
        Self::AllFailed,
    ];
}

impl std::str::FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or_else(|| "There is no such cause.".into())
    }
}

/// The whole result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestReport {
    /// The way is proved.
    pub ok: bool,
    /// Null when `ok`.
    pub cause: Option<Cause>,
    /// What happened, for a person.
    pub message: String,
    /// What to do about it, for a person.
    pub hint: Option<String>,
    /// The URL that was asked for.
    pub target: String,
    /// All six, in order.
    pub stages: Vec<StageResult>,
    /// The target's status, when it answered.
    pub status_code: Option<u16>,
    /// The address the internet sees, when the target told it.
    pub egress_ip: Option<String>,
}

impl TestReport {
    /// The sum of the stages, in milliseconds.
    #[must_use]
    pub fn total_ms(&self) -> u64 {
        self.stages.iter().filter_map(|s| s.ms).sum()
    }
}

/// What a running test tells while it happens: one JSON document a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestEvent {
    /// A stage has begun.
    Started(Stage),
    /// A stage has ended, or was skipped.
    Finished(StageResult),
    /// The test is over.
    Report(TestReport),
}

/// The last result of a saved setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastTest {
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The way was proved.
    pub ok: bool,
    /// Null when `ok`.
    pub cause: Option<Cause>,
    /// What happened, for a person.
    pub message: String,
    /// How long it took in all, in milliseconds.
    pub ms: u64,
    /// The target that was asked.
    pub target: String,
    /// The address the internet saw, when the target told it.
    pub egress_ip: Option<String>,
}
