//! A local Lambda Runtime API (2018-06-01) over a real socket: gives calls to a process and takes its answers, also while they are
//! made. Of what Lambda does, what a function can see.

#![allow(dead_code, reason = "the tests and the measurement use different parts of it")]

use std::{
    collections::VecDeque,
    io::{BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

/// Where AWS's functions hear whom a request is for.
pub const DOMAIN: &str = "abcdefghij.lambda-url.eu-central-1.on.aws";

pub type Headers = Vec<(String, String)>;

pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What comes back of a call, in turn.
pub enum Part {
    /// `response` or `error`, and the headers it came with.
    Head(&'static str, Headers),
    Data(Instant, Vec<u8>),
    /// It came to its end, with these trailers.
    End(Headers),
    /// The connection was cut.
    Cut,
}

struct Call {
    id: String,
    event: Vec<u8>,
    sink: mpsc::Sender<Part>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<VecDeque<Call>>,
    arrived: Condvar,
    /// Those that a process has and has not answered.
    given: Mutex<Vec<Call>>,
    asked: AtomicUsize,
    init_error: Mutex<Option<(String, Value)>>,
}

pub struct Calls {
    pub address: String,
    shared: Arc<Shared>,
    number: AtomicUsize,
}

impl Calls {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared: Arc<Shared> = Arc::default();
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let shared = shared.clone();
                    std::thread::spawn(move || serve(&stream, &shared));
                }
            }
        });
        Self { address, shared, number: AtomicUsize::default() }
    }

    /// How often a process has asked for the next call.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// What a process said when it could not begin.
    pub fn init_error(&self) -> Option<(String, Value)> {
        self.shared.init_error.lock().expect("not poisoned").clone()
    }

    pub fn begin(&self, event: &[u8]) -> mpsc::Receiver<Part> {
        let (sink, parts) = mpsc::channel();
        let id = format!("0000-{}", self.number.fetch_add(1, Ordering::SeqCst));
        self.shared.waiting.lock().expect("not poisoned").push_back(Call { id, event: event.to_vec(), sink });
        self.shared.arrived.notify_one();
        parts
    }

    /// Calls, and waits for the whole answer.
    #[track_caller]
    pub fn call(&self, event: &Value) -> Outcome {
        self.call_raw(event.to_string().as_bytes())
    }

    #[track_caller]
    pub fn call_raw(&self, event: &[u8]) -> Outcome {
        let parts = self.begin(event);
        let mut outcome = Outcome::default();
        loop {
            match parts.recv_timeout(Duration::from_secs(60)).expect("an answer within a minute") {
                Part::Head(kind, headers) => (outcome.kind, outcome.told) = (kind, headers),
                Part::Data(at, bytes) => outcome.chunks.push((at, bytes)),
                Part::End(trailers) => {
                    outcome.trailers = trailers;
                    return outcome.read();
                }
                Part::Cut => panic!("the answer was cut off"),
            }
        }
    }
}

/// All of an answer.
#[derive(Debug, Default)]
pub struct Outcome {
    /// `response` or `error`.
    pub kind: &'static str,
    /// The headers that it was posted with.
    pub told: Headers,
    pub trailers: Headers,
    /// As they came; of a streamed answer without the prelude.
    pub chunks: Vec<(Instant, Vec<u8>)>,
    pub status: u64,
    pub headers: Headers,
    pub cookies: Vec<String>,
    pub body: Vec<u8>,
}

impl Outcome {
    fn read(mut self) -> Self {
        self.body = self.chunks.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        if header(&self.told, "content-type") != Some("application/vnd.awslambda.http-integration-response") {
            return self;
        }
        assert_eq!(header(&self.told, "lambda-runtime-function-response-mode"), Some("streaming"));
        let zeroes = self.body.windows(8).position(|window| window == [0; 8]).expect("eight zeroes behind the prelude");
        let prelude: Value = serde_json::from_slice(&self.body[..zeroes]).expect("a prelude in JSON");
        self.status = prelude["statusCode"].as_u64().expect("a status");
        let headers = prelude["headers"].as_object().expect("headers");
        self.headers = headers.iter().map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_string())).collect();
        let cookies = prelude["cookies"].as_array().expect("cookies");
        self.cookies = cookies.iter().map(|cookie| cookie.as_str().expect("a text").to_string()).collect();
        let mut skip = zeroes + 8;
        for (_, bytes) in &mut self.chunks {
            let cut = skip.min(bytes.len());
            bytes.drain(..cut);
            skip -= cut;
        }
        self.chunks.retain(|(_, bytes)| !bytes.is_empty());
        self.body.drain(..zeroes + 8);
        self
    }

    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Asserts the status and gives the body.
    #[track_caller]
    pub fn expect(self, status: u64) -> Value {
        assert_eq!((self.kind, self.status), ("response", status), "{}", self.text());
        self.json()
    }
}

