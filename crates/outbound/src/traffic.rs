//! The traffic log: every attempt becomes one record, written before its answer is given.
//!
//! Records are committed in groups: while one group is being written, the next one gathers. An attempt that is cancelled
//! writes its record too, on the way out.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gatehouse_domain::{Cause, Consumer, Route, Timestamp, TrafficView};
use gatehouse_platform::{Asker, CompanyId, ports::TrafficStore};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

/// The most records that are written at once.
const GROUP: usize = 512;
/// A request is not held up longer than this by a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Entry {
    company: CompanyId,
    record: TrafficView,
    written: oneshot::Sender<()>,
}

/// Writes records.
#[derive(Clone)]
pub(crate) struct TrafficLog {
    store: Arc<dyn TrafficStore>,
    queue: Arc<Mutex<Option<mpsc::UnboundedSender<Entry>>>>,
}

impl TrafficLog {
    pub(crate) fn new(store: Arc<dyn TrafficStore>) -> Self {
        Self { store, queue: Arc::default() }
    }

    /// An attempt begins: from now on there will be a record of it.
    pub(crate) fn begin(&self, asker: &Asker, method: &str, host: String, route: Option<Route>, bytes_out: u64) -> Attempt {
        Attempt {
            queue: self.queue(),
            begun: Instant::now(),
            company: asker.company,
            record: Some(Unfinished { consumer: asker.consumer.clone(), method: method.to_string(), host, route, bytes_out }),
            bytes_in: 0,
        }
    }

    /// Where records go; starts the writer when there is none (or its runtime has ended).
    fn queue(&self) -> mpsc::UnboundedSender<Entry> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender.clone(),
            None => {
                let (sender, receiver) = mpsc::unbounded_channel();
                tokio::spawn(write(self.store.clone(), receiver));
                *queue = Some(sender.clone());
                sender
            }
        }
    }
}

/// Writes what comes, in groups, until nobody can send any more.
async fn write(store: Arc<dyn TrafficStore>, mut queue: mpsc::UnboundedReceiver<Entry>) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let (records, waiting): (Vec<_>, Vec<_>) =
            group.drain(..).map(|entry| ((entry.company, entry.record), entry.written)).unzip();
        if let Err(error) = store.record_traffic(&records).await {
            // The traffic itself has happened; failing it now would help nobody.
            tracing::error!(%error, records = records.len(), "traffic could not be recorded");
        }
        for written in waiting {
            let _ = written.send(());
        }
    }
}

struct Unfinished {
    consumer: Consumer,
    method: String,
    host: String,
    route: Option<Route>,
    bytes_out: u64,
}

/// An attempt under way. Dropped before it is finished, it is recorded as cancelled.
pub(crate) struct Attempt {
    queue: mpsc::UnboundedSender<Entry>,
    begun: Instant,
    company: CompanyId,
    record: Option<Unfinished>,
    /// Bytes of the answer's body, so far.
    pub(crate) bytes_in: u64,
}

impl Attempt {
    /// Writes the record; returns when it is written.
    pub(crate) async fn finish(mut self, status: Option<u16>, cause: Option<Cause>) {
        if let Some(written) = self.send(status, cause)
            && tokio::time::timeout(PATIENCE, written).await.is_err()
        {
            tracing::error!("traffic is not recorded in time: the database does not answer");
        }
    }

    fn send(&mut self, status: Option<u16>, cause: Option<Cause>) -> Option<oneshot::Receiver<()>> {
        let Unfinished { consumer, method, host, route, bytes_out } = self.record.take()?;
        let record = TrafficView {
            id: Uuid::now_v7().to_string(),
            at: now(),
            consumer,
            method,
            host,
            route,
            status,
            bytes_in: self.bytes_in,
            bytes_out,
            ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            cause,
        };
        let (written, acknowledged) = oneshot::channel();
        if self.queue.send(Entry { company: self.company, record, written }).is_err() {
            tracing::error!("traffic could not be recorded: the writer has ended");
            return None;
        }
        Some(acknowledged)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Whoever asked has given up waiting.
        let _ = self.send(None, Some(Cause::EngineTimeout));
    }
}

/// Now, in whole milliseconds as on the wire.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::from(std::time::SystemTime::now());
    Timestamp::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}
