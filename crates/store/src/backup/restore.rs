//! Making a database from a backup.
//!
//! Into a folder: beside the place where the database will be, under another name (`….restoring`), and compared there with the
//! backup record by record; then it is renamed. Cut off anywhere, what is at the place is what was there before, or nothing, or all of it.
//!
//! Into a server there is nothing to rename: a table ([`migrations::UNFINISHED`]) says that it is not finished, until the transaction
//! that also writes the notes of the migrations. A server of ours does not start on a database that has it; a restore begins anew.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::Utc;
use surrealdb::{
    Surreal,
    engine::any::Any,
    types::{Array, Table, ToSql as _, Value},
};
use tokio::sync::mpsc;

use super::{
    BackupError, NOTES, PASSING,
    file::{self, BackupFile, Entry},
    take,
};
use crate::{
    StoreConfig,
    connection::vars,
    folder::{self, beside},
    migrations::{self, UNFINISHED},
    open::{self, Endpoint, OpenError},
    upgrade,
};

/// The most records that are written at once, and about how many bytes of them.
const BATCH: (usize, usize) = (500, 512 * 1024);

/// What a database needs besides its records, in bytes.
const MARGIN: u64 = 1_000_000;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreStep {
    /// So many records were written.
    Written(u64),
    /// So many were read again and compared.
    Compared(u64),
    /// The database is brought up to date.
    Upgrading,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the database is that was there before.
    pub kept: Option<PathBuf>,
    /// The migration that the database was at.
    pub from: u32,
    /// The one it is at now.
    pub to: u32,
}

/// Makes a database from a backup, at the place that the settings name.
///
/// What is there already is refused, unless it is empty, or `replace` says that it may be put aside. Nobody may have it open.
///
/// # Errors
/// [`BackupError`], each for the operator. Nothing is at the place then that was not there before.
pub async fn restore(
    config: &StoreConfig, backup: BackupFile, replace: bool, step: impl Fn(RestoreStep) + Send + Sync + 'static,
) -> Result<Restored, BackupError> {
    let endpoint = Endpoint::parse(config)?;
    let applied: Vec<_> = backup.header().migrations.iter().map(|one| (one.number, one.checksum.clone())).collect();
    migrations::check(&applied)?;
    let run = async move {
        let step: Step = Arc::new(step);
        let from = backup.migration();
        let kept = match &endpoint {
            Endpoint::Memory => return Err(BackupError::Memory),
            Endpoint::Folder(path) => into_folder(path, backup, replace, step).await?,
            Endpoint::Remote { .. } => {
                into_server(&endpoint, backup, step).await?;
                None
            }
        };
        Ok(Restored { kept, from, to: migrations::latest() })
    };
    open::on_our_threads(run).await.map_err(BackupError::database)?.map_err(BackupError::database)?
}

type Step = Arc<dyn Fn(RestoreStep) + Send + Sync>;

/// What is at the place.
enum There {
    Nothing,
    EmptyFolder,
    /// Something that makes room.
    Old,
}

async fn into_folder(path: &Path, backup: BackupFile, replace: bool, step: Step) -> Result<Option<PathBuf>, BackupError> {
    let io_at = |at: &Path| {
        let at = at.to_path_buf();
        move |error: io::Error| BackupError::Io { path: at, what: error.to_string() }
    };
    look_at(path, replace).await?;
    let new = beside(path, ".restoring");
    if folder::is_locked(&new) {
        return Err(BackupError::Busy(path.into()));
    }
    folder::remove_ours(&new).map_err(io_at(&new))?;
    // On a full disk the engine tries again for minutes, and then says that the folder is damaged.
    let parent = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let (needed, free) = (backup.bytes() + MARGIN, fs2::available_space(parent).map_err(io_at(parent))?);
    if free < needed {
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        let what =
            format!("there is not enough room: at least {} MB are needed, {} MB are free", megabytes(needed), free / 1_000_000);
        return Err(BackupError::Io { path: new, what });
    }
    let endpoint = Endpoint::Folder(new.clone());
    let made = async {
        folder::prepare(&new)?;
        let db = endpoint.connect().await?;
        fill(&db, backup, &step).await?;
        step(RestoreStep::Upgrading);
        migrations::run(&db).await?;
        drop(db);
        folder::wait_until_closed(&new).await;
        Ok::<_, BackupError>(())
    };
    if let Err(error) = made.await {
        // What is there is of no use. What can't be removed now is removed by the next one.
        folder::wait_until_closed(&new).await;
        let _ = folder::remove_ours(&new);
        return Err(match error {
            // Nothing to keep a copy of: it was ours, and is gone.
            BackupError::Open(OpenError::Damaged { path, what }) => BackupError::Io { path, what },
            error => error,
        });
    }
    // Again: much time has passed.
    let there = look_at(path, replace).await?;
    let kept = match there {
        There::Nothing => None,
        There::EmptyFolder => {
            fs::remove_dir(path).map_err(io_at(path))?;
            None
        }
        There::Old => {
            // Held, so that nobody opens it while it gets another name.
            let _lock = upgrade::hold(path)?;
            let name = format!(".before-restore-{}", Utc::now().format("%Y%m%dT%H%M%SZ"));
            let kept = (0..100).map(|n| beside(path, &if n == 0 { name.clone() } else { format!("{name}-{n}") }));
            let kept = kept.into_iter().find(|kept| !kept.exists()).unwrap_or_else(|| beside(path, &name));
            fs::rename(path, &kept).map_err(io_at(path))?;
            Some(kept)
        }
    };
    if let Err(error) = fs::rename(&new, path) {
        // Then nothing has changed after all.
        if let Some(kept) = &kept {
            let _ = fs::rename(kept, path);
        }
        return Err(io_at(path)(error));
    }
    folder::sync_parent(path).map_err(io_at(path))?;
    Ok(kept)
}

