//! What the use cases need from outside.
//!
//! Every method of a store that touches a company's things takes the company; the implementation puts it into every query.
//! A conflict between two writers of the database itself is the implementation's to retry; it never reaches a use case.

use std::time::Duration;

use async_trait::async_trait;
use gatehouse_domain::{
    AnalysisQuery, AnalysisResult, AnalysisStatus, Cause, CompanyName, Email, Evidence, GatewayUserName, Health, HealthChange,
    IntegrationTest, IntegrationValues, LastTest, MailSummary, Page, PersonName, ProxyQuery, ProxyValues, Role, Secret, Subject,
    TestEvent, TestReport, TestTarget, Timestamp, TokenName, TrafficQuery, TrafficSum, TrafficView, UsedBy, Verdict,
    WebhookMessage,
};
use tokio::sync::mpsc;

use crate::{
    AnalysisId, Choice, CompanyId, FileContent, GatewayPersonId, IntegrationId, InvitationId, PersonId, ProxyId, Sealed, TokenId,
    audit::{AuditHead, Origin, StoredEntry},
};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Unique names: another one has this one.
    #[error("the name is taken")]
    NameTaken,
    /// It is used.
    #[error("in use")]
    InUse(Vec<UsedBy>),
    /// It has another version by now.
    #[error("changed meanwhile, now version {0}")]
    Changed(u64),
    /// Not there, or not this company's.
    #[error("not found")]
    NotFound,
    /// What was sealed was sealed under a key that is no longer the current one (somebody rotated it meanwhile).
    #[error("the key was rotated meanwhile")]
    KeyChanged,
    /// Not there any more, where [`StoreError::NotFound`] means something else.
    #[error("gone")]
    Gone,
    /// The company's last one of a role that it can't be without: an owner, or a provider where it has one.
    #[error("the last {}", .0.as_str())]
    LastOfRole(Role),
    /// There are as many as there may be.
    #[error("there are as many as there may be: {0}")]
    Full(usize),
    /// A cursor that was not made by this store.
    #[error("not a cursor")]
    BadCursor,
    /// The database can't be reached or is too busy.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// Anything else: a defect, or a damaged database.
    #[error("{0}")]
    Internal(String),
}

/// A result from a store.
pub type StoreResult<T> = Result<T, StoreError>;

/// A proxy setting as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyRecord {
    /// Identifier.
    pub id: ProxyId,
    /// What was entered.
    pub values: ProxyValues,
    /// The password, sealed.
    pub password: Option<Sealed>,
    /// Whether the company's default is this one.
    pub is_default: bool,
    /// Starts at 1 and grows by one with every change of what was entered or of `is_default`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When what was entered was last changed.
    pub updated_at: Timestamp,
    /// The last result of Test Connection.
    pub last_test: Option<LastTest>,
    /// What the tests say about it.
    pub health: Option<Health>,
    /// Who uses it, directly or as the default.
    pub used_by: Vec<UsedBy>,
}

/// What is written when a proxy setting is made or replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyWrite {
    /// What was entered.
    pub values: ProxyValues,
    /// The password, sealed under the current key; `None`: there is none.
    pub password: Option<Sealed>,
    /// Make it the company's default; `false` takes the default away if this was it.
    pub is_default: bool,
}

/// Proxy settings.
#[async_trait]
pub trait ProxyStore: Send + Sync {
    /// One page. `Page::next` is opaque, `query.cursor` is one of them.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    async fn list_proxies(&self, company: CompanyId, query: &ProxyQuery) -> StoreResult<Page<ProxyRecord>>;

    /// One, or [`StoreError::NotFound`].
    async fn proxy(&self, company: CompanyId, id: ProxyId) -> StoreResult<ProxyRecord>;

    /// Makes one, and the default if asked, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::KeyChanged`].
    async fn create_proxy(&self, company: CompanyId, id: ProxyId, write: &ProxyWrite, now: Timestamp)
    -> StoreResult<ProxyRecord>;

    /// Replaces what was entered if the version still is `version`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Changed`], [`StoreError::NameTaken`], [`StoreError::KeyChanged`], and
    /// [`StoreError::InUse`] when it would take away a default that somebody uses.
    async fn replace_proxy(
        &self, company: CompanyId, id: ProxyId, version: u64, write: &ProxyWrite, now: Timestamp,
    ) -> StoreResult<ProxyRecord>;

