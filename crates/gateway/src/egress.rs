//! Ways out: directly, from an address, or through another proxy; one, or the best of several.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::ClientConfig};

use crate::{
    dial::{Undialled, dial},
    gateway::{Shared, Snapshot},
    guard::Guard,
    http::head::{self, Wrong},
    io::{Stream, Wire},
    names::Host,
    page::Refusal,
    policy::{
        Egress, EgressSettings, Upstream, Way, WayOut,
        file::Timeouts,
        value::{Strategy, UpstreamScheme, UpstreamUrl},
    },
    resolve::{Resolver, Unresolved},
    tls::{self, Trust},
};

/// How long a way that failed is passed over at first, and at most.
const TROUBLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a member of a pool is waited for to take a connection while there is another one: what is dead loses less than two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How often one that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long one that came back gets less than its share, and the least of it, in thousandths.
const WARMING: (Duration, u64) = (Duration::from_secs(10), 100);
/// When a client that was told to wait may try again, in seconds.
const BUSY_RETRY: u32 = 1;

/// One way out, and how it is doing.
#[derive(Debug)]
pub(crate) struct Lane {
    settings: EgressSettings,
    /// Its own, and not its name's: a way that was changed is another one, and shares no connection with what it was.
    id: u64,
    outstanding: AtomicU32,
    places: Option<Arc<Semaphore>>,
    waiting: AtomicU32,
    /// Failures in a row.
    failures: AtomicU32,
    /// Milliseconds since the start of the program before which it is passed over.
    trouble_until: AtomicU64,
    /// When it came back, likewise; 0: it was never away.
    back_since: AtomicU64,
    /// When it is to be tried next, likewise.
    try_at: AtomicU64,
    /// It does not take connections: only one that is taken ends that.
    is_down: AtomicBool,
    /// Where its settings have certificates of their own.
    tls: OnceLock<Option<Arc<ClientConfig>>>,
}

fn millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Lane {
    pub(crate) fn new(settings: EgressSettings) -> Self {
        let places = settings.max_connections.map(|most| Arc::new(Semaphore::new(most as usize)));
        static IDS: AtomicU64 = AtomicU64::new(0);
        Self {
            settings,
            id: IDS.fetch_add(1, Ordering::Relaxed),
            outstanding: AtomicU32::new(0),
            places,
            waiting: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            trouble_until: AtomicU64::new(0),
            back_since: AtomicU64::new(0),
            try_at: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            tls: OnceLock::new(),
        }
    }

    /// TLS to it, and to what is reached through it.
    fn tls(&self, trust: &Trust) -> Option<TlsConnector> {
        match &self.settings.way {
            Way::Upstream(Upstream { ca_pem: Some(pem), .. }) => {
                self.tls.get_or_init(|| trust.with(pem)).clone().map(TlsConnector::from)
            }
            _ => trust.plain(),
        }
    }

    /// Whether this lane can go on under a new policy, with all it knows.
    pub(crate) fn is_for(&self, settings: &EgressSettings) -> bool {
        self.settings == *settings
    }

    /// As it is called in rules and the log.
    pub(crate) fn name(&self) -> Arc<str> {
        self.settings.name.clone()
    }

    fn is_healthy(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed) && self.trouble_until.load(Ordering::Relaxed) <= millis()
    }

    /// Whether it leads through another proxy, which can be tried by itself.
    fn can_be_tried(&self) -> bool {
        !is_direct(&self.settings.way)
    }

    /// Its share of a pool now, in thousandths of a weight: one that came back a moment ago gets a little, and more from then on.
    fn share(&self) -> u64 {
        let whole = u64::from(self.settings.weight.max(1)) * 1000;
        let back = self.back_since.load(Ordering::Relaxed);
        let warming = u64::try_from(WARMING.0.as_millis()).unwrap_or(u64::MAX);
        let since = millis().saturating_sub(back);
        if back == 0 || since >= warming {
            return whole;
        }
        (whole * since / warming).max(whole * WARMING.1 / 1000)
    }

    /// What the last try has shown: whether it takes connections.
    fn tried(&self, works: bool) {
        let every = if works { self.settings.check_every } else { AGAIN.min(self.settings.check_every) };
        self.try_at.store(millis() + u64::try_from(every.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.is_down.swap(!works, Ordering::Relaxed) == works {
            if works {
                self.back_since.store(millis(), Ordering::Relaxed);
                tracing::info!(egress = &*self.settings.name, "the way out works again");
            } else {
                tracing::warn!(egress = &*self.settings.name, "the way out does not work: others are used");
            }
        }
    }

    fn failed(&self) {
        // Those that were on their way when it began to fail are one failure.
        if !self.is_healthy() {
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(10);
        let pause = TROUBLE.0.saturating_mul(1 << failures).min(TROUBLE.1);
        self.trouble_until.store(millis() + u64::try_from(pause.as_millis()).unwrap_or_default(), Ordering::Relaxed);
    }

    fn worked(&self) {
        if self.failures.swap(0, Ordering::Relaxed) > 0 {
            self.trouble_until.store(0, Ordering::Relaxed);
            self.back_since.store(millis(), Ordering::Relaxed);
        }
    }

    /// A place, at once or after waiting for one in a queue that has room.
    /// With another lane to try there is no waiting.
    async fn place(self: &Arc<Self>, limit: Duration, another: bool) -> Result<Place, Failed> {
        let permit = match &self.places {
            None => None,
            Some(places) => match places.clone().try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) if another => return Err(Failed::Busy),
                Err(_) => {
                    if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.settings.max_waiting {
                        self.waiting.fetch_sub(1, Ordering::Relaxed);
                        return Err(Failed::Busy);
                    }
                    let got = timeout(limit, places.clone().acquire_owned()).await;
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    Some(got.ok().and_then(Result::ok).ok_or(Failed::Busy)?)
                }
            },
        };
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Ok(Place { lane: self.clone(), _permit: permit })
    }
}