/// Finds out whether a database can be put here.
async fn look_at(path: &Path, replace: bool) -> Result<There, BackupError> {
    let io = |error: io::Error| OpenError::Io { path: path.into(), what: error.to_string() };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        Err(error) => return Err(io(error).into()),
        Ok(metadata) if metadata.is_dir() && fs::read_dir(path).map_err(io)?.next().is_none() => return Ok(There::EmptyFolder),
        Ok(_) => {}
    }
    let occupied = |what: String| BackupError::Occupied { place: path.display().to_string(), what };
    match folder::prepare(path) {
        Ok(()) => {}
        // A damaged one is what backups are for.
        Err(OpenError::Damaged { .. }) if replace => return Ok(There::Old),
        Err(OpenError::Damaged { what, .. }) => return Err(occupied(format!("damaged: {what}"))),
        // Something else than a database is never put aside.
        Err(error) => return Err(error.into()),
    }
    if replace {
        return Ok(There::Old);
    }
    let endpoint = Endpoint::Folder(path.into());
    let found = match endpoint.connect().await {
        Ok(db) => holds(&db).await?,
        Err(OpenError::Damaged { what, .. }) => Some(format!("damaged: {what}")),
        Err(error) => return Err(error.into()),
    };
    folder::wait_until_closed(path).await;
    match found {
        Some(what) => Err(occupied(what)),
        None => Ok(There::Old),
    }
}

/// What is in a database, in words; `None` where a server of ours has started at most, and nobody has done anything.
async fn holds(db: &Surreal<Any>) -> Result<Option<String>, BackupError> {
    let snapshot = db.clone().begin().await.map_err(BackupError::database)?;
    let mut found = Vec::new();
    for table in migrations::tables(&snapshot).await? {
        if table == NOTES || table == "installation" || PASSING.contains(&table.as_str()) {
            continue;
        }
        let mut answers = snapshot
            .query("SELECT VALUE id FROM type::table($table) LIMIT 1")
            .bind(vars! { table: table.clone() })
            .await
            .map_err(BackupError::database)?;
        if matches!(answers.take::<Value>(0).map_err(BackupError::database)?, Value::Array(records) if !records.is_empty()) {
            found.push(table);
        }
    }
    let _ = snapshot.cancel().await;
    Ok((!found.is_empty()).then(|| format!("it has records in: {}", found.join(", "))))
}

async fn into_server(endpoint: &Endpoint, backup: BackupFile, step: Step) -> Result<(), BackupError> {
    let db = endpoint.connect().await?;
    if !migrations::tables(&db).await?.iter().any(|table| table == UNFINISHED) {
        if let Some(what) = holds(&db).await? {
            return Err(BackupError::OccupiedServer { place: format!("{endpoint:?}"), what });
        }
        run(&db, format!("DEFINE TABLE {UNFINISHED} TYPE NORMAL SCHEMAFULL")).await?;
    }
    // What a restore left that was cut off, or the tables of a server that has started and found nothing.
    for table in migrations::tables(&db).await?.iter().filter(|table| *table != UNFINISHED) {
        run(&db, format!("REMOVE TABLE {}", Table::from(table.as_str()).to_sql())).await?;
    }
    fill(&db, backup, &step).await?;
    step(RestoreStep::Upgrading);
    migrations::run(&db).await?;
    Ok(())
}

