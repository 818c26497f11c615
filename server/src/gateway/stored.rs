//! A gateway whose policy is in the database: how it begins, and how it follows changes.
//!
//! A live query says that something has changed; then all of it is read again. A live query dies with its connection and may miss what
//! happened around its own beginning, so besides the policy is looked at every few seconds and after each new beginning. While the
//! database is gone the gateway goes on with what it has; what it last had is on the disk, too ([`super::kept`]).

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use gatehouse_domain::{CompanyName, ProxyName};
use gatehouse_gateway::{
    Gateway,
    policy::{Policy, Problem, StoredPerson, StoredProxy, Way},
};
use gatehouse_platform::{
    CompanyId, KeyRing,
    ports::{AccessStore as _, GatewayStore as _, ProxyRecord, StoreError},
    proxies::password_binding,
};
use gatehouse_store::{OpenError, Store, StoreConfig};
use tokio::{signal::unix::Signal, sync::mpsc, time::timeout};

use super::{
    judge::{Judge, person, setting},
    kept::{Kept, Place},
    traffic::TrafficSink,
};
use crate::config::Settings;

/// How often the policy is looked at although nobody said that it has changed.
const LOOK: Duration = Duration::from_secs(5);
/// How long the database is left alone after it did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a start waits for the database before it takes what is on the disk.
const START: Duration = Duration::from_secs(5);

/// What holds while nobody has said anything: an open proxy it never is.
const NO_POLICY: &str = "[[rule]]\nname = 'no policy yet'\naction = 'deny'\nreason = 'This gateway has no policy yet, so it lets nothing \
     through. An administrator gives it one in Gatehouse: PUT /api/v1/gateway/policy.'\n";

/// Where the policy is read from.
pub enum Database {
    /// One that is open, and somebody else's to close; and the key of what is sealed in it.
    Open(Store, Keys),
    /// A server that is connected to when it is there, and its key: needed only for passwords of proxy settings that are
    /// ways out.
    Remote(StoreConfig, Keys),
}

/// What opens passwords of proxy settings.
#[derive(Clone)]
pub enum Keys {
    /// A key that follows its rotation.
    Open(KeyRing),
    /// Read anew each time: whoever rotates it is another process.
    File(PathBuf),
}

impl Keys {
    /// The company's proxy settings as the gateway takes them, and the names of those whose password does not open here. These are
    /// without user and password: their proxies say that they want one, and all else of the policy holds.
    fn settings(&self, company: CompanyId, proxies: &[ProxyRecord]) -> (Vec<StoredProxy>, Vec<ProxyName>) {
        let keys = match self {
            Self::Open(keys) => Ok(keys.clone()),
            Self::File(path) => KeyRing::read(path),
        };
        let mut shut = Vec::new();
        let made = proxies.iter().map(|record| {
            let Some(sealed) = &record.password else { return setting(record, None) };
            let opened =
                keys.as_ref().ok().and_then(|keys| keys.open(sealed, &password_binding(company, record.id, &record.values)).ok());
            if opened.is_none() {
                shut.push(record.values.name.clone());
                return StoredProxy { username: None, ..setting(record, None) };
            }
            setting(record, opened)
        });
        (made.collect(), shut)
    }

    /// Tells a key that was put there later from the one before.
    fn state(&self) -> Option<SystemTime> {
        match self {
            Self::Open(_) => None,
            Self::File(path) => std::fs::metadata(path).and_then(|about| about.modified()).ok(),
        }
    }
}

/// The proxy settings that a policy leads through.
fn used(policy: &Policy) -> impl Iterator<Item = &ProxyName> {
    policy.settings().egresses.iter().filter_map(|egress| match &egress.way {
        Way::Upstream(upstream) => upstream.setting.as_ref(),
        Way::Direct { .. } => None,
    })
}

/// Why nobody knows whose policy it is.
#[derive(Debug, thiserror::Error)]
enum NoCompany {
    #[error("GATEWAY_COMPANY: there are several companies ({0}): say whose policy the gateway goes by")]
    Several(String),
    #[error("GATEWAY_COMPANY: there is no company '{0}'; there is {1}")]
    NotThere(CompanyName, String),
}

