//! Messages as they are passed on: made anew, field by field.

use super::head::{self, Connection, Field, Fields, Known, Request, Response};

/// What is added to messages that pass through, and what is not passed on.
#[derive(Debug, Clone)]
pub struct Passing {
    /// This gateway's name in `Via` (RFC 9110, section 7.6.3).
    pub via: String,
    /// Whether the target is told who asks.
    pub tells_client: bool,
}

/// Whether a field is for one connection only, or not to be passed on for another reason.
fn stays(buffer: &[u8], fields: &[Field], field: &Field, said: Connection) -> bool {
    match field.known {
        Known::Connection
        | Known::ProxyConnection
        | Known::KeepAlive
        | Known::ProxyAuthorization
        | Known::ProxyAuthenticate
        | Known::Te
        | Known::Trailer
        | Known::TransferEncoding
        | Known::Upgrade
        | Known::Hop
        // Written anew where there is something to say.
        | Known::ContentLength
        | Known::Via => true,
        // What frames and addresses a message can't be named away; it is written anew.
        Known::Host => true,
        _ => said.names_fields && head::is_named(buffer, fields, field.name.of(buffer)),
    }
}

/// How the body of a message is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none, and nothing is said of its length.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection is closed; answers to HTTP/1.0 only.
    UntilClose,
}

/// What a request is passed on as.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The target: a path, or a whole URL for another proxy.
    pub target: &'a [u8],
    /// The value of `Host`.
    pub host: &'a str,
    /// The client's address, where the target is told who asks.
    pub client: Option<&'a str>,
    /// The value of `Proxy-Authorization` for another proxy.
    pub authorization: Option<&'a str>,
    /// The protocol that the client wants to change to.
    pub upgrade: Option<&'a [u8]>,
    /// What the target is asked with in the place of the client's conditions: whether what is kept holds still.
    pub asks_with: Option<Validators<'a>>,
}

/// What is known of an answer that is kept (RFC 9111, section 4.3.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct Validators<'a> {
    /// Its entity tag.
    pub tag: Option<&'a [u8]>,
    /// Its `Last-Modified`.
    pub modified: Option<&'a [u8]>,
}

