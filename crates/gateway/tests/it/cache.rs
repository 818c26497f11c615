//! The cache beside others: who may have what is kept, what it takes, what happens when somebody goes. What RFC 9111 says of it is in
//! tests/rfc9111.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use gatehouse_gateway::{Gateway, policy::Policy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use crate::bed::{Answer, Client, OPEN, Origin, ask, gateway};

const KEEPING: &str = "[cache]\nenabled = true\n";

fn get(origin: &Origin, path: &str, fields: &str) -> String {
    format!("GET {} HTTP/1.1\r\nHost: {}\r\n{fields}X-Say: Cache-Control: max-age=600\r\n\r\n", origin.url(path), origin.address)
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("gatehouse_gateway_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn came_from_cache(answer: &Answer) -> bool {
    answer.field("age").is_some()
}

#[tokio::test]
async fn who_goes_away_in_the_middle_takes_nothing_from_those_who_wait() {
    let (gateway, origin) = (gateway(&format!("{KEEPING}{OPEN}")).await, Origin::start().await);
    let mut first = Client::to(&gateway).await;
    first.write(get(&origin, "/drips", "")).await;
    sleep(Duration::from_millis(200)).await;
    let mut second = Client::to(&gateway).await;
    second.write(get(&origin, "/drips", "")).await;
    sleep(Duration::from_millis(100)).await;
    drop(first);
    let answer = second.answer().await.unwrap();
    assert_eq!(answer.body, format!("{}{}", "a".repeat(5000), "b".repeat(5000)));
    assert!(came_from_cache(&ask(&gateway, get(&origin, "/drips", "")).await));
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn somebody_who_waits_gets_what_is_there_before_the_rest_of_it() {
    let (gateway, origin) = (gateway(&format!("{KEEPING}[compress]\nenabled = true\n{OPEN}")).await, Origin::start().await);
    for fields in ["", "X-Say: Content-Type: text/plain\r\nAccept-Encoding: gzip\r\n"] {
        let mut client = Client::to(&gateway).await;
        let begun = std::time::Instant::now();
        client.write(get(&origin, "/drips", &format!("{fields}Cache-Control: no-cache\r\n"))).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.read(1).await);
        }
        assert_eq!(String::from_utf8_lossy(&head).contains("Content-Encoding: gzip"), !fields.is_empty());
        assert_eq!(client.read(20).await.len(), 20);
        // The origin waits for a second before it goes on.
        assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_is_too_large_is_passed_on_whole_and_not_kept() {
    let policy = format!("[cache]\nenabled = true\nmemory = '4 MB'\nmax_object = '100 kB'\n{OPEN}");
    let (gateway, origin) = (gateway(&policy).await, Origin::start().await);
    for path in ["/large/5000000", "/endless/5000000"] {
        let mut client = Client::to(&gateway).await;
        for _ in 0..2 {
            let answer = client.ask(get(&origin, path, "")).await;
            assert_eq!((answer.status, answer.body.len()), (200, 5_000_000), "{path}");
            assert!(!came_from_cache(&answer), "{path}");
        }
    }
    assert_eq!(origin.seen().len(), 4);
    assert_eq!(metric(&gateway, "cache_targets"), 0);
    assert_eq!(metric(&gateway, "cache_held_bytes"), 0, "nothing of it stays in memory");
    // The connection is used again when the rest was read.
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn memory_stays_within_its_bound_and_what_is_asked_for_stays() {
    let policy = format!("[cache]\nenabled = true\nmemory = '2 MB'\nmax_object = '100 kB'\n{OPEN}");
    let (gateway, origin) = (gateway(&policy).await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    for number in 0..200 {
        assert_eq!(client.ask(get(&origin, "/large/50000", &format!("X-Number: {number}\r\n"))).await.body.len(), 50_000);
        let other = get(&origin, "/large/50000", "").replace("/large/50000", &format!("/large/{}", 50_000 + number));
        assert_eq!(client.ask(other).await.body.len(), 50_000 + number);
        assert!(metric(&gateway, "cache_bytes") <= 2_000_000);
        assert!(metric(&gateway, "cache_held_bytes") <= 2_500_000);
    }
    let asked = origin.seen().iter().filter(|head| head.contains("/large/50000 ")).count();
    assert!(asked <= 2, "what is asked for all the time is kept: {asked}");
}

#[tokio::test]
async fn readers_that_do_not_read_hold_no_more_than_there_is() {
    let policy = format!("[cache]\nenabled = true\nmemory = '4 MB'\nmax_object = '1 MB'\n{OPEN}");
    let (gateway, origin) = (gateway(&policy).await, Origin::start().await);
    let mut sleepers = Vec::new();
    for number in 0..30 {
        let mut client = Client::to(&gateway).await;
        client.write(get(&origin, &format!("/large/{}", 1_000_000 - number), "")).await;
        sleepers.push(client);
    }
    sleep(Duration::from_millis(500)).await;
    let held = metric(&gateway, "cache_held_bytes");
    assert!(held <= 5_000_000, "{held}");
    // Others are served, with the cache or without it.
    assert_eq!(ask(&gateway, get(&origin, "/large/900000", "")).await.body.len(), 900_000);
    for (number, mut client) in sleepers.into_iter().enumerate() {
        assert_eq!(client.answer().await.unwrap().body.len(), 1_000_000 - number);
    }
}

#[tokio::test]
async fn whoever_may_not_ask_gets_nothing_from_the_cache() {
    let policy = "[cache]\nenabled = true\n[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n
        [[rule]]\nname = 'all'\naction = 'allow'\n";
    let (gateway, origin) = (gateway(policy).await, Origin::start().await);
    assert_eq!(ask(&gateway, get(&origin, "/text", "")).await.status, 200);
    assert!(came_from_cache(&ask(&gateway, get(&origin, "/text", "")).await));
    // Another policy denies it: what is kept is not given either.
    let denying = "[listen]\naddresses = ['127.0.0.1:0']\n[cache]\nenabled = true\n[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n
        [[rule]]\nname = 'none of it'\naction = 'deny'\n";
    gateway.swap(Policy::parse(denying, Path::new(".")).unwrap());
    let answer = ask(&gateway, get(&origin, "/text", "")).await;
    assert_eq!((answer.status, answer.error()), (403, "http_request_denied"));
    // One that closes the network closes it for what is kept, too; and it is forgotten.
    let closing = "[listen]\naddresses = ['127.0.0.1:0']\n[cache]\nenabled = true\n[network]\nhttp_ports = ['1-65535']\n
        [[rule]]\nname = 'all'\naction = 'allow'\n";
    gateway.swap(Policy::parse(closing, Path::new(".")).unwrap());
    let answer = ask(&gateway, get(&origin, "/text", "")).await;
    assert_eq!((answer.status, answer.error()), (403, "destination_ip_prohibited"));
    assert_eq!(metric(&gateway, "cache_targets"), 0);
}

#[tokio::test]
async fn a_rule_without_the_cache_neither_takes_nor_gives() {
    let policy = "[cache]\nenabled = true\n[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n
        [[rule]]\nname = 'not kept'\naction = 'allow'\ncache = false\n";
    let (gateway, origin) = (gateway(policy).await, Origin::start().await);
    for _ in 0..2 {
        assert!(!came_from_cache(&ask(&gateway, get(&origin, "/text", "")).await));
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn a_limit_counts_what_comes_from_the_cache() {
    let policy = format!("{KEEPING}[[limit]]\nname = 'few'\nrequests_per_second = 3\n{}limit = 'few'\n", OPEN);
    let (gateway, origin) = (gateway(&policy).await, Origin::start().await);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(ask(&gateway, get(&origin, "/text", "")).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn purging_is_for_those_who_may() {
    let policy = format!("[cache]\nenabled = true\npurge_from = ['127.0.0.1/32']\n{OPEN}");
    let (may, origin) = (gateway(&policy).await, Origin::start().await);
    ask(&may, get(&origin, "/text", "")).await;
    assert!(came_from_cache(&ask(&may, get(&origin, "/text", "")).await));
    let purge = get(&origin, "/text", "").replace("GET ", "PURGE ");
    assert_eq!(ask(&may, &purge).await.status, 200);
    assert!(!came_from_cache(&ask(&may, get(&origin, "/text", "")).await));
    assert_eq!(ask(&may, purge.replace("/text", "/other")).await.status, 404);
    assert!(origin.seen().iter().all(|head| head.starts_with("GET ")), "none of them went on");
    // Of others it is a method like any.
    let other = gateway(&format!("{KEEPING}{OPEN}")).await;
    ask(&other, &purge).await;
    assert!(origin.seen().iter().any(|head| head.starts_with("PURGE ")));
}

#[tokio::test]
async fn ways_out_do_not_share_what_they_brought() {
    let policy = "[cache]\nenabled = true\n[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n
        [[egress]]\nname = 'one'\nkind = 'direct'\nsource = '127.0.0.1'\n[[egress]]\nname = 'two'\nkind = 'direct'\nsource = '127.0.0.1'\n
        [[rule]]\nname = 'by one'\naction = 'allow'\nmethods = ['GET']\negress = 'one'\n";
    let (gateway, origin) = (gateway(policy).await, Origin::start().await);
    ask(&gateway, get(&origin, "/text", "")).await;
    assert!(came_from_cache(&ask(&gateway, get(&origin, "/text", "")).await));
    let other = format!("[listen]\naddresses = ['127.0.0.1:0']\n{}", policy.replace("egress = 'one'", "egress = 'two'"));
    gateway.swap(Policy::parse(&other, Path::new(".")).unwrap());
    assert!(!came_from_cache(&ask(&gateway, get(&origin, "/text", "")).await));
    assert!(came_from_cache(&ask(&gateway, get(&origin, "/text", "")).await));
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn the_log_says_where_an_answer_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let policy = format!("{KEEPING}[log]\npath = '{}'\n{OPEN}", path.display());
    let (gateway, origin) = (gateway(&policy).await, Origin::start().await);
    ask(&gateway, get(&origin, "/text", "")).await;
    ask(&gateway, get(&origin, "/text", "")).await;
    ask(&gateway, get(&origin, "/text", "Cache-Control: max-age=0\r\n")).await;
    gateway.stop().await;
    let log = std::fs::read_to_string(&path).unwrap();
    let results: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["cache"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(results, ["miss", "hit", "miss"], "{log}");
}

/// Answers one request after the other with these, each over a connection of its own, and tells what it was asked. The next one is
/// answered while the one before still is.
async fn scripted(answers: &[&str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
    tokio::spawn({
        let asked = asked.clone();
        async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let asked = asked.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    asked.lock().unwrap().push(String::from_utf8(head).unwrap());
                    // What stands behind a pause comes half a second later.
                    for (at, part) in answer.split("PAUSE").enumerate() {
                        if at > 0 {
                            sleep(Duration::from_millis(500)).await;
                        }
                        stream.write_all(part.as_bytes()).await.unwrap();
                    }
                });
            }
        }
    });
    (address, asked)
}

fn at(address: &str, fields: &str) -> String {
    format!("GET http://{address}/x HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n")
}

#[tokio::test]
async fn a_cookie_that_comes_with_word_that_an_answer_still_holds_is_for_one_alone() {
    let gateway = gateway(&format!("{KEEPING}{OPEN}")).await;
    let kept =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"x\"\r\nContent-Length: 4\r\nConnection: close\r\n\r\nkept";
    let mine = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nCache-Control: max-age=600\r\nSet-Cookie: sid=alice\r\nConnection: close\r\n\r\n";
    let by_head = mine.replace("304 Not Modified", "200 OK").replace("Connection", "Content-Length: 4\r\nConnection");
    let (address, asked) = scripted(&[kept, mine, &by_head]).await;
    assert_eq!(ask(&gateway, at(&address, "")).await.body, "kept");
    let alice = ask(&gateway, at(&address, "Cookie: sid=old\r\nCache-Control: no-cache\r\n")).await;
    assert_eq!((alice.body.as_str(), alice.field("set-cookie")), ("kept", Some("sid=alice")));
    let bob = ask(&gateway, at(&address, "")).await;
    assert_eq!((bob.body.as_str(), bob.field("set-cookie")), ("kept", None), "{}", bob.head);
    let mut client = Client::to(&gateway).await;
    client.write(at(&address, "Cache-Control: no-cache\r\n").replace("GET", "HEAD")).await;
    assert_eq!(client.answer_to("HEAD").await.unwrap().field("set-cookie"), Some("sid=alice"));
    assert_eq!(ask(&gateway, at(&address, "")).await.field("set-cookie"), None);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_field_that_is_hidden_from_the_target_selects_no_answer_for_others() {
    let gateway = gateway(&format!("{KEEPING}{OPEN}")).await;
    let without =
        "HTTP/1.1 200 OK\r\nVary: Origin\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone";
    let with = without.replace("none", "some");
    let (address, _) = scripted(&[without, &with]).await;
    let poison = at(&address, "Origin: https://app.example\r\nConnection: Origin\r\n");
    assert_eq!(ask(&gateway, poison).await.body, "none");
    assert_eq!(ask(&gateway, at(&address, "Origin: https://app.example\r\n")).await.body, "some");
}

#[tokio::test]
async fn who_asks_after_a_change_does_not_get_what_was_asked_before_it() {
    let gateway = gateway(&format!("{KEEPING}{OPEN}")).await;
    let old = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\nConnection: close\r\n\r\noldPAUSEold";
    let changed = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let new = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\nConnection: close\r\n\r\nnewnew";
    let (address, _) = scripted(&[old, changed, new]).await;
    let mut first = Client::to(&gateway).await;
    first.write(at(&address, "")).await;
    sleep(Duration::from_millis(150)).await;
    assert_eq!(ask(&gateway, at(&address, "").replace("GET", "DELETE")).await.status, 204);
    assert_eq!(ask(&gateway, at(&address, "")).await.body, "newnew");
    assert_eq!(first.answer().await.unwrap().body, "oldold");
    assert_eq!(ask(&gateway, at(&address, "")).await.body, "newnew", "what was overtaken is not kept");
}

/// An origin that sends the first bytes of a body at once and the rest in six seconds, and knows which of its answers were taken to
/// their end. `/N/M`: N bytes, then M; with `/chunked` behind it without saying how many.
#[derive(Clone, Default)]
struct Dripping(Arc<Mutex<Vec<(String, bool)>>>);

impl Dripping {
    async fn start(&self) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let count = stream.read(&mut head).await.unwrap();
                    let head = String::from_utf8_lossy(&head[..count]).into_owned();
                    let path = head.split(' ').nth(1).unwrap().to_string();
                    let mut parts = path.split('/').skip(1);
                    let mut number = || parts.next().unwrap().parse::<usize>().unwrap();
                    let (first, rest) = (number(), number());
                    let is_chunked = parts.next().is_some();
                    let framing = match is_chunked {
                        true => "Transfer-Encoding: chunked".to_string(),
                        false => format!("Content-Length: {}", first + rest),
                    };
                    let piece = |length: usize| {
                        let bytes = "x".repeat(length);
                        if is_chunked { format!("{length:x}\r\n{bytes}\r\n") } else { bytes }
                    };
                    let begin = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{framing}\r\n\r\n{}", piece(first));
                    let mut is_whole = stream.write_all(begin.as_bytes()).await.is_ok();
                    for _ in 0..20 {
                        sleep(Duration::from_millis(300)).await;
                        is_whole = is_whole && stream.write_all(piece(rest / 20).as_bytes()).await.is_ok();
                    }
                    if is_chunked {
                        is_whole = is_whole && stream.write_all(b"0\r\n\r\n").await.is_ok();
                    }
                    this.0.lock().unwrap().push((path, is_whole));
                });
            }
        });
        address
    }

    /// Whether each of these was taken to its end.
    async fn ended(&self, count: usize) -> Vec<(String, bool)> {
        for _ in 0..1000 {
            if self.0.lock().unwrap().len() == count {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let mut ended = self.0.lock().unwrap().clone();
        ended.sort();
        ended
    }
}

#[tokio::test]
async fn what_nobody_reads_any_more_is_not_fetched_unless_half_of_it_is_there() {
    let (gateway, origin) = (gateway(&format!("{KEEPING}{OPEN}")).await, Dripping::default());
    let address = origin.start().await;
    let get = |path: &str| format!("GET http://{address}{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let gone = ["/1000/9000", "/6000/4000", "/6000/4000/chunked", "/1000/9020"];
    let mut clients = Vec::new();
    for path in gone {
        let mut client = Client::to(&gateway).await;
        client.write(get(path)).await;
        client.read(200).await;
        clients.push(client);
    }
    // Of the last one there is another reader.
    let mut stays = Client::to(&gateway).await;
    stays.write(get("/1000/9020")).await;
    sleep(Duration::from_millis(100)).await;
    drop(clients);
    let ended = origin.ended(4).await;
    let whole: Vec<&str> = ended.iter().filter(|(_, is_whole)| *is_whole).map(|(path, _)| &**path).collect();
    assert_eq!(whole, ["/1000/9020", "/6000/4000"], "{ended:?}");
    assert!(came_from_cache(&ask(&gateway, get("/6000/4000")).await), "what was half there is there for the next one");
    assert_eq!(stays.answer().await.unwrap().body.len(), 10_020, "who stays gets all of it");
    // What was given up is asked for anew, and comes whole.
    let answer = ask(&gateway, get("/1000/9000")).await;
    assert_eq!((answer.body.len(), came_from_cache(&answer)), (10_000, false));
}
