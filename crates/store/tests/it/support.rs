//! Databases to test against, and things to put into them.

use std::{
    future::Future,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use gatehouse_domain::{
    Capabilities, CompanyName, Email, IntegrationName, IntegrationStatus, IntegrationValues, PersonName, ProxyChoice, ProxyForm,
    ProxyValues, Role, Secret, SecretInput, TestTarget, Timestamp,
};
use gatehouse_platform::{
    Choice, CompanyId, IntegrationId, PersonId, ProxyId,
    ports::{
        AccessStore as _, IntegrationRecord, IntegrationStore as _, IntegrationWrite, PersonWrite, ProxyRecord, ProxyStore as _,
        ProxyWrite,
    },
};
use gatehouse_store::{Store, StoreConfig};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    Memory,
    Folder,
    Server,
}

/// A database of its own, gone when dropped.
pub struct Bed {
    pub store: Store,
    /// What a second process would hold; for the embedded kinds the same one again.
    pub other: Store,
    pub config: StoreConfig,
    #[allow(dead_code)]
    pub folder: Option<tempfile::TempDir>,
    #[allow(dead_code)]
    pub server: Option<Server>,
}

impl Bed {
    /// `None` where there is no server program.
    pub async fn new(backend: Backend) -> Option<Self> {
        let (config, folder, server) = match backend {
            Backend::Memory => (StoreConfig::new("mem://"), None, None),
            Backend::Folder => {
                let folder = tempfile::tempdir().expect("a folder");
                (
                    StoreConfig::new(format!("surrealkv://{}", folder.path().join("a b/gatehouse.db").display())),
                    Some(folder),
                    None,
                )
            }
            Backend::Server => {
                let server = Server::start()?;
                (server.config(), None, Some(server))
            }
        };
        let store = open(&config).await;
        let other = if backend == Backend::Server { open(&config).await } else { store.clone() };
        Some(Self { store, other, config, folder, server })
    }

    /// One of the two, in turn.
    pub fn either(&self, turn: usize) -> Store {
        if turn.is_multiple_of(2) { self.store.clone() } else { self.other.clone() }
    }
}

