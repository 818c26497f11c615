//! Heads of requests and answers, read strictly.
//!
//! A head is read in place: names and values are places in the buffer it came in, and nothing is copied or allocated for most
//! messages. What is refused says why ([`Wrong`]), with the section of RFC 9112 that it is about.

use std::{fmt, ops::Range};

use memchr::{memchr, memmem};
use smallvec::SmallVec;

/// The longest head that is taken, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most fields that a head may have.
pub const MAX_FIELDS: usize = 200;
/// The longest method, in bytes: the longest that is registered has 17.
pub const MAX_METHOD: usize = 32;
/// The longest request target, in bytes (RFC 9112, section 3: at least 8,000 should be taken).
pub const MAX_TARGET: usize = 16 * 1024;

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The first line is not `METHOD target HTTP/1.x` (section 3), or `HTTP/1.x NNN reason` (section 4).
    StartLine,
    /// Not a version that this program speaks.
    Version,
    /// The target is longer than [`MAX_TARGET`].
    TargetTooLong,
    /// The target holds what no target may: white space, control characters, a fragment.
    Target,
    /// A line ends without a carriage return, or one stands alone (section 2.2).
    BareLineEnd,
    /// A line that begins with white space (section 5.2).
    Folded,
    /// A field name that is empty or no token, or white space before its colon (section 5.1).
    FieldName,
    /// A control character in a value (RFC 9110, section 5.5).
    FieldValue,
    /// More than [`MAX_HEAD`] bytes or [`MAX_FIELDS`] fields.
    TooLarge,
    /// `Content-Length` is no number, or stands there twice (section 6.3).
    ContentLength,
    /// `Transfer-Encoding` and `Content-Length` in one message (section 6.1).
    TwoLengths,
    /// `Transfer-Encoding` in a message of HTTP/1.0, or not `chunked` alone (sections 6.1, 7).
    TransferEncoding,
    /// No `Host`, two of them, or none that could be one (section 3.2).
    Host,
    /// `Host` names another host than the target (section 3.2.2).
    HostMismatch,
    /// A chunk's size or end is not as section 7.1 has it.
    Chunk,
}

impl Wrong {
    /// The status that says so.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TargetTooLong => 414,
            Self::TooLarge => 431,
            _ => 400,
        }
    }

    /// In words, for the page that the client sees.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::StartLine => "its first line is not one of HTTP/1.1",
            Self::Version => "it is of a version of HTTP that is not spoken here",
            Self::TargetTooLong => "its address is longer than is taken here",
            Self::Target => "its address holds characters that no address may hold",
            Self::BareLineEnd => "a line of its head does not end as HTTP lines end",
            Self::Folded => "a line of its head is folded, which is no longer allowed",
            Self::FieldName => "a field of its head has a name that is not allowed",
            Self::FieldValue => "a field of its head holds a control character",
            Self::TooLarge => "its head is larger than is taken here",
            Self::ContentLength => "its Content-Length is not one number",
            Self::TwoLengths => "it has both a Content-Length and a Transfer-Encoding",
            Self::TransferEncoding => "its Transfer-Encoding is not one that is understood here",
            Self::Host => "it has no Host field, or not exactly one that names a host",
            Self::HostMismatch => "its Host field names another host than its address",
            Self::Chunk => "its chunks are not as HTTP has them",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Where something stands in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    from: u32,
    to: u32,
}

impl Place {
    fn new(range: Range<usize>) -> Self {
        // Heads are at most MAX_HEAD long.
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { from: small(range.start), to: small(range.end) }
    }

    /// The bytes.
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name, as it was written.
    pub name: Place,
    /// Its value, without the white space around it.
    pub value: Place,
    /// What it means to this program.
    pub known: Known,
}

