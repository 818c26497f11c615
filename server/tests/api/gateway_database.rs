//! A gateway whose policy is in the database: it follows changes, and runs without its database.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{EMAIL, PASSWORD, Server, SpyProxy, Start, program};

/// Answers every request with 200 and closes.
fn origin() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let _ = stream.read(&mut bytes);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            });
        }
    });
    url
}

/// The whole answer to a request through the gateway.
fn answer(proxy: &str, url: &str) -> String {
    let mut answer = String::new();
    let Ok(mut stream) = TcpStream::connect(proxy) else { return answer };
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let host = url["http://".len()..].split('/').next().expect("a host");
    let _ = write!(stream, "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The status; 0 where there was no answer.
fn status(proxy: &str, url: &str) -> u16 {
    answer(proxy, url).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Waits until a request is answered like this; gives how long it took.
#[track_caller]
fn becomes(proxy: &str, url: &str, expected: u16, within: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let now = status(proxy, url);
        if now == expected {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < within, "still {now} and not {expected} after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn port(url: &str) -> &str {
    url.trim_end_matches('/').rsplit(':').next().expect("a port")
}

/// Lets everything through to this machine, but what goes to one of these ports.
fn policy(denied: &[&str]) -> String {
    let mut text = "[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n".to_string();
    for url in denied {
        text.push_str(&format!("[[rule]]\nname = 'not {0}'\nports = {0}\naction = 'deny'\n", port(url)));
    }
    text + "[[rule]]\nname = 'all'\naction = 'allow'\n"
}

#[track_caller]
fn put(server: &Server, text: &str) {
    server.put("/api/v1/gateway/policy", &json!({"text": text})).expect(200);
}

/// Where the gateway inside of a server listens.
fn built_in(server: &Server) -> String {
    let printed = server.printed();
    let line = printed.lines().find_map(|line| line.strip_prefix("The gateway is ready: "));
    line.unwrap_or_else(|| panic!("no gateway: {printed}")).to_string()
}

/// Sends requests without a pause from several sides, and counts those that are not answered with 200.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(proxy: &str, url: &str) -> Self {
        let (stop, sent, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let threads = (0..3).map(|_| {
            let (stop, sent, failed) = (stop.clone(), sent.clone(), Arc::<Mutex<Vec<String>>>::clone(&failed));
            let (proxy, url) = (proxy.to_string(), url.to_string());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = answer(&proxy, &url);
                    sent.fetch_add(1, Ordering::Relaxed);
                    if !answer.starts_with("HTTP/1.1 200") {
                        failed.lock().expect("not poisoned").push(answer);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
        });
        let threads = threads.collect();
        Self { stop, sent, failed, threads }
    }

    /// How many were sent, when none has failed.
    #[track_caller]
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        let failed = self.failed.lock().expect("not poisoned");
        assert!(failed.is_empty(), "{} failed, the first: {:?}", failed.len(), failed.first());
        self.sent.load(Ordering::Relaxed)
    }
}

#[test]
fn a_gateway_without_a_policy_refuses_everything_and_says_so_until_it_gets_one() {
    let url = origin();
    let server = Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").start();
    let proxy = built_in(&server);
    let refused = answer(&proxy, &url);
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("This gateway has no policy yet"), "{refused}");
    put(&server, &policy(&[]));
    becomes(&proxy, &url, 200, Duration::from_secs(1));
    // After a restart it is there from the first request on.
    let mut server = server;
    server.kill_and_restart();
    assert_eq!(status(&built_in(&server), &url), 200);
}

#[test]
fn a_policy_that_is_put_is_in_force_within_a_second_and_fails_no_request_under_load() {
    let (good, other) = (origin(), origin());
    let server = Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").start();
    let proxy = built_in(&server);
    put(&server, &policy(&[]));
    becomes(&proxy, &good, 200, Duration::from_secs(1));
    let load = Load::start(&proxy, &good);
    let mut longest = Duration::ZERO;
    for turn in 0..20 {
        let (text, expected) = if turn % 2 == 0 { (policy(&[&other]), 403) } else { (policy(&[]), 200) };
        put(&server, &text);
        longest = longest.max(becomes(&proxy, &other, expected, Duration::from_secs(1)));
    }
    let sent = load.end();
    println!("{sent} requests, none failed; in force after {longest:?} at most");
    assert!(sent > 50, "there was a load: {sent}");
}

#[test]
fn browsers_find_the_gateway_at_the_platforms_own_address() {
    // As a browser asks, which sends a path alone.
    let page = |server: &Server, path: &str| {
        let address = server.url["http://".len()..].trim_end_matches('/').to_string();
        let mut stream = TcpStream::connect(&address).expect("connected");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    let server = Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").start();
    let proxy = built_in(&server);
    put(&server, &format!("[pac]\nbypass = ['.corp.example']\n{}", policy(&[])));
    let port = port(&proxy).to_string();
    let begun = Instant::now();
    loop {
        let script = page(&server, "/proxy.pac");
        if script.contains("corp.example") || begun.elapsed() > Duration::from_secs(2) {
            assert!(script.contains("application/x-ns-proxy-autoconfig"), "{script}");
            assert!(
                script.contains(&format!("PROXY 127.0.0.1:{port}\"")) && script.contains("dnsDomainIs(host, \".corp.example\")"),
                "{script}"
            );
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let wpad = page(&server, "/wpad.dat");
    assert!(wpad.contains("FindProxyForURL"), "{wpad}");
    // Whoever is not served is not told.
    put(&server, &format!("[clients]\nnetworks = ['10.0.0.0/8']\n{}", policy(&[])));
    std::thread::sleep(Duration::from_millis(1000));
    let refused = page(&server, "/proxy.pac");
    assert!(refused.starts_with("HTTP/1.1 404") && !refused.contains("corp.example"), "{refused}");
    let without = Start::new().start();
    assert!(page(&without, "/proxy.pac").starts_with("HTTP/1.1 404"));
}

/// A SurrealDB server with its data in a folder, so that it can come back.
pub struct Surreal {
    pub port: u16,
    folder: PathBuf,
    child: Child,
}

impl Surreal {
    /// `None`, and says so, where there is no server program.
    pub fn start(port: u16, folder: &Path) -> Option<Self> {
        let program = std::env::var_os("GATEHOUSE_SURREAL").map(PathBuf::from).unwrap_or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
            std::env::var_os("GATEHOUSE_CACHE")
                .map_or_else(|| home.join(".cache/gatehouse"), PathBuf::from)
                .join("tools/bin/surreal")
        });
        if !program.is_file() {
            eprintln!("SKIPPED: there is no SurrealDB server program; `make test-server` fetches it");
            return None;
        }
        let child = Command::new(program)
            .args(["start", "--no-banner", "--log", "error", "--user", "root", "--pass", "root", "--bind"])
            .arg(format!("127.0.0.1:{port}"))
            .arg(format!("surrealkv://{}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the database server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { port, folder: folder.to_path_buf(), child })
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn back(&mut self) {
        self.kill();
        *self = Self::start(self.port, &self.folder.clone()).expect("it started before");
    }
}

impl Drop for Surreal {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// A cable between the gateway and its database, that can be pulled.
struct Cable {
    port: u16,
    to: u16,
    cut: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn new(to: u16) -> Self {
        let mut cable = Self { port: free_port(), to, cut: Arc::default(), streams: Arc::default() };
        cable.plug();
        cable
    }

    fn plug(&mut self) {
        self.cut = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("bound");
        let (cut, streams, to) = (self.cut.clone(), self.streams.clone(), self.to);
        std::thread::spawn(move || {
            for here in listener.incoming().flatten() {
                if cut.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (mut from, mut to) in [
                    (here.try_clone().expect("a clone"), there.try_clone().expect("a clone")),
                    (there.try_clone().expect("a clone"), here.try_clone().expect("a clone")),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                streams.lock().expect("not poisoned").extend([here, there]);
            }
        });
    }

    fn pull(&self) {
        self.cut.store(true, Ordering::SeqCst);
        // So that the listener hears of it, and goes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        for stream in self.streams.lock().expect("not poisoned").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// `gatehouse gateway` with this database.
struct Gateway {
    child: Child,
    proxy: String,
    output: Arc<Mutex<String>>,
}

fn gateway_program(folder: &Path, database: u16) -> Command {
    let mut command = program(folder, &[]);
    command
        .env("GATEHOUSE_DATABASE", format!("ws://127.0.0.1:{database}"))
        .env("GATEHOUSE_DATABASE_USER", "root")
        .env("GATEHOUSE_DATABASE_PASSWORD", "root")
        .args(["gateway", "--listen", "127.0.0.1:0"]);
    command
}

impl Gateway {
    fn start(folder: &Path, database: u16) -> Self {
        let mut child = gateway_program(folder, database).spawn().expect("started");
        let output = Arc::new(Mutex::new(String::new()));
        let errors = child.stderr.take().expect("piped");
        std::thread::spawn({
            let output = output.clone();
            move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    output.lock().expect("not poisoned").push_str(&format!("{line}\n"));
                }
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let proxy = line.trim().strip_prefix("The gateway is ready: ").unwrap_or_default().to_string();
        let gateway = Self { child, proxy, output };
        assert!(!gateway.proxy.is_empty(), "not ready: {}", gateway.printed());
        gateway
    }

    fn printed(&self) -> String {
        self.output.lock().expect("not poisoned").clone()
    }

    #[track_caller]
    fn says(&self, what: &str) {
        let begun = Instant::now();
        while !self.printed().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(10), "'{what}' is not in: {}", self.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A database server, a console on it, and a folder of the gateway's own.
fn installation(env: &[(&str, &str)]) -> Option<(tempfile::TempDir, Surreal, Server)> {
    let folder = tempfile::tempdir().expect("a folder");
    let surreal = Surreal::start(free_port(), &folder.path().join("db"))?;
    std::fs::create_dir(folder.path().join("gateway")).expect("made");
    let mut start = Start::new()
        .env("GATEHOUSE_DATABASE", &format!("ws://127.0.0.1:{}", surreal.port))
        .env("GATEHOUSE_DATABASE_USER", "root")
        .env("GATEHOUSE_DATABASE_PASSWORD", "root");
    for (key, value) in env {
        start = start.env(key, value);
    }
    let server = start.start();
    Some((folder, surreal, server))
}

#[test]
fn a_gateway_runs_on_and_starts_without_its_database_and_catches_up_when_it_is_back() {
    let (good, other) = (origin(), origin());
    let lists = tempfile::tempdir().expect("a folder");
    std::fs::write(lists.path().join("ads.txt"), "ads.example\n").expect("written");
    let files = lists.path().to_str().expect("a path").to_string();
    let Some((folder, mut surreal, server)) = installation(&[("GATEHOUSE_GATEWAY_FILES", &files)]) else { return };
    let home = folder.path().join("gateway");
    put(&server, &policy(&[]));
    let mut cable = Cable::new(surreal.port);
    let mut gateway = Gateway::start(&home, cable.port);
    assert_eq!((status(&gateway.proxy, &good), status(&gateway.proxy, &other)), (200, 200));

    // Another process's change, by a live query over the network.
    put(&server, &policy(&[&other]));
    let took = becomes(&gateway.proxy, &other, 403, Duration::from_secs(1));
    println!("in force after {took:?}");

    // What this gateway can't use (it has no GATEWAY_FILES) leaves the last good one in force.
    let listed = format!("{}[[category]]\nname = 'ads'\nlevel = 'unsafe'\nfiles = 'ads.txt'\n", policy(&[]));
    put(&server, &listed);
    gateway.says("the policy stays as it was");
    gateway.says("GATEWAY_FILES");
    assert_eq!((status(&gateway.proxy, &good), status(&gateway.proxy, &other)), (200, 403));

    // The connection is cut, and somebody changes the policy meanwhile.
    let load = Load::start(&gateway.proxy, &good);
    cable.pull();
    gateway.says("the gateway goes on with the policy it has");
    put(&server, &policy(&[]));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(status(&gateway.proxy, &other), 403, "it can't know");
    cable.plug();
    let took = becomes(&gateway.proxy, &other, 200, Duration::from_secs(8));
    println!("caught up after {took:?}");
    // And it is told again, not only when it looks.
    std::thread::sleep(Duration::from_secs(2));
    put(&server, &policy(&[&other]));
    becomes(&gateway.proxy, &other, 403, Duration::from_secs(1));

    // Its traffic stands in the database, as that of a built-in one.
    assert!(traffic_of(&server, "consumer=client:127.0.0.1").iter().all(|item| item["consumer"]["kind"] == "gateway"));

    // The database itself is gone.
    surreal.kill();
    std::thread::sleep(Duration::from_secs(8));
    println!("{} requests, none failed", load.end());
    assert_eq!((status(&gateway.proxy, &good), status(&gateway.proxy, &other)), (200, 403));
    drop(gateway);
    let begun = Instant::now();
    gateway = Gateway::start(&home, cable.port);
    println!("started without a database in {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!((status(&gateway.proxy, &good), status(&gateway.proxy, &other)), (200, 403), "from the disk");
    gateway.says("starts without its database");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(home.join("data/gateway-policy.json")).expect("it is kept").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    // It is back, and the first thing that happens is a change.
    let load = Load::start(&gateway.proxy, &good);
    surreal.back();
    let begun = Instant::now();
    while server.put("/api/v1/gateway/policy", &json!({"text": policy(&[])})).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the console does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = becomes(&gateway.proxy, &other, 200, Duration::from_secs(8));
    println!("caught up after {took:?}; {} requests, none failed", load.end());
}

#[test]
fn a_database_that_hangs_holds_up_no_request() {
    let (good, other) = (origin(), origin());
    let Some((folder, surreal, server)) = installation(&[]) else { return };
    put(&server, &policy(&[]));
    let gateway = Gateway::start(&folder.path().join("gateway"), surreal.port);
    assert_eq!((status(&gateway.proxy, &good), status(&gateway.proxy, &other)), (200, 200));
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &surreal.child.id().to_string()]).status().expect("kill").success());
    };
    // It takes connections and answers nothing, which is worse than being gone.
    signal("-STOP");
    let load = Load::start(&gateway.proxy, &good);
    let mut longest = Duration::ZERO;
    for _ in 0..80 {
        longest = longest.max(becomes(&gateway.proxy, &good, 200, Duration::from_secs(1)));
        std::thread::sleep(Duration::from_millis(100));
    }
    signal("-CONT");
    println!("{} requests, none failed; {longest:?} at most", load.end());
    let begun = Instant::now();
    while server.put("/api/v1/gateway/policy", &json!({"text": policy(&[&other])})).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the console does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = becomes(&gateway.proxy, &other, 403, Duration::from_secs(10));
    println!("caught up after {took:?}");
}

#[test]
fn a_gateway_that_does_not_know_whose_policy_it_goes_by_says_so() {
    let url = origin();
    let env = [("GATEHOUSE_EDITION", "cloud"), ("GATEHOUSE_SECRET_KEY_FILE", "key")];
    let folder = tempfile::tempdir().expect("a folder");
    // An embedded database has one owner.
    let mut alone = program(folder.path(), &[]);
    let output = alone.args(["gateway", "--listen", "127.0.0.1:0"]).output().expect("run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("--policy FILE") && text.contains("one owner"), "{text}");

    let surreal_folder = tempfile::tempdir().expect("a folder");
    let Some(surreal) = Surreal::start(free_port(), &surreal_folder.path().join("db")) else { return };
    let mut start = Start::new()
        .env("GATEHOUSE_DATABASE", &format!("ws://127.0.0.1:{}", surreal.port))
        .env("GATEHOUSE_DATABASE_USER", "root")
        .env("GATEHOUSE_DATABASE_PASSWORD", "root")
        .env("GATEHOUSE_ADMIN_COMPANY", "Acme");
    for (key, value) in env {
        start = start.env(key, value);
    }
    let server = start.start_with_key();
    put(&server, "[[rule]]\nname = 'x'\naction = 'deny'\nreason = 'Acme says no'\n");
    let made = server.admin_output(
        &["create", "--email", "other@example.com", "--password-stdin", "--company", "Other"],
        &format!("{PASSWORD}\n"),
    );
    assert!(made.status.success(), "{EMAIL}: {made:?}");
    let run = |company: &str| {
        let output = gateway_program(folder.path(), surreal.port).args(["--gateway-company", company]).output().expect("run");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, text) = run("");
    assert!(!ok && text.contains("GATEWAY_COMPANY") && text.contains("'Acme', 'Other'"), "{text}");
    let (ok, text) = run("Nobody");
    assert!(!ok && text.contains("no company 'Nobody'"), "{text}");
    let mut child = gateway_program(folder.path(), surreal.port).args(["--gateway-company", "acme"]).spawn().expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let proxy = line.trim().strip_prefix("The gateway is ready: ").unwrap_or_default();
    let refused = answer(proxy, &url);
    let _ = child.kill();
    let _ = child.wait();
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("Acme says no"), "{refused}");
}

/// The traffic that this search finds, when there is as much as expected.
#[track_caller]
fn traffic(server: &Server, filter: &str, expected: usize) -> Vec<serde_json::Value> {
    let begun = Instant::now();
    loop {
        let page = server.get(&format!("/api/v1/traffic?{filter}")).expect(200);
        let items = page["items"].as_array().expect("items").clone();
        if items.len() == expected {
            return items;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{} and not {expected}: {page}", items.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_went_through_the_gateway_stands_in_the_traffic() {
    let (good, other) = (origin(), origin());
    let server = Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").start();
    let proxy = built_in(&server);
    put(&server, &policy(&[&other]));
    becomes(&proxy, &good, 200, Duration::from_secs(1));
    assert_eq!(status(&proxy, &format!("{good}secret?token=x")), 200);
    assert_eq!(status(&proxy, &other), 403);
    let host = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_string();
    let denied = traffic(&server, &format!("host={}", host(&other)), 1);
    assert_eq!(denied[0]["cause"], "proxy_denied");
    assert!(denied[0]["route"].is_null() && denied[0]["status"].is_null(), "{}", denied[0]);
    let passed = server.get(&format!("/api/v1/traffic?q=gateway&cause=none&host={}", host(&good))).expect(200);
    let first = &passed["items"][0];
    assert_eq!(first["consumer"], json!({"kind": "gateway", "id": "client:127.0.0.1", "name": "127.0.0.1"}));
    assert_eq!((first["method"].as_str(), first["status"].as_u64()), (Some("GET"), Some(200)), "{first}");
    assert_eq!(first["route"], json!({"via": "direct", "reason": "gateway"}));
    assert!(first["bytes_in"].as_u64() > Some(0) && !passed.to_string().contains("secret"), "{passed}");
    assert!(!server.get("/api/v1/traffic?consumer=client:127.0.0.1").expect(200)["items"].as_array().expect("items").is_empty());
    // The console's page shows them.
    let page = server.get("/incident-responder/traffic?q=gateway");
    assert!(page.status == 200 && page.text.contains("127.0.0.1") && page.text.contains("Gateway"), "{}", page.status);
    // What was recorded last is not lost when the server ends.
    let mut server = server;
    for _ in 0..3 {
        assert_eq!(status(&proxy, &other), 403);
    }
    server.stop();
    server.kill_and_restart();
    traffic(&server, &format!("host={}", host(&other)), 4);
}

/// The value of a counter.
#[track_caller]
fn counted(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[test]
fn of_a_flood_some_requests_are_stored_the_rest_is_counted_and_all_are_answered() {
    let good = origin();
    let server = Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").env("GATEHOUSE_GATEWAY_TRAFFIC", "5").start();
    let proxy = built_in(&server);
    put(&server, &policy(&[]));
    becomes(&proxy, &good, 200, Duration::from_secs(1));
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(status(&proxy, &good), 200);
    }
    let seconds = begun.elapsed().as_secs() + 2;
    let outcome = |of: &str| format!("gatehouse_gateway_traffic_records_total{{outcome=\"{of}\"}}");
    let begun = Instant::now();
    let (stored, dropped) = loop {
        let metrics = server.get("/metrics").text;
        let both = (counted(&metrics, &outcome("stored")), counted(&metrics, &outcome("dropped")));
        // Those before it had a policy count as well.
        if both.0 + both.1 > 200 {
            assert!(metrics.contains("gatehouse_http_requests_total"), "the server's own are there, too: {metrics}");
            assert!(counted(&metrics, "gatehouse_gateway_requests_total{status=\"2xx\"}") > 200, "{metrics}");
            break both;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{both:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(stored >= 5 && stored <= 10 * seconds && dropped > 100, "{stored} stored, {dropped} dropped in {seconds} s");
    let listed = server.get("/api/v1/traffic?q=gateway&limit=200").expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), usize::try_from(stored).ok());
}

#[test]
fn a_gateway_alone_tells_what_it_counts_where_it_is_told_to() {
    let good = origin();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, policy(&[])).expect("written");
    let mut child = program(folder.path(), &[])
        .args(["gateway", "--listen", "127.0.0.1:0", "--metrics", "0", "--policy"])
        .arg(&file)
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut next = |prefix: &str| {
        let line = lines.next().unwrap_or_default();
        line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line}")).to_string()
    };
    let proxy = next("The gateway is ready: ");
    let metrics = next("Metrics are ready: ");
    assert!(metrics.starts_with("http://127.0.0.1:"), "for this machine alone: {metrics}");
    assert_eq!(status(&proxy, &good), 200);
    let begun = Instant::now();
    loop {
        let told = crate::harness::send("GET", &metrics, &[], None);
        assert!(told.header("content-type").starts_with("text/plain"), "{}", told.header("content-type"));
        if counted(&told.text, "gatehouse_gateway_requests_total{status=\"2xx\"}") == 1 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", told.text);
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = crate::harness::send("GET", &metrics.replace("/metrics", "/healthz"), &[], None);
    assert_eq!((health.status, health.text.as_str()), (200, "ok\n"));
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill").success());
    assert!(child.wait().expect("ended").success());
}

#[test]
fn a_person_of_the_database_signs_in_at_the_gateway_until_they_are_deleted() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let good = origin();
    let server = Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").start();
    let proxy = built_in(&server);
    let staff = "[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n[[client]]\nname = 'printer'\nnetworks = '10.9.9.9'\n\
                 groups = 'staff'\n[[rule]]\nname = 'staff'\ngroups = 'staff'\naction = 'allow'\n";
    put(&server, staff);
    becomes(&proxy, &good, 407, Duration::from_secs(1));
    let with = |password: &str| {
        let mut stream = TcpStream::connect(&proxy).expect("connected");
        let pair = STANDARD.encode(format!("ann:{password}"));
        let host = good.trim_start_matches("http://").trim_end_matches('/');
        let _ = write!(
            stream,
            "GET {good} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {pair}\r\nConnection: close\r\n\r\n"
        );
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or_default()
    };
    let within_a_second = |password: &str, expected: u16| {
        let begun = Instant::now();
        while with(password) != expected {
            assert!(begun.elapsed() < Duration::from_millis(1500), "not {expected}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let ann = json!({"name": "ann", "password": "open sesame", "groups": ["staff"]});
    let ann = server.post("/api/v1/gateway/people", &ann).expect(201);
    within_a_second("open sesame", 200);
    let path = format!("/api/v1/gateway/people/{}", ann["id"].as_str().expect("an id"));
    server.put(&path, &json!({"name": "ann", "password": "another one", "groups": ["staff"]})).expect(200);
    within_a_second("another one", 200);
    assert_eq!(with("open sesame"), 407, "the old one is no more");
    let named = traffic_of(&server, "consumer=person:ann");
    assert!(named.iter().all(|item| item["consumer"]["name"] == "ann"), "{named:?}");
    server.put(&path, &json!({"name": "ann"})).expect(200);
    within_a_second("another one", 403);
    server.delete(&path);
    within_a_second("another one", 407);
}

/// The traffic that this search finds, as soon as there is some.
fn traffic_of(server: &Server, filter: &str) -> Vec<serde_json::Value> {
    let begun = Instant::now();
    loop {
        let page = server.get(&format!("/api/v1/traffic?{filter}")).expect(200);
        let items = page["items"].as_array().expect("items").clone();
        if !items.is_empty() || begun.elapsed() > Duration::from_secs(5) {
            assert!(!items.is_empty(), "{page}");
            return items;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_proxy_setting_of_the_company_is_a_way_out_of_the_gateway() {
    let mut server =
        Start::new().env("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:0").env("GATEHOUSE_GATEWAY_CACHE_MEMORY", "300 MB").start();
    let (one, two) = (SpyProxy::start(), SpyProxy::start());
    let setting = |spy: &SpyProxy, password: &str| json!({"name": "Head office", "host": "127.0.0.1", "port": spy.port, "authentication": "basic", "username": "jo", "password": password});
    let made = server.post("/api/v1/proxies", &setting(&one, "open sesame")).expect(201);
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let through = |name: &str| {
        format!(
            "[[egress]]\nname = 'out'\nkind = 'setting'\nsetting = '{name}'\n[[rule]]\nname = 'all'\naction = 'allow'\negress = 'out'\n"
        )
    };
    let refused = server.put("/api/v1/gateway/policy", &json!({"text": through("Main office")}));
    let told = refused.body["fields"]["text"].as_str().unwrap_or_default();
    assert!(refused.status == 422 && told.contains("Line 4") && told.contains("it has Head office"), "{}", refused.text);
    let large = format!("[cache]\nenabled = true\nmemory = '301 MB'\n{}", through("Head office"));
    let refused = server.put("/api/v1/gateway/policy", &json!({"text": large}));
    assert!(refused.status == 422 && refused.text.contains("300 MB"), "the operator's bound: {}", refused.text);

    // However it is written, as names are everywhere.
    put(&server, &through("  HEAD  office "));
    let proxy = built_in(&server);
    let url = "http://www.example.com/a";
    let credentials = |password: &str| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        format!("Basic {}", STANDARD.encode(format!("jo:{password}")))
    };
    let arrives = |proxy: &str, spy: &SpyProxy, password: &str| {
        let (before, begun) = (spy.heads().len(), Instant::now());
        while spy.heads().len() == before {
            let answer = answer(proxy, url);
            assert!(begun.elapsed() < Duration::from_millis(1500), "nothing arrived: {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let head = spy.heads().pop().expect("one");
        assert!(head.starts_with("GET http://www.example.com/a ") && head.contains(&credentials(password)), "{head}");
    };
    arrives(&proxy, &one, "open sesame");
    // People know it by the setting's name.
    let begun = Instant::now();
    while traffic_of(&server, "q=www.example.com").iter().all(|record| record["route"]["proxy"]["name"] != "Head office") {
        assert!(begun.elapsed() < Duration::from_secs(5), "no record names it");
    }

    // Whoever owns the setting sees who uses it, and can't take it away from under the gateway.
    let shown = server.get(&path).expect(200);
    assert_eq!(shown["used_by"][0]["kind"], "gateway", "{shown}");
    let refused = server.delete(&path);
    assert_eq!((refused.status, refused.code()), (409, "in_use"), "{}", refused.text);
    let mut renamed = setting(&one, "open sesame");
    renamed["name"] = json!("Branch office");
    let refused = server.put(&path, &renamed);
    assert!(refused.status == 422 && refused.body["fields"]["name"].as_str().is_some(), "{}", refused.text);

    // A change of the setting is a change of the way out, within a second.
    server.put(&path, &setting(&two, "sesame, open")).expect(200);
    arrives(&proxy, &two, "sesame, open");
    // Also after the key was changed, and of a program that starts anew.
    server.admin(&["rotate-key"]);
    arrives(&proxy, &two, "sesame, open");
    server.kill_and_restart();
    arrives(&built_in(&server), &two, "sesame, open");
    let stored = server.stored_bytes();
    for secret in ["sesame, open".to_string(), credentials("sesame, open")] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()), "in the open on the disk: {secret}");
    }
    assert!(!server.get("/api/v1/gateway/policy").text.contains("sesame"));

    put(&server, "[[rule]]\nname = 'none'\naction = 'deny'\n");
    assert_eq!(server.get(&path).expect(200)["used_by"], json!([]));
    assert_eq!(server.delete(&path).status, 204);
}
