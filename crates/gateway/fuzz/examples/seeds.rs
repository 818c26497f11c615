//! Writes what the fuzzers begin with into `corpus/`: the payloads of the tests.

use std::{fs, io, path::Path};

#[path = "../../tests/it/payloads.rs"]
mod payloads;

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\nVary: Accept-Encoding\r\nCache-Control: max-age=60\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 200 Very good\r\nVia: 1.0 first\r\nVia: 1.1 second\r\n\r\nuntil the end",
    "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nETag: W/\"x\"\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n\r\nHTTP/1.1 304 x\r\nETag: \"y\"\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-3/10\r\nContent-Length: 4\r\nAccept-Ranges: bytes\r\n\r\n",
];

const HOSTS: &[&str] = &[
    "example.com",
    "Example.COM.:443",
    "bücher.example",
    "XN--BCHER-KVA.example:1",
    "ｅｘａｍｐｌｅ．ｃｏｍ",
    "example。com",
    "ex\u{ad}ample.com",
    "under_score.example",
    "127.0.0.1:80",
    "127.1",
    "0177.0.0.1",
    "0x7f.1",
    "2130706433",
    "１２７．１",
    "[::1]:8443",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2001:DB8::1]",
    "user@example.com",
    "example%2ecom",
    "[fe80::1%25eth0]",
    "[127.0.0.1]",
    "::1",
    "a\\b",
    "256.0.0.1",
    "09.1.1.1",
    "0x7f.0.0.0x1g",
    "faß.example",
    "xn--fa-hia.example",
    "a..b",
    "-a.b",
    "1.2.3.4.example",
    "①②⑦.⓪.⓪.①",
    "٠.٠.٠.٠",
];

const CACHED: &[&str] = &[
    "\x00Cache-Control: max-age=0, no-cache=\"a, b\"\nRange: bytes=0-5\nIf-Range: \"x\"\r\n\r\nCache-Control: public, s-maxage=60\nETag: \"x\"\nVary: Accept, Accept-Language",
    "\x05Range: bytes=-5\nIf-None-Match: W/\"a,b\", \"c\", *\r\n\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\nDate: Sunday, 06-Nov-94 08:49:38 GMT\nAge: 10",
    "\x09Accept: text/html, */*\nAuthorization: x\nPragma: no-cache\r\n\r\nExpires: Sun Nov  6 08:49:37 2033\nSet-Cookie: a=b\nVary: accept,  accept",
    "\x30If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\nCache-Control: max-stale, min-fresh=5, only-if-cached\r\n\r\nCache-Control: stale-if-error=10, stale-while-revalidate=\"20\", must-revalidate",
];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |target: &str, at: usize, bytes: &[u8]| {
        let folder = root.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{at:03}")), bytes)
    };
    let fill = |text: &str| text.replace("{url}", "http://a.example/x").replace("{host}", "a.example");
    let mut requests: Vec<String> = payloads::RIGHT.iter().map(|text| fill(text)).collect();
    for line in payloads::BAD_LINES {
        requests.push(format!("POST http://a.example/x HTTP/1.1\r\nHost: a.example\r\n{line}\r\n\r\n"));
    }
    for first in payloads::BAD_FIRST {
        requests.push(format!("{}\r\nHost: a.example\r\n\r\n", fill(first)));
    }
    for (at, text) in requests.iter().enumerate() {
        put("request", at, text.as_bytes())?;
    }
    let lines = payloads::BAD_LINES.iter().map(|line| format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n"));
    for (at, text) in ANSWERS.iter().map(ToString::to_string).chain(lines).enumerate() {
        put("response", at, text.as_bytes())?;
    }
    let right = payloads::RIGHT.iter().filter_map(|text| text.split_once("\r\n\r\n")).map(|(_, body)| body);
    for (at, text) in payloads::BAD_CHUNKS.iter().copied().chain(right).enumerate() {
        put("body", at, format!("\x02\x05{text}").as_bytes())?;
    }
    for (at, text) in HOSTS.iter().enumerate() {
        put("names", at, text.as_bytes())?;
    }
    for (at, text) in CACHED.iter().enumerate() {
        put("cache", at, text.as_bytes())?;
    }
    // The policy with everything in it, whole and table by table.
    let policy = include_str!("../../examples/policy.toml");
    put("policy", 0, policy.as_bytes())?;
    put("policy", 1, policy.replace("#:", "").as_bytes())?;
    for (at, part) in policy.replace("#:", "").split("\n\n").enumerate() {
        put("policy", at + 2, part.as_bytes())?;
    }
    Ok(())
}
