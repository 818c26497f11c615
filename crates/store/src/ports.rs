//! The platform's ports, each method by the query of the same name.

use std::time::Duration;

use async_trait::async_trait;
use gatehouse_domain::{
    AnalysisQuery, AnalysisResult, CompanyName, Email, Health, HealthChange, IntegrationTest, LastTest, Page, PersonName,
    ProxyQuery, Role, Timestamp, TrafficQuery, TrafficSum, TrafficView, UsedBy, WebhookMessage,
};
use gatehouse_platform::{
    AnalysisId, CompanyId, FileContent, GatewayPersonId, IntegrationId, InvitationId, Origin, PersonId, ProxyId, Sealed, TokenId,
    account::second_factor_binding,
    audit::{AuditHead, StoredEntry},
    integrations::{IntegrationSecret, secret_binding},
    ports::{
        AccessStore, AnalysisRecord, AnalysisState, AnalysisStore, AuditStore, Authenticated, ChecksRecord, ChecksStore,
        CompanyRecord, GatewayPersonRecord, GatewayPolicyWrite, GatewayRecord, GatewayStore, IntegrationRecord, IntegrationStore,
        IntegrationWrite, InvitationRecord, KeptFinding, KeyStore, Lease, PersonRecord, PersonWrite, ProxyRecord, ProxyStore,
        ProxyWrite, SealedPlace, SecondFactor, SecretOwner, SessionRecord, StoreResult, TestSlot, TokenRecord, TrafficStore,
        Turn, TurnStore, Work,
    },
    proxies::password_binding,
};

use tokio::sync::mpsc;

use crate::{Store, connection::Scope};

#[async_trait]
impl ProxyStore for Store {
    async fn list_proxies(&self, company: CompanyId, query: &ProxyQuery) -> StoreResult<Page<ProxyRecord>> {
        self.list_proxies(company, query).await
    }

    async fn proxy(&self, company: CompanyId, id: ProxyId) -> StoreResult<ProxyRecord> {
        self.proxy(company, id).await
    }

    async fn create_proxy(
        &self, company: CompanyId, id: ProxyId, write: &ProxyWrite, now: Timestamp,
    ) -> StoreResult<ProxyRecord> {
        self.create_proxy(company, id, write, now).await
    }

    async fn replace_proxy(
        &self, company: CompanyId, id: ProxyId, version: u64, write: &ProxyWrite, now: Timestamp,
    ) -> StoreResult<ProxyRecord> {
        self.replace_proxy(company, id, version, write, now).await
    }

    async fn delete_proxy(&self, company: CompanyId, id: ProxyId, version: Option<u64>) -> StoreResult<()> {
        self.delete_proxy(company, id, version).await
    }

    async fn set_default_proxy(&self, company: CompanyId, id: Option<ProxyId>) -> StoreResult<()> {
        self.set_default_proxy(company, id).await
    }

    async fn record_proxy_test(&self, company: CompanyId, id: ProxyId, result: &LastTest, health: Health) -> StoreResult<()> {
        self.record_proxy_test(company, id, result, health).await
    }

    async fn take_test_slot(
        &self, company: CompanyId, limit: u8, lease: Duration, now: Timestamp,
    ) -> StoreResult<Result<TestSlot, Duration>> {
        self.take_test_slot(company, limit, lease, now).await
    }

    async fn release_test_slot(&self, slot: &TestSlot) -> StoreResult<()> {
        self.release_test_slot(slot).await
    }

    fn proxies_generation(&self) -> Option<u64> {
        self.connection.generation(Scope::Proxies)
    }

    async fn uses_of_default(&self, company: CompanyId) -> StoreResult<Vec<UsedBy>> {
        self.uses_of_default(company).await
    }

    async fn default_proxy(&self, company: CompanyId) -> StoreResult<Option<ProxyRecord>> {
        self.default_proxy(company).await
    }
}

#[async_trait]
impl AccessStore for Store {
    async fn is_empty(&self) -> StoreResult<bool> {
        self.is_empty().await
    }