    /// Deletes one. With `version`, only if it still has that one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Changed`], [`StoreError::InUse`] (also while it is the default and somebody uses the default).
    async fn delete_proxy(&self, company: CompanyId, id: ProxyId, version: Option<u64>) -> StoreResult<()>;

    /// Makes this one the default, or, with `None`, takes the default away. The last writer wins.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn set_default_proxy(&self, company: CompanyId, id: Option<ProxyId>) -> StoreResult<()>;

    /// Keeps the result of a test, and how the setting is by it, if it still is there. Does not change its version.
    async fn record_proxy_test(&self, company: CompanyId, id: ProxyId, result: &LastTest, health: Health) -> StoreResult<()>;

    /// Takes one of `limit` places for a running test of this company, or says when to come back. A place that was not
    /// given back is free again after `lease`.
    async fn take_test_slot(
        &self, company: CompanyId, limit: u8, lease: Duration, now: Timestamp,
    ) -> StoreResult<Result<TestSlot, Duration>>;

    /// Gives a place back.
    async fn release_test_slot(&self, slot: &TestSlot) -> StoreResult<()>;

    /// A number that has changed whenever any proxy setting, or which one is a default, may have changed. `None` where other
    /// processes write to the same database, so that this one can't know: then what was read before must be read again.
    fn proxies_generation(&self) -> Option<u64>;

    /// Who uses the company's default, whichever that is; by name.
    async fn uses_of_default(&self, company: CompanyId) -> StoreResult<Vec<UsedBy>>;

    /// The company's default setting, if it has one. Without `used_by`.
    async fn default_proxy(&self, company: CompanyId) -> StoreResult<Option<ProxyRecord>>;
}

/// A place among the running tests of a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestSlot {
    /// Whose.
    pub company: CompanyId,
    /// Which.
    pub number: u8,
    /// Told apart from a later holder of the same place.
    pub holder: String,
}

/// Somebody who signs in.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonRecord {
    /// Identifier.
    pub id: PersonId,
    /// Where they belong.
    pub company: CompanyId,
    /// The company's name, for showing.
    pub company_name: CompanyName,
    /// E-mail, unique in the installation without regard to case.
    pub email: Email,
    /// Name.
    pub name: PersonName,
    /// What they may do.
    pub role: Role,
    /// The password's hash as a PHC string.
    pub password_hash: String,
    /// Starts at 1 and grows by one with every change of name or role.
    pub version: u64,
    /// When they came.
    pub created_at: Timestamp,
    /// Whether their company is suspended.
    pub is_suspended: bool,
    /// One-time passwords.
    pub second_factor: SecondFactor,
}

/// What is stored of somebody's one-time passwords.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecondFactor {
    /// The secret, sealed; `None`: none are asked for.
    pub secret: Option<Sealed>,
    /// One that was not confirmed yet.
    pub pending: Option<Sealed>,
    /// The step of the last one that was used.
    pub step: u64,
    /// Hashes of the recovery codes that are left.
    pub recovery: Vec<String>,
}

/// What is written when somebody is made.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonWrite {
    /// Identifier.
    pub id: PersonId,
    /// E-mail.
    pub email: Email,
    /// Name.
    pub name: PersonName,
    /// What they may do.
    pub role: Role,
    /// The password's hash as a PHC string.
    pub password_hash: String,
}

/// What `find_session` and `find_token` answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Authenticated {
    /// Who.
    pub person: PersonRecord,
    /// For a session: when it ends unless it is used. For a token: `None`.
    pub expires_at: Option<Timestamp>,
    /// When it was last noted as used.
    pub last_used_at: Option<Timestamp>,
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// The hash of its secret: what it is found by.
    pub hash: String,
    /// Where it was begun; empty where that is not known.
    pub address: String,
    /// By which program; empty where it said nothing.
    pub agent: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was last noted as used.
    pub last_used_at: Timestamp,
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
}

/// Somebody who is invited.
#[derive(Debug, Clone, PartialEq)]
pub struct InvitationRecord {
    /// Identifier.
    pub id: InvitationId,
    /// Into which company.
    pub company: CompanyId,
    /// The company's name.
    pub company_name: CompanyName,
    /// E-mail.
    pub email: Email,
    /// What they will be allowed to do.
    pub role: Role,
    /// Who invited them, by name.
    pub invited_by: String,
    /// When.
    pub created_at: Timestamp,
    /// How long the link works.
    pub expires_at: Timestamp,
}

