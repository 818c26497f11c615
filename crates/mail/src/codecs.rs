//! Transfer encodings: mail-parser's decoders, and lenient ones for what they refuse.

use std::borrow::Cow;

use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
    Unknown,
}

impl Encoding {
    pub fn read(field: Option<&[u8]>) -> Self {
        let Some(field) = field else { return Self::Identity };
        let name = field.split(|b| matches!(b, b';' | b' ' | b'(')).next().unwrap_or_default();
        match name.to_ascii_lowercase().as_slice() {
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            b"" | b"7bit" | b"8bit" | b"binary" => Self::Identity,
            _ => Self::Unknown,
        }
    }

    /// The decoded bytes, and false when they were damaged.
    pub fn decode(self, body: &[u8]) -> (Cow<'_, [u8]>, bool) {
        match self {
            Self::Identity | Self::Unknown => (Cow::Borrowed(body), true),
            Self::Base64 => match base64_decode(body) {
                Some(bytes) => (Cow::Owned(bytes), true),
                None => (Cow::Owned(base64_leniently(body)), false),
            },
            // A stray `=` is as good as normal: no reason to tell of it.
            Self::QuotedPrintable => (Cow::Owned(quoted_printable_decode(body).unwrap_or_else(|| quoted_leniently(body))), true),
        }
    }
}

/// Reads over everything that is no base64.
pub(crate) fn base64_leniently(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3);
    let (mut chunk, mut held) = (0_u32, 0_u32);
    for b in body {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        chunk = (chunk << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((chunk >> held) as u8);
            chunk &= (1 << held) - 1;
        }
    }
    bytes
}

fn hex(pair: Option<&[u8]>) -> Option<u8> {
    let pair = pair.filter(|pair| pair.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
}

fn quoted_leniently(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut at = 0;
    while at < body.len() {
        if body[at] == b'=' {
            if let Some(byte) = hex(body.get(at + 1..at + 3)) {
                bytes.push(byte);
                at += 3;
                continue;
            }
            // A soft line break, with the blanks that transports add.
            let blanks = body[at + 1..].iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
            if body.get(at + 1 + blanks) == Some(&b'\n') {
                at += blanks + 2;
                continue;
            }
        }
        bytes.push(body[at]);
        at += 1;
    }
    bytes
}

/// The Q encoding of encoded words: an underscore is a space.
pub(crate) fn quoted_words(body: &[u8]) -> Vec<u8> {
    escaped(body, b'=').into_iter().map(|(b, literal)| if b == b'_' && literal { b' ' } else { b }).collect()
}

/// Percent-encoding, as RFC 2231 uses it.
pub(crate) fn percent(body: &[u8]) -> Vec<u8> {
    escaped(body, b'%').into_iter().map(|(b, _)| b).collect()
}

fn escaped(body: &[u8], escape: u8) -> Vec<(u8, bool)> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut at = 0;
    while at < body.len() {
        match hex(body.get(at + 1..at + 3)).filter(|_| body[at] == escape) {
            Some(byte) => {
                bytes.push((byte, false));
                at += 3;
            }
            None => {
                bytes.push((body[at], true));
                at += 1;
            }
        }
    }
    bytes
}
