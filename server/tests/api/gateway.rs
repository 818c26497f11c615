//! `gatehouse gateway`: the command line, and a policy that changes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn gatehouse() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gatehouse"))
}

#[test]
fn a_policy_is_checked_line_by_line_and_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.toml");
    fs::write(&file, "[listen]\naddresses = ['nowhere']\n[[rule]]\nname = 'x'\naction = 'maybe'\ncolour = 'red'\n")
        .expect("written");
    let checked = gatehouse().args(["gateway", "check"]).arg(&file).output().expect("run");
    let text = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success());
    for line in ["policy.toml:2:", "policy.toml:5:", "policy.toml:6:"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    fs::write(
        &file,
        "[cache]\nenabled = true\n[[rule]]\nname = 'no ads'\nto = ['*.ads.example']\naction = 'deny'\nreason = 'Advertising'\n\
         [[rule]]\nname = 'all'\naction = 'allow'\n",
    )
    .expect("written");
    let checked = gatehouse().args(["gateway", "check"]).arg(&file).output().expect("run");
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && text.starts_with("2 rules"), "{text}");
    let explained = gatehouse().args(["gateway", "explain"]).arg(&file).arg("https://x.ads.example/a?b").output().expect("run");
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(text.contains("denied  by no ads: Advertising"), "{text}");
    let mut hashing =
        gatehouse().args(["gateway", "hash"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    hashing.stdin.take().expect("its input").write_all(b"open sesame\n").expect("written");
    let hashed = hashing.wait_with_output().expect("ended");
    assert!(String::from_utf8_lossy(&hashed.stdout).starts_with("$argon2id$"), "{hashed:?}");
    let nothing = gatehouse().args(["gateway", "--policy", "/nowhere/policy.toml"]).output().expect("run");
    assert!(!nothing.status.success() && String::from_utf8_lossy(&nothing.stderr).contains("policy.toml"), "{nothing:?}");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn status(proxy: &str, url: &str) -> u16 {
    let mut stream = TcpStream::connect(proxy).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let host = url["http://".len()..].split('/').next().expect("a host");
    write!(stream, "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[test]
fn a_changed_policy_is_in_force_within_a_second_and_a_wrong_one_changes_nothing() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", origin.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.toml");
    let policy = |action: &str| {
        format!("[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n[[rule]]\nname = 'all'\naction = '{action}'\n")
    };
    fs::write(&file, policy("allow")).expect("written");
    let mut child = gatehouse()
        .args(["gateway", "--listen", "127.0.0.1:0", "--policy"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let running = Running(child);
    let proxy = line.trim().strip_prefix("The gateway is ready: ").unwrap_or_else(|| panic!("{line}")).to_string();
    assert_eq!(status(&proxy, &url), 200);
    let becomes = |expected: u16| {
        let begun = Instant::now();
        while status(&proxy, &url) != expected {
            assert!(begun.elapsed() < Duration::from_secs(5), "not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    fs::write(&file, policy("deny")).expect("written");
    becomes(403);
    fs::write(&file, "[[rule]]\naction = 'perhaps'\n").expect("written");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(status(&proxy, &url), 403, "the last good one stays");
    fs::write(&file, policy("allow")).expect("written");
    becomes(200);
    // Told to end, it ends.
    let mut running = running;
    assert!(Command::new("kill").arg(running.0.id().to_string()).status().expect("kill").success());
    let ended = running.0.wait().expect("ended");
    assert!(ended.success(), "{ended}");
}

#[test]
fn with_few_descriptors_it_refuses_and_recovers() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", origin.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.toml");
    let policy = "[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n[[rule]]\nname = 'all'\naction = 'allow'\n";
    fs::write(&file, policy).expect("written");
    let mut child = Command::new("bash")
        .args(["-c", "ulimit -n 256; exec \"$0\" gateway --listen 127.0.0.1:0 --policy \"$1\"", env!("CARGO_BIN_EXE_gatehouse")])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let _running = Running(child);
    let proxy = line.trim().strip_prefix("The gateway is ready: ").unwrap_or_else(|| panic!("{line}")).to_string();
    assert_eq!(status(&proxy, &url), 200);
    // More than it can take: they wait in the system's queue, or get an answer that says that there is too much to do.
    let crowd: Vec<_> = (0..400).filter_map(|_| TcpStream::connect(&proxy).ok()).collect();
    assert!(crowd.len() > 300);
    std::thread::sleep(Duration::from_millis(500));
    drop(crowd);
    let begun = Instant::now();
    let mut last = 0;
    while last != 200 && begun.elapsed() < Duration::from_secs(10) {
        last = status(&proxy, &url);
    }
    assert_eq!(last, 200, "it recovers");
    for _ in 0..50 {
        assert_eq!(status(&proxy, &url), 200);
    }
}