/// A company as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct CompanyRecord {
    /// Identifier.
    pub id: CompanyId,
    /// Name.
    pub name: CompanyName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
    /// When it is deleted.
    pub delete_after: Option<Timestamp>,
    /// How many people it has.
    pub people: u64,
}

/// An API token as it is stored; never the token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRecord {
    /// Identifier.
    pub id: TokenId,
    /// What it is for.
    pub name: TokenName,
    /// The last four characters.
    pub ends_with: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// Companies, people, sessions, tokens, and who tried to come in.
///
/// Secrets of sessions, tokens and links arrive here as SHA-256 in hexadecimal (they are random, so no slow hash is needed).
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// Whether there is no company yet.
    async fn is_empty(&self) -> StoreResult<bool>;

    /// Notes the hash of the one set-up link, replacing an earlier one.
    async fn put_setup_link(&self, hash: &str, expires_at: Timestamp) -> StoreResult<()>;

    /// Whether this is the set-up link, not expired, and there still is no company.
    async fn is_setup_link(&self, hash: &str, now: Timestamp) -> StoreResult<bool>;

    /// The first company and its owner, in one transaction, only while there is no company. With `link`, only if that is
    /// the set-up link, which is used up. [`StoreError::NotFound`] when the link is not right or a company exists.
    async fn create_first_company(
        &self, link: Option<&str>, company: CompanyId, name: &CompanyName, owner: &PersonWrite, now: Timestamp,
    ) -> StoreResult<()>;

    /// A company; [`StoreError::NameTaken`].
    async fn create_company(&self, company: CompanyId, name: &CompanyName, now: Timestamp) -> StoreResult<()>;

    /// A company by name without regard to case.
    async fn company_by_name(&self, name: &CompanyName) -> StoreResult<Option<CompanyId>>;

    /// All companies, oldest first.
    async fn companies(&self) -> StoreResult<Vec<(CompanyId, CompanyName)>>;

    /// Somebody; [`StoreError::NameTaken`] when the e-mail is, in whatever company.
    async fn create_person(&self, company: CompanyId, person: &PersonWrite, now: Timestamp) -> StoreResult<()>;

    /// Somebody by e-mail, without regard to case.
    async fn person_by_email(&self, email: &Email) -> StoreResult<Option<PersonRecord>>;

    /// The people of a company, by name.
    async fn people(&self, company: CompanyId) -> StoreResult<Vec<PersonRecord>>;

    /// Changes what somebody is called and may do, if they still have that version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Changed`], [`StoreError::LastOfRole`].
    async fn replace_person(
        &self, company: CompanyId, id: PersonId, version: u64, name: &PersonName, role: Role,
    ) -> StoreResult<()>;

    /// Removes somebody of that version, their sessions and their tokens.
    ///
    /// # Errors
    /// As [`AccessStore::replace_person`].
    async fn delete_person(&self, company: CompanyId, id: PersonId, version: u64) -> StoreResult<()>;

    /// A new password, if the old one still has this hash; ends all of the person's sessions but the one with this hash.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it has not.
    async fn set_password(&self, person: PersonId, old: &str, new: &str, keep: Option<&str>) -> StoreResult<()>;

    /// Replaces what is stored of somebody's one-time passwords, if it still is what was read: so a one-time password or a recovery code
    /// is taken once, whoever else asks at the same time.
    ///
    /// # Errors
    /// [`StoreError::Changed`] (with a version that means nothing).
    async fn set_second_factor(&self, person: PersonId, old: &SecondFactor, new: &SecondFactor) -> StoreResult<()>;

    /// Invites somebody; an earlier invitation of the company for the same address is withdrawn by it.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when somebody has this e-mail address, in whatever company; [`StoreError::Full`].
    async fn create_invitation(&self, hash: &str, invitation: &InvitationRecord, limit: usize) -> StoreResult<()>;

    /// A company's invitations that have not expired, newest first.
    async fn invitations(&self, company: CompanyId, now: Timestamp) -> StoreResult<Vec<InvitationRecord>>;

    /// Withdraws one; [`StoreError::NotFound`].
    async fn delete_invitation(&self, company: CompanyId, id: InvitationId) -> StoreResult<()>;

    /// The invitation behind a link, if it has not expired and its company is not suspended.
    async fn find_invitation(&self, hash: &str, now: Timestamp) -> StoreResult<Option<InvitationRecord>>;

    /// Makes somebody and uses their invitation up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such invitation any more, [`StoreError::NameTaken`].
    async fn accept_invitation(&self, company: CompanyId, hash: &str, person: &PersonWrite, now: Timestamp) -> StoreResult<()>;

    /// All companies, by name.
    async fn company_records(&self) -> StoreResult<Vec<CompanyRecord>>;

    /// Suspends a company or lets it go on, and says when it is to be deleted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn set_company_state(
        &self, company: CompanyId, suspended_at: Option<Timestamp>, delete_after: Option<Timestamp>,
    ) -> StoreResult<()>;

    /// Those whose waiting time is over.
    async fn companies_to_delete(&self, now: Timestamp) -> StoreResult<Vec<(CompanyId, CompanyName)>>;

    /// Deletes everything of a company whose time is over, and the company last; cut off, it can be called again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not to be deleted, or not yet.
    async fn purge_company(&self, company: CompanyId, now: Timestamp) -> StoreResult<()>;

    /// A session, begun from there.
    async fn create_session(
        &self, hash: &str, person: PersonId, now: Timestamp, expires_at: Timestamp, origin: &Origin,
    ) -> StoreResult<()>;

    /// A person's sessions that have not ended, the last used first.
    async fn sessions(&self, person: PersonId, now: Timestamp) -> StoreResult<Vec<SessionRecord>>;

    /// Ends all of a person's sessions but one.
    async fn delete_other_sessions(&self, person: PersonId, keep: &str) -> StoreResult<()>;

    /// Whose session this is, if it has not expired.
    async fn find_session(&self, hash: &str, now: Timestamp) -> StoreResult<Option<Authenticated>>;

    /// Notes the use of a session and when it ends now.
    async fn touch_session(&self, hash: &str, now: Timestamp, expires_at: Timestamp) -> StoreResult<()>;

    /// Ends a session; [`StoreError::NotFound`] where there is none.
    async fn delete_session(&self, hash: &str) -> StoreResult<()>;

    /// Deletes what has expired: sessions, sign-in attempts older than an hour.
    async fn sweep(&self, now: Timestamp) -> StoreResult<()>;

    /// An API token.
    async fn create_token(&self, company: CompanyId, person: PersonId, hash: &str, token: &TokenRecord) -> StoreResult<()>;

    /// Whose token this is.
    async fn find_token(&self, hash: &str) -> StoreResult<Option<Authenticated>>;

    /// Notes the use of a token.
    async fn touch_token(&self, hash: &str, now: Timestamp) -> StoreResult<()>;

    /// A person's tokens, newest first.
    async fn tokens(&self, company: CompanyId, person: PersonId) -> StoreResult<Vec<TokenRecord>>;

    /// Deletes a token of this person; [`StoreError::NotFound`].
    async fn delete_token(&self, company: CompanyId, person: PersonId, id: TokenId) -> StoreResult<()>;

    /// Counts an attempt to sign in before it is judged, so that many at once can't slip through. `Err(wait)` when the
    /// account or the address already has `limit` attempts that failed or are open within `window`; then nothing is counted.
    ///
    /// Two processes may count at the same time: the implementation must not let more than `limit` through.
    async fn begin_sign_in(
        &self, account: &str, address: &str, limit: u16, window: Duration, now: Timestamp,
    ) -> StoreResult<Result<String, Duration>>;

    /// The attempt was right: it no longer counts.
    async fn forget_sign_in(&self, attempt: &str) -> StoreResult<()>;
}