/// Why the policy could not be looked at.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    NoCompany(#[from] NoCompany),
    #[error("the database does not answer")]
    Late,
}

/// Follows the policy of one company.
pub struct Follower {
    database: Database,
    keys: Keys,
    /// As it was set.
    wanted: Option<CompanyName>,
    judge: Arc<Judge>,
    /// Told whose traffic it is, and which policy is in force.
    traffic: Arc<TrafficSink>,
    place: Place,
    kept: Option<Kept>,
    company: Option<(CompanyId, CompanyName)>,
    /// The revision that was looked at last, right or wrong.
    seen: Option<u64>,
    /// A password that was needed did not open; and the key file of then.
    shut: Option<Option<SystemTime>>,
}

/// What a look found.
enum Found {
    /// Nothing new.
    Same,
    /// Another policy, to be put in force, and what is to be kept of it then.
    Policy(Box<Policy>, Option<Kept>),
}

impl Follower {
    /// # Errors
    /// A setting that is wrong.
    pub fn new(settings: &Settings, database: Database, traffic: Arc<TrafficSink>) -> Result<Self, String> {
        let wanted = wanted(settings)?;
        let keys = match &database {
            Database::Open(_, keys) => keys.clone(),
            Database::Remote(_, keys) => keys.clone(),
        };
        let place = Place::in_folder(&settings.data, wanted.as_ref());
        let kept = place.read().unwrap_or_else(|error| {
            tracing::error!(%error, "the policy that was kept in {} can't be read", place.path().display());
            None
        });
        Ok(Self {
            database,
            keys,
            wanted,
            judge: Arc::new(settings.judge()),
            traffic,
            place,
            kept,
            company: None,
            seen: None,
            shut: None,
        })
    }

    /// What the gateway begins with: the database's policy, else the one on the disk, else one that refuses everything.
    ///
    /// # Errors
    /// The settings do not say whose policy it is; or the database refuses us, and there is nothing on the disk.
    pub async fn first(&mut self) -> Result<Policy, String> {
        match timeout(START, self.look(false)).await.unwrap_or(Err(LookError::Late)) {
            Ok(Found::Policy(policy, kept)) => {
                self.keep(kept).await;
                return Ok(*policy);
            }
            Ok(Found::Same) => {}
            Err(LookError::NoCompany(error)) => return Err(error.to_string()),
            Err(LookError::Open(error)) if !matches!(error, OpenError::Unreachable { .. }) && self.kept.is_none() => {
                return Err(error.to_string());
            }
            Err(error) => tracing::warn!(%error, "the gateway starts without its database"),
        }
        if let Some(kept) = self.own_kept() {
            match self.compile_kept(&kept).await {
                Ok(policy) => {
                    tracing::info!("the policy that was kept in {} is in force", self.place.path().display());
                    return Ok(policy);
                }
                Err(why) => tracing::error!("the policy that was kept can't be used: {why}"),
            }
        }
        tracing::warn!("there is no policy yet: the gateway refuses everything");
        self.compile(NO_POLICY.to_string(), Vec::new(), Vec::new()).await
    }

    /// What is kept, if it is of the company whose gateway this is: another company's policy is none, whoever's it is.
    fn own_kept(&self) -> Option<Kept> {
        self.kept.clone().filter(|kept| match (&self.company, &self.wanted) {
            (Some((company, _)), _) => kept.company() == Some(*company),
            (None, Some(wanted)) => kept.is_of(wanted),
            (None, None) => true,
        })
    }

    async fn compile_kept(&self, kept: &Kept) -> Result<Policy, String> {
        let (settings, _) = kept.company().map(|company| self.keys.settings(company, &kept.proxies())).unwrap_or_default();
        self.compile(kept.text().to_string(), kept.people(), settings).await
    }

