//! Real parts for integrations: an analysis service on a real socket, and Squid in front of it.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Answer, Server, send};

/// The service's name, which only the proxies know.
pub const SERVICE: &str = "engine.example.test";

/// A request as the service saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    pub headers: HashMap<String, String>,
}

impl Request {
    /// The value that a look-up asks about, percent-decoded.
    pub fn value(&self) -> String {
        let encoded = self.path.split("value=").nth(1).unwrap_or_default().split('&').next().unwrap_or_default();
        let mut bytes = Vec::new();
        let mut rest = encoded.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => {
                    let hex: String = rest.by_ref().take(2).map(char::from).collect();
                    bytes.push(u8::from_str_radix(&hex, 16).expect("hexadecimal"));
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).expect("UTF-8")
    }
}

/// What the service answers.
pub type Answering = dyn Fn(&Request) -> (u16, Value) + Send + Sync;

/// A company's own analysis service, as `custom_http` speaks to one.
pub struct Service {
    pub port: u16,
    pub seen: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    /// One that answers like this; the closure may sleep.
    pub fn start(answering: impl Fn(&Request) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answering: Arc<Answering> = Arc::new(answering);
        let sink = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sink, answering) = (sink.clone(), answering.clone());
                thread::spawn(move || serve(stream, &sink, &*answering));
            }
        });
        Self { port, seen }
    }

    /// One that finds `evil` in a value malicious and everything else clean.
    pub fn simple() -> Self {
        Self::start(|request| {
            let verdict = if request.path.contains("evil") { "malicious" } else { "clean" };
            (200, json!({"verdict": verdict}))
        })
    }

    /// Its address as an integration is told it.
    pub fn url(&self) -> String {
        format!("http://{SERVICE}:{}/", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// The values that were asked about.
    pub fn values(&self) -> Vec<String> {
        self.requests().iter().map(Request::value).collect()
    }
}

fn serve(stream: TcpStream, sink: &Mutex<Vec<Request>>, answering: &Answering) {
    let mut writer = stream.try_clone().expect("a handle");
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let path = first.split_whitespace().nth(1).unwrap_or_default().to_string();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_string());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = Request { path, headers };
        sink.lock().expect("not poisoned").push(request.clone());
        let (status, answer) = answering(&request);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        if writer.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Squid without authentication, which alone knows the service's name.
pub struct Squid {
    child: Child,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Squid {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let folder = tempfile::Builder::new().prefix("gatehouse-squid-").tempdir().expect("a folder");
        let is_root = fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        // It gives up root for the user `proxy`, who writes the logs.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("hosts"), format!("127.0.0.1 localhost {SERVICE}\n")).expect("written");
        let user = if is_root { "cache_effective_user proxy\n" } else { "" };
        let config = format!(
            "http_port 127.0.0.1:{port}\npid_filename none\ncoredump_dir none\ncache deny all\npinger_enable off\n\
             shutdown_lifetime 0 seconds\nnetdb_filename none\nvisible_hostname squid.test\ncache_log {}\n\
             access_log stdio:{}\nhosts_file {}\nstrip_query_terms off\ndns_nameservers 127.0.0.1\ndns_timeout 1 seconds\nconnect_retries 0\n\
             {user}http_access allow all\n",
            path("cache.log"),
            path("access.log"),
            path("hosts"),
        );
        fs::write(path("squid.conf"), config).expect("written");
        fs::set_permissions(path("hosts"), fs::Permissions::from_mode(0o644)).expect("permissions");
        let mut command = Command::new("/usr/sbin/squid");
        command.args(["-N", "-f", &path("squid.conf")]).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().expect("squid (Debian package squid-openssl; scripts/test-deps.sh installs it)");
        let squid = Self { child, folder, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "squid does not listen: {}", squid.read("cache.log"));
            thread::sleep(Duration::from_millis(20));
        }
        squid
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its access log.
    pub fn log(&self) -> String {
        self.read("access.log")
    }

    pub fn kill(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Makes a proxy setting for this Squid and gives its identifier.
    #[track_caller]
    pub fn squid(&self, name: &str, squid: &Squid, is_default: bool) -> String {
        let body = json!({"name": name, "host": "127.0.0.1", "port": squid.port, "is_default": is_default});
        let made = self.post("/api/v1/proxies", &body).expect(201);
        made["id"].as_str().expect("an id").to_string()
    }

    /// Makes an integration with the service, with these fields besides, and gives its identifier.
    #[track_caller]
    pub fn integration(&self, name: &str, service: &Service, more: &Value) -> String {
        let mut body = json!({"name": name, "type": "custom_http", "api_url": service.url(), "api_key": "k3y-of-the-service"});
        for (field, value) in more.as_object().expect("an object") {
            body[field] = value.clone();
        }
        let made = self.post("/api/v1/integrations", &body).expect(201);
        made["id"].as_str().expect("an id").to_string()
    }

    /// Analyses and waits for the end.
    #[track_caller]
    pub fn analyse(&self, body: &Value) -> Value {
        self.post("/api/v1/analyses?wait=60", body).expect(200)
    }

    /// Makes somebody else and calls the API as them.
    #[track_caller]
    pub fn as_another(&self, email: &str, how: &[&str]) -> impl Fn(&str, &str, &str) -> Answer + use<> {
        let create = [&["create", "--email", email, "--password-stdin"], how].concat();
        let created = self.admin_output(&create, "another long password\n");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        let authorization = format!("Bearer {}", self.admin(&["token", "--email", email]).trim());
        let url = self.url.clone();
        move |method, path, body| send(method, &format!("{url}{path}"), &[("authorization", &authorization)], Some(body))
    }

    /// Waits until what stands at a path is as it should be.
    #[track_caller]
    pub fn wait_for(&self, path: &str, done: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let view = self.get(path).expect(200);
            if done(&view) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{view}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// All traffic records, newest first.
    pub fn traffic(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = "/api/v1/traffic?limit=200".to_string();
        loop {
            let page = self.get(&path).expect(200);
            all.extend(page["items"].as_array().expect("a list").iter().cloned());
            match page["next"].as_str() {
                Some(cursor) => path = format!("/api/v1/traffic?limit=200&cursor={cursor}"),
                None => return all,
            }
        }
    }
}
