//! Proxies that are not there, not proxies, or broken.

use std::{net::Ipv4Addr, time::Duration};

use gatehouse_domain::{Cause, Stage};
use gatehouse_outbound::Tester;
use gatehouse_platform::ports::ConnectionTester as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    ask::{Ask, detail, hint, http, through},
    listener::{Listener, linger, read_head},
    parts::{WebServer, free_port},
};

#[tokio::test]
async fn a_closed_port() {
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let report = through(scheme, free_port()).fails(Stage::Connect, Cause::ConnectionRefused).await;
        assert_eq!(detail(&report, Stage::Connect), "127.0.0.1: refused");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let report = http(3128).host("does-not-exist.invalid").timeout(5).fails(Stage::Resolve, Cause::NameNotFound).await;
    assert!(report.message.contains("does-not-exist.invalid"), "{report:#?}");
}

/// A listener whose queue is full: the connection attempts get no answer.
#[tokio::test]
async fn an_address_that_does_not_answer() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(400), TcpStream::connect(address)).await {
        queued.push(connected.unwrap());
        assert!(queued.len() < 64, "this system's queue does not fill");
    }
    let report = http(address.port()).timeout(2).fails(Stage::Connect, Cause::ConnectTimeout).await;
    assert!(report.message.contains("within 2 seconds"), "{report:#?}");
}

