//! Requests and answers on their way through.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::bed::{Client, OPEN, Origin, ask, gateway, open};

#[tokio::test]
async fn answers_of_every_kind_come_back_whole_and_the_connection_goes_on() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    for (path, status, body) in [
        ("/x", 200, "hello"),
        ("/chunked", 200, "hello world"),
        ("/until-close", 200, "hello world"),
        ("/old", 200, "hello old"),
        ("/204", 204, ""),
        ("/304", 304, ""),
        ("/close-after", 200, "bye"),
        ("/both", 200, "hello"),
        ("/hints", 103, ""),
    ] {
        let mut answer = client.ask(origin.get(path)).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}: {answer:?}");
        assert!(answer.field("via").is_some_and(|via| via.ends_with("gatehouse")), "{path}: {answer:?}");
        if status == 103 {
            assert_eq!(answer.field("link"), Some("</a>"));
            answer = client.answer().await.expect("the answer itself");
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        }
        assert_eq!(answer.field("connection"), None, "{path}: {answer:?}");
    }
    // HEAD: the length that GET has, and no body.
    client.write(origin.get("/x").replace("GET", "HEAD")).await;
    let answer = client.answer_to("HEAD").await.expect("an answer");
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("5")));
    assert_eq!(client.ask(origin.get("/x")).await.body, "hello", "and the next one is read from its beginning");
}

#[tokio::test]
async fn old_clients_get_what_they_understand() {
    let (gateway, origin) = (open().await, Origin::start().await);
    for (path, body) in [("/chunked", "hello world"), ("/until-close", "hello world"), ("/hints", "ok"), ("/x", "hello")] {
        let mut client = Client::to(&gateway).await;
        let answer = client.ask(format!("GET {} HTTP/1.0\r\n\r\n", origin.url(path))).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}: {answer:?}");
        assert_eq!(answer.field("transfer-encoding"), None, "{path}");
        assert_eq!(client.rest().await, b"", "{path}");
    }
    let mut client = Client::to(&gateway).await;
    for _ in 0..3 {
        let answer = client.ask(format!("GET {} HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n", origin.url("/x"))).await;
        assert_eq!((answer.body.as_str(), answer.field("connection")), ("hello", Some("keep-alive")));
    }
}

#[tokio::test]
async fn what_is_for_one_connection_stays_and_nobody_learns_who_asks() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: Basic eDp5\r\nX-Forwarded-For: 10.0.0.1\r\n\
         Forwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nTE: trailers\r\nX-Kept: yes\r\nUpgrade: h2c\r\n\r\n",
        origin.url("/hop"),
        origin.address
    );
    // A policy that knows nobody asks nobody who it is, and passes on nobody's password.
    let answer = ask(&gateway, &request).await;
    assert_eq!(answer.status, 200);
    assert_eq!((answer.field("x-hop"), answer.field("keep-alive"), answer.field("x-kept")), (None, None, Some("yes")));
    assert_eq!(answer.field("proxy-authenticate"), None);
    assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "a clock is here: {answer:?}");
    let seen = origin.seen().concat().to_lowercase();
    for gone in ["x-mine", "proxy-", "forwarded", "10.0.0.1", "x-real-ip", "te:", "upgrade", "connection"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert!(seen.contains("x-kept: yes") && seen.contains("via: 1.1 gatehouse"), "{seen}");

    let telling = self::gateway(&format!("[forwarded]\nheaders = 'add'\nvia = 'edge-7'\n{OPEN}")).await;
    ask(&telling, request.replace("Proxy-Authorization: Basic eDp5\r\n", "")).await;
    let seen = origin.seen().pop().unwrap().to_lowercase();
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n") && seen.contains("forwarded: for=127.0.0.1\r\n"), "{seen}");
    assert!(!seen.contains("10.0.0.1") && seen.contains("via: 1.1 edge-7"), "{seen}");
}

#[tokio::test]
async fn bodies_go_up_as_they_are() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    for length in [0usize, 1, 8191, 8192, 65536, 3_000_000] {
        let body = "x".repeat(length);
        let head =
            format!("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n", origin.url("/size"), origin.address);
        assert_eq!(client.ask(format!("{head}{body}")).await.body, length.to_string());
        let chunks: String =
            body.as_bytes().chunks(7000).map(|c| format!("{:x}\r\n{}\r\n", c.len(), "x".repeat(c.len()))).collect();
        let head = head.replace(&format!("Content-Length: {length}"), "Transfer-Encoding: chunked");
        assert_eq!(client.ask(format!("{head}{chunks}0\r\n\r\n")).await.body, length.to_string());
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    client
        .write(format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            origin.url("/continue"),
            origin.address
        ))
        .await;
    assert_eq!(client.answer().await.expect("an interim answer").status, 100);
    assert_eq!(client.ask("hello").await.status, 200);
    assert!(origin.seen()[0].to_lowercase().contains("expect: 100-continue"));
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_over_is_passed_on() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    client
        .write(format!("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 100000000\r\n\r\n", origin.url("/early"), origin.address))
        .await;
    client.write("some of it").await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_str(), answer.field("connection")), (413, "no", Some("close")));
}

