//! The gateway as a whole: where it listens, the policy that is in force, and how it stops.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};

use crate::{
    auth::Doorkeeper,
    cache::{Cache, Folder},
    dial::Pool,
    egress::{Egresses, Lane},
    guard::Guard,
    http::write::Passing,
    limits::Limits,
    log::{Format, Log},
    metrics::Metrics,
    policy::{
        EgressSettings, Policy, Settings, Way,
        value::{ForwardedFields, LogFormat},
    },
    resolve::Resolver,
    session,
    sink::Sink,
};

/// How many connections may wait to be taken.
const BACKLOG: u32 = 4096;
/// How often ways out are tried that are due.
const TRY: Duration = Duration::from_millis(500);
/// How often idle connections are looked through, in turns of [`TRY`].
const SWEEP_TURNS: u32 = 10;
/// How long what was cut has to write its record.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long the last write of used volumes may take, and that of the last records.
const LAST_WRITE: Duration = Duration::from_secs(3);
/// How long nothing is taken after the system had no more descriptors.
const NO_DESCRIPTORS: Duration = Duration::from_millis(50);

/// A policy and what follows from it: what a request sees from its beginning to its end.
pub(crate) struct Snapshot {
    pub(crate) policy: Policy,
    pub(crate) guard: Guard,
    pub(crate) passing: Passing,
    pub(crate) lanes: Vec<Arc<Lane>>,
    /// The way of rules that name none.
    pub(crate) direct: Arc<Lane>,
    /// Another number for other limits, and a higher one.
    pub(crate) limits_edition: u64,
    pub(crate) resolver: Resolver,
}

/// What all connections share.
pub(crate) struct Shared {
    snapshot: ArcSwap<Snapshot>,
    pub(crate) resolver: Resolver,
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) egress: Egresses,
    pub(crate) pool: Pool,
    pub(crate) limits: Arc<Limits>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) log: Log,
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) metrics: Metrics,
    /// Lists were fetched that are other ones than those in force.
    pub(crate) lists_changed: tokio::sync::Notify,
    usage: Option<PathBuf>,
    usage_turn: tokio::sync::Mutex<()>,
    own: Vec<SocketAddr>,
    /// Told apart from another gateway of the same name by what comes behind it.
    stop: watch::Sender<Stop>,
    is_draining: AtomicBool,
    open: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, u32>>,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stop {
    Running,
    /// No new connections; what is on its way may end.
    Draining,
    /// What is still on its way is cut.
    Cut,
}

/// Hears of the end.
pub(crate) struct StopWatch(watch::Receiver<Stop>);

impl StopWatch {
    /// Returns when the gateway begins to stop.
    pub(crate) async fn draining(&mut self) {
        // The sender goes away with everything else.
        let _ = self.0.wait_for(|stop| *stop >= Stop::Draining).await;
    }

    /// Returns when what is still on its way is cut.
    pub(crate) async fn cut(&mut self) {
        let _ = self.0.wait_for(|stop| *stop >= Stop::Cut).await;
    }
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub(crate) fn watch(&self) -> StopWatch {
        StopWatch(self.stop.subscribe())
    }

    fn make(&self, policy: Policy) -> Snapshot {
        let before = self.snapshot.load();
        make(policy, self.own.clone(), self.resolver.clone(), Some(&before))
    }

    /// Counts a client's connection; `None` when it has as many as it may have.
    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admitted> {
        let most = self.snapshot.load().policy.settings().clients.max_connections;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(clients);
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Admitted { shared: self.clone(), client })
    }
}

