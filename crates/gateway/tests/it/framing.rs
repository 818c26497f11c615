//! Messages that two programs could read in two ways: refused, or made anew. One request in means at most one out.

use crate::{
    bed::{Client, Origin, open},
    payloads::{BAD_CHUNKS, BAD_FIRST, BAD_LINES, RIGHT},
};

/// What follows each message: were its end found too early, the origin would see it.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n";

fn fill(text: &str, origin: &Origin) -> String {
    text.replace("{url}", &origin.url("/asked")).replace("{host}", &origin.address.to_string())
}

/// What the origin got is one request that nobody reads in two ways.
fn is_clean(raw: &str) {
    let head = &raw[..raw.find("\r\n\r\n").expect("a head")];
    let count = |name: &str| {
        head.lines().filter(|line| line.split(':').next().is_some_and(|n| n.trim().eq_ignore_ascii_case(name))).count()
    };
    assert_eq!(count("host"), 1, "{raw}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{raw}");
    assert_eq!(count("connection") + count("keep-alive") + count("proxy-connection"), 0, "{raw}");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{raw:?}");
    assert!(head.lines().next().is_some_and(|line| line.ends_with(" HTTP/1.1") && line.split(' ').count() == 3), "{raw}");
}

#[tokio::test]
async fn there_are_enough() {
    let count = BAD_LINES.len() * 3 + BAD_FIRST.len() + BAD_CHUNKS.len() + RIGHT.len();
    assert!(count >= 200, "{count}");
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_nothing_reaches_the_origin() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let mut payloads = Vec::new();
    for line in BAD_LINES {
        let (url, host) = (origin.url("/asked"), origin.address);
        for (first, host_line) in [
            (format!("POST {url} HTTP/1.1"), format!("Host: {host}")),
            ("POST /asked HTTP/1.1".to_string(), format!("Host: {host}")),
        ] {
            payloads.push(format!("{first}\r\n{host_line}\r\n{line}\r\n\r\n{SMUGGLED}"));
        }
        // Before the others, where some parsers look first.
        payloads.push(format!("POST {url} HTTP/1.1\r\n{line}\r\nHost: {host}\r\n\r\n{SMUGGLED}"));
    }
    for first in BAD_FIRST {
        payloads.push(format!("{}\r\nHost: {}\r\n\r\n{SMUGGLED}", fill(first, &origin), origin.address));
    }
    for payload in payloads {
        let mut client = Client::to(&gateway).await;
        client.write(&payload).await;
        let answer = client.answer().await.unwrap_or_else(|| panic!("no answer to {payload:?}"));
        assert!((400..=505).contains(&answer.status), "{payload:?}: {answer:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{payload:?}");
        assert!(!answer.error().is_empty() && answer.field("via").is_some(), "{payload:?}: {answer:?}");
        // Nothing that comes behind it counts: the end of such a message is not known.
        assert_eq!(client.rest().await, b"", "{payload:?}");
    }
    assert_eq!(origin.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn chunks_that_could_be_read_in_two_ways_end_the_request_in_the_middle() {
    let (gateway, origin) = (open().await, Origin::start().await);
    for chunks in BAD_CHUNKS {
        let mut client = Client::to(&gateway).await;
        let head =
            format!("POST {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", origin.url("/asked"), origin.address);
        client.write(format!("{head}{chunks}{SMUGGLED}")).await;
        if let Some(answer) = client.answer().await {
            assert!(answer.status >= 400, "{chunks:?}: {answer:?}");
        }
        client.rest().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for seen in origin.seen() {
        assert!(seen.ends_with("CUT") || seen.starts_with("CUT"), "the origin must see that it is not whole: {seen:?}");
        assert!(!seen.contains("smuggled"), "{seen:?}");
    }
}

#[tokio::test]
async fn what_is_right_arrives_once_and_clean() {
    let (gateway, origin) = (open().await, Origin::start().await);
    for (at, request) in RIGHT.iter().enumerate() {
        let mut client = Client::to(&gateway).await;
        let answer = client.ask(fill(request, &origin)).await;
        assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
        let seen = origin.seen();
        assert_eq!(seen.len(), at + 1, "{request:?}");
        is_clean(&seen[at]);
        if request.contains("hello") {
            assert!(seen[at].ends_with("\r\n\r\nhello"), "{:?}", seen[at]);
        }
        // The connection goes on where the message ended.
        if !request.contains("close") && !request.contains("HTTP/1.0") {
            assert_eq!(client.ask(origin.get("/next")).await.status, 200, "{request:?}");
        } else {
            assert_eq!(client.rest().await, b"", "{request:?}");
            ask_once(&gateway, &origin).await;
        }
        // Both kinds count one more.
        origin_forget(&origin, at + 1);
    }
}

async fn ask_once(gateway: &gatehouse_gateway::Gateway, origin: &Origin) {
    assert_eq!(crate::bed::ask(gateway, origin.get("/next")).await.status, 200);
}

/// Takes the request that only looked whether the connection goes on off the list.
fn origin_forget(origin: &Origin, keep: usize) {
    origin.truncate(keep);
}

#[tokio::test]
async fn every_cut_of_a_request_reads_the_same() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n",
        origin.url("/size"),
        origin.address
    );
    for cut in 1..request.len() {
        let mut client = Client::to(&gateway).await;
        client.stream.set_nodelay(true).unwrap();
        client.write(&request[..cut]).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        client.write(&request[cut..]).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (200, "5"), "cut at {cut}");
    }
}