/// The audit log. It is written by the methods that change something (see [`crate::audit::audited`]).
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Writes what is to be written, and nothing else.
    async fn append_audit(&self) -> StoreResult<()>;

    /// How far a company's log is.
    async fn audit_head(&self, company: CompanyId) -> StoreResult<AuditHead>;

    /// The entries from `begin` up to `end`, exclusive, by number.
    async fn audit_entries(&self, company: CompanyId, begin: u64, end: u64) -> StoreResult<Vec<StoredEntry>>;
}

/// Which key sealed this database, and what it sealed.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The identifier of the key that this database is sealed under; `None` in a new database.
    async fn key_id(&self) -> StoreResult<Option<String>>;

    /// Notes the key of a new database; does nothing when one is noted already.
    async fn init_key_id(&self, key_id: &str) -> StoreResult<()>;

    /// Makes `to` the current key if `from` is.
    async fn swap_key_id(&self, from: &str, to: &str) -> StoreResult<()>;

    /// Every sealed value that is not under the key `current`, a bounded number at a time; empty when there is none left.
    async fn sealed_under_other_keys(&self, current: &str) -> StoreResult<Vec<SealedPlace>>;

    /// Replaces a sealed value if it still is the old one.
    async fn reseal(&self, place: &SealedPlace, new: &Sealed) -> StoreResult<()>;
}

