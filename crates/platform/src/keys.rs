//! Sealing secrets: XChaCha20-Poly1305 under a key that lives outside the database.
//!
//! The key file holds 32 random bytes in base64. A sealed value says which key sealed it and is bound to its record: moved
//! to another record, it does not open.

use std::{
    fmt,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use gatehouse_domain::Secret;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A sealed secret as it is stored: `v1.<key id>.<base64 of nonce and ciphertext>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub String);

impl Sealed {
    /// The key that sealed it.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.0.split('.').nth(1).unwrap_or_default()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(by {})", self.key_id())
    }
}

/// What is wrong with the key. The message is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not there.
    #[error("the key file {} is missing. Put the key back that this database was made with; without it the stored passwords can't be read. Nothing was changed", .0.display())]
    Missing(PathBuf),
    /// Can't be read or written.
    #[error("the key file {}: {}", .0.display(), .1)]
    Io(PathBuf, std::io::Error),
    /// Not 32 bytes in base64.
    #[error("the key file {} is not a key: it must hold 32 random bytes in base64 (44 characters). Nothing was changed", .0.display())]
    Malformed(PathBuf),
    /// Another key.
    #[error("the key file {} is not the one that this database was made with. Put the right one back. Nothing was changed", .0.display())]
    Wrong(PathBuf),
    /// What was given instead of a file is none.
    #[error("SECRET_KEY is not a key: it must be 32 random bytes in base64 (44 characters). Nothing was changed")]
    GivenMalformed,
    /// What was given instead of a file is another one.
    #[error("SECRET_KEY is not the key that this database was made with. Nothing was changed")]
    GivenWrong,
    /// There is no file to put another one into.
    #[error(
        "the key comes from SECRET_KEY and not from a file, so another one can't be put in its place from here. Run this where SECRET_KEY_FILE names a file with this key, and set SECRET_KEY to what is in it afterwards"
    )]
    Given,
    /// A sealed value does not open.
    #[error("a stored secret does not open: it was sealed under another key or for another record")]
    DoesNotOpen,
    /// No randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// One key.
#[derive(Clone)]
struct Key {
    bytes: Zeroizing<[u8; 32]>,
    id: String,
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"gatehouse key id\0").chain_update(bytes).finalize();
        let id = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        Self { bytes: Zeroizing::new(bytes), id }
    }

    fn random() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self::new(bytes))
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let text = match std::fs::read(path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(KeyError::Missing(path.into())),
            Err(e) => return Err(KeyError::Io(path.into(), e)),
        };
        let malformed = || KeyError::Malformed(path.into());
        let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
        Self::parse(text).ok_or_else(malformed)
    }

    /// 32 bytes in base64.
    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        Some(Self::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?))
    }

    /// Writes the file 0600, fails if it is there already, and does not return before it is on the disk.
    fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let io = |e| KeyError::Io(path.into(), e);
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(self.bytes.as_slice())));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        sync_folder(path).map_err(io)
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

/// The keys of this process: the current one, and during a rotation the next one.
///
/// Another process may rotate the key; then a value under an unknown key makes this one read the file again.
#[derive(Clone)]
pub struct KeyRing {
    /// `None` when the key was given by itself.
    path: Option<PathBuf>,
    keys: Arc<RwLock<Vec<Key>>>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the key file.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::Malformed`], [`KeyError::Io`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let ring = Self { path: Some(path.into()), keys: Arc::default() };
        let mut keys = vec![Key::read(path)?];
        if next_path(path).exists() {
            keys.push(Key::read(&next_path(path))?);
        }
        ring.set(keys);
        Ok(ring)
    }

    /// Makes a key and its file (0600).
    ///
    /// # Errors
    /// [`KeyError::Io`], also when the file is there already.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let key = Key::random()?;
        key.write_new(path)?;
        let ring = Self { path: Some(path.into()), keys: Arc::default() };
        ring.set(vec![key]);
        Ok(ring)
    }

    /// The key itself, where no file can be (a secret store gives it in the environment).
    ///
    /// # Errors
    /// [`KeyError::GivenMalformed`].
    pub fn given(key: &Secret) -> Result<Self, KeyError> {
        let ring = Self { path: None, keys: Arc::default() };
        ring.set(vec![Key::parse(key.expose()).ok_or(KeyError::GivenMalformed)?]);
        Ok(ring)
    }

    /// The current key's identifier: a hash, safe to store and to show.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.get().first().map(|k| k.id.clone()).unwrap_or_default()
    }

    /// The file, where there is one.
    ///
    /// # Errors
    /// [`KeyError::Given`].
    pub fn path(&self) -> Result<&Path, KeyError> {
        self.path.as_deref().ok_or(KeyError::Given)
    }

    /// That this is the key of another database.
    #[must_use]
    pub fn wrong(&self) -> KeyError {
        self.path.clone().map_or(KeyError::GivenWrong, KeyError::Wrong)
    }

    /// Makes the key with this identifier the current one, if this ring has it.
    #[must_use]
    pub fn select(&self, key_id: &str) -> bool {
        let mut keys = self.get();
        if !keys.iter().any(|k| k.id == key_id) {
            if self.reload().is_err() {
                return false;
            }
            keys = self.get();
        }
        let Some(at) = keys.iter().position(|k| k.id == key_id) else { return false };
        keys.swap(0, at);
        self.set(keys);
        true
    }

    /// Seals for one place.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn seal(&self, secret: &Secret, binding: &str) -> Result<Sealed, KeyError> {
        let keys = self.get();
        let key = keys.first().ok_or(KeyError::NoRandomness)?;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|_| KeyError::NoRandomness)?;
        let cipher = XChaCha20Poly1305::new(key.bytes.as_slice().into());
        let payload = Payload { msg: secret.expose().as_bytes(), aad: binding.as_bytes() };
        let ciphertext = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| KeyError::DoesNotOpen)?;
        Ok(Sealed(format!("v1.{}.{}", key.id, STANDARD.encode([nonce.as_slice(), &ciphertext].concat()))))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`KeyError::DoesNotOpen`].
    pub fn open(&self, sealed: &Sealed, binding: &str) -> Result<Secret, KeyError> {
        let mut parts = sealed.0.splitn(3, '.');
        let (Some("v1"), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::DoesNotOpen);
        };
        let find = |keys: Vec<Key>| keys.into_iter().find(|k| k.id == id);
        let key = match find(self.get()) {
            Some(key) => key,
            None => {
                self.reload()?;
                find(self.get()).ok_or(KeyError::DoesNotOpen)?
            }
        };
        let data = STANDARD.decode(data).map_err(|_| KeyError::DoesNotOpen)?;
        let (nonce, ciphertext) = data.split_at_checked(24).ok_or(KeyError::DoesNotOpen)?;
        let cipher = XChaCha20Poly1305::new(key.bytes.as_slice().into());
        let payload = Payload { msg: ciphertext, aad: binding.as_bytes() };
        let plain = cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| KeyError::DoesNotOpen)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| KeyError::DoesNotOpen)
    }

    /// First half of a rotation: makes the next key beside the current one, or finds the one that a rotation which was
    /// cut off has left. Returns its identifier. The current key stays current until [`KeyRing::select`].
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Malformed`], [`KeyError::Given`].
    pub fn begin_rotation(&self) -> Result<String, KeyError> {
        let next = next_path(self.path()?);
        let key = match Key::read(&next) {
            Ok(key) => key,
            Err(KeyError::Missing(_)) => {
                let key = Key::random()?;
                key.write_new(&next)?;
                key
            }
            Err(error) => return Err(error),
        };
        let id = key.id.clone();
        let mut keys = self.get();
        if !keys.iter().any(|k| k.id == id) {
            keys.push(key);
            self.set(keys);
        }
        Ok(id)
    }

    /// Second half: the next key's file takes the place of the old one's, which is gone.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Given`].
    pub fn finish_rotation(&self) -> Result<(), KeyError> {
        let path = self.path()?;
        let next = next_path(path);
        let io = |e| KeyError::Io(path.into(), e);
        let key = Key::read(&next)?;
        std::fs::rename(&next, path).map_err(io)?;
        sync_folder(path).map_err(io)?;
        self.set(vec![key]);
        Ok(())
    }

    /// Whether a rotation was begun and not finished.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.path.as_deref().is_some_and(|path| next_path(path).exists())
    }

    fn reload(&self) -> Result<(), KeyError> {
        let fresh = Self::read(self.path()?)?;
        self.set(fresh.get());
        Ok(())
    }

    fn get(&self) -> Vec<Key> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set(&self, keys: Vec<Key>) {
        *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = keys;
    }
}