/// Counts one request or tunnel on its way, for as long as it is.
#[derive(Debug)]
struct Place {
    lane: Arc<Lane>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why the target was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Its name has no address.
    Name(Unresolved),
    /// All its addresses are closed; what they are.
    Closed(&'static str),
    /// Nothing was connected to.
    Dial(Undialled),
    /// Nor to the upstream proxy of this name.
    Upstream(Arc<str>, UpstreamFailed),
    /// As many are on their way as may be.
    Busy,
}

/// What an upstream proxy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamFailed {
    Unreached,
    /// Its name leads to addresses that are closed.
    Closed,
    Tls,
    Silent,
    /// It answered the request for a tunnel with this.
    Status(u16),
    /// It does not take our name and password.
    Login,
    /// What it says is not of its protocol.
    Nonsense,
    /// SOCKS: this reply.
    Reply(u8),
}

impl Failed {
    /// Whether another member of a pool may be tried: the way failed, and not what is at its end. A proxy that says no is not gone around.
    fn may_go_another_way(&self) -> bool {
        match self {
            Self::Upstream(_, what) => {
                matches!(
                    what,
                    UpstreamFailed::Unreached
                        | UpstreamFailed::Closed
                        | UpstreamFailed::Tls
                        | UpstreamFailed::Silent
                        | UpstreamFailed::Nonsense
                )
            }
            Self::Dial(_) | Self::Busy => true,
            Self::Name(_) | Self::Closed(_) => false,
        }
    }