    async fn put_setup_link(&self, hash: &str, expires_at: Timestamp) -> StoreResult<()> {
        self.put_setup_link(hash, expires_at).await
    }

    async fn is_setup_link(&self, hash: &str, now: Timestamp) -> StoreResult<bool> {
        self.is_setup_link(hash, now).await
    }

    async fn create_first_company(
        &self, link: Option<&str>, company: CompanyId, name: &CompanyName, owner: &PersonWrite, now: Timestamp,
    ) -> StoreResult<()> {
        self.create_first_company(link, company, name, owner, now).await
    }

    async fn create_company(&self, company: CompanyId, name: &CompanyName, now: Timestamp) -> StoreResult<()> {
        self.create_company(company, name, now).await
    }

    async fn company_by_name(&self, name: &CompanyName) -> StoreResult<Option<CompanyId>> {
        self.company_by_name(name).await
    }

    async fn companies(&self) -> StoreResult<Vec<(CompanyId, CompanyName)>> {
        self.companies().await
    }

    async fn create_person(&self, company: CompanyId, person: &PersonWrite, now: Timestamp) -> StoreResult<()> {
        self.create_person(company, person, now).await
    }

    async fn person_by_email(&self, email: &Email) -> StoreResult<Option<PersonRecord>> {
        self.person_by_email(email).await
    }

    async fn people(&self, company: CompanyId) -> StoreResult<Vec<PersonRecord>> {
        self.people(company).await
    }

    async fn replace_person(
        &self, company: CompanyId, id: PersonId, version: u64, name: &PersonName, role: Role,
    ) -> StoreResult<()> {
        self.replace_person(company, id, version, name, role).await
    }

    async fn delete_person(&self, company: CompanyId, id: PersonId, version: u64) -> StoreResult<()> {
        self.delete_person(company, id, version).await
    }

    async fn set_password(&self, person: PersonId, old: &str, new: &str, keep: Option<&str>) -> StoreResult<()> {
        self.set_password(person, old, new, keep).await
    }

    async fn set_second_factor(&self, person: PersonId, old: &SecondFactor, new: &SecondFactor) -> StoreResult<()> {
        self.set_second_factor(person, old, new).await
    }

    async fn create_invitation(&self, hash: &str, invitation: &InvitationRecord, limit: usize) -> StoreResult<()> {
        self.create_invitation(hash, invitation, limit).await
    }

    async fn invitations(&self, company: CompanyId, now: Timestamp) -> StoreResult<Vec<InvitationRecord>> {
        self.invitations(company, now).await
    }

    async fn delete_invitation(&self, company: CompanyId, id: InvitationId) -> StoreResult<()> {
        self.delete_invitation(company, id).await
    }

    async fn find_invitation(&self, hash: &str, now: Timestamp) -> StoreResult<Option<InvitationRecord>> {
        self.find_invitation(hash, now).await
    }

    async fn accept_invitation(&self, company: CompanyId, hash: &str, person: &PersonWrite, now: Timestamp) -> StoreResult<()> {
        self.accept_invitation(company, hash, person, now).await
    }

    async fn company_records(&self) -> StoreResult<Vec<CompanyRecord>> {
        self.company_records().await
    }

    async fn set_company_state(
        &self, company: CompanyId, suspended_at: Option<Timestamp>, delete_after: Option<Timestamp>,
    ) -> StoreResult<()> {
        self.set_company_state(company, suspended_at, delete_after).await
    }

    async fn companies_to_delete(&self, now: Timestamp) -> StoreResult<Vec<(CompanyId, CompanyName)>> {
        self.companies_to_delete(now).await
    }

    async fn purge_company(&self, company: CompanyId, now: Timestamp) -> StoreResult<()> {
        self.purge_company(company, now).await
    }

    async fn create_session(
        &self, hash: &str, person: PersonId, now: Timestamp, expires_at: Timestamp, origin: &Origin,
    ) -> StoreResult<()> {
        self.create_session(hash, person, now, expires_at, origin).await
    }

