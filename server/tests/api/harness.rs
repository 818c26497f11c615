//! Starts the program with a data folder and a port of its own, and speaks HTTP to it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub const EMAIL: &str = "admin@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// A running server; ended with the value.
pub struct Server {
    pub folder: Arc<tempfile::TempDir>,
    pub url: String,
    child: Child,
    /// Everything it printed, both streams.
    pub output: Arc<Mutex<String>>,
    env: Vec<(String, String)>,
    pub token: String,
}

/// How to start one.
pub struct Start {
    folder: Arc<tempfile::TempDir>,
    env: Vec<(String, String)>,
    admin: bool,
}

impl Start {
    pub fn new() -> Self {
        Self { folder: Arc::new(tempfile::tempdir().expect("a folder")), env: Vec::new(), admin: true }
    }

    /// On a folder that holds something already.
    pub fn in_folder(folder: Arc<tempfile::TempDir>) -> Self {
        Self { folder, env: Vec::new(), admin: false }
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Without a first administrator.
    pub fn empty(mut self) -> Self {
        self.admin = false;
        self
    }

    /// With a key file, which the cloud edition wants to find.
    pub fn start_with_key(self) -> Server {
        std::fs::write(self.folder.path().join("key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").expect("written");
        self.start()
    }

    pub fn start(mut self) -> Server {
        if self.admin {
            self.env.push(("GATEHOUSE_ADMIN_EMAIL".into(), EMAIL.into()));
            self.env.push(("GATEHOUSE_ADMIN_PASSWORD".into(), PASSWORD.into()));
        }
        let mut server = launch(self.folder, self.env);
        if self.admin {
            server.token = server.admin(&["token", "--email", EMAIL]).trim().to_string();
        }
        server
    }
}

/// The program with the settings of this data folder, nothing inherited.
pub fn program(folder: &Path, env: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default()).current_dir(folder);
    command.env("GATEHOUSE_DATABASE", format!("surrealkv://{}", folder.join("data/gatehouse.db").display()));
    command.env("GATEHOUSE_LISTEN", "127.0.0.1:0");
    command.envs(env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn launch(folder: Arc<tempfile::TempDir>, env: Vec<(String, String)>) -> Server {
    let mut child = program(folder.path(), &env).arg("serve").spawn().expect("the program starts");
    let output = Arc::new(Mutex::new(String::new()));
    let (ready, url) = std::sync::mpsc::channel();
    let streams: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for stream in streams {
        let (output, ready) = (output.clone(), ready.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("Gatehouse is ready: ") {
                    let _ = ready.send(url.to_string());
                }
                output.lock().expect("not poisoned").push_str(&format!("{line}\n"));
            }
        });
    }
    let url = url
        .recv_timeout(Duration::from_secs(60))
        .unwrap_or_else(|_| panic!("not ready: {}", output.lock().expect("not poisoned")));
    Server { folder, url, child, output, env, token: String::new() }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub text: String,
    /// As they came: compressed, where that was asked for.
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).unwrap_or_default()
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Asserts the status and gives the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The session cookie as a request carries it.
    pub fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap_or_default().to_string()
    }
}

/// One request; never fails on a status.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (key, value) in headers {
        request = request.header(*key, *value);
    }
    let request = request.body(body.unwrap_or_default().to_string()).expect("a request");
    let mut response = agent.run(request).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let headers = response.headers().iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap_or_default().to_string())).collect();
    // What breaks off is no answer.
    let bytes = response.body_mut().read_to_vec().unwrap_or_else(|error| panic!("{method} {url}: the answer broke off: {error}"));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status: response.status().as_u16(), headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text, bytes }
}

impl Server {
    /// A request with the administrator's API token.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call_with(method, path, &[], body)
    }

    pub fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        send(method, &format!("{}{path}", self.url), &all, body.map(Value::to_string).as_deref())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None)
    }

    /// Makes a proxy setting and gives the answer.
    #[track_caller]
    pub fn proxy(&self, name: &str) -> Value {
        self.post("/api/v1/proxies", &json!({"name": name, "host": "proxy.example", "port": 3128})).expect(201)
    }

    /// `gatehouse admin …` with these settings, beside the running server; gives what it printed.
    #[track_caller]
    pub fn admin(&self, args: &[&str]) -> String {
        let output = self.admin_output(args, "");
        assert!(output.status.success(), "admin {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Any command with these settings and more, beside the running server.
    pub fn command(&self, args: &[&str], more: &[(&str, &str)]) -> Output {
        run(program(self.folder.path(), &self.env).envs(more.iter().copied()).args(args), "")
    }

    pub fn admin_output(&self, args: &[&str], input: &str) -> Output {
        run(program(self.folder.path(), &self.env).arg("admin").args(args), input)
    }

    /// Ends the process as a power cut would, and starts it again on the same folder.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        let fresh = launch(self.folder.clone(), self.env.clone());
        let token = std::mem::take(&mut self.token);
        *self = fresh;
        self.token = token;
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends the process as an operator does.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }

    pub fn printed(&self) -> String {
        self.output.lock().expect("not poisoned").clone()
    }

    /// Every byte of every file of the data folder.
    pub fn stored_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("readable").flatten() {
                let kind = entry.file_type().expect("a type");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let _ = std::fs::File::open(entry.path()).and_then(|mut f| f.read_to_end(&mut bytes));
                }
            }
        }
        bytes
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("data/gatehouse.key")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end with this on its standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// A proxy that takes HTTP Basic and answers every CONNECT with 502: enough to see what arrives at it.
pub struct SpyProxy {
    pub port: u16,
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl SpyProxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        serve_spy(listener, seen.clone());
        Self { port, seen }
    }

    pub fn heads(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// The same at an address of one's own.
pub fn serve_spy(listener: TcpListener, sink: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sink = sink.clone();
            std::thread::spawn(move || answer(stream, &sink));
        }
    });
}

fn answer(mut stream: TcpStream, sink: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut head = Vec::new();
    let mut byte = [0];
    let began = Instant::now();
    while !head.ends_with(b"\r\n\r\n") && began.elapsed() < Duration::from_secs(5) && stream.read(&mut byte).is_ok_and(|n| n == 1)
    {
        head.push(byte[0]);
    }
    sink.lock().expect("not poisoned").push(String::from_utf8_lossy(&head).into_owned());
    let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
}