/// Where a sealed value stands.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedPlace {
    /// What it is bound to: the associated data it was sealed with. See [`crate::proxies::password_binding`] and
    /// [`crate::integrations::secret_binding`].
    pub binding: String,
    /// The value.
    pub sealed: Sealed,
    /// The company.
    pub company: CompanyId,
    /// Whose secret it is.
    pub owner: SecretOwner,
}

/// Whose secret a sealed value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOwner {
    /// A proxy setting's password.
    Proxy(ProxyId),
    /// An integration's API key.
    ApiKey(IntegrationId),
    /// An integration's second secret.
    ApiPassword(IntegrationId),
    /// The secret of somebody's one-time passwords.
    SecondFactor(PersonId),
}

/// What the test goes through: everything needed to speak to the proxy.
#[derive(Debug, Clone)]
pub struct TestSubject {
    /// The setting; its bypass list is not looked at.
    pub values: ProxyValues,
    /// The password in the clear, for Basic.
    pub password: Option<Secret>,
}

/// The network.
#[async_trait]
pub trait ConnectionTester: Send + Sync {
    /// Walks the way through the proxy to the target and reports. Sends each event as it happens; a receiver that is gone
    /// does not disturb. Never fails and never takes longer than the setting's timeout (plus what scheduling costs).
    async fn test(&self, subject: &TestSubject, target: &TestTarget, events: mpsc::Sender<TestEvent>) -> TestReport;

    /// Whether these certificates can be used for verification.
    ///
    /// # Errors
    /// Which one can't, for the person who pasted it.
    fn check_ca(&self, pem: &gatehouse_domain::CaPem) -> Result<(), String>;
}

/// An integration as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationRecord {
    /// Identifier.
    pub id: IntegrationId,
    /// What was entered.
    pub values: IntegrationValues,
    /// The API key, sealed.
    pub api_key: Option<Sealed>,
    /// The second secret, sealed.
    pub api_password: Option<Sealed>,
    /// Starts at 1 and grows by one with every change of what was entered.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When what was entered was last changed.
    pub updated_at: Timestamp,
    /// The last result of Test Connection.
    pub last_test: Option<IntegrationTest>,
    /// What the tests say about it, `Inactive` left to the reader.
    pub health: Option<Health>,
}

/// What is written when an integration is made or replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationWrite {
    /// What was entered; its proxy choice is the same as `choice`.
    pub values: IntegrationValues,
    /// Its proxy choice.
    pub choice: Choice,
    /// The API key, sealed under the current key; `None`: there is none.
    pub api_key: Option<Sealed>,
    /// The second secret, likewise.
    pub api_password: Option<Sealed>,
}

/// Integrations.
#[async_trait]
pub trait IntegrationStore: Send + Sync {
    /// All of a company, by name. There are at most [`MAX_INTEGRATIONS`].
    async fn integrations(&self, company: CompanyId) -> StoreResult<Vec<IntegrationRecord>>;

    /// One, or [`StoreError::NotFound`].
    async fn integration(&self, company: CompanyId, id: IntegrationId) -> StoreResult<IntegrationRecord>;

    /// Makes one and notes which proxy it uses, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::KeyChanged`]; [`StoreError::NotFound`] when its proxy choice names no setting of
    /// this company; [`StoreError::Full`].
    async fn create_integration(
        &self, company: CompanyId, id: IntegrationId, write: &IntegrationWrite, now: Timestamp,
    ) -> StoreResult<IntegrationRecord>;

    /// Replaces what was entered if the version still is `version`, and notes which proxy it uses now.
    ///
    /// # Errors
    /// Those of [`IntegrationStore::create_integration`], and [`StoreError::Changed`]. That the integration is not there is told as
    /// [`StoreError::Gone`], to tell it from a missing proxy setting.
    async fn replace_integration(
        &self, company: CompanyId, id: IntegrationId, version: u64, write: &IntegrationWrite, now: Timestamp,
    ) -> StoreResult<IntegrationRecord>;

