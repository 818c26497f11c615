//! Text is compressed for those who take it, and for nobody else.

use std::process::Command;

use crate::bed::{Answer, Client, OPEN, Origin, gateway, text};

const COMPRESSING: &str = "[compress]\nenabled = true\n";

struct Bed {
    origin: Origin,
    gateway: gatehouse_gateway::Gateway,
}

impl Bed {
    async fn with(sections: &str) -> Self {
        Self { origin: Origin::start().await, gateway: gateway(&format!("{sections}{OPEN}")).await }
    }

    /// The answer to a request with these fields; the origin answers with the fields in `say`.
    async fn ask(&self, method: &str, path: &str, fields: &str, say: &[&str]) -> Answer {
        let say: String = say.iter().map(|line| format!("X-Say: {line}\r\n")).collect();
        let request =
            format!("{method} {} HTTP/1.1\r\nHost: {}\r\n{fields}{say}\r\n", self.origin.url(path), self.origin.address);
        let mut client = Client::to(&self.gateway).await;
        client.write(request).await;
        client.answer_to(method).await.expect("an answer")
    }

    /// What curl makes of it.
    async fn curl(&self, path: &str, coding: &str, say: &[&str]) -> (String, String) {
        let proxy = format!("http://{}", self.gateway.addresses()[0]);
        let mut command = Command::new("curl");
        command.args([
            "-s",
            "-i",
            "--noproxy",
            "",
            "--proxy",
            &proxy,
            "--compressed",
            "-H",
            &format!("Accept-Encoding: {coding}"),
        ]);
        for line in say {
            command.args(["-H", &format!("X-Say: {line}")]);
        }
        let url = self.origin.url(path);
        let output = tokio::task::spawn_blocking(move || command.arg(url).output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_string(), body.to_string())
    }
}

const HTML: &str = "Content-Type: text/html; charset=utf-8";

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_each_coding_from_the_target_and_from_the_cache() {
    let bed = Bed::with(&format!("{COMPRESSING}[cache]\nenabled = true\n")).await;
    for coding in ["gzip", "br", "zstd"] {
        for path in ["/text", "/text-in-chunks"] {
            for control in ["Cache-Control: no-store", "Cache-Control: max-age=60", "Cache-Control: max-age=60"] {
                let (head, body) = bed.curl(path, coding, &[HTML, control]).await;
                assert!(body == text(), "{coding} {path} {control}: {head}");
                assert!(head.contains(&format!("Content-Encoding: {coding}")), "{head}");
                assert!(head.contains("Vary: Accept-Encoding"), "{head}");
            }
        }
    }
    let metrics = bed.gateway.metrics();
    let saved = |name: &str| -> u64 {
        metrics.lines().find_map(|line| line.strip_prefix(&format!("gatehouse_gateway_{name} "))).unwrap().parse().unwrap()
    };
    // 18 answers of which at least nine tenths each were saved.
    assert!(saved("compress_saved_bytes_total") > 15 * text().len() as u64 * 8 / 10, "{metrics}");
    assert!(saved("cache_saved_bytes_total") > 0, "{metrics}");
}

#[tokio::test]
async fn what_is_not_to_be_compressed_is_not() {
    let bed = Bed::with(COMPRESSING).await;
    let gzip = "Accept-Encoding: gzip\r\n";
    let cases: [(&str, &[&str], &str); 12] = [
        ("no type", &[], gzip),
        ("a picture", &["Content-Type: image/png"], gzip),
        ("encoded", &[HTML, "Content-Encoding: x-own"], gzip),
        ("a part", &[HTML, "Content-Range: bytes 0-1/2"], gzip),
        ("no-transform", &[HTML, "Cache-Control: max-age=5, no-transform"], gzip),
        ("signed", &[HTML, "Repr-Digest: sha-256=:AA==:"], gzip),
        ("events", &["Content-Type: text/event-stream"], gzip),
        ("nothing accepted", &[HTML], ""),
        ("another coding", &[HTML], "Accept-Encoding: deflate\r\n"),
        ("refused", &[HTML], "Accept-Encoding: gzip;q=0\r\n"),
        ("liked less", &[HTML], "Accept-Encoding: identity, gzip;q=0.1\r\n"),
        ("the client says no-transform", &[HTML], "Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n"),
    ];
    for (name, say, fields) in cases {
        let answer = bed.ask("GET", "/text", fields, say).await;
        assert_eq!(answer.body, text(), "{name}: {}", answer.head);
        assert_ne!(answer.field("content-encoding"), Some("gzip"), "{name}: {}", answer.head);
        assert_eq!(answer.field("content-length"), Some(text().len().to_string().as_str()), "{name}");
    }
    // What is not compressed for this one is for another: caches behind have to know.
    let plain = bed.ask("GET", "/text", "", &[HTML, "Vary: Origin"]).await;
    assert_eq!(plain.head.matches("Vary: ").count(), 2, "{}", plain.head);
    let picture = bed.ask("GET", "/text", gzip, &["Content-Type: image/png"]).await;
    assert_eq!(picture.field("vary"), None);
    // Not worth it.
    let short = bed.ask("GET", "/size", gzip, &[]).await;
    assert_eq!(short.body, "0");
}

#[tokio::test]
async fn a_tag_becomes_a_weak_one_and_is_understood_again() {
    let bed = Bed::with(&format!("{COMPRESSING}[cache]\nenabled = true\n")).await;
    let say = [HTML, "ETag: \"x\"", "Accept-Ranges: bytes", "Cache-Control: max-age=60"];
    let gzip = "Accept-Encoding: gzip\r\n";
    for from in ["the target", "the cache"] {
        let answer = bed.ask("GET", "/text", gzip, &say).await;
        assert_eq!(answer.field("etag"), Some("W/\"x\""), "{from}: {}", answer.head);
        assert_eq!(answer.field("accept-ranges"), None, "{from}");
        let again = bed.ask("GET", "/text", &format!("{gzip}If-None-Match: W/\"x\"\r\n"), &say).await;
        assert_eq!((again.status, again.field("etag")), (304, Some("W/\"x\"")), "{from}: {}", again.head);
    }
    // Whoever takes no coding gets what the target sent, its strong tag, and parts of it.
    let plain = bed.ask("GET", "/text", "Range: bytes=2-6\r\nIf-Range: \"x\"\r\n", &say).await;
    assert_eq!((plain.status, plain.body.as_str(), plain.field("etag")), (206, "green", Some("\"x\"")), "{}", plain.head);
    // A weak one does not stand for the bytes (RFC 9110, section 13.1.5).
    let weak = bed.ask("GET", "/text", "Range: bytes=2-6\r\nIf-Range: W/\"x\"\r\n", &say).await;
    assert_eq!((weak.status, weak.body.len()), (200, text().len()));
    let head = bed.ask("HEAD", "/text", gzip, &say).await;
    assert_eq!((head.field("content-encoding"), head.field("content-length")), (Some("gzip"), None), "{}", head.head);
    assert_eq!(bed.origin.seen().len(), 1, "the cache did the rest");
}

#[tokio::test]
async fn without_the_setting_nothing_is_touched() {
    let bed = Bed::with("").await;
    let answer = bed.ask("GET", "/text", "Accept-Encoding: gzip\r\n", &[HTML, "ETag: \"x\""]).await;
    assert_eq!((answer.field("etag"), answer.field("vary"), answer.field("content-encoding")), (Some("\"x\""), None, None));
    assert_eq!(answer.body, text());
}