    pub(crate) fn refusal(self, host: &str) -> Refusal {
        match self {
            Self::Name(Unresolved::Unknown) => Refusal::new(502, "dns_error", format!("There is no address for {host}."))
                .hint("Check the spelling of the address."),
            Self::Name(Unresolved::NoAnswer) => {
                Refusal::new(504, "dns_timeout", format!("The name servers did not say what the address of {host} is."))
            }
            // The same words whatever is behind it: what there is in the private network is nobody's business.
            Self::Closed(what) => {
                let refusal = Refusal::new(
                    403,
                    "destination_ip_prohibited",
                    format!("{host} leads into a network that is closed from here."),
                );
                Refusal { log: Some(format!("closed: {what}").into()), ..refusal }
            }
            Self::Dial(Undialled::Refused) => Refusal::new(502, "connection_refused", format!("{host} refuses the connection.")),
            Self::Dial(Undialled::TimedOut) => Refusal::new(504, "connection_timeout", format!("{host} did not answer in time.")),
            Self::Dial(Undialled::Unroutable) => {
                Refusal::new(502, "destination_ip_unroutable", format!("There is no way from here to {host}."))
            }
            Self::Dial(Undialled::Exhausted) | Self::Busy => {
                let refusal = Refusal::new(
                    503,
                    "connection_limit_reached",
                    "The gateway has as much to do as it can. Try again in a moment.",
                );
                Refusal { retry_after: Some(BUSY_RETRY), ..refusal }
            }
            Self::Upstream(name, what) => {
                let (status, error, text) = match what {
                    UpstreamFailed::Unreached => (502, "destination_unavailable", "can't be reached".to_string()),
                    UpstreamFailed::Closed => {
                        (502, "destination_ip_prohibited", "is in a network that is closed from here".into())
                    }
                    UpstreamFailed::Tls => (502, "tls_protocol_error", "could not be spoken to over TLS".into()),
                    UpstreamFailed::Silent => (504, "connection_timeout", "did not answer in time".into()),
                    UpstreamFailed::Login => {
                        (502, "proxy_configuration_error", "does not take the gateway's user name and password".into())
                    }
                    UpstreamFailed::Nonsense => (502, "http_protocol_error", "does not speak as a proxy of its kind does".into()),
                    UpstreamFailed::Status(status @ 400..=499) => {
                        (403, "http_request_denied", format!("does not allow {host} (it answers {status})"))
                    }
                    UpstreamFailed::Status(status) => {
                        (502, "destination_unavailable", format!("could not reach {host} (it answers {status})"))
                    }
                    UpstreamFailed::Reply(2) => (403, "http_request_denied", format!("does not allow {host}")),
                    UpstreamFailed::Reply(reply) => {
                        (502, "destination_unavailable", format!("could not reach {host} (its reply is {reply})"))
                    }
                };
                Refusal::new(status, error, format!("The proxy “{name}”, which leads there, {text}."))
            }
        }
    }
}

/// Finds the way for each request.
#[derive(Default)]
pub(crate) struct Egresses {
    turn: AtomicU32,
    trust: Trust,
}

impl Egresses {
    /// Whether names are resolved here, and not by another proxy.
    pub(crate) fn resolves_here(&self, way: Option<&WayOut<'_>>, snapshot: &Snapshot) -> bool {
        let here = |way: &Way| match way {
            Way::Direct { .. } => true,
            Way::Upstream(upstream) => upstream.url.scheme == UpstreamScheme::Socks5,
        };
        match way {
            None => true,
            Some(Egress::One((_, one))) => here(&one.way),
            Some(Egress::Pool((_, pool))) => {
                pool.members.iter().any(|at| snapshot.lanes.get(*at).is_some_and(|lane| here(&lane.settings.way)))
            }
        }
    }

    /// The addresses of a host that may be dialled.
    /// With `all` none may be closed: somebody else picks the one that is dialled.
    pub(crate) async fn addresses(
        &self, snapshot: &Snapshot, host: &Host, port: u16, all: bool,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let text = host.for_authority();
        let closed = |what| Failed::Closed(what).refusal(&text);
        snapshot.guard.vet_host(host).map_err(|refused| closed(refused.why))?;
        let found = match host.address() {
            Some(address) => vec![address],
            None => snapshot.resolver.look_up(host.as_str()).await.map_err(|why| Failed::Name(why).refusal(&text))?,
        };
        let (mut why, count) = ("not public", found.len());
        let mut open = Vec::with_capacity(found.len());
        for address in found {
            let address = SocketAddr::new(address, port);
            match snapshot.guard.vet_socket(address) {
                Ok(()) => open.push(address),
                Err(refused) => why = refused.why,
            }
        }
        let is_mixed = open.len() < count;
        if open.is_empty() || (all && is_mixed) { Err(closed(why)) } else { Ok(open) }
    }

