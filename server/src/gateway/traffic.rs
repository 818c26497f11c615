//! The gateway's transactions in the database's traffic table.
//!
//! A gateway answers many thousand requests a second; a database does not take as many records. So only so many of each second are
//! stored, those that were refused or failed counted apart, so that many good ones don't hide them. The rest, and what the database does
//! not take in time, is dropped and counted. The log has all of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gatehouse_domain::{Cause, Consumer, DirectReason, ProxyRef, Route, Timestamp, TrafficView};
use gatehouse_gateway::{
    Sink,
    log::Record,
    policy::{Policy, Way},
};
use gatehouse_platform::{CompanyId, ports::TrafficStore};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How many records wait at most.
const QUEUE: usize = 8192;
/// The most records that are written at once.
const GROUP: usize = 512;
/// How long records gather.
const GATHER: Duration = Duration::from_millis(250);
/// How long the end waits for the last ones.
const LAST: Duration = Duration::from_secs(3);

enum Entry {
    Record(Box<TrafficView>),
    /// Told when everything before it is written.
    Settle(oneshot::Sender<()>),
}

/// Writes records of the gateway into the traffic of a company.
pub struct TrafficSink {
    /// There when it is known whose traffic it is, and where it goes.
    queue: OnceLock<mpsc::Sender<Entry>>,
    /// Egresses that lead through other proxies.
    upstreams: RwLock<HashMap<Arc<str>, Arc<str>>>,
    good: Window,
    failed: Window,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    stored: AtomicU64,
    dropped: AtomicU64,
}

impl TrafficSink {
    /// One that stores at most so many records a second, and as many again of those that were refused or failed.
    pub fn new(a_second: u32) -> Self {
        Self {
            queue: OnceLock::new(),
            upstreams: RwLock::default(),
            good: Window::new(a_second),
            failed: Window::new(a_second),
            counts: Arc::default(),
        }
    }

    /// From now on they go there. Only the first call counts: a gateway serves one company.
    pub fn begin(&self, store: Arc<dyn TrafficStore>, company: CompanyId) {
        self.queue.get_or_init(|| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tokio::spawn(write(store, company, waiting, self.counts.clone()));
            queue
        });
    }

    /// Which egresses are what, of the policy that comes into force.
    pub fn know(&self, policy: &Policy) {
        let upstreams = policy.settings().egresses.iter().filter_map(|egress| match &egress.way {
            // A proxy setting is known by its own name.
            Way::Upstream(upstream) => {
                let name = upstream.setting.as_ref().map_or_else(|| egress.name.clone(), |setting| setting.as_str().into());
                Some((egress.name.clone(), name))
            }
            Way::Direct { .. } => None,
        });
        *self.upstreams.write().unwrap_or_else(PoisonError::into_inner) = upstreams.collect();
    }

    /// Returns when what was recorded is written, or takes too long.
    pub async fn settle(&self) {
        let Some(queue) = self.queue.get() else { return };
        let (told, tell) = oneshot::channel();
        let settled = async {
            if queue.send(Entry::Settle(told)).await.is_ok() {
                let _ = tell.await;
            }
        };
        if tokio::time::timeout(LAST, settled).await.is_err() {
            tracing::warn!("the last records of the gateway's traffic are not in the database: it does not answer");
        }
    }

    /// For Prometheus.
    pub fn metrics(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (stored, dropped) = (read(&self.counts.stored), read(&self.counts.dropped));
        format!(
            "# HELP gatehouse_gateway_traffic_records_total Records for the database's traffic.\n\
             # TYPE gatehouse_gateway_traffic_records_total counter\n\
             gatehouse_gateway_traffic_records_total{{outcome=\"stored\"}} {stored}\n\
             gatehouse_gateway_traffic_records_total{{outcome=\"dropped\"}} {dropped}\n"
        )
    }

    fn view(&self, record: &Record<'_>) -> Option<TrafficView> {
        let host = host(record.target)?;
        let consumer = match record.person {
            Some(person) => Consumer { kind: "gateway".into(), id: format!("person:{person}"), name: person.into() },
            None => Consumer { kind: "gateway".into(), id: format!("client:{}", record.client), name: record.client.to_string() },
        };
        let route = record.egress.map(|egress| match self.upstreams.read().unwrap_or_else(PoisonError::into_inner).get(egress) {
            Some(name) => {
                Route::Proxy { proxy: ProxyRef { id: format!("egress:{egress}"), name: name.to_string() }, instead_of: None }
            }
            None => Route::Direct { reason: DirectReason::Gateway },
        });
        let cause = cause(record);
        let ended = Timestamp::from(record.at + record.took);
        Some(TrafficView {
            id: Uuid::now_v7().to_string(),
            at: Timestamp::from_timestamp_millis(ended.timestamp_millis()).unwrap_or(ended),
            consumer,
            method: record.method.to_string(),
            host,
            route,
            // What the gateway itself says is told by the cause.
            status: (record.status != 0 && cause.is_none()).then_some(record.status),
            // There it is told from the target's side, here from the client's.
            bytes_in: record.bytes_out,
            bytes_out: record.bytes_in,
            ms: u64::try_from(record.took.as_millis()).unwrap_or(u64::MAX),
            cause,
        })
    }
}

