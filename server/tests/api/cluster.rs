//! Two servers with one database, which is a real SurrealDB server: what one of them does, the other one knows; scheduled work is done
//! once; either may be ended at any time.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    gateway_database::{Surreal, free_port},
    harness::{EMAIL, PASSWORD, Server, Start, program, run, send, serve_spy},
};

/// Two servers and their database; the second one may be anywhere, it has the key and nothing else of the first.
struct Cluster {
    one: Server,
    two: Server,
    database: Surreal,
    _folders: tempfile::TempDir,
}

impl Cluster {
    /// `None`, and says so, where there is no database program.
    fn start(more: &[(&str, &str)]) -> Option<Self> {
        let folders = tempfile::tempdir().expect("a folder");
        let database = Surreal::start(free_port(), &folders.path().join("database"))?;
        let key = folders.path().join("key");
        let start = |begin: Start| {
            let begin = begin
                .env("GATEHOUSE_DATABASE", &format!("ws://127.0.0.1:{}", database.port))
                .env("GATEHOUSE_DATABASE_USER", "root")
                .env("GATEHOUSE_DATABASE_PASSWORD", "root")
                .env("GATEHOUSE_SECRET_KEY_FILE", key.to_str().expect("a path"))
                // The same addresses after a restart.
                .env("GATEHOUSE_LISTEN", &format!("127.0.0.1:{}", free_port()));
            more.iter().fold(begin, |begin, (key, value)| begin.env(key, value)).start()
        };
        let one = start(Start::new());
        let mut two = start(Start::in_folder(Arc::new(tempfile::tempdir().expect("a folder"))));
        two.token.clone_from(&one.token);
        Some(Self { one, two, database, _folders: folders })
    }

    fn either(&mut self, number: usize) -> &mut Server {
        if number.is_multiple_of(2) { &mut self.one } else { &mut self.two }
    }

    /// What the database itself says.
    fn ask(&self, query: &str) -> Value {
        let headers = [
            // root:root
            ("authorization", "Basic cm9vdDpyb290"),
            ("accept", "application/json"),
            ("surreal-ns", "gatehouse"),
            ("surreal-db", "gatehouse"),
        ];
        let answer = send("POST", &format!("http://127.0.0.1:{}/sql", self.database.port), &headers, Some(query)).expect(200);
        assert_eq!(answer[0]["status"], "OK", "{answer}");
        answer[0]["result"].clone()
    }
}

fn sign_in(server: &Server, password: &str) -> crate::harness::Answer {
    let body = json!({"email": EMAIL, "password": password}).to_string();
    send("POST", &format!("{}/api/v1/sessions", server.url), &[("content-type", "application/json")], Some(&body))
}

fn status_with(server: &Server, cookie: &str, method: &str, path: &str) -> u16 {
    send(method, &format!("{}{path}", server.url), &[("cookie", cookie)], None).status
}

