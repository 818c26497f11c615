//! The platform's ports, each method by the query of the same name.

use std::time::Duration;

use async_trait::async_trait;
use gatehouse_domain::{CompanyName, Email, LastTest, Page, ProxyQuery, Timestamp};
use gatehouse_platform::{
    CompanyId, PersonId, ProxyId, Sealed, TokenId,
    ports::{
        AccessStore, Authenticated, KeyStore, PersonRecord, PersonWrite, ProxyRecord, ProxyStore, ProxyWrite, SealedPlace,
        StoreResult, TestSlot, TokenRecord,
    },
    proxies::password_binding,
};

use crate::Store;

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

    async fn record_proxy_test(&self, company: CompanyId, id: ProxyId, result: &LastTest) -> StoreResult<()> {
        self.record_proxy_test(company, id, result).await
    }

    async fn take_test_slot(
        &self, company: CompanyId, limit: u8, lease: Duration, now: Timestamp,
    ) -> StoreResult<Result<TestSlot, Duration>> {
        self.take_test_slot(company, limit, lease, now).await
    }

    async fn release_test_slot(&self, slot: &TestSlot) -> StoreResult<()> {
        self.release_test_slot(slot).await
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

    async fn create_session(&self, hash: &str, person: PersonId, now: Timestamp, expires_at: Timestamp) -> StoreResult<()> {
        self.create_session(hash, person, now, expires_at).await
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
        let found = self.proxies_under_other_keys(current).await?;
        let place = |(company, record): (CompanyId, ProxyRecord)| {
            let binding = password_binding(company, record.id, &record.values);
            record.password.map(|sealed| SealedPlace { binding, sealed, company, proxy: record.id })
        };
        Ok(found.into_iter().filter_map(place).collect())
    }

    async fn reseal(&self, place: &SealedPlace, new: &Sealed) -> StoreResult<()> {
        self.reseal_proxy(place.company, place.proxy, &place.sealed, new).await
    }
}
