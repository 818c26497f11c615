//! `gatehouse doctor`, as an operator sees it: beside a running server, before the first start, and where something is wrong.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use serde_json::{Value, json};

use crate::harness::{Server, SpyProxy, Start, program, run};

/// A folder with what the browser loads: unit tests are run without building it.
fn site(folder: &Path) -> String {
    let site = folder.join("site");
    fs::create_dir_all(site.join("pkg")).expect("made");
    site.display().to_string()
}

fn doctor(folder: &Path, env: &[(&str, &str)], args: &[&str]) -> (Output, String) {
    let mut env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
    env.push(("LEPTOS_SITE_ROOT".into(), site(folder)));
    let output = run(program(folder, &env).arg("doctor").args(args), "");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

fn beside(server: &Server, args: &[&str]) -> (Output, String) {
    let listen = server.url.trim_start_matches("http://");
    doctor(server.folder.path(), &[("GATEHOUSE_LISTEN", listen)], args)
}

#[test]
fn before_the_first_start_nothing_is_missing_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, said) = doctor(folder.path(), &[], &[]);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("gatehouse.db is made at the first start") && said.contains("0 problems"), "{said}");
    assert!(!folder.path().join("data").exists(), "it only looks");
}

#[test]
fn an_installation_of_several_companies_is_told_what_it_should_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = |env: &[(&str, &str)]| {
        let (_, said) = doctor(folder.path(), env, &["--quick"]);
        let of = |what: &str| said.lines().find(|line| line.contains(what)).unwrap_or_default().to_string();
        [of("Name servers:"), of("Outgoing addresses:")]
    };
    assert!(lines(&[]).iter().all(String::is_empty), "on-premise neither matters");
    let cloud = ("GATEHOUSE_EDITION", "cloud");
    assert!(lines(&[cloud]).iter().all(|line| line.starts_with("warning")), "{:?}", lines(&[cloud]));
    let said = lines(&[cloud, ("GATEHOUSE_NAME_SERVERS", "9.9.9.9"), ("GATEHOUSE_OUTGOING_ADDRESSES", "203.0.113.10")]);
    assert!(said.iter().all(|line| line.starts_with("ok")), "{said:?}");
}

#[test]
fn proxies_and_engines_are_tested_beside_a_running_server() {
    let server = Start::new().start();
    let (output, said) = beside(&server, &[]);
    assert!(
        output.status.success() && said.contains("a server runs and answers") && said.contains("there are none yet"),
        "{said}"
    );

    let spy = SpyProxy::start();
    let made = server
        .post("/api/v1/proxies", &json!({"name": "Branch office", "host": "127.0.0.1", "port": spy.port, "authentication": "basic", "username": "jo", "password": "open sesame"}))
        .expect(201);
    let (output, said) = beside(&server, &["--quick"]);
    assert!(output.status.success() && !said.contains("Branch office"), "{said}");
    assert!(spy.heads().is_empty(), "quick is without connections");

    let (output, said) = beside(&server, &[]);
    let line = said.lines().find(|line| line.contains("Branch office")).expect("a line");
    assert!(!output.status.success() && line.starts_with("PROBLEM"), "{said}");
    assert!(
        said.lines().skip_while(|line| !line.contains("Branch office")).nth(1).is_some_and(|line| line.contains('→')),
        "{said}"
    );
    assert_eq!(spy.heads().len(), 1);
    assert!(!said.contains("open sesame"), "a secret is nobody's to see: {said}");
    let shown = server.get(&format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"))).expect(200);
    assert_eq!(shown["last_test"]["ok"], false, "like any other test");

    let (output, _) = beside(&server, &["--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON alone on standard output");
    assert_eq!((&document["ok"], &document["problems"]), (&json!(false), &json!(1)));
    let named = |finding: &&Value| finding["what"] == "Proxy Branch office" && finding["state"] == "problem";
    assert!(document["findings"].as_array().expect("a list").iter().any(|finding| named(&finding)), "{document}");
}

#[test]
fn a_stopped_installation_is_looked_at_as_it_is() {
    let mut server = Start::new().start();
    let spy = SpyProxy::start();
    server.post("/api/v1/proxies", &json!({"name": "Branch office", "host": "127.0.0.1", "port": spy.port})).expect(201);
    server.stop();
    let (output, said) = doctor(server.folder.path(), &[], &[]);
    assert!(!output.status.success() && said.contains("PROBLEM  Proxy Branch office"), "{said}");
    assert_eq!(spy.heads().len(), 1);

    let key = server.key_file();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    let (output, said) = doctor(server.folder.path(), &[], &["--quick"]);
    assert!(output.status.success() && said.contains("warning  Key file") && said.contains("chmod 600"), "{said}");
    let right = fs::read(&key).expect("a key");
    fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").expect("written");
    let (output, said) = doctor(server.folder.path(), &[], &["--quick"]);
    assert!(!output.status.success() && said.contains("not the one that this database was made with"), "{said}");
    fs::remove_file(&key).expect("removed");
    let (output, said) = doctor(server.folder.path(), &[], &["--quick"]);
    assert!(!output.status.success() && said.contains("PROBLEM  Key file") && !key.exists(), "{said}");
    fs::write(&key, right).expect("written");
}

#[test]
fn what_would_keep_it_from_starting_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "[listne]\n").expect("written");
    let policy = policy.display().to_string();
    for (env, words) in [
        (("GATEHOUSE_LISTEN", taken.as_str()), ["PROBLEM  Port of the console", "choose another LISTEN"]),
        (("GATEHOUSE_GATEWAY_LISTEN", taken.as_str()), ["PROBLEM  Port of the gateway", "choose another GATEWAY_LISTEN"]),
        (("GATEHOUSE_LISTEN", "192.0.2.1:3000"), ["PROBLEM  Port of the console", "no such address"]),
        (("GATEHOUSE_GATEWAY_POLICY", policy.as_str()), ["PROBLEM  The gateway's policy", "gatehouse gateway check"]),
        (("GATEHOUSE_DATABASE", "surrealkv:///proc/gatehouse/data/x.db"), ["PROBLEM  Data folder", "Give it to the user"]),
        (("GATEHOUSE_DATABASE", "ws://127.0.0.1:9"), ["PROBLEM  ", "key file"]),
    ] {
        let (output, said) = doctor(folder.path(), &[env], &[]);
        assert!(!output.status.success(), "{env:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{env:?} {word}: {said}");
        }
    }
}