    /// Deletes one and the note of which proxy it uses. With `version`, only if it still has that one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Changed`].
    async fn delete_integration(&self, company: CompanyId, id: IntegrationId, version: Option<u64>) -> StoreResult<()>;

    /// Keeps the result of a test of this version, and how the integration is by it. Does not change its version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not there any more, or has another version by now.
    async fn record_integration_test(
        &self, company: CompanyId, id: IntegrationId, version: u64, result: &IntegrationTest, health: Health,
    ) -> StoreResult<()>;
}

/// How many integrations a company may have.
pub const MAX_INTEGRATIONS: usize = 500;

/// An analysis as it is stored, without its results.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisRecord {
    /// Identifier.
    pub id: AnalysisId,
    /// What it is about.
    pub subject: Subject,
    /// Who asked, by name.
    pub by: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// For a reported e-mail.
    pub email: Option<MailSummary>,
    /// How many look-ups there are.
    pub total: u32,
    /// How far it is.
    pub state: AnalysisState,
}

/// How far an analysis is, and what follows from what was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisState {
    /// Running or done.
    pub status: AnalysisStatus,
    /// Done look-ups.
    pub done: u32,
    /// The worst there is.
    pub verdict: Option<Verdict>,
    /// Somebody did not answer.
    pub incomplete: bool,
    /// Why there can be no verdict.
    pub cause: Option<Cause>,
    /// When the last answer came.
    pub finished_at: Option<Timestamp>,
}

/// Who works on an analysis, and until when nobody else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Told apart from other processes and from earlier turns of this one.
    pub holder: String,
    /// When somebody else may go on.
    pub until: Timestamp,
}

/// An answer that may be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFinding {
    /// What the engine thought.
    pub verdict: Verdict,
    /// Why.
    pub evidence: Vec<Evidence>,
    /// Its page.
    pub link: Option<String>,
}

/// Analyses, and what they need to go on after a restart.
#[async_trait]
pub trait AnalysisStore: Send + Sync {
    /// Makes one with all its results (in their order) and the files that some engine is to be given, in one transaction. With a
    /// lease for whoever begins it; without, for one that is done already.
    async fn create_analysis(
        &self, company: CompanyId, record: &AnalysisRecord, results: &[AnalysisResult], files: &[(String, FileContent)],
        lease: Option<&Lease>,
    ) -> StoreResult<()>;

    /// One with its results in their order, or [`StoreError::NotFound`].
    async fn analysis(&self, company: CompanyId, id: AnalysisId) -> StoreResult<(AnalysisRecord, Vec<AnalysisResult>)>;

    /// A file of a running analysis by its SHA-256 in lower-case hexadecimal.
    async fn analysis_file(&self, company: CompanyId, id: AnalysisId, sha256: &str) -> StoreResult<Option<FileContent>>;

    /// One page, by identifier, that is by when they were begun. `q` is looked for in the subject and the indicators.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    async fn list_analyses(&self, company: CompanyId, query: &AnalysisQuery) -> StoreResult<Page<AnalysisRecord>>;

    /// Writes results by their place and how far the analysis is, and renews the lease, in one transaction. When it is done, its
    /// lease and its files go. `false`, and nothing is written, when somebody else holds the lease by now.
    async fn write_results(
        &self, company: CompanyId, id: AnalysisId, lease: &Lease, results: &[(u32, AnalysisResult)], state: &AnalysisState,
    ) -> StoreResult<bool>;

    /// Running analyses whose lease is over, now held by `lease`: at most `limit`, each by one taker only.
    async fn take_unattended(&self, now: Timestamp, lease: &Lease, limit: u32) -> StoreResult<Vec<(CompanyId, AnalysisId)>>;

    /// An answer that this integration gave for this key (a digest of everything that decides the answer), if it has not expired.
    async fn kept_finding(
        &self, company: CompanyId, integration: IntegrationId, key: &str, now: Timestamp,
    ) -> StoreResult<Option<KeptFinding>>;

    /// Keeps an answer until then.
    async fn keep_finding(
        &self, company: CompanyId, integration: IntegrationId, key: &str, finding: &KeptFinding, until: Timestamp,
    ) -> StoreResult<()>;