/// A client's connection that is counted.
struct Admitted {
    shared: Arc<Shared>,
    client: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
        drop(clients);
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn make(policy: Policy, own: Vec<SocketAddr>, resolver: Resolver, before: Option<&Snapshot>) -> Snapshot {
    let settings = policy.settings();
    let passing =
        Passing { via: settings.forwarded.via.value.clone(), tells_client: settings.forwarded.headers == ForwardedFields::Add };
    // A way that stays the same keeps what is known of it: who is on it, and whether it is in trouble.
    let lane = |settings: &EgressSettings| {
        let known = before.into_iter().flat_map(|before| before.lanes.iter().chain([&before.direct]));
        known.into_iter().find(|lane| lane.is_for(settings)).cloned().unwrap_or_else(|| Arc::new(Lane::new(settings.clone())))
    };
    let lanes = settings.egresses.iter().map(lane).collect();
    let direct = lane(&EgressSettings {
        name: "direct".into(),
        way: Way::Direct { source: None },
        weight: 1,
        max_connections: None,
        max_waiting: 0,
        check_every: Duration::ZERO,
    });
    static EDITIONS: AtomicU64 = AtomicU64::new(1);
    let same_limits = before.filter(|before| before.policy.settings().limits == settings.limits);
    let limits_edition = same_limits.map_or_else(|| EDITIONS.fetch_add(1, Ordering::Relaxed), |before| before.limits_edition);
    Snapshot { guard: policy.guard(own), passing, lanes, direct, limits_edition, resolver, policy }
}

/// Where answers are kept beside memory.
fn folder_of(settings: &Settings) -> Option<Folder> {
    let folder = settings.cache.folder.as_ref().filter(|_| settings.cache.enabled)?;
    Some(Folder { path: folder.into(), most: settings.cache.disk.0, of: kept_under(settings) })
}

/// Under which circumstances answers were kept: a name that leads into a network which was closed since must not be answered from what
/// is kept of it.
fn kept_under(settings: &Settings) -> String {
    let networks: Vec<String> = settings.network.open.iter().map(|net| net.value.to_string()).collect();
    format!("open: {}\n", networks.join(" "))
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It can't listen there.
    #[error("The gateway can't listen on {0}: {1}.")]
    Listen(SocketAddr, io::Error),
    /// The log can't be written.
    #[error("The log {0} can't be opened: {1}.")]
    Log(String, io::Error),
    /// The file for used volumes can't be read or written.
    #[error("The file for used volumes, {0}, can't be used: {1}.")]
    Usage(String, io::Error),
    /// The folder of the cache can't be used.
    #[error("The cache's folder {0} can't be used: {1}.")]
    Cache(String, io::Error),
    /// The name servers of this machine are not known.
    #[error("This machine's name servers can't be found out: {0}.")]
    Resolver(String),
}

/// A gateway that runs.
pub struct Gateway {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Listens where the policy says, or at `listen` where it is given, and serves from then on.
    ///
    /// # Errors
    /// It can't listen, log or resolve.
    pub async fn start(policy: Policy, listen: Option<Vec<SocketAddr>>) -> Result<Self, StartError> {
        Self::start_with(policy, listen, None).await
    }

    /// As [`Gateway::start`], with somebody else who takes a record of each transaction.
    ///
    /// # Errors
    /// It can't listen, log or resolve.
    pub async fn start_with(
        policy: Policy, listen: Option<Vec<SocketAddr>>, sink: Option<Arc<dyn Sink>>,
    ) -> Result<Self, StartError> {
        let settings = policy.settings();
        let resolver = Resolver::system(settings.timeouts.connect).map_err(|error| StartError::Resolver(error.to_string()))?;
        let log = match &settings.log.path {
            None => Log::none(),
            Some(path) => {
                let format = match settings.log.format {
                    LogFormat::Json => Format::Json,
                    LogFormat::Squid => Format::Squid,
                };
                Log::open(Path::new(path), format).map_err(|error| StartError::Log(path.clone(), error))?
            }
        };
        let mut listeners = Vec::new();
        for address in listen.unwrap_or_else(|| settings.listen.addresses.clone()) {
            listeners.push(bind(address).map_err(|error| StartError::Listen(address, error))?);
        }
        let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let limits = Arc::new(Limits::default());
        let usage = settings.usage.path.as_ref().map(PathBuf::from);
        if let Some(path) = &usage {
            match std::fs::read_to_string(path) {
                Ok(text) => limits.go_on(&text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    write_usage(path, "").map_err(|error| unusable(path, error))?
                }
                Err(error) => return Err(unusable(path, error)),
            }
        }
        let cache = Cache::new(settings.cache.memory.0, settings.cache.max_object.0, folder_of(settings))
            .map_err(|error| StartError::Cache(settings.cache.folder.clone().unwrap_or_default(), error))?;
        let snapshot = make(policy, addresses.clone(), resolver.clone(), None);
        limits.put_in_force(snapshot.limits_edition, &snapshot.policy.settings().limits);
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            resolver,
            doorkeeper: Doorkeeper::default(),
            egress: Egresses::default(),
            pool: Pool::default(),
            limits,
            cache,
            log,
            sink,
            metrics: Metrics::default(),
            lists_changed: tokio::sync::Notify::new(),
            usage,
            usage_turn: tokio::sync::Mutex::default(),
            own: addresses.clone(),
            stop: watch::Sender::new(Stop::Running),
            is_draining: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            clients: Mutex::default(),
        });
        for listener in listeners {
            tokio::spawn(accept(shared.clone(), listener));
        }
        tokio::spawn(sweep(shared.clone()));
        tokio::spawn(crate::fetch::keep_fetching(shared.clone()));
        Ok(Self { shared, addresses })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Puts another policy in force: for every request that begins from now on. Those on their way keep the one they began with, and go on
    /// by what the new one says of their limit, where it has one of that name.
    /// Where it listens and logs does not change.
    pub fn swap(&self, policy: Policy) {
        let next = self.shared.make(policy);
        let (settings, cache) = (next.policy.settings(), &self.shared.cache);
        cache.set_bounds(settings.cache.memory.0, settings.cache.max_object.0, settings.cache.disk.0);
        let (now, is_enabled) = (kept_under(settings), settings.cache.enabled);
        let before = kept_under(self.shared.snapshot.load().policy.settings());
        // The policy of the start may have had no cache.
        if let Some(folder) = folder_of(settings)
            && let Err(error) = cache.open_folder(&folder)
        {
            tracing::error!(%error, folder = %folder.path.display(), "the cache's folder can't be used: answers are kept in memory only");
        }
        let next = Arc::new(next);
        self.shared.snapshot.store(next.clone());
        self.shared.limits.put_in_force(next.limits_edition, &next.policy.settings().limits);
        if now != before || !is_enabled {
            self.shared.cache.clear(Some(&now));
        }
    }

