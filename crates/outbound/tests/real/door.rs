//! A company with proxy settings in memory, and its door.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use gatehouse_domain::{
    CaPem, Consumer, Health, LastTest, Page, ProxyForm, ProxyQuery, Route, Secret, SecretInput, TestTarget, Timestamp,
    TrafficQuery, TrafficSum, TrafficView, UsedBy,
};
use gatehouse_outbound::{AddressPolicy, OutDoor};
use gatehouse_platform::{
    Asker, Choice, CompanyId, Door as _, KeyRing, OutAnswer, OutError, OutRequest, ProxyId, Retry,
    door::Recorded,
    ports::{ProxyRecord, ProxyStore, ProxyWrite, StoreError, StoreResult, TestSlot, TrafficStore},
    proxies::password_binding,
};

use crate::ask::Ask;

/// What a database would hold.
#[derive(Default)]
pub struct Store {
    proxies: Mutex<Vec<(CompanyId, ProxyRecord)>>,
    generation: AtomicU64,
    /// Other processes write too: nothing may be kept.
    pub shared: AtomicBool,
    /// Writing records fails.
    pub broken: AtomicBool,
    /// Each commit takes so many milliseconds.
    pub slow: AtomicU64,
    pub reads: AtomicU64,
    pub commits: AtomicU64,
    records: Mutex<Vec<(CompanyId, TrafficView)>>,
}

impl Store {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<(CompanyId, ProxyRecord)>) -> T) -> T {
        let mut proxies = self.proxies.lock().unwrap();
        let result = change(&mut proxies);
        self.generation.fetch_add(1, Ordering::SeqCst);
        result
    }
}

#[async_trait]
impl ProxyStore for Store {
    async fn proxy(&self, company: CompanyId, id: ProxyId) -> StoreResult<ProxyRecord> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let proxies = self.proxies.lock().unwrap();
        proxies.iter().find(|(c, p)| *c == company && p.id == id).map(|(_, p)| p.clone()).ok_or(StoreError::NotFound)
    }

    async fn uses_of_default(&self, _: CompanyId) -> StoreResult<Vec<UsedBy>> {
        Ok(Vec::new())
    }

    fn proxies_generation(&self) -> Option<u64> {
        (!self.shared.load(Ordering::SeqCst)).then(|| self.generation.load(Ordering::SeqCst))
    }

    async fn default_proxy(&self, company: CompanyId) -> StoreResult<Option<ProxyRecord>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let proxies = self.proxies.lock().unwrap();
        Ok(proxies.iter().find(|(c, p)| *c == company && p.is_default).map(|(_, p)| p.clone()))
    }

    async fn set_default_proxy(&self, company: CompanyId, id: Option<ProxyId>) -> StoreResult<()> {
        self.change(|proxies| {
            for (_, proxy) in proxies.iter_mut().filter(|(c, _)| *c == company) {
                proxy.is_default = Some(proxy.id) == id;
            }
        });
        Ok(())
    }

    async fn list_proxies(&self, _: CompanyId, _: &ProxyQuery) -> StoreResult<Page<ProxyRecord>> {
        unimplemented!()
    }

    async fn create_proxy(&self, _: CompanyId, _: ProxyId, _: &ProxyWrite, _: Timestamp) -> StoreResult<ProxyRecord> {
        unimplemented!()
    }

    async fn replace_proxy(&self, _: CompanyId, _: ProxyId, _: u64, _: &ProxyWrite, _: Timestamp) -> StoreResult<ProxyRecord> {
        unimplemented!()
    }

    async fn delete_proxy(&self, company: CompanyId, id: ProxyId, _: Option<u64>) -> StoreResult<()> {
        self.change(|proxies| proxies.retain(|(c, p)| *c != company || p.id != id));
        Ok(())
    }

    async fn record_proxy_test(&self, _: CompanyId, _: ProxyId, _: &LastTest, _: Health) -> StoreResult<()> {
        unimplemented!()
    }

    async fn take_test_slot(&self, _: CompanyId, _: u8, _: Duration, _: Timestamp) -> StoreResult<Result<TestSlot, Duration>> {
        unimplemented!()
    }

    async fn release_test_slot(&self, _: &TestSlot) -> StoreResult<()> {
        unimplemented!()
    }
}

