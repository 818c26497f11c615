//! Heads of requests: the same in pieces as in one, and the same again when they were passed on.
#![no_main]

use gatehouse_gateway::http::{
    head::{self, Request, Wrong},
    write::{self, RequestLine},
};
use gatehouse_gateway_fuzz::{body, cuts, kept, pairs, passing, via};
use libfuzzer_sys::fuzz_target;

fn same(a: &Request, b: &Request) {
    assert_eq!(
        (a.method, a.target, a.is_old, &a.fields, a.framing, a.end),
        (b.method, b.target, b.is_old, &b.fields, b.framing, b.end)
    );
}

fuzz_target!(|bytes: &[u8]| {
    let whole = head::request(bytes);
    let end = whole.as_ref().ok().and_then(|head| head.as_ref()).map_or(bytes.len(), |head| head.end);
    for cut in cuts(bytes.len(), bytes.last().copied().unwrap_or_default()) {
        match (head::request(&bytes[..cut]), &whole) {
            (Ok(None), _) => assert!(cut < end || !matches!(whole, Ok(Some(_))), "whole at {end}, more is asked for at {cut}"),
            (Ok(Some(part)), Ok(Some(whole))) => {
                assert!(cut >= end);
                same(&part, whole);
            }
            // What was refused early would have been refused.
            (Err(_), Err(_)) => {}
            (part, whole) => panic!("at {cut}: {part:?}, whole: {whole:?}"),
        }
    }
    let Ok(Some(request)) = whole else { return };
    assert!(request.end <= bytes.len());
    let said = head::connection(bytes, &request.fields);
    let line = RequestLine {
        method: request.method.of(bytes),
        target: request.target.of(bytes),
        host: "a.example",
        client: Some("10.0.0.1"),
        authorization: None,
        upgrade: None,
        asks_with: None,
    };
    let mut out = Vec::new();
    write::request(&mut out, bytes, &request, said, line, body(request.framing), &passing());
    let again = match head::request(&out) {
        Ok(again) => again.expect("whole"),
        // Host and Via come to it.
        Err(Wrong::TooLarge) if request.fields.len() > 195 || request.end > 60_000 => return,
        Err(wrong) => panic!("{wrong:?}: {}", String::from_utf8_lossy(&out)),
    };
    assert_eq!(again.end, out.len(), "nothing behind it");
    assert_eq!((again.method.of(&out), again.target.of(&out), again.is_old), (line.method, line.target, false));
    assert_eq!(again.framing, request.framing);
    let mut expected = vec![(b"host".to_vec(), b"a.example".to_vec())];
    let mut not = vec!["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
    not.extend(["x-real-ip", "x-client-ip", "true-client-ip"]);
    let counts_down = matches!(line.method, b"OPTIONS" | b"TRACE");
    if counts_down {
        // One less; looked at by a test of its own.
        not.push("max-forwards");
    }
    expected.extend(kept(bytes, &request.fields, &not));
    expected.push(via(bytes, &request.fields, request.is_old));
    let mut got = pairs(&out, &again.fields);
    got.retain(|(name, _)| !matches!(&name[..], b"content-length" | b"transfer-encoding"));
    got.retain(|(name, _)| !(counts_down && name == b"max-forwards"));
    assert_eq!(got, expected);
    assert!(write::is_loop(&out, &again.fields, "gw"));
});
