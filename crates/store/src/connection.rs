//! The connection, and the one way every query takes.
//!
//! [`Connection::read`] and [`Connection::write`] run one statement. A write that lost against another one is started
//! again, with growing pauses of random length, until it succeeds or [`PATIENCE`] ends. A server that went away is
//! connected to again by the next query.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gatehouse_platform::ports::{StoreError, StoreResult};
use surrealdb::{
    Error, Surreal,
    engine::any::Any,
    types::{AuthError, NotAllowedError, QueryError, Value, Variables},
};
use tokio::sync::RwLock;

use crate::open::{Endpoint, OpenError};

/// How long a write goes on against conflicts with other writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a single query may take. A server that went away without a word is noticed by this.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);

/// Builds the parameters of a query: `vars! { name: value }`.
macro_rules! vars {
    ($($name:ident : $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut vars = ::surrealdb::types::Variables::new();
        $(vars.insert(stringify!($name), $value);)*
        vars
    }};
}
pub(crate) use vars;

/// How one attempt ended that did not succeed.
enum Failure {
    /// Lost against another transaction.
    Conflict,
    /// A unique index has this value.
    Taken,
    /// The connection is gone.
    Gone(String),
    /// A defect, or a damaged database.
    Other(String),
}

/// The connection to a database.
pub(crate) struct Connection {
    endpoint: Endpoint,
    /// `None` after the connection broke, until the next query.
    live: RwLock<Option<Arc<Surreal<Any>>>>,
    closed: AtomicBool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(endpoint: Endpoint, live: Surreal<Any>) -> Self {
        Self {
            endpoint,
            live: RwLock::new(Some(Arc::new(live))),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Runs a statement that changes nothing.
    pub(crate) async fn read(&self, query: &str, vars: Variables) -> StoreResult<Value> {
        // A connection that broke since the last query is only noticed by using it; reading again does no harm.
        match self.attempt(query, vars.clone()).await {
            Err(Failure::Gone(_)) => self.attempt(query, vars).await,
            other => other,
        }
        .map_err(|failure| failure.into_error(query))
    }

    /// Runs a statement that may change something, again and again while it loses against others.
    pub(crate) async fn write(&self, query: &str, vars: Variables) -> StoreResult<Value> {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            match self.attempt(query, vars.clone()).await {
                Ok(value) => return Ok(value),
                Err(Failure::Conflict) if begin.elapsed() < PATIENCE => {
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.2..1.0))).await;
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
                Err(failure) => return Err(failure.into_error(query)),
            }
        }
    }

    async fn attempt(&self, query: &str, vars: Variables) -> Result<Value, Failure> {
        let db = self.live().await.map_err(Failure::Gone)?;
        let answer = tokio::time::timeout(QUERY_TIMEOUT, async {
            db.query(query).bind(vars).await?.take::<Value>(0)
        })
        .await;
        let failure = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Failure::of(&error),
            Err(_) => Failure::Gone(format!("no answer within {} s", QUERY_TIMEOUT.as_secs())),
        };
        if matches!(failure, Failure::Gone(_)) && self.endpoint.is_remote() {
            let mut live = self.live.write().await;
            // Another query may have noticed first and have connected again already.
            if live
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, &db))
            {
                *live = None;
            }
        }
        Err(failure)
    }

    /// The connection, made anew where it broke.
    async fn live(&self) -> Result<Arc<Surreal<Any>>, String> {
        if let Some(db) = self.live.read().await.as_ref() {
            return Ok(Arc::clone(db));
        }
        let mut live = self.live.write().await;
        if let Some(db) = live.as_ref() {
            return Ok(Arc::clone(db));
        }
        if self.closed.load(Ordering::Relaxed) || !self.endpoint.is_remote() {
            return Err("it was closed".into());
        }
        let db = Arc::new(
            self.endpoint
                .connect()
                .await
                .map_err(|error: OpenError| error.to_string())?,
        );
        *live = Some(Arc::clone(&db));
        tracing::info!("connected to the database again");
        Ok(db)
    }

    /// Lets go of the database; queries that run come to their end first.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let db = self.live.write().await.take();
        // An embedded database is shut down when the last handle is gone; a query that still runs holds one.
        if let Some(mut db) = db {
            for _ in 0..1000 {
                match Arc::try_unwrap(db) {
                    Ok(last) => {
                        drop(last);
                        break;
                    }
                    Err(shared) => db = shared,
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        let message = error.message();
        if matches!(error.query_details(), Some(QueryError::TransactionConflict)) {
            return Self::Conflict;
        }
        if matches!(error.query_details(), Some(QueryError::TimedOut { .. })) {
            return Self::Gone(message.into());
        }
        if error.is_connection() {
            return Self::Gone(message.into());
        }
        // A session that the server forgot (it was started again) answers like this; connecting again signs in again.
        if let Some(NotAllowedError::Auth(
            AuthError::TokenExpired | AuthError::SessionExpired | AuthError::NotAllowed { .. },
        )) = error.not_allowed_details()
        {
            return Self::Gone(message.into());
        }
        // The engine has no kind for a unique index's refusal (surrealdb-idx 3.3.5, `error.rs`: IndexExists).
        if message.contains("already contains") {
            return Self::Taken;
        }
        Self::Other(message.into())
    }

    fn into_error(self, query: &str) -> StoreError {
        match self {
            Self::Conflict => {
                StoreError::Unavailable("too many others write the same record".into())
            }
            Self::Taken => StoreError::NameTaken,
            Self::Gone(why) => StoreError::Unavailable(why),
            Self::Other(why) => {
                let at: String = query
                    .split_whitespace()
                    .take(8)
                    .collect::<Vec<_>>()
                    .join(" ");
                StoreError::Internal(format!("{why} (in: {at} …)"))
            }
        }
    }
}
