//! Spellings of forbidden addresses: none gets through the parser and the guard.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use gatehouse_gateway::{guard::Guard, names::Host};

/// The lines of `data/forbidden.txt`.
fn spellings() -> Vec<String> {
    let lines = include_str!("data/forbidden.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(plain).collect()
}

/// `\x{200b}` is that code point: what can't be seen would be lost in an editor.
fn plain(line: &str) -> String {
    let mut pieces = line.split("\\x{");
    let mut text = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let (code, rest) = piece.split_once('}').unwrap();
        text.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        text.push_str(rest);
    }
    text
}

#[test]
fn there_are_enough() {
    assert!(spellings().len() >= 200, "{}", spellings().len());
}

#[test]
fn none_gets_through() {
    let guard = Guard::default();
    for spelling in spellings() {
        for text in [spelling.clone(), spelling.to_uppercase()] {
            if let Ok(host) = Host::parse(&text) {
                assert!(guard.vet_host(&host).is_err(), "{text} is {host}");
            }
            // As the target of CONNECT and as the authority of a URL.
            for authority in [format!("{text}:443"), text] {
                if let Ok((host, _)) = Host::parse_authority(&authority, Some(80)) {
                    assert!(guard.vet_host(&host).is_err(), "{authority} is {host}");
                }
            }
        }
    }
}

#[test]
fn a_resolver_that_answers_with_them_helps_nobody() {
    let guard = Guard::default();
    for address in spellings().iter().filter_map(|spelling| Host::parse(spelling).ok()?.address()) {
        assert!(guard.vet(address).is_err(), "{address}");
        assert!(guard.vet_socket((address, 443).into()).is_err(), "{address}");
    }
}

#[test]
fn what_stands_beside_them_is_open() {
    let guard = Guard::default();
    for text in [
        "example.com",
        "8.8.8.8",
        "126.255.255.255",
        "128.0.0.1",
        "11.0.0.1",
        "172.32.0.1",
        "100.128.0.1",
        "169.253.0.1",
        "0127.0.0.9",
        "[2606:4700:4700::1111]",
        "[::ffff:8.8.8.8]",
        "localhost.example.com",
        "metadata.example.com",
        "notlocalhost",
    ] {
        let host = Host::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(guard.vet_host(&host), Ok(()), "{text}");
    }
}
