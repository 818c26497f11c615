//! CONNECT, and what passes through it.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::bed::{Client, OPEN, Origin, SOON, ask, gateway, open};

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn connect(address: &str) -> String {
    format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n")
}

#[tokio::test]
async fn bytes_pass_both_ways_also_those_that_came_early() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    // Right behind the request, in one packet.
    client.write(format!("{}GET /x HTTP/1.1\r\nHost: a\r\n\r\n", connect(&origin.address.to_string()))).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    assert_eq!(client.answer().await.expect("the target's").body, "hello");
    assert!(origin.seen()[0].starts_with("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), "as it was sent: {:?}", origin.seen());
}

#[tokio::test]
async fn the_target_is_reached_before_the_client_hears_that_it_is() {
    let gateway = open().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = ask(&gateway, connect(&free.to_string())).await;
    assert_eq!((answer.status, answer.error()), (502, "connection_refused"), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let gateway = open().await;
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 hello\r\n").await.unwrap();
        let mut bytes = [0; 6];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    });
    let mut client = Client::to(&gateway).await;
    client.write(connect(&address)).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    assert_eq!(client.read(11).await, b"220 hello\r\n");
    client.write("EHLO\r\n").await;
    assert_eq!(&server.await.unwrap(), b"EHLO\r\n");
}

#[tokio::test]
async fn each_side_ends_by_itself() {
    let gateway = open().await;
    for client_first in [true, false] {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            if client_first {
                stream.read_to_end(&mut got).await.unwrap();
                stream.write_all(&vec![b'b'; 300_000]).await.unwrap();
            } else {
                stream.write_all(&vec![b'b'; 300_000]).await.unwrap();
                stream.shutdown().await.unwrap();
                stream.read_to_end(&mut got).await.unwrap();
            }
            got
        });
        let mut client = Client::to(&gateway).await;
        client.write(connect(&address)).await;
        assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
        if client_first {
            client.write(vec![b'a'; 300_000]).await;
            client.stream.shutdown().await.unwrap();
            assert_eq!(client.rest().await.len(), 300_000);
        } else {
            assert_eq!(client.rest().await.len(), 300_000);
            client.write(vec![b'a'; 300_000]).await;
            client.stream.shutdown().await.unwrap();
        }
        assert_eq!(timeout(SOON, server).await.unwrap().unwrap().len(), 300_000);
    }
}

#[tokio::test]
async fn many_tunnels_half_closed_lose_no_byte() {
    // GATEWAY_TUNNELS=10000 with `ulimit -n 65536`: four descriptors each.
    let count: usize = std::env::var("GATEWAY_TUNNELS").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    const BYTES: usize = 20_000;
    let gateway = gateway(&format!("[clients]\nmax_connections = 20000\n{OPEN}")).await;
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                got.iter_mut().for_each(|byte| *byte ^= 0xff);
                stream.write_all(&got).await.unwrap();
            });
        }
    });
    let tasks = (0..count).map(|number| {
        let (gateway, address) = (gateway.addresses()[0], address.clone());
        tokio::spawn(async move {
            let mut client = Client::at(gateway).await;
            client.write(connect(&address)).await;
            assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
            let sent: Vec<u8> = (0..BYTES).map(|at| (at * 31 + number) as u8).collect();
            client.write(&sent).await;
            client.stream.shutdown().await.unwrap();
            let got = client.rest().await;
            assert!(got.len() == BYTES && got.iter().zip(&sent).all(|(a, b)| *a == !*b), "{number}: {} bytes", got.len());
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_up_the_writer_and_not_the_memory() {
    let gateway = open().await;
    let (listener, address) = listener().await;
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = written.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let block = vec![b'x'; 64 * 1024];
        while stream.write_all(&block).await.is_ok() {
            count.fetch_add(block.len(), std::sync::atomic::Ordering::SeqCst);
        }
    });
    let mut client = Client::to(&gateway).await;
    client.write(connect(&address)).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = written.load(std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(written.load(std::sync::atomic::Ordering::SeqCst), held, "the kernel's buffers are full, and nothing else is");
    // A client that goes away ends the other side too.
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(written.load(std::sync::atomic::Ordering::SeqCst) < held + 8_000_000);
}

#[tokio::test]
async fn a_tunnel_that_is_quiet_too_long_is_closed() {
    let quick = gateway(&format!("[timeouts]\ntunnel_idle = '1500 ms'\n{OPEN}")).await;
    let (listener, address) = listener().await;
    let mut client = Client::to(&quick).await;
    client.write(connect(&address)).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
    // As long as something passes it stays.
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        stream.write_all(b"x").await.unwrap();
    }
    assert_eq!(client.read(6).await, b"xxxxxx");
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_tunnel_needs_a_port_that_is_open_for_tunnels() {
    let strict =
        gateway("[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n[[rule]]\nname = 'all'\naction = 'allow'\n").await;
    let origin = Origin::start().await;
    let answer = ask(&strict, connect(&origin.address.to_string())).await;
    assert_eq!((answer.status, answer.error()), (403, "http_request_denied"), "{answer:?}");
    assert_eq!(ask(&strict, origin.get("/x")).await.status, 200);
    assert_eq!(origin.connections(), 1);
}
