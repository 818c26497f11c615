//! Heads of answers: the same in pieces as in one, the same again when they were passed on, and still ones after each change that the
//! cache and the compression make to them.
#![no_main]

use gatehouse_gateway::http::{
    head::{self, Framing, Wrong},
    write::{self, Body},
};
use gatehouse_gateway_fuzz::{body, cuts, kept, pairs, passing, via};
use libfuzzer_sys::fuzz_target;

/// A head that was written here, of this status.
fn is_one(text: &[u8], status: u16) {
    match head::response(text) {
        Ok(Some(head)) => assert_eq!((head.status, head.end), (status, text.len()), "{}", String::from_utf8_lossy(text)),
        Err(Wrong::TooLarge) => {}
        other => panic!("{other:?}: {}", String::from_utf8_lossy(text)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = head::response(bytes);
    let end = whole.as_ref().ok().and_then(|head| head.as_ref()).map_or(bytes.len(), |head| head.end);
    for cut in cuts(bytes.len(), bytes.last().copied().unwrap_or_default()) {
        match (head::response(&bytes[..cut]), &whole) {
            (Ok(None), _) => assert!(cut < end || !matches!(whole, Ok(Some(_))), "whole at {end}, more is asked for at {cut}"),
            (Ok(Some(part)), Ok(Some(whole))) => {
                assert_eq!(
                    (part.status, part.is_old, part.reason, &part.fields, part.framing, part.is_doubtful, part.end),
                    (whole.status, whole.is_old, whole.reason, &whole.fields, whole.framing, whole.is_doubtful, whole.end)
                );
            }
            (Err(_), Err(_)) => {}
            (part, whole) => panic!("at {cut}: {part:?}, whole: {whole:?}"),
        }
    }
    let Ok(Some(response)) = whole else { return };
    assert!(response.end <= bytes.len() && (100..600).contains(&response.status));
    let said = head::connection(bytes, &response.fields);
    let is_large = response.fields.len() > 190 || response.end > 60_000;
    for closes in [false, true] {
        let mut out = Vec::new();
        write::response(&mut out, bytes, &response, said, body(response.framing), closes, &passing());
        let again = match head::response(&out) {
            Ok(again) => again.expect("whole"),
            Err(Wrong::TooLarge) if is_large => return,
            Err(wrong) => panic!("{wrong:?}: {}", String::from_utf8_lossy(&out)),
        };
        assert_eq!(again.end, out.len(), "nothing behind it");
        assert_eq!((again.status, again.is_old, again.is_doubtful), (response.status, false, false));
        assert_eq!(again.framing, response.framing);
        assert_eq!(again.reason.of(&out), response.reason.of(bytes));
        assert_eq!(head::connection(&out, &again.fields).close, closes);
        let mut expected = kept(bytes, &response.fields, &[]);
        expected.push(via(bytes, &response.fields, response.is_old));
        let mut got = pairs(&out, &again.fields);
        let written = [&b"content-length"[..], b"transfer-encoding", b"connection", b"upgrade"];
        got.retain(|(name, _)| !written.contains(&&name[..]));
        assert_eq!(got, expected);
    }
    // As the cache keeps it, gives it, brings it up to date; as it is when its body is coded.
    let mut stored = Vec::new();
    write::stored(&mut stored, bytes, &response, said, &passing());
    is_one(&stored, response.status);
    let Ok(Some(kept)) = head::response(&stored) else { return };
    assert!(!pairs(&stored, &kept.fields).iter().any(|(name, _)| matches!(&name[..], b"content-length" | b"transfer-encoding")));
    for (status, expected) in [(206, 206), (304, 304), (416, 416), (0, response.status)] {
        let mut given = Vec::new();
        write::from_stored(&mut given, &stored, status);
        is_one(&given, expected);
        write::append(&mut given, &[b"Cache-Status: gw; hit"]);
        write::append_number(&mut given, b"Age: ", u64::MAX);
        write::end(&mut given, Body::Length(7), true, false);
        is_one(&given, expected);
    }
    for (is_coded, coding) in [(false, None), (true, None), (true, Some("br"))] {
        let mut coded = stored.clone();
        write::recode(&mut coded, is_coded, coding);
        is_one(&coded, response.status);
    }
    let mut merged = Vec::new();
    write::merged(&mut merged, (&stored, &kept), (bytes, &response));
    is_one(&merged, response.status);
    // What a second one says, if there is one behind the first.
    if let Ok(Some(newer)) = head::response(&bytes[response.end..]) {
        let mut merged = Vec::new();
        write::merged(&mut merged, (&stored, &kept), (&bytes[response.end..], &newer));
        is_one(&merged, response.status);
        if let Ok(Some(merged)) = head::response(&merged) {
            assert!(response.framing == Framing::None || !matches!(merged.framing, Framing::Length(_)), "the body stays");
        }
    }
});
