//! Text is compressed for clients that accept it (RFC 9110, sections 8.4 and 12.5.3).
//!
//! Never what is encoded, a part, signed by its bytes, or said to stay as it is (`no-transform`). The entity tag becomes a weak one:
//! what is sent means the same and is not the same bytes.

use std::io::{self, Write};

use crate::{
    cache::control::Control,
    http::head::{self, Field, Fields, Framing, Known, Request, Response},
};

/// Shorter ones are sent as they are: nothing is saved.
const LEAST: u64 = 512;
/// How hard each of them tries: about 100 MB a second and more.
const ZSTD_LEVEL: i32 = 3;
const BROTLI_LEVEL: u32 = 4;
const GZIP_LEVEL: u32 = 5;
/// Windows of 128 KiB: memory for each answer on its way is bounded by it.
const WINDOW: u32 = 17;

/// How content is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// The best one first, where a client takes several alike.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Its position in [`Coding::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Zstd => 0,
            Self::Brotli => 1,
            Self::Gzip => 2,
        }
    }
}

/// What the client takes: the one it likes best, and of those it likes alike the best one.
#[must_use]
pub(crate) fn accepted(buffer: &[u8], fields: &[Field]) -> Option<Coding> {
    let mut best: Option<(Coding, u16)> = None;
    let weight_of = |wanted: &[u8]| -> Option<u16> {
        head::values(buffer, fields, Known::AcceptEncoding).flat_map(head::tokens).find_map(|offer| {
            let mut parts = offer.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next()?;
            let is_it = name.eq_ignore_ascii_case(wanted) || (wanted == b"gzip" && name.eq_ignore_ascii_case(b"x-gzip"));
            is_it.then(|| parts.find_map(quality).unwrap_or(1000))
        })
    };
    let others = weight_of(b"*");
    for coding in Coding::ALL {
        let weight = weight_of(coding.name().as_bytes()).or(others).unwrap_or(0);
        if weight > 0 && best.is_none_or(|(_, most)| weight > most) {
            best = Some((coding, weight));
        }
    }
    // Whoever likes it better as it is gets it so.
    let plain = weight_of(b"identity").unwrap_or(0);
    best.filter(|(_, weight)| *weight >= plain).map(|(coding, _)| coding)
}

/// `q=0.5` in thousandths; what is none is 0.
fn quality(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let text = std::str::from_utf8(value).ok()?;
    let number: f32 = text.parse().ok().filter(|number| (0.0..=1.0).contains(number)).unwrap_or(0.0);
    // At most 1000.
    Some((number * 1000.0) as u16)
}

/// Whether what this request asks for may be coded for it.
#[must_use]
pub(crate) fn may_ask(buffer: &[u8], request: &Request) -> bool {
    !request.is_old
        && matches!(request.method.of(buffer), b"GET" | b"HEAD" | b"POST")
        && !Control::of(buffer, &request.fields).no_transform
}

/// Whether an answer with these fields may be coded at all, whoever asks. `length` is that of its body, where it is known.
#[must_use]
pub(crate) fn may_code(buffer: &[u8], status: u16, fields: &Fields, length: Option<u64>) -> bool {
    if status != 200 || length.is_some_and(|length| length < LEAST) {
        return false;
    }
    // Its head is read again with what is added to it.
    if fields.len() + 8 > head::MAX_FIELDS || buffer.len() + 1024 > head::MAX_HEAD {
        return false;
    }
    let mut is_text = false;
    for field in fields {
        match field.known {
            Known::ContentEncoding | Known::ContentRange | Known::Upgrade => return false,
            Known::ContentType => is_text = is_text_type(field.value.of(buffer)),
            Known::Other => {
                // Signed by its bytes (RFC 9530, RFC 3230, RFC 1864).
                let name = field.name.of(buffer);
                let signs: [&[u8]; 5] = [b"digest", b"content-digest", b"repr-digest", b"content-md5", b"signature"];
                if signs.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                    return false;
                }
            }
            _ => {}
        }
    }
    is_text && !Control::of(buffer, fields).no_transform
}

/// [`may_code`], of an answer that comes.
#[must_use]
pub(crate) fn may_code_response(buffer: &[u8], response: &Response) -> bool {
    let length = match response.framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    may_code(buffer, response.status, &response.fields, length)
}

/// Types of text. Not `text/event-stream`: each of its events has to arrive when it happens.
fn is_text_type(value: &[u8]) -> bool {
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let known: [&[u8]; 17] = [
        b"application/javascript",
        b"application/x-javascript",
        b"application/json",
        b"application/ld+json",
        b"application/manifest+json",
        b"application/ndjson",
        b"application/x-ndjson",
        b"application/xml",
        b"application/wasm",
        b"application/vnd.ms-fontobject",
        b"application/x-font-ttf",
        b"application/rtf",
        b"application/sql",
        b"font/ttf",
        b"font/otf",
        b"image/bmp",
        b"image/x-icon",
    ];
    if kind == b"text/event-stream" {
        return false;
    }
    kind.starts_with(b"text/") || kind.ends_with(b"+xml") || kind.ends_with(b"+json") || known.contains(&kind.as_slice())
}

