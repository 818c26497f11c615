//! What may be stored, for how long it holds, and whom it may answer (RFC 9111; RFC 9110, sections 13 and 14).
//!
//! Own code and not `http-cache-semantics`: that one keeps a field that stands there several times once, knows directives in lower
//! case only, takes quoted commas for real ones, makes `proxy-revalidate` forbid what is fresh, and copies every head into a map
//! of its own on each hit. Here heads stay where they are. ARCHITECTURE.md, "The cache".

use std::{
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::control::{self, Control};
use crate::http::head::{self, Field, Known, Request, Response};

/// The longest time that is guessed for what does not say how long it holds (section 4.2.2).
const LONGEST_GUESS: u64 = 24 * 3600;

/// What a request says to a cache.
#[derive(Debug, Clone, Copy)]
pub struct Asks {
    /// Its directives. `Pragma: no-cache` counts where there are none (section 5.4).
    pub control: Control,
    /// It says who asks (RFC 9110, section 11.6.2).
    pub is_authorized: bool,
    /// `If-None-Match` or `If-Modified-Since`.
    pub is_conditional: bool,
    /// `Range`.
    pub is_ranged: bool,
    /// `HEAD`, and not `GET`.
    pub is_head: bool,
}

impl Asks {
    /// Reads a request; `None` where a cache has nothing to do with it: another method, a body, or conditions that only the target
    /// may judge (section 4.3.2).
    #[must_use]
    pub fn of(buffer: &[u8], request: &Request) -> Option<Self> {
        let is_head = match request.method.of(buffer) {
            b"GET" => false,
            b"HEAD" => true,
            _ => return None,
        };
        if request.framing != head::Framing::None {
            return None;
        }
        let fields = &request.fields;
        // A field that is named as one of this connection does not go on, and must not select an answer for others.
        let is_hidden = |field: &Field| {
            let is_of_connections = matches!(
                field.known,
                Known::Te
                    | Known::KeepAlive
                    | Known::Connection
                    | Known::ProxyConnection
                    | Known::Upgrade
                    | Known::Hop
                    | Known::Trailer
                    | Known::TransferEncoding
            );
            !is_of_connections && head::is_named(buffer, fields, field.name.of(buffer))
        };
        if head::connection(buffer, fields).names_fields && fields.iter().any(is_hidden) {
            return None;
        }
        let mut asks =
            Self { control: Control::of(buffer, fields), is_authorized: false, is_conditional: false, is_ranged: false, is_head };
        for field in fields {
            match field.known {
                Known::Authorization => asks.is_authorized = true,
                Known::IfNoneMatch | Known::IfModifiedSince => asks.is_conditional = true,
                Known::Range => asks.is_ranged = true,
                Known::IfMatch | Known::IfUnmodifiedSince | Known::Upgrade => return None,
                Known::Pragma if !asks.control.is_there => {
                    let says = head::tokens(field.value.of(buffer)).any(|token| token.eq_ignore_ascii_case(b"no-cache"));
                    asks.control.no_cache |= says;
                }
                _ => {}
            }
        }
        Some(asks)
    }
}

/// How long a stored answer holds, and what holds afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// For so long, in seconds, from when it was made (section 4.2.1).
    pub lifetime: u64,
    /// How old it was when it came, in seconds (section 4.2.3).
    pub age: u64,
    /// What it says.
    pub control: Control,
    /// There is something to ask with whether it still holds.
    pub has_validator: bool,
}

/// What may be done with a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It may be sent.
    Fresh,
    /// It is old, and may be sent: the one who asks takes it.
    Stale,
    /// It is old, and may be sent if the target is asked meanwhile (RFC 5861, section 3).
    StaleWhileAsking,
    /// The target has to be asked first.
    Ask,
}

impl Freshness {
    /// Its age now, when it has been here for `resident`.
    #[must_use]
    pub fn age_after(&self, resident: Duration) -> u64 {
        self.age.saturating_add(resident.as_secs())
    }

    /// Whether it may answer this request (section 4).
    #[must_use]
    pub fn judge(&self, asked: &Control, resident: Duration) -> Use {
        if asked.no_cache || self.control.no_cache {
            return Use::Ask;
        }
        let age = self.age_after(resident);
        let left = self.lifetime.saturating_sub(age);
        let is_fresh = self.lifetime > age;
        // Of what came a moment ago nobody can say that it is not older than nothing.
        if asked.max_age.is_some_and(|most| age > most || most == 0) || asked.min_fresh.is_some_and(|least| left < least) {
            return Use::Ask;
        }
        if is_fresh {
            return Use::Fresh;
        }
        let stale_for = age - self.lifetime;
        if self.control.forbids_stale() {
            return Use::Ask;
        }
        if asked.max_stale.is_some_and(|most| stale_for <= most) {
            return Use::Stale;
        }
        // With a request that says how old it may be it is that which counts.
        let is_plain = asked.max_age.is_none() && asked.min_fresh.is_none();
        if is_plain && self.control.stale_while_revalidate.is_some_and(|most| stale_for <= most) {
            return Use::StaleWhileAsking;
        }
        Use::Ask
    }