    async fn sessions(&self, person: PersonId, now: Timestamp) -> StoreResult<Vec<SessionRecord>> {
        self.sessions(person, now).await
    }

    async fn delete_other_sessions(&self, person: PersonId, keep: &str) -> StoreResult<()> {
        self.delete_other_sessions(person, keep).await
    }

    async fn find_session(&self, hash: &str, now: Timestamp) -> StoreResult<Option<Authenticated>> {
        self.find_session(hash, now).await
    }

    async fn touch_session(&self, hash: &str, now: Timestamp, expires_at: Timestamp) -> StoreResult<()> {
        self.touch_session(hash, now, expires_at).await
    }

    async fn delete_session(&self, hash: &str) -> StoreResult<()> {
        self.delete_session(hash).await
    }

    async fn sweep(&self, now: Timestamp) -> StoreResult<()> {
        self.sweep(now).await
    }

    async fn create_token(&self, company: CompanyId, person: PersonId, hash: &str, token: &TokenRecord) -> StoreResult<()> {
        self.create_token(company, person, hash, token).await
    }

    async fn find_token(&self, hash: &str) -> StoreResult<Option<Authenticated>> {
        self.find_token(hash).await
    }

    async fn touch_token(&self, hash: &str, now: Timestamp) -> StoreResult<()> {
        self.touch_token(hash, now).await
    }

    async fn tokens(&self, company: CompanyId, person: PersonId) -> StoreResult<Vec<TokenRecord>> {
        self.tokens(company, person).await
    }

    async fn delete_token(&self, company: CompanyId, person: PersonId, id: TokenId) -> StoreResult<()> {
        self.delete_token(company, person, id).await
    }

    async fn begin_sign_in(
        &self, account: &str, address: &str, limit: u16, window: Duration, now: Timestamp,
    ) -> StoreResult<Result<String, Duration>> {
        self.begin_sign_in(account, address, limit, window, now).await
    }

    async fn forget_sign_in(&self, attempt: &str) -> StoreResult<()> {
        self.forget_sign_in(attempt).await
    }
}

#[async_trait]
impl AuditStore for Store {
    async fn append_audit(&self) -> StoreResult<()> {
        self.append_audit().await
    }

    async fn audit_head(&self, company: CompanyId) -> StoreResult<AuditHead> {
        self.audit_head(company).await
    }

    async fn audit_entries(&self, company: CompanyId, begin: u64, end: u64) -> StoreResult<Vec<StoredEntry>> {
        self.audit_entries(company, begin, end).await
    }
}

#[async_trait]
impl KeyStore for Store {
    async fn key_id(&self) -> StoreResult<Option<String>> {
        self.key_id().await
    }

    async fn init_key_id(&self, key_id: &str) -> StoreResult<()> {
        self.init_key_id(key_id).await
    }

    async fn swap_key_id(&self, from: &str, to: &str) -> StoreResult<()> {
        self.swap_key_id(from, to).await
    }

    async fn sealed_under_other_keys(&self, current: &str) -> StoreResult<Vec<SealedPlace>> {
        let proxies = self.proxies_under_other_keys(current).await?.into_iter().filter_map(|(company, record)| {
            let binding = password_binding(company, record.id, &record.values);
            record.password.map(|sealed| SealedPlace { binding, sealed, company, owner: SecretOwner::Proxy(record.id) })
        });
        let integrations =
            self.integrations_under_other_keys(current).await?.into_iter().map(|(company, owner, sealed, record)| {
                let which = match owner {
                    SecretOwner::ApiPassword(_) => IntegrationSecret::ApiPassword,
                    SecretOwner::ApiKey(_) | SecretOwner::Proxy(_) | SecretOwner::SecondFactor(_) => IntegrationSecret::ApiKey,
                };
                let binding = secret_binding(company, record.id, which, &record.values);
                SealedPlace { binding, sealed, company, owner }
            });
        let factors = self.second_factors_under_other_keys(current).await?.into_iter().map(|(company, person, sealed)| {
            let binding = second_factor_binding(company, person);
            SealedPlace { binding, sealed, company, owner: SecretOwner::SecondFactor(person) }
        });
        Ok(proxies.chain(integrations).chain(factors).collect())
    }

