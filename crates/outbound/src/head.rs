//! The head of an HTTP/1 response, bounded and without its words.

use tokio::io::AsyncReadExt as _;

use crate::wire::{Looks, Wire};

/// The most bytes that a head may have.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// The most fields that a head may have.
pub(crate) const MAX_FIELDS: usize = 100;

/// A response head: the status and the fields. Not the reason phrase: nobody shall be tempted to show it.
#[derive(PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Names in lower case.
    fields: Vec<(String, Vec<u8>)>,
}

// Field values are foreign text and may reflect the credentials.
impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Head {
    /// One that somebody else has read; names in lower case.
    pub(crate) fn new<'a>(status: u16, fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self { status, fields: fields.into_iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect() }
    }

    /// The values of a field; the name in lower case.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// The first value of a field, when it is text.
    pub(crate) fn text<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// The connection ended before the head did; whether it had begun.
    Closed { begun: bool },
    /// These bytes are not HTTP/1.
    NotHttp(Looks),
    /// HTTP, but longer than [`MAX_BYTES`] or with more than [`MAX_FIELDS`] fields.
    TooLarge { status: Option<u16> },
}

/// Reads one head and gives back what follows it.
///
/// What can't become HTTP any more is recognised at its first wrong byte, so that garbage without line ends does not cost
/// the whole waiting time.
pub(crate) async fn read_head(wire: &mut Wire) -> Result<Head, HeadError> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let room = chunk.len().min(MAX_BYTES - bytes.len());
        let read = match wire.read(&mut chunk[..room]).await {
            // A reset, or TLS that ends without saying so: the connection is over either way.
            Ok(0) | Err(_) => return Err(HeadError::Closed { begun: !bytes.is_empty() }),
            Ok(read) => read,
        };
        let seen = bytes.len();
        bytes.extend_from_slice(&chunk[..read]);
        if !can_become_http(&bytes) {
            return Err(HeadError::NotHttp(Looks::of(&bytes)));
        }
        if let Some(end) = end_of_head(&bytes, seen) {
            let head = parse(&bytes[..end])?;
            wire.give_back(&bytes[end..]);
            return Ok(head);
        }
        if bytes.len() == MAX_BYTES {
            return Err(HeadError::TooLarge { status: status_in(&bytes) });
        }
    }
}

fn can_become_http(bytes: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let compared = bytes.len().min(start.len());
    bytes[..compared] == start[..compared]
}

/// Where the head ends: behind the first empty line. `seen` bytes were searched before.
fn end_of_head(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    bytes[from..].iter().enumerate().filter(|(_, b)| **b == b'\n').find_map(|(at, _)| {
        let rest = &bytes[from + at + 1..];
        if rest.starts_with(b"\r\n") {
            Some(from + at + 3)
        } else if rest.starts_with(b"\n") {
            Some(from + at + 2)
        } else {
            None
        }
    })
}

/// Parses a complete head. Forgiving where products are known to err (RFC 9112, section 5: folded lines, spaces before the
/// colon): what counts is the status.
fn parse(bytes: &[u8]) -> Result<Head, HeadError> {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(_)) => match response.code {
            // Beyond 599 nothing is defined, but sites that are reached all the same do answer with 999.
            Some(status @ 100..=999) => Ok(Head {
                status,
                fields: response.headers.iter().map(|f| (f.name.to_ascii_lowercase(), f.value.to_vec())).collect(),
            }),
            _ => Err(HeadError::NotHttp(Looks::Http)),
        },
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooLarge { status: status_in(bytes) }),
        Ok(httparse::Status::Partial) | Err(_) => Err(HeadError::NotHttp(Looks::Http)),
    }
}

