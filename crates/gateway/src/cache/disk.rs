//! Kept answers in a folder: more than memory holds, and still there after a restart.
//!
//! One file for each answer, written by a thread of its own under another name and renamed when it is whole; a file that is torn or was
//! changed does not match its checksum and is thrown away. What was made old is gone from the folder before anybody hears that it
//! was: a program that is killed the next moment does not find it again.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Cache, Key, Since, Stored, stored::Saved};
use crate::http::head::Field;

/// What a file begins with: what it is, and in which form.
const MAGIC: &[u8; 8] = b"GHCACHE1";
/// Magic, length of the header and of the body, checksums of both.
const PREFIX: usize = 8 + 4 + 8 + 16 + 16;
/// No header is longer: a head with what it was asked with.
const LONGEST_HEADER: u32 = 1024 * 1024;
/// How many answers wait to be written at most. What comes above is kept in memory only.
const MOST_WAITING: usize = 256;

/// The name of a file: what it is the answer to.
type Id = [u8; 16];

#[derive(Debug)]
struct Entry {
    target: u64,
    way: Arc<str>,
    varies_by: Vec<Box<[u8]>>,
    variant: Vec<Box<[u8]>>,
    bytes: u64,
    used: u64,
}

#[derive(Debug, Default)]
struct Index {
    files: HashMap<Id, Entry>,
    of_target: HashMap<u64, Vec<Id>>,
    /// The one that was not used for the longest time first.
    order: BTreeMap<u64, Id>,
    bytes: u64,
    turn: u64,
}

impl Index {
    fn insert(&mut self, id: Id, mut entry: Entry) {
        self.remove(id);
        self.turn += 1;
        entry.used = self.turn;
        self.bytes += entry.bytes;
        self.order.insert(self.turn, id);
        self.of_target.entry(entry.target).or_default().push(id);
        self.files.insert(id, entry);
    }

    fn remove(&mut self, id: Id) -> Option<Entry> {
        let entry = self.files.remove(&id)?;
        self.bytes -= entry.bytes;
        self.order.remove(&entry.used);
        if let Some(all) = self.of_target.get_mut(&entry.target) {
            all.retain(|other| *other != id);
            if all.is_empty() {
                self.of_target.remove(&entry.target);
            }
        }
        Some(entry)
    }

    fn used(&mut self, id: Id) {
        self.turn += 1;
        let turn = self.turn;
        if let Some(entry) = self.files.get_mut(&id) {
            self.order.remove(&entry.used);
            entry.used = turn;
            self.order.insert(turn, id);
        }
    }
}

/// An answer that is to be written.
pub(crate) struct Job {
    key: Key,
    stored: Arc<Stored>,
    since: Since,
}

