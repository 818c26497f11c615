//! Streams, and what has come in over them and was not used yet.
//!
//! A connection that waits holds no buffer: memory is taken when there is something to read, and given back when all of it is used.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BufMut as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_util::io::poll_read_buf;

/// How much is read at once while a head is waited for, in bytes.
pub const SMALL: usize = 8 * 1024;
/// How much is read at once of a body, in bytes.
pub const LARGE: usize = 64 * 1024;
/// How many buffers a thread keeps for the next.
const KEPT: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, one that was used before where there is one.
#[must_use]
pub fn take_buffer() -> Vec<u8> {
    BUFFERS.with(|kept| kept.borrow_mut().pop()).unwrap_or_default()
}

/// Gives a buffer back.
pub fn give_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LARGE {
        return;
    }
    buffer.clear();
    BUFFERS.with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    });
}

/// Bytes that came in.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    from: usize,
}

impl Inbox {
    /// What was not used yet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.bytes.len()
    }

    /// So many bytes were used.
    pub fn consume(&mut self, count: usize) {
        self.from += count;
        if self.is_empty() {
            self.bytes.clear();
            self.from = 0;
        }
    }

    /// Everything that is left, which is gone afterwards.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..self.from.min(bytes.len()));
        self.from = 0;
        bytes
    }

    /// Gives the memory back, if nothing is in it.
    pub fn rest(&mut self) {
        if self.is_empty() {
            self.from = 0;
            give_buffer(std::mem::take(&mut self.bytes));
        }
    }

    /// Room for `more` bytes behind what is there.
    fn make_room(&mut self, more: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes = take_buffer();
        }
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve(more);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        give_buffer(std::mem::take(&mut self.bytes));
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// To a proxy that is spoken to over TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads what there is into a buffer.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        match self {
            // Not `try_read`: this one knows that after a short read there is nothing more, and does not ask the system again.
            Self::Plain(stream) => ready!(Pin::new(stream).poll_read(cx, &mut read))?,
            Self::Tls(stream) => ready!(Pin::new(stream).poll_read(cx, &mut read))?,
        }
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes what can be written now.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => {
                let mut stream = Pin::new(stream);
                let written = ready!(stream.as_mut().poll_write(cx, bytes))?;
                // What stays in the TLS layer would be waited for at the other end.
                match stream.poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(written)),
                }
            }
        }
    }

    /// Makes sure that everything written has left.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Whether a connection that stands idle can still be used: nothing came, and it was not closed.
    pub fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        self.poll_read_into(cx, &mut byte).is_pending()
    }

    /// Ends the connection with a reset, so that the other end does not take what it has for all there was.
    pub fn abort(self) {
        if let Self::Plain(stream) = self {
            let socket = socket2::SockRef::from(&stream);
            // It is closed either way. Not shut down first: that would say that there is nothing more, in good order.
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

/// A connection and what came over it.
#[derive(Debug)]
pub struct Wire {
    /// The connection.
    pub stream: Stream,
    /// What came and was not used yet.
    pub inbox: Inbox,
    /// Bytes read in all.
    pub read: u64,
    /// Bytes written in all.
    pub written: u64,
}

impl Wire {
    /// A connection over which nothing came yet.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, inbox: Inbox::default(), read: 0, written: 0 }
    }

    /// Reads what there is, some `more` bytes at most (a buffer that was used before may be larger); 0 is the end.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, more: usize) -> Poll<io::Result<usize>> {
        let count = match &mut self.stream {
            Stream::Plain(stream) => {
                // No memory before there is something to put into it.
                ready!(stream.poll_read_ready(cx))?;
                self.inbox.make_room(more);
                match poll_read_buf(Pin::new(stream), cx, &mut (&mut self.inbox.bytes).limit(more)) {
                    Poll::Ready(count) => count?,
                    Poll::Pending => {
                        self.inbox.rest();
                        return Poll::Pending;
                    }
                }
            }
            Stream::Tls(stream) => {
                self.inbox.make_room(more);
                match poll_read_buf(Pin::new(stream), cx, &mut (&mut self.inbox.bytes).limit(more)) {
                    Poll::Ready(count) => count?,
                    Poll::Pending => {
                        self.inbox.rest();
                        return Poll::Pending;
                    }
                }
            }
        };
        self.read += count as u64;
        Poll::Ready(Ok(count))
    }

    /// As [`Wire::poll_fill`].
    ///
    /// # Errors
    /// Those of the system.
    pub async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx, SMALL)).await
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = std::future::poll_fn(|cx| self.stream.poll_write(cx, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += count as u64;
            bytes = &bytes[count..];
        }
        std::future::poll_fn(|cx| self.stream.poll_flush(cx)).await
    }
}
