//! Backups: one moment of a database that others write to, and the same database somewhere else.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use gatehouse_domain::CompanyName;
use gatehouse_platform::{
    Choice, CompanyId, FileContent, Origin,
    ports::{AccessStore as _, KeyStore as _, TrafficStore as _},
};
use gatehouse_store::{
    BackupError, BackupFile, BackupPart, BackupStream, OpenError, RestoreStep, Restored, Store, StoreConfig, backup, restore,
};
use surrealdb::{
    Surreal,
    engine::any::Any,
    types::{ToSql as _, Value},
};

use crate::{
    analyses,
    opening::{config, raw, snapshot, until_free},
    support::{Backend, Bed, Server, company, integration, now, on_each_database, open, person, proxy},
    traffic,
};

/// Writes a backup to a file, as the program does; the last part says that it is whole.
pub async fn write_to(path: &Path, mut stream: BackupStream) -> Result<u64, BackupError> {
    let mut file = File::create(path).expect("made");
    while let Some(part) = stream.recv().await {
        match part? {
            BackupPart::Bytes(bytes) => file.write_all(&bytes).expect("written"),
            BackupPart::Progress(_) => {}
            BackupPart::Done(summary) => return Ok(summary.records),
        }
    }
    panic!("it ended without a word");
}

pub fn open_file(path: &Path) -> Result<BackupFile, BackupError> {
    BackupFile::open(File::open(path).expect("there"))
}

async fn restore_at(config: &StoreConfig, file: &Path, replace: bool) -> Result<Restored, BackupError> {
    restore(config, open_file(file)?, replace, |_| {}).await
}

/// Every record of every table, and how the tables are defined, without what a backup leaves out.
pub async fn dump(db: &Surreal<Any>) -> BTreeMap<String, Vec<Value>> {
    let info: Value = db.query("INFO FOR DB").await.and_then(|mut answers| answers.take(0)).expect("information");
    let Value::Object(mut info) = info else { panic!("{info:?}") };
    let Some(Value::Object(tables)) = info.remove("tables") else { panic!("no tables") };
    let mut found = BTreeMap::new();
    for (table, definition) in tables.into_inner() {
        let query = format!("INFO FOR TABLE {table}; SELECT * FROM {table}");
        let mut answers = db.query(query).await.expect("a table");
        let (structure, records): (Value, Value) = (answers.take(0).expect("it"), answers.take(1).expect("records"));
        let Value::Array(records) = records else { panic!("{records:?}") };
        let records = if ["session", "setup_link", "sign_in", "test_slot"].contains(&table.as_str()) {
            Vec::new()
        } else {
            records.into_inner()
        };
        found.insert(table, [vec![definition, structure], records].concat());
    }
    found
}

async fn dump_of(config: &StoreConfig) -> BTreeMap<String, Vec<Value>> {
    let db = raw(config).await;
    let dump = dump(&db).await;
    drop(db);
    until_free(config).await;
    dump
}

#[track_caller]
fn assert_equal(found: &BTreeMap<String, Vec<Value>>, expected: &BTreeMap<String, Vec<Value>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (table, expected) in expected {
        let found = &found[table];
        assert_eq!(found.len(), expected.len(), "{table}");
        for (found, expected) in found.iter().zip(expected) {
            // Not a number is not equal to itself.
            assert!(
                found == expected || found.to_sql() == expected.to_sql(),
                "{table}:\n{}\n{}",
                found.to_sql(),
                expected.to_sql()
            );
        }
    }
}

/// Some of everything.
async fn fill(store: &Store) -> CompanyId {
    let company = company(store).await;
    store.init_key_id("0123456789abcdef").await.expect("set");
    let jo = person();
    store.create_person(company, &jo, now()).await.expect("made");
    store.create_session("hash", jo.id, now(), now() + Duration::from_secs(3600), &Origin::command_line()).await.expect("made");
    store.put_setup_link("hash", now() + Duration::from_secs(3600)).await.expect("made");
    let setting = proxy(store, company, "a").await;
    integration(store, company, "Engine", Choice::Setting(setting.id)).await;
    integration(store, company, "Another", Choice::Default).await;
    analyses::begin(store, company, "https://a.example/", &analyses::lease("a", 600)).await;
    for part in traffic::records(company, 2500, TimeDelta::milliseconds(7)).chunks(250) {
        store.record_traffic(part).await.expect("recorded");
    }
    company
}