    /// Whether it may be sent because the target fails (RFC 5861, section 4).
    #[must_use]
    pub fn helps_in_need(&self, asked: &Control, resident: Duration) -> bool {
        if self.control.forbids_stale() || asked.no_cache {
            return false;
        }
        let most = self.control.stale_if_error.max(asked.stale_if_error);
        let stale_for = self.age_after(resident).saturating_sub(self.lifetime);
        most.is_some_and(|most| stale_for <= most)
    }

    /// Whether keeping it can ever be of use.
    fn is_useful(&self) -> bool {
        let later = self.control.stale_if_error.max(self.control.stale_while_revalidate);
        self.has_validator || self.lifetime > self.age || later.is_some_and(|later| later > 0)
    }
}

/// Whether an answer may be stored, and how long it holds then (section 3). `waited` is the time from the request to the answer.
#[must_use]
pub fn storable(asks: &Asks, buffer: &[u8], response: &Response, now: SystemTime, waited: Duration) -> Option<Freshness> {
    let fields = &response.fields;
    let control = Control::of(buffer, fields);
    // A part of an answer is not put together with others here; 304 and 416 are no answers to others.
    if asks.is_head || asks.control.no_store || response.status < 200 || matches!(response.status, 206 | 304 | 416) {
        return None;
    }
    if control.must_understand {
        // Whoever understands the status need not mind `no-store` (section 5.2.2.3).
        if !is_understood(response.status) {
            return None;
        }
    } else if control.no_store {
        return None;
    }
    if control.private {
        return None;
    }
    let is_open = control.public || control.s_maxage.is_some();
    if asks.is_authorized && !(is_open || control.must_revalidate) {
        return None;
    }
    // RFC 9111 does not forbid it (section 7.3); what is meant for one person must be said to be for all.
    if head::has(fields, Known::SetCookie) && !is_open {
        return None;
    }
    if head::values(buffer, fields, Known::Vary).flat_map(head::tokens).any(|name| name == b"*") {
        return None;
    }
    let freshness = freshness(buffer, fields, response.status, control, age_said(buffer, fields), now, waited);
    let is_explicit =
        control.public || control.max_age.is_some() || control.s_maxage.is_some() || head::has(fields, Known::Expires);
    if !is_explicit && !is_guessed(response.status) {
        return None;
    }
    Some(freshness).filter(Freshness::is_useful)
}

/// The age that an answer says it has: the first one; what is no number says nothing (section 5.1).
#[must_use]
pub fn age_said(buffer: &[u8], fields: &[Field]) -> u64 {
    let said = head::values(buffer, fields, Known::Age).flat_map(head::tokens).next();
    said.filter(|text| text.iter().all(u8::is_ascii_digit)).map_or(0, control::seconds)
}

/// How long an answer with these fields holds (section 4.2).
#[must_use]
pub fn freshness(
    buffer: &[u8], fields: &[Field], status: u16, mut control: Control, age_said: u64, now: SystemTime, waited: Duration,
) -> Freshness {
    // Of a server that knows no directives; of no standard as part of an answer, but meant (section 5.4).
    let mut pragmas = head::values(buffer, fields, Known::Pragma).flat_map(head::tokens);
    if !control.is_there && pragmas.any(|token| token.eq_ignore_ascii_case(b"no-cache")) {
        control.no_cache = true;
    }
    let date_of = |known| one(buffer, fields, known).and_then(date);
    let date = date_of(Known::Date).unwrap_or(now);
    let modified = date_of(Known::LastModified);
    let since = |later: SystemTime, earlier: SystemTime| later.duration_since(earlier).unwrap_or_default().as_secs();
    let lifetime = if let Some(seconds) = control.s_maxage.or(control.max_age) {
        seconds
    } else if head::has(fields, Known::Expires) {
        // Not a date, or several: a time in the past (section 5.3).
        date_of(Known::Expires).map_or(0, |expires| since(expires, date))
    } else if is_guessed(status) || control.public {
        modified.map_or(0, |modified| (since(date, modified) / 10).min(LONGEST_GUESS))
    } else {
        0
    };
    let age = since(now, date).max(age_said.saturating_add(waited.as_secs()));
    let has_validator = head::has(fields, Known::ETag) || modified.is_some();
    Freshness { lifetime, age, control, has_validator }
}

/// The only value of a field; `None` also where there are several.
#[must_use]
pub fn one<'a>(buffer: &'a [u8], fields: &'a [Field], known: Known) -> Option<&'a [u8]> {
    let mut values = head::values(buffer, fields, known);
    values.next().filter(|_| values.next().is_none())
}