    /// Keeps the gateway at the policy of the database, for as long as it runs.
    pub async fn follow(&mut self, gateway: &Gateway, mut hangup: Signal) {
        let mut watch: Option<mpsc::Receiver<()>> = None;
        let mut asked = false;
        // What is wrong for long is said once.
        let mut said: Option<String> = None;
        loop {
            // First the watch, then the look: what changes in between is told.
            if watch.is_none() {
                watch = self.watch().await;
            }
            match self.look(asked).await {
                Ok(found) => {
                    asked = false;
                    if said.take().is_some() {
                        tracing::info!("the gateway follows its database again");
                    }
                    if let Found::Policy(policy, kept) = found {
                        self.traffic.know(&policy);
                        gateway.swap(*policy);
                        self.keep(kept).await;
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if said.as_ref() != Some(&error) {
                        tracing::warn!(%error, "the gateway goes on with the policy it has");
                    }
                    said = Some(error);
                    watch = None;
                    // What it reads beside the database (lists that were fetched, files) may be new all the same.
                    if asked && let Some(kept) = self.own_kept() {
                        asked = false;
                        if let Ok(policy) = self.compile_kept(&kept).await {
                            self.traffic.know(&policy);
                            gateway.swap(policy);
                        }
                    }
                }
            }
            let told = async {
                match &mut watch {
                    Some(watch) => watch.recv().await.is_some(),
                    None => {
                        tokio::time::sleep(PAUSE).await;
                        false
                    }
                }
            };
            let goes_on = tokio::select! {
                goes_on = told => goes_on,
                () = tokio::time::sleep(LOOK) => true,
                _ = hangup.recv() => {
                    asked = true;
                    true
                }
                () = gateway.lists_changed() => {
                    asked = true;
                    true
                }
            };
            if !goes_on {
                // Never in circles, whatever ends the watch.
                if watch.take().is_some() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn watch(&mut self) -> Option<mpsc::Receiver<()>> {
        let (Database::Open(store, _), Some((company, _))) = (&self.database, &self.company) else { return None };
        match store.watch_gateway(*company).await {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::debug!(%error, "changes of the policy are not told, only looked for");
                None
            }
        }
    }

    /// Reads the policy, and makes one of it when it has changed or somebody `asked`. One that is wrong is said, and the last good one
    /// stays.
    async fn look(&mut self, asked: bool) -> Result<Found, LookError> {
        let store = self.store().await?;
        let Some((company, name)) = self.company(&store).await? else { return Ok(Found::Same) };
        let has_key = self.shut.is_some_and(|before| before != self.keys.state());
        if !asked && !has_key && self.seen.is_some() && self.seen == Some(store.gateway_revision(company).await?) {
            return Ok(Found::Same);
        }
        let record = store.gateway(company).await?;
        let Some(text) = record.text.clone() else {
            self.seen = Some(record.revision);
            if self.kept.as_ref().and_then(Kept::company) != Some(company) {
                return Ok(Found::Same);
            }
            // There was one, and the database has none: it is another database, or an older state of it.
            tracing::warn!("there is no policy any more: the gateway refuses everything");
            return Ok(match self.compile(NO_POLICY.to_string(), Vec::new(), Vec::new()).await {
                Ok(policy) => Found::Policy(Box::new(policy), None),
                Err(_) => Found::Same,
            });
        };
        let people = record.people.iter().map(person).collect();
        let key = self.keys.state();
        let (settings, shut) = self.keys.settings(company, &record.proxies);
        let made = self.compile(text.clone(), people, settings).await;
        self.seen = Some(record.revision);
        self.shut = None;
        Ok(match made {
            Ok(policy) => {
                let used: Vec<_> = used(&policy).cloned().collect();
                for name in shut.iter().filter(|name| used.contains(name)) {
                    tracing::error!(
                        "the password of the proxy setting '{name}' does not open here: put the right key at SECRET_KEY_FILE. Requests that go out through it fail until then"
                    );
                    self.shut = Some(key);
                }
                let summary = policy.summary().to_string();
                tracing::info!(
                    version = record.version,
                    "the policy is in force: {}",
                    summary.lines().next().unwrap_or_default()
                );
                Found::Policy(Box::new(policy), Some(Kept::new(company, &name, &text, &record, &used)))
            }
            Err(why) => {
                tracing::error!(version = record.version, "the policy stays as it was: {why}");
                Found::Same
            }
        })
    }

    /// Puts a good policy on the disk. In order: the one that comes later must not be overtaken by the one before it.
    async fn keep(&mut self, kept: Option<Kept>) {
        if self.kept == kept {
            return;
        }
        self.kept.clone_from(&kept);
        let place = self.place.clone();
        let written = tokio::task::spawn_blocking(move || match &kept {
            Some(kept) => place.write(kept),
            None => place.clear(),
        });
        if let Err(error) = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            let path = self.place.path().display();
            tracing::error!(%error, "the policy is not kept in {path}: a start without the database would be without it");
        }
    }

    async fn compile(&self, text: String, people: Vec<StoredPerson>, settings: Vec<StoredProxy>) -> Result<Policy, String> {
        let judge = self.judge.clone();
        // Lists of a million names take a second.
        let made = tokio::task::spawn_blocking(move || judge.compile(&text, &people, &settings)).await;
        let said = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        made.map_err(|error| error.to_string())?.map_err(said)
    }

    async fn store(&mut self) -> Result<Store, OpenError> {
        if let Database::Remote(config, _) = &self.database {
            let store = Store::open(config).await?;
            self.database = Database::Open(store, self.keys.clone());
        }
        match &self.database {
            Database::Open(store, _) => Ok(store.clone()),
            Database::Remote(config, _) => Err(OpenError::Address(config.database.clone())),
        }
    }

    /// Whose policy it is; `None` while there is no company yet.
    async fn company(&mut self, store: &Store) -> Result<Option<(CompanyId, CompanyName)>, LookError> {
        if self.company.is_none() {
            let kept = self.kept.as_ref().and_then(Kept::company);
            self.company = company(store, self.wanted.as_ref(), kept).await?;
            if let Some((company, _)) = &self.company {
                self.traffic.begin(Arc::new(store.clone()), *company);
            }
        }
        Ok(self.company.clone())
    }
}

/// Whose gateway it is: the company that was named, else the only one there is, or was when the gateway began. `None` while there is none.
async fn company(
    store: &Store, wanted: Option<&CompanyName>, kept: Option<CompanyId>,
) -> Result<Option<(CompanyId, CompanyName)>, LookError> {
    let all = store.companies().await?;
    let names = || all.iter().map(|(_, name)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    Ok(match wanted {
        _ if all.is_empty() => None,
        Some(wanted) => {
            let named = all.iter().find(|(_, name)| name.key() == wanted.key()).cloned();
            Some(named.ok_or_else(|| NoCompany::NotThere(wanted.clone(), names()))?)
        }
        None if all.len() == 1 => all.first().cloned(),
        None => {
            let followed = all.iter().find(|(id, _)| kept == Some(*id)).cloned();
            Some(followed.ok_or_else(|| NoCompany::Several(names()))?)
        }
    })
}

/// Sends the traffic of a gateway whose policy is a file to the company whose it is, as soon as there is one.
///
/// # Errors
/// A setting that is wrong.
pub fn record_traffic(settings: &Settings, store: Store, traffic: Arc<TrafficSink>) -> Result<(), String> {
    let wanted = wanted(settings)?;
    tokio::spawn(async move {
        loop {
            match company(&store, wanted.as_ref(), None).await {
                Ok(Some((company, _))) => return traffic.begin(Arc::new(store), company),
                Ok(None) | Err(LookError::Store(_)) => tokio::time::sleep(LOOK).await,
                Err(error) => return tracing::warn!("traffic of the gateway is not recorded: {error}"),
            }
        }
    });
    Ok(())
}

fn wanted(settings: &Settings) -> Result<Option<CompanyName>, String> {
    let wanted = settings.gateway_company.as_deref().map(CompanyName::parse).transpose();
    wanted.map_err(|why| format!("GATEWAY_COMPANY: {why}"))
}
