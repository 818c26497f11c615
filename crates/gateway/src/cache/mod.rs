//! Answers that are kept for others (RFC 9111): a shared cache in memory, and in a folder where there is one.
//!
//! [`rules`] says what may be kept and whom it may answer; here it is kept. An answer that comes for the first time is read into memory
//! as fast as its target sends it, and everybody who asked meanwhile reads along ([`Filling`]): a slow client slows down nobody,
//! and one that goes away takes nothing with it. What is not whole is never kept.

// Seen by `fuzz/` too (`crate::fuzzed`).
pub mod control;
mod disk;
pub mod rules;
mod stored;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use quick_cache::{OptionsBuilder, Weighter, sync};
use tokio::sync::watch;

use crate::{http::head::Field, metrics::series};

use disk::Disk;
pub(crate) use stored::{Content, End, Filling, Parts, Pieces, Stored};

/// The most answers to one target that differ by what was asked with.
const MOST_VARIANTS: usize = 16;
/// What an answer is held to take beside its bytes.
const OVERHEAD: u64 = 1024;
/// How many targets are remembered as ones whose answers are not kept, and how many for what was made old.
const REMEMBERED: usize = 1 << 16;

/// A target: its authority and its path with its query.
pub(crate) type Key = Box<[u8]>;

/// All answers to one target.
#[derive(Debug)]
pub(crate) struct Resource {
    /// The newest one last.
    variants: Vec<Arc<Stored>>,
}

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<Key, Arc<Resource>> for Weigh {
    fn weight(&self, key: &Key, resource: &Arc<Resource>) -> u64 {
        key.len() as u64 + resource.variants.iter().map(|stored| stored.weight() + OVERHEAD).sum::<u64>()
    }
}

/// Where answers to one target are on their way.
#[derive(Debug, Clone)]
pub(crate) enum Flight {
    /// Nothing is known yet.
    Waiting,
    /// This one, or the beginning of it.
    Serving(Arc<Stored>),
    /// It is not for others: each goes on alone.
    Alone,
}

/// What somebody does who found nothing.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Asks the target, for all who come meanwhile.
    Lead(Leader),
    /// Waits for the one who does.
    Follow(watch::Receiver<Flight>),
    /// Asks for itself: answers of this target were not for others lately.
    Alone,
}

struct InFlight {
    id: u64,
    way: Arc<str>,
    news: watch::Receiver<Flight>,
}

/// The cache.
pub(crate) struct Cache {
    resources: sync::Cache<Key, Arc<Resource>, Weigh>,
    /// One at a time changes what is kept of a target: what two found out at once is both kept.
    changes: Mutex<()>,
    flights: Mutex<HashMap<Key, Vec<InFlight>>>,
    next_flight: AtomicU64,
    /// By hash: targets whose answers are not kept. A wrong one costs a second question, no more.
    passed: Box<[AtomicU32]>,
    /// By hash: how often something was made old.
    made_old: Box<[AtomicU32]>,
    hasher: RandomState,
    /// Bytes of all bodies that there are, also of those that are kept no more and somebody still reads.
    held: Arc<AtomicU64>,
    /// Bytes of bodies that were coded beside.
    coded: Arc<AtomicU64>,
    memory: AtomicU64,
    max_object: AtomicU64,
    disk: OnceLock<Disk>,
    pub(crate) counts: Counts,
}

/// Where answers are kept beside memory.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// Bytes at most.
    pub(crate) most: u64,
    /// Under which circumstances they may be used.
    pub(crate) of: String,
}

/// What the cache has done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: AtomicU64,
    pub(crate) revalidated: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) collapsed: AtomicU64,
    /// Bytes of content that clients got and no target sent.
    pub(crate) saved: AtomicU64,
    /// Answers that were read from the folder.
    pub(crate) loaded: AtomicU64,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("answers", &self.resources.len()).finish_non_exhaustive()
    }
}

/// Bytes that are held to be in memory, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Held {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Held {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Both are one from now on.
    pub(crate) fn take(&mut self, mut more: Self) {
        self.bytes += std::mem::take(&mut more.bytes);
    }

    /// No more than is needed.
    pub(crate) fn shrink(mut self, bytes: u64) -> Self {
        let spare = self.bytes.saturating_sub(bytes);
        self.all.fetch_sub(spare, Ordering::Relaxed);
        self.bytes -= spare;
        self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// From when on an answer was on its way: what made it old meanwhile keeps it from being kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    slot: usize,
    seen: u32,
}