/// The folder.
pub(crate) struct Disk {
    folder: PathBuf,
    /// Whoever holds it may rename and remove files: what is in it and what is in the folder are the same.
    index: Mutex<Index>,
    most: AtomicU64,
    jobs: SyncSender<Job>,
    dropped: AtomicU64,
    is_scanned: AtomicBool,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn target_of(key: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(key).into();
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

fn id_of(key: &[u8], stored: &Stored) -> Id {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(key);
    part(stored.way().as_bytes());
    let (varies_by, variant) = stored.varies();
    varies_by.iter().chain(variant).for_each(|text| part(text));
    first_half(hash)
}

fn first_half(hash: Sha256) -> Id {
    let whole: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

fn sum_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Id {
    let mut hash = Sha256::new();
    pieces.for_each(|piece| hash.update(piece));
    first_half(hash)
}

/// `01/0123456789abcdef-…`: by target, so that all answers to one are found by their names.
fn name_of(target: u64, id: Id) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:02x}/{target:016x}-{hex}", target >> 56)
}

impl Disk {
    /// Opens the folder, or makes it. `of` says under which circumstances what is in it may be used: what was kept under others is
    /// thrown away.
    ///
    /// # Errors
    /// It can't be made or written.
    pub(crate) fn open(folder: &Path, most: u64, of: &str) -> io::Result<(Self, Receiver<Job>)> {
        fs::create_dir_all(folder)?;
        let (jobs, work) = sync_channel(MOST_WAITING);
        let disk = Self {
            folder: folder.to_path_buf(),
            index: Mutex::default(),
            most: AtomicU64::new(most),
            jobs,
            dropped: AtomicU64::new(0),
            is_scanned: AtomicBool::new(false),
        };
        if fs::read_to_string(disk.marker()).ok().as_deref() != Some(of) {
            disk.throw_away()?;
            fs::write(disk.marker(), of)?;
        }
        for first in 0..=255u8 {
            fs::create_dir_all(disk.current().join(format!("{first:02x}")))?;
        }
        // What was being written or thrown away when the program ended.
        for entry in fs::read_dir(folder)?.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("old-") {
                remove_in_background(entry.path());
            } else if name.to_string_lossy().starts_with("new-") {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok((disk, work))
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("kept-under")
    }

    fn current(&self) -> PathBuf {
        self.folder.join("current")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it at once: one name is changed, and the rest takes its time.
    fn throw_away(&self) -> io::Result<()> {
        let current = self.current();
        if current.exists() {
            let number = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let old = self.folder.join(format!("old-{number}"));
            fs::rename(&current, &old)?;
            remove_in_background(old);
        }
        Ok(())
    }

    /// Forgets everything, and holds for other circumstances from now on.
    pub(crate) fn clear(&self, of: Option<&str>) {
        let mut index = self.lock();
        *index = Index::default();
        let cleared = self.throw_away().and_then(|()| {
            (0..=255u8).try_for_each(|first| fs::create_dir_all(self.current().join(format!("{first:02x}"))))?;
            of.map_or(Ok(()), |of| fs::write(self.marker(), of))
        });
        if let Err(error) = cleared {
            tracing::error!(%error, folder = %self.folder.display(), "the cache's folder can't be cleared");
        }
    }

    pub(crate) fn set_bound(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Has an answer written. An older one of the same kind is not used from now on, whether this one gets there or not.
    pub(crate) fn save(&self, key: &[u8], stored: &Arc<Stored>, since: Since) {
        let id = id_of(key, stored);
        let old = self.lock().remove(id);
        match self.jobs.try_send(Job { key: key.into(), stored: stored.clone(), since }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                if old.is_some() {
                    let _ = fs::remove_file(self.current().join(name_of(target_of(key), id)));
                }
            }
        }
    }

    /// Forgets all answers to a target. When it returns they are gone. Answers whether there were any.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let target = target_of(key);
        let mut index = self.lock();
        let ids = index.of_target.get(&target).cloned().unwrap_or_default();
        let mut were_there = !ids.is_empty();
        for id in ids {
            index.remove(id);
            let _ = fs::remove_file(self.current().join(name_of(target, id)));
        }
        if !self.is_scanned.load(Ordering::Acquire) {
            let folder = self.current().join(format!("{:02x}", target >> 56));
            let begin = format!("{target:016x}-");
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(&begin) {
                    were_there = true;
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        were_there
    }

    /// Whether an answer to this request is there: its file.
    pub(crate) fn find(&self, key: &[u8], way: &str, buffer: &[u8], fields: &[Field]) -> Option<(PathBuf, [u8; 16])> {
        let target = target_of(key);
        let mut index = self.lock();
        let fits = |entry: &Entry| *entry.way == *way && super::rules::variant(buffer, fields, &entry.varies_by) == entry.variant;
        let ids = index.of_target.get(&target)?;
        let id = *ids.iter().rev().find(|id| index.files.get(*id).is_some_and(fits))?;
        index.used(id);
        Some((self.current().join(name_of(target, id)), id))
    }

    /// Reads a file that [`Disk::find`] has found. One that is not what it was when it was written is thrown away.
    pub(crate) fn load(&self, cache: &Cache, key: &[u8], (path, id): &(PathBuf, [u8; 16])) -> Option<Stored> {
        match read(path, cache, key) {
            Ok(stored) => Some(stored),
            Err(Unread::NoRoom) => None,
            Err(Unread::Broken) => {
                let mut index = self.lock();
                if index.remove(*id).is_some() {
                    let _ = fs::remove_file(path);
                }
                None
            }
        }
    }

    /// Answers and bytes in the folder, and how many were not written because it was too slow.
    pub(crate) fn size(&self) -> (u64, u64, u64) {
        let index = self.lock();
        (index.files.len() as u64, index.bytes, self.dropped.load(Ordering::Relaxed))
    }

    /// Writes an answer, and makes room for it.
    fn write(&self, cache: &Cache, job: &Job) -> io::Result<()> {
        let Job { key, stored, since } = job;
        let (id, target) = (id_of(key, stored), target_of(key));
        let new = self.folder.join(format!("new-{}", std::process::id()));
        let bytes = write(&new, key, stored)?;
        let (varies_by, variant) = stored.varies();
        let entry =
            Entry { target, way: stored.way().clone(), varies_by: varies_by.to_vec(), variant: variant.to_vec(), bytes, used: 0 };
        let most = self.most.load(Ordering::Relaxed);
        let mut index = self.lock();
        // Under the lock: whoever makes it old waits for it, or is seen.
        if cache.has_changed(*since) || bytes > most {
            return fs::remove_file(&new);
        }
        fs::rename(&new, self.current().join(name_of(target, id)))?;
        index.insert(id, entry);
        self.shrink(&mut index, most);
        Ok(())
    }

    /// Removes what was not used for the longest time until there is room.
    fn shrink(&self, index: &mut Index, most: u64) {
        while index.bytes > most {
            let Some((_, oldest)) = index.order.first_key_value().map(|(turn, id)| (*turn, *id)) else { return };
            if let Some(entry) = index.remove(oldest) {
                let _ = fs::remove_file(self.current().join(name_of(entry.target, oldest)));
            }
        }
    }

    /// Finds what a program before this one has left.
    fn scan(&self) {
        for first in 0..=255u8 {
            for entry in fs::read_dir(self.current().join(format!("{first:02x}"))).into_iter().flatten().flatten() {
                let path = entry.path();
                let Some((id, found)) = found(&path) else {
                    let _ = fs::remove_file(&path);
                    continue;
                };
                let mut index = self.lock();
                // It may have been removed or replaced meanwhile.
                if path.exists() && !index.files.contains_key(&id) {
                    index.insert(id, found);
                    self.shrink(&mut index, self.most.load(Ordering::Relaxed));
                }
            }
        }
        self.is_scanned.store(true, Ordering::Release);
    }
}

/// Starts the threads that write and look through the folder. They end with the cache.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(cache: &Arc<Cache>, work: Receiver<Job>) -> io::Result<()> {
    let of = |cache: &Weak<Cache>| cache.upgrade();
    let weak = Arc::downgrade(cache);
    std::thread::Builder::new().name("cache-write".into()).spawn(move || {
        let mut complained = false;
        while let Ok(job) = work.recv() {
            let Some(cache) = of(&weak) else { return };
            let Some(disk) = &cache.disk else { return };
            match disk.write(&cache, &job) {
                Ok(()) => complained = false,
                Err(error) if !complained => {
                    complained = true;
                    tracing::warn!(%error, folder = %disk.folder.display(), "an answer was not written to the cache's folder");
                }
                Err(_) => {}
            }
        }
    })?;
    let weak = Arc::downgrade(cache);
    std::thread::Builder::new().name("cache-scan".into()).spawn(move || {
        if let Some(cache) = weak.upgrade()
            && let Some(disk) = &cache.disk
        {
            disk.scan();
        }
    })?;
    Ok(())
}

fn remove_in_background(folder: PathBuf) {
    let _ = std::thread::Builder::new().name("cache-remove".into()).spawn(move || fs::remove_dir_all(folder));
}

/// Texts behind each other, each with its length before it.
struct Texts(Vec<u8>);

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.0.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(text);
    }
}

/// Takes the next of them.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(text)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    take(rest)?.try_into().ok().map(u64::from_be_bytes)
}