/// Fills a database that is new: the schema as it was, the records, a comparison, and last the notes of the migrations.
async fn fill(db: &Surreal<Any>, mut backup: BackupFile, step: &Step) -> Result<(), BackupError> {
    migrations::lay_out(db, backup.migration()).await?;
    let tables = migrations::tables(db).await?;
    let end = backup.end().clone();
    // Read and decompressed beside the writing, never far ahead of it.
    let (sender, mut entries) = mpsc::channel(64);
    let reading = tokio::task::spawn_blocking(move || {
        backup.walk(|entry| sender.blocking_send(entry).map_err(|_| BackupError::Closed)).map(drop)
    });
    let (mut table, mut batch, mut bytes, mut written) = (String::new(), Vec::new(), 0, 0);
    let mut notes = Vec::new();
    while let Some(entry) = entries.recv().await {
        match entry {
            Entry::Table(name) => {
                write(db, &table, &mut batch).await?;
                // A table that no migration of ours makes: kept all the same.
                if name != NOTES && !tables.contains(&name) {
                    tracing::warn!(table = name, "a table that is not of Gatehouse is restored without its definitions");
                    run(db, format!("DEFINE TABLE {} TYPE ANY SCHEMALESS", Table::from(name.as_str()).to_sql())).await?;
                }
                (table, bytes) = (name, 0);
            }
            Entry::Record(record) => {
                let value = file::decode(&record)?;
                if table == NOTES {
                    notes.push(value);
                    continue;
                }
                bytes += record.len();
                batch.push(value);
                if batch.len() >= BATCH.0 || bytes >= BATCH.1 {
                    written += batch.len() as u64;
                    write(db, &table, &mut batch).await?;
                    bytes = 0;
                    step(RestoreStep::Written(written));
                }
            }
        }
    }
    write(db, &table, &mut batch).await?;
    reading.await.map_err(BackupError::database)??;
    // What is there now is compared with what was there then, record by record.
    let snapshot = db.clone().begin().await.map_err(BackupError::database)?;
    let mut compared = 0;
    for (name, expected) in end.tables.iter().filter(|(name, _)| *name != NOTES) {
        let found = take::sum(&snapshot, name, &mut |records| {
            compared += records;
            step(RestoreStep::Compared(compared));
        })
        .await?;
        if found != *expected {
            return Err(BackupError::Different(name.clone()));
        }
    }
    let _ = snapshot.cancel().await;
    migrations::finish_restore(db, Value::Array(Array::from(notes))).await?;
    Ok(())
}

async fn run(db: &Surreal<Any>, query: String) -> Result<(), BackupError> {
    db.query(query).await.and_then(|answers| answers.check()).map(drop).map_err(BackupError::database)
}

/// Writes records as they were: without defaults, assertions and read-only fields, which held when they were written first.
async fn write(db: &Surreal<Any>, table: &str, batch: &mut Vec<Value>) -> Result<(), BackupError> {
    if batch.is_empty() {
        return Ok(());
    }
    let rows = Value::Array(Array::from(std::mem::take(batch)));
    let query = format!("OPTION IMPORT; INSERT INTO {} $rows RETURN NONE", Table::from(table).to_sql());
    let done = tokio::time::timeout(Duration::from_secs(120), db.query(query).bind(vars! { rows: rows }));
    let done = done.await.map_err(|_| BackupError::Database("no answer within 120 s".into()))?;
    done.and_then(|answers| answers.check()).map(drop).map_err(|error| BackupError::Database(format!("table {table}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::backup::file::{Applied, Header, Writer};

    #[tokio::test]
    async fn a_backup_of_a_newer_program_is_refused_before_anything_is_made() {
        let newest = Applied { number: migrations::latest() + 1, checksum: "x".into() };
        let (bytes, _) = Writer::new(&Header::new(vec![newest], None)).unwrap().finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::new(format!("surrealkv://{}/a/b", folder.path().display()));
        let error = restore(&config, BackupFile::open(file).unwrap(), true, |_| {}).await.unwrap_err();
        assert!(matches!(error, BackupError::Open(OpenError::Newer { .. })), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
