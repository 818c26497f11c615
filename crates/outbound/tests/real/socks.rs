//! SOCKS5: microsocks and Dante.

use gatehouse_domain::{Cause, Stage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    ask::{detail, hint, through},
    listener::{Listener, linger},
    parts::{WebServer, dante, free_port, microsocks},
};

#[tokio::test]
async fn microsocks_without_authentication() {
    let (web, proxy) = (WebServer::start(), microsocks(None));
    for scheme in ["socks5", "socks5h"] {
        for host in ["127.0.0.1", "localhost"] {
            let target = format!("https://{host}:{}/", web.tls_port);
            let report = through(scheme, proxy.port).ca(web.ca()).target(target).passes().await;
            assert_eq!(report.egress_ip.as_deref(), Some("127.0.0.1"));
            let by_proxy = detail(&report, Stage::ProxyHandshake).contains("the proxy resolved");
            assert_eq!(by_proxy, scheme == "socks5h" && host == "localhost", "{report:#?}");
        }
        let report = through(scheme, proxy.port).login("a", "not-asked-for").ca(web.ca()).target(web.https()).passes().await;
        assert!(detail(&report, Stage::ProxyHandshake).contains("did not ask"), "{report:#?}");
        let report = through(scheme, proxy.port).target(web.http()).passes().await;
        assert!(report.message.contains("cannot prove"), "{report:#?}");
        let down = format!("https://127.0.0.1:{}/", free_port());
        let report = through(scheme, proxy.port).target(down).fails(Stage::ProxyHandshake, Cause::TargetUnreachable).await;
        assert!(report.message.contains("refused"), "{report:#?}");
    }
}

#[tokio::test]
async fn microsocks_with_user_and_password() {
    let every_ascii: String = (' '..='~').collect();
    let (web, proxy) = (WebServer::start(), microsocks(Some(("alice:x", &every_ascii))));
    for scheme in ["socks5", "socks5h"] {
        let ask = || through(scheme, proxy.port).ca(web.ca()).target(web.https());
        let report = ask().login("alice:x", &every_ascii).passes().await;
        assert!(detail(&report, Stage::ProxyHandshake).contains("user name and password accepted"), "{report:#?}");
        ask().login("alice:x", "wrong-sesame").fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected).await;
        let report = ask().fails(Stage::ProxyHandshake, Cause::ProxyAuthRequired).await;
        assert!(hint(&report).contains("Choose Basic"), "{report:#?}");
    }
}

#[tokio::test]
async fn a_name_that_this_machine_does_not_know() {
    let proxy = microsocks(None);
    let report = through("socks5", proxy.port)
        .target("https://does-not-exist.invalid/")
        .timeout(5)
        .fails(Stage::ProxyHandshake, Cause::TargetUnreachable)
        .await;
    assert!(report.message.contains("This server"), "{report:#?}");
    assert!(hint(&report).contains("names resolved by the proxy"), "{report:#?}");
}

#[tokio::test]
async fn dante_without_authentication() {
    let web = WebServer::start();
    let proxy = dante("none", None, "socks block { from: 0.0.0.0/0 to: 127.0.0.0/8 port = 7 }");
    for scheme in ["socks5", "socks5h"] {
        let target = format!("https://localhost:{}/", web.tls_port);
        through(scheme, proxy.port).ca(web.ca()).target(target).passes().await;
        through(scheme, proxy.port).target(web.http()).passes().await;
        let report =
            through(scheme, proxy.port).target("https://127.0.0.1:7/").fails(Stage::ProxyHandshake, Cause::ProxyDenied).await;
        assert!(report.message.contains("rules"), "{report:#?}");
        let down = format!("https://127.0.0.1:{}/", free_port());
        through(scheme, proxy.port).target(down).fails(Stage::ProxyHandshake, Cause::TargetUnreachable).await;
    }
}

#[tokio::test]
async fn dante_with_user_and_password() {
    let web = WebServer::start();
    let proxy = dante("username", Some(("gatehouse-test", "open sesame: 42")), "");
    for scheme in ["socks5", "socks5h"] {
        let ask = || through(scheme, proxy.port).ca(web.ca()).target(web.https());
        ask().login("gatehouse-test", "open sesame: 42").passes().await;
        ask().login("gatehouse-test", "wrong-sesame").fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected).await;
        ask().login("nobody-at-all", "open-sesame").fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected).await;
        ask().fails(Stage::ProxyHandshake, Cause::ProxyAuthRequired).await;
    }
}

#[tokio::test]
async fn a_server_that_lets_in_and_then_says_nothing() {
    let silent = Listener::start(|mut stream| async move {
        let _ = stream.write_all(b"\x05\x00").await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let report = through("socks5h", silent.port).timeout(1).fails(Stage::ProxyHandshake, Cause::ProxyTimeout).await;
    assert!(report.message.contains("let this server in"), "{report:#?}");
}

#[tokio::test]
async fn names_go_to_the_proxy_as_a_labels() {
    let (sender, mut requests) = tokio::sync::mpsc::channel(1);
    let server = Listener::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut greeting = [0; 3];
            let _ = stream.read_exact(&mut greeting).await;
            let _ = stream.write_all(b"\x05\x00").await;
            let mut request = vec![0; 64];
            let length = stream.read(&mut request).await.unwrap_or_default();
            request.truncate(length);
            let _ = sender.send(request).await;
            let _ = stream.write_all(b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00").await;
            linger(stream).await;
        }
    })
    .await;
    let report = through("socks5h", server.port)
        .target("https://bücher.test/")
        .fails(Stage::ProxyHandshake, Cause::TargetUnreachable)
        .await;
    assert!(report.message.contains("bücher.test:443"), "{report:#?}");
    assert_eq!(requests.recv().await.unwrap(), b"\x05\x01\x00\x03\x12xn--bcher-kva.test\x01\xbb");
}

#[tokio::test]
async fn every_reply_code_has_its_cause() {
    for (code, cause) in [
        (1, Cause::TargetUnreachable),
        (2, Cause::ProxyDenied),
        (3, Cause::TargetUnreachable),
        (4, Cause::TargetUnreachable),
        (5, Cause::TargetUnreachable),
        (6, Cause::TargetUnreachable),
        (7, Cause::NotAProxy),
        (8, Cause::TargetUnreachable),
        (9, Cause::TargetUnreachable),
        (0xf0, Cause::TargetUnreachable),
    ] {
        let server = Listener::blurts(vec![5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        for (scheme, target) in
            [("socks5h", "https://example.test/"), ("socks5", "https://[2001:db8::1]/"), ("socks5", "https://localhost/")]
        {
            let report = through(scheme, server.port).target(target).fails(Stage::ProxyHandshake, cause).await;
            assert!(detail(&report, Stage::ProxyHandshake).contains(&code.to_string()), "{report:#?}");
        }
    }
}
