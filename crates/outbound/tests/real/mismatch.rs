//! The right proxy, spoken to in the wrong way.

use gatehouse_domain::{Cause, Stage};

use crate::{
    ask::{hint, http, through},
    certificates::Authority,
    listener::Listener,
    parts::{Squid, WebServer, dante, microsocks, tinyproxy},
};

#[tokio::test]
async fn an_http_proxy_spoken_to_in_socks() {
    let web = WebServer::start();
    for scheme in ["socks5", "socks5h"] {
        let report = through(scheme, web.port).timeout(3).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
        assert!(hint(&report).contains("choose HTTP under More"), "{report:#?}");
    }
    // These wait for the end of a line that never comes: nothing is there to recognise them by.
    for part in [Squid::default().start(), tinyproxy("")] {
        let report = through("socks5", part.port).timeout(1).fails(Stage::ProxyHandshake, Cause::ProxyTimeout).await;
        assert!(hint(&report).contains("choose HTTP under More"), "{report:#?}");
    }
}

#[tokio::test]
async fn an_http_proxy_spoken_to_over_tls() {
    let (squid, web) = (Squid::default().start(), WebServer::start());
    for port in [squid.port, web.port] {
        let report = through("https", port).timeout(3).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
        assert!(hint(&report).contains("Choose HTTP under More"), "{report:#?}");
    }
}

#[tokio::test]
async fn a_proxy_over_tls_spoken_to_in_plain() {
    let authority = Authority::new("Proxy CA");
    let squid = Squid { tls: Some(&authority.issue(&["127.0.0.1"])), ..Squid::default() }.start();
    let report = http(squid.port).timeout(3).run().await;
    assert!(matches!(report.cause, Some(Cause::NotAProxy | Cause::ProxyClosed)), "{report:#?}");
    assert!(hint(&report).contains("HTTPS"), "{report:#?}");
    // As most TLS servers answer.
    let alert = Listener::blurts(&b"\x15\x03\x01\x00\x02\x02\x46"[..]).await;
    for ask in [http(alert.port), through("socks5", alert.port)] {
        let report = ask.fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
        assert!(report.message.contains("speaks TLS") && hint(&report).contains("choose HTTPS"), "{report:#?}");
    }
}

#[tokio::test]
async fn a_socks_proxy_spoken_to_in_http() {
    // One says "no acceptable method" in SOCKS5, the other closes.
    for part in [microsocks(None), dante("none", None, "")] {
        let report = http(part.port).timeout(3).run().await;
        assert!(matches!(report.cause, Some(Cause::NotAProxy | Cause::ProxyClosed)), "{report:#?}");
        assert!(hint(&report).contains("SOCKS"), "{report:#?}");
    }
    let replies = Listener::blurts(&b"\x05\xff"[..]).await;
    let report = http(replies.port).fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
    assert!(hint(&report).contains("choose SOCKS5"), "{report:#?}");
}

#[tokio::test]
async fn servers_of_other_kinds() {
    for (banner, words) in [("SSH-2.0-OpenSSH_9.2\r\n", "SSH server"), ("220 mail.test ESMTP\r\n", "mail or file server")] {
        let server = Listener::blurts(banner).await;
        for ask in [http(server.port), through("socks5h", server.port)] {
            let report = ask.fails(Stage::ProxyHandshake, Cause::NotAProxy).await;
            assert!(report.message.contains(words), "{report:#?}");
        }
    }
}