    async fn reseal(&self, place: &SealedPlace, new: &Sealed) -> StoreResult<()> {
        let SealedPlace { binding: _, sealed, company, owner } = place;
        match *owner {
            SecretOwner::Proxy(id) => self.reseal_proxy(*company, id, sealed, new).await,
            SecretOwner::ApiKey(id) => self.reseal_api_key(*company, id, sealed, new).await,
            SecretOwner::ApiPassword(id) => self.reseal_api_password(*company, id, sealed, new).await,
            SecretOwner::SecondFactor(id) => self.reseal_second_factor(id, sealed, new).await,
        }
    }
}

#[async_trait]
impl IntegrationStore for Store {
    async fn integrations(&self, company: CompanyId) -> StoreResult<Vec<IntegrationRecord>> {
        self.integrations(company).await
    }

    async fn integration(&self, company: CompanyId, id: IntegrationId) -> StoreResult<IntegrationRecord> {
        self.integration(company, id).await
    }

    async fn create_integration(
        &self, company: CompanyId, id: IntegrationId, write: &IntegrationWrite, now: Timestamp,
    ) -> StoreResult<IntegrationRecord> {
        self.create_integration(company, id, write, now).await
    }

    async fn replace_integration(
        &self, company: CompanyId, id: IntegrationId, version: u64, write: &IntegrationWrite, now: Timestamp,
    ) -> StoreResult<IntegrationRecord> {
        self.replace_integration(company, id, version, write, now).await
    }

    async fn delete_integration(&self, company: CompanyId, id: IntegrationId, version: Option<u64>) -> StoreResult<()> {
        self.delete_integration(company, id, version).await
    }

    async fn record_integration_test(
        &self, company: CompanyId, id: IntegrationId, version: u64, result: &IntegrationTest, health: Health,
    ) -> StoreResult<()> {
        self.record_integration_test(company, id, version, result, health).await
    }
}

#[async_trait]
impl AnalysisStore for Store {
    async fn create_analysis(
        &self, company: CompanyId, record: &AnalysisRecord, results: &[AnalysisResult], files: &[(String, FileContent)],
        lease: Option<&Lease>,
    ) -> StoreResult<()> {
        self.create_analysis(company, record, results, files, lease).await
    }

    async fn analysis(&self, company: CompanyId, id: AnalysisId) -> StoreResult<(AnalysisRecord, Vec<AnalysisResult>)> {
        self.analysis(company, id).await
    }

    async fn analysis_file(&self, company: CompanyId, id: AnalysisId, sha256: &str) -> StoreResult<Option<FileContent>> {
        self.analysis_file(company, id, sha256).await
    }

    async fn list_analyses(&self, company: CompanyId, query: &AnalysisQuery) -> StoreResult<Page<AnalysisRecord>> {
        self.list_analyses(company, query).await
    }

    async fn write_results(
        &self, company: CompanyId, id: AnalysisId, lease: &Lease, results: &[(u32, AnalysisResult)], state: &AnalysisState,
    ) -> StoreResult<bool> {
        self.write_results(company, id, lease, results, state).await
    }

    async fn take_unattended(&self, now: Timestamp, lease: &Lease, limit: u32) -> StoreResult<Vec<(CompanyId, AnalysisId)>> {
        self.take_unattended(now, lease, limit).await
    }

    async fn kept_finding(
        &self, company: CompanyId, integration: IntegrationId, key: &str, now: Timestamp,
    ) -> StoreResult<Option<KeptFinding>> {
        self.kept_finding(company, integration, key, now).await
    }