/// The status in the first line, when that line is right.
fn status_in(bytes: &[u8]) -> Option<u16> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let line = [&bytes[..=end], b"\r\n"].concat();
    parse(&line).ok().map(|head| head.status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn read(bytes: &[u8]) -> (Result<Head, HeadError>, Vec<u8>) {
        let (mut far, near) = tokio::io::duplex(256 * 1024);
        far.write_all(bytes).await.unwrap();
        drop(far);
        let mut wire = Wire::new(near);
        let head = read_head(&mut wire).await;
        let mut rest = Vec::new();
        wire.read_to_end(&mut rest).await.unwrap();
        (head, rest)
    }

    #[tokio::test]
    async fn heads_are_read_and_what_follows_is_given_back() {
        for (bytes, status, rest) in [
            (&b"HTTP/1.1 200 Connection established\r\n\r\n\x16\x03"[..], 200, &b"\x16\x03"[..]),
            (b"HTTP/1.0 200\r\n\r\n", 200, b""),
            (b"HTTP/1.1 407 x\nA: b\n\nbody", 407, b"body"),
            (b"HTTP/1.1 502 \xff\xfe\r\nbroken line\r\nA : b\r\n folded\r\n\r\n", 502, b""),
        ] {
            let (head, left) = read(bytes).await;
            assert_eq!(head.map(|h| h.status), Ok(status), "{bytes:?}");
            assert_eq!(left, rest, "{bytes:?}");
        }
        let (head, _) = read(b"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\nPROXY-AUTHENTICATE: Basic realm=x\r\n\r\n").await;
        assert_eq!(head.unwrap().values("proxy-authenticate").collect::<Vec<_>>(), [&b"NTLM"[..], b"Basic realm=x"]);
    }

    #[tokio::test]
    async fn what_is_no_head_is_told_apart() {
        for (bytes, expected) in [
            (&b""[..], HeadError::Closed { begun: false }),
            (b"HTTP/1.1 200 OK\r\n", HeadError::Closed { begun: true }),
            (b"HTT", HeadError::Closed { begun: true }),
            (b"\x05\xff", HeadError::NotHttp(Looks::Socks5)),
            (b"\x15\x03\x01", HeadError::NotHttp(Looks::Tls)),
            (b"HTTP/2.0 200 OK\r\n\r\n", HeadError::NotHttp(Looks::Http)),
            (b"HTTP/1.1 abc\r\n\r\n", HeadError::NotHttp(Looks::Http)),
            (b"HTTP/1.1 000 x\r\n\r\n", HeadError::NotHttp(Looks::Http)),
            (b"hello", HeadError::NotHttp(Looks::Unknown)),
        ] {
            assert_eq!(read(bytes).await.0, Err(expected), "{bytes:?}");
        }
        let long = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &vec![b'x'; MAX_BYTES]].concat();
        assert_eq!(read(&long).await.0, Err(HeadError::TooLarge { status: Some(200) }));
        let endless = [b"HTTP/1.1 ".as_slice(), &vec![b'x'; MAX_BYTES]].concat();
        assert_eq!(read(&endless).await.0, Err(HeadError::TooLarge { status: None }));
        let many = format!("HTTP/1.1 407 x\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(read(many.as_bytes()).await.0, Err(HeadError::TooLarge { status: Some(407) }));
        let just = format!("HTTP/1.1 407 x\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS));
        assert_eq!(read(just.as_bytes()).await.0.map(|h| h.status), Ok(407));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, http: bool) {
            let bytes = if http { [b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes, b"\r\n\r\n"].concat() } else { bytes };
            let _ = parse(&bytes);
            let _ = status_in(&bytes);
            if let Some(end) = end_of_head(&bytes, 0) {
                prop_assert!(end <= bytes.len());
            }
        }

        /// However the bytes are cut into pieces, the end is found at the same place.
        #[test]
        fn the_end_does_not_depend_on_the_pieces(text in "[\r\na]{0,40}") {
            let bytes = text.as_bytes();
            let whole = end_of_head(bytes, 0);
            let in_pieces = (1..=bytes.len()).find_map(|n| end_of_head(&bytes[..n], n - 1));
            prop_assert_eq!(whole, in_pieces);
        }
    }
}
