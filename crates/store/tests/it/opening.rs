//! Opening: what is ours, what is not, and what is damaged.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse_domain::{ProxyQuery, Secret};
use gatehouse_platform::{
    Choice, CompanyId, ProxyId,
    ports::{AccessStore as _, IntegrationStore as _, ProxyStore as _, StoreError},
};
use gatehouse_store::{OpenError, Store, StoreConfig};
use surrealdb::{
    Surreal,
    engine::any::{self, Any},
    opt::auth::Root,
    types::Value,
};

use crate::support::{Backend, Bed, Server, at_once, company, integration, now, open, proxy};

/// Everything below a folder: names, kinds and contents.
pub fn snapshot(path: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    if path.is_dir() {
        found.insert(path.to_path_buf(), None);
        for entry in fs::read_dir(path).expect("readable") {
            found.extend(snapshot(&entry.expect("readable").path()));
        }
    } else if path.exists() {
        found.insert(path.to_path_buf(), Some(fs::read(path).expect("readable")));
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to) } else { fs::copy(entry.path(), &to).map(drop).expect("copied") }
    }
}

pub fn config(path: &Path) -> StoreConfig {
    StoreConfig::new(format!("surrealkv://{}", path.display()))
}

async fn names(store: &Store, company: CompanyId) -> Vec<String> {
    let query = ProxyQuery { limit: 200, ..Default::default() };
    let page = store.list_proxies(company, &query).await.expect("a list");
    page.items.into_iter().map(|record| record.values.name.to_string()).collect()
}

