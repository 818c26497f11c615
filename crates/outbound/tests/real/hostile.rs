//! Proxies and targets that try to get the credentials into a report. `Ask::run` looks for them in every report, event
//! and log line.

use gatehouse_domain::{Cause, Stage};
use tokio::io::AsyncWriteExt as _;

use crate::{
    ask::{http, through, was_logged},
    certificates::Authority,
    listener::{Listener, authorization, linger, read_head},
    parts::Squid,
};

const PASSWORD: &str = "hostile-Pass-1234";

/// Answers with what this makes of the `Proxy-Authorization` it got.
async fn reflecting(answer: impl Fn(&str, &str) -> String + Clone + Send + Sync + 'static) -> Listener {
    Listener::start(move |mut stream| {
        let answer = answer.clone();
        async move {
            let head = read_head(&mut stream).await;
            let field = authorization(&head);
            let base64 = field.strip_prefix("Basic ").unwrap_or_default();
            let text = answer(base64, PASSWORD);
            let _ = stream.write_all(text.as_bytes()).await;
            linger(stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn reflected_credentials_reach_no_report() {
    for status in [200, 302, 403, 407, 418, 502, 503] {
        let listener = reflecting(move |base64, password| {
            format!(
                "HTTP/1.1 {status} {base64} {password}\r\nProxy-Authenticate: {base64} realm=\"{password}\", {password}\r\nX-Squid-Error: {password}\r\n\
                 Proxy-Status: x; error={password}\r\nLocation: http://{password}/\r\nServer: {base64}\r\n{password}: {password}\r\n\r\n\
                 {{\"ip\": \"{password}\"}}\nip={base64}\n{password}"
            )
        })
        .await;
        for target in ["http://example.test/", "https://example.test/"] {
            http(listener.port).login("alice", PASSWORD).target(target).run().await;
        }
    }
}

#[tokio::test]
async fn offers_are_named_from_a_list_and_not_as_they_come() {
    let listener = reflecting(|base64, password| {
        format!("HTTP/1.1 407 x\r\nProxy-Authenticate: {}, {}, ntlm\r\n\r\n", base64.replace('=', ""), password)
    })
    .await;
    let report = http(listener.port).login("alice", PASSWORD).fails(Stage::ProxyHandshake, Cause::ProxyAuthUnsupported).await;
    assert!(report.message.contains("only a scheme that is not known and NTLM"), "{report:#?}");
}

#[tokio::test]
async fn garbage_that_is_the_password_reaches_no_report() {
    for text in [PASSWORD.to_string(), format!("HTTP/1.1 {PASSWORD}\r\n\r\n"), format!("\x05\x02\x01\x01{PASSWORD}")] {
        let listener = Listener::blurts(text).await;
        for scheme in ["http", "https", "socks5", "socks5h"] {
            through(scheme, listener.port).login("alice", PASSWORD).run().await;
        }
    }
}

/// The names in a certificate are the only foreign words in a report.
#[tokio::test]
async fn certificates_that_hold_the_password_are_not_shown() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let base64 = STANDARD.encode(format!("alice:{PASSWORD}"));
    for name in [format!("CA of {PASSWORD}!"), base64, PASSWORD.to_uppercase()] {
        let authority = Authority::new(&name);
        let proxy = Squid { tls: Some(&authority.issue(&[&format!("{PASSWORD}.test")])), ..Squid::default() }.start();
        let ask = || through("https", proxy.port).login("alice", PASSWORD).timeout(5);
        let report = ask().fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
        assert!(report.message.contains("(a name that is not shown)"), "{report:#?}");
        let report = ask().ca(&authority.pem).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
        assert!(report.message.contains("another name: (a name that is not shown)"), "{report:#?}");
        // The log that is searched is the real one: TLS does write into it.
        assert!(was_logged("rustls"));
        assert!(!format!("{report:?}").to_lowercase().contains(&PASSWORD.to_lowercase()), "{report:#?}");
    }
}

#[tokio::test]
async fn names_in_certificates_are_bounded_and_cleaned() {
    let authority = Authority::new(&format!("CA\u{202e}\u{7}\u{200b} {}", "x".repeat(500)));
    let proxy = Squid { tls: Some(&authority.issue(&["127.0.0.1"])), ..Squid::default() }.start();
    let report = through("https", proxy.port).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
    assert!(report.message.contains("CA xxx") && report.message.contains("xxx…"), "{report:#?}");
    assert!(report.message.chars().count() < 300, "{report:#?}");
}

/// Whatever bytes come, a report with all its parts comes out of them.
#[tokio::test]
async fn arbitrary_bytes() {
    use proptest::{
        prelude::{Strategy as _, any},
        strategy::ValueTree as _,
        test_runner::TestRunner,
    };
    let mut runner = TestRunner::deterministic();
    let begins: [&[u8]; 6] = [
        b"",
        b"\x05\x00",
        b"\x05\x02\x01\x00\x05\x00",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 407 x\r\nProxy-Authenticate: ",
        b"\x16\x03\x03",
    ];
    for begin in begins {
        for _ in 0..8 {
            let bytes = any::<Vec<u8>>().new_tree(&mut runner).unwrap().current();
            let listener = Listener::blurts([begin, &bytes].concat()).await;
            for scheme in ["http", "https", "socks5", "socks5h"] {
                for target in ["https://127.0.0.1:1/", "http://127.0.0.1:1/"] {
                    through(scheme, listener.port).login("alice", PASSWORD).target(target).timeout(2).run().await;
                }
            }
        }
    }
}
