//! Bodies: where they end, and their bytes without the chunks around them (RFC 9112, sections 6 and 7).

use memchr::memchr;

use super::head::{Framing, Wrong, is_token};

/// The longest line of a chunk's size with its extensions, in bytes. Extensions are dropped; a long one is an attack.
const MAX_SIZE_LINE: usize = 256;
/// The most bytes of fields behind the last chunk.
const MAX_TRAILERS: usize = 8 * 1024;

/// Finds the bytes of a body in what comes in.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    /// Bytes of trailers so far.
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes are still to come.
    Length(u64),
    /// Until the connection ends.
    UntilClose,
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk are still to come.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// The fields behind the last chunk.
    Trailers,
    Done,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// So many bytes that belong to the message, but not to its content: pass over them.
    Skip(usize),
    /// So many bytes of content.
    Data(usize),
    /// Nothing is whole yet: more is needed.
    More,
    /// The body is over; what follows is the next message.
    End,
}

impl Decoder {
    /// For a body of this kind.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: 0 }
    }

    /// Whether all of it has come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection here is the end of the body, and not of half of it.
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// What the next bytes are. What it answers is taken off the front before it is asked again.
    ///
    /// # Errors
    /// [`Wrong::Chunk`], [`Wrong::TooLarge`].
    pub fn next(&mut self, buffer: &[u8]) -> Result<Found, Wrong> {
        let take = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match self.state {
            State::Done => Ok(Found::End),
            _ if buffer.is_empty() => Ok(Found::More),
            State::UntilClose => Ok(Found::Data(buffer.len())),
            State::Length(left) => {
                let taken = take(left);
                let left = left - taken as u64;
                self.state = if left == 0 { State::Done } else { State::Length(left) };
                Ok(Found::Data(taken))
            }
            State::Chunk(left) => {
                let taken = take(left);
                let left = left - taken as u64;
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok(Found::Data(taken))
            }
            State::ChunkEnd => match buffer {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Found::Skip(2))
                }
                [b'\r'] => Ok(Found::More),
                _ => Err(Wrong::Chunk),
            },
            State::Size => {
                let Some((line, length)) = line(buffer, MAX_SIZE_LINE)? else { return Ok(Found::More) };
                self.state = match size(line)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
                Ok(Found::Skip(length))
            }
            State::Trailers => {
                let Some((line, length)) = line(buffer, MAX_TRAILERS)? else { return Ok(Found::More) };
                self.trailers += length;
                if self.trailers > MAX_TRAILERS {
                    return Err(Wrong::TooLarge);
                }
                if line.is_empty() {
                    self.state = State::Done;
                } else {
                    // They are not passed on (RFC 9110, section 6.5.1, lets a proxy drop them), but they must be ones.
                    let colon = memchr(b':', line).ok_or(Wrong::Chunk)?;
                    if colon == 0 || !line[..colon].iter().all(|byte| is_token(*byte)) {
                        return Err(Wrong::Chunk);
                    }
                }
                Ok(Found::Skip(length))
            }
        }
    }
}