/// Opens a database; a server may still be starting.
pub async fn open(config: &StoreConfig) -> Store {
    let begin = Instant::now();
    loop {
        match Store::open(config).await {
            Ok(store) => return store,
            Err(gatehouse_store::OpenError::Unreachable { .. }) if begin.elapsed() < Duration::from_secs(30) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A SurrealDB server.
pub struct Server {
    pub port: u16,
    storage: String,
    child: Child,
}

impl Server {
    pub fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        Self::start_at(port, "memory")
    }

    /// `None`, and says so, where there is no server program.
    pub fn start_at(port: u16, storage: &str) -> Option<Self> {
        let Some(program) = Self::program() else {
            eprintln!("SKIPPED: there is no SurrealDB server program; `make test-server` fetches it");
            return None;
        };
        let child = Command::new(program)
            .args(["start", "--no-banner", "--log", "error", "--user", "root", "--pass", "root", "--bind"])
            .arg(format!("127.0.0.1:{port}"))
            .arg(storage)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the server starts");
        Some(Self { port, storage: storage.into(), child })
    }

    fn program() -> Option<PathBuf> {
        let program = std::env::var_os("GATEHOUSE_SURREAL").map(PathBuf::from).unwrap_or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
            let cache = std::env::var_os("GATEHOUSE_CACHE").map_or_else(|| home.join(".cache/gatehouse"), PathBuf::from);
            cache.join("tools/bin/surreal")
        });
        program.is_file().then_some(program)
    }

    pub fn config(&self) -> StoreConfig {
        StoreConfig {
            database: format!("ws://127.0.0.1:{}", self.port),
            user: Some("root".into()),
            password: Some(Secret::new("root")),
        }
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn again(&self) -> Self {
        Self::start_at(self.port, &self.storage).expect("it started before")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes a test of each kind of database.
macro_rules! on_each_database {
    ($($name:ident)+) => {
        $(mod $name {
            use crate::support::{Backend, run};

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn memory() {
                run(Backend::Memory, super::$name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn folder() {
                run(Backend::Folder, super::$name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn server() {
                run(Backend::Server, super::$name).await;
            }
        })+
    };
}
pub(crate) use on_each_database;

pub async fn run<F: Future<Output = ()>>(backend: Backend, test: impl FnOnce(std::sync::Arc<Bed>) -> F) {
    if let Some(bed) = Bed::new(backend).await {
        test(std::sync::Arc::new(bed)).await;
    }
}

/// A moment with everything the database keeps of it.
pub fn now() -> Timestamp {
    chrono::DateTime::from_timestamp_nanos(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64,
    )
}

static COUNT: AtomicU32 = AtomicU32::new(0);

pub fn person() -> PersonWrite {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    PersonWrite {
        id: PersonId::new(),
        email: Email::parse(&format!("Person{number}@Example.com")).expect("right"),
        name: PersonName::parse("Jo Doe").expect("right"),
        role: Role::Owner,
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
    }
}

pub async fn company(store: &Store) -> CompanyId {
    let id = CompanyId::new();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    store.create_company(id, &CompanyName::parse(&format!("Company {number}")).expect("right"), now()).await.expect("made");
    id
}

pub fn values(name: &str) -> ProxyValues {
    form(name).parse(false).expect("right")
}

pub fn form(name: &str) -> ProxyForm {
    ProxyForm {
        name: name.into(),
        host: "proxy.example".into(),
        port: "3128".into(),
        authentication: "basic".into(),
        username: "Jo".into(),
        password: SecretInput::Set(Secret::new("secret")),
        bypass: "localhost\n*.corp.example\n10.0.0.0/8".into(),
        ..ProxyForm::default()
    }
}

pub fn write(name: &str) -> ProxyWrite {
    ProxyWrite { values: values(name), password: None, is_default: false }
}

pub async fn proxy(store: &Store, company: CompanyId, name: &str) -> ProxyRecord {
    store.create_proxy(company, ProxyId::new(), &write(name), now()).await.expect(name)
}

/// An integration with this choice.
pub fn integration_write(name: &str, choice: Choice) -> IntegrationWrite {
    let proxy = match choice {
        Choice::Default => ProxyChoice::Default,
        Choice::None => ProxyChoice::None,
        Choice::Setting(id) => ProxyChoice::Setting { id: id.to_string() },
    };
    let values = IntegrationValues {
        name: IntegrationName::parse(name).expect("right"),
        kind: "virustotal".into(),
        description: String::new(),
        api_url: TestTarget::parse("https://www.virustotal.com/api/v3").expect("right"),
        tags: Vec::new(),
        proxy,
        capabilities: Capabilities { url: true, ..Capabilities::default() },
        status: IntegrationStatus::Active,
        hide_url_parameters: false,
        exclusions: Default::default(),
        detection_threshold: None,
        cache_hours: 0,
        timeout_s: 60,
        ca_pem: None,
        options: Default::default(),
    };
    IntegrationWrite { values, choice, api_key: None, api_password: None }
}

pub async fn integration(store: &Store, company: CompanyId, name: &str, choice: Choice) -> IntegrationRecord {
    store.create_integration(company, IntegrationId::new(), &integration_write(name, choice), now()).await.expect(name)
}

/// The identifiers of a company's defaults, as the list says.
pub async fn defaults(store: &Store, company: CompanyId) -> Vec<ProxyId> {
    let query = gatehouse_domain::ProxyQuery { limit: 200, ..Default::default() };
    let page = store.list_proxies(company, &query).await.expect("a list");
    page.items.iter().filter(|record| record.is_default).map(|record| record.id).collect()
}

/// Runs many at once and gives back what each answered.
pub async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize, make: impl Fn(usize) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(make(number))).collect();
    let mut answers = Vec::with_capacity(count);
    for task in tasks {
        answers.push(task.await.expect("no panic"));
    }
    answers
}