impl Cache {
    /// One for so many bytes, of answers of so many bytes at most; with a folder it goes on with what is in there.
    ///
    /// # Errors
    /// The folder can't be used.
    pub(crate) fn new(memory: u64, max_object: u64, folder: Option<Folder>) -> io::Result<Arc<Self>> {
        let zeros = || (0..REMEMBERED).map(|_| AtomicU32::new(0)).collect();
        // Each shard has its part of the memory, and has to take the largest object.
        let most_shards = (memory / max_object.max(1) / 4).clamp(1, 16);
        let shards = 1usize << most_shards.ilog2();
        let items = usize::try_from(memory / 16_384).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let resources = match OptionsBuilder::new().shards(shards).estimated_items_capacity(items).weight_capacity(memory).build()
        {
            Ok(options) => sync::Cache::with_options(options, Weigh, Default::default(), Default::default()),
            Err(_) => sync::Cache::with_weighter(items, memory, Weigh),
        };
        let cache = Self {
            resources,
            changes: Mutex::default(),
            flights: Mutex::default(),
            next_flight: AtomicU64::new(0),
            passed: zeros(),
            made_old: zeros(),
            hasher: RandomState::new(),
            held: Arc::default(),
            coded: Arc::default(),
            memory: AtomicU64::new(memory),
            max_object: AtomicU64::new(max_object),
            disk: OnceLock::new(),
            counts: Counts::default(),
        };
        let cache = Arc::new(cache);
        if let Some(folder) = folder {
            cache.open_folder(&folder)?;
        }
        Ok(cache)
    }

    /// Goes on with what is in a folder, and keeps answers there, too. Once: another folder needs another start.
    ///
    /// # Errors
    /// The folder can't be used.
    pub(crate) fn open_folder(self: &Arc<Self>, folder: &Folder) -> io::Result<()> {
        if self.disk.get().is_some() {
            return Ok(());
        }
        let (disk, work) = Disk::open(&folder.path, folder.most, &folder.of)?;
        if self.disk.set(disk).is_ok() {
            disk::start(self, work)?;
        }
        Ok(())
    }

    /// Leaves the folder to another gateway: the end.
    pub(crate) fn leave_folder(&self) {
        if let Some(disk) = self.disk.get() {
            disk.leave();
        }
    }

    /// Another policy has other bounds.
    pub(crate) fn set_bounds(&self, memory: u64, max_object: u64, disk: u64) {
        if let Some(kept) = self.disk.get() {
            kept.set_bound(disk);
        }
        self.max_object.store(max_object, Ordering::Relaxed);
        if self.memory.swap(memory, Ordering::Relaxed) != memory {
            self.resources.set_capacity(memory);
        }
    }

    /// The largest body that is kept, in bytes.
    pub(crate) fn max_object(&self) -> u64 {
        self.max_object.load(Ordering::Relaxed)
    }

    /// What it did and what it holds, for Prometheus.
    pub(crate) fn text(&self, text: &mut String) {
        let Counts { hits, revalidated, stale, misses, collapsed, saved, loaded } = &self.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let results = [("hit", hits), ("revalidated", revalidated), ("stale", stale), ("stored", misses)];
        let results: Vec<_> = results.iter().map(|(name, count)| (format!("{{result=\"{name}\"}}"), read(count))).collect();
        let mut one = |name, help, kind, value| series(text, name, help, kind, &[(String::new(), value)]);
        one("cache_saved_bytes_total", "Bytes of content from the cache, which no target sent.", "counter", read(saved));
        one("cache_collapsed_total", "Requests that got what another one had asked for.", "counter", read(collapsed));
        one("cache_targets", "Targets of which answers are kept.", "gauge", self.resources.len() as u64);
        one("cache_bytes", "Bytes of kept answers.", "gauge", self.resources.weight());
        one("cache_held_bytes", "Bytes of bodies in memory, kept or still being read.", "gauge", read(&self.held));
        if let Some(disk) = self.disk.get() {
            let (answers, bytes, dropped) = disk.size();
            one("cache_folder_answers", "Answers in the cache's folder.", "gauge", answers);
            one("cache_folder_bytes", "Bytes of answers in the cache's folder.", "gauge", bytes);
            one("cache_folder_loaded_total", "Answers that were read from the folder.", "counter", read(loaded));
            one("cache_folder_dropped_total", "Answers that were not written: the folder was too slow.", "counter", dropped);
        }
        series(text, "cache_answers_total", "Answers from the cache, and into it.", "counter", &results);
    }