fn push(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn push_body(out: &mut Vec<u8>, body: Body) {
    match body {
        Body::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Body::None | Body::UntilClose => {}
    }
}

/// `Via`, with what was there before, in its order.
fn push_via(out: &mut Vec<u8>, buffer: &[u8], fields: &[Field], is_old: bool, name: &str) {
    out.extend_from_slice(b"Via: ");
    for field in fields.iter().filter(|field| field.known == Known::Via) {
        push(out, &[field.value.of(buffer), b", "]);
    }
    push(out, &[if is_old { b"1.0 " } else { b"1.1 " }, name.as_bytes(), b"\r\n"]);
}

/// Writes the head of a request for whoever is asked next.
pub fn request(
    out: &mut Vec<u8>, buffer: &[u8], request: &Request, said: Connection, line: RequestLine<'_>, body: Body, passing: &Passing,
) {
    push(out, &[line.method, b" ", line.target, b" HTTP/1.1\r\nHost: ", line.host.as_bytes(), b"\r\n"]);
    let max_forwards = matches!(line.method, b"OPTIONS" | b"TRACE");
    for field in &request.fields {
        match field.known {
            Known::Forwarded => continue,
            Known::IfNoneMatch | Known::IfModifiedSince | Known::Range | Known::IfRange if line.asks_with.is_some() => continue,
            Known::MaxForwards if max_forwards => {
                let left = std::str::from_utf8(field.value.of(buffer)).ok().and_then(|text| text.parse::<u32>().ok());
                if let Some(left) = left {
                    out.extend_from_slice(b"Max-Forwards: ");
                    push_number(out, left.saturating_sub(1).into());
                    out.extend_from_slice(b"\r\n");
                    continue;
                }
            }
            _ => {}
        }
        if !stays(buffer, &request.fields, field, said) {
            push(out, &[field.name.of(buffer), b": ", field.value.of(buffer), b"\r\n"]);
        }
    }
    if let Some(Validators { tag, modified }) = line.asks_with {
        if let Some(tag) = tag {
            push(out, &[b"If-None-Match: ", tag, b"\r\n"]);
        }
        if let Some(modified) = modified {
            push(out, &[b"If-Modified-Since: ", modified, b"\r\n"]);
        }
    }
    if let Some(client) = line.client.filter(|_| passing.tells_client) {
        push(out, &[b"X-Forwarded-For: ", client.as_bytes(), b"\r\n"]);
        // An IPv6 address is quoted and in brackets (RFC 7239, section 6).
        let (open, close): (&[u8], &[u8]) = if client.contains(':') { (b"\"[", b"]\"") } else { (b"", b"") };
        push(out, &[b"Forwarded: for=", open, client.as_bytes(), close, b"\r\n"]);
    }
    push_via(out, buffer, &request.fields, request.is_old, &passing.via);
    if let Some(authorization) = line.authorization {
        push(out, &[b"Proxy-Authorization: ", authorization.as_bytes(), b"\r\n"]);
    }
    if let Some(protocol) = line.upgrade {
        push(out, &[b"Connection: Upgrade\r\nUpgrade: ", protocol, b"\r\n"]);
    }
    push_body(out, body);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an answer for the client.
pub fn response(
    out: &mut Vec<u8>, buffer: &[u8], response: &Response, said: Connection, body: Body, closes: bool, passing: &Passing,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, response.status.into());
    push(out, &[b" ", response.reason.of(buffer), b"\r\n"]);
    for field in &response.fields {
        if !stays(buffer, &response.fields, field, said) {
            push(out, &[field.name.of(buffer), b": ", field.value.of(buffer), b"\r\n"]);
        }
    }
    if response.status == 101 {
        let protocol = value(buffer, &response.fields, Known::Upgrade).unwrap_or_default();
        push(out, &[b"Connection: Upgrade\r\nUpgrade: ", protocol, b"\r\n"]);
    }
    push_via(out, buffer, &response.fields, response.is_old, &passing.via);
    push_body(out, body);
    if closes {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an answer that is to be kept: without what is of one connection or one moment, and without its framing.
pub fn stored(out: &mut Vec<u8>, buffer: &[u8], response: &Response, said: Connection, passing: &Passing) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, response.status.into());
    push(out, &[b" ", response.reason.of(buffer), b"\r\n"]);
    for field in &response.fields {
        if field.known != Known::Age && !stays(buffer, &response.fields, field, said) {
            push(out, &[field.name.of(buffer), b": ", field.value.of(buffer), b"\r\n"]);
        }
    }
    push_via(out, buffer, &response.fields, response.is_old, &passing.via);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a kept answer with the fields of a newer one in the place of its own (RFC 9111, section 3.2). What speaks of the
/// body stays: the body does. What is for one connection, or frames a message, is no part of either.
pub fn merged(out: &mut Vec<u8>, (old, response): (&[u8], &Response), (new, newer): (&[u8], &Response)) {
    let has_tag = head::has(&response.fields, Known::ETag);
    let takes = |field: &Field| {
        let of_bytes: [&[u8]; 2] = [b"content-md5", b"content-digest"];
        match field.known {
            Known::ContentEncoding | Known::ContentRange | Known::ContentLength => false,
            // The newer one was written by `stored` and has none of these. One that has them (a 304 may say any Transfer-Encoding: it has no
            // body) must not make a kept head into none.
            Known::TransferEncoding
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Trailer
            | Known::Upgrade
            | Known::Hop => false,
            Known::ETag => !has_tag,
            Known::Other => !of_bytes.iter().any(|name| field.name.of(new).eq_ignore_ascii_case(name)),
            _ => true,
        }
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, response.status.into());
    push(out, &[b" ", response.reason.of(old), b"\r\n"]);
    for field in &response.fields {
        let name = field.name.of(old);
        let is_replaced = newer.fields.iter().any(|other| takes(other) && other.name.of(new).eq_ignore_ascii_case(name));
        if !is_replaced {
            push(out, &[name, b": ", field.value.of(old), b"\r\n"]);
        }
    }
    for field in newer.fields.iter().filter(|field| takes(field)) {
        push(out, &[field.name.of(new), b": ", field.value.of(new), b"\r\n"]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an answer that was kept, with this status in the place of its own: 200, 206, 304 or 416.
pub fn from_stored(out: &mut Vec<u8>, stored: &[u8], status: u16) {
    let line_end = memchr::memmem::find(stored, b"\r\n").map_or(stored.len(), |at| at + 2);
    match status {
        206 => push(out, &[b"HTTP/1.1 206 Partial Content\r\n", &stored[line_end..]]),
        416 => out.extend_from_slice(b"HTTP/1.1 416 Range Not Satisfiable\r\n\r\n"),
        304 => {
            out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n");
            // What describes the body stays with it (RFC 9110, section 15.4.5).
            let fields = head::response(stored).ok().flatten().map(|response| response.fields).unwrap_or_default();
            for field in &fields {
                let name = field.name.of(stored);
                let is_of_body =
                    name.len() >= 8 && name[..8].eq_ignore_ascii_case(b"content-") && field.known != Known::ContentLocation;
                if !is_of_body {
                    push(out, &[name, b": ", field.value.of(stored), b"\r\n"]);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        _ => out.extend_from_slice(stored),
    }
}

/// Changes a head whose body is coded for this client, or could have been for another one. Of what is coded the length is not known, its
/// parts can't be asked for, and its tag is a weak one (RFC 9110, section 8.8.1). `coding` stands in it where there is a body.
pub fn recode(head: &mut Vec<u8>, is_coded: bool, coding: Option<&str>) {
    let old = std::mem::take(head);
    let Ok(Some(response)) = head::response(&old) else {
        *head = old;
        return;
    };
    let line_end = memchr::memmem::find(&old, b"\r\n").map_or(old.len(), |at| at + 2);
    head.reserve(old.len() + 64);
    head.extend_from_slice(&old[..line_end]);
    let mut varies = false;
    for field in &response.fields {
        let (name, value) = (field.name.of(&old), field.value.of(&old));
        match field.known {
            Known::ContentLength if is_coded => continue,
            Known::Other if is_coded && name.eq_ignore_ascii_case(b"accept-ranges") => continue,
            Known::ETag if is_coded && !value.starts_with(b"W/") => {
                push(head, &[name, b": W/", value, b"\r\n"]);
                continue;
            }
            Known::Vary => {
                varies |= head::tokens(value).any(|token| token == b"*" || token.eq_ignore_ascii_case(b"accept-encoding"));
            }
            _ => {}
        }
        push(head, &[name, b": ", value, b"\r\n"]);
    }
    if !varies {
        head.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    if let Some(coding) = coding {
        push(head, &[b"Content-Encoding: ", coding.as_bytes(), b"\r\n"]);
    }
    head.extend_from_slice(b"\r\n");
}

/// Says how the body comes and what becomes of the connection.
pub fn end(head: &mut Vec<u8>, body: Body, closes: bool, is_kept: bool) {
    head.truncate(head.len().saturating_sub(2));
    push_body(head, body);
    if closes {
        head.extend_from_slice(b"Connection: close\r\n");
    } else if is_kept {
        head.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    head.extend_from_slice(b"\r\n");
}

/// Writes a chunk (RFC 9112, section 7.1).
pub fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    use std::io::Write as _;
    // An empty one would be the last.
    if !bytes.is_empty() {
        // Writing to memory does not fail.
        let _ = write!(out, "{:x}\r\n", bytes.len());
        push(out, &[bytes, b"\r\n"]);
    }
}

/// Adds a line to a head that ends with its empty line.
pub fn append(head: &mut Vec<u8>, line: &[&[u8]]) {
    head.truncate(head.len().saturating_sub(2));
    push(head, line);
    head.extend_from_slice(b"\r\n\r\n");
}

/// Adds a line with a number.
pub fn append_number(head: &mut Vec<u8>, name: &[u8], number: u64) {
    head.truncate(head.len().saturating_sub(2));
    head.extend_from_slice(name);
    push_number(head, number);
    head.extend_from_slice(b"\r\n\r\n");
}

/// The value of a field, where it stands there once or first.
#[must_use]
pub fn value<'a>(buffer: &'a [u8], fields: &Fields, known: Known) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.known == known).map(|field| field.value.of(buffer))
}

/// Whether this gateway's name stands in `Via` already: the request comes from here (RFC 9110, section 7.6.3).
#[must_use]
pub fn is_loop(buffer: &[u8], fields: &Fields, name: &str) -> bool {
    fields.iter().filter(|field| field.known == Known::Via).any(|field| {
        head::tokens(field.value.of(buffer)).any(|step| {
            let mut words = step.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
            words.next();
            words.next() == Some(name.as_bytes())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing() -> Passing {
        Passing { via: "gw".into(), tells_client: false }
    }

    fn passed(text: &str) -> String {
        let buffer = text.as_bytes();
        let head = head::request(buffer).expect("right").expect("whole");
        let said = head::connection(buffer, &head.fields);
        let line = RequestLine {
            method: head.method.of(buffer),
            target: b"/x",
            host: "a.example",
            client: Some("10.0.0.1"),
            authorization: None,
            upgrade: None,
            asks_with: None,
        };
        let mut out = Vec::new();
        request(&mut out, buffer, &head, said, line, Body::None, &passing());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_newer_head_frames_nothing_of_a_kept_one() {
        let old = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nCache-Control: max-age=1\r\n\r\n";
        let new =
            b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: \x9dunked\r\nConnection: close\r\nCache-Control: max-age=9\r\n\r\n";
        let (old_head, new_head) = (head::response(old).unwrap().unwrap(), head::response(new).unwrap().unwrap());
        let mut merged = Vec::new();
        super::merged(&mut merged, (old, &old_head), (new, &new_head));
        assert_eq!(merged, b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nCache-Control: max-age=9\r\n\r\n");
    }

    #[test]
    fn what_is_for_one_connection_stays_and_who_asks_is_not_told() {
        let out = passed(
            "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nConnection: close, X-Secret, Host, Accept\r\nX-Secret: 1\r\n\
             Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nKeep-Alive: 3\r\nTE: trailers\r\nX-Forwarded-For: 10.1.2.3\r\n\
             Forwarded: for=10.1.2.3\r\nX-Real-IP: 10.1.2.3\r\nVia: 1.0 first\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Kept:  a  b\r\n\r\n",
        );
        assert_eq!(out, "GET /x HTTP/1.1\r\nHost: a.example\r\nX-Kept: a  b\r\nVia: 1.0 first, 1.1 gw\r\n\r\n");
    }

    #[test]
    fn the_client_is_told_of_when_asked_for() {
        let buffer = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: forged\r\n\r\n";
        let head = head::request(buffer).expect("right").expect("whole");
        let line = RequestLine {
            method: b"GET",
            target: b"/",
            host: "a",
            client: Some("2001:db8::1"),
            authorization: Some("Basic x"),
            upgrade: Some(b"websocket"),
            asks_with: None,
        };
        let mut out = Vec::new();
        let passing = Passing { tells_client: true, ..passing() };
        request(&mut out, buffer, &head, Connection::default(), line, Body::Length(1234567890), &passing);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::1\r\nForwarded: for=\"[2001:db8::1]\"\r\nVia: 1.1 gw\r\n\
             Proxy-Authorization: Basic x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1234567890\r\n\r\n"
        );
    }

    #[test]
    fn a_loop_is_seen_by_name_and_not_by_chance() {
        let with = |via: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{via}\r\n");
            let head = head::request(text.as_bytes()).expect("right").expect("whole");
            is_loop(text.as_bytes(), &head.fields, "gw")
        };
        assert!(with("Via: 1.1 gw\r\n") && with("Via: 1.0 other, 1.1 gw (x)\r\n") && with("Via: 1.1 o\r\nVia: HTTP/1.1  gw\r\n"));
        assert!(!with("") && !with("Via: 1.1 gw2\r\n") && !with("Via: gw\r\n") && !with("X-Via: 1.1 gw\r\n"));
    }

    #[test]
    fn an_answer_is_made_anew() {
        let buffer = b"HTTP/1.0 200 Very good\r\nServer: x\r\nContent-Length: 3\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\r\nabc";
        let head = head::response(buffer).expect("right").expect("whole");
        let said = head::connection(buffer, &head.fields);
        let mut out = Vec::new();
        response(&mut out, buffer, &head, said, Body::Length(3), true, &passing());
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "HTTP/1.1 200 Very good\r\nServer: x\r\nVia: 1.0 gw\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        );
    }
}