fn next_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".next");
    name.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let folder = tempfile::tempdir().expect("a folder");
        let ring = KeyRing::create(&folder.path().join("key")).expect("a key");
        (folder, ring)
    }

    #[test]
    fn a_secret_opens_only_where_it_belongs() {
        let (_folder, ring) = ring();
        let sealed = ring.seal(&Secret::new("hunter2"), "proxy/1").expect("sealed");
        assert!(!sealed.0.contains("hunter2") && !format!("{sealed:?}").contains(&sealed.0));
        assert_eq!(ring.open(&sealed, "proxy/1").expect("opens").expose(), "hunter2");
        assert!(ring.open(&sealed, "proxy/2").is_err());
        let other = self::ring();
        assert!(other.1.open(&sealed, "proxy/1").is_err());
    }

    #[test]
    fn a_key_file_is_private_kept_and_checked() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, ring) = ring();
        let path = folder.path().join("key");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(KeyRing::create(&path).is_err(), "an existing key is never overwritten");
        assert_eq!(KeyRing::read(&path).expect("a key").key_id(), ring.key_id());
        assert!(matches!(KeyRing::read(&folder.path().join("none")), Err(KeyError::Missing(_))));
        for bad in ["", "AAAA", "not base64!", "\u{ff}"] {
            std::fs::write(&path, bad).expect("written");
            assert!(matches!(KeyRing::read(&path), Err(KeyError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn a_rotation_that_was_cut_off_goes_on() {
        let (folder, ring) = ring();
        let old = ring.seal(&Secret::new("a"), "x").expect("sealed");
        let next = ring.begin_rotation().expect("begun");
        let resumed = KeyRing::read(&folder.path().join("key")).expect("both keys");
        assert!(resumed.is_rotating());
        assert_eq!(resumed.begin_rotation().expect("found"), next);
        assert!(resumed.select(&next));
        let new = resumed.seal(&Secret::new("b"), "x").expect("sealed");
        assert_eq!(new.key_id(), next);
        assert!(resumed.open(&old, "x").is_ok() && resumed.open(&new, "x").is_ok());
        resumed.finish_rotation().expect("finished");
        assert!(resumed.open(&old, "x").is_err() && resumed.open(&new, "x").is_ok());
        assert!(ring.open(&new, "x").is_ok(), "another process reads the new key");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn damaged_values_never_open(text in "\\PC{0,40}", at in 0usize..60, flip in 1u8..) {
            let (_folder, ring) = ring();
            prop_assert!(ring.open(&Sealed(text), "x").is_err());
            let sealed = ring.seal(&Secret::new("hunter2"), "x").expect("sealed");
            let head = format!("v1.{}.", ring.key_id());
            let mut data = STANDARD.decode(&sealed.0[head.len()..]).expect("base64");
            let at = at % data.len();
            data[at] ^= flip;
            let damaged = Sealed(format!("{head}{}", STANDARD.encode(data)));
            prop_assert!(ring.open(&damaged, "x").is_err());
        }
    }
}