#[tokio::test]
async fn half_an_answer_never_looks_like_a_whole_one() {
    let (gateway, origin) = (open().await, Origin::start().await);
    for path in ["/short", "/short-chunks"] {
        let mut client = Client::to(&gateway).await;
        client.write(origin.get(path)).await;
        assert!(client.answer().await.is_none(), "{path}: cut off, and not ended");
    }
    for (path, error) in [
        ("/two-lengths", "http_protocol_error"),
        ("/bare-lf", "http_protocol_error"),
        ("/garbage", "http_protocol_error"),
        ("/nothing", "connection_terminated"),
    ] {
        let answer = ask(&gateway, origin.get(path)).await;
        assert_eq!((answer.status, answer.error()), (502, error), "{path}: {answer:?}");
        assert!(answer.body.contains("gateway") && answer.field("content-type").is_some_and(|t| t.starts_with("text/html")));
    }
    // What came behind a message with two lengths is not an answer to anybody.
    let mut client = Client::to(&gateway).await;
    assert_eq!(client.ask(origin.get("/both")).await.body, "hello");
    assert_eq!(client.ask(origin.get("/x")).await.body, "hello");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides_and_one_that_was_closed_is_no_error() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    for _ in 0..20 {
        assert_eq!(client.ask(origin.get("/x")).await.status, 200);
    }
    // Pipelined: one after the other, in their order.
    client.write(format!("{}{}{}", origin.get("/x"), origin.get("/chunked"), origin.get("/204"))).await;
    for status in [200, 200, 204] {
        assert_eq!(client.answer().await.expect("an answer").status, status);
    }
    assert_eq!(origin.connections(), 1);
    for _ in 0..5 {
        assert_eq!(client.ask(origin.get("/close-after")).await.body, "bye");
    }
    assert!(origin.connections() > 1);
}

#[tokio::test]
async fn a_request_that_has_been_here_before_is_a_loop() {
    let gateway = open().await;
    let itself = gateway.addresses()[0];
    // To itself the guard is in the way already.
    let answer = ask(&gateway, format!("GET http://{itself}/ HTTP/1.1\r\nHost: {itself}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.error()), (403, "destination_ip_prohibited"), "{answer:?}");
    let origin = Origin::start().await;
    let with_via = origin.get("/x").replace("\r\n\r\n", "\r\nVia: 1.0 other, 1.1 gatehouse\r\n\r\n");
    let answer = ask(&gateway, with_via).await;
    assert_eq!((answer.status, answer.error()), (508, "proxy_loop_detected"));
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn large_answers_pass_at_the_clients_pace() {
    const LARGE: usize = 200_000_000;
    let (gateway, origin) = (open().await, Origin::start().await);
    let before = resident();
    let mut clients = Vec::new();
    // Three that do not read, and one that does.
    for _ in 0..3 {
        let mut client = Client::to(&gateway).await;
        client.write(origin.get(&format!("/large/{LARGE}"))).await;
        clients.push(client);
    }
    let answer = ask(&gateway, origin.get(&format!("/large/{}", 50_000_000))).await;
    assert_eq!(answer.body.len(), 50_000_000);
    drop(answer);
    // What was read of the one is in this process, too.
    let grown = resident().saturating_sub(before);
    assert!(grown < 300_000, "{grown} KiB for answers that nobody reads");
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_time_limit_holds() {
    let origin = Origin::start().await;
    let quick = gateway(&format!(
        "[timeouts]\nclient_head = '300 ms'\nclient_idle = '300 ms'\nconnect = '300 ms'\nresponse_head = '300 ms'\nidle = '300 ms'\n{OPEN}"
    ))
    .await;
    let begun = Instant::now();
    // Nothing is asked.
    let mut client = Client::to(&quick).await;
    assert_eq!(client.rest().await, b"");
    // Half a head.
    let mut client = Client::to(&quick).await;
    client.write("GET http://a.exa").await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.error()), (408, "http_request_error"));
    // No answer.
    let answer = ask(&quick, origin.get("/silent")).await;
    assert_eq!((answer.status, answer.error()), (504, "http_response_timeout"));
    // Half an answer.
    let mut client = Client::to(&quick).await;
    client.write(origin.get("/stalls")).await;
    assert!(client.answer().await.is_none());
    // Half a request.
    let mut client = Client::to(&quick).await;
    client
        .write(format!("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 50\r\n\r\nhalf", origin.url("/x"), origin.address))
        .await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 504, "{answer:?}");
    // A connection that is not taken.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let _filled: Vec<_> =
        (0..300).map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()).collect();
    let answer = ask(&quick, format!("GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.error()), (504, "connection_timeout"), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn websockets_pass() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    client
        .write(format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
            origin.url("/ws"),
            origin.address
        ))
        .await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.read(5).await, b"first");
    client.write("ping").await;
    assert_eq!(client.read(4).await, b"ping");
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_no_tunnel() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    // Behind it, in one packet, a request that is not the origin's business.
    client.write(format!("{}{}", origin.get("/101"), origin.get("/secret"))).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.error()), (502, "http_protocol_error"), "{answer:?}");
    // It is read, judged and made anew like any other.
    assert_eq!(client.answer().await.expect("an answer").status, 200);
    assert!(origin.seen().iter().any(|raw| raw.starts_with("GET /secret HTTP/1.1") && raw.contains("Via: 1.1 gatehouse")));
    // And one that changes to something else.
    let asks = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        origin.url("/101-other"),
        origin.address
    );
    assert_eq!(ask(&gateway, asks).await.status, 502);
}

