//! A connection that can give back what was read too far, and remembers how it began.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Anything that carries bytes both ways: TCP, or TLS on top of it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How many of the first bytes are remembered: enough to recognise a protocol.
const REMEMBERED: usize = 16;

/// A connection.
pub(crate) struct Wire {
    io: Box<dyn Io>,
    /// Read too far, and given back: read again before anything new.
    given_back: Vec<u8>,
    position: usize,
    first: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), given_back: Vec::new(), position: 0, first: Vec::new() }
    }

    /// Gives back bytes that belong to whoever reads next.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        let unread = self.given_back.split_off(self.position);
        self.given_back = [bytes, unread.as_slice()].concat();
        self.position = 0;
    }

    /// The first bytes that ever came, at most sixteen.
    pub(crate) fn first_bytes(&self) -> &[u8] {
        &self.first
    }

    /// Forgets the first bytes: what comes from now on is somebody else's.
    pub(crate) fn begin_anew(&mut self) {
        self.first.clear();
    }

    fn remember(&mut self, bytes: &[u8]) {
        let room = REMEMBERED.saturating_sub(self.first.len());
        self.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.position < self.given_back.len() {
            let unread = &self.given_back[self.position..];
            let count = unread.len().min(buffer.remaining());
            buffer.put_slice(&unread[..count]);
            self.position += count;
        } else {
            ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        }
        self.remember(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// What the first bytes of an answer look like, when they are not what was hoped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    /// A TLS record (RFC 8446, section 5.1): alert or handshake.
    Tls,
    /// HTTP.
    Http,
    /// SOCKS version 5.
    Socks5,
    /// SOCKS version 4: its replies begin with a zero.
    Socks4,
    /// An SSH server's greeting (RFC 4253, section 4.2).
    Ssh,
    /// A mail or file server's greeting (RFC 5321, RFC 959).
    MailOrFtp,
    /// Anything else.
    Unknown,
}

impl Looks {
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [0x15 | 0x16, 0x03, ..] => Self::Tls,
            [0x05, ..] => Self::Socks5,
            [0x00, 0x5a..=0x5d, ..] => Self::Socks4,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh,
            [b'2', b'2', b'0', b' ' | b'-', ..] => Self::MailOrFtp,
            _ if first.starts_with(b"HTTP/") || (!first.is_empty() && b"HTTP/".starts_with(first)) => Self::Http,
            _ if first.starts_with(b"<") => Self::Http,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_given_back_is_read_again_before_what_follows() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut wire = Wire::new(near);
        far.write_all(b"abcdef").await.unwrap();
        let mut buffer = [0; 4];
        wire.read_exact(&mut buffer).await.unwrap();
        wire.give_back(b"cd");
        wire.read_exact(&mut buffer[..1]).await.unwrap();
        wire.give_back(b"c");
        wire.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"cdef");
        assert!(wire.first_bytes().starts_with(b"abcd"));
    }

    #[test]
    fn protocols_are_recognised_by_how_they_begin() {
        for (first, expected) in [
            (&b"\x15\x03\x01\x00\x02\x02\x46"[..], Looks::Tls),
            (b"HTTP/1.1 400", Looks::Http),
            (b"H", Looks::Http),
            (b"<html>", Looks::Http),
            (b"\x05\xff", Looks::Socks5),
            (b"\x00\x5b\x00", Looks::Socks4),
            (b"SSH-2.0-OpenSSH", Looks::Ssh),
            (b"220 mail.example ESMTP", Looks::MailOrFtp),
            (b"", Looks::Unknown),
            (b"\x00\x00", Looks::Unknown),
            (b"hello", Looks::Unknown),
        ] {
            assert_eq!(Looks::of(first), expected, "{first:?}");
        }
    }
}
