//! What goes wrong, whom the error names, and what is tried again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gatehouse_domain::{Cause, Stage, StageStatus};
use gatehouse_platform::{Choice, OutRequest, Retry};
use tokio::io::AsyncWriteExt as _;

use crate::{
    ask::http,
    door::{House, get, via, with_key},
    listener::{Listener, answer, linger, read_head},
    parts::{Squid, WebServer, free_port, outside},
};

fn local(target: &Listener) -> String {
    format!("http://127.0.0.1:{}/v1/secret-path?key=secret-query", target.port)
}

fn safe(url: impl AsRef<str>) -> OutRequest {
    OutRequest { retry: Retry::Safe, ..get(url) }
}

/// Answers the first requests with these, and then with 200.
async fn script(answers: &'static [&'static str]) -> (Listener, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let listener = Listener::keeps_alive(move |_| {
        let text =
            answers.get(seen.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        (!text.is_empty()).then(|| text.to_string())
    })
    .await;
    (listener, count)
}

#[tokio::test]
async fn a_killed_proxy_is_named_and_nothing_goes_direct() {
    let web = WebServer::start();
    let target = Listener::answers(answer(200, "x")).await;
    let squid = Squid::default().start();
    let house = House::new();
    let port = squid.port;
    let id = house.save("Corp-EU", &http(port).ca(web.ca()), "");
    let url = format!("https://only-the-proxy-knows.test:{}/", web.tls_port);
    assert_eq!(house.send(Choice::Setting(id), get(&url)).await.unwrap().status, 200);
    drop(squid);
    for url in [url, format!("http://{}:{}/", outside(), target.port)] {
        let error = house.send(Choice::Setting(id), safe(url)).await.unwrap_err();
        assert_eq!(error.cause, Cause::ConnectionRefused, "{error:#?}");
        assert!(error.message.starts_with(&format!("The proxy Corp-EU (127.0.0.1:{port}) refused the connection")), "{error:#?}");
        assert_eq!(error.route.as_ref().map(via).as_deref(), Some("Corp-EU"));
        assert!(error.hint.is_some());
    }
    assert_eq!(target.accepted(), 0);
    assert_eq!(house.records().len(), 3, "a proxy that is down is not tried again");
}

#[tokio::test]
async fn each_failure_has_its_cause_and_says_which_way() {
    let house = House::new();
    let squid = Squid { users: &[("alice", "right")], ..Squid::default() }.start();
    let silent = Listener::start(|mut stream| async move {
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let place = |port: u16| format!("127.0.0.1:{port}");
    for (name, ask, url, cause) in [
        ("Wrong", http(squid.port).login("alice", "wrong-sesame"), "https://example.test/", Cause::ProxyAuthRejected),
        ("Wrong-http", http(squid.port).login("alice", "wrong-sesame"), "http://example.test/", Cause::ProxyAuthRejected),
        ("Nobody", http(squid.port), "https://example.test/", Cause::ProxyAuthRequired),
        ("Lost", http(squid.port).host("does-not-exist.invalid"), "https://example.test/", Cause::NameNotFound),
        ("Far", http(squid.port).login("alice", "right"), "https://does-not-exist.invalid/", Cause::TargetUnreachable),
        ("Silent", http(silent.port).timeout(1), "https://example.test/", Cause::ProxyTimeout),
    ] {
        let id = house.save(name, &ask, "");
        let error = house.send(Choice::Setting(id), OutRequest { trace: true, ..get(url) }).await.unwrap_err();
        assert_eq!(error.cause, cause, "{error:#?}");
        assert!(error.message.contains(&format!("{name} (")) && error.message.ends_with('.'), "{error:#?}");
        assert!(!format!("{error:?}").contains("sesame"), "{error:#?}");
        assert_eq!(error.stages.iter().map(|s| s.stage).collect::<Vec<_>>(), Stage::ALL);
        assert_eq!(error.stages.iter().filter(|s| s.status == StageStatus::Failed).count(), 1, "{error:#?}");
    }
    let closing = Listener::start(|stream| async move { drop(stream) }).await;
    let garbage = Listener::blurts("SSH-2.0-x\r\n").await;
    for (url, cause) in [
        (format!("http://127.0.0.1:{}/", free_port()), Cause::ConnectionRefused),
        ("http://does-not-exist.invalid/".to_string(), Cause::NameNotFound),
        (format!("http://{}/", place(closing.port)), Cause::TargetUnreachable),
        (format!("http://{}/", place(garbage.port)), Cause::TargetUnreachable),
        (format!("https://{}/", place(garbage.port)), Cause::TargetTlsFailed),
        (format!("https://{}/", place(closing.port)), Cause::TargetTlsFailed),
    ] {
        let error = house.send(Choice::None, OutRequest { trace: true, ..get(&url) }).await.unwrap_err();
        assert_eq!(error.cause, cause, "{url} {error:#?}");
        assert!(error.message.contains("It was asked directly: "), "{error:#?}");
        assert_eq!(error.stages.len(), 6);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_too_slow() {
    let large = "x".repeat(1001);
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{large}\r\n0\r\n\r\n");
    for text in [answer(200, &large), chunked] {
        let target = Listener::answers(text).await;
        let house = House::new();
        let error = house.send(Choice::None, OutRequest { max_answer: 1000, ..safe(local(&target)) }).await.unwrap_err();
        assert_eq!(error.cause, Cause::TooLarge, "{error:#?}");
        assert_eq!(house.records().len(), 1);
        let answer = house.send(Choice::None, OutRequest { max_answer: 1001, ..get(local(&target)) }).await.unwrap();
        assert_eq!((answer.body.len(), house.records()[1].bytes_in), (1001, 1001));
    }
    // Slow before the head, and slow in the middle of the body.
    for text in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"] {
        let target = Listener::start(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(text.as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        })
        .await;
        let house = House::new();
        let begun = Instant::now();
        let request = OutRequest { timeout: Duration::from_secs(1), ..safe(local(&target)) };
        let error = house.send(Choice::None, request).await.unwrap_err();
        assert_eq!(error.cause, Cause::TargetTimeout);
        assert!(error.message.contains("did not answer within 1 second."), "{error:#?}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        assert_eq!(house.records()[0].cause, Some(Cause::TargetTimeout));
    }
}

#[tokio::test]
async fn redirects_are_answers_and_fields_arrive() {
    let (sender, mut heads) = tokio::sync::mpsc::channel(1);
    let target = Listener::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(read_head(&mut stream).await).await;
            let _ = stream
                .write_all(
                    b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 302 x\r\nLocation: /else\r\nX-A: \xff\r\nContent-Length: 0\r\n\r\n",
                )
                .await;
            linger(stream).await;
        }
    })
    .await;
    let house = House::new();
    let request = OutRequest { method: "POST", body: b"{}".to_vec(), ..with_key(get(local(&target)), "key-123") };
    let answer = house.send(Choice::None, request).await.unwrap();
    assert_eq!((answer.status, answer.header("location"), answer.header("x-a")), (302, Some("/else"), None));
    let head = heads.recv().await.unwrap().to_lowercase();
    for line in [
        "post /v1/secret-path?key=secret-query http/1.1\r\n".to_string(),
        format!("host: 127.0.0.1:{}\r\n", target.port),
        format!("user-agent: gatehouse/{}\r\n", env!("CARGO_PKG_VERSION")),
        "accept: application/json\r\n".into(),
        "content-length: 2\r\n".into(),
        "x-apikey: key-123\r\n".into(),
    ] {
        assert!(head.contains(&line), "{line} is not in {head}");
    }
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    const BAD: &str = "HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n";
    const SOON: &str = "HTTP/1.1 429 x\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    const LATER: &str = "HTTP/1.1 429 x\r\nRetry-After: 11\r\nContent-Length: 0\r\n\r\n";
    const BUSY: &str = "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n";
    for (answers, retry, status, asked) in [
        (&["", BAD][..], Retry::Safe, 200, 3),
        (&[BAD, BAD, BAD], Retry::Safe, 502, 3),
        (&[BAD], Retry::Never, 502, 1),
        (&[SOON], Retry::Safe, 200, 2),
        (&[LATER], Retry::Safe, 429, 1),
        (&[BUSY], Retry::Safe, 503, 1),
    ] {
        let (target, count) = script(answers).await;
        let house = House::new();
        let begun = Instant::now();
        let answer = house.send(Choice::None, OutRequest { retry, ..get(local(&target)) }).await.unwrap();
        assert_eq!((answer.status, count.load(Ordering::SeqCst)), (status, asked), "{answers:?}");
        assert_eq!(house.records().len(), asked, "one record for each attempt");
        if answers == [SOON] {
            assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
        }
    }
    // Closed where a connection was used again: sent once more within the same attempt.
    let (target, count) = script(&[BAD, ""]).await;
    let house = House::new();
    assert_eq!(house.send(Choice::None, safe(local(&target))).await.unwrap().status, 200);
    assert_eq!((count.load(Ordering::SeqCst), house.records().len()), (3, 2));
    // A pause that does not fit into the time that is left is not begun.
    let (target, _) = script(&[SOON]).await;
    let request = OutRequest { timeout: Duration::from_millis(900), ..safe(local(&target)) };
    assert_eq!(House::new().send(Choice::None, request).await.unwrap().status, 429);
}

#[tokio::test]
async fn ten_failures_in_a_row_open_the_breaker() {
    let (target, count) = script(&["HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"; 10]).await;
    let house = House::new();
    for _ in 0..10 {
        assert_eq!(house.send(Choice::None, get(local(&target))).await.unwrap().status, 500);
    }
    let error = house.send(Choice::None, get(local(&target))).await.unwrap_err();
    assert_eq!(error.cause, Cause::EngineError);
    assert!(error.message.ends_with("Not tried again for a few seconds after 10 failures in a row."), "{error:#?}");
    assert_eq!((count.load(Ordering::SeqCst), house.records().len()), (10, 10), "what was not sent is not recorded");
    // A test goes through; so does another company; so does, after a while, the request itself.
    let traced = OutRequest { trace: true, ..get(local(&target)) };
    assert_eq!(house.send(Choice::None, traced).await.unwrap().status, 200);
    assert_eq!(house.neighbour().send(Choice::None, get(local(&target))).await.unwrap().status, 200);
    assert!(house.send(Choice::None, get(local(&target))).await.is_err());
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert_eq!(house.send(Choice::None, get(local(&target))).await.unwrap().status, 200);

    // A changed setting starts anew.
    let dead = free_port();
    let id = house.save("Corp", &http(dead), "");
    for _ in 0..12 {
        house.send(Choice::Setting(id), get("http://example.test/")).await.unwrap_err();
    }
    assert_eq!(house.records().iter().filter(|r| r.host == "example.test:80").count(), 10);
    let proxy = Listener::keeps_alive(|_| Some(answer(200, "x"))).await;
    house.change(id, "Corp", &http(proxy.port));
    assert_eq!(house.send(Choice::Setting(id), get("http://example.test/")).await.unwrap().status, 200);
}
