//! The traffic log: every attempt becomes one record, written before its answer is given, or soon, as the asker wants it.
//!
//! Records are committed in groups: while one group is being written, the next one gathers; as long as nobody waits for them, for a
//! moment longer. An attempt that is cancelled
//! writes its record too, on the way out.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gatehouse_domain::{Cause, Consumer, Route, Timestamp, TrafficView};
use gatehouse_platform::{Asker, CompanyId, door::Recorded, ports::TrafficStore};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

/// The most records that are written at once.
const GROUP: usize = 512;
/// How long records that nobody waits for gather.
const GATHER: Duration = Duration::from_millis(50);
/// A request is not held up longer than this by a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Entry {
    /// None: somebody only waits for those before.
    record: Option<(CompanyId, TrafficView)>,
    /// Told when it is written.
    waiting: Option<oneshot::Sender<()>>,
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
            recorded: asker.recorded,
            record: Some(Unfinished { consumer: asker.consumer.clone(), method: method.to_string(), host, route, bytes_out }),
            bytes_in: 0,
        }
    }

    /// Returns when everything that was queued before is written.
    pub(crate) async fn settle(&self) {
        let (written, acknowledged) = oneshot::channel();
        let asked = self.queue().send(Entry { record: None, waiting: Some(written) });
        if asked.is_ok() && tokio::time::timeout(PATIENCE, acknowledged).await.is_err() {
            tracing::error!("traffic is not recorded in time: the database does not answer");
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
    let mut group: Vec<Entry> = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let gathered = tokio::time::sleep(GATHER);
        tokio::pin!(gathered);
        while group.len() < GROUP && group.iter().all(|entry| entry.waiting.is_none()) {
            let room = GROUP - group.len();
            tokio::select! {
                more = queue.recv_many(&mut group, room) => if more == 0 { break },
                () = &mut gathered => break,
            }
        }
        let (records, waiting): (Vec<_>, Vec<_>) = group.drain(..).map(|entry| (entry.record, entry.waiting)).unzip();
        let records: Vec<_> = records.into_iter().flatten().collect();
        if !records.is_empty()
            && let Err(error) = store.record_traffic(&records).await
        {
            // The traffic itself has happened; failing it now would help nobody.
            tracing::error!(%error, records = records.len(), "traffic could not be recorded");
        }
        for written in waiting.into_iter().flatten() {
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
    recorded: Recorded,
    record: Option<Unfinished>,
    /// Bytes of the answer's body, so far.
    pub(crate) bytes_in: u64,
}

impl Attempt {
    /// Writes the record; returns when it is written, or at once, as the asker wants it.
    pub(crate) async fn finish(mut self, status: Option<u16>, cause: Option<Cause>) {
        if let Some(written) = self.send(status, cause, self.recorded == Recorded::BeforeAnswer)
            && tokio::time::timeout(PATIENCE, written).await.is_err()
        {
            tracing::error!("traffic is not recorded in time: the database does not answer");
        }
    }

    fn send(&mut self, status: Option<u16>, cause: Option<Cause>, wait: bool) -> Option<oneshot::Receiver<()>> {
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
        let (waiting, acknowledged) = if wait {
            let (written, acknowledged) = oneshot::channel();
            (Some(written), Some(acknowledged))
        } else {
            (None, None)
        };
        if self.queue.send(Entry { record: Some((self.company, record)), waiting }).is_err() {
            tracing::error!("traffic could not be recorded: the writer has ended");
            return None;
        }
        acknowledged
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Whoever asked has given up waiting.
        let _ = self.send(None, Some(Cause::EngineTimeout), false);
    }
}

/// Now, in whole milliseconds as on the wire.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::from(std::time::SystemTime::now());
    Timestamp::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}
