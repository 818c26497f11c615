//! The command line beside a running server and without one; keys and data folders that are not right.

use serde_json::json;

use crate::harness::{EMAIL, SpyProxy, Start, program, run};

#[test]
fn commands_work_beside_a_running_server_and_without_one() {
    let mut server = Start::new().start();
    let created = server.admin_output(&["create", "--email", "second@example.com", "--password-stdin"], "a long password\n");
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let again = server.admin_output(&["create", "--email", "Second@example.com", "--password-stdin"], "a long password\n");
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("exists already"));
    let second = server
        .admin_output(&["create", "--email", "x@example.com", "--password-stdin", "--company", "Another"], "a long password\n");
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("on-premise"), "one company on-premise");
    let nobody = server.admin_output(&["token", "--email", "nobody@example.com"], "");
    assert!(!nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("nobody with this e-mail"));
    server.stop();
    let token = server.admin(&["token", "--email", "second@example.com"]);
    assert!(token.starts_with("gth_"), "{token}");
    server.kill_and_restart();
    server.token = token.trim().to_string();
    assert_eq!(server.get("/api/v1/sessions").expect(200)["email"], "second@example.com");
}

#[test]
fn the_key_is_changed_under_a_running_server() {
    let mut server = Start::new().start();
    let spy = SpyProxy::start();
    let mut paths = Vec::new();
    for n in 0..5 {
        let made = server
            .post("/api/v1/proxies", &json!({"name": format!("p{n}"), "host": "127.0.0.1", "port": spy.port, "authentication": "basic", "username": "jo", "password": "open sesame"}))
            .expect(201);
        paths.push(format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id")));
    }
    let before = std::fs::read(server.key_file()).expect("a key");
    let said = server.admin(&["rotate-key"]);
    assert!(said.contains("5 stored secrets"), "{said}");
    assert_ne!(std::fs::read(server.key_file()).expect("a key"), before);
    // The one that runs and the one that starts later both open what is stored.
    for restart in [false, true] {
        if restart {
            server.kill_and_restart();
        }
        for path in &paths {
            server.post(&format!("{path}/test"), &json!({"target": "https://target.invalid/"})).expect(200);
        }
    }
    let heads = spy.heads();
    assert_eq!(heads.len(), 10);
    assert!(heads.iter().all(|head| head.contains("am86b3BlbiBzZXNhbWU=")), "{heads:?}");
    // The old key is of no use any more.
    server.stop();
    std::fs::write(server.key_file(), before).expect("written");
    let refused = run(program(server.folder.path(), &[]).arg("serve"), "");
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("not the one that this database was made with")
    );
}

#[test]
fn a_key_that_is_not_right_is_an_error_in_words_and_harms_nothing() {
    let mut server = Start::new().start();
    server.proxy("A");
    server.stop();
    let key = std::fs::read(server.key_file()).expect("a key");
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (content, word) in
        [(None, "is missing"), (Some("garbage"), "is not a key"), (Some(""), "is not a key"), (Some(other), "not the one")]
    {
        match content {
            Some(content) => std::fs::write(server.key_file(), content).expect("written"),
            None => std::fs::remove_file(server.key_file()).expect("removed"),
        }
        for command in [&["serve"][..], &["admin", "token", "--email", EMAIL]] {
            let output = run(program(server.folder.path(), &[]).args(command), "");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains(word), "{content:?} {command:?}: {said}");
        }
        assert_eq!(std::fs::read_to_string(server.key_file()).ok().as_deref(), content, "the file is as it was");
    }
    std::fs::write(server.key_file(), key).expect("written");
    server.kill_and_restart();
    assert_eq!(server.get("/api/v1/proxies").expect(200)["items"][0]["name"], "A", "nothing was lost");
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("data/gatehouse.db");
    std::fs::create_dir_all(&database).expect("a folder");
    std::fs::write(database.join("holiday.jpg"), b"not a database").expect("written");
    let output = run(program(folder.path(), &[]).arg("serve"), "");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("gatehouse.db"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&database).expect("there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["holiday.jpg"]);
    assert!(!folder.path().join("data/gatehouse.key").exists(), "no key is made for it");
}

#[test]
fn settings_that_are_not_right_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in [
        ("GATEHOUSE_LISTEN", "nowhere"),
        ("GATEHOUSE_EDITION", "deluxe"),
        ("GATEHOUSE_TEST_TARGET", "ftp://x"),
        ("GATEHOUSE_PUBLIC_URL", "gatehouse.example.com"),
    ] {
        let output = run(program(folder.path(), &[(name.into(), value.into())]).arg("serve"), "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(name.trim_start_matches("GATEHOUSE_")), "{name}: {said}");
    }
    std::fs::write(folder.path().join("gatehouse.toml"), "lisen = \"127.0.0.1:1\"").expect("written");
    let output = run(program(folder.path(), &[]).arg("serve"), "");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("lisen"));
}

#[test]
fn the_openapi_document_is_printed_without_a_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(program(folder.path(), &[]).arg("openapi"), "");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(document["paths"].is_object() && !folder.path().join("data").exists());
}