/// The fields that a proxy does something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of this name")]
pub enum Known {
    Host,
    Connection,
    ProxyConnection,
    KeepAlive,
    ProxyAuthorization,
    ProxyAuthenticate,
    Te,
    Trailer,
    TransferEncoding,
    ContentLength,
    Upgrade,
    Expect,
    Via,
    MaxForwards,
    /// `X-Forwarded-For`, `Forwarded`, `X-Real-IP`, and their kin: who asks.
    Forwarded,
    /// HTTP/2 settings and other fields that speak of one connection only.
    Hop,
    // What caches look at (RFC 9111).
    AcceptEncoding,
    Age,
    Authorization,
    CacheControl,
    CacheStatus,
    ContentEncoding,
    ContentLocation,
    ContentRange,
    ContentType,
    Date,
    ETag,
    Expires,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    LastModified,
    Location,
    Pragma,
    Range,
    SetCookie,
    Vary,
    Other,
}

impl Known {
    fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is(b"TE") => Self::Te,
            3 if is(b"Via") => Self::Via,
            3 if is(b"Age") => Self::Age,
            4 if is(b"Host") => Self::Host,
            4 if is(b"Date") => Self::Date,
            4 if is(b"ETag") => Self::ETag,
            4 if is(b"Vary") => Self::Vary,
            5 if is(b"Range") => Self::Range,
            6 if is(b"Expect") => Self::Expect,
            6 if is(b"Pragma") => Self::Pragma,
            7 if is(b"Upgrade") => Self::Upgrade,
            7 if is(b"Trailer") => Self::Trailer,
            7 if is(b"Expires") => Self::Expires,
            8 if is(b"If-Match") => Self::IfMatch,
            8 if is(b"If-Range") => Self::IfRange,
            8 if is(b"Location") => Self::Location,
            9 if is(b"Forwarded") || is(b"X-Real-IP") => Self::Forwarded,
            10 if is(b"Connection") => Self::Connection,
            10 if is(b"Keep-Alive") => Self::KeepAlive,
            10 if is(b"Set-Cookie") => Self::SetCookie,
            11 if is(b"X-Client-IP") => Self::Forwarded,
            12 if is(b"Max-Forwards") => Self::MaxForwards,
            12 if is(b"Content-Type") => Self::ContentType,
            12 if is(b"Cache-Status") => Self::CacheStatus,
            13 if is(b"Cache-Control") => Self::CacheControl,
            13 if is(b"Authorization") => Self::Authorization,
            13 if is(b"Last-Modified") => Self::LastModified,
            13 if is(b"If-None-Match") => Self::IfNoneMatch,
            13 if is(b"Content-Range") => Self::ContentRange,
            14 if is(b"Content-Length") => Self::ContentLength,
            14 if is(b"HTTP2-Settings") => Self::Hop,
            14 if is(b"True-Client-IP") => Self::Forwarded,
            15 if is(b"X-Forwarded-For") => Self::Forwarded,
            15 if is(b"Accept-Encoding") => Self::AcceptEncoding,
            16 if is(b"X-Forwarded-Host") || is(b"X-Forwarded-Port") => Self::Forwarded,
            16 if is(b"Proxy-Connection") => Self::ProxyConnection,
            16 if is(b"Content-Encoding") => Self::ContentEncoding,
            16 if is(b"Content-Location") => Self::ContentLocation,
            17 if is(b"If-Modified-Since") => Self::IfModifiedSince,
            17 if is(b"Transfer-Encoding") => Self::TransferEncoding,
            17 if is(b"X-Forwarded-Proto") => Self::Forwarded,
            18 if is(b"Proxy-Authenticate") => Self::ProxyAuthenticate,
            19 if is(b"Proxy-Authorization") => Self::ProxyAuthorization,
            25 if is(b"Proxy-Authentication-Info") => Self::ProxyAuthenticate,
            19 if is(b"If-Unmodified-Since") => Self::IfUnmodifiedSince,
            _ => Self::Other,
        }
    }
}

/// The fields of a head. Few heads have more than these.
pub type Fields = SmallVec<[Field; 24]>;