#[async_trait]
impl TrafficStore for Store {
    async fn record_traffic(&self, records: &[(CompanyId, TrafficView)]) -> StoreResult<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("out of order".into()));
        }
        tokio::time::sleep(Duration::from_millis(self.slow.load(Ordering::SeqCst))).await;
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.records.lock().unwrap().extend_from_slice(records);
        Ok(())
    }

    async fn traffic(&self, _: CompanyId, _: &TrafficQuery) -> StoreResult<Page<TrafficView>> {
        unimplemented!()
    }

    async fn traffic_sums(&self, _: CompanyId, _: Timestamp, _: Timestamp) -> StoreResult<Vec<TrafficSum>> {
        unimplemented!()
    }

    async fn trim_traffic(&self, _: Timestamp, _: u64, _: Timestamp) -> StoreResult<()> {
        unimplemented!()
    }
}

/// A company and its door.
#[derive(Clone)]
pub struct House {
    pub store: Arc<Store>,
    pub door: OutDoor,
    pub company: CompanyId,
    keys: KeyRing,
    _folder: Arc<tempfile::TempDir>,
}

impl House {
    pub fn new() -> Self {
        Self::with(AddressPolicy::AllowAll)
    }

    pub fn with(policy: AddressPolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyRing::create(&folder.path().join("key")).unwrap();
        let store = Arc::new(Store::default());
        let door = OutDoor::new(store.clone(), keys.clone(), policy);
        Self { store, door, company: CompanyId::new(), keys, _folder: Arc::new(folder) }
    }

    /// Another company behind the same door.
    pub fn neighbour(&self) -> Self {
        Self { company: CompanyId::new(), ..self.clone() }
    }

    fn record(&self, id: ProxyId, version: u64, name: &str, ask: &Ask, bypass: &str) -> ProxyRecord {
        let form = ProxyForm { name: name.into(), bypass: bypass.into(), ..ask.form.clone() };
        let values = form.parse(true).unwrap();
        let password = match &form.password {
            SecretInput::Set(secret) => Some(self.keys.seal(secret, &password_binding(self.company, id, &values)).unwrap()),
            _ => None,
        };
        let at = Timestamp::from_timestamp(0, 0).unwrap();
        ProxyRecord {
            id,
            values,
            password,
            is_default: false,
            version,
            created_at: at,
            updated_at: at,
            last_test: None,
            health: None,
            used_by: Vec::new(),
        }
    }

    /// Saves a proxy setting.
    pub fn save(&self, name: &str, ask: &Ask, bypass: &str) -> ProxyId {
        let id = ProxyId::new();
        let record = self.record(id, 1, name, ask, bypass);
        self.store.change(|proxies| proxies.push((self.company, record)));
        id
    }

    /// Saves a changed proxy setting.
    pub fn change(&self, id: ProxyId, name: &str, ask: &Ask) {
        self.store.change(|proxies| {
            let (_, proxy) = proxies.iter_mut().find(|(_, p)| p.id == id).unwrap();
            let is_default = proxy.is_default;
            *proxy = ProxyRecord { is_default, ..self.record(id, proxy.version + 1, name, ask, "") };
        });
    }

    pub async fn make_default(&self, id: Option<ProxyId>) {
        self.store.set_default_proxy(self.company, id).await.unwrap();
    }

    pub fn asker(&self, choice: Choice) -> Asker {
        let consumer = Consumer { kind: "integration".into(), id: "i1".into(), name: "Example".into() };
        Asker { company: self.company, consumer, choice, ca_pem: None, recorded: Recorded::BeforeAnswer }
    }

    pub async fn send(&self, choice: Choice, request: OutRequest) -> Result<OutAnswer, OutError> {
        self.door.send(&self.asker(choice), request).await
    }

    /// Sends, trusting this authority for the target.
    pub async fn send_trusting(&self, choice: Choice, ca: &str, request: OutRequest) -> Result<OutAnswer, OutError> {
        let asker = Asker { ca_pem: Some(CaPem::parse(ca).unwrap()), ..self.asker(choice) };
        self.door.send(&asker, request).await
    }

    /// This company's records, in the order in which they were written.
    pub fn records(&self) -> Vec<TrafficView> {
        let records = self.store.records.lock().unwrap();
        records.iter().filter(|(company, _)| *company == self.company).map(|(_, record)| record.clone()).collect()
    }
}

/// A GET with nothing special.
pub fn get(url: impl AsRef<str>) -> OutRequest {
    OutRequest {
        method: "GET",
        url: TestTarget::parse(url.as_ref()).unwrap(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(20),
        max_answer: 1024 * 1024,
        retry: Retry::Never,
        trace: false,
    }
}

/// With a field.
pub fn with_key(mut request: OutRequest, key: &str) -> OutRequest {
    request.headers.push(("x-apikey", Secret::new(key)));
    request
}

/// The name of the proxy, or why direct.
pub fn via(route: &Route) -> String {
    match route {
        Route::Proxy { proxy, .. } => proxy.name.clone(),
        Route::Direct { reason } => reason.to_string(),
    }
}
