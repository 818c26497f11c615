//! One answer that is kept, or on its way to be.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Cache, Held,
    control::Control,
    rules::{self, Freshness},
};
use crate::{
    compress::{self, Coding, Encoder},
    http::{
        head::{self, Connection, Field, Known, Request, Response},
        write::{self, Passing},
    },
};

/// A body of many small pieces is put together in pieces of this size.
const PIECE: usize = 64 * 1024;

/// A body in memory, in pieces: nobody needs so much of it in one piece.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    all: Arc<[Bytes]>,
    length: u64,
    /// As long as somebody has it.
    _held: Arc<Held>,
}

impl Pieces {
    /// Small ones are put together.
    pub(crate) fn new(pieces: Vec<Bytes>, held: Arc<Held>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let is_crumbly = pieces.len() > 1 && length / (pieces.len() as u64) < PIECE as u64 / 4;
        let all = if is_crumbly {
            let mut whole: Vec<Bytes> = Vec::new();
            let mut next = Vec::new();
            for piece in pieces {
                next.extend_from_slice(&piece);
                if next.len() >= PIECE {
                    whole.push(std::mem::take(&mut next).into());
                }
            }
            if !next.is_empty() {
                next.shrink_to_fit();
                whole.push(next.into());
            }
            whole.into()
        } else {
            pieces.into()
        };
        Self { all, length, _held: held }
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Bytes] {
        &self.all
    }

    /// The bytes of this range, in their order.
    pub(crate) fn part(&self, range: std::ops::Range<u64>) -> impl Iterator<Item = Bytes> + '_ {
        let mut from = 0u64;
        self.all.iter().filter_map(move |piece| {
            let (begin, end) = (from, from + piece.len() as u64);
            from = end;
            let (first, last) = (range.start.max(begin), range.end.min(end));
            // Both lie within the piece, whose length is a usize.
            let at = |position: u64| usize::try_from(position - begin).unwrap_or_default();
            (first < last).then(|| piece.slice(at(first)..at(last)))
        })
    }
}

/// How a body ended that others read along.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// All of it is there.
    Whole,
    /// The target went away in the middle.
    Failed,
    /// It is too large to be kept: whoever asked first goes on with the connection itself.
    Handed,
}

#[derive(Debug)]
struct Filled {
    pieces: Vec<Bytes>,
    end: Option<End>,
    /// From its end on: who reads it slowly holds it.
    held: Option<Arc<Held>>,
}

/// A body that is on its way. Those who read it read what is there, and wait for more.
#[derive(Debug)]
pub(crate) struct Filling {
    filled: Mutex<Filled>,
    news: Notify,
    readers: AtomicUsize,
}

/// Somebody reads a body that is on its way, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Filling>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Filling {
    pub(crate) fn new() -> Self {
        let filled = Mutex::new(Filled { pieces: Vec::new(), end: None, held: None });
        Self { filled, news: Notify::new(), readers: AtomicUsize::new(0) }
    }

    pub(crate) fn reading(self: &Arc<Self>) -> Reading {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reading(self.clone())
    }

    /// Whether anybody reads it.
    pub(crate) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn push(&self, piece: Bytes) {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner).pieces.push(piece);
        self.news.notify_waiters();
    }

    pub(crate) fn end(&self, end: End, held: Arc<Held>) {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        (filled.end, filled.held) = (Some(end), Some(held));
        drop(filled);
        self.news.notify_waiters();
    }

    /// Gives the memory back, when nobody reads it any more.
    pub(crate) fn clear(&self) {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        (filled.pieces, filled.held) = (Vec::new(), None);
    }

    /// All pieces.
    pub(crate) fn pieces(&self) -> Vec<Bytes> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner).pieces.clone()
    }

    /// The piece of this number, when it is there; or how it ended.
    pub(crate) async fn piece(&self, number: usize) -> Result<Bytes, End> {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // From here on nothing that happens is missed.
            news.as_mut().enable();
            {
                let filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(piece) = filled.pieces.get(number) {
                    return Ok(piece.clone());
                }
                if let Some(end) = &filled.end {
                    return Err(end.clone());
                }
            }
            news.await;
        }
    }
}

