//! Connections that stand idle, for the next request that takes the very same way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use gatehouse_platform::CompanyId;
use tokio::time::Instant;

use crate::{client::Connection, route::Fingerprint};

/// How long a connection may stand idle.
const IDLE: Duration = Duration::from_secs(30);
/// How many may stand idle for one way.
const MOST: usize = 8;
/// How often those that stood too long are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Whose, through what, and to where, with everything that a connection depends on: only what agrees in all of it may share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) company: CompanyId,
    pub(crate) way: Fingerprint,
    /// Scheme, host and port, and the certificates that are trusted for it.
    pub(crate) target: Fingerprint,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    idle: HashMap<Key, Vec<Idle>>,
    sweeping: bool,
}

/// Idle connections.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    shelf: Arc<Mutex<Shelf>>,
}

impl Pool {
    /// The connection that was used last, if there is one.
    pub(crate) fn take(&self, key: &Key) -> Option<Connection> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = shelf.idle.get_mut(key)?;
        let mut found = None;
        while found.is_none()
            && let Some(Idle { connection, since }) = idle.pop()
        {
            found = Some(connection).filter(|connection| connection.is_open() && since.elapsed() < IDLE);
        }
        if idle.is_empty() {
            shelf.idle.remove(key);
        }
        found
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn put(&self, key: Key, connection: Connection) {
        if !connection.is_open() {
            return;
        }
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = shelf.idle.entry(key).or_default();
        if idle.len() >= MOST {
            idle.remove(0);
        }
        idle.push(Idle { connection, since: Instant::now() });
        if !shelf.sweeping {
            shelf.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(&self.shelf)));
        }
    }
}

/// Closes what stands too long, until nothing is left.
async fn sweep(shelf: Weak<Mutex<Shelf>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(shelf) = shelf.upgrade() else { return };
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.idle.retain(|_, idle| {
            idle.retain(|idle| idle.connection.is_open() && idle.since.elapsed() < IDLE);
            !idle.is_empty()
        });
        if shelf.idle.is_empty() {
            shelf.sweeping = false;
            return;
        }
    }
}