    /// Deletes answers that have expired.
    async fn sweep_findings(&self, now: Timestamp) -> StoreResult<()>;
}

/// The platform's own internet traffic.
#[async_trait]
pub trait TrafficStore: Send + Sync {
    /// Writes records, of one or several companies, and adds them to the sums, in one transaction. The identifiers are UUIDs
    /// of version 7, made within a minute of the record's moment: spans of time are ranges of them.
    async fn record_traffic(&self, records: &[(CompanyId, TrafficView)]) -> StoreResult<()>;

    /// One page, newest first: records that [`TrafficQuery::takes`]. `next` may be there although the page is not full, when
    /// many records were looked at in vain.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    async fn traffic(&self, company: CompanyId, query: &TrafficQuery) -> StoreResult<Page<TrafficView>>;

    /// Sums of five minutes each by proxy and cause, from `from` on (inclusive) up to `to` (exclusive), in the order of time.
    async fn traffic_sums(&self, company: CompanyId, from: Timestamp, to: Timestamp) -> StoreResult<Vec<TrafficSum>>;

    /// Deletes records older than `before`, and the oldest beyond `keep` of each company; sums older than `sums_before`; and of
    /// changes of health what [`ChecksStore`] keeps no longer.
    async fn trim_traffic(&self, before: Timestamp, keep: u64, sums_before: Timestamp) -> StoreResult<()>;
}

/// What a company has set about scheduled checks, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChecksRecord {
    /// How often, in minutes; 0: never.
    pub every_minutes: u16,
    /// Who is told of changes.
    pub webhook_url: Option<String>,
    /// Which way that goes.
    pub webhook_choice: Choice,
    /// When the next round is due.
    pub next_at: Option<Timestamp>,
    /// What became of the last message; not written by [`ChecksStore::put_checks`].
    pub last_message: Option<WebhookMessage>,
}

impl Default for ChecksRecord {
    fn default() -> Self {
        Self { every_minutes: 0, webhook_url: None, webhook_choice: Choice::Default, next_at: None, last_message: None }
    }
}

/// Scheduled checks, and changes of health.
#[async_trait]
pub trait ChecksStore: Send + Sync {
    /// What a company has set; the default when it has set nothing.
    async fn checks(&self, company: CompanyId) -> StoreResult<ChecksRecord>;

    /// Sets it, and notes which proxy the webhook uses.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the choice names no setting of this company.
    async fn put_checks(&self, company: CompanyId, record: &ChecksRecord) -> StoreResult<()>;

    /// The turns of [`Work::CHECKS`] of companies whose round is due; when their next one is is set by
    /// [`crate::checks::next_round`] in the same transaction. A company whose round is not over yet waits for its end.
    async fn take_due_checks(&self, now: Timestamp, limit: u32, lease: Duration) -> StoreResult<Vec<Turn>>;

    /// Keeps what became of the last message to the webhook.
    async fn record_webhook_message(&self, company: CompanyId, message: &WebhookMessage) -> StoreResult<()>;

    /// Keeps a change of health.
    async fn record_health_change(&self, company: CompanyId, change: &HealthChange) -> StoreResult<()>;

    /// The last changes, newest first.
    async fn health_changes(&self, company: CompanyId, limit: u32) -> StoreResult<Vec<HealthChange>>;
}

/// A kind of scheduled work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Work(&'static str);

impl Work {
    /// A company's round of checks.
    pub const CHECKS: Self = Self("checks");
    /// Deleting what is kept no longer.
    pub const RETENTION: Self = Self("retention");

    /// Work of this name.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// A turn of scheduled work, held by whoever has this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What is to be done.
    pub work: Work,
    /// For which company; `None`: for all.
    pub company: Option<CompanyId>,
    /// Grows by one with every turn of this work.
    pub number: u64,
    /// When it was first begun, by the database's clock.
    pub begun_at: Timestamp,
    /// Somebody began it before, and was not heard of again.
    pub again: bool,
    /// Told apart from everybody else who took a turn.
    pub holder: String,
}

/// Whose turn scheduled work is. All processes ask; each turn is had by one of them at a time, and once it is ended by nobody any
/// more. The database's clock counts.
#[async_trait]
pub trait TurnStore: Send + Sync {
    /// The turn of the span of `every` that is now, for `lease`; `None` when somebody has it, or had it. One that was begun and neither
    /// renewed nor ended within its lease comes first.
    async fn take_turn(&self, work: Work, every: Duration, lease: Duration) -> StoreResult<Option<Turn>>;

