//! The one value that screens, API and command line hold.

use std::sync::Arc;

use gatehouse_domain::{AppError, Role, Timestamp};
use uuid::Uuid;

use crate::{
    Catalogue, Config, KeyRing,
    door::SharedDoor,
    gateway::PolicyJudge,
    keys::KeyError,
    ports::{
        AccessStore, AnalysisStore, AuditStore, ChecksStore, ConnectionTester, GatewayStore, IntegrationStore, KeyStore,
        ProxyStore, StoreError, TrafficStore, TurnStore,
    },
};

/// Everything Gatehouse does. Cheap to clone; holds no state of its own.
#[derive(Clone)]
pub struct Platform {
    pub(crate) proxies: Arc<dyn ProxyStore>,
    pub(crate) access: Arc<dyn AccessStore>,
    pub(crate) audit: Arc<dyn AuditStore>,
    pub(crate) key_store: Arc<dyn KeyStore>,
    pub(crate) integrations: Arc<dyn IntegrationStore>,
    pub(crate) analyses: Arc<dyn AnalysisStore>,
    pub(crate) traffic: Arc<dyn TrafficStore>,
    pub(crate) checks: Arc<dyn ChecksStore>,
    pub(crate) turns: Arc<dyn TurnStore>,
    pub(crate) gateway: Arc<dyn GatewayStore>,
    pub(crate) judge: Arc<dyn PolicyJudge>,
    pub(crate) tester: Arc<dyn ConnectionTester>,
    pub(crate) door: SharedDoor,
    pub(crate) engines: Catalogue,
    /// Look-ups at a time in this process: memory and sockets are bounded, whatever is asked.
    pub(crate) look_ups: Arc<tokio::sync::Semaphore>,
    /// Places for rounds of checks in this process.
    pub(crate) rounds: Arc<tokio::sync::Semaphore>,
    pub(crate) keys: KeyRing,
    pub(crate) config: Arc<Config>,
}

/// The network: what tests the way through a proxy, and the one door out.
#[derive(Clone)]
pub struct Network {
    /// Test Connection of proxy settings.
    pub tester: Arc<dyn ConnectionTester>,
    /// Everything else that goes out.
    pub door: SharedDoor,
}

impl Platform {
    /// Wires the use cases to a store, a network, engines, and what judges policies of the gateway.
    pub fn new<S>(
        store: S, network: Network, engines: Catalogue, judge: Arc<dyn PolicyJudge>, keys: KeyRing, config: Config,
    ) -> Self
    where
        S: ProxyStore
            + AccessStore
            + AuditStore
            + KeyStore
            + IntegrationStore
            + AnalysisStore
            + TrafficStore
            + ChecksStore
            + TurnStore
            + GatewayStore
            + 'static,
    {
        let store = Arc::new(store);
        Self {
            proxies: store.clone(),
            access: store.clone(),
            audit: store.clone(),
            integrations: store.clone(),
            analyses: store.clone(),
            traffic: store.clone(),
            checks: store.clone(),
            turns: store.clone(),
            gateway: store.clone(),
            judge,
            key_store: store,
            tester: network.tester,
            door: network.door,
            engines,
            keys,
            rounds: Arc::new(tokio::sync::Semaphore::new(crate::turns::ROUNDS)),
            look_ups: Arc::new(tokio::sync::Semaphore::new(config.look_up_limit)),
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
    AppError::Internal(reference)
}

/// What a store's error means to a person, where the use case does not know better.
pub(crate) fn store_error(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound | StoreError::Gone => AppError::NotFound,
        StoreError::Full(limit) => {
            AppError::invalid("name", format!("There are {limit} already, which is as many as there may be."))
        }
        StoreError::LastOfRole(Role::Provider) => AppError::invalid(
            "role",
            "This is the company's last provider. Invite another one first: without one, nobody could look after the companies.",
        ),
        StoreError::LastOfRole(_) => AppError::invalid(
            "role",
            "This is the company's last owner. Make somebody else an owner first: a company without one could never have one again.",
        ),
        StoreError::InUse(users) => AppError::InUse(users),
        StoreError::Changed(version) => AppError::Changed(version),
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
