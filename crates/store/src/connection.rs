//! The connection, and the one way every query takes.
//!
//! [`Connection::of`] and [`Connection::of_all`] say how far a statement reaches, [`Reach::read`] and [`Reach::write`] run it. A write that lost
//! against another one is started again, with growing pauses of random length, until it succeeds or [`PATIENCE`] ends. A server
//! that went away is connected to again by the next query.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gatehouse_platform::{
    CompanyId,
    ports::{StoreError, StoreResult},
};
use surrealdb::{
    Error,
    method::QueryStream,
    types::{NotAllowedError, QueryError, Value, Variables},
};
use tokio::sync::{Mutex, MutexGuard, RwLock, watch};

use crate::{
    open::Endpoint,
    queries::{audit::Audited, company_record, uuid_part},
    runtime::runtime,
    sessions::{self, Sessions},
};

/// How long a write goes on against conflicts with other writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nobody else tries to connect to a server that could not be connected to: otherwise all who wait would wait for
/// each other's attempts.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long a single query may take. A server that went away without a word is noticed by this.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long it may take until a live query has begun.
const LIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// When a server that does not answer is doubted.
const DOUBT: Duration = Duration::from_secs(2);

/// How many lines there are in which changes wait for their turn: companies share them, which costs them a moment and nothing else.
const LINES: usize = 32;

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
    /// The server does not know the session: it was started again, and the SDK has connected again without telling. Nothing was run.
    SignedOut(String),
    /// A defect, or a damaged database.
    Other(String),
}

/// The connection to a database.
pub(crate) struct Connection {
    endpoint: Endpoint,
    state: RwLock<State>,
    /// Told when it is closed: a live query holds the database open.
    closed: watch::Sender<bool>,
    /// See [`Connection::generation`].
    generations: [AtomicU64; Scope::COUNT],
    /// See [`Connection::turn`].
    turns: [Mutex<()>; LINES],
}

/// What can be told apart about writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Proxy settings, defaults, and who uses them.
    Proxies,
    /// Companies, people, their sessions and tokens.
    People,
}

impl Scope {
    const COUNT: usize = 2;
}

/// Counts when it goes, however that comes about.
struct CountAtTheEnd(Arc<Connection>, Scope);

impl Drop for CountAtTheEnd {
    fn drop(&mut self) {
        self.0.count(self.1);
    }
}

