//! What a good client notices of 2,000 slow ones:
//! `cargo run --release -p gatehouse-gateway --example slow -- [SLOW] [REQUESTS]` (build the example `gateway` first).
//!
//! A third of the slow ones sends the head of a request byte by byte, a third its body, a third reads a large answer a little at a
//! time, every other of them from the cache. Whoever is cut off for it comes again. The good client asks at a fixed gentle rate, over a
//! connection that it keeps, every fourth time over a new one; what it waits counts from when a request was due. Before, with, and
//! after the slow ones, in one run. On a machine that does other things too, `chrt -r 1` before it keeps these out of what is measured.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
};

mod common;

use common::{Gateway, OPEN, Process};

/// Between two requests of the good client.
const PACE: Duration = Duration::from_millis(5);
/// Between two bytes of a slow one.
const DRIP: Duration = Duration::from_secs(1);
/// How large the answer is that is read slowly; small enough to be kept.
const LARGE: usize = 4 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let address = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidInput.into());
    let outcome = match arguments.first().map(String::as_str) {
        Some("origin") => Runtime::new().and_then(|runtime| runtime.block_on(origin())),
        Some("slow") => address(2).and_then(|gateway| {
            let origin = address(3)?;
            Runtime::new()?.block_on(slow(number(1, 0), gateway, origin, Duration::from_secs(number(4, 15) as u64)))
        }),
        _ => whole(number(0, 2_000), number(1, 3_000)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn whole(slow: usize, requests: usize) -> io::Result<()> {
    let gateway = Gateway::start(&format!("[cache]\nenabled = true\n{OPEN}"))?;
    let mut origin = Process::part(&["origin"])?;
    let at = origin.address()?;
    // Until everything is in memory that will be.
    good(gateway.address, at, 200)?;
    let without = good(gateway.address, at, requests)?;
    println!("without:     {without}   memory {} KiB", gateway.memory("VmRSS"));
    let seconds = (requests as u128 * PACE.as_millis() / 1000).to_string();
    let mut crowd = Process::part(&["slow", &slow.to_string(), &gateway.address.to_string(), &at.to_string(), &seconds])?;
    crowd.line()?;
    let with = good(gateway.address, at, requests)?;
    println!("with {slow:>5}:  {with}   memory {} KiB", gateway.memory("VmRSS"));
    println!("             {}", crowd.line()?);
    drop(crowd);
    std::thread::sleep(Duration::from_secs(2));
    println!("after:       {}   memory {} KiB", good(gateway.address, at, requests)?, gateway.memory("VmRSS"));
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    let (p50, p90, p99) = (ratio(with.p50, without.p50), ratio(with.p90, without.p90), ratio(with.p99, without.p99));
    println!("ratio:       p50 {p50:.2}   p90 {p90:.2}   p99 {p99:.2}");
    Ok(())
}

struct Waited {
    p50: Duration,
    p90: Duration,
    p99: Duration,
    most: Duration,
}

impl std::fmt::Display for Waited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let Self { p50, p90, p99, most } = *self;
        write!(f, "p50 {:.3}   p90 {:.3}   p99 {:.3}   most {:.3} ms", ms(p50), ms(p90), ms(p99), ms(most))
    }
}