/// The values of all fields of this kind, in their order.
pub fn values<'a>(buffer: &'a [u8], fields: &'a [Field], known: Known) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.known == known).map(|field| field.value.of(buffer))
}

/// Whether there is such a field.
#[must_use]
pub fn has(fields: &[Field], known: Known) -> bool {
    fields.iter().any(|field| field.known == known)
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET` and its kind.
    pub method: Place,
    /// The target, as it was written.
    pub target: Place,
    /// HTTP/1.0 and not 1.1.
    pub is_old: bool,
    /// In their order.
    pub fields: Fields,
    /// How long its body is.
    pub framing: Framing,
    /// Where the head ends: after the empty line.
    pub end: usize,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// HTTP/1.0 and not 1.1.
    pub is_old: bool,
    /// The words behind the status.
    pub reason: Place,
    /// In their order.
    pub fields: Fields,
    /// How long its body is, when it is the answer to a `GET`.
    pub framing: Framing,
    /// `Transfer-Encoding` and `Content-Length` stood there both: the connection must not be used again (section 6.1).
    pub is_doubtful: bool,
    /// Where the head ends: after the empty line.
    pub end: usize,
}

/// How the end of a body is found (section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The connection ends. Answers only.
    UntilClose,
}

/// Whether a head has come in whole; `None` asks for more bytes.
///
/// # Errors
/// [`Wrong::TooLarge`].
fn end_of_head(buffer: &[u8]) -> Result<Option<usize>, Wrong> {
    match memmem::find(buffer, b"\r\n\r\n") {
        Some(at) if at + 4 <= MAX_HEAD => Ok(Some(at + 4)),
        None if buffer.len() < MAX_HEAD => {
            // A head with bare line feeds never ends that way: said now, and not after a timeout.
            if memmem::find(buffer, b"\n\n").is_some()
                || memmem::find(buffer, b"\n\r\n").is_some_and(|at| at == 0 || buffer[at - 1] != b'\r')
            {
                return Err(Wrong::BareLineEnd);
            }
            Ok(None)
        }
        _ => Err(Wrong::TooLarge),
    }
}

/// Reads the head of a request, if all of it is there. One empty line before it is passed over (section 2.2).
///
/// # Errors
/// What is wrong with it.
pub fn request(buffer: &[u8]) -> Result<Option<Request>, Wrong> {
    if buffer == b"\r" {
        return Ok(None);
    }
    let skip = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
    if skip == 0 && buffer.first() == Some(&b'\n') {
        return Err(Wrong::BareLineEnd);
    }
    let Some(end) = end_of_head(&buffer[skip..])?.map(|end| end + skip) else {
        return early(&buffer[skip..]).map(|()| None);
    };
    let line_end = line_end(buffer, skip)?;
    let line = &buffer[skip..line_end];
    let method_end = memchr(b' ', line).ok_or(Wrong::StartLine)?;
    let rest = &line[method_end + 1..];
    let target_end = memchr(b' ', rest).ok_or(Wrong::StartLine)?;
    if method_end == 0 || method_end > MAX_METHOD || !line[..method_end].iter().all(|byte| is_token(*byte)) {
        return Err(Wrong::StartLine);
    }
    let is_old = match &rest[target_end + 1..] {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        other if other.len() == 8 && other.starts_with(b"HTTP/") && other[6] == b'.' => return Err(Wrong::Version),
        _ => return Err(Wrong::StartLine),
    };
    if target_end > MAX_TARGET {
        return Err(Wrong::TargetTooLong);
    }
    if target_end == 0 || !rest[..target_end].iter().all(|byte| is_target(*byte)) {
        return Err(Wrong::Target);
    }
    let target_at = skip + method_end + 1;
    let fields = fields(buffer, line_end + 2, end)?;
    let framing = request_framing(buffer, &fields, is_old)?;
    Ok(Some(Request {
        method: Place::new(skip..skip + method_end),
        target: Place::new(target_at..target_at + target_end),
        is_old,
        fields,
        framing,
        end,
    }))
}

/// Refuses what can't become a request any more: TLS, another protocol, a line without an end.
fn early(buffer: &[u8]) -> Result<(), Wrong> {
    let method = buffer.iter().take_while(|byte| is_token(**byte)).count();
    match buffer.get(method) {
        None if method <= MAX_METHOD => Ok(()),
        Some(b' ') if method > 0 && method <= MAX_METHOD => match memchr(b'\n', buffer) {
            Some(0) => Err(Wrong::BareLineEnd),
            Some(at) if buffer[at - 1] != b'\r' => Err(Wrong::BareLineEnd),
            None if buffer.len() > MAX_TARGET + 64 => Err(Wrong::TargetTooLong),
            _ => Ok(()),
        },
        _ => Err(Wrong::StartLine),
    }
}

/// Reads the head of an answer, if all of it is there.
///
/// # Errors
/// What is wrong with it.
pub fn response(buffer: &[u8]) -> Result<Option<Response>, Wrong> {
    let Some(end) = end_of_head(buffer)? else {
        let begins = &b"HTTP/1."[..buffer.len().min(7)];
        return if buffer.starts_with(begins) { Ok(None) } else { Err(Wrong::StartLine) };
    };
    let line_end = line_end(buffer, 0)?;
    let line = &buffer[..line_end];
    let is_old = match line.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => return Err(Wrong::StartLine),
    };
    let digits = line.get(9..12).ok_or(Wrong::StartLine)?;
    if !digits.iter().all(u8::is_ascii_digit) || line.get(12).is_some_and(|byte| *byte != b' ') {
        return Err(Wrong::StartLine);
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if !(100..600).contains(&status) {
        return Err(Wrong::StartLine);
    }
    let reason = line.get(13..).unwrap_or_default();
    if reason.iter().any(|byte| is_control(*byte)) {
        return Err(Wrong::StartLine);
    }
    let fields = fields(buffer, line_end + 2, end)?;
    let (framing, is_doubtful) = response_framing(buffer, &fields, status, is_old)?;
    let reason = Place::new(line_end - reason.len()..line_end);
    Ok(Some(Response { status, is_old, reason, fields, framing, is_doubtful, end }))
}

/// Where the line that begins here ends: before its CR LF.
fn line_end(buffer: &[u8], from: usize) -> Result<usize, Wrong> {
    let at = memchr(b'\n', &buffer[from..]).ok_or(Wrong::BareLineEnd)? + from;
    if at == from || buffer[at - 1] != b'\r' {
        return Err(Wrong::BareLineEnd);
    }
    let end = at - 1;
    if memchr(b'\r', &buffer[from..end]).is_some() {
        return Err(Wrong::BareLineEnd);
    }
    Ok(end)
}

/// The lines of fields from here to the empty line that ends the head.
fn fields(buffer: &[u8], from: usize, end: usize) -> Result<Fields, Wrong> {
    let mut fields = Fields::new();
    let mut at = from;
    while at + 2 < end {
        let line_end = line_end(&buffer[..end], at)?;
        fields.push(field(buffer, at, line_end)?);
        if fields.len() > MAX_FIELDS {
            return Err(Wrong::TooLarge);
        }
        at = line_end + 2;
    }
    Ok(fields)
}

/// One line.
fn field(buffer: &[u8], from: usize, to: usize) -> Result<Field, Wrong> {
    let line = &buffer[from..to];
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Wrong::Folded);
    }
    let colon = memchr(b':', line).ok_or(Wrong::FieldName)?;
    if colon == 0 || !line[..colon].iter().all(|byte| is_token(*byte)) {
        return Err(Wrong::FieldName);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let value = &line[colon + 1..];
    let before = value.iter().take_while(|byte| is_space(byte)).count();
    let value = &value[before..];
    let length = value.len() - value.iter().rev().take_while(|byte| is_space(byte)).count();
    if value[..length].iter().any(|byte| is_control(*byte)) {
        return Err(Wrong::FieldValue);
    }
    let value_at = from + colon + 1 + before;
    Ok(Field {
        name: Place::new(from..from + colon),
        value: Place::new(value_at..value_at + length),
        known: Known::of(&line[..colon]),
    })
}

/// `Content-Length`, which stands there once at most, as one number (section 6.2).
fn content_length(buffer: &[u8], fields: &[Field]) -> Result<Option<u64>, Wrong> {
    let mut found = None;
    for field in fields.iter().filter(|field| field.known == Known::ContentLength) {
        let value = field.value.of(buffer);
        // Longer than any body, and shorter than what would not fit.
        if found.is_some() || value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
            return Err(Wrong::ContentLength);
        }
        found = Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')));
    }
    Ok(found)
}

/// Whether there is a `Transfer-Encoding`: then it is `chunked`, once, and nothing else.
fn is_chunked(buffer: &[u8], fields: &[Field]) -> Result<bool, Wrong> {
    let mut found = false;
    for field in fields.iter().filter(|field| field.known == Known::TransferEncoding) {
        if found || !field.value.of(buffer).eq_ignore_ascii_case(b"chunked") {
            return Err(Wrong::TransferEncoding);
        }
        found = true;
    }
    Ok(found)
}

fn request_framing(buffer: &[u8], fields: &[Field], is_old: bool) -> Result<Framing, Wrong> {
    let has_encoding = fields.iter().any(|field| field.known == Known::TransferEncoding);
    let has_length = fields.iter().any(|field| field.known == Known::ContentLength);
    if has_encoding && has_length {
        return Err(Wrong::TwoLengths);
    }
    if has_encoding && is_old {
        return Err(Wrong::TransferEncoding);
    }
    if is_chunked(buffer, fields)? {
        return Ok(Framing::Chunked);
    }
    Ok(match content_length(buffer, fields)? {
        None | Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
    })
}

fn response_framing(buffer: &[u8], fields: &[Field], status: u16, is_old: bool) -> Result<(Framing, bool), Wrong> {
    if status < 200 || status == 204 || status == 304 {
        // Their bodies are empty, whatever the fields say; what follows is another message, or none that is to be trusted.
        return Ok((Framing::None, false));
    }
    if is_chunked(buffer, fields)? {
        if is_old {
            return Err(Wrong::TransferEncoding);
        }
        return Ok((Framing::Chunked, fields.iter().any(|field| field.known == Known::ContentLength)));
    }
    Ok(match content_length(buffer, fields)? {
        Some(length) => (Framing::Length(length), false),
        None => (Framing::UntilClose, false),
    })
}

/// The elements of a list of tokens (RFC 9110, section 5.6.1).
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// What `Connection` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Fields are named that are for this connection only.
    pub names_fields: bool,
}

/// Reads all `Connection` and `Proxy-Connection` fields.
#[must_use]
pub fn connection(buffer: &[u8], fields: &[Field]) -> Connection {
    let mut said = Connection::default();
    for field in fields {
        match field.known {
            Known::Connection => {
                for token in tokens(field.value.of(buffer)) {
                    if token.eq_ignore_ascii_case(b"close") {
                        said.close = true;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") {
                        said.keep_alive = true;
                    } else if token.eq_ignore_ascii_case(b"upgrade") {
                        said.upgrade = true;
                    } else {
                        said.names_fields = true;
                    }
                }
            }
            // Not of any standard; old clients say with it what they mean by `Connection`.
            Known::ProxyConnection => {
                said.close |= tokens(field.value.of(buffer)).any(|token| token.eq_ignore_ascii_case(b"close"));
                said.keep_alive |= tokens(field.value.of(buffer)).any(|token| token.eq_ignore_ascii_case(b"keep-alive"));
            }
            _ => {}
        }
    }
    said
}

/// Whether `Connection` names this field: it is for this connection only. Framing and `Host` can't be named away.
#[must_use]
pub fn is_named(buffer: &[u8], fields: &[Field], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.known == Known::Connection)
        .any(|field| tokens(field.value.of(buffer)).any(|token| token.eq_ignore_ascii_case(name)))
}

/// A character of a token (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// A byte that a target may hold: visible, and no fragment. Bytes beyond ASCII are sent by browsers' older kin and are passed on.
fn is_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> Wrong {
        request(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn a_request_is_read_in_place() {
        let text = b"\r\nGET http://a.example/x?y HTTP/1.1\r\nHost: \t a.example \r\nX-Empty:\r\nCONTENT-length: 12\r\n\r\nmore";
        let head = request(text).expect("right").expect("whole");
        assert_eq!(head.method.of(text), b"GET");
        assert_eq!(head.target.of(text), b"http://a.example/x?y");
        assert_eq!(head.fields[0].value.of(text), b"a.example");
        assert_eq!(head.fields[1].value.of(text), b"");
        assert_eq!((head.framing, head.is_old), (Framing::Length(12), false));
        assert_eq!(&text[head.end..], b"more");
        for end in 0..head.end {
            assert!(request(&text[..end]).expect("nothing wrong yet").is_none(), "{end}");
        }
    }

    #[test]
    fn a_method_that_is_too_long_is_refused_however_it_comes() {
        let of = |length: usize| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
        let (right, long) = (of(MAX_METHOD), of(MAX_METHOD + 1));
        assert!(request(right.as_bytes()).expect("right").is_some());
        assert!((0..right.len()).all(|cut| request(&right.as_bytes()[..cut]).expect("nothing wrong yet").is_none()));
        for cut in MAX_METHOD + 1..=long.len() {
            assert_eq!(request(&long.as_bytes()[..cut]).err(), Some(Wrong::StartLine), "{cut}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        for (fields, expected) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n", Wrong::ContentLength),
            ("Content-Length: 1, 1\r\n", Wrong::ContentLength),
            ("Content-Length: +1\r\n", Wrong::ContentLength),
            ("Content-Length: 0x1\r\n", Wrong::ContentLength),
            ("Content-Length:\r\n", Wrong::ContentLength),
            ("Content-Length: 99999999999999999999\r\n", Wrong::ContentLength),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Wrong::TwoLengths),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Wrong::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n", Wrong::TransferEncoding),
            ("Transfer-Encoding: chunked, identity\r\n", Wrong::TransferEncoding),
            ("Transfer-Encoding: xchunked\r\n", Wrong::TransferEncoding),
            ("Transfer-Encoding: \x0bchunked\r\n", Wrong::FieldValue),
            ("Transfer-Encoding : chunked\r\n", Wrong::FieldName),
            (" Transfer-Encoding: chunked\r\n", Wrong::Folded),
            ("A: b\r\n c\r\n", Wrong::Folded),
            ("A: b\n", Wrong::BareLineEnd),
            ("A: b\rc\r\n", Wrong::BareLineEnd),
            ("A: b\0\r\n", Wrong::FieldValue),
            (": b\r\n", Wrong::FieldName),
            ("A\r\n", Wrong::FieldName),
            ("A b: c\r\n", Wrong::FieldName),
        ] {
            assert_eq!(wrong(&with(fields)), expected, "{fields:?}");
        }
        for (line, expected) in [
            ("GET  / HTTP/1.1", Wrong::StartLine),
            ("GET / HTTP/1.1 ", Wrong::StartLine),
            (" GET / HTTP/1.1", Wrong::StartLine),
            ("GET /", Wrong::StartLine),
            ("GET / http/1.1", Wrong::StartLine),
            ("GET / HTTP/1.10", Wrong::StartLine),
            ("GET / HTTP/2.0", Wrong::Version),
            ("GET / HTTP/0.9", Wrong::Version),
            ("G{T / HTTP/1.1", Wrong::StartLine),
            ("GET /a\tb HTTP/1.1", Wrong::Target),
            ("GET /a#b HTTP/1.1", Wrong::Target),
            ("\x16\x03\x01\x02", Wrong::StartLine),
        ] {
            assert_eq!(wrong(&format!("{line}\r\nHost: a\r\n\r\n")), expected, "{line:?}");
        }
        assert_eq!(wrong("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Wrong::TransferEncoding);
        assert_eq!(wrong("GET / HTTP/1.1\nHost: a\n\n"), Wrong::BareLineEnd);
        assert_eq!(wrong("\x16\x03\x01"), Wrong::StartLine, "TLS is told so at once");
        assert_eq!(wrong(&"x".repeat(40)), Wrong::StartLine);
        assert_eq!(wrong(&format!("GET /{}", "x".repeat(MAX_TARGET + 100))), Wrong::TargetTooLong);
        assert_eq!(wrong(&with(&format!("A: {}\r\n", "x".repeat(MAX_HEAD)))), Wrong::TooLarge);
        assert_eq!(wrong(&with(&"A: b\r\n".repeat(MAX_FIELDS))), Wrong::TooLarge);
    }

    #[test]
    fn an_answer_is_read() {
        let read = |text: &'static str| response(text.as_bytes());
        let head = read("HTTP/1.1 200 All right\r\nContent-Length: 3\r\n\r\nabc").expect("right").expect("whole");
        assert_eq!((head.status, head.framing, head.is_doubtful), (200, Framing::Length(3), false));
        for (text, framing) in [
            ("HTTP/1.1 200\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.0 200 \r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked),
            ("HTTP/1.1 204 OK\r\nContent-Length: 3\r\n\r\n", Framing::None),
            ("HTTP/1.1 304 OK\r\nContent-Length: 3\r\n\r\n", Framing::None),
            ("HTTP/1.1 100 Continue\r\n\r\n", Framing::None),
        ] {
            assert_eq!(read(text).expect("right").expect("whole").framing, framing, "{text:?}");
        }
        let both =
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n").expect("right").expect("whole");
        assert_eq!((both.framing, both.is_doubtful), (Framing::Chunked, true));
        for text in [
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 600 x\r\n\r\n",
            "HTTP/1.1 2000 x\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0-x",
            "HTTP/1.1 200 OK\nA: b\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read("HTTP/1.1 20").expect("nothing wrong yet").is_none());
    }

    #[test]
    fn connection_is_a_list_and_names_fields() {
        let text = b"GET / HTTP/1.1\r\nConnection: Keep-Alive , X-One,\r\nConnection: close\r\nX-One: 1\r\n\r\n";
        let head = request(text).expect("right").expect("whole");
        let said = connection(text, &head.fields);
        assert_eq!(said, Connection { close: true, keep_alive: true, upgrade: false, names_fields: true });
        assert!(is_named(text, &head.fields, b"x-one") && !is_named(text, &head.fields, b"X-Two"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = request(&bytes);
            let _ = response(&bytes);
        }

        /// Whatever is taken holds no line end, no empty name, and ends where it says.
        #[test]
        fn what_is_taken_is_clean(
            text in "(GET|POST|x) [ -~]{1,20} HTTP/1.[01](\r\n|\n|\r)([ -~\t\r\n\u{0}]{0,12}:[ -~\t\r\n]{0,12}(\r\n|\n|\r)){0,4}\r\n"
        ) {
            if let Ok(Some(head)) = request(text.as_bytes()) {
                prop_assert!(text.as_bytes()[..head.end].ends_with(b"\r\n\r\n"));
                for field in &head.fields {
                    let (name, value) = (field.name.of(text.as_bytes()), field.value.of(text.as_bytes()));
                    prop_assert!(!name.is_empty() && name.iter().all(|b| is_token(*b)));
                    prop_assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}