enum State {
    Live(Arc<Sessions>),
    /// It broke; the next query connects.
    Broken,
    /// Connecting failed, then and for this reason.
    Failed(Instant, String),
    Closed,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A connection, and how far a statement reaches on it.
#[derive(Clone)]
pub(crate) struct Reach {
    connection: Arc<Connection>,
    company: Option<CompanyId>,
}

impl Connection {
    pub(crate) fn new(endpoint: Endpoint, live: Sessions) -> Self {
        Self {
            endpoint,
            state: RwLock::new(State::Live(Arc::new(live))),
            closed: watch::Sender::new(false),
            generations: Default::default(),
            turns: Default::default(),
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// For statements about one company: the tables' permissions (migration 0009) keep all others from them, also where a statement forgets to.
    pub(crate) fn of(self: &Arc<Self>, company: CompanyId) -> Reach {
        Reach { connection: Arc::clone(self), company: Some(company) }
    }

    /// For what is nobody's or everybody's: the installation, who is asking, scheduled work, keys, companies themselves.
    pub(crate) fn of_all(self: &Arc<Self>) -> Reach {
        Reach { connection: Arc::clone(self), company: None }
    }

    /// Changes of one company meet at the head of its log. Those of this process stand in line for it, first come first served: left to the
    /// database, fifty at once lose against each other until some of them have no patience left. Other processes are met there still.
    async fn turn(&self, audited: &Audited) -> MutexGuard<'_, ()> {
        let company = audited.pending.audit.entries.first().map_or(0, |(company, _)| company.0.as_u128());
        let line = usize::try_from(company % LINES as u128).unwrap_or_default();
        self.turns[line].lock().await
    }

    fn count(&self, scope: Scope) {
        self.generations[scope as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// A number that has changed whenever something in a scope may have; `None` where others write, too.
    pub(crate) fn generation(&self, scope: Scope) -> Option<u64> {
        (!self.endpoint.is_remote()).then(|| self.generations[scope as usize].load(Ordering::SeqCst))
    }

    async fn attempt(&self, company: Option<CompanyId>, query: &str, mut vars: Variables) -> Result<Value, Failure> {
        let sessions = self.live().await.map_err(Failure::Gone)?;
        if let Some(company) = company {
            vars.insert("tenant", company_record(company));
            vars.insert("tenant_key", uuid_part(company.0));
        }
        let runtime = runtime().map_err(|error| Failure::Gone(error.to_string()))?;
        let mut task = runtime.spawn({
            let (sessions, query) = (Arc::clone(&sessions), query.to_string());
            async move {
                let db = if company.is_some() { &sessions.one } else { &sessions.all };
                db.query(query).bind(vars).await?.take::<Value>(0)
            }
        });
        let failure = tokio::select! {
            answer = &mut task => match answer {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => Failure::of(&error),
                Err(panic) => Failure::Other(format!("the database engine failed: {panic}")),
            },
            why = self.gone() => {
                task.abort();
                Failure::Gone(why)
            }
        };
        if matches!(failure, Failure::Gone(_) | Failure::SignedOut(_)) && self.endpoint.is_remote() {
            let mut state = self.state.write().await;
            // Another query may have noticed first and have connected again already.
            if matches!(&*state, State::Live(current) if Arc::ptr_eq(current, &sessions)) {
                *state = State::Broken;
            }
        }
        Err(failure)
    }

    /// Answers when it makes no sense to wait any longer. The SDK holds queries back while it tries to connect to a server
    /// that went away; so after a while, see whether there still is one.
    async fn gone(&self) -> String {
        let mut left = QUERY_TIMEOUT;
        if self.endpoint.is_remote() {
            left -= DOUBT;
            tokio::time::sleep(DOUBT).await;
            if let Err(error) = self.endpoint.clone().reconnect().await {
                return error.to_string();
            }
        }
        tokio::time::sleep(left).await;
        format!("no answer within {} s", QUERY_TIMEOUT.as_secs())
    }

    /// Begins a live query, and says when it has to end because the database is closed. It ends by itself with its connection.
    ///
    /// To be called, read and dropped on the engine's own threads.
    pub(crate) async fn live_query(
        &self, query: &str, vars: Variables,
    ) -> StoreResult<(QueryStream<Value>, watch::Receiver<bool>)> {
        // Noted first: a close that comes in between is not missed.
        let closed = self.closed.subscribe();
        let sessions = self.live().await.map_err(StoreError::Unavailable)?;
        let begin = async { sessions.all.query(query).bind(vars).await?.stream::<Value>(0) };
        match tokio::time::timeout(LIVE_TIMEOUT, begin).await {
            Ok(Ok(stream)) => Ok((stream, closed)),
            Ok(Err(error)) => Err(Failure::of(&error).into_error(query)),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", LIVE_TIMEOUT.as_secs()))),
        }
    }

    /// Says when the database is closed: who holds it open has to let go then.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// The connection, made anew where it broke.
    pub(crate) async fn live(&self) -> Result<Arc<Sessions>, String> {
        if let State::Live(sessions) = &*self.state.read().await {
            return Ok(Arc::clone(sessions));
        }
        let mut state = self.state.write().await;
        match &*state {
            State::Live(sessions) => return Ok(Arc::clone(sessions)),
            State::Closed => return Err("it was closed".into()),
            State::Failed(at, why) if at.elapsed() < PAUSE_AFTER_FAILURE => return Err(why.clone()),
            State::Broken | State::Failed(..) => {}
        }
        match self.endpoint.clone().reconnect().await {
            Ok(sessions) => {
                tracing::info!(endpoint = ?self.endpoint, "connected to the database again");
                let sessions = Arc::new(sessions);
                *state = State::Live(Arc::clone(&sessions));
                Ok(sessions)
            }
            Err(error) => {
                *state = State::Failed(Instant::now(), error.to_string());
                Err(error.to_string())
            }
        }
    }

    /// Lets go of the database; queries that run come to their end first.
    pub(crate) async fn close(&self) {
        let before = std::mem::replace(&mut *self.state.write().await, State::Closed);
        self.closed.send_replace(true);
        // What is closed answers nothing, not even what is kept.
        self.count(Scope::Proxies);
        self.count(Scope::People);
        // An embedded database is shut down when the last handle is gone; a query that still runs holds one.
        if let State::Live(sessions) = before {
            let begin = Instant::now();
            while Arc::strong_count(&sessions) > 1 && begin.elapsed() < QUERY_TIMEOUT {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

impl Reach {
    /// Runs a statement that changes nothing.
    pub(crate) async fn read(&self, query: &str, vars: Variables) -> StoreResult<Value> {
        // A connection that broke since the last query is only noticed by using it; reading again does no harm.
        match self.attempt(query, vars.clone()).await {
            Err(Failure::Gone(_)) => self.attempt(query, vars).await,
            other => other,
        }
        .map_err(|failure| failure.into_error(query))
    }

    /// Runs a statement that may change something, again and again while it loses against others. What is to stand in the audit
    /// log is written in the same transaction (`queries/audit.rs`).
    pub(crate) async fn write(&self, query: &str, vars: Variables) -> StoreResult<Value> {
        match Audited::of(query, vars)? {
            (Some(audited), vars) => {
                let _turn = self.connection.turn(&audited).await;
                let value = self.with_log_of(&audited).write_prepared(&audited.query, vars).await?;
                audited.pending.is_written();
                Ok(value)
            }
            (None, vars) => self.write_prepared(query, vars).await,
        }
    }

    /// As [`Reach::write`], for what changes something in a [`Scope`].
    ///
    /// Counted before it begins and after it has ended: who notes the number, reads, and finds the same number later has
    /// read what still holds. A caller who goes away leaves the write running, so the second count is the write's, not the
    /// caller's.
    pub(crate) async fn write_in(&self, scope: Scope, query: &'static str, vars: Variables) -> StoreResult<Value> {
        let runtime = runtime().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        // Here, and not in the task: what is to be written is the caller's.
        let (audited, vars) = Audited::of(query, vars)?;
        self.connection.count(scope);
        let end = CountAtTheEnd(Arc::clone(&self.connection), scope);
        let reach = audited.as_ref().map_or_else(|| self.clone(), |audited| self.with_log_of(audited));
        let task = runtime.spawn(async move {
            let end = end;
            let _turn = match &audited {
                Some(audited) => Some(end.0.turn(audited).await),
                None => None,
            };
            let text = audited.as_ref().map_or(query, |audited| audited.query.as_str());
            let done = reach.write_prepared(text, vars).await;
            if let (Some(audited), Ok(_)) = (audited, &done) {
                audited.pending.is_written();
            }
            done
        });
        task.await.unwrap_or_else(|error| Err(StoreError::Internal(format!("a write failed: {error}"))))
    }

    /// What a provider does to a company stands in both their logs, and so reaches further than either.
    fn with_log_of(&self, audited: &Audited) -> Self {
        let only_ours = audited.pending.audit.entries.iter().all(|(company, _)| Some(*company) == self.company);
        Self { connection: Arc::clone(&self.connection), company: self.company.filter(|_| only_ours) }
    }

    async fn write_prepared(&self, query: &str, vars: Variables) -> StoreResult<Value> {
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
        match self.connection.attempt(self.company, query, vars.clone()).await {
            Err(Failure::SignedOut(_)) => self.connection.attempt(self.company, query, vars).await,
            other => other,
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
        // A session that the server forgot answers like this: what opened it is taken only once. Connecting again signs in again.
        if matches!(error.not_allowed_details(), Some(NotAllowedError::Auth(_))) || message.contains(sessions::NO_TICKET) {
            return Self::SignedOut(message.into());
        }
        // The engine has no kind for a unique index's refusal (surrealdb-idx 3.3.5, `error.rs`: IndexExists).
        if message.contains("already contains") {
            return Self::Taken;
        }
        Self::Other(message.into())
    }

    fn into_error(self, query: &str) -> StoreError {
        match self {
            Self::Conflict => StoreError::Unavailable("too many others write the same record".into()),
            Self::Taken => StoreError::NameTaken,
            Self::Gone(why) | Self::SignedOut(why) => StoreError::Unavailable(why),
            Self::Other(why) => {
                let at: String = query.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
                StoreError::Internal(format!("{why} (in: {at} …)"))
            }
        }
    }
}