enum Inner {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

/// Codes content as it comes.
pub(crate) struct Encoder {
    inner: Inner,
    /// Something was written since the last flush.
    is_dirty: bool,
    /// Bytes in, and bytes out.
    pub(crate) taken: u64,
    pub(crate) given: u64,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("taken", &self.taken).field("given", &self.given).finish_non_exhaustive()
    }
}

impl Encoder {
    /// A new one.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        let inner = match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW)?;
                Inner::Zstd(encoder)
            }
            Coding::Brotli => Inner::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, BROTLI_LEVEL, WINDOW))),
            Coding::Gzip => Inner::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
        };
        Ok(Self { inner, is_dirty: false, taken: 0, given: 0 })
    }

    /// Takes content. What comes of it so far is put behind `out`.
    ///
    /// # Errors
    /// Those of the coder.
    pub(crate) fn write(&mut self, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.inner {
            Inner::Zstd(encoder) => encoder.write_all(content)?,
            Inner::Brotli(encoder) => encoder.write_all(content)?,
            Inner::Gzip(encoder) => encoder.write_all(content)?,
        }
        self.taken += content.len() as u64;
        self.is_dirty = true;
        self.drain(out);
        Ok(())
    }

    /// All that was taken is put behind `out`: whoever reads it can read it to here.
    ///
    /// # Errors
    /// Those of the coder.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        self.is_dirty = false;
        match &mut self.inner {
            Inner::Zstd(encoder) => encoder.flush()?,
            Inner::Brotli(encoder) => encoder.flush()?,
            Inner::Gzip(encoder) => encoder.flush()?,
        }
        self.drain(out);
        Ok(())
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        let made = match &mut self.inner {
            Inner::Zstd(encoder) => encoder.get_mut(),
            Inner::Brotli(encoder) => encoder.get_mut(),
            Inner::Gzip(encoder) => encoder.get_mut(),
        };
        self.given += made.len() as u64;
        out.append(made);
    }

    /// The end of it is put behind `out`. Answers how many bytes were saved.
    ///
    /// # Errors
    /// Those of the coder.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> io::Result<u64> {
        let mut rest = match self.inner {
            Inner::Zstd(encoder) => encoder.finish()?,
            Inner::Brotli(encoder) => encoder.into_inner(),
            Inner::Gzip(encoder) => encoder.finish()?,
        };
        let given = self.given + rest.len() as u64;
        out.append(&mut rest);
        Ok(self.taken.saturating_sub(given))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding {
            Coding::Zstd => text = zstd::decode_all(bytes).expect("zstd"),
            Coding::Brotli => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text).expect("brotli")),
            Coding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).expect("gzip")),
        }
        text
    }

    fn accepts(value: &str) -> Option<&'static str> {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {value}\r\n\r\n");
        let head = head::request(text.as_bytes()).expect("right").expect("whole");
        accepted(text.as_bytes(), &head.fields).map(Coding::name)
    }

    #[test]
    fn clients_get_what_they_like_best() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, deflate, br", Some("br")),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP;q=0.5, br;q=0.4", Some("gzip")),
            ("br;q=0, gzip", Some("gzip")),
            ("*", Some("zstd")),
            ("*;q=0.1, zstd;q=0", Some("br")),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", Some("gzip")),
            ("deflate", None),
            ("", None),
            ("gzip;q=nonsense", None),
            ("gzip;q=0.000", None),
            ("gzip ; q=1.0", Some("gzip")),
        ] {
            assert_eq!(accepts(value), expected, "{value}");
        }
    }

    #[test]
    fn what_was_flushed_can_be_read() {
        for coding in Coding::ALL {
            let (mut encoder, mut out) = (Encoder::new(coding).expect("an encoder"), Vec::new());
            encoder.write(b"hello ", &mut out).expect("written");
            encoder.flush(&mut out).expect("flushed");
            let begun = out.clone();
            let mut text = [0; 6];
            match coding {
                Coding::Zstd => zstd::Decoder::new(&begun[..]).expect("zstd").read_exact(&mut text).expect("read"),
                Coding::Brotli => brotli::Decompressor::new(&begun[..], 4096).read_exact(&mut text).expect("read"),
                Coding::Gzip => flate2::read::GzDecoder::new(&begun[..]).read_exact(&mut text).expect("read"),
            }
            assert_eq!(&text, b"hello ");
            encoder.write(b"world", &mut out).expect("written");
            encoder.finish(&mut out).expect("finished");
            assert_eq!(decoded(coding, &out), b"hello world");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_pieces_is_the_same_afterwards(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..8)
        ) {
            for coding in Coding::ALL {
                let (mut encoder, mut out) = (Encoder::new(coding).expect("an encoder"), Vec::new());
                for (piece, flush) in &pieces {
                    encoder.write(piece, &mut out).expect("written");
                    if *flush {
                        encoder.flush(&mut out).expect("flushed");
                    }
                }
                encoder.finish(&mut out).expect("finished");
                let whole: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
                prop_assert_eq!(decoded(coding, &out), whole);
            }
        }

        #[test]
        fn any_offer_is_read(value in "[ -~]{0,60}") {
            accepts(&value);
        }
    }
}
