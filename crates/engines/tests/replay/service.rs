//! The replayed services: one HTTPS listener, where the name in `Host` says which row of the table is asked for.
//!
//! Each expects the requests of its row, in order, and answers as the row says. What is wrong with a request it keeps for the
//! test to find: an answer that depends on it would hide it.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    parts::Certificates,
    table::{Answer, Row},
};

/// How large an answer is that no engine takes.
const LARGE: usize = 40 * 1024 * 1024;

/// What came to one row.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How many requests.
    pub requests: usize,
    /// What was wrong with them.
    pub wrong: Vec<String>,
}

/// The listener. Ends when dropped.
pub struct Replay {
    pub port: u16,
    seen: Arc<Vec<Mutex<Seen>>>,
    task: JoinHandle<()>,
}

impl Replay {
    pub async fn start(rows: Arc<Vec<Row>>, certificates: &Certificates) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(certificates.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Vec<Mutex<Seen>>> = Arc::new(rows.iter().map(|_| Mutex::default()).collect());
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, rows, seen) = (acceptor.clone(), rows.clone(), seen.clone());
                served.spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        while serve(&mut stream, &rows, &seen).await.is_some() {}
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
        Self { port, seen: kept, task }
    }

    /// What came to this row.
    pub fn seen(&self, row: usize) -> Seen {
        self.seen[row].lock().unwrap().clone()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request as it came.
struct Request {
    /// `GET /path?query`
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.strip_suffix(" HTTP/1.1")?.to_string();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
        .collect();
    let mut request = Request { line, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

async fn serve(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), rows: &[Row], seen: &[Mutex<Seen>]) -> Option<()> {
    let request = read(stream).await?;
    let number: usize = request.header("host")?.strip_prefix('r')?.split('.').next()?.parse().ok()?;
    let row = rows.get(number)?;
    let answer = {
        let mut seen = seen[number].lock().unwrap();
        let step = row.steps.get(seen.requests);
        seen.requests += 1;
        match step {
            Some(step) => {
                seen.wrong.extend(wrong(row, step.asked, step.body, &request));
                step.answer
            }
            None => {
                seen.wrong.push(format!("one request too many: {}", request.line));
                Answer::Says(500, "")
            }
        }
    };
    let (status, body) = match answer {
        Answer::Says(status, body) => (status, body.as_bytes().to_vec()),
        Answer::Large => (200, vec![b' '; LARGE]),
        Answer::Nothing => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return None;
        }
    };
    let kind = if body.starts_with(b"<") { "text/html" } else { "application/json" };
    let head = format!("HTTP/1.1 {status} Replayed\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&body).await.ok()?;
    stream.flush().await.ok()
}

/// What is wrong with a request.
fn wrong(row: &Row, asked: &str, body: &str, request: &Request) -> Vec<String> {
    let mut wrong = Vec::new();
    if request.line != asked {
        wrong.push(format!("asked: {}\nexpected: {asked}", request.line));
    }
    if let Some((name, value)) = row.key
        && request.header(name) != Some(value)
    {
        wrong.push(format!("{name} is {:?} and not {value:?}", request.header(name)));
    }
    let sent = String::from_utf8_lossy(&request.body);
    if !sent.contains(body) || (body.is_empty() && !sent.is_empty()) {
        wrong.push(format!("sent: {sent}\nexpected: {body}"));
    }
    // What is meant for the proxy stays with the proxy.
    if request.header("proxy-authorization").is_some() {
        wrong.push("the proxy's password arrived at the service".into());
    }
    wrong
}