/// A date in any of the three forms (RFC 9110, section 5.6.7).
#[must_use]
pub fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok().filter(|date| *date > UNIX_EPOCH)
}

/// Statuses whose meaning is known here (section 3).
fn is_understood(status: u16) -> bool {
    let of_clients = matches!(status, 400..=417 | 421..=426 | 428 | 429 | 431 | 451);
    is_guessed(status) || of_clients || matches!(status, 302 | 303 | 307 | 500..=508 | 510 | 511)
}

/// Statuses that hold for some time although they do not say so (RFC 9110, section 15.1).
fn is_guessed(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether an answer to an unsafe method makes what is stored old (section 4.4).
#[must_use]
pub fn invalidates(method: &[u8], status: u16) -> bool {
    (200..400).contains(&status) && !matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"CONNECT")
}

/// An entity tag without the mark of a weak one.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Takes a list of entity tags apart: a comma may stand within one.
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        while let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
        }
        if rest.is_empty() {
            return None;
        }
        let quote = rest.iter().position(|byte| *byte == b'"');
        let end = match quote {
            Some(from) if rest[..from].is_empty() || &rest[..from] == b"W/" => {
                rest[from + 1..].iter().position(|byte| *byte == b'"').map_or(rest.len(), |to| from + to + 2)
            }
            // Not a tag: up to the next comma.
            _ => rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len()),
        };
        let (tag, after) = rest.split_at(end);
        rest = after;
        Some(tag.trim_ascii())
    })
}

/// Whether the client has what is stored already: 304 is the answer then (RFC 9110, section 13.2.2).
#[must_use]
pub fn has_already(buffer: &[u8], request: &Request, tag: Option<&[u8]>, modified: Option<SystemTime>) -> bool {
    if head::has(&request.fields, Known::IfNoneMatch) {
        return head::values(buffer, &request.fields, Known::IfNoneMatch)
            .any(|value| value == b"*" || tags(value).any(|asked| tag.is_some_and(|tag| opaque(tag) == opaque(asked))));
    }
    let since = one(buffer, &request.fields, Known::IfModifiedSince).and_then(date);
    since.zip(modified).is_some_and(|(since, modified)| modified <= since)
}

/// What a `Range` asks for of something so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranged {
    /// All of it: what is asked for is not understood, or is several parts, or the condition does not hold.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have: 416.
    Beyond,
}