fn write(path: &Path, key: &[u8], stored: &Stored) -> io::Result<u64> {
    let pieces = stored.pieces().ok_or(io::ErrorKind::InvalidInput)?;
    let came = SystemTime::now().checked_sub(stored.resident()).unwrap_or(UNIX_EPOCH);
    let came = came.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (varies_by, variant) = stored.varies();
    let mut header = Texts(Vec::new());
    header.push(key);
    header.push(stored.way().as_bytes());
    header.push(&came.to_be_bytes());
    header.push(&stored.freshness.age.to_be_bytes());
    header.push(stored.head());
    header.push(&(varies_by.len() as u64).to_be_bytes());
    varies_by.iter().chain(variant).for_each(|text| header.push(text));
    let header = header.0;
    let length = pieces.length();
    let body_sum = sum_of(pieces.all().iter().map(|piece| &**piece));
    let mut file = File::create(path)?;
    let mut prefix = Vec::with_capacity(PREFIX);
    prefix.extend_from_slice(MAGIC);
    prefix.extend_from_slice(&u32::try_from(header.len()).map_err(|_| io::ErrorKind::InvalidInput)?.to_be_bytes());
    prefix.extend_from_slice(&length.to_be_bytes());
    prefix.extend_from_slice(&sum_of([&prefix[..], &header].into_iter()));
    prefix.extend_from_slice(&body_sum);
    file.write_all(&prefix)?;
    file.write_all(&header)?;
    for piece in pieces.all() {
        file.write_all(piece)?;
    }
    Ok((prefix.len() + header.len()) as u64 + length)
}

