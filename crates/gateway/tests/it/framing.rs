//! Messages that two programs could read in two ways: refused, or made anew. One request in means at most one out.

use crate::bed::{Client, Origin, open};

/// What follows each message: were its end found too early, the origin would see it.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n";

/// Lines of a head that make a request one that is not taken.
const BAD_LINES: &[&str] = &[
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nContent-Length: 0",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 0\r\nContent-Length: 5",
    "Content-Length: 5, 5",
    "Content-Length: 5,6",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 5 5",
    "Content-Length: 0x5",
    "Content-Length: 5.0",
    "Content-Length: five",
    "Content-Length:",
    "Content-Length: ",
    "Content-Length: 99999999999999999999",
    "Content-Length: 18446744073709551621",
    "Content-Length : 5",
    "Content-Length\t: 5",
    " Content-Length: 5",
    "\tContent-Length: 5",
    "Content-Length: 5\r\n continued",
    "Content-\r\n Length: 5",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: \x0cchunked",
    "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding:",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunk\u{0}ed",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\n\r\nTransfer-Encoding: chunked",
    "X: y\r\r\nTransfer-Encoding: chunked",
    "X: \rY: z",
    "X\0: y",
    "X: y\0z",
    "X: y\x01z",
    "X: y\x7f",
    ": y",
    " : y",
    "X y: z",
    "X(y): z",
    "X\"y\": z",
    "X\u{e9}: z",
    "no colon here",
    "Host: other.example",
    "Host: a\r\nHost: b",
    "\x0bX: y",
];

/// First lines that are not taken.
const BAD_FIRST: &[&str] = &[
    "GET  {url} HTTP/1.1",
    "GET {url}  HTTP/1.1",
    "GET\t{url} HTTP/1.1",
    "GET {url}\tHTTP/1.1",
    "GET {url} HTTP/1.1 ",
    " GET {url} HTTP/1.1",
    "\tGET {url} HTTP/1.1",
    "GET {url} HTTP/1.1 x",
    "GET {url}",
    "GET {url} ",
    "GET",
    "GET {url} HTTP/1.2",
    "GET {url} HTTP/1.",
    "GET {url} HTTP/11",
    "GET {url} HTTP/1.01",
    "GET {url} HTTP/2.0",
    "GET {url} HTTP/0.9",
    "GET {url} HTTP 1.1",
    "GET {url} http/1.1",
    "GET {url} HTTPS/1.1",
    "GET {url} XHTTP/1.1",
    "G(T {url} HTTP/1.1",
    "G\u{e9}T {url} HTTP/1.1",
    "\"GET\" {url} HTTP/1.1",
    "GET: {url} HTTP/1.1",
    "GET {url}#fragment HTTP/1.1",
    "GET {url}\x0b HTTP/1.1",
    "GET {url}\x00 HTTP/1.1",
    "GET {url}\x7f HTTP/1.1",
    "GET {url} y HTTP/1.1",
    "GET http://user:pass@{host}/ HTTP/1.1",
    "GET http://user@{host}/ HTTP/1.1",
    "GET http://@{host}/ HTTP/1.1",
    "GET http:///x HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET http:/{host}/ HTTP/1.1",
    "GET http:{host}/ HTTP/1.1",
    "GET ftp://{host}/ HTTP/1.1",
    "GET https://{host}/ HTTP/1.1",
    "GET gopher://{host}/ HTTP/1.1",
    "GET file:///etc/passwd HTTP/1.1",
    "GET javascript:1 HTTP/1.1",
    "GET {host} HTTP/1.1",
    "GET * HTTP/1.1",
    "GET ?x HTTP/1.1",
    "GET \\\\{host}\\x HTTP/1.1",
    "GET http://{host}:99999/ HTTP/1.1",
    "GET http://{host}:0/ HTTP/1.1",
    "GET http://{host}%00/ HTTP/1.1",
    "GET http://[::1/ HTTP/1.1",
    "GET http://[::1%25lo]/ HTTP/1.1",
    "TRACE {url} HTTP/1.1",
    "CONNECT {url} HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "CONNECT http HTTP/1.1",
    "CONNECT 127.0.0.1 HTTP/1.1",
    "CONNECT 127.0.0.1: HTTP/1.1",
    "CONNECT 127.0.0.1:x HTTP/1.1",
    "CONNECT 127.0.0.1:80:80 HTTP/1.1",
    "CONNECT user@{host} HTTP/1.1",
    "CONNECT {host}/path HTTP/1.1",
    "PRI * HTTP/2.0",
    "HTTP/1.1 200 OK",
];

/// Bodies in chunks that are not taken.
const BAD_CHUNKS: &[&str] = &[
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "\r\n5\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5;a\0b\r\nhello\r\n0\r\n\r\n",
    "5 a\r\nhello\r\n0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "\r\n",
    ";\r\nhello\r\n",
    "10000000000000000\r\nhello",
    "ffffffffffffffffffffffffff\r\nhello",
    "0\r\nX y: z\r\n\r\n",
    "0\r\n: z\r\n\r\n",
    "0\r\nX : z\r\n\r\n",
    "0\r\nX: z\n\r\n",
    "0\r\nX: z\r\n\n",
    "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
];

/// Requests that are right, however odd.
const RIGHT: &[&str] = &[
    "GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "\r\nGET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET {url}?a=b&c=d HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}?a HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET HTTP://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n",
    "GET {url} HTTP/1.0\r\n\r\n",
    "GET {url} HTTP/1.1\r\nhost:{host}\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: \t {host}\t \r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nX:\r\nY: \r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nX: a\tb \u{e9}\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: Host, Content-Length, Transfer-Encoding\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 005\r\n\r\nhello",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n00\r\n\r\n",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PROPFIND {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "M-SEARCH {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "OPTIONS http://{host} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "DELETE {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nX-Transfer-Encoding: chunked\r\nX-Content-Length: 5\r\n\r\n",
    "GET {url} HTTP/1.1\r\nHost: {host}\r\nTransfer_Encoding: chunked\r\nContent_Length: 5\r\n\r\n",
];

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
