//! An older database is upgraded after a copy of it is kept; whatever cuts that off, nothing is lost.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use gatehouse_platform::ports::AccessStore as _;
use gatehouse_store::{OpenError, Store, StoreConfig};
use sha2::{Digest as _, Sha256};
use surrealdb::{
    Surreal,
    engine::any::{self, Any},
    types::Value,
};

use crate::{
    backup::dump,
    opening::{config, raw, snapshot},
};

/// The migrations as they stand in their files: number and text.
fn migrations() -> Vec<(u32, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut found: Vec<_> = fs::read_dir(folder)
        .expect("readable")
        .flatten()
        .map(|entry| {
            let number = entry.file_name().to_string_lossy()[..4].parse().expect("NNNN_name.surql");
            (number, fs::read_to_string(entry.path()).expect("readable"))
        })
        .collect();
    found.sort();
    found
}

/// Makes a database as a program left it that knew so many migrations less, with a company in it; gives the last migration there is.
pub async fn older(config: &StoreConfig, less: usize) -> u32 {
    let db = any::connect(format!("{}?sync=every", config.database)).await.expect("made");
    db.query("DEFINE NAMESPACE gatehouse; USE NS gatehouse; DEFINE DATABASE gatehouse STRICT")
        .await
        .and_then(|answers| answers.check())
        .expect("made");
    db.use_ns("gatehouse").use_db("gatehouse").await.expect("selected");
    db.query(
        "DEFINE TABLE migration TYPE NORMAL SCHEMAFULL;
         DEFINE FIELD number ON migration TYPE int READONLY ASSERT $value >= 1;
         DEFINE FIELD name ON migration TYPE string READONLY;
         DEFINE FIELD checksum ON migration TYPE string READONLY;
         DEFINE FIELD at ON migration TYPE datetime READONLY DEFAULT time::now();",
    )
    .await
    .and_then(|answers| answers.check())
    .expect("made");
    let all = migrations();
    for (number, text) in &all[..all.len() - less] {
        let checksum: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        db.query(format!(
            "BEGIN; {text}; CREATE migration:{number} SET number = {number}, name = 'x', checksum = '{checksum}'; COMMIT"
        ))
        .await
        .and_then(|answers| answers.check())
        .expect("applied");
    }
    db.query(
        "CREATE company:u'0190a8f0-0000-7000-8000-000000000000' SET name = 'Old', name_key = 'old', created_at = time::now();
         CREATE installation:main SET companies = 1",
    )
    .await
    .and_then(|answers| answers.check())
    .expect("made");
    all.last().expect("some").0
}

async fn dump_of(path: &Path) -> BTreeMap<String, Vec<Value>> {
    let db: Surreal<Any> = raw(&config(path)).await;
    dump(&db).await
}