    /// Returns when lists were fetched that are not in force yet: the policy is to be read again, and swapped.
    pub async fn lists_changed(&self) {
        self.shared.lists_changed.notified().await;
    }

    /// What browsers ask for to find the gateway ([`crate::pac`]), where they reach this machine by the name `host`. `None`: this client is
    /// not served.
    #[must_use]
    pub fn pac(&self, host: &str, client: IpAddr) -> Option<String> {
        let snapshot = self.shared.snapshot.load();
        let port = self.addresses.first()?.port();
        snapshot.policy.serves(client.to_canonical()).then(|| crate::pac::script(&snapshot.policy, &format!("{host}:{port}")))
    }

    /// Forgets all kept answers.
    pub fn forget_answers(&self) {
        self.shared.cache.clear(None);
    }

    /// What has happened so far, for Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = self.shared.metrics.text();
        self.shared.cache.text(&mut text);
        let (records, dropped) = self.shared.log.counts();
        text.push_str(&format!(
            "# TYPE gatehouse_gateway_log_records_total counter\ngatehouse_gateway_log_records_total {records}\n\
             # TYPE gatehouse_gateway_log_dropped_total counter\ngatehouse_gateway_log_dropped_total {dropped}\n"
        ));
        text
    }

    /// Takes no more connections, gives what is on its way so long, and cuts what is left then. Answers how many were cut.
    pub async fn stop(&self) -> usize {
        let limit = self.shared.snapshot.load().policy.settings().timeouts.drain;
        self.shared.is_draining.store(true, Ordering::Relaxed);
        self.shared.stop.send_replace(Stop::Draining);
        self.shared.pool.clear();
        let begun = Instant::now();
        while self.shared.open.load(Ordering::Relaxed) > 0 && begun.elapsed() < limit {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let cut = self.shared.open.load(Ordering::Relaxed);
        self.shared.stop.send_replace(Stop::Cut);
        // What was cut writes its record.
        let begun = Instant::now();
        while self.shared.open.load(Ordering::Relaxed) > 0 && begun.elapsed() < LAST_WORDS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = tokio::time::timeout(LAST_WRITE, keep_usage(&self.shared)).await;
        self.shared.cache.leave_folder();
        // The program ends next: the thread that writes them ends with it.
        let begun = Instant::now();
        while !self.shared.log.is_settled() && begun.elapsed() < LAST_WRITE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cut
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // What is accepted has it from here: one system call less for each.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut stop = shared.watch();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.draining() => return,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // No descriptors left, most likely: those who are served give theirs back.
                tracing::warn!(%error, "a connection was not taken");
                shared.pool.clear();
                tokio::time::sleep(NO_DESCRIPTORS).await;
                continue;
            }
        };
        let address = client.ip().to_canonical();
        // Whoever is not served learns nothing, not even what this is.
        let admitted = if shared.snapshot.load().policy.serves(address) { shared.admit(address) } else { None };
        shared.metrics.connection(admitted.is_some());
        let Some(admitted) = admitted else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _admitted = admitted;
            session::serve(shared, stream, client).await;
        });
    }
}

