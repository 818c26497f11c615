//! Passing on a body, as fast as the slower side takes it.

use std::task::{Context, Poll, ready};

use crate::{
    compress::Encoder,
    http::{
        body::{Decoder, Found},
        head::{Framing, Wrong},
        write,
    },
    io::{LARGE, Wire},
};

/// How many bytes of chunks are made ready at once.
const PIECE: usize = 32 * 1024;

/// Why a body did not arrive whole.
#[derive(Debug)]
pub enum Broken {
    /// What came is not HTTP.
    Wrong(Wrong),
    /// Whoever sent it went away in the middle.
    Truncated,
    /// Reading failed.
    Read,
    /// Whoever was to get it went away.
    Write,
}

/// A body on its way from one connection to another.
#[derive(Debug)]
pub struct Relay {
    decoder: Decoder,
    /// Whether the other side gets chunks.
    chunked: bool,
    /// So many bytes at the front of what came in are to be written as they are.
    direct: usize,
    /// What is written, where it is not what came in.
    out: Vec<u8>,
    written: usize,
    ended: bool,
    /// Bytes of content that were passed on.
    pub content: u64,
    /// How many bytes may be read before whoever holds it is asked again.
    pub turn: usize,
    /// What codes the content, which goes in chunks then.
    encoder: Option<Box<Encoder>>,
    coded: Vec<u8>,
    /// Bytes that were saved by that.
    pub saved: u64,
}

impl Relay {
    /// From a body of the one kind to one of the other. What is in `first` (a head) is written before it.
    #[must_use]
    pub fn new(from: Framing, chunked: bool, first: Vec<u8>) -> Self {
        let decoder = Decoder::new(from);
        let ended = decoder.is_done() && !chunked;
        Self {
            decoder,
            chunked,
            direct: 0,
            out: first,
            written: 0,
            ended,
            content: 0,
            turn: usize::MAX,
            encoder: None,
            coded: Vec::new(),
            saved: 0,
        }
    }

    /// Codes the content on its way. The other side has to get chunks.
    #[must_use]
    pub fn coded(mut self, encoder: Option<Box<Encoder>>) -> Self {
        self.encoder = encoder.filter(|_| self.chunked);
        self
    }

    /// The rest of a body of which the beginning was passed on already.
    #[must_use]
    pub fn resume(decoder: Decoder, chunked: bool, first: Vec<u8>) -> Self {
        let relay = Self::new(Framing::Chunked, chunked, first);
        Self { decoder, ended: false, ..relay }
    }

    /// Goes on until it is done or one of the sides has to be waited for.
    ///
    /// # Errors
    /// Why it is broken.
    pub fn poll(&mut self, cx: &mut Context<'_>, source: &mut Wire, sink: &mut Wire) -> Poll<Result<(), Broken>> {
        let mut moved = 0;
        loop {
            while self.written < self.out.len() {
                // A head goes out together with what there already is of its body.
                if self.written == 0 && !self.chunked {
                    self.gather(source)?;
                }
                let count = ready!(sink.stream.poll_write(cx, &self.out[self.written..])).map_err(|_| Broken::Write)?;
                if count == 0 {
                    return Poll::Ready(Err(Broken::Write));
                }
                self.written += count;
                sink.written += count as u64;
            }
            self.out.clear();
            self.written = 0;
            while self.direct > 0 {
                let bytes = &source.inbox.bytes()[..self.direct];
                let count = ready!(sink.stream.poll_write(cx, bytes)).map_err(|_| Broken::Write)?;
                if count == 0 {
                    return Poll::Ready(Err(Broken::Write));
                }
                source.inbox.consume(count);
                sink.written += count as u64;
                self.direct -= count;
            }
            if self.ended {
                crate::io::give_buffer(std::mem::take(&mut self.out));
                return sink.stream.poll_flush(cx).map_err(|_| Broken::Write);
            }
            self.take(source)?;
            if self.direct > 0 || !self.out.is_empty() || self.ended {
                continue;
            }
            if moved >= self.turn {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = match source.poll_fill(cx, LARGE.min(self.turn)) {
                Poll::Ready(count) => count.map_err(|_| Broken::Read)?,
                Poll::Pending => {
                    // What came so far is not held back by what comes later.
                    if let Some(encoder) = &mut self.encoder {
                        encoder.flush(&mut self.coded).map_err(|_| Broken::Read)?;
                        write::chunk(&mut self.out, &self.coded);
                        self.coded.clear();
                        if !self.out.is_empty() {
                            continue;
                        }
                    }
                    let _ = sink.stream.poll_flush(cx);
                    return Poll::Pending;
                }
            };
            moved += count;
            if count == 0 {
                if !self.decoder.may_end() {
                    return Poll::Ready(Err(Broken::Truncated));
                }
                self.end()?;
            }
        }
    }

    /// Puts the beginning of a body behind a head that is about to be written: one write for both.
    fn gather(&mut self, source: &mut Wire) -> Result<(), Broken> {
        while self.out.len() < PIECE {
            match self.decoder.next(source.inbox.bytes()).map_err(Broken::Wrong)? {
                Found::Skip(count) => source.inbox.consume(count),
                Found::Data(count) => {
                    self.content += count as u64;
                    self.out.extend_from_slice(&source.inbox.bytes()[..count]);
                    source.inbox.consume(count);
                }
                Found::More => break,
                Found::End => {
                    self.end()?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes what has come in.
    fn take(&mut self, source: &mut Wire) -> Result<(), Broken> {
        loop {
            match self.decoder.next(source.inbox.bytes()).map_err(Broken::Wrong)? {
                Found::Skip(count) => source.inbox.consume(count),
                Found::Data(count) if !self.chunked => {
                    self.content += count as u64;
                    self.direct = count;
                    return Ok(());
                }
                Found::Data(count) => {
                    self.content += count as u64;
                    if self.out.capacity() == 0 {
                        self.out = crate::io::take_buffer();
                    }
                    let content = &source.inbox.bytes()[..count];
                    match &mut self.encoder {
                        None => write::chunk(&mut self.out, content),
                        Some(encoder) => {
                            encoder.write(content, &mut self.coded).map_err(|_| Broken::Read)?;
                            write::chunk(&mut self.out, &self.coded);
                            self.coded.clear();
                        }
                    }
                    source.inbox.consume(count);
                    if self.out.len() >= PIECE {
                        return Ok(());
                    }
                }
                Found::More => return Ok(()),
                Found::End => {
                    self.end()?;
                    return Ok(());
                }
            }
        }
    }

    fn end(&mut self) -> Result<(), Broken> {
        if !self.ended {
            self.ended = true;
            if let Some(encoder) = self.encoder.take() {
                self.saved = encoder.finish(&mut self.coded).map_err(|_| Broken::Read)?;
                write::chunk(&mut self.out, &self.coded);
                self.coded.clear();
            }
            if self.chunked {
                self.out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        Ok(())
    }
}