#[tokio::test]
async fn a_listener_that_never_answers() {
    let silent = Listener::start(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    for (scheme, stage) in [
        ("http", Stage::ProxyHandshake),
        ("https", Stage::ProxyTls),
        ("socks5", Stage::ProxyHandshake),
        ("socks5h", Stage::ProxyHandshake),
    ] {
        let report = through(scheme, silent.port).timeout(1).fails(stage, Cause::ProxyTimeout).await;
        assert!(report.message.contains("within 1 second"), "{report:#?}");
    }
    http(silent.port).target("http://example.test/").timeout(1).fails(Stage::ProxyHandshake, Cause::ProxyTimeout).await;
}

#[tokio::test]
async fn a_listener_that_closes() {
    let at_once = Listener::start(|stream| async move { drop(stream) }).await;
    let after_the_request = Listener::answers("").await;
    for port in [at_once.port, after_the_request.port] {
        http(port).fails(Stage::ProxyHandshake, Cause::ProxyClosed).await;
        http(port).target("http://example.test/").fails(Stage::ProxyHandshake, Cause::ProxyClosed).await;
    }
    through("https", at_once.port).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
    through("socks5h", at_once.port).fails(Stage::ProxyHandshake, Cause::ProxyClosed).await;
    let half = Listener::answers("HTTP/1.1 200 Connection est").await;
    let report = http(half.port).fails(Stage::ProxyHandshake, Cause::ProxyClosed).await;
    assert!(report.message.contains("in the middle"), "{report:#?}");
}

#[tokio::test]
async fn garbage() {
    for garbage in
        [&b"\x00\x01\x02\x03"[..], b"hello, who is there?\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"\n\n\n\n"]
    {
        let listener = Listener::blurts(garbage).await;
        for ask in [http(listener.port), http(listener.port).target("http://example.test/"), through("socks5", listener.port)] {
            ask.fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
        }
        let report = through("https", listener.port).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
        assert!(report.message.contains("does not speak TLS"), "{report:#?}");
    }
}

#[tokio::test]
async fn garbage_is_recognised_without_waiting_for_its_end() {
    let listener = Listener::start(|mut stream| async move {
        let _ = stream.write_all(b"garbage").await;
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let begun = Instant::now();
    http(listener.port).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_plain_web_server() {
    let web = WebServer::start();
    let report = http(web.port).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
    assert!(report.message.contains("This is a web server, not a proxy"), "{report:#?}");
    let report = through("https", web.tls_port).ca(web.ca()).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
    assert!(report.message.contains("This is a web server, not a proxy"), "{report:#?}");
}

#[tokio::test]
async fn what_each_status_of_connect_means() {
    for (status, cause) in [
        (100, Cause::NotAProxy),
        (101, Cause::NotAProxy),
        (301, Cause::NotAProxy),
        (302, Cause::NotAProxy),
        (400, Cause::NotAProxy),
        (401, Cause::ProxyDenied),
        (402, Cause::ProxyDenied),
        (403, Cause::ProxyDenied),
        (404, Cause::NotAProxy),
        (405, Cause::NotAProxy),
        (407, Cause::ProxyAuthRequired),
        (429, Cause::ProxyDenied),
        (451, Cause::ProxyDenied),
        (500, Cause::TargetUnreachable),
        (501, Cause::NotAProxy),
        (502, Cause::TargetUnreachable),
        (503, Cause::TargetUnreachable),
        (504, Cause::TargetUnreachable),
        (505, Cause::NotAProxy),
        (507, Cause::TargetUnreachable),
        (511, Cause::ProxyDenied),
        (600, Cause::NotAProxy),
        (999, Cause::NotAProxy),
    ] {
        let listener = Listener::answers(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")).await;
        let report = http(listener.port).fails(Stage::ProxyHandshake, cause).await;
        assert!(detail(&report, Stage::ProxyHandshake).contains(&status.to_string()), "{report:#?}");
    }
}

#[tokio::test]
async fn why_the_proxy_could_not_is_told_when_it_says_so() {
    for (field, words) in [
        ("Proxy-Status: gatehouse; error=dns_error; rcode=\"NXDOMAIN\"", "can't find an address"),
        ("Proxy-Status: a, b;error=connection_timeout", "got no answer"),
        ("Proxy-Status: gatehouse; error=destination_ip_prohibited", "rules forbid"),
        ("Proxy-Status: gatehouse; error=something_else", "can't reach"),
        ("X-Squid-Error: ERR_CONNECT_FAIL 111", "could not connect"),
    ] {
        let listener = Listener::answers(format!("HTTP/1.1 502 x\r\n{field}\r\n\r\n")).await;
        let report = http(listener.port).fails(Stage::ProxyHandshake, Cause::TargetUnreachable).await;
        assert!(report.message.contains(words), "{field}: {report:#?}");
    }
}

#[tokio::test]
async fn what_a_proxy_offers_decides_about_a_407() {
    let ntlm = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM";
    let both = "Proxy-Authenticate: NTLM, Negotiate, Basic realm=\"a, b\"";
    let digest = "Proxy-Authenticate: Digest realm=\"Basic\", qop=\"auth\", nonce=\"Basic realm\"";
    for (fields, login, cause) in [
        (ntlm, false, Cause::ProxyAuthUnsupported),
        (ntlm, true, Cause::ProxyAuthUnsupported),
        (both, false, Cause::ProxyAuthRequired),
        (both, true, Cause::ProxyAuthRejected),
        (digest, true, Cause::ProxyAuthUnsupported),
        ("X: y", false, Cause::ProxyAuthRequired),
        ("X: y", true, Cause::ProxyAuthRejected),
    ] {
        let listener = Listener::answers(format!("HTTP/1.1 407 x\r\n{fields}\r\n\r\n")).await;
        for target in ["https://example.test/", "http://example.test/"] {
            let ask = http(listener.port).target(target);
            let ask = if login { ask.login("alice", "open-sesame") } else { ask };
            let report = ask.fails(Stage::ProxyHandshake, cause).await;
            if fields == ntlm {
                assert!(report.message.contains("only Negotiate and NTLM, which Gatehouse does not speak"), "{report:#?}");
            }
        }
    }
}

/// One byte at a time, for ever: the deadline is for the whole, not for each read.
#[tokio::test]
async fn a_head_that_drips() {
    for begin in [&b"HTTP/1.1 200 OK\r\n"[..], b"HTTP/1.1 407 x\r\nA: "] {
        let listener = Listener::start(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(begin).await;
            while stream.write_all(b"a").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        http(listener.port).timeout(1).fails(Stage::ProxyHandshake, Cause::ProxyTimeout).await;
    }
}

#[tokio::test]
async fn heads_beyond_all_bounds() {
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    for head in [long, many] {
        let listener = Listener::answers(head).await;
        http(listener.port).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
    }
    // And one that never ends is not read for ever.
    let endless = Listener::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nA: ").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    http(endless.port).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
}

/// A tunnel that is granted and then leads nowhere.
#[tokio::test]
async fn tunnels_that_lead_nowhere() {
    let granted = "HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    let closes = Listener::answers(granted).await;
    http(closes.port).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;

    let silent = Listener::start(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(granted.as_bytes()).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    http(silent.port).timeout(1).fails(Stage::TargetTls, Cause::TargetTimeout).await;

    // What follows the head belongs to the tunnel, whatever the fields say: this is not TLS.
    let chatty = Listener::answers(format!("{granted}HTTP/1.1 200 OK\r\n\r\nhello")).await;
    let report = http(chatty.port).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(report.message.contains("answers in plain HTTP"), "{report:#?}");
}

/// Through SOCKS to an `http` target: whatever answers is the target.
#[tokio::test]
async fn targets_that_answer_nonsense() {
    let granted = b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let serve = |answer: &'static [u8], hold: bool| {
        Listener::start(move |mut stream| async move {
            let _ = stream.write_all(granted).await;
            read_head(&mut stream).await;
            let _ = stream.write_all(answer).await;
            if hold {
                sleep(Duration::from_secs(60)).await;
            }
            linger(stream).await;
        })
    };
    let ask = |listener: &Listener| -> Ask { through("socks5h", listener.port).target("http://example.test/").timeout(1) };
    let report = ask(&serve(b"garbage", false).await).fails(Stage::TargetHttp, Cause::TargetUnreachable).await;
    assert!(report.message.contains("is not HTTP"), "{report:#?}");
    ask(&serve(b"", false).await).fails(Stage::TargetHttp, Cause::TargetUnreachable).await;
    ask(&serve(b"", true).await).fails(Stage::TargetHttp, Cause::TargetTimeout).await;
    ask(&serve(b"HTTP/1.1 100 Continue\r\n\r\n", true).await).fails(Stage::TargetHttp, Cause::TargetTimeout).await;
    // A body that never comes is no failure: the status has proved the way.
    let report = ask(&serve(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n127.0", true).await).passes().await;
    assert_eq!((report.status_code, report.egress_ip), (Some(200), None));
    // With SOCKS the proxy has spoken already: 407 and 503 are the target's.
    assert_eq!(ask(&serve(b"HTTP/1.1 407 x\r\n\r\n", false).await).passes().await.status_code, Some(407));
    assert_eq!(ask(&serve(b"HTTP/1.1 503 x\r\n\r\n", false).await).passes().await.status_code, Some(503));
}

#[tokio::test]
async fn dropping_the_test_closes_its_connection() {
    let (closed, mut has_closed) = mpsc::channel(1);
    let listener = Listener::start(move |mut stream| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.read_u8().await;
            let _ = closed.send(()).await;
        }
    })
    .await;
    let (subject, target) = http(listener.port).parsed();
    let (events, _received) = mpsc::channel(13);
    assert!(timeout(Duration::from_millis(300), Tester::new().test(&subject, &target, events)).await.is_err());
    timeout(Duration::from_secs(2), has_closed.recv()).await.expect("the connection is closed with the test").unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_slow_does_not_disturb() {
    let (subject, target) = http(free_port()).parsed();
    let (events, received) = mpsc::channel(1);
    drop(received);
    assert_eq!(Tester::new().test(&subject, &target, events).await.cause, Some(Cause::ConnectionRefused));
    let (events, _never_read) = mpsc::channel(1);
    assert_eq!(Tester::new().test(&subject, &target, events).await.cause, Some(Cause::ConnectionRefused));
}

#[tokio::test]
async fn hints_name_the_menu_where_the_choice_is() {
    let closes = Listener::answers("").await;
    let report = http(closes.port).fails(Stage::ProxyHandshake, Cause::ProxyClosed).await;
    assert!(hint(&report).contains("under More"), "{report:#?}");
}