/// What no part of the program writes today: every kind of value, in identifiers, too.
const ODD: &str = r#"
DEFINE TABLE odd TYPE ANY SCHEMALESS;
CREATE odd:[u'0190a8f0-0000-7000-8000-000000000000', d'2026-01-02T03:04:05.123456789Z', 'a'] SET
    bytes = <bytes>"a\0b", duration = 1w2d3ns, decimal = 12345678901234567890.123456789dec, float = 0.1, large = 9223372036854775807,
    small = -9223372036854775808, nan = NaN, infinite = -math::inf, moment = d'1970-01-01T00:00:00.000000001Z', uuid = u'0190a8f0-0000-7000-8000-000000000001',
    null = NULL, none = NONE, nested = { list: [1, [2.5, { a: NULL, b: NONE }]], set: {1, 2, 'a'} }, link = odd:{ a: 1, b: [true] },
    range = 1..=5, place = (1.5, -2.25), text = "quotes ' \" ` \\ and \u{1F600}\nlines", regex = /a+b/;
CREATE odd:{ a: 1, b: [true] }; CREATE odd:0; CREATE odd:-7; CREATE odd:⟨with spaces and ⟩; CREATE odd:⟨0⟩;
CREATE odd:u'0190a8f0-0000-7000-8000-000000000002' SET big = string::repeat('0123456789', 100000);
"#;

