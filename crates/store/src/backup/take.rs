//! Taking a backup.

use std::time::{Duration, Instant};

use surrealdb::{
    Surreal,
    engine::any::Any,
    method::Transaction,
    types::{RecordId, RecordIdKey, RecordIdKeyRange, Value},
};
use tokio::sync::mpsc;

use super::{
    BackupError, PASSING,
    file::{self, Applied, Header, Sum, Writer},
};
use crate::{
    Store, StoreConfig,
    connection::vars,
    folder,
    migrations::{self, Ask as _},
    open::{Endpoint, OpenError},
    runtime::runtime,
};

/// How much is sent at once, in bytes.
const PIECE: usize = 64 * 1024;

/// How large a page should be, in bytes of records: pages have so many records that they come out like this.
const PAGE: usize = 1024 * 1024;

/// The most records of a page.
const MAX_RECORDS: usize = 1000;

/// The records of a table's first page: nobody knows yet how large they are.
const FIRST_PAGE: usize = 16;

/// The table whose records are files: what engines are to be given while an analysis runs.
const FILES: &str = "analysis_file";

/// How long whoever takes the bytes may pause. A snapshot keeps the engine from tidying up.
const STALL: Duration = Duration::from_secs(60);

/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// A piece of what comes.
#[derive(Debug)]
pub enum BackupPart {
    /// The next bytes of the file.
    Bytes(Vec<u8>),
    /// So many records are through.
    Progress(u64),
    /// All bytes were given.
    Done(BackupSummary),
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BackupSummary {
    /// Records.
    pub records: u64,
    /// The database's last migration.
    pub migration: u32,
    /// Identifier of the database's key.
    pub key: Option<String>,
}

/// A backup as it is made. It ends with [`BackupPart::Done`] or an error; one that just ends was broken off.
pub type BackupStream = mpsc::Receiver<Result<BackupPart, BackupError>>;

impl Store {
    /// Backs up this database as it is at this moment, while others write.
    #[must_use]
    pub fn backup(&self) -> BackupStream {
        let store = self.clone();
        begin(async move |out| {
            let mut closed = store.connection.closed();
            let sessions = store.connection.live().await.map_err(BackupError::Database)?;
            let summary = tokio::select! {
                result = take(&sessions.all, &out) => result?,
                _ = closed.wait_for(|closed| *closed) => return Err(BackupError::Closed),
            };
            give(&out, BackupPart::Done(summary)).await
        })
    }
}

/// Backs up a database that no process has open, or one of a server. It is left as it is: an older one is not upgraded.
#[must_use]
pub fn backup(config: &StoreConfig) -> BackupStream {
    let config = config.clone();
    begin(async move |out| {
        let endpoint = Endpoint::parse(&config)?;
        match &endpoint {
            Endpoint::Memory => return Err(BackupError::Memory),
            Endpoint::Folder(path) => {
                let nothing = || BackupError::NoDatabase(path.display().to_string());
                // Opening would make one.
                if !folder::holds_something(path).map_err(|error| OpenError::Io { path: path.into(), what: error.to_string() })? {
                    return Err(nothing());
                }
                folder::prepare(path)?;
            }
            Endpoint::Remote { .. } => {}
        }
        let db = endpoint.connect().await?;
        if migrations::applied(&db).await?.is_empty() {
            return Err(BackupError::NoDatabase(format!("{endpoint:?}")));
        }
        let summary = take(&db, &out).await;
        // Whoever hears that it is through may end the process.
        drop(db);
        if let Endpoint::Folder(path) = &endpoint {
            folder::wait_until_closed(path).await;
        }
        give(&out, BackupPart::Done(summary?)).await
    })
}

/// Runs it on the engine's threads.
fn begin<F>(make: impl FnOnce(mpsc::Sender<Result<BackupPart, BackupError>>) -> F + Send + 'static) -> BackupStream
where
    F: Future<Output = Result<(), BackupError>> + Send,
{
    let (sender, receiver) = mpsc::channel(4);
    match runtime() {
        Ok(runtime) => {
            runtime.spawn(async move {
                if let Err(error) = make(sender.clone()).await {
                    let _ = sender.send(Err(error)).await;
                }
            });
        }
        Err(error) => {
            let _ = sender.try_send(Err(BackupError::database(error)));
        }
    }
    receiver
}

async fn take(db: &Surreal<Any>, out: &mpsc::Sender<Result<BackupPart, BackupError>>) -> Result<BackupSummary, BackupError> {
    // From here on this transaction sees what was committed before, all of it, and nothing that comes later.
    let snapshot = db.clone().begin().await.map_err(BackupError::database)?;
    let result = read_all(&snapshot, out).await;
    let _ = snapshot.cancel().await;
    result
}

async fn read_all(
    snapshot: &Transaction<Any>, out: &mpsc::Sender<Result<BackupPart, BackupError>>,
) -> Result<BackupSummary, BackupError> {
    let applied = migrations::applied(snapshot).await?;
    migrations::check(&applied)?;
    let key = snapshot.ask("SELECT VALUE key_id FROM ONLY installation:main").await.map_err(BackupError::database)?;
    let key = if let Value::String(key) = key { Some(key) } else { None };
    let header = Header::new(applied.into_iter().map(|(number, checksum)| Applied { number, checksum }).collect(), key.clone());
    let migration = header.migration();
    let io = |error: std::io::Error| BackupError::Database(error.to_string());
    let mut writer = Writer::new(&header).map_err(io)?;
    let (mut records, mut told) = (0, Instant::now());
    for table in migrations::tables(snapshot).await? {
        if PASSING.contains(&table.as_str()) {
            continue;
        }
        writer.table(&table).map_err(io)?;
        let mut pages = Pages::new(&table);
        while let Some(page) = pages.next(snapshot).await? {
            for record in page {
                sealed_under(&record, &mut |key| writer.key(key));
                let bytes = file::encode(&record)?;
                pages.size(bytes.len());
                writer.record(&bytes).map_err(io)?;
                records += 1;
                if writer.ready() >= PIECE {
                    give(out, BackupPart::Bytes(writer.take())).await?;
                }
            }
            if told.elapsed() > Duration::from_millis(500) {
                told = Instant::now();
                give(out, BackupPart::Progress(records)).await?;
            }
        }
    }
    let bytes = writer.take();
    let (last, _) = writer.finish().map_err(io)?;
    if !bytes.is_empty() {
        give(out, BackupPart::Bytes(bytes)).await?;
    }
    give(out, BackupPart::Bytes(last)).await?;
    Ok(BackupSummary { records, migration, key })
}

async fn give(out: &mpsc::Sender<Result<BackupPart, BackupError>>, part: BackupPart) -> Result<(), BackupError> {
    match tokio::time::timeout(STALL, out.send(Ok(part))).await {
        Ok(Ok(())) => Ok(()),
        // Nobody listens any more: there is nobody to tell, either.
        Ok(Err(_)) => Err(BackupError::Closed),
        Err(_) => Err(BackupError::Stalled(STALL.as_secs())),
    }
}

/// A table, page by page, in the order of its keys.
struct Pages<'a> {
    table: &'a str,
    after: std::ops::Bound<RecordIdKey>,
    limit: usize,
    /// Bytes of the records that were read.
    bytes: usize,
    records: usize,
    at_end: bool,
}

impl<'a> Pages<'a> {
    fn new(table: &'a str) -> Self {
        Self { table, after: std::ops::Bound::Unbounded, limit: FIRST_PAGE, bytes: 0, records: 0, at_end: false }
    }

