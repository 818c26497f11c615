//! Who signs in: Basic authentication (RFC 7617) against the people of the policy.
//!
//! Checking a password takes tens of milliseconds of processor time on purpose. So a pair that was right is remembered for a
//! short while (as a hash, keyed with the stored hash too: a changed password counts at once), few are checked at a time, and an
//! address that keeps guessing is not listened to for a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordHash, PasswordVerifier as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::policy::{Person, Policy};

/// How long a pair that was right is taken for right.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many wrong pairs an address may try within [`WINDOW`].
const TRIES: u32 = 10;
/// See [`TRIES`].
const WINDOW: Duration = Duration::from_secs(60);
/// How many pairs are checked at a time.
const AT_A_TIME: usize = 2;
/// How many are remembered, right or wrong, before all are forgotten.
const MOST: usize = 10_000;

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotIn {
    /// The field is not one of Basic authentication.
    Malformed,
    /// The name or the password is wrong.
    Wrong,
    /// Too many wrong ones from this address; in so many seconds again.
    TooMany(u32),
}

/// Checks names and passwords.
pub struct Doorkeeper {
    right: Mutex<HashMap<[u8; 32], Instant>>,
    wrong: Mutex<HashMap<IpAddr, (u32, Instant)>>,
    places: Arc<Semaphore>,
}

impl Default for Doorkeeper {
    fn default() -> Self {
        Self { right: Mutex::default(), wrong: Mutex::default(), places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl std::fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorkeeper").finish_non_exhaustive()
    }
}

impl Doorkeeper {
    /// Whom the value of `Proxy-Authorization` names.
    ///
    /// # Errors
    /// Why nobody.
    pub async fn person<'p>(&self, policy: &'p Policy, client: IpAddr, value: &[u8]) -> Result<&'p Person, NotIn> {
        let client = household(client);
        let (scheme, pair) = std::str::from_utf8(value).ok().and_then(|text| text.split_once(' ')).ok_or(NotIn::Malformed)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(NotIn::Malformed);
        }
        let pair = STANDARD.decode(pair.trim()).map_err(|_| NotIn::Malformed)?;
        let pair = String::from_utf8(pair).map_err(|_| NotIn::Malformed)?;
        let (name, password) = pair.split_once(':').ok_or(NotIn::Malformed)?;
        let person = policy.person(name);
        // Somebody who is not there takes as long as somebody who is.
        let stored = person.map_or(NOBODY, |person| person.password.as_str());
        let key: [u8; 32] = Sha256::new().chain_update(&pair).chain_update([0]).chain_update(stored).finalize().into();
        if let Some(person) = person.filter(|_| self.remembers(&key)) {
            return Ok(person);
        }
        // It is never closed.
        let Ok(_place) = self.places.acquire().await else { return Err(NotIn::Wrong) };
        // Of many who come at once with the same right pair the first one is checked, and the others find it here.
        if let Some(person) = person.filter(|_| self.remembers(&key)) {
            return Ok(person);
        }
        self.may_try(client)?;
        let is_right = check(stored.to_string(), password.to_string()).await;
        match person.filter(|_| is_right) {
            Some(person) => {
                let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
                if right.len() >= MOST {
                    right.retain(|_, at| at.elapsed() < REMEMBERED);
                }
                if right.len() < MOST {
                    right.insert(key, Instant::now());
                }
                drop(right);
                self.wrong.lock().unwrap_or_else(PoisonError::into_inner).remove(&client);
                Ok(person)
            }
            None => Err(NotIn::Wrong),
        }
    }

    /// Counts a try before it is made: many at once can't slip through together.
    fn may_try(&self, client: IpAddr) -> Result<(), NotIn> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MOST {
            wrong.retain(|_, (_, since)| since.elapsed() < WINDOW);
        }
        // Ten thousand networks that guess within a minute: nobody else is listened to either, for a moment.
        if wrong.len() >= MOST && !wrong.contains_key(&client) {
            return Err(NotIn::TooMany(1));
        }
        let now = Instant::now();
        let (tries, since) = wrong.entry(client).or_insert((0, now));
        if since.elapsed() >= WINDOW {
            (*tries, *since) = (0, now);
        }
        if *tries >= TRIES {
            let left = WINDOW.saturating_sub(since.elapsed()).as_secs() + 1;
            return Err(NotIn::TooMany(u32::try_from(left).unwrap_or(60)));
        }
        *tries += 1;
        Ok(())
    }

    fn remembers(&self, key: &[u8; 32]) -> bool {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).get(key).is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

/// The addresses that count as one: of IPv6 a whole network of 64 bits, which is what one customer has.
fn household(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6(((u128::from(address) >> 64) << 64).into()),
    }
}

async fn check(stored: String, password: String) -> bool {
    let work = move || {
        PasswordHash::new(&stored).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(false)
}

/// The hash of a password that nobody has.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$Z2F0ZWhvdXNlLW5vYm9keQ$H3ZXW1Vh1ZL8nGm9vXG1bqkQ5gF5m7l3o8yq5h2c0rM";