#[tokio::test]
async fn half_an_answer_does_not_look_whole_to_an_old_client_either() {
    use tokio::io::AsyncReadExt as _;
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    client.write(format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/short-chunks"))).await;
    let mut bytes = Vec::new();
    let ended = client.stream.read_to_end(&mut bytes).await;
    assert!(ended.is_err(), "a clean end would say that this was all: {}", String::from_utf8_lossy(&bytes));
}

#[tokio::test]
async fn a_connection_that_was_signed_in_is_nobody_elses() {
    let (gateway, origin) = (open().await, Origin::start().await);
    for scheme in ["NTLM TlRMTVNTUAAB", "Negotiate YII"] {
        let before = origin.connections();
        let signed = origin.get("/x").replace("\r\n\r\n", &format!("\r\nAuthorization: {scheme}\r\n\r\n"));
        assert_eq!(ask(&gateway, signed).await.status, 200);
        let between = origin.connections();
        assert_eq!(ask(&gateway, origin.get("/x")).await.status, 200);
        assert!(origin.connections() > between && between >= before, "{scheme}: the next one has a connection of its own");
    }
    let before = origin.connections();
    assert_eq!(ask(&gateway, origin.get("/x")).await.status, 200);
    assert_eq!(origin.connections(), before, "an ordinary one is used again");
}

#[tokio::test]
async fn an_address_in_a_query_is_no_address_to_go_to() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let request = format!("GET /login?next=https://a.example/ HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address);
    assert_eq!(ask(&gateway, request).await.status, 200);
    assert!(origin.seen()[0].starts_with("GET /login?next=https://a.example/ HTTP/1.1\r\n"), "{:?}", origin.seen());
}

#[tokio::test]
async fn a_question_that_may_go_no_further_is_answered_here() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let options =
        |left: &str| format!("OPTIONS http://{0} HTTP/1.1\r\nHost: {0}\r\nMax-Forwards: {left}\r\n\r\n", origin.address);
    let mut client = Client::to(&gateway).await;
    assert_eq!(client.ask(options("0")).await.status, 200);
    assert_eq!(origin.connections(), 0);
    assert_eq!(client.ask(options("3")).await.status, 200);
    assert!(origin.seen()[0].starts_with("OPTIONS * HTTP/1.1\r\n") && origin.seen()[0].contains("Max-Forwards: 2\r\n"));
}

#[tokio::test]
async fn a_target_that_is_not_there_is_said_to_be() {
    let gateway = open().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = ask(&gateway, format!("GET http://{free}/<b> HTTP/1.1\r\nHost: {free}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.error()), (502, "connection_refused"));
    assert!(!answer.body.contains("<b>") && answer.body.contains("127.0.0.1"), "{}", answer.body);
    let answer = ask(&gateway, "GET http://no-such-name.invalid/ HTTP/1.1\r\nHost: no-such-name.invalid\r\n\r\n").await;
    assert!(matches!((answer.status, answer.error()), (502, "dns_error") | (504, "dns_timeout")), "{answer:?}");
}

#[tokio::test]
async fn slow_clients_cost_others_nothing() {
    let gateway = gateway(&format!("[clients]\nmax_connections = 20000\n{OPEN}")).await;
    let origin = Origin::start().await;
    let mut slow = Vec::new();
    for number in 0..1000 {
        let mut client = Client::to(&gateway).await;
        match number % 3 {
            // A head that never ends, a body that never comes, an answer that nobody reads.
            0 => client.write("GET http://a.example/ HTTP/1.1\r\nHost: a.exam").await,
            1 => {
                let head =
                    format!("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 99\r\n\r\n", origin.url("/size"), origin.address);
                client.write(head).await;
            }
            _ => client.write(origin.get("/large/10000000")).await,
        }
        slow.push(client);
    }
    let mut good = Client::to(&gateway).await;
    for _ in 0..200 {
        assert_eq!(good.ask(origin.get("/x")).await.body, "hello");
    }
    drop(slow);
}