/// A request as a function URL hands it on.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], cookies: &[&str], body: Option<&[u8]>) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut fields: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
    fields.entry("host").or_insert(json!(DOMAIN));
    fields.entry("x-forwarded-proto").or_insert(json!("https"));
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": fields,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghij",
            "domainName": DOMAIN,
            "domainPrefix": "abcdefghij",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test"},
            "requestId": "e3", "routeKey": "$default", "stage": "$default", "time": "22/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_000_000_000_u64
        },
        "isBase64Encoded": false
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if let Some(body) = body {
        event["body"] = json!(base64(body));
        event["isBase64Encoded"] = json!(true);
    }
    event
}

/// What EventBridge sends when a rule's time has come.
pub fn scheduled() -> Value {
    json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "123456789012", "time": "2026-11-22T10:00:00Z", "region": "eu-central-1",
        "resources": ["arn:aws:events:eu-central-1:123456789012:rule/tend"], "detail": {}
    })
}

/// Enough of RFC 4648 to need no crate for it.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            match place <= group.len() {
                true => text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some((line, headers)) = head(&mut reader) {
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = path.strip_prefix("/2018-06-01/runtime/").expect("the API's version");
        let mut writer = stream;
        let written = match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["invocation", "next"]) => {
                shared.asked.fetch_add(1, Ordering::SeqCst);
                let call = next(shared);
                let millis = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() + 30_000;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {}\r\nLambda-Runtime-Deadline-Ms: {millis}\r\n\
                     Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:gatehouse\r\n\
                     Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    call.id,
                    call.event.len()
                );
                let bytes = [head.as_bytes(), &call.event].concat();
                shared.given.lock().expect("not poisoned").push(call);
                writer.write_all(&bytes)
            }
            ("POST", ["invocation", id, kind @ ("response" | "error")]) => {
                let mut given = shared.given.lock().expect("not poisoned");
                let at = given.iter().position(|call| call.id == *id).expect("a call that was given");
                let sink = given.swap_remove(at).sink;
                drop(given);
                let kind = if *kind == "error" { "error" } else { "response" };
                let _ = sink.send(Part::Head(kind, headers.clone()));
                match body(&mut reader, &headers, |bytes| {
                    let _ = sink.send(Part::Data(Instant::now(), bytes));
                }) {
                    Some(trailers) => {
                        let _ = sink.send(Part::End(trailers));
                        writer.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n")
                    }
                    None => {
                        let _ = sink.send(Part::Cut);
                        return;
                    }
                }
            }
            ("POST", ["init", "error"]) => {
                let mut all = Vec::new();
                body(&mut reader, &headers, |bytes| all.extend(bytes)).expect("whole");
                let kind = header(&headers, "lambda-runtime-function-error-type").unwrap_or_default().to_string();
                let words = serde_json::from_slice(&all).expect("JSON");
                *shared.init_error.lock().expect("not poisoned") = Some((kind, words));
                writer.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            }
            other => panic!("no such call of the Runtime API: {other:?}"),
        };
        if written.is_err() {
            return;
        }
    }
}

fn next(shared: &Shared) -> Call {
    let waiting = shared.waiting.lock().expect("not poisoned");
    let mut waiting = shared.arrived.wait_while(waiting, |calls| calls.is_empty()).expect("not poisoned");
    waiting.pop_front().expect("one is there")
}

fn head(reader: &mut impl std::io::BufRead) -> Option<(String, Headers)> {
    let first = line(reader)?;
    Some((first, fields(reader)?))
}

fn line(reader: &mut impl std::io::BufRead) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(1..) if line.ends_with("\r\n") => Some(line.trim_end().to_string()),
        _ => None,
    }
}

fn fields(reader: &mut impl std::io::BufRead) -> Option<Headers> {
    let mut headers = Headers::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else { return Some(headers) };
        headers.push((name.trim().to_string(), value.trim().to_string()));
    }
}

/// Reads a body and gives its trailers; `None` when it is cut off.
fn body(reader: &mut impl std::io::BufRead, headers: &Headers, mut sink: impl FnMut(Vec<u8>)) -> Option<Headers> {
    let mut take = |reader: &mut dyn std::io::BufRead, length: usize| {
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).ok()?;
        sink(bytes);
        Some(())
    };
    if header(headers, "transfer-encoding") != Some("chunked") {
        let length = header(headers, "content-length").map_or(0, |text| text.parse().expect("a number"));
        take(reader, length)?;
        return Some(Headers::new());
    }
    loop {
        let size = usize::from_str_radix(line(reader)?.split(';').next()?, 16).ok()?;
        if size == 0 {
            return fields(reader);
        }
        take(reader, size)?;
        line(reader)?;
    }
}