/// Where the bytes of an answer are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Here.
    Whole(Pieces),
    /// Coming, so many if that was said.
    Filling(Arc<Filling>, Option<u64>),
}

/// A body as it was coded.
#[derive(Debug, Default)]
struct Coded {
    pieces: OnceLock<Option<Pieces>>,
    /// Somebody is at it.
    is_begun: AtomicBool,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The way it came by: what comes by another one may be another answer.
    way: Arc<str>,
    /// The names of the fields it differs by, and what the request had in them.
    varies_by: Vec<Box<[u8]>>,
    variant: Vec<Box<[u8]>>,
    /// The status.
    pub(crate) status: u16,
    /// Its first line and its fields, without those of a connection, of the framing, and its age; with the empty line.
    head: Box<[u8]>,
    /// Its entity tag.
    pub(crate) tag: Option<Box<[u8]>>,
    /// `Last-Modified` as it stood there, and what it means.
    pub(crate) last_modified: Option<Box<[u8]>>,
    pub(crate) modified: Option<SystemTime>,
    /// `Date`.
    pub(crate) dated: Option<SystemTime>,
    /// For the log.
    pub(crate) content_type: Option<Box<str>>,
    pub(crate) freshness: Freshness,
    /// When it came, or was found to hold still.
    came: Instant,
    pub(crate) content: Content,
    /// Its body may be coded for those who take that.
    pub(crate) is_text: bool,
    /// The body as it was coded so far; `None` where that saves nothing.
    coded: Arc<[Coded; 3]>,
}

/// What is written of an answer beside its body.
pub(crate) struct Saved {
    pub(crate) way: Arc<str>,
    pub(crate) varies_by: Vec<Box<[u8]>>,
    pub(crate) variant: Vec<Box<[u8]>>,
    pub(crate) head: Vec<u8>,
    pub(crate) came: SystemTime,
    /// How old it was then, in seconds.
    pub(crate) age: u64,
}

/// What an answer is made of.
pub(crate) struct Parts<'a> {
    pub(crate) way: Arc<str>,
    pub(crate) request: (&'a [u8], &'a Request),
    pub(crate) response: (&'a [u8], &'a Response),
    pub(crate) said: Connection,
    pub(crate) freshness: Freshness,
    pub(crate) passing: &'a Passing,
    pub(crate) content: Content,
    pub(crate) now: SystemTime,
}

