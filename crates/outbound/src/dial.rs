//! Hosts become addresses that may be dialled, addresses become connections.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::stream::{FuturesUnordered, StreamExt as _};
use gatehouse_domain::{HostName, Port};
use tokio::net::TcpStream;

use crate::{
    guard::{AddressPolicy, Reach},
    names::ResolveError,
    problem::Problem,
};

/// How long one attempt is left alone before the next address is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses beyond this many are not tried: no proxy needs them, and a hostile name server could list thousands.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Addresses that the guard has passed: nothing else is dialled, and between passing and dialling nobody is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vetted(Vec<SocketAddr>);

impl Vetted {
    /// At least one.
    pub(crate) fn all(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl Reach {
    /// The addresses of a host that may be dialled, in the order to try them; a literal address at once.
    pub(crate) async fn addresses(
        &self, host: &HostName, port: Port, unresolved: impl FnOnce(ResolveError) -> Problem,
    ) -> Result<Vetted, Problem> {
        // What is closed by its name is not even looked up.
        self.vet(host)?;
        let found = match host.address() {
            Some(address) => vec![address],
            None => match self.names.look_up(host.ascii(), self.policy == AddressPolicy::PublicOnly).await {
                Ok(found) if found.is_empty() => return Err(unresolved(ResolveError::Unknown)),
                Ok(found) => found,
                Err(error) => return Err(unresolved(error)),
            },
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            let address = SocketAddr::new(address, port.get());
            if self.policy.allows(address.ip()) && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let mut addresses = interleave(addresses);
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() { Err(Problem::AddressNotAllowed) } else { Ok(Vetted(addresses)) }
    }
}

/// Alternates the address families, beginning with the one the system prefers (RFC 8305, section 4), so that a family that
/// leads nowhere costs one stagger and not one for each of its addresses.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut other): (VecDeque<_>, VecDeque<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(preferred.len() + other.len());
    while !preferred.is_empty() || !other.is_empty() {
        ordered.extend(preferred.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

/// Why one address could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialError {
    /// The machine there says that nothing listens on this port.
    Refused,
    /// There is no way to that machine, or something on the way says so.
    Unreachable,
    /// The system gave up waiting.
    TimedOut,
    /// This machine does not permit it: a local firewall.
    NotPermitted,
    /// This machine could not: out of sockets or ports.
    Local,
}

impl DialError {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Self::Unreachable,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Local,
        }
    }
}

/// Connects to the first address that answers: each next one is tried when the last failed, or did not answer for
/// [`STAGGER`] (RFC 8305). The first to connect wins; dropping the future drops all attempts.
///
/// # Errors
/// Each address with what it met, in the order in which they failed.
pub(crate) async fn dial(Vetted(addresses): &Vetted) -> Result<(TcpStream, SocketAddr), Vec<(IpAddr, DialError)>> {
    race(addresses, STAGGER, |address| async move {
        let stream = TcpStream::connect(address).await.map_err(|error| DialError::of(&error))?;
        // Small messages back and forth: waiting to fill a packet would only add latency.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    })
    .await
}

async fn race<T, F>(
    addresses: &[SocketAddr], stagger: Duration, connect: impl Fn(SocketAddr) -> F,
) -> Result<(T, SocketAddr), Vec<(IpAddr, DialError)>>
where
    F: Future<Output = Result<T, DialError>>,
{
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        let started = waiting.next().inspect(|&address| {
            let attempt = connect(address);
            running.push(async move { (address, attempt.await) });
        });
        if started.is_none() && running.is_empty() {
            return Err(failed);
        }
        let outcome = if waiting.len() == 0 {
            running.next().await
        } else {
            tokio::time::timeout(stagger, running.next()).await.unwrap_or_default()
        };
        match outcome {
            Some((address, Ok(connected))) => return Ok((connected, address)),
            Some((address, Err(error))) => failed.push((address.ip(), error)),
            None => {}
        }
    }
}

/// The one that tells most of several.
pub(crate) fn worst(failed: &[(IpAddr, DialError)]) -> DialError {
    [DialError::Refused, DialError::TimedOut, DialError::NotPermitted, DialError::Unreachable]
        .into_iter()
        .find(|kind| failed.iter().any(|(_, error)| error == kind))
        .unwrap_or(DialError::Local)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|a| SocketAddr::new(a.parse().expect(a), 1)).collect()
    }

    #[test]
    fn families_alternate_beginning_with_the_preferred() {
        assert_eq!(
            interleave(addresses(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"])),
            addresses(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"])
        );
        assert_eq!(interleave(addresses(&["192.0.2.1", "2001:db8::1"])), addresses(&["192.0.2.1", "2001:db8::1"]));
    }

    /// Runs a race where each address behaves as told: never answering (`None`), or with this result after a moment. Says
    /// who won or why not, and after how many staggers each attempt began. The clock is the real one, so staggers are long
    /// against what a busy machine adds, and only whole ones are counted.
    async fn run(behaviour: &[Option<Result<(), DialError>>]) -> (Result<usize, Vec<DialError>>, Vec<u128>) {
        let stagger = Duration::from_secs(2);
        let all: Vec<SocketAddr> = (0u8..).zip(behaviour).map(|(n, _)| SocketAddr::new([192, 0, 2, n].into(), 1)).collect();
        let place = |address| all.iter().position(|a| *a == address).unwrap();
        let begun = std::time::Instant::now();
        let starts = Mutex::new(Vec::new());
        let outcome = race(&all, stagger, |address| {
            starts.lock().unwrap().push(begun.elapsed().as_millis() / stagger.as_millis());
            let result = behaviour[place(address)];
            async move {
                match result {
                    Some(result) => result,
                    None => std::future::pending().await,
                }
            }
        })
        .await;
        let outcome =
            outcome.map(|((), winner)| place(winner)).map_err(|failed| failed.into_iter().map(|(_, error)| error).collect());
        (outcome, starts.into_inner().unwrap())
    }

    #[tokio::test]
    async fn attempts_are_staggered_and_the_first_to_connect_wins() {
        use DialError::{Refused, Unreachable};
        let (answers, silent) = (Some(Ok(())), None);
        assert_eq!(run(&[answers, answers]).await, (Ok(0), vec![0]));
        assert_eq!(run(&[silent, answers, answers]).await, (Ok(1), vec![0, 1]));
        assert_eq!(run(&[silent, silent, answers]).await, (Ok(2), vec![0, 1, 2]));
        assert_eq!(run(&[Some(Err(Refused)), answers]).await, (Ok(1), vec![0, 0]));
        assert_eq!(run(&[silent, Some(Err(Unreachable)), answers]).await, (Ok(2), vec![0, 1, 1]));
        assert_eq!(run(&[Some(Err(Unreachable)), Some(Err(Refused))]).await, (Err(vec![Unreachable, Refused]), vec![0, 0]));
        assert_eq!(run(&[]).await, (Err(vec![]), vec![]));
    }

    #[test]
    fn the_telling_failure_is_chosen() {
        let at = |error| (IpAddr::from([192, 0, 2, 1]), error);
        assert_eq!(worst(&[at(DialError::Unreachable), at(DialError::Refused)]), DialError::Refused);
        assert_eq!(worst(&[at(DialError::Unreachable), at(DialError::TimedOut)]), DialError::TimedOut);
        assert_eq!(worst(&[]), DialError::Local);
    }
}
