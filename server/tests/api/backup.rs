//! `gatehouse backup` and `gatehouse restore`, as an operator runs them.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{EMAIL, PASSWORD, Server, SpyProxy, Start, program, run};

/// The program in a data folder.
fn gatehouse(folder: &Path, args: &[&str]) -> Output {
    run(program(folder, &[]).args(args), "")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn succeeds(folder: &Path, args: &[&str]) -> String {
    let output = gatehouse(folder, args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    said(&output)
}

#[track_caller]
fn fails(folder: &Path, args: &[&str], words: &[&str]) {
    let output = gatehouse(folder, args);
    let said = said(&output);
    assert!(!output.status.success() && words.iter().all(|word| said.contains(word)), "{args:?}: {said}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Everything below a folder: names and contents.
fn contents(folder: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.insert(entry.path(), Vec::new());
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap_or_default());
        }
    }
    found
}

fn all_proxies(server: &Server) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/proxies?limit=200&cursor={cursor}")).expect(200);
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = next.to_string(),
            None => return all,
        }
    }
}

#[test]
fn a_running_system_is_backed_up_and_restored_on_another_machine() {
    let server = Start::new().start();
    let spy = SpyProxy::start();
    let body = json!({"name": "Corp", "host": "127.0.0.1", "port": spy.port, "authentication": "basic", "username": "jo", "password": "open sesame", "is_default": true});
    let made = server.post("/api/v1/proxies", &body).expect(201);
    server.proxy("Lab");
    let signed_in = server.post("/api/v1/sessions", &json!({"email": EMAIL, "password": PASSWORD}));
    let cookie = signed_in.cookie();
    let with_cookie =
        |url: &str| crate::harness::send("GET", &format!("{url}/api/v1/proxies"), &[("cookie", &cookie)], None).status;
    assert_eq!(with_cookie(&server.url), 200);

    let out = tempfile::tempdir().expect("a folder");
    let file = out.path().join("gatehouse.backup");
    let words = succeeds(server.folder.path(), &["backup", &text(&file)]);
    assert!(words.contains("Backed up") && words.contains("The key is not in it") && words.contains("gatehouse.key"), "{words}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(out.path()).expect("readable").count(), 1, "nothing else is left");
    let bytes = fs::read(&file).expect("readable");
    let key = fs::read(server.key_file()).expect("a key");
    assert!(bytes.starts_with(b"GATEHOUSE BACKUP\n{"), "`head -2` tells what it is");
    assert!(!crate::access::contains(&bytes, &key[..44]), "the key is not in it");
    // It is never written over by chance, and standard output does as well.
    fails(server.folder.path(), &["backup", &text(&file)], &["is there already", "--force"]);
    assert_eq!(fs::read(&file).expect("readable"), bytes);
    succeeds(server.folder.path(), &["backup", &text(&file), "--force"]);
    let piped = gatehouse(server.folder.path(), &["backup", "-"]);
    assert!(
        piped.status.success() && piped.stdout.starts_with(b"GATEHOUSE BACKUP\n{"),
        "{}",
        String::from_utf8_lossy(&piped.stderr)
    );

    // Another machine, without the key: the data come back, and the operator is told what is missing.
    let elsewhere = Arc::new(tempfile::tempdir().expect("a folder"));
    let words = succeeds(elsewhere.path(), &["restore", &text(&file)]);
    let key_file = elsewhere.path().join("data/gatehouse.key");
    assert!(words.contains("Restored") && words.contains("WARNING") && words.contains(&text(&key_file)), "{words}");
    fails(elsewhere.path(), &["serve"], &["gatehouse.key", "is missing"]);
    fails(elsewhere.path(), &["restore", &text(&file)], &["there is a database already", "--replace"]);
    fs::write(&key_file, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").expect("written");
    let words = succeeds(elsewhere.path(), &["restore", &text(&file), "--replace"]);
    assert!(words.contains("is another") && words.contains("gatehouse.db.before-restore-"), "{words}");
    fs::write(&key_file, &key).expect("written");
    let words = succeeds(elsewhere.path(), &["restore", &text(&file), "--replace"]);
    assert!(words.contains("is the one that it needs") && !words.contains("WARNING"), "{words}");

    let mut restored = Start::in_folder(elsewhere).start();
    restored.token = server.token.clone();
    assert_eq!(all_proxies(&restored), all_proxies(&server), "tokens work, and everything is there");
    assert_eq!(with_cookie(&restored.url), 401, "people sign in again");
    assert!(restored.post("/api/v1/sessions", &json!({"email": EMAIL, "password": PASSWORD})).status < 300);
    let path = format!("/api/v1/proxies/{}/test", made["id"].as_str().expect("an id"));
    restored.post(&path, &json!({"target": "https://target.invalid/"})).expect(200);
    assert!(spy.heads().iter().any(|head| head.contains("am86b3BlbiBzZXNhbWU=")), "secrets open: {:?}", spy.heads());

    // While a server has the database, nobody puts another one in its place.
    let before = all_proxies(&restored);
    fails(restored.folder.path(), &["restore", &text(&file), "--replace"], &["in use", "Stop it first"]);
    assert_eq!(all_proxies(&restored), before);
    // And without a server a backup is made as well; of nothing there is none.
    restored.stop();
    succeeds(restored.folder.path(), &["backup", &text(&out.path().join("another"))]);
    let empty = tempfile::tempdir().expect("a folder");
    fails(empty.path(), &["backup", &text(&out.path().join("none"))], &["nothing to back up"]);
    assert!(!out.path().join("none").exists() && !empty.path().join("data").exists());
}

#[test]
fn under_load_everything_acknowledged_before_is_in_it_and_nothing_has_a_gap() {
    let server = Start::new().start();
    let out = tempfile::tempdir().expect("a folder");
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(HashMap::<String, String>::new()));
    let mut rounds = Vec::new();
    thread::scope(|scope| {
        for writer in 0..4 {
            let (stop, acknowledged, server) = (&stop, &acknowledged, &server);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("w{writer} n{n}");
                    let made = server.post("/api/v1/proxies", &json!({"name": name, "host": "h", "port": 1 + n})).expect(201);
                    let id = made["id"].as_str().expect("an id").to_string();
                    acknowledged.lock().expect("not poisoned").insert(id, name);
                }
            });
        }
        for round in 0..3 {
            thread::sleep(Duration::from_millis(700));
            let before = acknowledged.lock().expect("not poisoned").clone();
            let file = out.path().join(round.to_string());
            succeeds(server.folder.path(), &["backup", &text(&file)]);
            rounds.push((file, before));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let all = acknowledged.lock().expect("not poisoned").len();
    println!("{all} written; before the backups began: {:?}", rounds.iter().map(|(_, before)| before.len()).collect::<Vec<_>>());
    for (file, before) in rounds {
        let elsewhere = Arc::new(tempfile::tempdir().expect("a folder"));
        fs::create_dir(elsewhere.path().join("data")).expect("made");
        fs::copy(server.key_file(), elsewhere.path().join("data/gatehouse.key")).expect("copied");
        succeeds(elsewhere.path(), &["restore", &text(&file)]);
        let mut restored = Start::in_folder(elsewhere).start();
        restored.token = server.token.clone();
        let there: HashMap<String, String> = all_proxies(&restored)
            .iter()
            .map(|item| (item["id"].as_str().expect("an id").to_string(), item["name"].as_str().expect("a name").to_string()))
            .collect();
        for (id, name) in &before {
            assert_eq!(there.get(id), Some(name), "{name} was acknowledged before the backup began");
        }
        for writer in 0..4 {
            let mut numbers: Vec<usize> =
                there.values().filter_map(|name| name.strip_prefix(&format!("w{writer} n"))?.parse().ok()).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "writer {writer} has no gap");
        }
    }
}

