//! Answers that are kept until something they came from is written.
//!
//! Only an embedded database has them: there this process is the one that writes, so it knows. A SurrealDB server has other
//! writers, and is asked each time.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gatehouse_domain::{Page, ProxyQuery, UsedBy};
use gatehouse_platform::{
    CompanyId,
    ports::{Authenticated, ProxyRecord, StoreResult},
};

use crate::connection::{Connection, Scope};

/// How long an answer is kept at most. The generation says when it is no longer right; this bounds what a write could do that
/// was given up after [`Connection`]'s patience and reached the disk all the same.
const LONGEST: Duration = Duration::from_secs(10);

/// All that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Who a session's secret stands for.
    pub(crate) sessions: Answers<String, Option<Authenticated>>,
    /// Who an API token stands for.
    pub(crate) tokens: Answers<String, Option<Authenticated>>,
    /// Who uses a company's default.
    pub(crate) uses_of_default: Answers<CompanyId, Vec<UsedBy>>,
    /// Lists of proxy settings.
    pub(crate) proxies: Answers<(CompanyId, ProxyQuery), Page<ProxyRecord>>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Answers::new(Scope::People, 4096, Option::is_some),
            tokens: Answers::new(Scope::People, 4096, Option::is_some),
            uses_of_default: Answers::new(Scope::Proxies, 4096, |_| true),
            proxies: Answers::new(Scope::Proxies, 32, |_| true),
        }
    }
}

/// Answers to one kind of question.
#[derive(Debug)]
pub(crate) struct Answers<K, V> {
    scope: Scope,
    limit: usize,
    /// What is worth keeping: secrets that somebody made up would push out those of people.
    worth: fn(&V) -> bool,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    /// What the scope's generation was when these were read.
    generation: u64,
    answers: HashMap<K, (Instant, V)>,
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn new(scope: Scope, limit: usize, worth: fn(&V) -> bool) -> Self {
        Self { scope, limit, worth, inner: Mutex::new(Inner { generation: 0, answers: HashMap::new() }) }
    }

    /// The answer to `key`: the kept one, or else what `read` gives, which is then kept.
    pub(crate) async fn get<F: Future<Output = StoreResult<V>>>(
        &self, connection: &Connection, key: K, read: F,
    ) -> StoreResult<V> {
        let Some(before) = connection.generation(self.scope) else {
            return read.await;
        };
        {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.generation == before
                && let Some((at, answer)) = inner.answers.get(&key)
                && at.elapsed() < LONGEST
            {
                return Ok(answer.clone());
            }
        }
        let at = Instant::now();
        let answer = read.await?;
        // Read while something was written: right for whoever asked, perhaps not for the next.
        if connection.generation(self.scope) == Some(before) && (self.worth)(&answer) {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            // Numbers only grow: what a slower reader of an older generation brings is not kept.
            if inner.generation <= before {
                if inner.generation < before || inner.answers.len() >= self.limit {
                    inner.answers.clear();
                }
                inner.generation = before;
                inner.answers.insert(key, (at, answer.clone()));
            }
        }
        Ok(answer)
    }
}