impl Sink for TrafficSink {
    fn record(&self, record: &Record<'_>) {
        let window = if record.cause.is_some() { &self.failed } else { &self.good };
        let taken = window.admits() && {
            match (self.queue.get(), self.view(record)) {
                (Some(queue), Some(view)) => queue.try_send(Entry::Record(Box::new(view))).is_ok(),
                // What was asked of the gateway itself went nowhere.
                (_, None) => true,
                (None, Some(_)) => false,
            }
        };
        if !taken {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Lets so many through in each second.
struct Window {
    begun: Instant,
    most: u64,
    second: AtomicU64,
    taken: AtomicU64,
}

impl Window {
    fn new(most: u32) -> Self {
        Self { begun: Instant::now(), most: most.into(), second: AtomicU64::new(0), taken: AtomicU64::new(0) }
    }

    fn admits(&self) -> bool {
        let second = self.begun.elapsed().as_secs();
        // Two that come at the turn of a second may both begin it: a few more are stored, nothing else.
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.taken.store(0, Ordering::Relaxed);
        }
        self.taken.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

async fn write(store: Arc<dyn TrafficStore>, company: CompanyId, mut queue: mpsc::Receiver<Entry>, counts: Arc<Counts>) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let gathered = tokio::time::sleep(GATHER);
        tokio::pin!(gathered);
        while group.len() < GROUP && !group.iter().any(|entry| matches!(entry, Entry::Settle(_))) {
            let room = GROUP - group.len();
            tokio::select! {
                more = queue.recv_many(&mut group, room) => if more == 0 { break },
                () = &mut gathered => break,
            }
        }
        let (mut records, mut waiting) = (Vec::with_capacity(group.len()), Vec::new());
        for entry in group.drain(..) {
            match entry {
                Entry::Record(view) => records.push((company, *view)),
                Entry::Settle(told) => waiting.push(told),
            }
        }
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        match store.record_traffic(&records).await {
            Ok(()) => counts.stored.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, count, "traffic of the gateway was not recorded");
                counts.dropped.fetch_add(count, Ordering::Relaxed)
            }
        };
        for told in waiting {
            let _ = told.send(());
        }
    }
}

/// Host and port of a target: what stands between the scheme and the path. Of the gateway's own pages there is none.
fn host(target: &str) -> Option<String> {
    let (scheme, rest) = target.split_once("://").map_or((None, target), |(scheme, rest)| (Some(scheme), rest));
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
    let has_port =
        authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    Some(match (has_port, scheme) {
        (false, Some("http")) => format!("{authority}:80"),
        (false, Some("https")) => format!("{authority}:443"),
        _ => authority.to_string(),
    })
}