#[test]
fn what_one_does_the_other_knows() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let Cluster { one, two, .. } = &cluster;
    // Signed in at one, signed in at both; signed out at one, signed out at both, at once.
    for (here, there) in [(one, two), (two, one)] {
        let session = sign_in(here, PASSWORD);
        assert_eq!(session.status, 201, "{}", session.text);
        let cookie = session.cookie();
        for server in [here, there, here, there] {
            assert_eq!(status_with(server, &cookie, "GET", "/api/v1/proxies"), 200);
            assert_eq!(status_with(server, &cookie, "GET", "/company/settings/proxies"), 200);
        }
        assert_eq!(status_with(there, &cookie, "DELETE", "/api/v1/sessions"), 204);
        for server in [here, there] {
            assert_eq!(status_with(server, &cookie, "GET", "/api/v1/proxies"), 401);
        }
    }
    // A token that is taken back at one is refused by the other.
    let token = one.post("/api/v1/tokens", &json!({"name": "script"})).expect(201);
    let bearer = format!("Bearer {}", token["token"].as_str().or(token["secret"].as_str()).expect("the token"));
    let with =
        |server: &Server| send("GET", &format!("{}/api/v1/proxies", server.url), &[("authorization", &bearer)], None).status;
    assert_eq!((with(one), with(two)), (200, 200));
    two.delete(&format!("/api/v1/tokens/{}", token["id"].as_str().expect("an identifier"))).expect(204);
    assert_eq!((with(one), with(two)), (401, 401));

    // What is changed at one is there at the other with the next request: in the API, and on the page, also when it was shown before.
    let session = sign_in(one, PASSWORD).cookie();
    let page =
        |server: &Server| send("GET", &format!("{}/company/settings/proxies", server.url), &[("cookie", &session)], None).text;
    for round in 0..10 {
        let (here, there) = if round % 2 == 0 { (one, two) } else { (two, one) };
        let name = format!("Corp {round}");
        assert!(!page(there).contains(&name) && !page(here).contains(&name));
        let made = here.proxy(&name);
        assert!(page(there).contains(&name), "made at the other one, and not on this one's page");
        assert!(page(here).contains(&name));
        let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an identifier"));
        assert_eq!(there.get(&path).expect(200)["name"], json!(name));
        let renamed = json!({"name": format!("Renamed {round}"), "host": "proxy.example", "port": 3128, "is_default": true});
        there.put(&path, &renamed).expect(200);
        assert_eq!(here.get(&path).expect(200)["name"], renamed["name"]);
        assert!(page(here).contains(&format!("Renamed {round}")) && !page(here).contains(&name));
        let defaults = here.get("/api/v1/proxies").expect(200);
        let defaults = defaults["items"].as_array().expect("a list").iter().filter(|item| item["is_default"] == true).count();
        assert_eq!(defaults, 1);
    }
}

#[test]
fn limits_count_what_both_do() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let Cluster { one, two, .. } = &cluster;
    // Ten tests at a time, five of them at each: a proxy that takes a connection and says nothing keeps them busy.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in silent.incoming().flatten() {
            held.push(stream);
        }
    });
    let draft = json!({"proxy": {"host": "127.0.0.1", "port": port}});
    thread::scope(|scope| {
        let running: Vec<_> = [one, two]
            .into_iter()
            .flat_map(|server| (0..5).map(move |_| server))
            .map(|server| scope.spawn(|| server.post("/api/v1/proxies/test", &draft)))
            .collect();
        let begun = Instant::now();
        while cluster.ask("SELECT VALUE number FROM test_slot WHERE until > time::now()").as_array().map(Vec::len) != Some(10) {
            assert!(begun.elapsed() < Duration::from_secs(8), "ten tests do not run");
            thread::sleep(Duration::from_millis(50));
        }
        for server in [one, two] {
            let refused = server.post("/api/v1/proxies/test", &draft);
            assert_eq!((refused.status, refused.code()), (429, "too_many_tests"), "{}", refused.text);
        }
        for test in running {
            assert_eq!(test.join().expect("no panic").expect(200)["ok"], json!(false));
        }
    });

    // Ten wrong passwords in a minute, in turn.
    for number in 0..10 {
        let server = if number % 2 == 0 { one } else { two };
        assert_eq!(sign_in(server, "wrong wrong wrong").status, 401, "{number}");
    }
    for server in [one, two] {
        let throttled = sign_in(server, PASSWORD);
        assert_eq!((throttled.status, throttled.code()), (429, "too_many_sign_ins"));
    }
}