/// Opens it; whoever had it before lets go of it in the background.
async fn open(path: &Path) -> Result<Store, OpenError> {
    for _ in 0..1000 {
        match Store::open(&config(path)).await {
            Err(OpenError::Locked(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other,
        }
    }
    panic!("locked for ever");
}

/// What stands beside a database and begins with its name.
fn beside(path: &Path) -> Vec<String> {
    let own = path.file_name().expect("a name").to_string_lossy().into_owned();
    let entries = fs::read_dir(path.parent().expect("a folder")).expect("readable").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(&own) && *name != own);
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_an_older_database_is_kept_before_it_is_upgraded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gatehouse.db");
    let last = older(&config(&path), 2).await;
    let before = dump_of(&path).await;
    let store = open(&path).await.expect("upgraded");
    assert!(!store.is_empty().await.expect("an answer"), "the company is there");
    store.close().await;
    let copy = folder.path().join(format!("gatehouse.db.before-{:04}", last - 1));
    assert_eq!(beside(&path), [copy.file_name().expect("a name").to_string_lossy()]);
    assert_eq!(dump_of(&copy).await, before, "the copy is the database as it was");
    let after = dump_of(&path).await;
    assert_eq!(after["migration"].len(), before["migration"].len() + 2, "upgraded");
    // Up to date: no copy more. New: none at all.
    open(&path).await.expect("opened").close().await;
    assert_eq!(beside(&path).len(), 1);
    let new = folder.path().join("new.db");
    open(&new).await.expect("made").close().await;
    assert!(beside(&new).is_empty(), "{:?}", beside(&new));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_copy_nothing_is_upgraded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gatehouse.db");
    let last = older(&config(&path), 1).await;
    let before = dump_of(&path).await;
    // Somebody's own, where the copy is to be.
    let taken = folder.path().join(format!("gatehouse.db.before-{last:04}"));
    fs::create_dir(&taken).expect("made");
    fs::write(taken.join("notes.txt"), "mine").expect("written");
    let error = open(&path).await.expect_err("refused");
    assert!(matches!(error, OpenError::NoCopy { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains(&*taken.to_string_lossy()) && said.contains("Nothing was changed") && said.contains("notes.txt"),
        "{said}"
    );
    assert_eq!(dump_of(&path).await, before);
    assert_eq!(fs::read_to_string(taken.join("notes.txt")).expect("there"), "mine");
    fs::remove_dir_all(&taken).expect("removed");
    open(&path).await.expect("upgraded").close().await;
    assert_eq!(dump_of(&taken).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upgrade_left_that_was_cut_off_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gatehouse.db");
    let last = older(&config(&path), 1).await;
    let before = dump_of(&path).await;
    // Killed in the middle of the copy, and a copy of an upgrade that was undone: both are made anew.
    let copy = folder.path().join(format!("gatehouse.db.before-{last:04}"));
    for left in [copy.clone(), folder.path().join(format!("gatehouse.db.before-{last:04}.part"))] {
        fs::create_dir_all(left.join("wal")).expect("made");
        fs::write(left.join("wal/00000000000000000000.wal"), "half").expect("written");
    }
    // Of older upgrades; and somebody's own of a similar name.
    for old in ["0001", "0002", "0003"] {
        fs::create_dir_all(folder.path().join(format!("gatehouse.db.before-{old}/wal"))).expect("made");
    }
    fs::create_dir(folder.path().join("gatehouse.db.before-lunch")).expect("made");
    open(&path).await.expect("upgraded").close().await;
    assert_eq!(dump_of(&copy).await, before);
    let expected =
        ["gatehouse.db.before-0003".to_string(), format!("gatehouse.db.before-{last:04}"), "gatehouse.db.before-lunch".into()];
    assert_eq!(beside(&path), expected, "the last two are kept");
}

const FOLDER: &str = "GATEHOUSE_TEST_UPGRADE_FOLDER";

/// Not a test: the process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    println!("BEGIN");
    let store = open(&PathBuf::from(folder)).await.expect("upgraded");
    println!("UPGRADED");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_an_upgrade_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut killed_before, mut copies) = (0, 0);
    for round in 0..8u64 {
        let path = folder.path().join(format!("{round}/gatehouse.db"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let last = older(&config(&path), 5).await;
        let before = dump_of(&path).await;
        // Large enough that copying takes a moment.
        fs::create_dir_all(path.join("vlog")).expect("made");
        fs::write(path.join("vlog/padding.tmp"), vec![7; 30_000_000]).expect("written");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["upgrade::child", "--exact", "--nocapture"])
            .env(FOLDER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("BEGIN")));
        tokio::time::sleep(Duration::from_millis(40 + round * 60)).await;
        child.kill().expect("killed");
        child.wait().expect("gone");
        let through = lines.any(|line| line.contains("UPGRADED"));
        killed_before += usize::from(!through);
        let left = beside(&path);
        let copy = folder.path().join(format!("{round}/gatehouse.db.before-{:04}", last - 4));
        println!("killed after {} ms: upgraded {through}, left {left:?}", 40 + round * 60);
        if copy.exists() {
            copies += 1;
            fs::remove_file(copy.join("vlog/padding.tmp")).expect("there");
            assert_eq!(dump_of(&copy).await, before, "a copy that has its name is whole");
        }
        let store = open(&path).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(!store.is_empty().await.expect("an answer"));
        store.close().await;
        let after = dump_of(&path).await;
        assert_eq!((after["migration"].len(), &after["company"][2..]), (before["migration"].len() + 5, &before["company"][2..]));
        assert!(beside(&path).iter().all(|name| !name.ends_with(".part")), "{:?}", beside(&path));
        let names = snapshot(path.parent().expect("a folder"));
        assert!(names.keys().any(|name| name.ends_with("gatehouse.db")));
    }
    println!("{killed_before} of 8 killed before the upgrade was through; {copies} had a copy by then");
    assert!(killed_before > 0);
}