/// A backup of this database, restored in a folder and in a server: both are what it was.
async fn everything_is_restored(backend: Backend) {
    let Some(bed) = Bed::new(backend).await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fill(&bed.store).await;
    bed.store.close().await;
    let db = raw(&bed.config).await;
    db.query(ODD).await.and_then(|answers| answers.check()).expect("made");
    let before = dump(&db).await;
    drop(db);
    until_free(&bed.config).await;
    assert!(before["odd"].len() == 2 + 7 && before["traffic"].len() == 2 + 2500, "{:?}", before["odd"].len());
    let file = folder.path().join("backup");
    let records = write_to(&file, backup(&bed.config)).await.expect("a backup");
    let whole = open_file(&file).expect("whole");
    assert_eq!((whole.records(), whole.key()), (records, Some("0123456789abcdef")));
    assert_eq!(whole.other_keys().count(), 0, "nothing is sealed in it");
    println!("{records} records, {} bytes", fs::metadata(&file).expect("there").len());

    let elsewhere = config(&folder.path().join("elsewhere/gatehouse.db"));
    let restored = restore_at(&elsewhere, &file, false).await.expect("restored");
    assert_eq!((restored.kept, restored.from), (None, restored.to));
    assert_equal(&dump_of(&elsewhere).await, &before);
    let left: Vec<_> = fs::read_dir(folder.path().join("elsewhere")).expect("there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["gatehouse.db"], "nothing else is left");

    let Some(server) = Server::start() else { return };
    let _ = raw_when_ready(&server.config()).await;
    restore_at(&server.config(), &file, false).await.expect("restored");
    assert_equal(&dump_of(&server.config()).await, &before);
    // It is one like any other: it opens, and is backed up again.
    let store = open(&server.config()).await;
    let again = folder.path().join("again");
    assert_eq!(write_to(&again, store.backup()).await.expect("a backup"), records);
    let twice = restore_at(&server.config(), &file, true).await.expect_err("not empty");
    assert!(matches!(twice, BackupError::OccupiedServer { .. }), "{twice}");
    assert_equal(&dump_of(&server.config()).await, &before);
    restore_at(&config(&folder.path().join("third")), &again, false).await.expect("restored");
    assert_equal(&dump_of(&config(&folder.path().join("third"))).await, &before);
}

/// A server may still be starting.
async fn raw_when_ready(config: &StoreConfig) -> Surreal<Any> {
    while surrealdb::engine::any::connect(config.database.as_str()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    raw(config).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_a_folder_is_restored_in_a_folder_and_in_a_server() {
    everything_is_restored(Backend::Folder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_a_server_is_restored_in_a_folder_and_in_a_server() {
    everything_is_restored(Backend::Server).await;
}

on_each_database! {
    a_backup_is_one_moment_while_others_write
}

/// Each writer's things come one after the other, and each is more than one record. So in any one moment there is no gap, no half, and
/// the records that count them are right.
async fn a_backup_is_one_moment_while_others_write(bed: Arc<Bed>) {
    let folder = tempfile::tempdir().expect("a folder");
    let first = company(&bed.store).await;
    // Long enough that a backup takes a while.
    for part in traffic::records(first, 2000, TimeDelta::milliseconds(7)).chunks(250) {
        bed.store.record_traffic(part).await.expect("recorded");
    }
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(vec![0usize; 4])));
    let writers: Vec<_> = (0..4usize)
        .map(|writer| {
            let (store, stop, acknowledged) = (bed.either(writer), stop.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    match writer % 2 {
                        // Two records: the company, and how many there are.
                        0 => {
                            let name = CompanyName::parse(&format!("w{writer} n{number}")).expect("right");
                            store.create_company(CompanyId::new(), &name, now()).await.expect("made");
                        }
                        // Two records: the integration, and that it uses the default.
                        _ => drop(integration(&store, first, &format!("w{writer} n{number}"), Choice::Default).await),
                    }
                    acknowledged.lock().expect("not poisoned")[writer] = number + 1;
                }
            })
        })
        .collect();
    let wait_for_more = async || {
        let before: usize = acknowledged.lock().expect("not poisoned").iter().sum();
        while acknowledged.lock().expect("not poisoned").iter().sum::<usize>() < before + 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut backups = Vec::new();
    for round in 0..2 {
        wait_for_more().await;
        let at_begin = acknowledged.lock().expect("not poisoned").clone();
        let file = folder.path().join(round.to_string());
        write_to(&file, bed.either(round).backup()).await.expect("a backup");
        let at_end = acknowledged.lock().expect("not poisoned").clone();
        assert!(at_end.iter().sum::<usize>() > at_begin.iter().sum(), "others wrote meanwhile: {at_begin:?} {at_end:?}");
        backups.push((file, at_begin, at_end));
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no panic");
    }
    for (number, (file, at_begin, at_end)) in backups.iter().enumerate() {
        let place = config(&folder.path().join(format!("restored {number}")));
        restore_at(&place, file, false).await.expect("restored");
        let db = raw(&place).await;
        let mut answers = db
            .query("SELECT VALUE name FROM company; SELECT VALUE name FROM integration; SELECT VALUE name FROM proxy_use")
            .query("RETURN installation:main.companies; SELECT VALUE integrations FROM company WHERE integrations > 0")
            .await
            .expect("answers");
        let companies: Vec<String> = answers.take(0).expect("names");
        let (mut integrations, mut uses): (Vec<String>, Vec<String>) =
            (answers.take(1).expect("names"), answers.take(2).expect("names"));
        integrations.sort();
        uses.sort();
        assert_eq!(answers.take::<Option<usize>>(3).expect("a number"), Some(companies.len()), "as many as are counted");
        assert_eq!(integrations, uses, "each with its use");
        assert_eq!(answers.take::<Vec<usize>>(4).expect("numbers"), [integrations.len()]);
        for writer in 0..4 {
            let names = if writer % 2 == 0 { &companies } else { &integrations };
            let mut numbers: Vec<usize> =
                names.iter().filter_map(|name| name.strip_prefix(&format!("w{writer} n"))?.parse().ok()).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "writer {writer}: no gap");
            // One more may have been written and not acknowledged yet.
            assert!(
                (at_begin[writer]..=at_end[writer] + 1).contains(&numbers.len()),
                "writer {writer}: {at_begin:?} {} {at_end:?}",
                numbers.len()
            );
        }
    }
}

/// A small one, in a file.
async fn small(folder: &Path) -> (PathBuf, BTreeMap<String, Vec<Value>>) {
    let place = config(&folder.join("source"));
    let store = open(&place).await;
    let company = company(&store).await;
    proxy(&store, company, "a").await;
    let file = folder.join("backup");
    write_to(&file, store.backup()).await.expect("a backup");
    store.close().await;
    let dump = dump_of(&place).await;
    (file, dump)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_never_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, expected) = small(folder.path()).await;

    // A database with something in it: refused; put aside with `replace`.
    let path = folder.path().join("full/gatehouse.db");
    let store = open(&config(&path)).await;
    company(&store).await;
    let open_elsewhere = restore_at(&config(&path), &file, true).await.expect_err("in use");
    assert!(matches!(open_elsewhere, BackupError::Open(OpenError::Locked(_))), "{open_elsewhere}");
    store.close().await;
    let before = dump_of(&config(&path)).await;
    let refused = restore_at(&config(&path), &file, false).await.expect_err("refused");
    assert!(matches!(&refused, BackupError::Occupied { .. }) && refused.to_string().contains("--replace"), "{refused}");
    assert_equal(&dump_of(&config(&path)).await, &before);
    let kept = restore_at(&config(&path), &file, true).await.expect("replaced").kept.expect("kept");
    assert!(kept.to_string_lossy().contains("gatehouse.db.before-restore-"), "{kept:?}");
    assert_equal(&dump_of(&config(&path)).await, &expected);
    assert_equal(&dump_of(&config(&kept)).await, &before);

    // One in which nobody has done anything yet makes room by itself, and so does an empty folder.
    let path = folder.path().join("started/gatehouse.db");
    let store = open(&config(&path)).await;
    store.init_key_id("another").await.expect("set");
    store.put_setup_link("hash", now() + Duration::from_secs(3600)).await.expect("made");
    store.close().await;
    assert!(restore_at(&config(&path), &file, false).await.expect("restored").kept.is_some());
    assert_equal(&dump_of(&config(&path)).await, &expected);
    let path = folder.path().join("empty");
    fs::create_dir(&path).expect("made");
    assert_eq!(restore_at(&config(&path), &file, false).await.expect("restored").kept, None);
    assert_equal(&dump_of(&config(&path)).await, &expected);

    // What is no database is nobody's to put aside.
    let path = folder.path().join("pictures");
    fs::create_dir(&path).expect("made");
    fs::write(path.join("holiday.jpg"), b"not a database").expect("written");
    let before = snapshot(&path);
    for replace in [false, true] {
        let refused = restore_at(&config(&path), &file, replace).await.expect_err("refused");
        assert!(matches!(refused, BackupError::Open(OpenError::Foreign { .. })), "{refused}");
        assert_eq!(snapshot(&path), before);
    }

    // A damaged database is what backups are for.
    let path = folder.path().join("source");
    fs::remove_dir_all(path.join("manifest")).expect("removed");
    assert!(matches!(restore_at(&config(&path), &file, false).await, Err(BackupError::Occupied { .. })));
    assert!(restore_at(&config(&path), &file, true).await.expect("restored").kept.is_some());
    assert_equal(&dump_of(&config(&path)).await, &expected);

    assert!(matches!(restore_at(&StoreConfig::new("mem://"), &file, true).await, Err(BackupError::Memory)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_whole_touches_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = small(folder.path()).await;
    let whole = fs::read(&file).expect("readable");
    let target = folder.path().join("target/gatehouse.db");
    let bad = folder.path().join("bad");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (bytes, expected) in [
        (&whole[..whole.len() - 1], "before its end"),
        (&whole[..whole.len() / 2], "before its end"),
        (&whole[..30], "before its end"),
        (&changed, "damaged"),
        (b"PK\x03\x04".as_slice(), "not a backup"),
        (b"", "not a backup"),
    ] {
        fs::write(&bad, bytes).expect("written");
        let error = restore_at(&config(&target), &bad, true).await.expect_err("refused");
        assert!(error.to_string().contains(expected) && error.to_string().contains("Nothing was changed"), "{error}");
        assert!(!target.parent().expect("a folder").exists(), "nothing was made");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_nothing_to_back_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nowhere/gatehouse.db");
    let out = folder.path().join("backup");
    let error = write_to(&out, backup(&config(&path))).await.expect_err("nothing there");
    assert!(matches!(error, BackupError::NoDatabase(_)) && error.to_string().contains("nowhere/gatehouse.db"), "{error}");
    assert!(!path.parent().expect("a folder").exists(), "and none was made");
    assert!(matches!(write_to(&out, backup(&StoreConfig::new("mem://"))).await, Err(BackupError::Memory)));
    let Some(server) = Server::start() else { return };
    let _ = raw_when_ready(&server.config()).await;
    assert!(matches!(write_to(&out, backup(&server.config())).await, Err(BackupError::NoDatabase(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup_is_brought_up_to_date_and_an_older_database_backed_up_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = config(&folder.path().join("old"));
    let last = crate::upgrade::older(&old, 1).await;
    let before = dump_of(&old).await;
    let file = folder.path().join("backup");
    write_to(&file, backup(&old)).await.expect("a backup");
    assert_equal(&dump_of(&old).await, &before);
    assert_eq!(open_file(&file).expect("whole").migration(), last - 1);
    let new = config(&folder.path().join("new"));
    let restored = restore_at(&new, &file, false).await.expect("restored");
    assert_eq!((restored.from, restored.to), (last - 1, last));
    let after = dump_of(&new).await;
    // A table's definition, and what INFO says of it, stand before its records.
    assert_eq!(after["company"][2..], before["company"][2..], "what was in it");
    assert_eq!(after["migration"].len(), before["migration"].len() + 1, "and one migration more");
    open(&new).await.close().await;
    assert!(!folder.path().join(format!("new.before-{last:04}")).exists(), "the backup is the copy");
}

/// A restore that ends in the middle, by a panic as by a kill: the next one works, and nobody takes the half for the whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_into_a_server_that_was_cut_off_is_begun_anew() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let source = config(&folder.path().join("source"));
    let store = open(&source).await;
    fill(&store).await;
    let file = folder.path().join("backup");
    write_to(&file, store.backup()).await.expect("a backup");
    store.close().await;
    let expected = dump_of(&source).await;
    let _ = raw_when_ready(&server.config()).await;
    for at in [RestoreStep::Written(500), RestoreStep::Compared(16)] {
        let config = server.config();
        let cut = restore(&config, open_file(&file).expect("whole"), false, move |step| match (step, at) {
            (RestoreStep::Written(done), RestoreStep::Written(at)) | (RestoreStep::Compared(done), RestoreStep::Compared(at)) => {
                assert!(done < at, "cut off here");
            }
            _ => {}
        });
        assert!(cut.await.is_err());
        let refused = Store::open(&config).await.expect_err("not finished");
        assert!(
            matches!(refused, OpenError::RestoreUnfinished) && refused.to_string().contains("gatehouse restore"),
            "{refused}"
        );
        let backed_up = write_to(&folder.path().join("half"), backup(&config)).await.expect_err("not finished");
        assert!(matches!(backed_up, BackupError::Open(OpenError::RestoreUnfinished)), "{backed_up}");
    }
    restore_at(&server.config(), &file, false).await.expect("begun anew");
    assert_equal(&dump_of(&server.config()).await, &expected);
    open(&server.config()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_analyses_are_restored_byte_by_byte_and_pages_stay_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = config(&folder.path().join("source"));
    let store = open(&source).await;
    let company = company(&store).await;
    for number in 0..12u8 {
        let bytes = (0..1_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ number).collect();
        let file = FileContent { name: format!("{number}"), bytes: Arc::new(bytes) };
        analyses::with_file(&store, company, file).await;
    }
    let out = folder.path().join("backup");
    write_to(&out, store.backup()).await.expect("a backup");
    store.close().await;
    let place = config(&folder.path().join("place"));
    restore_at(&place, &out, false).await.expect("restored");
    assert_equal(&dump_of(&place).await, &dump_of(&source).await);
}

/// What it costs, and that memory does not grow with the database. The numbers are printed (`--run-ignored only --no-capture`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run it for the numbers in docs/operator/backup.md"]
async fn fifty_thousand_records() {
    let memory = || {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1000
    };
    let folder = tempfile::tempdir().expect("a folder");
    let source = config(&folder.path().join("source"));
    let store = open(&source).await;
    let company = company(&store).await;
    for part in traffic::records(company, 50_000, TimeDelta::milliseconds(7)).chunks(250) {
        store.record_traffic(part).await.expect("recorded");
    }
    let file = folder.path().join("backup");
    let (before, begin) = (memory(), std::time::Instant::now());
    let records = write_to(&file, store.backup()).await.expect("a backup");
    println!(
        "backup: {records} records in {:.1?}, {} kB; {before} MB resident before, {} MB after",
        begin.elapsed(),
        fs::metadata(&file).expect("there").len() / 1000,
        memory()
    );
    store.close().await;
    let (before, begin) = (memory(), std::time::Instant::now());
    restore_at(&config(&folder.path().join("place")), &file, false).await.expect("restored");
    println!("restore: {:.1?}; {before} MB resident before, {} MB after", begin.elapsed(), memory());
    assert!(records > 50_000);
}