    /// Where to connect to, by what was decided.
    pub(crate) fn target(
        &self, snapshot: &Snapshot, way: Option<&WayOut<'_>>, host: &Host, port: u16, addresses: Vec<SocketAddr>, client: IpAddr,
    ) -> Result<Target, Refusal> {
        let lanes = match way {
            None => vec![snapshot.direct.clone()],
            Some(Egress::One((at, _))) => snapshot.lanes.get(*at).cloned().into_iter().collect(),
            Some(Egress::Pool((_, pool))) => {
                let members: Vec<_> = pool.members.iter().filter_map(|at| snapshot.lanes.get(*at).cloned()).collect();
                self.order(members, pool.strategy, client)
            }
        };
        // An upstream proxy that resolves names is not told private ones either.
        if addresses.is_empty()
            && let Err(refused) = snapshot.guard.vet_host(host)
        {
            return Err(Failed::Closed(refused.why).refusal(&host.for_authority()));
        }
        Ok(Target { lanes, host: host.clone(), port, addresses })
    }

    /// The members of a pool, the best one first, those in trouble last.
    fn order(&self, mut members: Vec<Arc<Lane>>, strategy: Strategy, client: IpAddr) -> Vec<Arc<Lane>> {
        match strategy {
            Strategy::LeastOutstanding => {
                // In turn among equals.
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
                let count = members.len().max(1);
                members.rotate_left(turn % count);
                members.sort_by_cached_key(|lane| {
                    u64::from(lane.outstanding.load(Ordering::Relaxed) + 1) * 1_000_000 / lane.share()
                });
            }
            Strategy::Weighted => {
                // What one that does not work would get is for all others.
                let none_works = !members.iter().any(|lane| lane.is_healthy());
                let share = |lane: &Arc<Lane>| if none_works || lane.is_healthy() { lane.share() } else { 0 };
                let total: u64 = members.iter().map(share).sum();
                let mut at = u64::from(self.turn.fetch_add(1, Ordering::Relaxed)) * 1000 % total.max(1);
                let first = members.iter().position(|lane| {
                    let share = share(lane);
                    let is_it = at < share;
                    at = at.saturating_sub(share);
                    is_it
                });
                members.rotate_left(first.unwrap_or_default());
            }
            // Rendezvous hashing: when one goes, only its clients move.
            Strategy::Sticky => members.sort_by_key(|lane| {
                let mut hasher = DefaultHasher::new();
                (client, &lane.settings.name).hash(&mut hasher);
                std::cmp::Reverse(hasher.finish())
            }),
        }
        members.sort_by_key(|lane| !lane.is_healthy());
        members
    }
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Target {
    /// The ways, the best one first.
    lanes: Vec<Arc<Lane>>,
    host: Host,
    port: u16,
    /// Vetted. Empty where another proxy resolves the name.
    addresses: Vec<SocketAddr>,
}

/// A connection to a target, or to a proxy that takes whole requests.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The connection.
    pub(crate) wire: Wire,
    /// The address it leads to.
    pub(crate) peer: Option<IpAddr>,
    /// It stood idle before.
    pub(crate) was_idle: bool,
    place: Place,
    key: Vec<u8>,
}

impl Target {
    /// The way that is tried first, for the log.
    pub(crate) fn name(&self) -> Arc<str> {
        self.lanes.first().map(|lane| lane.settings.name.clone()).unwrap_or_else(|| Arc::from("none"))
    }

    fn key(&self, lane: &Lane) -> Vec<u8> {
        let mut key = Vec::with_capacity(64);
        key.extend_from_slice(&lane.id.to_be_bytes());
        if !takes_whole_requests(&lane.settings.way) {
            key.extend_from_slice(self.host.as_str().as_bytes());
            key.extend_from_slice(&self.port.to_be_bytes());
            // A SOCKS proxy that is told an address is told one that was vetted just now.
            if !is_direct(&lane.settings.way)
                && let Some(address) = self.addresses.first()
            {
                key.extend_from_slice(address.ip().to_string().as_bytes());
            }
        }
        key
    }

