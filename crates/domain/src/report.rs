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

/// Why a test failed. The names are part of the API.
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
