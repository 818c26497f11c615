//! Passwords that people sign in with: argon2id (RFC 9106), hashed off the async threads and a few at a time.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{SaltString, rand_core::OsRng},
};
use gatehouse_domain::{NewPassword, Secret};
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB: this bounds what a flood of sign-ins can take.
static PLACES: Semaphore = Semaphore::const_new(4);

/// OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a new password into a PHC string.
///
/// # Errors
/// For the log: the hash failed.
pub async fn hash(password: &NewPassword) -> Result<String, String> {
    let password = password.secret().clone();
    in_place(move || {
        let salt = SaltString::generate(&mut OsRng);
        argon2().hash_password(password.expose().as_bytes(), &salt).map(|hash| hash.to_string()).map_err(|e| e.to_string())
    })
    .await?
}

/// Whether this is the password. Without a hash (no such account) it takes as long and is false, so that the time does
/// not tell which accounts exist.
pub async fn verify(password: &Secret, hash: Option<&str>) -> Result<bool, String> {
    /// The hash of a random password, with the parameters above.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$b3JpZ2luYWxseS1yYW5kb20$w0pBHVGIZv1lQlvTUn7bPBcqZhkQUVvSn2hoDT4RGZc";
    // Longer than any that can be set: not worth hashing.
    if password.expose().len() > 4 * NewPassword::MAX {
        return Ok(false);
    }
    let password = password.clone();
    let known = hash.is_some();
    let hash = hash.unwrap_or(NOBODY).to_string();
    in_place(move || {
        let hash = PasswordHash::new(&hash).map_err(|e| e.to_string())?;
        Ok(argon2().verify_password(password.expose().as_bytes(), &hash).is_ok() && known)
    })
    .await?
}

async fn in_place<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let _place = PLACES.acquire().await.map_err(|e| e.to_string())?;
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_and_others_do_not() {
        let right = Secret::new("correct horse");
        let hash = hash(&NewPassword::parse(&right).expect("long enough")).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"));
        assert_eq!(verify(&right, Some(&hash)).await, Ok(true));
        assert_eq!(verify(&Secret::new("wrong horse"), Some(&hash)).await, Ok(false));
        assert_eq!(verify(&right, None).await, Ok(false));
        assert_eq!(verify(&Secret::new("x".repeat(1_000_000)), Some(&hash)).await, Ok(false));
    }
}
