//! The data folder that the program of commit 8265493 left (fixtures/8265493/make.py): this one opens it, and everything is there.

use std::{
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::harness::{Server, Start, program, run, serve_spy};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/8265493");

/// What the old program answered must be in what the new one answers; that may know more.
#[track_caller]
fn assert_within(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, old) in old {
                // Asking uses a token.
                if name != "last_used_at" {
                    assert_within(old, new.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"));
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{path}");
            for (number, (old, new)) in old.iter().zip(new).enumerate() {
                assert_within(old, new, &format!("{path}[{number}]"));
            }
        }
        _ => assert_eq!(old, new, "{path}"),
    }
}

/// What make.py left: the folder, and what is known of it.
fn unpacked() -> (Arc<tempfile::TempDir>, Value) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let archive = format!("{FIXTURES}/data.tar.gz");
    let unpacked =
        Command::new("tar").args(["-C", &folder.path().display().to_string(), "-xzf", &archive]).status().expect("tar");
    assert!(unpacked.success());
    let kept = std::fs::read_to_string(folder.path().join("answers.json")).expect("readable");
    (folder, serde_json::from_str(&kept).expect("JSON"))
}

/// Everything that the old program answered.
#[track_caller]
fn assert_everything_is_there(server: &Server, kept: &Value) {
    for (path, old) in kept["answers"].as_object().expect("answers") {
        assert_within(old, &server.get(path).expect(200), path);
    }
}

/// A backup in the first format that there was, made of that folder: every later program reads it.
#[test]
fn a_backup_of_the_first_format_is_restored() {
    let (folder, kept) = unpacked();
    let file = format!("{FIXTURES}/format-1.backup");
    let words = run(program(folder.path(), &[]).args(["restore", &file, "--replace"]), "");
    let said = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(
        words.status.success() && said.contains("Restored 341 records") && said.contains("is the one that it needs"),
        "{words:?}"
    );
    let mut server = Start::in_folder(folder).start();
    server.token = kept["known"]["token"].as_str().expect("a token").into();
    assert_everything_is_there(&server, &kept);
}

#[test]
fn the_folder_of_the_commit_before_is_opened_and_everything_is_there() {
    let (folder, kept) = unpacked();
    let known = |name: &str| kept["known"][name].as_str().expect("a text").to_string();

    let mut server = Start::in_folder(folder.clone()).start();
    for restart in [false, true] {
        if restart {
            server.kill_and_restart();
        }
        server.token = known("token");
        assert_everything_is_there(&server, &kept);
        // People and tokens are let in as before.
        let signed_in = server.post("/api/v1/sessions", &json!({"email": known("email"), "password": known("password")}));
        assert!(signed_in.status < 300, "{}", signed_in.text);
        server.token = known("auditor");
        assert_eq!(server.get("/api/v1/sessions").expect(200)["role"], "auditor");
        server.token = known("token");
    }
    // An older database was copied first, if this program knows more than that one did.
    let upgraded = server.printed().contains("migration applied");
    let copies: Vec<_> =
        std::fs::read_dir(folder.path().join("data")).expect("readable").flatten().map(|entry| entry.file_name()).collect();
    let copied = copies.iter().any(|name| name.to_string_lossy().starts_with("gatehouse.db.before-0007"));
    assert!(copied || !upgraded, "{copies:?}");

    // What was sealed opens: the proxy sees the password, the service behind it the key.
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = TcpListener::bind("127.83.41.7:31280").expect("free: nothing else listens on this address");
    serve_spy(listener, seen.clone());
    let view = server.get(&format!("/api/v1/proxies/{}", known("proxy"))).expect(200);
    assert_eq!((&view["has_password"], &view["is_default"]), (&json!(true), &json!(true)));
    server.post(&format!("/api/v1/proxies/{}/test", known("proxy")), &json!({"target": "https://target.invalid/"})).expect(200);
    let credentials = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("jo:{}", known("proxy_password")))
    };
    let heads = || seen.lock().expect("not poisoned").clone();
    assert!(heads().iter().any(|head| head.contains(&credentials)), "{:?}", heads());
    server.post(&format!("/api/v1/integrations/{}/test", known("own")), &json!({})).expect(200);
    assert!(heads().iter().any(|head| head.contains(&known("service_key"))), "{:?}", heads());
}
