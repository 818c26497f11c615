//! Connections to targets and upstream proxies, and those that stand idle for the next request.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use tokio::net::{TcpSocket, TcpStream};

use crate::io::Wire;

/// How long a connection may stand idle.
const IDLE: Duration = Duration::from_secs(55);
/// How many may stand idle for one place.
const MOST_EACH: usize = 64;
/// How many may stand idle in all.
const MOST: usize = 4096;
/// How long one address is waited for while there is another to try.
const NEXT: Duration = Duration::from_secs(2);

/// Why nothing was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undialled {
    /// Nothing listens there.
    Refused,
    /// No answer.
    TimedOut,
    /// There is no way there.
    Unroutable,
    /// This program has as many connections as it may have.
    Exhausted,
}

impl Undialled {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL.
            Some(24 | 23 | 105 | 12 | 99) => Self::Exhausted,
            _ => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Refused,
                io::ErrorKind::TimedOut => Self::TimedOut,
                _ => Self::Unroutable,
            },
        }
    }
}

/// Connects to one of these addresses, one after the other, within `limit`.
///
/// # Errors
/// What the last of them met.
pub async fn dial(
    addresses: &[SocketAddr], source: Option<IpAddr>, limit: Duration,
) -> Result<(TcpStream, SocketAddr), Undialled> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut last = Undialled::Unroutable;
    for (at, address) in addresses.iter().enumerate() {
        if source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
            continue;
        }
        let until = if at + 1 < addresses.len() { deadline.min(tokio::time::Instant::now() + NEXT) } else { deadline };
        match tokio::time::timeout_at(until, connect(*address, source)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = Undialled::of(&error),
            Err(_) => last = Undialled::TimedOut,
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

struct Idle {
    wire: Wire,
    peer: IpAddr,
    since: Instant,
}

/// Connections that stand idle, by where they lead and how.
#[derive(Default)]
pub struct Pool {
    shelves: Mutex<HashMap<Box<[u8]>, Vec<Idle>>>,
    count: AtomicUsize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("count", &self.count).finish()
    }
}

impl Pool {
    /// The connection that was used last, if there is one that is still open, and the address it leads to.
    /// One that leads to an address which does not fit any more is closed.
    pub async fn take(&self, key: &[u8], fits: impl Fn(IpAddr) -> bool) -> Option<(Wire, IpAddr)> {
        loop {
            let idle = {
                let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
                shelves.get_mut(key)?.pop()?
            };
            self.count.fetch_sub(1, Ordering::Relaxed);
            let Idle { mut wire, peer, since } = idle;
            if since.elapsed() < IDLE && fits(peer) && poll_fn(|cx| Poll::Ready(wire.stream.is_quiet(cx))).await {
                return Some((wire, peer));
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end.
    pub fn put(&self, key: &[u8], mut wire: Wire, peer: IpAddr) {
        if !wire.inbox.is_empty() || self.count.load(Ordering::Relaxed) >= MOST {
            return;
        }
        wire.inbox.rest();
        let idle = Idle { wire, peer, since: Instant::now() };
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        match shelves.get_mut(key) {
            Some(shelf) if shelf.len() >= MOST_EACH => return,
            Some(shelf) => shelf.push(idle),
            None => drop(shelves.insert(key.into(), vec![idle])),
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes what stood too long. Called every now and then.
    pub fn sweep(&self) {
        let mut closed = 0;
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|_, shelf| {
            let before = shelf.len();
            shelf.retain(|idle| idle.since.elapsed() < IDLE);
            closed += before - shelf.len();
            !shelf.is_empty()
        });
        drop(shelves);
        self.count.fetch_sub(closed, Ordering::Relaxed);
    }

    /// Closes all of them.
    pub fn clear(&self) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let closed: usize = shelves.values().map(Vec::len).sum();
        shelves.clear();
        drop(shelves);
        self.count.fetch_sub(closed, Ordering::Relaxed);
    }
}
