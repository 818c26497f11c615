//! From a proxy choice to a way: which proxy a request goes through, or why it goes direct.
//!
//! Asked anew for every request. What was read from the store is used again only while the store says that nothing can have
//! changed since before it was read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use gatehouse_domain::{
    Authentication, DirectReason, ProxyRef, ProxyValues, Route, Secret, TestTarget, integration::is_loopback,
};
use gatehouse_platform::{
    Asker, Choice, CompanyId, KeyRing, ProxyId,
    ports::{ProxyRecord, ProxyStore, StoreError},
    proxies::password_binding,
};
use sha2::{Digest as _, Sha256};

use crate::connect::Login;

/// Tells two things apart without keeping what they are made of.
pub(crate) type Fingerprint = [u8; 32];

/// Hashes parts so that no two lists of parts look alike.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A proxy setting, ready for use.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) proxy: ProxyRef,
    pub(crate) values: ProxyValues,
    password: Secret,
    /// Changes with everything that a connection through this proxy depends on.
    fingerprint: Fingerprint,
    /// The one that is tried when this one can't be reached. It has none of its own: the second is the last.
    fallback: Option<Arc<Setting>>,
}

impl Setting {
    fn open(company: CompanyId, record: ProxyRecord, keys: &KeyRing) -> Result<Self, NoRoute> {
        let ProxyRecord { id, values, password, version, .. } = record;
        let password = match (values.authentication, password) {
            (Authentication::Basic, Some(sealed)) => {
                keys.open(&sealed, &password_binding(company, id, &values)).map_err(|error| {
                    tracing::error!(%error, proxy = %id, "a proxy's password does not open");
                    NoRoute::PasswordLost(values.name.to_string())
                })?
            }
            _ => Secret::default(),
        };
        let user = values.username.as_ref().map(|user| user.as_str()).unwrap_or_default();
        let fingerprint = fingerprint([
            id.0.as_bytes().as_slice(),
            &version.to_be_bytes(),
            values.place().as_bytes(),
            values.authentication.as_str().as_bytes(),
            user.as_bytes(),
            &Sha256::digest(password.expose()),
            values.ca_pem.as_ref().map(|pem| pem.as_str()).unwrap_or_default().as_bytes(),
        ]);
        let proxy = ProxyRef { id: id.to_string(), name: values.name.to_string() };
        Ok(Self { proxy, values, password, fingerprint, fallback: None })
    }

    /// What it signs in with.
    pub(crate) fn login(&self) -> Option<Login<'_>> {
        match (self.values.authentication, &self.values.username) {
            (Authentication::Basic, Some(user)) => Some(Login { user: user.as_str(), password: &self.password }),
            _ => None,
        }
    }
}

/// The way of one request.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Direct(DirectReason),
    /// With the setting that comes first and can't be reached, where this is its second one.
    Through(Arc<Setting>, Option<ProxyRef>),
}

impl Way {
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::Direct(reason) => Route::Direct { reason: *reason },
            Self::Through(setting, first) => Route::Proxy { proxy: setting.proxy.clone(), instead_of: first.clone() },
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match self {
            // Why it is direct does not matter to a connection.
            Self::Direct(_) => [0; 32],
            Self::Through(setting, _) => setting.fingerprint,
        }
    }

    /// The way through the second setting, where this one has one.
    pub(crate) fn fallback(&self) -> Option<Self> {
        match self {
            Self::Through(first, None) => {
                let second = first.fallback.clone()?;
                Some(Self::Through(second, Some(first.proxy.clone())))
            }
            _ => None,
        }
    }
}

/// Why a choice leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// The setting is not there.
    Gone,
    /// The password of the setting with this name was sealed under another key.
    PasswordLost(String),
    /// The database did not answer.
    NoAnswer,
}

struct Kept {
    generation: u64,
    /// `None`: the company has no default.
    setting: Option<Arc<Setting>>,
}

/// More than this many are not kept: then all are read again.
const MOST: usize = 10_000;

/// Finds ways.
pub(crate) struct Router {
    store: Arc<dyn ProxyStore>,
    keys: KeyRing,
    /// Whether this machine's own services are reached directly.
    loopback: bool,
    kept: Mutex<HashMap<(CompanyId, Choice), Kept>>,
}

impl Router {
    pub(crate) fn new(store: Arc<dyn ProxyStore>, keys: KeyRing, loopback: bool) -> Self {
        Self { store, keys, loopback, kept: Mutex::default() }
    }

    /// The way that a request to this target takes now.
    pub(crate) async fn way(&self, asker: &Asker, target: &TestTarget) -> Result<Way, NoRoute> {
        if self.loopback && is_loopback(&target.host) {
            return Ok(Way::Direct(DirectReason::Loopback));
        }
        let setting = match asker.choice {
            Choice::None => return Ok(Way::Direct(DirectReason::NoProxy)),
            Choice::Default => match self.setting(asker.company, Choice::Default).await? {
                None => return Ok(Way::Direct(DirectReason::NoDefault)),
                Some(setting) => setting,
            },
            Choice::Setting(_) => self.setting(asker.company, asker.choice).await?.ok_or(NoRoute::Gone)?,
        };
        if setting.values.bypass.matching(&target.host, target.port).is_some() {
            return Ok(Way::Direct(DirectReason::Bypass));
        }
        Ok(Way::Through(setting, None))
    }

    /// A setting, and the one that stands in for it.
    async fn open(&self, company: CompanyId, record: ProxyRecord) -> Result<Setting, NoRoute> {
        let second = record.values.fallback.as_deref().and_then(ProxyId::parse);
        let mut setting = Setting::open(company, record, &self.keys)?;
        if let Some(id) = second {
            setting.fallback = match self.store.proxy(company, id).await {
                Ok(record) => Setting::open(company, record, &self.keys).ok().map(Arc::new),
                // Deleted between the two reads, as far as one can be that is in use.
                Err(StoreError::NotFound) => None,
                Err(error) => {
                    tracing::error!(%error, "the second proxy setting of a request can't be read");
                    return Err(NoRoute::NoAnswer);
                }
            };
        }
        Ok(setting)
    }

    /// What was chosen, as it is now.
    async fn setting(&self, company: CompanyId, choice: Choice) -> Result<Option<Arc<Setting>>, NoRoute> {
        // Before reading: what changes while it is read makes what was read count as old.
        let generation = self.store.proxies_generation();
        if let Some(generation) = generation
            && let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&(company, choice))
            && kept.generation == generation
        {
            return Ok(kept.setting.clone());
        }
        let record = match choice {
            Choice::None => return Ok(None),
            Choice::Default => self.store.default_proxy(company).await,
            Choice::Setting(id) => self.store.proxy(company, id).await.map(Some),
        };
        let record = record.map_err(|error| match error {
            StoreError::NotFound => NoRoute::Gone,
            error => {
                tracing::error!(%error, "the proxy setting of a request can't be read");
                NoRoute::NoAnswer
            }
        })?;
        let setting = match record {
            Some(record) => Some(Arc::new(self.open(company, record).await?)),
            None => None,
        };
        if let Some(generation) = generation {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST {
                kept.clear();
            }
            // Somebody who began to read later may have written already.
            let known = kept.get(&(company, choice)).map(|kept| kept.generation);
            if known.is_none_or(|known| known <= generation) {
                kept.insert((company, choice), Kept { generation, setting: setting.clone() });
            }
        }
        Ok(setting)
    }
}
