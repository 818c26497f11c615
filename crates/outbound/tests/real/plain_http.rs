//! `http` targets through HTTP proxies: the proxy takes the whole request, and nothing proves who answers.

use gatehouse_domain::{Cause, Stage, StageStatus};

use crate::{
    ask::{detail, http},
    listener::{Listener, read_head},
    parts::{Squid, WebServer, free_port, tinyproxy},
};

#[tokio::test]
async fn through_squid_and_tinyproxy() {
    let web = WebServer::start();
    for part in [Squid::default().start(), tinyproxy("")] {
        let report = http(part.port).target(web.http()).passes().await;
        assert_eq!((report.status_code, report.egress_ip.as_deref()), (Some(200), Some("127.0.0.1")));
        assert!(report.message.contains("cannot prove who answered"), "{report:#?}");
        assert_eq!(report.stages[4].status, StageStatus::Skipped);
        assert_eq!(detail(&report, Stage::TargetTls), "the target is asked without TLS (http)");
        for (path, status) in [("moved", 302), ("missing", 404)] {
            assert_eq!(http(part.port).target(web.http() + path).passes().await.status_code, Some(status));
        }
        let down = format!("http://127.0.0.1:{}/", free_port());
        let report = http(part.port).target(down).run().await;
        // tinyproxy answers 500, which counts as the target's.
        match report.status_code {
            Some(500) => {}
            _ => assert_eq!(report.cause, Some(Cause::TargetUnreachable), "{report:#?}"),
        }
        assert!(report.message.contains("cannot prove who answered"), "{report:#?}");
    }
}

#[tokio::test]
async fn what_counts_as_the_proxys_own() {
    let web = WebServer::start();
    let squid =
        Squid { users: &[("alice", "open-sesame")], rules: "acl closed port 7\nhttp_access deny closed", ..Squid::default() }
            .start();
    let ask = || http(squid.port).target(web.http());
    ask().login("alice", "open-sesame").passes().await;
    ask().login("alice", "wrong-sesame").fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected).await;
    ask().fails(Stage::ProxyHandshake, Cause::ProxyAuthRequired).await;
    let report =
        ask().login("alice", "open-sesame").target("http://127.0.0.1:7/").fails(Stage::ProxyHandshake, Cause::ProxyDenied).await;
    assert!(report.message.contains("cannot prove"), "{report:#?}");
    // The target's own 503, which can't be told from the proxy's.
    ask()
        .login("alice", "open-sesame")
        .target(web.http() + "unavailable")
        .fails(Stage::ProxyHandshake, Cause::TargetUnreachable)
        .await;

    for (status, cause) in [
        (403, Some(Cause::ProxyDenied)),
        (502, Some(Cause::TargetUnreachable)),
        (504, Some(Cause::TargetUnreachable)),
        (400, None),
        (500, None),
        (501, None),
    ] {
        let listener = Listener::answers(format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {status} x\r\n\r\n")).await;
        let report = http(listener.port).target("http://example.test/").run().await;
        assert_eq!(report.cause, cause, "{status}");
    }
}

/// A plain web server that is asked like a proxy answers like one: that is why the report says what it does not prove.
#[tokio::test]
async fn a_web_server_in_the_proxys_place_is_not_recognised_and_the_report_says_so() {
    let web = WebServer::start();
    let report = http(web.port).target("http://example.test/").passes().await;
    assert!(report.message.contains("cannot prove who answered"), "{report:#?}");
}

#[tokio::test]
async fn the_request_is_as_the_standard_says() {
    let (sender, mut heads) = tokio::sync::mpsc::channel(4);
    let listener = Listener::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = read_head(&mut stream).await;
            let _ = sender.send(head).await;
        }
    })
    .await;
    let version = env!("CARGO_PKG_VERSION");
    http(listener.port).login("Aladdin", "open sesame").target("http://bücher.test:8080/a?b=c").run().await;
    assert_eq!(
        heads.recv().await.unwrap(),
        format!(
            "GET http://xn--bcher-kva.test:8080/a?b=c HTTP/1.1\r\nHost: xn--bcher-kva.test:8080\r\nUser-Agent: Gatehouse/{version}\r\nAccept: */*\r\n\
             Connection: close\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        )
    );
    http(listener.port).login("Aladdin", "open sesame").target("https://[2001:db8::1]/").run().await;
    assert_eq!(
        heads.recv().await.unwrap(),
        format!(
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nUser-Agent: Gatehouse/{version}\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        )
    );
}
