//! What a cache reads: directives, dates, tags, ranges, `Vary`. The input is two heads, of a request and of the answer to it.
#![no_main]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatehouse_gateway::{
    fuzzed::{
        control::Control,
        rules::{self, Asks, Ranged, Use},
    },
    http::head::{self, Known},
};
use libfuzzer_sys::fuzz_target;

const DAY: Duration = Duration::from_secs(24 * 3600);

fuzz_target!(|bytes: &[u8]| {
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let split = memfind(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    // Only lines: a fuzzer that has to find out what a head looks like finds nothing else.
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect::<Vec<_>>();
    let head = |first: &str, bytes: &[u8]| {
        let mut text = first.as_bytes().to_vec();
        for line in lines(bytes).into_iter().filter(|line| line.contains(&b':')) {
            text.extend_from_slice(&line);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text
    };
    let asked_text = head("GET /x HTTP/1.1\r\nHost: a\r\n", &bytes[..split]);
    let status = [200, 203, 204, 206, 301, 302, 304, 404, 410, 500, 504, 511][usize::from(*seed) % 12];
    let text = head(&format!("HTTP/1.1 {status} x\r\n"), &bytes[split..]);
    let (Ok(Some(request)), Ok(Some(response))) = (head::request(&asked_text), head::response(&text)) else { return };

    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let waited = Duration::from_secs(u64::from(*seed));
    let tag = head::values(&text, &response.fields, Known::ETag).next();
    let modified = head::values(&text, &response.fields, Known::LastModified).next().and_then(rules::date);
    for known in [Known::Date, Known::Expires, Known::LastModified, Known::IfModifiedSince] {
        for date in head::values(&text, &response.fields, known).chain(head::values(&asked_text, &request.fields, known)) {
            let _ = rules::date(date);
        }
    }
    let control = Control::of(&text, &response.fields);
    let freshness =
        rules::freshness(&text, &response.fields, status, control, rules::age_said(&text, &response.fields), now, waited);
    assert!(rules::age_said(&text, &response.fields) <= 1 << 31);
    if let Some(asks) = Asks::of(&asked_text, &request) {
        if let Some(stored) = rules::storable(&asks, &text, &response, now, waited) {
            // What must not be kept was not.
            assert_eq!(stored, freshness);
            assert!(!control.private && !asks.control.no_store && (!control.no_store || control.must_understand));
            assert!(!matches!(status, 206 | 304) && !asks.is_head);
            let is_open = control.public || control.s_maxage.is_some();
            assert!(is_open || !head::has(&response.fields, Known::SetCookie));
            assert!(is_open || control.must_revalidate || !asks.is_authorized);
        }
        for resident in [Duration::ZERO, DAY, DAY * 365, Duration::MAX] {
            let used = freshness.judge(&asks.control, resident);
            if used == Use::Fresh {
                assert!(
                    freshness.age_after(resident) < freshness.lifetime && !asks.control.no_cache && !freshness.control.no_cache
                );
            }
            if matches!(used, Use::Stale | Use::StaleWhileAsking) || freshness.helps_in_need(&asks.control, resident) {
                assert!(!freshness.control.forbids_stale());
            }
        }
        // What is not fresh now does not become so.
        let is_fresh = |seconds| freshness.judge(&asks.control, Duration::from_secs(seconds)) == Use::Fresh;
        assert!(is_fresh(0) || !is_fresh(1000));
    }
    for length in [0, 1, u64::from(*seed) * 7, u64::MAX >> 4] {
        for dated in [None, Some(now), modified, modified.map(|modified| modified + DAY)] {
            if let Ranged::Part(part) = rules::range(&asked_text, &request, length, tag, modified, dated) {
                assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            }
        }
    }
    let _ = rules::has_already(&asked_text, &request, tag, modified);
    let _ = rules::has_already(&asked_text, &request, None, Some(SystemTime::now()));
    let names = rules::varies_by(&text, &response.fields);
    let variant = rules::variant(&asked_text, &request.fields, &names);
    assert_eq!(variant.len(), names.len());
    // White space around what stands in a field's list means nothing.
    let spaced =
        String::from_utf8(asked_text.clone()).ok().filter(|text| !text.contains('"')).map(|text| text.replace(',', " ,\t "));
    if let Some(spaced) = spaced
        && let Ok(Some(same)) = head::request(spaced.as_bytes())
    {
        assert_eq!(rules::variant(spaced.as_bytes(), &same.fields, &names), variant);
    }
});

fn memfind(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
