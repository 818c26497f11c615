//! A gateway, an origin, and a client.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use gatehouse_gateway::{Gateway, policy::Policy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// How long anything is waited for.
pub const SOON: Duration = Duration::from_secs(10);

/// The rest of a policy that opens loopback and every port, and allows all.
pub const OPEN: &str = "
    [network]
    open = ['127.0.0.0/8', '::1']
    connect_ports = ['1-65535']
    http_ports = ['1-65535']
    [[rule]]
    name = 'all'
    action = 'allow'
";

/// A gateway with this policy.
pub async fn gateway(policy: &str) -> Gateway {
    let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n{policy}");
    let policy = Policy::parse(&text, std::path::Path::new(".")).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    Gateway::start(policy, None).await.unwrap()
}

/// A gateway that lets everything through.
pub async fn open() -> Gateway {
    gateway(OPEN).await
}

/// An origin. What it gets is kept; what it answers depends on the path.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        tokio::spawn({
            let (seen, connections) = (seen.clone(), connections.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    *connections.lock().unwrap() += 1;
                    tokio::spawn(serve(stream, seen.clone()));
                }
            }
        });
        Self { address, seen, connections }
    }

    /// The heads and bodies of all requests, each as it came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets all but the first ones.
    pub fn truncate(&self, keep: usize) {
        self.seen.lock().unwrap().truncate(keep);
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The head of a GET through a proxy.
    pub fn get(&self, path: &str) -> String {
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.url(path), self.address)
    }
}

/// Reads a head; `None` at the end.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = buffer.drain(..end + 4).collect::<Vec<u8>>();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            if !buffer.is_empty() {
                return Some(format!("CUT {}", String::from_utf8_lossy(buffer)));
            }
            return None;
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (this, value) = line.split_once(':')?;
        this.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Reads a body in the way that the head says, without the chunks.
