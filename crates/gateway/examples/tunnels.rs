//! Many tunnels at once, each closed from one side only, and whether every byte arrives then:
//! `cargo run --release -p gatehouse-gateway --example tunnels -- [TUNNELS] [BYTES]` (build the example `gateway` first).
//!
//! Three processes, because descriptors are counted a process: the gateway needs two a tunnel, its client and its origin one each. In
//! half of the tunnels the client ends first, in the others the origin. No side says the rest before *all* tunnels are half closed.

use std::{
    env, io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
    sync::{Barrier, Semaphore},
    task::JoinSet,
};

mod common;

use common::{Gateway, OPEN, Process};

/// How many connections are being set up at a time.
const SETTING_UP: usize = 256;
/// How long a part may take.
const LONG: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(Some(default), |text| text.parse().ok());
    let outcome = match arguments.first().map(String::as_str) {
        Some("origin") => run(async || origin(number(1, 0), number(2, 0)).await),
        Some("client") => run(async || {
            let address = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidInput);
            client(address(3)?, address(4)?, number(1, 0), number(2, 0)).await
        }),
        _ => whole(number(0, 9_900), number(1, 50_000)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(part: impl AsyncFnOnce() -> io::Result<bool>) -> io::Result<bool> {
    Runtime::new()?.block_on(part())
}

/// Starts the others, and says what came of it.
fn whole(tunnels: Option<usize>, bytes: Option<usize>) -> io::Result<bool> {
    let (Some(tunnels), Some(bytes)) = (tunnels, bytes) else { return Err(io::Error::other("tunnels [TUNNELS] [BYTES]")) };
    let gateway = Gateway::start(OPEN)?;
    let (count, size) = (tunnels.to_string(), bytes.to_string());
    let mut origin = Process::part(&["origin", &count, &size])?;
    let at = origin.address()?;
    println!("{tunnels} tunnels, {bytes} bytes each way; the gateway's memory at first: {} KiB", gateway.memory("VmRSS"));
    let begun = Instant::now();
    let mut client = Process::part(&["client", &count, &size, &gateway.address.to_string(), &at.to_string()])?;
    for what in ["all open", "all half closed"] {
        let count = client.line()?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{seconds:>7.2} s  {what}: {count} of {tunnels}, {} KiB", gateway.memory("VmRSS"));
    }
    let at_client: usize = client.line()?.parse().map_err(io::Error::other)?;
    let at_origin: usize = origin.line()?.parse().map_err(io::Error::other)?;
    println!("{:>7.2} s  byte-exact at the client: {at_client}, at the origin: {at_origin}", begun.elapsed().as_secs_f64());
    println!("the gateway's memory at most: {} KiB, now: {} KiB", gateway.memory("VmHWM"), gateway.memory("VmRSS"));
    Ok(at_client == tunnels && at_origin == tunnels)
}

/// What is said in a tunnel, one way: nothing that repeats itself, and nothing that another tunnel says.
fn said(number: u64, way: u64, bytes: usize) -> Vec<u8> {
    let mut state = (number * 2 + way + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut said = Vec::with_capacity(bytes + 8);
    while said.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        said.extend_from_slice(&state.to_le_bytes());
    }
    said.truncate(bytes);
    said
}

/// Reads to the end, and says whether it was just this.
async fn is_just(stream: &mut TcpStream, expected: &[u8]) -> bool {
    let mut got = Vec::with_capacity(expected.len() + 1);
    stream.read_to_end(&mut got).await.is_ok() && got == expected
}

async fn origin(tunnels: Option<usize>, bytes: Option<usize>) -> io::Result<bool> {
    let (tunnels, bytes) = (tunnels.unwrap_or_default(), bytes.unwrap_or_default());
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener: TcpListener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?);
    let exact = Arc::new(AtomicUsize::new(0));
    let half_closed = Arc::new(Barrier::new(tunnels.div_ceil(2)));
    let mut all = JoinSet::new();
    for _ in 0..tunnels {
        let Ok(Ok((mut stream, _))) = tokio::time::timeout(LONG, listener.accept()).await else { break };
        let (exact, half_closed) = (exact.clone(), half_closed.clone());
        all.spawn(async move {
            let Ok(number) = stream.read_u64().await else { return };
            let (there, back) = (said(number, 0, bytes), said(number, 1, bytes));
            let is_right = if number.is_multiple_of(2) {
                let is_right = is_just(&mut stream, &there).await;
                half_closed.wait().await;
                is_right && stream.write_all(&back).await.is_ok() && stream.shutdown().await.is_ok()
            } else {
                let told = stream.read_u8().await.is_ok();
                let said = stream.write_all(&back).await.is_ok() && stream.shutdown().await.is_ok();
                is_just(&mut stream, &there).await && told && said
            };
            exact.fetch_add(usize::from(is_right), Ordering::SeqCst);
        });
    }
    let _ = tokio::time::timeout(LONG, all.join_all()).await;
    println!("{}", exact.load(Ordering::SeqCst));
    Ok(true)
}

/// Opens a tunnel.
async fn open(gateway: SocketAddr, origin: SocketAddr, number: u64) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.write_all(format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    // The target says nothing yet: what comes is the answer alone.
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    stream.write_u64(number).await?;
    Ok(stream)
}

async fn client(gateway: SocketAddr, origin: SocketAddr, tunnels: Option<usize>, bytes: Option<usize>) -> io::Result<bool> {
    let (tunnels, bytes) = (tunnels.unwrap_or_default() as u64, bytes.unwrap_or_default());
    let places = Arc::new(Semaphore::new(SETTING_UP));
    let mut opening = JoinSet::new();
    for number in 0..tunnels {
        let places = places.clone();
        opening.spawn(async move {
            let _place = places.acquire_owned().await;
            open(gateway, origin, number).await.map(|stream| (number, stream))
        });
    }
    let mut streams = Vec::new();
    for opened in opening.join_all().await {
        match opened {
            Ok(stream) => streams.push(stream),
            Err(error) => eprintln!("{error}"),
        }
    }
    println!("{}", streams.len());
    let odd = streams.iter().filter(|(number, _)| number % 2 == 1).count();
    // One more: the one that says so.
    let half_closed = Arc::new(Barrier::new(odd + 1));
    let sent = Arc::new(Barrier::new(streams.len() - odd + 1));
    let mut all = JoinSet::new();
    for (number, mut stream) in streams {
        let (half_closed, sent) = (half_closed.clone(), sent.clone());
        all.spawn(async move {
            let (there, back) = (said(number, 0, bytes), said(number, 1, bytes));
            if number.is_multiple_of(2) {
                let said = stream.write_all(&there).await.is_ok() && stream.shutdown().await.is_ok();
                sent.wait().await;
                is_just(&mut stream, &back).await && said
            } else {
                let told = stream.write_u8(1).await.is_ok();
                let is_right = is_just(&mut stream, &back).await;
                half_closed.wait().await;
                let said = stream.write_all(&there).await.is_ok() && stream.shutdown().await.is_ok();
                is_right && told && said
            }
        });
    }
    let both = async { (half_closed.wait().await, sent.wait().await) };
    let is_in_time = tokio::time::timeout(LONG, both).await.is_ok();
    println!("{}", if is_in_time { tunnels } else { 0 });
    let done = tokio::time::timeout(LONG, all.join_all()).await.unwrap_or_default();
    println!("{}", done.iter().filter(|is_right| **is_right).count());
    Ok(true)
}
