//! What the door needs of a store: one proxy setting, which is the default, and a list of traffic records.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gatehouse_domain::{
    Health, LastTest, Page, ProxyForm, ProxyQuery, SecretInput, Timestamp, TrafficQuery, TrafficSum, TrafficView, UsedBy,
};
use gatehouse_platform::{
    CompanyId, KeyRing, ProxyId,
    ports::{ProxyRecord, ProxyStore, ProxyWrite, StoreError, StoreResult, TestSlot, TrafficStore},
    proxies::password_binding,
};

/// The name of the proxy setting.
pub const NAME: &str = "Corp-EU";

pub struct Store {
    pub company: CompanyId,
    pub keys: KeyRing,
    _folder: tempfile::TempDir,
    id: ProxyId,
    state: Mutex<(ProxyRecord, u64)>,
    traffic: Mutex<Vec<TrafficView>>,
}

impl Store {
    pub fn new(form: &ProxyForm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyRing::create(&folder.path().join("key")).unwrap();
        let (company, id) = (CompanyId::new(), ProxyId::new());
        let record = record(&keys, company, id, form, 1);
        Self { company, keys, _folder: folder, id, state: Mutex::new((record, 1)), traffic: Mutex::default() }
    }

    /// Changes the proxy setting.
    pub fn replace(&self, form: &ProxyForm) {
        let mut state = self.state.lock().unwrap();
        let version = state.1 + 1;
        *state = (record(&self.keys, self.company, self.id, form, version), version);
    }

    /// The traffic records, once there are this many; the door writes them in the background.
    pub async fn records(&self, at_least: usize) -> Vec<TrafficView> {
        let begun = Instant::now();
        while self.traffic.lock().unwrap().len() < at_least && begun.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.traffic.lock().unwrap().clone()
    }
}

fn record(keys: &KeyRing, company: CompanyId, id: ProxyId, form: &ProxyForm, version: u64) -> ProxyRecord {
    let values = form.parse(false).unwrap();
    let SecretInput::Set(password) = &form.password else { panic!("there is a password") };
    let password = Some(keys.seal(password, &password_binding(company, id, &values)).unwrap());
    ProxyRecord {
        id,
        values,
        password,
        is_default: true,
        version,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        last_test: None,
        health: None,
        used_by: Vec::new(),
    }
}

fn not_here<T>() -> StoreResult<T> {
    Err(StoreError::Internal("the replay does not need it".into()))
}

#[async_trait]
impl ProxyStore for Store {
    async fn list_proxies(&self, _: CompanyId, _: &ProxyQuery) -> StoreResult<Page<ProxyRecord>> {
        not_here()
    }

    async fn proxy(&self, company: CompanyId, id: ProxyId) -> StoreResult<ProxyRecord> {
        if (company, id) == (self.company, self.id) {
            Ok(self.state.lock().unwrap().0.clone())
        } else {
            Err(StoreError::NotFound)
        }
    }

    async fn create_proxy(&self, _: CompanyId, _: ProxyId, _: &ProxyWrite, _: Timestamp) -> StoreResult<ProxyRecord> {
        not_here()
    }

    async fn replace_proxy(&self, _: CompanyId, _: ProxyId, _: u64, _: &ProxyWrite, _: Timestamp) -> StoreResult<ProxyRecord> {
        not_here()
    }

    async fn delete_proxy(&self, _: CompanyId, _: ProxyId, _: Option<u64>) -> StoreResult<()> {
        not_here()
    }

    async fn set_default_proxy(&self, _: CompanyId, _: Option<ProxyId>) -> StoreResult<()> {
        not_here()
    }

    async fn record_proxy_test(&self, _: CompanyId, _: ProxyId, _: &LastTest, _: Health) -> StoreResult<()> {
        not_here()
    }

    async fn take_test_slot(&self, _: CompanyId, _: u8, _: Duration, _: Timestamp) -> StoreResult<Result<TestSlot, Duration>> {
        not_here()
    }

    async fn release_test_slot(&self, _: &TestSlot) -> StoreResult<()> {
        not_here()
    }

    async fn uses_of_default(&self, _: CompanyId) -> StoreResult<Vec<UsedBy>> {
        Ok(Vec::new())
    }

    fn proxies_generation(&self) -> Option<u64> {
        Some(self.state.lock().unwrap().1)
    }

    async fn default_proxy(&self, company: CompanyId) -> StoreResult<Option<ProxyRecord>> {
        Ok((company == self.company).then(|| self.state.lock().unwrap().0.clone()))
    }
}

#[async_trait]
impl TrafficStore for Store {
    async fn record_traffic(&self, records: &[(CompanyId, TrafficView)]) -> StoreResult<()> {
        self.traffic.lock().unwrap().extend(records.iter().map(|(_, record)| record.clone()));
        Ok(())
    }

    async fn traffic(&self, _: CompanyId, _: &TrafficQuery) -> StoreResult<Page<TrafficView>> {
        not_here()
    }

    async fn traffic_sums(&self, _: CompanyId, _: Timestamp, _: Timestamp) -> StoreResult<Vec<TrafficSum>> {
        not_here()
    }

    async fn trim_traffic(&self, _: Timestamp, _: u64, _: Timestamp) -> StoreResult<()> {
        not_here()
    }
}