/// The contract's cause for what RFC 9209 calls an error.
fn cause(record: &Record<'_>) -> Option<Cause> {
    let error = record.cause?;
    Some(match (record.status, error) {
        (407, _) => Cause::ProxyAuthRequired,
        (429, _) | (_, "volume_used_up") => Cause::QuotaExceeded,
        (_, "destination_ip_prohibited") => Cause::AddressNotAllowed,
        (_, "http_request_denied" | "http_request_error" | "proxy_loop_detected" | "connection_limit_reached") => {
            Cause::ProxyDenied
        }
        (_, "connection_timeout" | "connection_read_timeout" | "http_response_timeout" | "dns_timeout") => Cause::TargetTimeout,
        (_, "tls_protocol_error" | "tls_certificate_error") => Cause::TargetTlsFailed,
        (_, "http_protocol_error" | "http_response_incomplete") => Cause::BadAnswer,
        (_, "proxy_configuration_error") => Cause::ProxyAuthRejected,
        (_, "proxy_shutdown") => Cause::ProxyClosed,
        _ => Cause::TargetUnreachable,
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use gatehouse_gateway::log::CacheResult;

    use super::*;

    fn record<'a>(target: &'a str, cause: Option<&'a str>) -> Record<'a> {
        Record {
            at: SystemTime::now(),
            took: Duration::from_millis(12),
            client: [10, 0, 0, 7].into(),
            person: None,
            method: "GET",
            target,
            status: 200,
            bytes_in: 1,
            bytes_out: 2,
            cache: CacheResult::Miss,
            rule: None,
            egress: Some("up"),
            peer: None,
            content_type: None,
            cause,
        }
    }

    #[test]
    fn a_record_says_host_and_port_and_never_a_path() {
        for (target, expected) in [
            ("http://a.example/secret?x", Some("a.example:80")),
            ("https://a.example/", Some("a.example:443")),
            ("http://a.example:8080/x", Some("a.example:8080")),
            ("a.example:443", Some("a.example:443")),
            ("http://[::1]/x", Some("[::1]:80")),
            ("http://[::1]:81/x", Some("[::1]:81")),
            ("/proxy.pac", None),
            ("", None),
        ] {
            assert_eq!(host(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn many_good_requests_do_not_hide_those_that_were_refused() {
        let sink = TrafficSink::new(10);
        let taken = |window: &Window| (0..100).filter(|_| window.admits()).count();
        // Two seconds, if the turn of one comes in between.
        assert!((10..=20).contains(&taken(&sink.good)));
        assert!((10..=20).contains(&taken(&sink.failed)));
        let none = TrafficSink::new(0);
        none.record(&record("http://a.example/", None));
        assert!(none.metrics().contains("outcome=\"dropped\"} 1"), "{}", none.metrics());
    }

    #[test]
    fn a_record_tells_which_way_it_went_and_why_it_failed() {
        let sink = TrafficSink::new(10);
        let policy = Policy::parse(
            "[[egress]]\nname = 'up'\nkind = 'upstream'\nurl = 'http://proxy.example:3128'\n[[egress]]\nname = 'out'\nkind = 'direct'\n",
            std::path::Path::new(""),
        )
        .expect("right");
        sink.know(&policy);
        let view = sink.view(&record("http://a.example/", None)).expect("a view");
        assert_eq!(view.route.as_ref().map(Route::label).as_deref(), Some("through up"));
        assert_eq!((view.status, view.bytes_in, view.bytes_out, view.ms), (Some(200), 2, 1, 12));
        assert_eq!((view.consumer.kind.as_str(), view.consumer.name.as_str()), ("gateway", "10.0.0.7"));
        let direct = Record { egress: Some("out"), person: Some("ann"), ..record("a.example:443", None) };
        let view = sink.view(&direct).expect("a view");
        assert!(matches!(view.route, Some(Route::Direct { reason: DirectReason::Gateway })) && view.consumer.id == "person:ann");
        let denied = Record { egress: None, status: 403, ..record("http://a.example/", Some("http_request_denied")) };
        let view = sink.view(&denied).expect("a view");
        assert_eq!((view.route, view.status, view.cause), (None, None, Some(Cause::ProxyDenied)));
    }
}