    /// Notes how long a record was.
    fn size(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.records += 1;
    }

    async fn next(&mut self, snapshot: &Transaction<Any>) -> Result<Option<Vec<Value>>, BackupError> {
        if self.at_end {
            return Ok(None);
        }
        if self.records > 0 {
            // At most twice as many as before: what comes may be larger than what was.
            let fitting = PAGE * self.records / self.bytes.max(1);
            self.limit = fitting.clamp(1, (self.limit * 2).min(MAX_RECORDS));
        }
        if self.table == FILES {
            // Each may be twenty times a page; how large the others were says nothing, and a server takes messages of 64 MiB.
            self.limit = 1;
        }
        let range = RecordIdKeyRange { start: self.after.clone(), end: std::ops::Bound::Unbounded };
        let range = RecordId::new(self.table, RecordIdKey::Range(Box::new(range)));
        let page = async {
            let vars = vars! { range: range, limit: i64::try_from(self.limit).unwrap_or(1) };
            snapshot.query("SELECT * FROM $range LIMIT $limit").bind(vars).await?.take::<Value>(0)
        };
        let page = tokio::time::timeout(PAGE_TIMEOUT, page)
            .await
            .map_err(|_| BackupError::Database(format!("no answer within {} s", PAGE_TIMEOUT.as_secs())))?
            .map_err(BackupError::database)?;
        let Value::Array(page) = page else {
            return Err(BackupError::Database(format!("the table {} can't be read", self.table)));
        };
        let page = page.into_inner();
        self.at_end = page.len() < self.limit;
        let Some(last) = page.last() else { return Ok(None) };
        let id = if let Value::Object(fields) = last { fields.get("id") } else { None };
        let Some(Value::RecordId(id)) = id else {
            return Err(BackupError::Database(format!("a record of the table {} has no identifier", self.table)));
        };
        self.after = std::ops::Bound::Excluded(id.key.clone());
        Ok(Some(page))
    }
}

/// Adds a table up as a backup of it would.
pub(super) async fn sum(
    snapshot: &Transaction<Any>, table: &str, each: &mut (dyn FnMut(u64) + Send),
) -> Result<file::TableSum, BackupError> {
    let (mut sum, mut pages) = (Sum::default(), Pages::new(table));
    while let Some(page) = pages.next(snapshot).await? {
        each(page.len() as u64);
        for record in page {
            let bytes = file::encode(&record)?;
            pages.size(bytes.len());
            sum.add(&bytes);
        }
    }
    Ok(sum.finish())
}

/// The keys that sealed something in a value: `v1.<16 hexadecimal digits>.<base64>` (`gatehouse_platform::keys`).
fn sealed_under(value: &Value, found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => {
            let mut parts = text.splitn(3, '.');
            if let (Some("v1"), Some(key), Some(_)) = (parts.next(), parts.next(), parts.next())
                && key.len() == 16
                && key.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                found(key);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| sealed_under(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| sealed_under(value, found)),
        _ => {}
    }
}