    /// A connection over which a request can be sent; one that stands idle only where `may_be_idle`.
    pub(crate) async fn connect(&self, shared: &Shared, timeouts: &Timeouts, may_be_idle: bool) -> Result<Connected, Failed> {
        let mut last = Failed::Dial(Undialled::Unroutable);
        for (at, lane) in self.lanes.iter().enumerate() {
            let place = match lane.place(timeouts.connect, at + 1 < self.lanes.len()).await {
                Ok(place) => place,
                Err(busy) => {
                    last = busy;
                    continue;
                }
            };
            let key = self.key(lane);
            // Directly only to an address that was vetted just now: what may be reached can have changed since.
            let fits = |peer| !is_direct(&lane.settings.way) || self.addresses.iter().any(|address| address.ip() == peer);
            if may_be_idle && let Some((wire, peer)) = shared.pool.take(&key, fits).await {
                return Ok(Connected { wire, peer: Some(peer), was_idle: true, place, key });
            }
            let is_whole = takes_whole_requests(&lane.settings.way);
            match self.open(shared, lane, (timeouts.connect, at + 1 < self.lanes.len()), is_whole).await {
                Ok((wire, peer)) => {
                    lane.worked();
                    return Ok(Connected { wire, peer: Some(peer), was_idle: false, place, key });
                }
                Err(failed) => {
                    let another = failed.may_go_another_way();
                    last = self.note(lane, failed);
                    if !another {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// A tunnel to the target.
    pub(crate) async fn open_tunnel(&self, shared: &Shared, timeouts: &Timeouts) -> Result<Connected, Failed> {
        let mut last = Failed::Dial(Undialled::Unroutable);
        for (at, lane) in self.lanes.iter().enumerate() {
            let place = match lane.place(timeouts.connect, at + 1 < self.lanes.len()).await {
                Ok(place) => place,
                Err(busy) => {
                    last = busy;
                    continue;
                }
            };
            match self.open(shared, lane, (timeouts.connect, at + 1 < self.lanes.len()), false).await {
                Ok((wire, peer)) => {
                    lane.worked();
                    return Ok(Connected { wire, peer: Some(peer), was_idle: false, place, key: Vec::new() });
                }
                Err(failed) => {
                    let another = failed.may_go_another_way();
                    last = self.note(lane, failed);
                    if !another {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// What an upstream proxy does is its own fault; what a target does is not that of the way to it.
    fn note(&self, lane: &Lane, failed: Failed) -> Failed {
        use UpstreamFailed::{Closed, Silent, Tls, Unreached};
        let is_lanes = matches!(&failed, Failed::Upstream(_, Unreached | Closed | Tls | Silent));
        if is_lanes {
            lane.failed();
        }
        failed
    }

    async fn open(
        &self, shared: &Shared, lane: &Lane, (limit, another): (Duration, bool), is_whole: bool,
    ) -> Result<(Wire, IpAddr), Failed> {
        match &lane.settings.way {
            Way::Direct { source } => {
                let (stream, peer) = dial(&self.addresses, *source, limit).await.map_err(Failed::Dial)?;
                Ok((Wire::new(Stream::Plain(stream)), peer.ip()))
            }
            Way::Upstream(upstream) => {
                let failed = |what| Failed::Upstream(lane.settings.name.clone(), what);
                let limit = upstream.timeout.map_or(limit, |own| own.min(limit));
                let opened = async {
                    let patience = if another { limit.min(PATIENCE) } else { limit };
                    let reached = timeout(patience, reach(shared, lane, upstream, patience)).await;
                    let (mut wire, peer) = reached.unwrap_or(Err(UpstreamFailed::Unreached))?;
                    if !is_whole {
                        let login = upstream.credentials.as_ref().map(|(user, password)| (user.as_str(), password.expose()));
                        self.shake_hands(&mut wire, upstream.url.scheme, login).await?;
                    }
                    Ok((wire, peer))
                };
                timeout(limit, opened).await.unwrap_or(Err(UpstreamFailed::Silent)).map_err(failed)
            }
        }
    }

    /// Asks an upstream proxy for a way to the target.
    async fn shake_hands(
        &self, wire: &mut Wire, scheme: UpstreamScheme, login: Option<(&str, &str)>,
    ) -> Result<(), UpstreamFailed> {
        match scheme {
            UpstreamScheme::Http | UpstreamScheme::Https => {
                let authority = format!("{}:{}", self.host.for_authority(), self.port);
                let login = login.map(|login| format!("Proxy-Authorization: {}\r\n", basic(login))).unwrap_or_default();
                let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{login}\r\n");
                wire.write_all(request.as_bytes()).await.map_err(|_| UpstreamFailed::Unreached)?;
                loop {
                    match head::response(wire.inbox.bytes()) {
                        Ok(Some(response)) if response.status < 200 => wire.inbox.consume(response.end),
                        Ok(Some(response)) => {
                            wire.inbox.consume(response.end);
                            return match response.status {
                                200..=299 => Ok(()),
                                407 => Err(UpstreamFailed::Login),
                                status => Err(UpstreamFailed::Status(status)),
                            };
                        }
                        Ok(None) => match wire.fill().await {
                            Ok(count) if count > 0 => {}
                            _ => return Err(UpstreamFailed::Nonsense),
                        },
                        Err(Wrong::TooLarge | _) => return Err(UpstreamFailed::Nonsense),
                    }
                }
            }
            UpstreamScheme::Socks5 | UpstreamScheme::Socks5h => self.socks(wire, login).await,
        }
    }

    /// RFC 1928, with the sign-in of RFC 1929.
    async fn socks(&self, wire: &mut Wire, login: Option<(&str, &str)>) -> Result<(), UpstreamFailed> {
        let methods: &[u8] = if login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        write(wire, methods).await?;
        let method: [u8; 2] = read(wire).await?;
        match (method, login) {
            ([5, 0], _) => {}
            ([5, 2], Some((user, password))) => {
                let length = |text: &str| u8::try_from(text.len()).map_err(|_| UpstreamFailed::Login);
                let mut message = vec![1, length(user)?];
                message.extend_from_slice(user.as_bytes());
                message.push(length(password)?);
                message.extend_from_slice(password.as_bytes());
                write(wire, &message).await?;
                if read::<2>(wire).await?[1] != 0 {
                    return Err(UpstreamFailed::Login);
                }
            }
            ([5, 255], _) => return Err(UpstreamFailed::Login),
            _ => return Err(UpstreamFailed::Nonsense),
        }
        let mut message = vec![5, 1, 0];
        match self.addresses.first().map(SocketAddr::ip).or(self.host.address()) {
            Some(IpAddr::V4(address)) => {
                message.push(1);
                message.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                message.push(4);
                message.extend_from_slice(&address.octets());
            }
            None => {
                message.extend_from_slice(&[3, u8::try_from(self.host.as_str().len()).map_err(|_| UpstreamFailed::Nonsense)?]);
                message.extend_from_slice(self.host.as_str().as_bytes());
            }
        }
        message.extend_from_slice(&self.port.to_be_bytes());
        write(wire, &message).await?;
        let reply: [u8; 4] = read(wire).await?;
        if reply[0] != 5 {
            return Err(UpstreamFailed::Nonsense);
        }
        if reply[1] != 0 {
            return Err(UpstreamFailed::Reply(reply[1]));
        }
        match reply[3] {
            1 => read::<6>(wire).await.map(drop),
            4 => read::<18>(wire).await.map(drop),
            3 => {
                let length = read::<1>(wire).await?[0];
                for _ in 0..u16::from(length) + 2 {
                    read::<1>(wire).await?;
                }
                Ok(())
            }
            _ => Err(UpstreamFailed::Nonsense),
        }
    }
}

async fn write(wire: &mut Wire, bytes: &[u8]) -> Result<(), UpstreamFailed> {
    wire.write_all(bytes).await.map_err(|_| UpstreamFailed::Nonsense)
}

async fn read<const N: usize>(wire: &mut Wire) -> Result<[u8; N], UpstreamFailed> {
    while wire.inbox.bytes().len() < N {
        match wire.fill().await {
            Ok(count) if count > 0 => {}
            _ => return Err(UpstreamFailed::Nonsense),
        }
    }
    let mut bytes = [0; N];
    bytes.copy_from_slice(&wire.inbox.bytes()[..N]);
    wire.inbox.consume(N);
    Ok(bytes)
}

/// Tries ways out that lead through other proxies and are members of pools, each every now and then: whether a connection is taken. Called
/// once a second or so.
pub(crate) fn try_lanes(shared: &Arc<Shared>) {
    let snapshot = shared.snapshot();
    let pooled: std::collections::BTreeSet<usize> =
        snapshot.policy.settings().pools.iter().flat_map(|pool| pool.members.iter().copied()).collect();
    for lane in pooled.into_iter().filter_map(|at| snapshot.lanes.get(at)).filter(|lane| lane.can_be_tried()) {
        let now = millis();
        if lane.try_at.load(Ordering::Relaxed) > now {
            continue;
        }
        // Nobody else tries it meanwhile.
        lane.try_at.store(now + 60_000, Ordering::Relaxed);
        let (shared, lane) = (shared.clone(), lane.clone());
        tokio::spawn(async move {
            let Way::Upstream(upstream) = &lane.settings.way else { return };
            let reached = timeout(PATIENCE, reach(&shared, &lane, upstream, PATIENCE)).await;
            lane.tried(matches!(reached, Ok(Ok(_))));
        });
    }
}

/// A connection to an upstream proxy.
async fn reach(shared: &Shared, lane: &Lane, upstream: &Upstream, limit: Duration) -> Result<(Wire, IpAddr), UpstreamFailed> {
    let Upstream { url, is_vetted, .. } = upstream;
    let addresses = match is_vetted {
        true => addresses_of(&shared.resolver, url, Some(&shared.snapshot().guard)).await?,
        false => addresses_of(&shared.resolver, url, None).await?,
    };
    let (stream, peer) = dial(&addresses, None, limit).await.map_err(|_| UpstreamFailed::Unreached)?;
    if url.scheme != UpstreamScheme::Https {
        return Ok((Wire::new(Stream::Plain(stream)), peer.ip()));
    }
    let name = tls::server_name(&url.host).ok_or(UpstreamFailed::Tls)?;
    let connector = lane.tls(&shared.egress.trust).ok_or(UpstreamFailed::Tls)?;
    let stream = connector.connect(name, stream).await.map_err(|_| UpstreamFailed::Tls)?;
    Ok((Wire::new(Stream::Tls(Box::new(stream))), peer.ip()))
}

/// Where an upstream proxy may be dialled. Without a guard anywhere: it was named by whoever runs the gateway.
async fn addresses_of(resolver: &Resolver, url: &UpstreamUrl, guard: Option<&Guard>) -> Result<Vec<SocketAddr>, UpstreamFailed> {
    let found = match url.host.address() {
        Some(address) => vec![address],
        None => resolver.look_up(url.host.as_str()).await.map_err(|_| UpstreamFailed::Unreached)?,
    };
    if found.is_empty() {
        return Err(UpstreamFailed::Unreached);
    }
    let found = found.into_iter().map(|address| SocketAddr::new(address, url.port));
    let open: Vec<_> = found.filter(|address| guard.is_none_or(|guard| guard.vet_socket(*address).is_ok())).collect();
    if open.is_empty() { Err(UpstreamFailed::Closed) } else { Ok(open) }
}

fn is_direct(way: &Way) -> bool {
    matches!(way, Way::Direct { .. })
}

fn takes_whole_requests(way: &Way) -> bool {
    matches!(way, Way::Upstream(upstream) if matches!(upstream.url.scheme, UpstreamScheme::Http | UpstreamScheme::Https))
}

fn basic((user, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Connected {
    /// The target of a request that is sent over it: a path, or the whole URL for a proxy.
    pub(crate) fn request_target<'a>(&self, path: &'a [u8], authority: &str) -> Cow<'a, [u8]> {
        if !takes_whole_requests(&self.place.lane.settings.way) {
            return Cow::Borrowed(path);
        }
        let path = if path == b"*" { &b""[..] } else { path };
        Cow::Owned([b"http://", authority.as_bytes(), path].concat())
    }

    /// TLS to what is at its end.
    pub(crate) fn tls(&self, egresses: &Egresses) -> Option<TlsConnector> {
        self.place.lane.tls(&egresses.trust)
    }

    /// The value of `Proxy-Authorization`, for a proxy that takes whole requests.
    pub(crate) fn authorization(&self) -> Option<String> {
        match &self.place.lane.settings.way {
            way @ Way::Upstream(Upstream { credentials: Some((user, password)), .. }) if takes_whole_requests(way) => {
                Some(basic((user, password.expose())))
            }
            _ => None,
        }
    }

    /// Why there is no answer, where a 407 came from a proxy that takes whole requests.
    pub(crate) fn login_refused(&self, host: &str) -> Option<Refusal> {
        let lane = &self.place.lane.settings;
        takes_whole_requests(&lane.way).then(|| Failed::Upstream(lane.name.clone(), UpstreamFailed::Login).refusal(host))
    }

    /// Keeps it for the next request.
    pub(crate) fn keep(self, shared: &Shared) {
        if let Some(peer) = self.peer {
            shared.pool.put(&self.key, self.wire, peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_of_a_vetted_proxy_is_vetted_each_time_it_is_dialled() {
        let resolver = Resolver::at(crate::gateway::tests::two_faced().await);
        let guard = Guard::new(Vec::new(), Vec::new());
        let (mut open, mut closed) = (0, 0);
        for number in 0..300 {
            let (host, port) = Host::parse_authority(&format!("proxy-{number}.example:3128"), None).expect("a host");
            let url = UpstreamUrl { scheme: UpstreamScheme::Http, host, port };
            match addresses_of(&resolver, &url, Some(&guard)).await {
                Ok(addresses) => {
                    assert_eq!(addresses, [SocketAddr::from(([93, 184, 215, 14], 3128))]);
                    open += 1;
                }
                Err(why) => {
                    assert_eq!(why, UpstreamFailed::Closed);
                    closed += 1;
                }
            }
        }
        assert!(open > 0 && closed > 0, "{open} open, {closed} closed");
    }

    fn lane(name: &str, weight: u32) -> Arc<Lane> {
        let (host, port) = Host::parse_authority("127.0.0.1:1", None).expect("a host");
        let url = UpstreamUrl { scheme: UpstreamScheme::Http, host, port };
        let way =
            Way::Upstream(Upstream { url, credentials: None, ca_pem: None, timeout: None, setting: None, is_vetted: false });
        let check_every = Duration::from_secs(5);
        Arc::new(Lane::new(EgressSettings { name: name.into(), way, weight, max_connections: None, max_waiting: 0, check_every }))
    }

    fn firsts(egresses: &Egresses, lanes: &[Arc<Lane>], strategy: Strategy) -> usize {
        let first = |_| egresses.order(lanes.to_vec(), strategy, IpAddr::from([10, 0, 0, 1])).remove(0).name();
        (0..1000).map(first).filter(|name| **name == *"a").count()
    }

    #[test]
    fn one_that_came_back_gets_little_at_first_and_one_that_is_down_nothing() {
        let (egresses, lanes) = (Egresses::default(), [lane("a", 1), lane("b", 1)]);
        let by_weight = |egresses: &Egresses| firsts(egresses, &lanes, Strategy::Weighted);
        assert_eq!(by_weight(&egresses), 500);
        lanes[0].tried(false);
        assert_eq!((by_weight(&egresses), firsts(&egresses, &lanes, Strategy::LeastOutstanding)), (0, 0));
        lanes[0].tried(true);
        let warming = by_weight(&egresses);
        assert!((50..150).contains(&warming), "a tenth of its share at first: {warming}");
        // With nobody on either of them the other one is less loaded for what it may carry.
        assert_eq!(firsts(&egresses, &lanes, Strategy::LeastOutstanding), 0);
        // As if it had come back long ago.
        lanes[0].back_since.store(0, Ordering::Relaxed);
        assert_eq!(by_weight(&egresses), 500);
    }
}
