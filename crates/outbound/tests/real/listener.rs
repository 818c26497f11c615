//! Hand-made servers, for what no decent program does.

use std::{
    future::Future,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server that does with each connection what it was told. Ends when dropped.
pub struct Listener {
    pub port: u16,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Listener {
    pub async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                served.spawn(serve(stream));
            }
        });
        Self { port, accepted, task }
    }

    /// Waits for a request head (or any bytes that end with an empty line), says this, and closes.
    pub async fn answers(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::start(move |mut stream| {
            let text = text.clone();
            async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(&text).await;
                linger(stream).await;
            }
        })
        .await
    }

    /// Answers one request head after the other on each connection; `Some` is what it says, `None` closes.
    pub async fn keeps_alive(answer: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> Self {
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                loop {
                    let head = read_head(&mut stream).await;
                    let Some(text) = Some(head).filter(|head| !head.is_empty()).and_then(|head| answer(&head)) else { break };
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        })
        .await
    }

    /// Says this to the first bytes that come, whatever they are, and closes.
    pub async fn blurts(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::start(move |mut stream| {
            let text = text.clone();
            async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(&text).await;
                linger(stream).await;
            }
        })
        .await
    }

    /// How many connections came.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads up to an empty line, and answers what was read.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Closes the sending side and waits for the other to close, so that what was sent is not lost in a reset.
pub async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// An answer with this status and body.
pub fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The `Proxy-Authorization` of a request head.
pub fn authorization(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: ")).unwrap_or_default().to_string()
}