/// Reads `Range` and `If-Range` (RFC 9110, sections 14.2 and 13.1.5). `dated` is when the stored answer was made.
#[must_use]
pub fn range(
    buffer: &[u8], request: &Request, length: u64, tag: Option<&[u8]>, modified: Option<SystemTime>, dated: Option<SystemTime>,
) -> Ranged {
    let Some(value) = one(buffer, &request.fields, Known::Range) else { return Ranged::Whole };
    if head::has(&request.fields, Known::IfRange) {
        let Some(condition) = one(buffer, &request.fields, Known::IfRange) else { return Ranged::Whole };
        let holds = if condition.contains(&b'"') {
            // Strong ones only.
            tag.is_some_and(|tag| tag == condition && !tag.starts_with(b"W/"))
        } else {
            // A date is a strong validator when it is at least a second older than the answer (RFC 9110, section 8.8.2.2).
            let is_strong = modified.zip(dated).is_some_and(|(modified, dated)| dated >= modified + Duration::from_secs(1));
            is_strong && date(condition).is_some_and(|condition| Some(condition) == modified)
        };
        if !holds {
            return Ranged::Whole;
        }
    }
    let number = |text: &[u8]| -> Option<u64> {
        let is_number = !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
        is_number.then(|| text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let parse = || -> Option<Ranged> {
        let at = memchr::memchr(b'=', value)?;
        let (unit, set) = (&value[..at], value[at + 1..].trim_ascii());
        if !unit.eq_ignore_ascii_case(b"bytes") || set.contains(&b',') {
            return None;
        }
        let dash = memchr::memchr(b'-', set)?;
        let (first, last) = (set[..dash].trim_ascii(), set[dash + 1..].trim_ascii());
        if first.is_empty() {
            let suffix = number(last)?;
            if suffix == 0 {
                return Some(Ranged::Beyond);
            }
            return Some(if length == 0 { Ranged::Beyond } else { Ranged::Part(length.saturating_sub(suffix)..length) });
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX - 1 } else { number(last)? };
        if last < first {
            return None;
        }
        if first >= length {
            return Some(Ranged::Beyond);
        }
        Some(Ranged::Part(first..(last + 1).min(length)))
    };
    parse().unwrap_or(Ranged::Whole)
}

/// The fields by which answers to the same target differ, with what this request has in them (section 4.1).
#[must_use]
pub fn variant(buffer: &[u8], fields: &[Field], names: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
    names.iter().map(|name| selecting(buffer, fields, name)).collect()
}

/// The value of a selecting field: all its lines, without the white space that means nothing. One that is not there is not one
/// that is empty.
fn selecting(buffer: &[u8], fields: &[Field], name: &[u8]) -> Box<[u8]> {
    let mut value = Vec::new();
    let mut is_there = false;
    for field in fields.iter().filter(|field| field.name.of(buffer).eq_ignore_ascii_case(name)) {
        is_there = true;
        let text = field.value.of(buffer);
        // Within quotes a comma separates nothing, and blanks count.
        let is_quoted = text.contains(&b'"');
        for part in text.split(|byte| *byte == b',' && !is_quoted).map(<[u8]>::trim_ascii) {
            if !value.is_empty() {
                value.push(b',');
            }
            value.extend_from_slice(part);
        }
    }
    if is_there {
        value.push(b'.');
    }
    // What languages, codings and types are called is the same in capitals (RFC 9110, section 12.5).
    if name.starts_with(b"accept") {
        value.make_ascii_lowercase();
    }
    value.into_boxed_slice()
}

/// The names in `Vary`, in lower case and in order.
#[must_use]
pub fn varies_by(buffer: &[u8], fields: &[Field]) -> Vec<Box<[u8]>> {
    let mut names: Vec<Box<[u8]>> = head::values(buffer, fields, Known::Vary)
        .flat_map(head::tokens)
        .map(|name| name.to_ascii_lowercase().into_boxed_slice())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(lines: &str) -> (Vec<u8>, Request) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        let head = head::request(&text).expect("right").expect("whole");
        (text, head)
    }

    fn ranged(value: &str, length: u64) -> Ranged {
        let (text, head) = request(&format!("Range: {value}\r\n"));
        range(&text, &head, length, None, None, None)
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (value, expected) in [
            ("bytes=0-3", Ranged::Part(0..4)),
            ("Bytes=0-3", Ranged::Part(0..4)),
            ("bytes=4-", Ranged::Part(4..10)),
            ("bytes=-3", Ranged::Part(7..10)),
            ("bytes=-30", Ranged::Part(0..10)),
            ("bytes=9-100", Ranged::Part(9..10)),
            ("bytes=10-", Ranged::Beyond),
            ("bytes=-0", Ranged::Beyond),
            ("bytes=3-2", Ranged::Whole),
            ("bytes=0-1,3-4", Ranged::Whole),
            ("lines=0-1", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=", Ranged::Whole),
            ("bytes=--1", Ranged::Whole),
        ] {
            assert_eq!(ranged(value, 10), expected, "{value}");
        }
        assert_eq!(ranged("bytes=-1", 0), Ranged::Beyond);
    }

    #[test]
    fn tags_are_told_apart_whatever_stands_in_them() {
        let all: Vec<_> = tags(b"\"a\", W/\"b,c\" ,,x, \"\"").map(|tag| String::from_utf8_lossy(tag).into_owned()).collect();
        assert_eq!(all, ["\"a\"", "W/\"b,c\"", "x", "\"\""]);
        for (value, expected) in
            [("\"x\"", true), ("W/\"x\"", true), ("*", true), ("\"y\", \"x\"", true), ("\"y\"", false), ("x", false)]
        {
            let (text, head) = request(&format!("If-None-Match: {value}\r\n"));
            assert_eq!(has_already(&text, &head, Some(b"\"x\""), None), expected, "{value}");
        }
    }

    #[test]
    fn a_selecting_field_that_is_empty_is_not_one_that_is_missing() {
        let by = vec![b"accept-language".to_vec().into_boxed_slice()];
        let of = |lines: &str| {
            let (text, head) = request(lines);
            variant(&text, &head.fields, &by)
        };
        assert_ne!(of(""), of("Accept-Language:\r\n"));
        assert_eq!(of("Accept-Language: de,  en\r\n"), of("accept-language: de\r\nAccept-Language: en\r\n"));
        assert_ne!(of("Accept-Language: de, en\r\n"), of("Accept-Language: en, de\r\n"));
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_whole(value in "(bytes=)?[0-9]{0,20}-[0-9]{0,20}", length in 0u64..1000) {
            if let Ranged::Part(part) = ranged(&value, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }

        #[test]
        fn any_conditions_are_read(value in "[ -~]{0,60}") {
            let (text, head) = request(&format!("If-None-Match: {value}\r\nIf-Range: {value}\r\nRange: {value}\r\nIf-Modified-Since: {value}\r\n"));
            let _ = has_already(&text, &head, Some(b"\"x\""), Some(SystemTime::now()));
            let _ = range(&text, &head, 100, Some(b"\"x\""), None, None);
        }
    }
}
