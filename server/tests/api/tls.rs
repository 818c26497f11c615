//! HTTPS on the console's port, and what systemd is told: as a browser, an operator and a service manager see it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{EMAIL, PASSWORD, Server, Start, program, run};

/// A real client that speaks HTTP/2; gives the status line, the fields and the body as they came.
fn curl(args: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-sS", "-i", "--max-time", "20", "--noproxy", "*"]).args(args).output().expect("curl");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Makes a certificate for these addresses with a key, as an operator has them from an authority.
fn certificate(folder: &Path, name: &str) -> (String, String) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate.display().to_string(), key.display().to_string())
}

fn port(server: &Server) -> u16 {
    server.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

#[test]
fn an_installation_begins_with_a_certificate_of_its_own() {
    let mut server = Start::new().env("GATEHOUSE_TLS", "self-signed").start();
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let fingerprint = |server: &Server| -> String {
        let printed = server.printed();
        let line = printed.lines().skip_while(|line| !line.contains("fingerprint")).nth(1).expect("a fingerprint");
        line.trim().to_string()
    };
    let first = fingerprint(&server);
    assert_eq!(first.split(':').count(), 32, "SHA-256, as browsers show it: {first}");
    let authority = server.folder.path().join("data/tls-self-signed.pem").display().to_string();
    // Whoever trusts it needs to ignore nothing: it stands for the address.
    let page = curl(&["--cacert", &authority, &format!("{}/healthz", server.url)]);
    assert!(page.starts_with("HTTP/2 200"), "{page}");
    assert!(!page.to_lowercase().contains("strict-transport-security"), "a browser would let nobody accept it: {page}");
    let page = curl(&["--cacert", &authority, "--http1.1", &format!("{}/healthz", server.url)]);
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(curl(&[&format!("{}/healthz", server.url)]).contains("SSL certificate"), "nobody vouches for it");

    // Signing in as a browser does, over HTTP/2: there is no Host field to compare the origin with.
    let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let sign_in = |origin: &str| {
        let origin = format!("Origin: {origin}");
        curl(&[
            "-k",
            "-H",
            &origin,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
            &format!("{}/api/v1/sessions", server.url),
        ])
    };
    let signed = sign_in(&server.url);
    assert!(signed.starts_with("HTTP/2 201") && signed.contains("; Secure"), "{signed}");
    for foreign in ["https://evil.example".to_string(), format!("https://127.0.0.1:{}", port(&server) ^ 1), "null".into()] {
        let refused = sign_in(&foreign);
        assert!(refused.starts_with("HTTP/2 403"), "{foreign}: {refused}");
    }

    // Plain HTTP is told where to go, and nothing is done.
    let plain = server.url.replace("https://", "http://");
    let led = curl(&[&format!("{plain}/company?x=1")]);
    assert!(led.starts_with("HTTP/1.1 307") && led.contains(&format!("Location: {}/company?x=1", server.url)), "{led}");
    let refused = curl(&["-d", "x=1", &format!("{plain}/api/v1/sessions")]);
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("speaks HTTPS"), "{refused}");

    server.kill_and_restart();
    assert_eq!(fingerprint(&server), first, "who has accepted it is not asked again");
}

#[test]
fn certificates_are_used_when_their_files_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (certificate(folder.path(), "a"), certificate(folder.path(), "b"));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (chain, key) = (at("chain.pem"), at("key.pem"));
    let put = |from: &(String, String)| {
        std::fs::copy(&from.0, &chain).expect("copied");
        std::fs::copy(&from.1, &key).expect("copied");
    };
    put(&a);
    let server = Start::new().env("GATEHOUSE_TLS_CERTIFICATE", &chain).env("GATEHOUSE_TLS_KEY", &key).start();
    let url = format!("{}/healthz", server.url);
    let works_with = |pem: &str| curl(&["--cacert", pem, &url]).starts_with("HTTP/2 200");
    let page = curl(&["--cacert", &a.0, &url]);
    assert!(page.starts_with("HTTP/2 200") && page.contains("strict-transport-security: max-age=31536000"), "{page}");
    assert!(!works_with(&b.0));

    let eventually = |what: &str, is: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < Duration::from_secs(30), "not within 30 s: {what}\n{}", server.printed());
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    put(&b);
    eventually("the new certificate", &|| works_with(&b.0));
    assert!(!works_with(&a.0));
    // One that can't be used is said, and the last good one stays.
    std::fs::write(&chain, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    eventually("a word about it", &|| server.printed().contains("the certificate stays as it was: TLS_CERTIFICATE"));
    assert!(works_with(&b.0));
    put(&a);
    eventually("the first one again", &|| works_with(&a.0));
}

#[test]
fn a_certificate_that_can_not_be_used_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (certificate(folder.path(), "a"), certificate(folder.path(), "b"));
    for (certificate, key, word) in [
        (a.0.as_str(), b.1.as_str(), "is not the key of the first certificate"),
        ("/nowhere.pem", a.1.as_str(), "TLS_CERTIFICATE /nowhere.pem"),
        (a.0.as_str(), "", "give both files"),
    ] {
        let env =
            [("GATEHOUSE_TLS_CERTIFICATE", certificate), ("GATEHOUSE_TLS_KEY", key)].map(|(k, v)| (k.to_string(), v.to_string()));
        let output = run(program(folder.path(), &env).arg("serve"), "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{said}");
    }
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting() {
    let server = Start::new().env("GATEHOUSE_TLS", "self-signed").start();
    let silent: Vec<_> = (0..600).map(|_| TcpStream::connect(("127.0.0.1", port(&server))).expect("taken")).collect();
    for mut stream in silent.iter().take(300) {
        // The beginning of a handshake that never goes on.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).expect("sent");
    }
    let began = Instant::now();
    assert!(curl(&["-k", &format!("{}/healthz", server.url)]).starts_with("HTTP/2 200"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // And they are not kept for ever.
    let mut last = silent.into_iter().next_back().expect("one");
    last.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    assert_eq!(last.read(&mut [0; 1]).ok(), Some(0), "closed");
}

#[test]
fn systemd_is_told_when_we_are_ready_alive_and_ending() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let heard = || {
        let mut word = [0; 256];
        let length = socket.recv(&mut word).expect("a word from the server");
        String::from_utf8_lossy(&word[..length]).trim().to_string()
    };
    let mut server = Start::new().env("NOTIFY_SOCKET", &path.display().to_string()).env("WATCHDOG_USEC", "600000").start();
    assert_eq!(heard(), "READY=1");
    assert!(server.get("/api/v1/proxies").expect(200)["items"] == Value::Array(Vec::new()), "it was");
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(heard(), "WATCHDOG=1");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    server.stop();
    let other = std::iter::repeat_with(heard).find(|word| word != "WATCHDOG=1");
    assert_eq!(other.as_deref(), Some("STOPPING=1"));
}