impl Stored {
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts { way, request: (asked, request), response: (buffer, response), said, freshness, passing, content, now } =
            parts;
        let mut head = Vec::with_capacity(buffer.len() + 64);
        write::stored(&mut head, buffer, response, said, passing);
        if !head::has(&response.fields, Known::Date) {
            // Whoever has a clock says when it came (RFC 9110, section 6.6.1).
            write::append(&mut head, &[b"Date: ", httpdate::fmt_http_date(now).as_bytes()]);
        }
        let varies_by = rules::varies_by(buffer, &response.fields);
        let variant = rules::variant(asked, &request.fields, &varies_by);
        Self::of(way, varies_by, variant, response.status, head, freshness, content)
    }

    fn of(
        way: Arc<str>, varies_by: Vec<Box<[u8]>>, variant: Vec<Box<[u8]>>, status: u16, bytes: Vec<u8>, freshness: Freshness,
        content: Content,
    ) -> Self {
        // It was made from one that was read.
        let parsed = head::response(&bytes).ok().flatten();
        let fields: &[Field] = parsed.as_ref().map(|response| &*response.fields).unwrap_or_default();
        let one = |known| rules::one(&bytes, fields, known);
        let last_modified = one(Known::LastModified);
        let tag = one(Known::ETag).map(Into::into);
        let modified = last_modified.and_then(rules::date);
        let dated = one(Known::Date).and_then(rules::date);
        let content_type = one(Known::ContentType).map(|value| String::from_utf8_lossy(value).into());
        let last_modified = last_modified.map(Into::into);
        let length = match &content {
            Content::Whole(pieces) => Some(pieces.length()),
            Content::Filling(_, length) => *length,
        };
        let is_text = parsed.as_ref().is_some_and(|response| compress::may_code(&bytes, status, &response.fields, length));
        Self {
            is_text,
            coded: Arc::default(),
            way,
            varies_by,
            variant,
            status,
            tag,
            last_modified,
            modified,
            dated,
            content_type,
            freshness,
            came: Instant::now(),
            content,
            head: bytes.into_boxed_slice(),
        }
    }

    /// As it was written. `None`: it was not written by this program, or comes from the future.
    pub(crate) fn restored(saved: Saved, body: Bytes, held: Held, now: SystemTime) -> Option<Self> {
        let Saved { way, varies_by, variant, head, came, age } = saved;
        let parsed = head::response(&head).ok().flatten()?;
        let control = Control::of(&head, &parsed.fields);
        let status = parsed.status;
        let freshness = rules::freshness(&head, &parsed.fields, status, control, age, came, Duration::ZERO);
        let age = freshness.age.saturating_add(now.duration_since(came).ok()?.as_secs());
        let content = Content::Whole(Pieces::new(vec![body], Arc::new(held)));
        Some(Self::of(way, varies_by, variant, status, head, Freshness { age, ..freshness }, content))
    }

    /// The way it came by.
    pub(crate) fn way(&self) -> &Arc<str> {
        &self.way
    }

    /// The fields it differs by, and what was in them.
    #[allow(clippy::type_complexity, reason = "two lists of texts")]
    pub(crate) fn varies(&self) -> (&[Box<[u8]>], &[Box<[u8]>]) {
        (&self.varies_by, &self.variant)
    }

    /// Its body, when all of it is there.
    pub(crate) fn pieces(&self) -> Option<&Pieces> {
        match &self.content {
            Content::Whole(pieces) => Some(pieces),
            Content::Filling(..) => None,
        }
    }

    /// The same, with all of its body.
    pub(crate) fn filled(&self, pieces: Pieces) -> Self {
        let (way, varies_by, variant) = (self.way.clone(), self.varies_by.clone(), self.variant.clone());
        let whole = Content::Whole(pieces);
        let stored = Self::of(way, varies_by, variant, self.status, self.head.to_vec(), self.freshness, whole);
        // It came when its head did.
        Self { came: self.came, ..stored }
    }

    /// Whether a 304 speaks of this one (RFC 9111, section 4.3.4).
    pub(crate) fn is_meant_by(&self, buffer: &[u8], response: &Response) -> bool {
        let said = rules::one(buffer, &response.fields, Known::ETag);
        match (said, self.tag.as_deref()) {
            (Some(said), Some(tag)) => said.strip_prefix(b"W/").unwrap_or(said) == tag.strip_prefix(b"W/").unwrap_or(tag),
            (Some(_), None) => false,
            (None, _) => {
                let said = rules::one(buffer, &response.fields, Known::LastModified);
                said.is_none() || said.and_then(rules::date) == self.modified
            }
        }
    }

    /// The same, with what a 304 (or the answer to HEAD) says of it now (section 3.2).
    pub(crate) fn freshened(
        &self, buffer: &[u8], response: &Response, said: Connection, passing: &Passing, now: SystemTime, waited: Duration,
    ) -> Self {
        let mut fresh = Vec::new();
        write::stored(&mut fresh, buffer, response, said, passing);
        if !head::has(&response.fields, Known::Date) {
            // The date of before would make it old at once.
            write::append(&mut fresh, &[b"Date: ", httpdate::fmt_http_date(now).as_bytes()]);
        }
        let mut bytes = Vec::with_capacity(self.head.len() + fresh.len());
        let (old, new) = (head::response(&self.head).ok().flatten(), head::response(&fresh).ok().flatten());
        if let (Some(old), Some(new)) = (&old, &new) {
            write::merged(&mut bytes, (&self.head, old), (&fresh, new));
        } else {
            bytes.extend_from_slice(&self.head);
        }
        // How old it is is said by the new one, or by nobody: both heads stand without it.
        let age = rules::age_said(buffer, &response.fields);
        let freshness = head::response(&bytes).ok().flatten().map_or(self.freshness, |merged| {
            let control = Control::of(&bytes, &merged.fields);
            rules::freshness(&bytes, &merged.fields, self.status, control, age, now, waited)
        });
        let (way, varies_by, variant) = (self.way.clone(), self.varies_by.clone(), self.variant.clone());
        let fresh = Self::of(way, varies_by, variant, self.status, bytes, freshness, self.content.clone());
        Self { coded: self.coded.clone(), ..fresh }
    }

    /// The body as this client takes it: coded once, for all who come. `None` where there is nothing to be saved, or no room.
    pub(crate) async fn coded(&self, coding: Coding, cache: &Cache) -> Option<Pieces> {
        let (Content::Whole(pieces), Some(cell)) = (&self.content, self.coded.get(coding.index())) else { return None };
        if let Some(coded) = cell.pieces.get() {
            return coded.clone();
        }
        // One does it; who comes meanwhile gets it as it is.
        if cell.is_begun.swap(true, Ordering::Relaxed) {
            return None;
        }
        let Some(held) = cache.hold_coded(pieces.length()) else {
            cell.is_begun.store(false, Ordering::Relaxed);
            return None;
        };
        let pieces = pieces.clone();
        let code = move || {
            let (mut encoder, mut out) = (Encoder::new(coding).ok()?, Vec::new());
            for piece in &*pieces.all {
                encoder.write(piece, &mut out).ok()?;
            }
            encoder.finish(&mut out).ok()?;
            (out.len() as u64 * 10 < pieces.length() * 9).then_some(out)
        };
        let length = self.length().unwrap_or_default();
        // What takes a millisecond or more does not hold up others.
        let out = if length <= PIECE as u64 { code() } else { tokio::task::spawn_blocking(code).await.ok()? };
        let coded = out.map(|mut out| {
            out.shrink_to_fit();
            let length = out.len() as u64;
            Pieces::new(vec![out.into()], Arc::new(held.shrink(length)))
        });
        cell.pieces.get_or_init(|| coded).clone()
    }

    /// Whether it may be kept on, after it was freshened.
    pub(crate) fn may_stay(&self) -> bool {
        !self.freshness.control.no_store && !self.freshness.control.private
    }

    /// Whether it answers a request by this way with these fields.
    pub(crate) fn is_for(&self, way: &str, buffer: &[u8], fields: &[Field]) -> bool {
        *self.way == *way && (self.varies_by.is_empty() || rules::variant(buffer, fields, &self.varies_by) == self.variant)
    }

    /// Whether another one is an answer to the same requests.
    pub(crate) fn is_replaced_by(&self, other: &Self) -> bool {
        self.way == other.way && self.varies_by == other.varies_by && self.variant == other.variant
    }

    /// What it takes, in bytes.
    pub(crate) fn weight(&self) -> u64 {
        let body = match &self.content {
            Content::Whole(pieces) => pieces.length(),
            Content::Filling(_, length) => length.unwrap_or_default(),
        };
        body + self.head.len() as u64
    }

    /// For how long it has been here.
    pub(crate) fn resident(&self) -> Duration {
        self.came.elapsed()
    }

    /// Its first line and fields, and the empty line.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The length of its body, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Whole(pieces) => Some(pieces.length()),
            Content::Filling(_, length) => *length,
        }
    }
}