fn unusable(path: &Path, error: io::Error) -> StartError {
    StartError::Usage(path.display().to_string(), error)
}

/// Under another name first: a program that ends in the middle leaves the one before.
fn write_usage(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    // Names of people are in it.
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

async fn keep_usage(shared: &Arc<Shared>) {
    let Some(path) = shared.usage.clone() else { return };
    // In order: what is older must not come later.
    let _one = shared.usage_turn.lock().await;
    let text = shared.limits.used();
    let written = tokio::task::spawn_blocking(move || write_usage(&path, &text).map_err(|error| (path, error))).await;
    if let Ok(Err((path, error))) = written {
        tracing::warn!(%error, path = %path.display(), "what is counted of volumes could not be kept");
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut stop = shared.watch();
    let mut turn = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TRY) => {
                turn += 1;
                crate::egress::try_lanes(&shared);
                if turn % SWEEP_TURNS == 0 {
                    shared.pool.sweep();
                    shared.limits.sweep();
                    // Not waited for: a folder that does not answer must not hold up what else is done here.
                    if shared.usage_turn.try_lock().is_ok() {
                        let shared = shared.clone();
                        tokio::spawn(async move { keep_usage(&shared).await });
                    }
                }
            }
            () = stop.draining() => return,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::names::Host;

    /// A name server that says a public address and one of this machine in turn, good for no time at all.
    pub(crate) async fn two_faced() -> SocketAddr {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            let mut turn = 0u32;
            while let Ok((count, from)) = socket.recv_from(&mut bytes).await {
                // RFC 1035, section 4.1: the question comes back with one answer, or none for AAAA.
                let question_end = 12 + bytes[12..count].iter().position(|byte| *byte == 0).unwrap_or_default() + 5;
                let is_a = bytes[question_end - 4..question_end - 2] == [0, 1];
                let mut answer = bytes[..question_end].to_vec();
                answer[2..4].copy_from_slice(&[0x85, 0x80]);
                answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
                if is_a {
                    turn += 1;
                    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                    let faces: [[u8; 4]; 3] = [[93, 184, 215, 14], [127, 0, 0, 1], [169, 254, 169, 254]];
                    answer.extend_from_slice(&faces[(turn % 3) as usize]);
                }
                let _ = socket.send_to(&answer, from).await;
            }
        });
        address
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_that_changes_its_address_each_time_never_leads_into_the_network() {
        let resolver = Resolver::at(two_faced().await);
        let policy = Policy::parse("[[rule]]\nname = 'all'\naction = 'allow'\n", Path::new(".")).expect("right");
        let snapshot = Arc::new(make(policy, Vec::new(), resolver, None));
        let (mut open, mut closed) = (0, 0);
        let tasks = (0..20).map(|number| {
            let snapshot = snapshot.clone();
            tokio::spawn(async move {
                // Each a name of its own: those who ask for the same one at the same time get the same answer.
                let host = Host::parse(&format!("two-faced-{number}.example")).expect("a name");
                let mut answers = Vec::new();
                for _ in 0..500 {
                    answers.push(Egresses::default().addresses(&snapshot, &host, 443, false).await);
                }
                answers
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            for answer in task.await.expect("answers") {
                match answer {
                    // What is dialled is what was vetted: these very addresses.
                    Ok(addresses) => {
                        assert_eq!(addresses, [SocketAddr::from(([93, 184, 215, 14], 443))]);
                        open += 1;
                    }
                    Err(refusal) => {
                        assert_eq!(refusal.status, 403, "{refusal:?}");
                        closed += 1;
                    }
                }
            }
        }
        assert_eq!(open + closed, 10_000);
        // It depends on who asks when, so it is not a third; but each face was seen.
        assert!(open > 0 && closed > 0, "{open} open, {closed} closed");
    }
}