    /// Room for so many bytes of a body; `None` when slow readers hold so much that there is none.
    pub(crate) fn hold(&self, bytes: u64) -> Option<Held> {
        let memory = self.memory.load(Ordering::Relaxed);
        // What is read from is still there when it is kept no more.
        let most = memory.saturating_add(memory / 4);
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { all: self.held.clone(), bytes };
        (before + bytes <= most).then_some(held)
    }

    /// The same for what is coded beside: it must not take the room of what there is only once.
    pub(crate) fn hold_coded(&self, bytes: u64) -> Option<Held> {
        let most = self.memory.load(Ordering::Relaxed) / 4;
        let before = self.coded.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { all: self.coded.clone(), bytes };
        (before + bytes <= most).then_some(held)
    }

    /// What is kept for this request: by this way, and with what it is asked with.
    pub(crate) fn find(&self, key: &[u8], way: &str, buffer: &[u8], fields: &[Field]) -> Option<Arc<Stored>> {
        let resource = self.resources.get(key)?;
        // The newest one that fits (section 4).
        resource.variants.iter().rev().find(|stored| stored.is_for(way, buffer, fields)).cloned()
    }

    /// As [`Cache::find`], and then in the folder.
    pub(crate) async fn look_up(self: &Arc<Self>, key: &[u8], way: &str, buffer: &[u8], fields: &[Field]) -> Option<Arc<Stored>> {
        if let Some(stored) = self.find(key, way, buffer, fields) {
            return Some(stored);
        }
        let since = self.since(key);
        let file = self.disk.get()?.find(key, way, buffer, fields)?;
        let (cache, key) = (self.clone(), key.to_vec());
        let loaded = tokio::task::spawn_blocking(move || {
            let stored = Arc::new(cache.disk.get()?.load(&cache, &key, &file)?);
            cache.keep(&key, stored.clone(), since).then_some(stored)
        });
        let stored = loaded.await.ok()??;
        self.counts.loaded.fetch_add(1, Ordering::Relaxed);
        Some(stored).filter(|stored| stored.is_for(way, buffer, fields))
    }

    /// Keeps an answer, also in the folder, unless something has made it old since it was asked for.
    pub(crate) fn put(&self, key: &[u8], stored: Arc<Stored>, since: Since) {
        if self.keep(key, stored.clone(), since)
            && let Some(disk) = self.disk.get()
        {
            disk.save(key, &stored, since);
        }
    }

    /// Keeps an answer in memory. What only its fields are new of is written again when its body is.
    pub(crate) fn keep(&self, key: &[u8], stored: Arc<Stored>, since: Since) -> bool {
        let _one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_changed(since) {
            return false;
        }
        self.unpass(key);
        let mut variants = self.resources.peek(key).map(|resource| resource.variants.clone()).unwrap_or_default();
        variants.retain(|known| !known.is_replaced_by(&stored));
        if variants.len() >= MOST_VARIANTS {
            variants.remove(0);
        }
        variants.push(stored);
        self.resources.insert(key.into(), Arc::new(Resource { variants }));
        true
    }

    /// Forgets one answer, if it is still the one that is kept; also where it is still to be written. From when on another one may be.
    pub(crate) fn forget(&self, key: &[u8], stored: &Arc<Stored>) -> Since {
        let one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_old(key);
        if let Some(resource) = self.resources.peek(key) {
            let variants: Vec<_> = resource.variants.iter().filter(|known| !Arc::ptr_eq(known, stored)).cloned().collect();
            if variants.is_empty() {
                self.resources.remove(key);
            } else {
                self.resources.insert(key.into(), Arc::new(Resource { variants }));
            }
        }
        drop(one);
        if let Some(disk) = self.disk.get() {
            // All of the target's: what is still good comes again.
            disk.remove(key);
        }
        self.since(key)
    }