/// The beginning of a file.
struct Begin {
    header: Vec<u8>,
    length: u64,
    body_sum: Id,
}

fn begin(file: &mut File) -> Option<Begin> {
    let mut prefix = [0; PREFIX];
    file.read_exact(&mut prefix).ok()?;
    let header_length = u32::from_be_bytes(prefix[8..12].try_into().ok()?);
    if !prefix.starts_with(MAGIC) || header_length > LONGEST_HEADER {
        return None;
    }
    let length = u64::from_be_bytes(prefix[12..20].try_into().ok()?);
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header).ok()?;
    let is_right = sum_of([&prefix[..20], &header].into_iter()) == prefix[20..36];
    is_right.then(|| Begin { header, length, body_sum: prefix[36..].try_into().unwrap_or_default() })
}

/// What stands in a header.
struct Header {
    key: Vec<u8>,
    saved: Saved,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes;
    let key = take(&mut rest)?.to_vec();
    let way = Arc::from(std::str::from_utf8(take(&mut rest)?).ok()?);
    let came = UNIX_EPOCH.checked_add(Duration::from_secs(take_number(&mut rest)?))?;
    let age = take_number(&mut rest)?;
    let head = take(&mut rest)?.to_vec();
    let count = usize::try_from(take_number(&mut rest)?).ok().filter(|count| *count <= 1000)?;
    let mut texts = (0..2 * count).map(|_| take(&mut rest).map(Into::into)).collect::<Option<Vec<Box<[u8]>>>>()?;
    let variant = texts.split_off(count);
    Some(Header { key, saved: Saved { way, varies_by: texts, variant, head, came, age } })
}

/// What is in a file that was found.
fn found(path: &Path) -> Option<(Id, Entry)> {
    let mut file = File::open(path).ok()?;
    let begin = begin(&mut file)?;
    let bytes = file.metadata().ok()?.len();
    if bytes != PREFIX as u64 + begin.header.len() as u64 + begin.length {
        return None;
    }
    let Header { key, saved } = header(&begin.header)?;
    let target = target_of(&key);
    let name = path.file_name()?.to_str()?;
    let mut id = Id::default();
    let hex = name.split_once('-')?.1;
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    if !path.ends_with(name_of(target, id)) {
        return None;
    }
    Some((id, Entry { target, way: saved.way, varies_by: saved.varies_by, variant: saved.variant, bytes, used: 0 }))
}

enum Unread {
    /// Too much is in memory.
    NoRoom,
    /// It is not what was written.
    Broken,
}

fn read(path: &Path, cache: &Cache, key: &[u8]) -> Result<Stored, Unread> {
    let mut file = File::open(path).map_err(|_| Unread::Broken)?;
    let begin = begin(&mut file).ok_or(Unread::Broken)?;
    let header = header(&begin.header).filter(|header| header.key == key).ok_or(Unread::Broken)?;
    let held = cache.hold(begin.length).ok_or(Unread::NoRoom)?;
    let mut body = Vec::with_capacity(usize::try_from(begin.length).map_err(|_| Unread::Broken)?);
    file.take(begin.length).read_to_end(&mut body).map_err(|_| Unread::Broken)?;
    if body.len() as u64 != begin.length || sum_of([&body[..]].into_iter()) != begin.body_sum {
        return Err(Unread::Broken);
    }
    Stored::restored(header.saved, Bytes::from(body), held, SystemTime::now()).ok_or(Unread::Broken)
}
