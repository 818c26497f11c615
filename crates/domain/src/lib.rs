//! Gatehouse's words as types.
//!
//! Everything here is pure: parsing, validation, the shapes that travel between browser, server and scripts, and the
//! errors a person reads. The same code runs in the browser and on the server, so both say the same about the same input.
//!
//! **Parse, don't validate**: a [`Port`], [`HostName`] or [`ProxyName`] that exists is right.
//!
//! **Deliberately absent**: I/O, clocks, random numbers, and anything that does not build for `wasm32-unknown-unknown`.

pub mod account;
pub mod address;
pub mod analysis;
pub mod audit;
mod borrowed;
pub mod bypass;
pub mod checks;
pub mod error;
pub mod fields;
pub mod gateway;
pub mod host;
pub mod integration;
pub mod list;
pub mod permission;
pub mod proxy;
pub mod report;
pub mod route;
pub mod secret;
pub mod target;
pub mod text;
pub mod traffic;

pub use account::{
    CompanyName, CompanyStatus, CompanyView, Email, InvitationForm, InvitationView, NewPassword, OwnSessionView, PersonForm,
    PersonName, PersonView, Role, SecondFactorView, SessionView, TokenName, TokenView,
};
pub use analysis::{
    AnalysisQuery, AnalysisResult, AnalysisStatus, AnalysisView, Evidence, Indicator, IndicatorKind, IntegrationRef, LyingLink,
    MailSummary, Overall, ResultStatus, Subject, SubjectKind, Verdict, overall,
};
pub use audit::{AuditActor, AuditEntry, AuditQuery, AuditTarget, AuditVia, AuditView};
pub use bypass::{Bypass, BypassRule};
pub use checks::{ChecksForm, ChecksView, HealthChange, WebhookMessage};
pub use error::AppError;
pub use fields::FieldErrors;
pub use gateway::{
    ExplanationView, GatewayPeopleQuery, GatewayPersonForm, GatewayPersonView, GatewayPolicyView, GatewayUserName, PassedRule,
    PolicyCheckView, PolicyProblem, PolicyQuestion,
};
pub use host::{HostName, Port};
pub use integration::{
    Capabilities, EngineOption, EngineSpec, Exclusions, Health, IntegrationForm, IntegrationName, IntegrationQuery,
    IntegrationReport, IntegrationStatus, IntegrationTest, IntegrationValues, IntegrationView, KeyNeed, Threshold,
};
pub use list::{Page, ProxyQuery, ProxySort, SortField};
pub use permission::{Operation, Permission};
pub use proxy::{
    Authentication, CaPem, Credentials, ProxyForm, ProxyName, ProxyValues, ProxyView, Scheme, SecretInput, Timeout, UsedBy,
    Username, Via,
};
pub use report::{Cause, LastTest, Stage, StageResult, StageStatus, TestEvent, TestReport};
pub use route::{Consumer, DirectReason, ProxyChoice, ProxyRef, Route};
pub use secret::Secret;
pub use target::TestTarget;
pub use traffic::{CauseFilter, TrafficQuery, TrafficSum, TrafficView};

/// A moment, UTC. On the wire RFC 3339 with milliseconds.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