    fn make_old(&self, key: &[u8]) {
        if let Some(count) = self.made_old.get(self.slot(key)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all answers to a target, also those that are on their way (section 4.4). Answers whether there were any. When it returns
    /// they are gone from the folder, too.
    pub(crate) fn invalidate(&self, key: &[u8]) -> bool {
        let one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_old(key);
        // Who comes from now on does not join those who asked before.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let in_memory = self.resources.remove(key).is_some();
        drop(one);
        let in_folder = self.disk.get().is_some_and(|disk| disk.remove(key));
        in_memory || in_folder
    }

    /// Forgets everything. `of`: under which circumstances the folder is used from now on, if these are others.
    pub(crate) fn clear(&self, of: Option<&str>) {
        let _one = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for count in &*self.made_old {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.resources.clear();
        if let Some(disk) = self.disk.get() {
            disk.clear(of);
        }
    }

    fn slot(&self, key: &[u8]) -> usize {
        usize::try_from(self.hasher.hash_one(key) % REMEMBERED as u64).unwrap_or_default()
    }

    /// From now on.
    pub(crate) fn since(&self, key: &[u8]) -> Since {
        let slot = self.slot(key);
        Since { slot, seen: self.made_old.get(slot).map_or(0, |count| count.load(Ordering::Relaxed)) }
    }

    fn has_changed(&self, since: Since) -> bool {
        self.made_old.get(since.slot).is_some_and(|count| count.load(Ordering::Relaxed) != since.seen)
    }

    fn mark(&self, key: &[u8]) -> (usize, u32) {
        let hash = self.hasher.hash_one(key);
        let slot = usize::try_from(hash % REMEMBERED as u64).unwrap_or_default();
        (slot, u32::try_from(hash >> 32).unwrap_or_default().max(1))
    }

    /// Answers of this target are not for others: nobody waits for one the next time.
    pub(crate) fn pass(&self, key: &[u8]) {
        let (slot, mark) = self.mark(key);
        if let Some(passed) = self.passed.get(slot) {
            passed.store(mark, Ordering::Relaxed);
        }
    }

    fn unpass(&self, key: &[u8]) {
        let (slot, mark) = self.mark(key);
        if let Some(passed) = self.passed.get(slot) {
            let _ = passed.compare_exchange(mark, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// What to do about a target of which nothing is there, or nothing that may be used.
    pub(crate) fn join(self: &Arc<Self>, key: &[u8], way: &Arc<str>) -> Turn {
        let (slot, mark) = self.mark(key);
        if self.passed.get(slot).is_some_and(|passed| passed.load(Ordering::Relaxed) == mark) {
            return Turn::Alone;
        }
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key).and_then(|all| all.iter().find(|flight| flight.way == *way)) {
            return Turn::Follow(flight.news.clone());
        }
        let (tell, news) = watch::channel(Flight::Waiting);
        let id = self.next_flight.fetch_add(1, Ordering::Relaxed);
        flights.entry(key.into()).or_default().push(InFlight { id, way: way.clone(), news });
        Turn::Lead(Leader { cache: self.clone(), key: key.into(), id, since: self.since(key), tell })
    }
}

/// The one who asks a target for all who wait. When it goes without a word, each of them goes on alone.
#[derive(Debug)]
pub(crate) struct Leader {
    cache: Arc<Cache>,
    key: Key,
    id: u64,
    since: Since,
    tell: watch::Sender<Flight>,
}

impl Leader {
    /// This is the answer, or the beginning of it. What was made old meanwhile is nobody's but the one's who asked.
    pub(crate) fn serve(&self, stored: Arc<Stored>) {
        let is_old = self.cache.has_changed(self.since);
        self.tell.send_replace(if is_old { Flight::Alone } else { Flight::Serving(stored) });
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = flights.get_mut(&self.key) {
            all.retain(|flight| flight.id != self.id);
            if all.is_empty() {
                flights.remove(&self.key);
            }
        }
        drop(flights);
        self.tell.send_if_modified(|flight| {
            let is_waiting = matches!(flight, Flight::Waiting);
            if is_waiting {
                *flight = Flight::Alone;
            }
            is_waiting
        });
    }
}