#[test]
fn what_is_no_backup_touches_nothing() {
    let mut server = Start::new().start();
    server.proxy("A");
    let out = tempfile::tempdir().expect("a folder");
    let file = out.path().join("backup");
    succeeds(server.folder.path(), &["backup", &text(&file)]);
    server.stop();
    let whole = fs::read(&file).expect("readable");
    let bad = out.path().join("bad");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x40;
    let before = contents(server.folder.path());
    let newer = b"GATEHOUSE BACKUP\n{\"format\":9}\n".to_vec();
    for (bytes, words) in [
        (whole[..whole.len() / 2].to_vec(), "before its end"),
        (changed, "damaged"),
        (b"PK and so on".to_vec(), "not a backup"),
        (newer, "newer Gatehouse"),
    ] {
        fs::write(&bad, bytes).expect("written");
        fails(server.folder.path(), &["restore", &text(&bad), "--replace"], &[words, "Nothing was changed", &text(&bad)]);
    }
    fails(server.folder.path(), &["restore", &text(&out.path().join("nowhere")), "--replace"], &["nowhere"]);
    fails(server.folder.path(), &["restore", &text(&file)], &["there is a database already"]);
    // The engine notes its process in its lock file, and puts its log in order, when it looks who lives there.
    let names = |contents: HashMap<PathBuf, Vec<u8>>| {
        let mut names: Vec<_> = contents.into_keys().filter(|name| !text(name).contains("gatehouse.db/")).collect();
        names.sort();
        names
    };
    assert_eq!(names(contents(server.folder.path())), names(before));
    server.kill_and_restart();
    assert_eq!(all_proxies(&server).len(), 1);
}

