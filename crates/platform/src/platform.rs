//! The one value that screens, API and command line hold.

use std::sync::Arc;

use gatehouse_domain::{AppError, Timestamp};
use uuid::Uuid;

use crate::{
    Config, KeyRing,
    keys::KeyError,
    ports::{AccessStore, ConnectionTester, KeyStore, ProxyStore, StoreError},
};

/// Everything Gatehouse does. Cheap to clone; holds no state of its own.
#[derive(Clone)]
pub struct Platform {
    pub(crate) proxies: Arc<dyn ProxyStore>,
    pub(crate) access: Arc<dyn AccessStore>,
    pub(crate) key_store: Arc<dyn KeyStore>,
    pub(crate) tester: Arc<dyn ConnectionTester>,
    pub(crate) keys: KeyRing,
    pub(crate) config: Arc<Config>,
}

impl Platform {
    /// Wires the use cases to a store and a network.
    pub fn new<S>(store: S, tester: impl ConnectionTester + 'static, keys: KeyRing, config: Config) -> Self
    where
        S: ProxyStore + AccessStore + KeyStore + 'static,
    {
        let store = Arc::new(store);
        Self {
            proxies: store.clone(),
            access: store.clone(),
            key_store: store,
            tester: Arc::new(tester),
            keys,
            config: Arc::new(config),
        }
    }

    /// What an operator has set.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn ready(&self) -> Result<(), AppError> {
        self.key_store.key_id().await.map(|_| ()).map_err(store_error)
    }
}

/// Milliseconds are what is stored and shown; more would not survive the way through the database.
pub(crate) fn now() -> Timestamp {
    let now = chrono::Utc::now();
    Timestamp::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}

/// A defect: the log gets the error and a reference, the person the reference.
pub(crate) fn internal(error: impl std::fmt::Display) -> AppError {
    let reference = Uuid::new_v4().simple().to_string()[..8].to_string();
    tracing::error!(%reference, %error, "internal error");
    AppError::Internal { reference }
}

/// What a store's error means to a person, where the use case does not know better.
pub(crate) fn store_error(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound | StoreError::Gone => AppError::NotFound,
        StoreError::Full(limit) => {
            AppError::invalid("name", format!("There are {limit} already, which is as many as there may be."))
        }
        StoreError::InUse(users) => AppError::InUse(users),
        StoreError::Changed(version) => AppError::Changed { version },
        StoreError::BadCursor => {
            AppError::invalid("cursor", "Use the value of 'next' from the page before, with the same sort order.")
        }
        StoreError::Unavailable(error) => {
            tracing::warn!(%error, "the database does not answer");
            AppError::Unavailable
        }
        error @ (StoreError::NameTaken | StoreError::KeyChanged | StoreError::Internal(_)) => internal(error),
    }
}

pub(crate) fn key_error(error: KeyError) -> AppError {
    internal(error)
}