/// The line at the front and its length with its end; `None` while it is not whole.
fn line(buffer: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>, Wrong> {
    let searched = &buffer[..buffer.len().min(longest + 2)];
    let Some(end) = memchr(b'\n', searched) else {
        // Its end may still come in two pieces, and it must be the same line then.
        return if searched.len() == longest + 2 { Err(Wrong::Chunk) } else { Ok(None) };
    };
    if end == 0 || buffer[end - 1] != b'\r' || memchr(b'\r', &buffer[..end - 1]).is_some() {
        return Err(Wrong::Chunk);
    }
    Ok(Some((&buffer[..end - 1], end + 1)))
}

/// A chunk's size: hexadecimal digits alone, and extensions behind `;` (section 7.1).
fn size(line: &[u8]) -> Result<u64, Wrong> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // More digits than this are more bytes than there are.
    if digits == 0 || digits > 15 {
        return Err(Wrong::Chunk);
    }
    let extension = &line[digits..];
    let begins = extension.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    if begins.is_some_and(|byte| *byte != b';') || (begins.is_none() && !extension.is_empty()) {
        return Err(Wrong::Chunk);
    }
    if extension.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(Wrong::Chunk);
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_default();
    Ok(line[..digits].iter().fold(0, |size, byte| size << 4 | u64::from(digit(byte))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a body that comes in pieces of this size: its content, and what is left over.
    fn read(framing: Framing, text: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, bool), Wrong> {
        let mut decoder = Decoder::new(framing);
        let (mut buffer, mut content) = (Vec::new(), Vec::new());
        for piece in text.chunks(piece) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&buffer)? {
                    Found::Skip(length) => drop(buffer.drain(..length)),
                    Found::Data(length) => content.extend(buffer.drain(..length)),
                    Found::More | Found::End => break,
                }
            }
        }
        Ok((content, buffer, decoder.is_done()))
    }

    #[test]
    fn bodies_end_where_they_say() {
        assert_eq!(read(Framing::Length(3), b"abcde", 2), Ok((b"abc".to_vec(), b"de".to_vec(), true)));
        assert_eq!(read(Framing::Length(9), b"abcde", 2), Ok((b"abcde".to_vec(), Vec::new(), false)));
        assert_eq!(read(Framing::UntilClose, b"abcde", 2), Ok((b"abcde".to_vec(), Vec::new(), false)));
        let chunked = b"3\r\nabc\r\nA ;x=\"y\"\r\n0123456789\r\n00\r\nTrailer: x\r\n\r\nGET";
        for piece in 1..chunked.len() {
            assert_eq!(read(Framing::Chunked, chunked, piece), Ok((b"abc0123456789".to_vec(), b"GET".to_vec(), true)), "{piece}");
        }
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_refused() {
        for text in [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "3 x\r\nabc\r\n",
            "\r\nabc\r\n",
            ";x\r\nabc\r\n",
            "3;a\rb\r\nabc\r\n",
            "3;a\0b\r\nabc\r\n",
            "ffffffffffffffff\r\nabc",
            "g\r\nabc",
            "0\r\nno field\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nA : x\r\n\r\n",
            "0\r\nA: x\n\r\n",
            "0\r\n\n",
        ] {
            assert!(read(Framing::Chunked, text.as_bytes(), 1000).is_err(), "{text:?}");
        }
        assert!(read(Framing::Chunked, format!("3;{}", "x".repeat(MAX_SIZE_LINE)).as_bytes(), 7).is_err());
        let many = format!("0\r\n{}", format!("A: {}\r\n", "x".repeat(90)).repeat(100));
        assert!(read(Framing::Chunked, many.as_bytes(), 1000).is_err());
    }

    #[test]
    fn the_longest_line_is_the_same_in_any_piece() {
        let of = |length: usize| format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(length - 2));
        for piece in 1..MAX_SIZE_LINE + 8 {
            let right = read(Framing::Chunked, of(MAX_SIZE_LINE).as_bytes(), piece);
            assert_eq!(right, Ok((b"abc".to_vec(), Vec::new(), true)), "{piece}");
            assert_eq!(read(Framing::Chunked, of(MAX_SIZE_LINE + 1).as_bytes(), piece), Err(Wrong::Chunk), "{piece}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..50) {
            let _ = read(Framing::Chunked, &bytes, piece);
        }

        /// However it is cut, the same comes out.
        #[test]
        fn chunks_come_out_as_they_went_in(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8), piece in 1usize..64) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend(format!("{:x}\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\nrest");
            let (content, rest, done) = read(Framing::Chunked, &text, piece).expect("right");
            prop_assert_eq!(content, chunks.concat());
            prop_assert_eq!(rest, b"rest".to_vec());
            prop_assert!(done);
        }
    }
}