async fn body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &str) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let mut need = async |buffer: &mut Vec<u8>, count: usize| {
        while buffer.len() < count {
            if stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        }
        Some(buffer.drain(..count).collect::<Vec<u8>>())
    };
    if let Some(length) = field(head, "content-length") {
        return need(buffer, length.parse().unwrap()).await;
    }
    if field(head, "transfer-encoding").is_none() {
        return Some(content);
    }
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(need(buffer, 1).await?);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        content.extend(need(buffer, size).await?);
        assert_eq!(need(buffer, 2).await?, b"\r\n");
        if size == 0 {
            return Some(content);
        }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    while let Some(head) = head(&mut stream, &mut buffer).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_string();
        let is_head = head.starts_with("HEAD ");
        if path == "/early" {
            // Answers before it has the body, and does not want it.
            seen.lock().unwrap().push(head);
            let _ = stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
            return;
        }
        if path == "/continue" {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        }
        let Some(content) = body(&mut stream, &mut buffer, &head).await else {
            seen.lock().unwrap().push(format!("{head}CUT"));
            return;
        };
        let raw = format!("{head}{}", String::from_utf8_lossy(&content));
        seen.lock().unwrap().push(raw.clone());
        let with_length = |status: &str, text: &str| {
            let body = if is_head { "" } else { text };
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", text.len())
        };
        let (answer, closes): (Vec<u8>, bool) = match path.as_str() {
            "/chunked" => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n".into(), false),
            "/until-close" => (b"HTTP/1.1 200 OK\r\n\r\nhello world".into(), true),
            "/old" => (b"HTTP/1.0 200 OK\r\n\r\nhello old".into(), true),
            "/101" => (b"HTTP/1.1 101 x\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n".into(), false),
            "/101-other" => (b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n".into(), false),
            "/204" => (b"HTTP/1.1 204 No Content\r\n\r\n".into(), false),
            "/304" => (b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n".into(), false),
            "/hints" => (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into(), false),
            "/short" => (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".into(), true),
            "/short-chunks" => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n wo".into(), true),
            "/both" => (
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 Smuggled\r\n\r\n".into(),
                false,
            ),
            "/two-lengths" => (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello".into(), false),
            "/bare-lf" => (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".into(), false),
            "/garbage" => (b"SSH-2.0-OpenSSH_9.2\r\n".into(), true),
            "/nothing" => (Vec::new(), true),
            "/silent" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
            "/stalls" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegins").await;
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
            "/close-after" => (with_length("200 OK", "bye").into(), true),
            "/hop" => (
                b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Kept: yes\r\n\
                  Content-Length: 2\r\n\r\nok"
                    .into(),
                false,
            ),
            "/ws" => {
                assert!(field(&head, "upgrade").is_some(), "{head}");
                stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst").await.unwrap();
                let mut bytes = [0; 1024];
                while let Ok(count) = stream.read(&mut bytes).await {
                    if count == 0 || stream.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
                return;
            }
            // The first of it at once, the rest a second later.
            "/drips" => {
                let fields = said(&head);
                let begin = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 10000\r\n\r\n{}", "a".repeat(5000));
                stream.write_all(begin.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                ("b".repeat(5000).into(), false)
            }
            // Text that only this address has: of 20 to 60,000 bytes.
            path if path.starts_with("/made/") => {
                let text = made(path);
                let fields = said(&head);
                (format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len()).into(), false)
            }
            // So many bytes, of a length that is not said.
            path if path.starts_with("/endless/") => {
                let left: usize = path["/endless/".len()..].parse().unwrap();
                let head = format!("HTTP/1.1 200 OK\r\n{}Transfer-Encoding: chunked\r\n\r\n", said(&head));
                stream.write_all(head.as_bytes()).await.unwrap();
                let block = format!("2710\r\n{}\r\n", "x".repeat(10_000));
                for _ in 0..left / 10_000 {
                    if stream.write_all(block.as_bytes()).await.is_err() {
                        return;
                    }
                }
                (b"0\r\n\r\n".into(), false)
            }
            path if path.starts_with("/large/") => {
                let mut left: usize = path["/large/".len()..].parse().unwrap();
                let head = format!("HTTP/1.1 200 OK\r\n{}Content-Length: {left}\r\n\r\n", said(&head));
                stream.write_all(head.as_bytes()).await.unwrap();
                let block = vec![b'x'; 64 * 1024];
                while left > 0 {
                    let piece = left.min(block.len());
                    if stream.write_all(&block[..piece]).await.is_err() {
                        return;
                    }
                    left -= piece;
                }
                continue;
            }
            // Text with the fields that the request asks for.
            "/text" | "/text-in-chunks" => {
                let fields = said(&head);
                let text = text();
                let answer = if path == "/text" {
                    let body = if is_head { "" } else { &text };
                    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", text.len())
                } else {
                    let chunks: String = text.as_bytes().chunks(1000).map(|chunk| {
                        format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk))
                    }).collect();
                    format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
                };
                (answer.into(), false)
            }
            "/size" => (with_length("200 OK", &content.len().to_string()).into(), false),
            _ => (with_length("200 OK", "hello").into(), false),
        };
        if stream.write_all(&answer).await.is_err() || closes {
            return;
        }
    }
}

/// The fields that a request asks for, one in each `X-Say`.
fn said(head: &str) -> String {
    head.lines().filter_map(|line| line.strip_prefix("X-Say: ")).map(|line| format!("{line}\r\n")).collect()
}

/// What a path that begins with `/made/` answers.
pub fn made(path: &str) -> String {
    let number: usize = path["/made/".len()..].parse().unwrap();
    path.repeat(2 + number * 7919 % 4000)
}

/// What `/text` answers.
pub fn text() -> String {
    (0..500).map(|number| format!("{number} green bottles hanging on the wall. ")).collect()
}

/// A client that writes raw bytes.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The cause, as `Proxy-Status` has it.
    pub fn error(&self) -> &str {
        let status = self.field("proxy-status").unwrap_or_default();
        status.split("error=").nth(1).unwrap_or_default().split(';').next().unwrap_or_default()
    }
}

impl Client {
    pub async fn to(gateway: &Gateway) -> Self {
        Self::at(gateway.addresses()[0]).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway that has refused may have closed already.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// The next answer; `None` when the connection ends without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    pub async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let read = async {
            let head = head(&mut self.stream, &mut self.buffer).await?;
            let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
            let has_body =
                method != "HEAD" && !(100..200).contains(&status) && status != 204 && status != 304 && method != "CONNECT";
            let body = if !has_body {
                Vec::new()
            } else if field(&head, "content-length").is_some() || field(&head, "transfer-encoding").is_some() {
                body(&mut self.stream, &mut self.buffer, &head).await?
            } else {
                self.stream.read_to_end(&mut self.buffer).await.ok()?;
                std::mem::take(&mut self.buffer)
            };
            Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
        };
        timeout(SOON, read).await.expect("an answer in time")
    }

    /// Asks and takes the answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.write(request).await;
        self.answer().await.expect("an answer")
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        let _ = timeout(SOON, self.stream.read_to_end(&mut rest)).await.expect("the end in time");
        rest
    }

    /// So many bytes.
    pub async fn read(&mut self, count: usize) -> Vec<u8> {
        let fill = async {
            while self.buffer.len() < count {
                if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                    break;
                }
            }
        };
        timeout(SOON, fill).await.expect("bytes in time");
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }
}

/// Asks once over a connection of its own.
pub async fn ask(gateway: &Gateway, request: impl AsRef<[u8]>) -> Answer {
    Client::to(gateway).await.ask(request).await
}
