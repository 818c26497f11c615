//! Kept answers in a folder: more than memory holds, and still there after a restart.
//!
//! One file for each answer, written by a thread of its own under another name and renamed when it is whole; a file that is torn or was
//! changed does not match its checksum and is thrown away. What was made old is gone from the folder before anybody hears that it
//! was: a program that is killed the next moment does not find it again.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
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
/// How many files there may be: what is known of each of them takes memory.
const MOST_FILES: usize = 1_000_000;
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
    /// Whoever holds it may rename and remove files. Taken before the index, which is held for a moment only: everybody looks into it.
    files: Mutex<()>,
    index: Mutex<Index>,
    most: AtomicU64,
    jobs: SyncSender<Job>,
    dropped: AtomicU64,
    is_scanned: AtomicBool,
    /// Held for as long as the folder is this gateway's. Without it nothing in there is changed any more.
    claim: Mutex<Option<File>>,
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
    /// It can't be made or written, or is another gateway's.
    pub(crate) fn open(folder: &Path, most: u64, of: &str) -> io::Result<(Self, Receiver<Job>)> {
        make_folder(folder)?;
        let (jobs, work) = sync_channel(MOST_WAITING);
        let disk = Self {
            folder: folder.to_path_buf(),
            files: Mutex::default(),
            index: Mutex::default(),
            most: AtomicU64::new(most),
            jobs,
            dropped: AtomicU64::new(0),
            is_scanned: AtomicBool::new(false),
            claim: Mutex::default(),
        };
        let marked = fs::read_to_string(disk.marker());
        // Things are removed in here: it must be a folder of nothing else.
        let is_foreign = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.path() != disk.claimed());
        if marked.is_err() && fs::read_dir(folder)?.any(is_foreign) {
            let message = "there are things in it that are not the cache's: name an empty folder, or one that is not there yet";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        *disk.claim.lock().unwrap_or_else(PoisonError::into_inner) = Some(claim(&disk.claimed())?);
        // Only now: whoever had it until a moment ago may have changed it.
        if fs::read_to_string(disk.marker()).ok().as_deref() != Some(of) {
            disk.throw_away()?;
            fs::write(disk.marker(), of)?;
        }
        disk.make_folders()?;
        // What was being written or thrown away when the program ended.
        for entry in fs::read_dir(folder)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = |begin: &str| {
                let rest = name.strip_prefix(begin);
                rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
            };
            if is_ours("old-") {
                remove_in_background(entry.path());
            } else if is_ours("new-") {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok((disk, work))
    }

    fn make_folders(&self) -> io::Result<()> {
        (0..=255u8).try_for_each(|first| make_folder(&self.current().join(format!("{first:02x}"))))
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("kept-under")
    }

    fn claimed(&self) -> PathBuf {
        self.folder.join("in-use")
    }

    /// Leaves the folder to whoever comes next. What still waits to be written is not.
    pub(crate) fn leave(&self) {
        let _files = self.files();
        *self.lock() = Index::default();
        drop(self.claim.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Asked with the files held: who leaves waits for them.
    fn is_left(&self) -> bool {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn current(&self) -> PathBuf {
        self.folder.join("current")
    }

    fn files(&self) -> std::sync::MutexGuard<'_, ()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
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
        let _files = self.files();
        if self.is_left() {
            return;
        }
        *self.lock() = Index::default();
        let cleared = self.throw_away().and_then(|()| {
            self.make_folders()?;
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
        // Its file goes at once, too: nobody would find it to remove it later, and the next start would find it.
        let is_known = self.lock().remove(id).is_some();
        if is_known || !self.is_scanned.load(Ordering::Acquire) {
            let _files = self.files();
            if !self.is_left() {
                let _ = fs::remove_file(self.current().join(name_of(target_of(key), id)));
            }
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.jobs.try_send(Job { key: key.into(), stored: stored.clone(), since })
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all answers to a target. When it returns they are gone. Answers whether there were any.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let target = target_of(key);
        let is_scanned = self.is_scanned.load(Ordering::Acquire);
        // Also when nothing of it is known: a writer may be between the file and the index.
        let _files = self.files();
        if self.is_left() {
            return false;
        }
        let ids = {
            let mut index = self.lock();
            let ids = index.of_target.get(&target).cloned().unwrap_or_default();
            ids.iter().for_each(|id| drop(index.remove(*id)));
            ids
        };
        let mut were_there = !ids.is_empty();
        for id in ids {
            let _ = fs::remove_file(self.current().join(name_of(target, id)));
        }
        if !is_scanned {
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
            Err(Unread::NotNow) => None,
            Err(Unread::Broken) => {
                let _files = self.files();
                if !self.is_left() && self.lock().remove(*id).is_some() {
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
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let new = self.folder.join(format!("new-{}-{number}", std::process::id()));
        let written = write(&new, key, stored);
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        let bytes = taken_by(written?);
        let (varies_by, variant) = stored.varies();
        let entry =
            Entry { target, way: stored.way().clone(), varies_by: varies_by.to_vec(), variant: variant.to_vec(), bytes, used: 0 };
        {
            let _files = self.files();
            // Under the lock: whoever makes it old waits for it, or is seen.
            if self.is_left() || cache.has_changed(*since) || bytes > self.most.load(Ordering::Relaxed) {
                fs::remove_file(&new)?;
            } else {
                fs::rename(&new, self.current().join(name_of(target, id)))?;
                self.lock().insert(id, entry);
            }
        }
        self.shrink();
        Ok(())
    }

    /// Removes what was not used for the longest time until there is room. A few at a time: others want to go on, too.
    fn shrink(&self) {
        let most = self.most.load(Ordering::Relaxed);
        loop {
            let _files = self.files();
            let gone: Vec<String> = {
                let mut index = self.lock();
                let mut gone = Vec::new();
                while gone.len() < 64 && (index.bytes > most || index.files.len() > MOST_FILES) {
                    let Some(oldest) = index.order.first_key_value().map(|(_, id)| *id) else { break };
                    gone.extend(index.remove(oldest).map(|entry| name_of(entry.target, oldest)));
                }
                gone
            };
            if gone.is_empty() {
                return;
            }
            for name in gone {
                let _ = fs::remove_file(self.current().join(name));
            }
        }
    }

    /// Finds what a program before this one has left.
    fn scan(&self) {
        for first in 0..=255u8 {
            for entry in fs::read_dir(self.current().join(format!("{first:02x}"))).into_iter().flatten().flatten() {
                let path = entry.path();
                match found(&path) {
                    Ok((id, found)) => {
                        let _files = self.files();
                        if self.is_left() {
                            return;
                        }
                        let mut index = self.lock();
                        // It may have been removed or replaced meanwhile.
                        if path.exists() && !index.files.contains_key(&id) {
                            index.insert(id, found);
                        }
                    }
                    Err(Unread::Broken) => {
                        let _files = self.files();
                        if !self.is_left() {
                            let _ = fs::remove_file(&path);
                        }
                    }
                    Err(Unread::NotNow) => {}
                }
            }
            self.shrink();
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
            let Some(disk) = cache.disk.get() else { return };
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
            && let Some(disk) = cache.disk.get()
        {
            disk.scan();
        }
    })?;
    Ok(())
}

/// Says that the folder is this gateway's, for as long as the file is open: two that write, count and remove in one folder would lose
/// each other's answers, and give what the other one was told to forget.
///
/// # Errors
/// It is another one's.
fn claim(path: &Path) -> io::Result<File> {
    use rustix::fs::{FlockOperation, flock};
    let mut file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut whose = String::new();
            let _ = file.read_to_string(&mut whose);
            let process = whose.trim().parse::<u32>().map(|process| format!(" (process {process})")).unwrap_or_default();
            let message = format!("another gateway uses it{process}, and each needs a folder of its own");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        // A file system without locks is no reason to go without a cache.
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "whether another gateway uses the cache's folder can't be told")
        }
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
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

/// A folder for its owner alone: what people fetched is in it.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What a file of this length takes on a disk, about.
fn taken_by(length: u64) -> u64 {
    length.next_multiple_of(4096) + 512
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
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
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

fn begin(file: &mut File) -> Result<Begin, Unread> {
    let mut prefix = [0; PREFIX];
    file.read_exact(&mut prefix)?;
    let four = |from: usize| prefix[from..from + 4].try_into().unwrap_or_default();
    let eight = |from: usize| prefix[from..from + 8].try_into().unwrap_or_default();
    let header_length = u32::from_be_bytes(four(8));
    if !prefix.starts_with(MAGIC) || header_length > LONGEST_HEADER {
        return Err(Unread::Broken);
    }
    let length = u64::from_be_bytes(eight(12));
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header)?;
    let is_right = sum_of([&prefix[..20], &header].into_iter()) == prefix[20..36];
    if !is_right {
        return Err(Unread::Broken);
    }
    Ok(Begin { header, length, body_sum: prefix[36..].try_into().unwrap_or_default() })
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
fn found(path: &Path) -> Result<(Id, Entry), Unread> {
    let mut file = File::open(path)?;
    let begin = begin(&mut file)?;
    let bytes = file.metadata()?.len();
    if bytes != PREFIX as u64 + begin.header.len() as u64 + begin.length {
        return Err(Unread::Broken);
    }
    let Header { key, saved } = header(&begin.header).ok_or(Unread::Broken)?;
    let target = target_of(&key);
    let id = path.file_name().and_then(|name| id_in(name.to_str()?)).ok_or(Unread::Broken)?;
    if !path.ends_with(name_of(target, id)) {
        return Err(Unread::Broken);
    }
    let bytes = taken_by(bytes);
    Ok((id, Entry { target, way: saved.way, varies_by: saved.varies_by, variant: saved.variant, bytes, used: 0 }))
}

fn id_in(name: &str) -> Option<Id> {
    let hex = name.split_once('-')?.1;
    let mut id = Id::default();
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(id)
}

/// Why a file was not read.
enum Unread {
    /// It may be good: too much is in memory, or too many files are open, or the clock is wrong.
    NotNow,
    /// It is not what was written, or is not there.
    Broken,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Broken,
            _ => Self::NotNow,
        }
    }
}

fn read(path: &Path, cache: &Cache, key: &[u8]) -> Result<Stored, Unread> {
    let mut file = File::open(path)?;
    let begin = begin(&mut file)?;
    let header = header(&begin.header).filter(|header| header.key == key).ok_or(Unread::Broken)?;
    let held = cache.hold(begin.length).ok_or(Unread::NotNow)?;
    let mut body = Vec::with_capacity(usize::try_from(begin.length).map_err(|_| Unread::Broken)?);
    file.take(begin.length).read_to_end(&mut body)?;
    if body.len() as u64 != begin.length || sum_of([&body[..]].into_iter()) != begin.body_sum {
        return Err(Unread::Broken);
    }
    Stored::restored(header.saved, Bytes::from(body), held, SystemTime::now()).ok_or(Unread::NotNow)
}