/// A proxy that answers after a while, and counts who came.
struct Slow {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Slow {
    fn start() -> Self {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let behind = TcpListener::bind("127.0.0.1:0").expect("a port");
        let inner = behind.local_addr().expect("an address");
        serve_spy(behind, Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let sink = seen.clone();
        thread::spawn(move || {
            for mut here in listener.incoming().flatten() {
                // Only who asks for something: a process that is killed may leave a connection behind.
                let sink = sink.clone();
                thread::spawn(move || {
                    let Ok(mut there) = TcpStream::connect(inner) else { return };
                    let mut bytes = [0; 2048];
                    let Ok(read @ 1..) = here.read(&mut bytes) else { return };
                    sink.lock().expect("not poisoned").push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                    thread::sleep(Duration::from_millis(250));
                    let _ = there.write_all(&bytes[..read]);
                    let _ = std::io::copy(&mut there, &mut here);
                });
            }
        });
        Self { port, seen }
    }

    fn count(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }
}

#[test]
fn rounds_of_checks_are_made_once_while_processes_are_killed() {
    const PROXIES: usize = 12;
    const ROUNDS: usize = 16;
    // Of one round at a time.
    const AT_A_TIME: usize = 4;
    // A lease, a look, and what a debug build takes to start.
    const LONGEST: Duration = Duration::from_secs(15 + 5 + 20);
    let Some(mut cluster) = Cluster::start(&[("GATEHOUSE_TEST_TARGET", "http://127.0.0.1:1/")]) else { return };
    let spies: Vec<_> = (0..PROXIES).map(|_| Slow::start()).collect();
    for (number, spy) in spies.iter().enumerate() {
        let body = json!({"name": format!("Spy {number:02}"), "host": "127.0.0.1", "port": spy.port});
        cluster.one.post("/api/v1/proxies", &body).expect(201);
    }
    let (mut twice, mut kills, mut cut, mut longest) = (0, 0, 0, Duration::ZERO);
    for round in 0..ROUNDS {
        let before: Vec<_> = spies.iter().map(Slow::count).collect();
        // Another span begins a round at once.
        let every = if round % 2 == 0 { 5 } else { 10 };
        let begun = Instant::now();
        cluster.either(round / 2).put("/api/v1/checks", &json!({"every_minutes": every})).expect(200);
        let seen = |spies: &[Slow]| spies.iter().zip(&before).map(|(spy, before)| spy.count() - before).collect::<Vec<_>>();
        // Every second round somebody is killed, at another moment of the round each time; half of them have the round.
        let kill_at = (round % 2 == 1).then_some(round % (PROXIES - 2) + 1);
        let mut killed = false;
        loop {
            let now = seen(&spies);
            if let Some(at) = kill_at
                && !killed
                && now.iter().sum::<usize>() >= at
            {
                killed = true;
                kills += 1;
                cluster.either(usize::from(rand_bit())).kill_and_restart();
            }
            let turn = cluster.ask("SELECT number, until FROM turn WHERE id[0] = 'checks'");
            let is_done = turn[0]["until"].is_null() && turn[0]["number"].as_u64() == Some(round as u64 + 1);
            if is_done && now.iter().all(|count| *count > 0) {
                break;
            }
            assert!(begun.elapsed() < LONGEST, "round {round} is not over: {now:?} {turn}");
            thread::sleep(Duration::from_millis(20));
        }
        longest = longest.max(begun.elapsed());
        // A little longer: nobody comes again.
        thread::sleep(Duration::from_millis(600));
        let now = seen(&spies);
        let again = now.iter().filter(|count| **count == 2).count();
        assert!(now.iter().all(|count| (1..=2).contains(count)), "round {round}: {now:?}");
        // What was under way when somebody was killed is all that may be done again.
        assert!(again <= if killed { AT_A_TIME } else { 0 }, "round {round} was made twice: {now:?}");
        twice += again;
        cut += usize::from(again > 0);
    }
    println!(
        "{ROUNDS} rounds of {PROXIES} tests by two servers, {kills} killed with SIGKILL, {cut} of them in the middle of the round: {} tests, \
         {twice} of them again because whoever made them was killed meanwhile; the longest round took {longest:?}",
        PROXIES * ROUNDS + twice
    );

    // The command does the same, once, for where no server runs for long.
    cluster.one.kill();
    cluster.two.kill();
    let before: Vec<_> = spies.iter().map(Slow::count).collect();
    cluster.ask("UPDATE checks SET next_at = time::now()");
    let env = [
        ("GATEHOUSE_DATABASE", format!("ws://127.0.0.1:{}", cluster.database.port)),
        ("GATEHOUSE_DATABASE_USER", "root".into()),
        ("GATEHOUSE_DATABASE_PASSWORD", "root".into()),
        ("GATEHOUSE_SECRET_KEY_FILE", cluster._folders.path().join("key").display().to_string()),
        ("GATEHOUSE_TEST_TARGET", "http://127.0.0.1:1/".into()),
    ]
    .map(|(key, value)| (key.to_string(), value));
    let tend = || {
        let output = run(program(cluster._folders.path(), &env).arg("tend"), "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = tend();
    assert!(first.contains(&format!("1 ({PROXIES} tests)")), "{first}");
    let second = tend();
    assert!(second.contains("0 (0 tests)"), "{second}");
    assert!(spies.iter().zip(&before).all(|(spy, before)| spy.count() == before + 1));
}

/// Something that nobody knows beforehand.
fn rand_bit() -> bool {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).is_ok_and(|now| now.subsec_micros() / 7 % 2 == 1)
}

/// HAProxy as `deploy/compose/balancer.cfg` sets it up, but for addresses and TLS.
struct Balancer {
    url: String,
    child: Child,
}

impl Balancer {
    fn start(folder: &Path, platforms: [&Server; 2]) -> Option<Self> {
        let text = include_str!("../../../deploy/compose/balancer.cfg");
        let port = free_port();
        let mut config = String::new();
        // The gateways' part is another story.
        for line in text.split("\nfrontend gateway").next().expect("the first part").lines() {
            let line = line.replace("resolvers containers check", "check").replace(" init-addr last,libc,none", "");
            // More than the test's own limits allow.
            let line = line.replace("maxconn 100000", "maxconn 1000");
            let line = match line.trim() {
                bind if bind.starts_with("bind ") => format!("    bind 127.0.0.1:{port}"),
                "server platform-1 platform-1:3000" => format!("    server platform-1 {}", host(platforms[0])),
                "server platform-2 platform-2:3000" => format!("    server platform-2 {}", host(platforms[1])),
                _ => line,
            };
            config.push_str(&line);
            config.push('\n');
        }
        assert_eq!(config.matches("server platform-").count(), 2, "{config}");
        let file = folder.join("balancer.cfg");
        std::fs::write(&file, config).expect("written");
        let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            eprintln!("SKIPPED: there is no HAProxy; scripts/test-deps.sh installs it");
            return None;
        };
        let child = Command::new(program)
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn()
            .expect("it starts");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the balancer does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Some(Self { url: format!("http://127.0.0.1:{port}"), child })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn host(server: &Server) -> &str {
    server.url["http://".len()..].trim_end_matches('/')
}

/// One connection that is used again and again, as a browser's is; no request is ever sent a second time.
struct Client {
    address: String,
    stream: Option<BufReader<TcpStream>>,
    connections: usize,
}

impl Client {
    fn request(&mut self, method: &str, path: &str, token: &str, body: &str) -> Result<(u16, String), String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.connections += 1;
                let stream = TcpStream::connect(&self.address).map_err(|error| format!("connecting: {error}"))?;
                stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
                BufReader::new(stream)
            }
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.get_mut().write_all(format!("{head}{body}").as_bytes()).map_err(|error| format!("sending: {error}"))?;
        let mut line = String::new();
        stream.read_line(&mut line).map_err(|error| format!("reading: {error}"))?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(format!("no answer: {line:?}"))?;
        let (mut length, mut close) = (0, false);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).map_err(|error| format!("reading: {error}"))?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|error| format!("{error}"))?;
            }
            close |= line == "connection: close";
            if line.starts_with("transfer-encoding:") {
                length = usize::MAX;
            }
        }
        let mut bytes = Vec::new();
        if length == usize::MAX {
            loop {
                let mut size = String::new();
                stream.read_line(&mut size).map_err(|error| format!("reading: {error}"))?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(|error| format!("{error}: {size:?}"))?;
                let mut chunk = vec![0; size + 2];
                stream.read_exact(&mut chunk).map_err(|error| format!("reading: {error}"))?;
                bytes.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            bytes.resize(length, 0);
            stream.read_exact(&mut bytes).map_err(|error| format!("reading: {error}"))?;
        }
        if !close {
            self.stream = Some(stream);
        }
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[test]
fn a_rolling_restart_under_load_fails_no_request() {
    let Some(mut cluster) = Cluster::start(&[]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(balancer) = Balancer::start(folder.path(), [&cluster.one, &cluster.two]) else { return };
    // Until the balancer has seen both.
    thread::sleep(Duration::from_secs(3));
    let token = cluster.one.token.clone();
    let (stop, sent, saved) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (connections, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let address = balancer.url["http://".len()..].to_string();
    let work = |number: usize| {
        let mut client = Client { address: address.clone(), stream: None, connections: 0 };
        let mut mine = String::new();
        for turn in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("Client {number} turn {turn}");
            let body = json!({"name": name, "host": "proxy.example", "port": 3128}).to_string();
            let (method, path, body, expected) = match turn % 6 {
                0 => ("POST", "/api/v1/proxies".to_string(), body.as_str(), 201),
                1 => ("GET", format!("/api/v1/proxies/{mine}"), "", 200),
                2 => ("PUT", format!("/api/v1/proxies/{mine}"), body.as_str(), 200),
                3 => ("GET", "/company/settings/checks".to_string(), "", 200),
                4 => ("GET", "/api/v1/proxies?limit=5".to_string(), "", 200),
                _ => ("DELETE", format!("/api/v1/proxies/{mine}"), "", 204),
            };
            let answer = client.request(method, &path, &token, body);
            sent.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok((status, text)) if status == expected => {
                    if turn % 6 == 0 {
                        mine = serde_json::from_str::<Value>(&text)
                            .ok()
                            .and_then(|v| Some(v["id"].as_str()?.to_string()))
                            .expect("made");
                    }
                    if turn % 6 == 2 {
                        assert!(text.contains(&name), "saved as it was sent: {text}");
                        saved.fetch_add(1, Ordering::Relaxed);
                    }
                }
                other => {
                    failed.lock().expect("not poisoned").push(format!("{method} {path}: {other:?}"));
                    client.stream = None;
                    if turn % 6 == 0 {
                        return;
                    }
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        connections.fetch_add(client.connections, Ordering::Relaxed);
    };
    let mut took = Vec::new();
    thread::scope(|scope| {
        let work = &work;
        for number in 0..6 {
            scope.spawn(move || work(number));
        }
        for round in 0..6 {
            let server = cluster.either(round);
            let begun = Instant::now();
            // It says so first, and serves on.
            let url = server.url.clone();
            let watch = scope.spawn(move || {
                let mut told = None;
                while begun.elapsed() < Duration::from_secs(4) {
                    let ready = send("GET", &format!("{url}/readyz"), &[], None);
                    if ready.status == 503 && told.is_none() {
                        assert_eq!((ready.text.as_str(), ready.header("connection")), ("ending\n", "close"));
                        told = Some(begun.elapsed());
                    }
                    assert!(ready.status == 503 || told.is_none(), "ready again while it ends");
                    thread::sleep(Duration::from_millis(50));
                }
                told.expect("it never said that it ends")
            });
            server.stop();
            let ended = begun.elapsed();
            let told = watch.join().expect("no panic");
            assert!(
                told < Duration::from_secs(1) && ended >= Duration::from_secs(5),
                "told after {told:?}, ended after {ended:?}"
            );
            assert!(!server.printed().contains("cut off"), "{}", server.printed());
            server.kill_and_restart();
            took.push(begun.elapsed());
            // The balancer looks every two seconds.
            thread::sleep(Duration::from_secs(3));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let failed = failed.into_inner().expect("not poisoned");
    println!(
        "{} requests over {} connections, {} of them saved something, through 6 restarts of {took:?}: {} failed",
        sent.load(Ordering::Relaxed),
        connections.load(Ordering::Relaxed),
        saved.load(Ordering::Relaxed),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(sent.load(Ordering::Relaxed) > 500 && saved.load(Ordering::Relaxed) > 50, "there was a load");
}