/// Asks at its pace, in a thread of its own without a runtime: nothing but the gateway is to be waited for.
fn good(gateway: SocketAddr, origin: SocketAddr, requests: usize) -> io::Result<Waited> {
    let connect = || {
        let stream = std::net::TcpStream::connect(gateway)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        io::Result::Ok(stream)
    };
    let request = format!("GET http://{origin}/small HTTP/1.1\r\nHost: {origin}\r\n\r\n");
    let ask = |stream: &mut std::net::TcpStream| {
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut got) = ([0; 4096], 0);
        loop {
            let count = stream.read(&mut answer[got..])?;
            got += count;
            if count == 0 || !answer.starts_with(&b"HTTP/1.1 200"[..got.min(12)]) {
                return Err(io::Error::other(String::from_utf8_lossy(&answer[..got]).into_owned()));
            }
            if answer[..got].ends_with(b"the end") {
                return Ok(());
            }
        }
    };
    let mut kept = connect()?;
    let mut waited = Vec::with_capacity(requests);
    let begun = Instant::now();
    for at in 0..requests {
        let due = begun + PACE * u32::try_from(at).unwrap_or(u32::MAX);
        // One that is late because the one before was waited for has waited from when it was due; what the system's timer is late
        // is not the gateway's.
        let now = Instant::now();
        let from = if now > due {
            due
        } else {
            std::thread::sleep(due - now);
            Instant::now()
        };
        if at % 4 == 3 {
            ask(&mut connect()?)?
        } else {
            ask(&mut kept)?
        }
        waited.push(from.elapsed());
    }
    waited.sort_unstable();
    let of =
        |part: usize| waited.get((waited.len() * part / 100).min(waited.len().saturating_sub(1))).copied().unwrap_or_default();
    Ok(Waited { p50: of(50), p90: of(90), p99: of(99), most: of(100) })
}

async fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(4096)
}

async fn origin() -> io::Result<()> {
    let listener = listen().await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move { serve(stream).await });
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let small = format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1007\r\n\r\n{}the end", "x".repeat(1000));
    let large = vec![b'x'; LARGE];
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        if head.starts_with("POST") {
            // Nobody waits for the answer: the body does not end.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            return Ok(());
        }
        if head.contains("/small") {
            stream.write_all(small.as_bytes()).await?;
        } else {
            let may = if head.contains("/kept") { "max-age=3600" } else { "no-store" };
            let head = format!("HTTP/1.1 200 OK\r\nCache-Control: {may}\r\nContent-Length: {LARGE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&large).await?;
        }
    }
}

async fn slow(count: usize, gateway: SocketAddr, origin: SocketAddr, stay: Duration) -> io::Result<()> {
    let (come, cut) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for number in 0..count {
        let (come, cut) = (come.clone(), cut.clone());
        tokio::spawn(async move {
            // Not all in the same moment.
            tokio::time::sleep(DRIP * u32::try_from(number).unwrap_or_default() / u32::try_from(count.max(1)).unwrap_or(1)).await;
            loop {
                come.fetch_add(1, Ordering::SeqCst);
                let _ = one(number, gateway, origin).await;
                cut.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(DRIP).await;
            }
        });
    }
    tokio::time::sleep(DRIP * 3).await;
    println!("all there");
    tokio::time::sleep(stay).await;
    println!("{} slow connections came, {} of them were cut off", come.load(Ordering::SeqCst), cut.load(Ordering::SeqCst));
    // Whoever started this one ends it.
    std::future::pending().await
}

/// One that is slow in one of the three ways, until it is cut off.
async fn one(number: usize, gateway: SocketAddr, origin: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if number % 3 == 2 {
        // Else the system would take all of the answer in its place.
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(gateway).await?;
    stream.set_nodelay(true)?;
    match number % 3 {
        0 => {
            let head = format!("GET http://{origin}/small HTTP/1.1\r\nHost: {origin}\r\nX-Slow: {}\r\n\r\n", "x".repeat(10_000));
            for byte in head.bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(DRIP).await;
                let mut answer = [0; 1024];
                if stream.try_read(&mut answer).is_ok() {
                    return Ok(());
                }
            }
        }
        1 => {
            let head = format!("POST http://{origin}/slow HTTP/1.1\r\nHost: {origin}\r\nContent-Length: 1000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b"0123456789").await?;
                tokio::time::sleep(DRIP).await;
            }
        }
        _ => {
            let path = if number.is_multiple_of(2) { "kept" } else { "large" };
            stream.write_all(format!("GET http://{origin}/{path} HTTP/1.1\r\nHost: {origin}\r\n\r\n").as_bytes()).await?;
            let mut some = [0; 512];
            while stream.read(&mut some).await? > 0 {
                tokio::time::sleep(DRIP).await;
            }
        }
    }
    Ok(())
}