    async fn keep_finding(
        &self, company: CompanyId, integration: IntegrationId, key: &str, finding: &KeptFinding, until: Timestamp,
    ) -> StoreResult<()> {
        self.keep_finding(company, integration, key, finding, until).await
    }

    async fn sweep_findings(&self, now: Timestamp) -> StoreResult<()> {
        self.sweep_findings(now).await
    }
}

#[async_trait]
impl TrafficStore for Store {
    async fn record_traffic(&self, records: &[(CompanyId, TrafficView)]) -> StoreResult<()> {
        self.record_traffic(records).await
    }

    async fn traffic(&self, company: CompanyId, query: &TrafficQuery) -> StoreResult<Page<TrafficView>> {
        self.traffic(company, query).await
    }

    async fn traffic_sums(&self, company: CompanyId, from: Timestamp, to: Timestamp) -> StoreResult<Vec<TrafficSum>> {
        self.traffic_sums(company, from, to).await
    }

    async fn trim_traffic(&self, before: Timestamp, keep: u64, sums_before: Timestamp) -> StoreResult<()> {
        self.trim_traffic(before, keep, sums_before).await
    }
}

#[async_trait]
impl ChecksStore for Store {
    async fn checks(&self, company: CompanyId) -> StoreResult<ChecksRecord> {
        self.checks(company).await
    }

    async fn put_checks(&self, company: CompanyId, record: &ChecksRecord) -> StoreResult<()> {
        self.put_checks(company, record).await
    }

    async fn take_due_checks(&self, now: Timestamp, limit: u32, lease: Duration) -> StoreResult<Vec<Turn>> {
        self.take_due_checks(now, limit, lease).await
    }

    async fn record_webhook_message(&self, company: CompanyId, message: &WebhookMessage) -> StoreResult<()> {
        self.record_webhook_message(company, message).await
    }

    async fn record_health_change(&self, company: CompanyId, change: &HealthChange) -> StoreResult<()> {
        self.record_health_change(company, change).await
    }

    async fn health_changes(&self, company: CompanyId, limit: u32) -> StoreResult<Vec<HealthChange>> {
        self.health_changes(company, limit).await
    }
}

#[async_trait]
impl TurnStore for Store {
    async fn take_turn(&self, work: Work, every: Duration, lease: Duration) -> StoreResult<Option<Turn>> {
        self.take_turn(work, every, lease).await
    }

    async fn take_over(&self, work: Work, limit: u32, lease: Duration) -> StoreResult<Vec<Turn>> {
        self.take_over(work, limit, lease).await
    }

    async fn renew_turn(&self, turn: &Turn, lease: Duration) -> StoreResult<bool> {
        self.renew_turn(turn, lease).await
    }

    async fn end_turn(&self, turn: &Turn) -> StoreResult<bool> {
        self.end_turn(turn).await
    }
}

#[async_trait]
impl GatewayStore for Store {
    async fn gateway(&self, company: CompanyId) -> StoreResult<GatewayRecord> {
        self.gateway(company).await
    }

    async fn put_gateway_policy(
        &self, company: CompanyId, revision: u64, policy: &GatewayPolicyWrite<'_>, now: Timestamp,
    ) -> StoreResult<GatewayRecord> {
        self.put_gateway_policy(company, revision, policy, now).await
    }

    async fn gateway_revision(&self, company: CompanyId) -> StoreResult<u64> {
        self.gateway_revision(company).await
    }

    async fn put_gateway_person(&self, company: CompanyId, revision: u64, person: &GatewayPersonRecord) -> StoreResult<()> {
        self.put_gateway_person(company, revision, person).await
    }

    async fn delete_gateway_person(&self, company: CompanyId, revision: u64, id: GatewayPersonId) -> StoreResult<()> {
        self.delete_gateway_person(company, revision, id).await
    }

    async fn watch_gateway(&self, company: CompanyId) -> StoreResult<mpsc::Receiver<()>> {
        self.watch_gateway(company).await
    }
}