/// Starts it, and kills it after so long; whether it was through by then.
fn killed_after(folder: &Path, args: &[&str], after: Duration, signal: &str) -> bool {
    let mut child = program(folder, &[]).args(args).spawn().expect("started");
    thread::sleep(after);
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
    child.wait().expect("gone").success()
}

#[test]
fn a_backup_and_a_restore_that_are_killed_leave_nothing_half_and_are_run_again() {
    let server = Start::new().start();
    // Enough of it that it takes a while.
    for n in 0..80u64 {
        server
            .post("/api/v1/proxies", &json!({"name": format!("p{n}"), "host": "h", "port": 1, "bypass": exceptions(n)}))
            .expect(201);
    }
    let expected = all_proxies(&server);
    let out = tempfile::tempdir().expect("a folder");
    let file = out.path().join("backup");
    let (mut cut, mut begun) = (0, Instant::now());
    succeeds(server.folder.path(), &["backup", &text(&file)]);
    let whole = begun.elapsed();
    fs::remove_file(&file).expect("removed");
    for (n, signal) in ["-KILL", "-INT", "-KILL", "-INT", "-KILL", "-KILL"].into_iter().enumerate() {
        let through =
            killed_after(server.folder.path(), &["backup", &text(&file)], whole * u32::try_from(n + 2).expect("few") / 9, signal);
        if through {
            fs::remove_file(&file).expect("it was through");
            continue;
        }
        cut += 1;
        if file.exists() {
            // Killed after it was through and before it said so.
            succeeds(tempfile::tempdir().expect("a folder").path(), &["restore", &text(&file)]);
            fs::remove_file(&file).expect("removed");
        } else if signal == "-INT" {
            assert_eq!(fs::read_dir(out.path()).expect("readable").count(), 0, "and told to end, nothing at all is left");
        }
    }
    println!("a backup takes {whole:?}; cut off {cut} of 6 times");
    succeeds(server.folder.path(), &["backup", &text(&file)]);
    assert_eq!(fs::read_dir(out.path()).expect("readable").count(), 1);
    assert_eq!(server.get("/api/v1/proxies").status, 200, "the server does not mind");

    let elsewhere = Arc::new(tempfile::tempdir().expect("a folder"));
    let database = elsewhere.path().join("data/gatehouse.db");
    begun = Instant::now();
    succeeds(elsewhere.path(), &["restore", &text(&file)]);
    let whole = begun.elapsed();
    fs::remove_dir_all(elsewhere.path().join("data")).expect("removed");
    fs::create_dir(elsewhere.path().join("data")).expect("made");
    fs::copy(server.key_file(), elsewhere.path().join("data/gatehouse.key")).expect("copied");
    cut = 0;
    for n in 2..9 {
        if killed_after(elsewhere.path(), &["restore", &text(&file)], whole * n / 9, "-KILL") {
            fs::remove_dir_all(&database).expect("it was through");
            continue;
        }
        cut += 1;
        if database.exists() {
            // Likewise: what has its name is whole.
            let mut restored = Start::in_folder(elsewhere.clone()).start();
            restored.token = server.token.clone();
            assert_eq!(all_proxies(&restored), expected);
            drop(restored);
            fs::remove_dir_all(&database).expect("removed");
        } else if elsewhere.path().join("data/gatehouse.db.restoring").exists() {
            fails(elsewhere.path(), &["serve"], &["was cut off", "gatehouse restore"]);
        }
    }
    println!("a restore takes {whole:?}; cut off {cut} of 7 times");
    assert!(cut > 0);
    succeeds(elsewhere.path(), &["restore", &text(&file)]);
    assert!(!elsewhere.path().join("data/gatehouse.db.restoring").exists());
    let mut restored = Start::in_folder(elsewhere).start();
    restored.token = server.token.clone();
    assert_eq!(all_proxies(&restored), expected);
}

/// Some 16 kB that do not compress.
fn exceptions(seed: u64) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..500).map(|_| format!("h{:016x}.example", next())).collect()
}