/// Waits until nobody has an embedded database open: whoever had it lets go of it in the background.
pub async fn until_free(config: &StoreConfig) {
    let Some(folder) = config.folder() else { return };
    let begin = Instant::now();
    while let Ok(file) = fs::File::open(folder.join("LOCK"))
        && fs2::FileExt::try_lock_exclusive(&file).is_err()
        && begin.elapsed() < Duration::from_secs(10)
    {
        drop(file);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A connection past the store.
pub async fn raw(config: &StoreConfig) -> Surreal<Any> {
    let begin = Instant::now();
    // Whoever had an embedded database before lets go of it in the background.
    let db = loop {
        match any::connect(config.database.as_str()).await {
            Ok(db) => break db,
            Err(_) if begin.elapsed() < Duration::from_secs(10) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    };
    if config.user.is_some() {
        db.signin(Root { username: "root".into(), password: "root".into() }).await.expect("signed in");
    }
    db.use_ns("gatehouse").use_db("gatehouse").await.expect("selected");
    db
}

/// Closes the store of a bed, does something to its database, and opens it again.
async fn past_the_store(bed: &Bed, query: &str) -> Result<Store, OpenError> {
    if bed.server.is_none() {
        bed.store.close().await;
    }
    let db = raw(&bed.config).await;
    db.query(query).await.and_then(|results| results.check()).expect("done");
    let dump = async |db: &Surreal<Any>| {
        let mut results = db
            .query("INFO FOR DB; SELECT * FROM migration; SELECT * FROM company; SELECT * FROM proxy_setting")
            .await
            .expect("a dump");
        (0..4).map(|number| results.take::<Value>(number).expect("a dump")).collect::<Vec<_>>()
    };
    let before = dump(&db).await;
    drop(db);
    let begin = Instant::now();
    let result = loop {
        match Store::open(&bed.config).await {
            Err(OpenError::Locked(_)) if begin.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            result => break result,
        }
    };
    if result.is_err() {
        let db = raw(&bed.config).await;
        assert_eq!(dump(&db).await, before, "refused, and nothing changed");
    }
    result
}

mod a_database_is_opened_again {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn folder() {
        let bed = Bed::new(Backend::Folder).await.expect("a folder");
        let company = company(&bed.store).await;
        proxy(&bed.store, company, "a").await;
        let clone = bed.store.clone();
        bed.store.close().await;
        assert!(matches!(clone.is_empty().await, Err(StoreError::Unavailable(_))), "closed for all clones");
        for _ in 0..2 {
            let store = Store::open(&bed.config).await.expect("opened at once: the lock is free");
            assert_eq!(names(&store, company).await, ["a"]);
            store.close().await;
        }
        let mut notes = raw(&bed.config).await.query("SELECT VALUE number FROM migration").await.expect("an answer");
        assert_eq!(notes.take::<Vec<i64>>(0).expect("numbers"), [1, 2, 3, 4, 5, 6, 7, 8, 9], "each migration once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_start_at_once_all_start_and_apply_each_migration_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let config = server.config();
    // Until the server answers, nobody has made anything.
    while any::connect(config.database.as_str()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stores = at_once(5, |_| {
        let config = config.clone();
        async move { Store::open(&config).await }
    })
    .await;
    for store in stores {
        assert!(store.expect("opened").is_empty().await.expect("an answer"));
    }
    // Also when each of them finds what others left.
    let left = raw(&config).await.query("FOR $n IN 0..20 { CREATE ticket SET at = time::now() - 2m }").await;
    left.and_then(|answers| answers.check()).expect("left");
    for store in at_once(8, |_| {
        let config = config.clone();
        async move { Store::open(&config).await }
    })
    .await
    {
        assert!(store.expect("opened").is_empty().await.expect("an answer"));
    }
    let mut notes = raw(&config).await.query("SELECT VALUE number FROM migration").await.expect("an answer");
    assert_eq!(notes.take::<Vec<i64>>(0).expect("numbers"), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// Like `on_each_database`, for those that outlive their store.
macro_rules! on_each_of_the_lasting {
    ($($name:ident)+) => {
        $(mod $name {
            use crate::support::{Backend, run};

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn folder() {
                run(Backend::Folder, super::$name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn server() {
                run(Backend::Server, super::$name).await;
            }
        })+
    };
}

on_each_of_the_lasting! {
    a_database_of_the_first_migration_is_brought_to_the_last
    a_newer_database_is_refused
    a_migration_that_was_changed_is_refused
    another_programs_database_is_refused
}

/// Makes of a new database what the program before left: its one migration, and what was stored with it.
async fn a_database_of_the_first_migration_is_brought_to_the_last(bed: Arc<Bed>) {
    const FIRST: &str = include_str!("../../migrations/0001_foundation.surql");
    let company = company(&bed.store).await;
    let id = proxy(&bed.store, company, "a").await.id;
    bed.store.set_default_proxy(company, Some(id)).await.expect("set");
    // The tables of the second one are gone, and what it changed in a table of the first; and the last one, which speaks of them.
    let mut again = String::from("DELETE migration:2, migration:9; REMOVE FIELD integrations ON company; REMOVE TABLE ticket;");
    for table in ["integration", "analysis", "analysis_result", "analysis_file", "kept_finding", "traffic", "traffic_sum"] {
        assert!(!FIRST.contains(&format!("DEFINE TABLE {table} ")));
        again.push_str(&format!("REMOVE TABLE {table};"));
    }
    let store = past_the_store(&bed, &again).await.expect("opened and brought to the last");
    assert_eq!(names(&store, company).await, ["a"]);
    let made = integration(&store, company, "Engine", Choice::Default).await;
    assert_eq!(store.integrations(company).await.expect("a list"), [made]);
    assert_eq!(store.proxy(company, id).await.expect("there").used_by.len(), 1);
    assert!(matches!(store.delete_proxy(company, id, None).await, Err(StoreError::InUse(_))));
    store.close().await;
    let mut notes = raw(&bed.config).await.query("SELECT VALUE number FROM migration").await.expect("an answer");
    assert_eq!(notes.take::<Vec<i64>>(0).expect("numbers"), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

async fn a_newer_database_is_refused(bed: Arc<Bed>) {
    company(&bed.store).await;
    let error =
        past_the_store(&bed, "CREATE migration:10 SET number = 10, name = 'later', checksum = 'x'").await.expect_err("refused");
    assert!(matches!(error, OpenError::Newer { found: 10, known: 9 }), "{error:?}");
    assert!(
        error.to_string().starts_with("This database was made by a newer Gatehouse (migration 10; this program knows 9)."),
        "{error}"
    );
}

async fn a_migration_that_was_changed_is_refused(bed: Arc<Bed>) {
    let query = "DELETE migration:1; CREATE migration:1 SET number = 1, name = 'foundation', checksum = 'x'";
    let error = past_the_store(&bed, query).await.expect_err("refused");
    assert!(matches!(&error, OpenError::MigrationChanged { number: 1, name } if name == "foundation"), "{error:?}");
}

async fn another_programs_database_is_refused(bed: Arc<Bed>) {
    let query =
        "REMOVE DATABASE gatehouse; DEFINE DATABASE gatehouse; USE DB gatehouse; DEFINE TABLE invoice; DEFINE TABLE migration2;
        CREATE invoice:1; DEFINE TABLE proxy_setting; DEFINE TABLE company";
    if bed.server.is_none() {
        bed.store.close().await;
    }
    let db = raw(&bed.config).await;
    db.query(query).await.and_then(|results| results.check()).expect("done");
    drop(db);
    let begin = Instant::now();
    let error = loop {
        match Store::open(&bed.config).await {
            Err(OpenError::Locked(_)) if begin.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            result => break result.expect_err("refused"),
        }
    };
    assert!(error.to_string().contains("other tables (company)"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time_has_a_folder() {
    let bed = Bed::new(Backend::Folder).await.expect("a folder");
    let path = bed.config.folder().expect("a folder").to_path_buf();
    let lock = fs::read(path.join("LOCK")).expect("a lock file");
    for _ in 0..2 {
        let error = Store::open(&bed.config).await.expect_err("refused");
        assert!(matches!(&error, OpenError::Locked(at) if *at == path), "{error:?}");
    }
    assert_eq!(fs::read(path.join("LOCK")).expect("a lock file"), lock, "whoever has it is still noted there");
    company(&bed.store).await;
    bed.store.close().await;
    Store::open(&bed.config).await.expect("free again").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    };
    put("file", "my letters");
    put("letters/letter.txt", "Dear Jo");
    put("photos/2020/a.jpg", "a");
    put("photos/2021/a.jpg", "a");
    // Another program's folder that happens to have a folder of the same name.
    put("other/wal/000001.log", "x");
    put("like/wal/notes.txt", "x");
    put("rocks/CURRENT", "MANIFEST-1");
    put("rocks/LOCK", "");
    put("lock-folder/LOCK/x", "");
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("dangling")).expect("linked");
    let before = snapshot(root);
    for (name, expected) in [
        ("file", "it is a file, not a folder"),
        ("letters", "the folder holds other things (letter.txt)"),
        ("photos", "the folder holds other things (2020, 2021)"),
        ("other", "the folder wal holds a file of another kind (000001.log)"),
        ("like", "the folder wal holds a file of another kind (notes.txt)"),
        ("rocks", "the folder holds other things (CURRENT)"),
        ("lock-folder", "the folder holds other things (LOCK)"),
    ] {
        let error = Store::open(&config(&root.join(name))).await.expect_err(name);
        assert!(matches!(error, OpenError::Foreign { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    for name in ["file/below", "dangling"] {
        let error = Store::open(&config(&root.join(name))).await.expect_err(name);
        assert!(matches!(error, OpenError::Io { .. }), "{name}: {error:?}");
    }
    assert_eq!(snapshot(root), before);
    // What is empty is ours.
    fs::create_dir(root.join("empty")).expect("made");
    Store::open(&config(&root.join("empty"))).await.expect("opened").close().await;
    Store::open(&config(&root.join("new/and/deep"))).await.expect("opened").close().await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(root.join("new/and/deep")).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o700, "nobody else reads it");
}

/// A database as a process leaves it that was killed, with some settings in its log.
async fn killed(to: &Path) -> CompanyId {
    let bed = Bed::new(Backend::Folder).await.expect("a folder");
    let company = company(&bed.store).await;
    for name in ["a", "b", "c"] {
        proxy(&bed.store, company, name).await;
    }
    // Nothing is being written, so this is what a kill would leave.
    copy(bed.config.folder().expect("a folder"), to);
    company
}

fn log(path: &Path) -> PathBuf {
    let mut segments: Vec<_> =
        fs::read_dir(path.join("wal")).expect("a log").map(|entry| entry.expect("readable").path()).collect();
    segments.sort();
    segments.pop().expect("a segment")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("image");
    killed(&image).await;
    // And one that was closed, whose settings are in a table.
    let bed = Bed::new(Backend::Folder).await.expect("a folder");
    proxy(&bed.store, company(&bed.store).await, "a").await;
    bed.store.close().await;
    let closed = bed.config.folder().expect("a folder").to_path_buf();
    assert!(fs::read_dir(closed.join("sstables")).expect("there").count() > 0);

    let manifest = |path: &Path| path.join("manifest/00000000000000000000.manifest");
    type Damage<'a> = (&'a str, &'a Path, Box<dyn Fn(&Path)>);
    let damages: Vec<Damage> = vec![
        (
            "garbage in the manifest",
            &image,
            Box::new(move |path| fs::write(manifest(path), b"garbage garbage garbage garbage").expect("written")),
        ),
        ("an empty manifest", &image, Box::new(move |path| fs::write(manifest(path), b"").expect("written"))),
        ("no manifest", &image, Box::new(move |path| fs::remove_file(manifest(path)).expect("removed"))),
        ("no manifest, but tables", &closed, Box::new(move |path| fs::remove_file(manifest(path)).expect("removed"))),
        (
            "a manifest that is cut off",
            &closed,
            Box::new(move |path| {
                let bytes = fs::read(manifest(path)).expect("read");
                fs::write(manifest(path), &bytes[..30]).expect("written");
            }),
        ),
        (
            "garbage as the log",
            &image,
            Box::new(|path| fs::write(log(path), b"garbage garbage garbage garbage").expect("written")),
        ),
        (
            "a bit in the middle of the log",
            &image,
            Box::new(|path| {
                let mut bytes = fs::read(log(path)).expect("read");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(log(path), bytes).expect("written");
            }),
        ),
        (
            "a segment of the log that is missing",
            &image,
            Box::new(|path| {
                let name = path.join("wal/00000000000000000002.wal");
                fs::write(name, b"").expect("written");
            }),
        ),
        (
            "garbage as a table",
            &closed,
            Box::new(|path| {
                for table in fs::read_dir(path.join("sstables")).expect("there") {
                    fs::write(table.expect("readable").path(), vec![0xAB; 5000]).expect("written");
                }
            }),
        ),
        (
            "a table that is missing",
            &closed,
            Box::new(|path| {
                for table in fs::read_dir(path.join("sstables")).expect("there") {
                    fs::remove_file(table.expect("readable").path()).expect("removed");
                }
            }),
        ),
    ];
    for (number, (what, original, damage)) in damages.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        copy(original, &path);
        damage(&path);
        let without_lock = || {
            let mut found = snapshot(&path);
            // The engine notes its process here, where it is asked at all.
            found.remove(&path.join("LOCK"));
            found
        };
        let before = without_lock();
        let error = Store::open(&config(&path)).await.expect_err(what);
        println!("{what}: {error}");
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains("Nothing was overwritten"), "{what}: {error}");
        assert_eq!(without_lock(), before, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_being_written_is_cut_off_and_what_comes_after_it_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("image");
    let company = killed(&image).await;
    let whole = fs::metadata(log(&image)).expect("a log").len();
    for (number, change) in [-1i64, -3, -200, 1, 3, 6, 7, 5000].into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        copy(&image, &path);
        let length = whole.checked_add_signed(change).expect("long enough");
        // Grown: what a header looks like whose record did not arrive, or the zeros of a file whose data did not.
        let file = fs::OpenOptions::new().write(true).open(log(&path)).expect("a log");
        file.set_len(length).expect("cut");
        let store = Store::open(&config(&path)).await.expect("opened");
        let expected: &[&str] = if change < 0 { &["a", "b"] } else { &["a", "b", "c"] };
        assert_eq!(names(&store, company).await, expected, "{change}");
        // Acknowledged, and then killed again.
        proxy(&store, company, "d").await;
        let again = folder.path().join(format!("{number} again"));
        copy(&path, &again);
        store.close().await;
        let store = Store::open(&config(&again)).await.expect("opened");
        assert_eq!(names(&store, company).await, [expected, &["d"]].concat(), "{change}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_or_does_not_know_us() {
    let nobody =
        StoreConfig { user: Some("root".into()), password: Some(Secret::new("root")), ..StoreConfig::new("ws://127.0.0.1:9") };
    let begin = Instant::now();
    let error = Store::open(&nobody).await.expect_err("nobody there");
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("ws://127.0.0.1:9") && begin.elapsed() < Duration::from_secs(5), "{error}");

    let Some(server) = Server::start() else {
        return;
    };
    open(&server.config()).await;
    for (user, password) in [(Some("root"), "wrong"), (Some("nobody"), "root"), (None, "")] {
        let config = StoreConfig { user: user.map(Into::into), password: Some(Secret::new(password)), ..server.config() };
        let error = Store::open(&config).await.expect_err("refused");
        assert!(matches!(error, OpenError::WrongCredentials { .. }), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "the password is not shown: {error}");
    }
    // A user of the database alone is enough.
    let db = raw(&server.config()).await;
    db.query("DEFINE USER small ON DATABASE PASSWORD 'small' ROLES OWNER")
        .await
        .and_then(|results| results.check())
        .expect("made");
    let config = StoreConfig { user: Some("small".into()), password: Some(Secret::new("small")), ..server.config() };
    let store = Store::open(&config).await.expect("opened");
    assert!(store.is_empty().await.expect("an answer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_went_away_is_noticed_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let Some(mut server) = Server::start_at(port, &format!("surrealkv://{}", folder.path().join("db").display())) else {
        return;
    };
    let store = open(&server.config()).await;
    let company = company(&store).await;
    proxy(&store, company, "a").await;
    server.stop();
    let begin = Instant::now();
    for _ in 0..3 {
        assert!(matches!(store.is_empty().await, Err(StoreError::Unavailable(_))));
    }
    let write = store.create_company(CompanyId::new(), &gatehouse_domain::CompanyName::parse("x").expect("right"), now()).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    println!("four answers that it is gone took {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(12));
    let _server = server.again();
    let begin = Instant::now();
    loop {
        match store.proxy(company, ProxyId::new()).await {
            Err(StoreError::NotFound) => break,
            Err(StoreError::Unavailable(_)) if begin.elapsed() < Duration::from_secs(30) => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            other => panic!("{other:?}"),
        }
    }
    println!("found again after {:?}", begin.elapsed());
    assert_eq!(names(&store, company).await, ["a"]);
    proxy(&store, company, "b").await;
}

/// Nobody asked while it was away, so nobody noticed; the connection is made again below us, and the session about one company is not what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_was_started_again_unnoticed_is_used_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let Some(mut server) = Server::start_at(port, &format!("surrealkv://{}", folder.path().join("db").display())) else { return };
    let store = open(&server.config()).await;
    let company = company(&store).await;
    proxy(&store, company, "a").await;
    for first in ["reads", "writes", "of all"] {
        server.stop();
        server = server.again();
        tokio::time::sleep(Duration::from_secs(3)).await;
        match first {
            "reads" => assert!(matches!(store.proxy(company, ProxyId::new()).await, Err(StoreError::NotFound))),
            "writes" => drop(proxy(&store, company, "b").await),
            _ => assert_eq!(store.company_records().await.expect("companies").len(), 1),
        }
        proxy(&store, company, &format!("after {first}")).await;
        assert_eq!(store.company_records().await.expect("companies").len(), 1);
    }
    assert_eq!(names(&store, company).await, ["a", "after of all", "after reads", "after writes", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_does_not_parse_is_named() {
    let bed = Bed::new(Backend::Folder).await.expect("a folder");
    let company = company(&bed.store).await;
    let id = proxy(&bed.store, company, "a").await.id;
    // What the schema lets through and the program does not.
    let store = past_the_store(&bed, "UPDATE proxy_setting SET host = 'no host'").await.expect("opened");
    for error in [
        store.proxy(company, id).await.expect_err("not readable"),
        store.list_proxies(company, &ProxyQuery::default()).await.expect_err("not readable"),
    ] {
        let StoreError::Internal(why) = error else { panic!("{error:?}") };
        assert!(why.starts_with(&format!("proxy_setting:u'{id}': the field host can't be read:")), "{why}");
    }
    // What the program would never write, the schema refuses.
    store.close().await;
    let db = raw(&bed.config).await;
    let answer = db.query("CREATE other:1").await.and_then(|results| results.check());
    assert!(answer.is_err(), "no table but those of the migrations");
    for wrong in [
        "port = 0",
        "port = 65536",
        "port = '80'",
        "name = ''",
        "name = NONE",
        "scheme = 'ftp'",
        "authentication = 'ntlm'",
        "timeout_s = 121",
        "password = 'in the clear'",
        "version = 0",
        "unknown = 1",
        "created_at = time::now()",
        "company = company:other",
    ] {
        let answer = db.query(format!("UPDATE proxy_setting SET {wrong}")).await.and_then(|results| results.check());
        assert!(answer.is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_indexes_are_used() {
    let bed = Bed::new(Backend::Folder).await.expect("a folder");
    bed.store.close().await;
    let db = raw(&bed.config).await;
    for (query, index) in [
        ("SELECT * FROM proxy_setting WHERE company = company:1 ORDER BY name_key, id LIMIT 51", "proxy_setting_name"),
        ("SELECT VALUE id FROM proxy_setting WHERE company = company:1 AND name_key = 'a' LIMIT 1", "proxy_setting_name"),
        ("SELECT * FROM proxy_setting WHERE password_key > '' AND password_key < 'b' LIMIT 50", "proxy_setting_password_key"),
        ("SELECT * FROM proxy_setting WHERE password_key > 'b' LIMIT 50", "proxy_setting_password_key"),
        ("SELECT * FROM proxy_use WHERE company = company:1", "proxy_use_company"),
        ("SELECT * FROM proxy_use WHERE company = company:1 AND (proxy = proxy_setting:1 OR proxy = NONE)", "proxy_use_company"),
        ("SELECT * FROM person WHERE email_key = 'a' LIMIT 1", "person_email"),
        ("SELECT * FROM token WHERE hash = 'a' LIMIT 1", "token_hash"),
        ("SELECT * FROM token WHERE person = person:1 AND company = company:1", "token_person"),
        ("SELECT VALUE id FROM session WHERE expires_at <= time::now() LIMIT 200", "session_expiry"),
        ("SELECT * FROM integration WHERE company = company:1 ORDER BY name_key", "integration_name"),
        ("SELECT * FROM integration WHERE api_key_key > 'b' LIMIT 50", "integration_api_key_key"),
        (
            "SELECT * FROM integration WHERE api_password_key > '' AND api_password_key < 'b' LIMIT 50",
            "integration_api_password_key",
        ),
        (
            "SELECT * OMIT search FROM analysis WITH INDEX analysis_order WHERE company = company:1 AND uuid < rand::uuid() \
             AND string::contains(search, 'a') AND status = 'running' ORDER BY uuid DESC LIMIT 51",
            "analysis_order",
        ),
        (
            "SELECT VALUE id FROM analysis WHERE status = 'running' AND lease_until <= time::now() LIMIT 5",
            "analysis_lease, access: ['running']",
        ),
        ("SELECT VALUE id FROM kept_finding WHERE until <= time::now() LIMIT 100", "kept_finding_until"),
        ("SELECT VALUE id FROM sign_in WHERE latest <= time::now() LIMIT 200", "sign_in_latest"),
    ] {
        let plan: Value = db.query(format!("EXPLAIN {query}")).await.and_then(|mut results| results.take(0)).expect(query);
        assert!(format!("{plan:?}").contains(&format!("index: {index}")), "{query}: {plan:?}");
    }
}