    /// Turns, of any company, that were begun and neither renewed nor ended within their lease: at most `limit`, each by one taker.
    async fn take_over(&self, work: Work, limit: u32, lease: Duration) -> StoreResult<Vec<Turn>>;

    /// Holds it for `lease` from now on. `false` when somebody else has it by now.
    async fn renew_turn(&self, turn: &Turn, lease: Duration) -> StoreResult<bool>;

    /// It is done. `false` when somebody else has it by now.
    async fn end_turn(&self, turn: &Turn) -> StoreResult<bool>;
}

/// What a company's gateways go by, as it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewayRecord {
    /// The policy in TOML; `None`: there is none yet.
    pub text: Option<String>,
    /// 0 while there is no policy; grows by one with every change of it.
    pub version: u64,
    /// Grows by one with every change of anything that stands here.
    pub revision: u64,
    /// When the policy was last changed.
    pub changed_at: Option<Timestamp>,
    /// Who did, by name.
    pub changed_by: Option<String>,
    /// Who can sign in at the gateways, by name.
    pub people: Vec<GatewayPersonRecord>,
    /// The company's proxy settings, which the policy may name as ways out, by name. Who uses them is not told here.
    pub proxies: Vec<ProxyRecord>,
}

/// A policy to be stored.
#[derive(Debug, Clone)]
pub struct GatewayPolicyWrite<'a> {
    /// In TOML.
    pub text: &'a str,
    /// Who stores it, by name.
    pub by: &'a str,
    /// What it uses.
    pub uses: Vec<GatewayUse>,
}

/// A way out of the gateways that leads through a proxy setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUse {
    /// The name of the egress.
    pub egress: String,
    /// Through which.
    pub proxy: ProxyId,
    /// The folded name by which the policy knows it: one that was renamed meanwhile is another one for it.
    pub name_key: String,
}

/// Somebody who can sign in at the company's gateways.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayPersonRecord {
    /// Identifier.
    pub id: GatewayPersonId,
    /// The user name.
    pub name: GatewayUserName,
    /// The argon2id hash of the password, in PHC form.
    pub password_hash: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Starts at 1 and grows by one with every change.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What gateways go by.
#[async_trait]
pub trait GatewayStore: Send + Sync {
    /// All of it, as it stood at one moment.
    async fn gateway(&self, company: CompanyId) -> StoreResult<GatewayRecord>;

    /// Replaces the policy, and which proxy settings it uses, if nothing has changed since this revision. A setting that is used can't
    /// be deleted, and a change of it is one of what stands here.
    ///
    /// # Errors
    /// [`StoreError::Changed`] with the revision it has now; [`StoreError::NotFound`] when there is no such company;
    /// [`StoreError::Gone`] when there is no such proxy setting.
    async fn put_gateway_policy(
        &self, company: CompanyId, revision: u64, policy: &GatewayPolicyWrite<'_>, now: Timestamp,
    ) -> StoreResult<GatewayRecord>;

    /// The revision alone: for whoever looks whether there is anything new.
    async fn gateway_revision(&self, company: CompanyId) -> StoreResult<u64>;

    /// Makes or replaces somebody who can sign in, if nothing has changed since this revision.
    ///
    /// # Errors
    /// [`StoreError::Changed`] with the revision it has now; [`StoreError::NameTaken`]; [`StoreError::NotFound`] when there is no such
    /// company, or the person is another company's.
    async fn put_gateway_person(&self, company: CompanyId, revision: u64, person: &GatewayPersonRecord) -> StoreResult<()>;

    /// Deletes somebody, if nothing has changed since this revision.
    ///
    /// # Errors
    /// [`StoreError::Changed`] with the revision it has now; [`StoreError::NotFound`].
    async fn delete_gateway_person(&self, company: CompanyId, revision: u64, id: GatewayPersonId) -> StoreResult<()>;

    /// Says that something of it may have changed, soon after it has, whoever did it. Ends when it can't say so any more: then ask
    /// anew. A change may go untold; whoever must not miss one looks every now and then besides.
    async fn watch_gateway(&self, company: CompanyId) -> StoreResult<mpsc::Receiver<()>>;
}
