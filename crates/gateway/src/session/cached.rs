//! What the cache has to do with a request: it was decided about, and nobody was asked yet.

use std::{
    future::poll_fn,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{Asked, Next, Session, Told};
use crate::{
    cache::{
        Cache, Content, End, Filling, Flight, Held, Key, Leader, Parts, Pieces, Since, Stored, Turn,
        control::Control,
        rules::{self, Asks, Ranged, Use},
    },
    compress::{self, Coding, Encoder},
    egress::{Connected, Target},
    gateway::{Shared, Snapshot},
    http::{
        body::{Decoder, Found},
        head::{self, Connection, Framing, Known, Request, Response},
        write::{self, Body, RequestLine, Validators},
    },
    io::{LARGE, give_buffer, take_buffer},
    limits::Throttle,
    log::CacheResult,
    names::Host,
    page::Refusal,
    policy::{Decision, Egress},
    relay::Relay,
};

/// How long somebody waits at most for the answer that another one asked for, before it asks for itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long somebody waits at most for the end of a body of which nobody knows how long it is.
const MOMENT: Duration = Duration::from_secs(1);
/// How long nobody reads a body that is on its way until it counts as abandoned.
const UNREAD: Duration = Duration::from_secs(1);
/// Up to so many bytes of a body are written together with the head.
const TOGETHER: u64 = 64 * 1024;
/// By so much more of a body of unknown length the cache is asked for room, in bytes.
const ROOM: u64 = 256 * 1024;

/// What comes of asking the cache.
pub(super) enum Cached {
    /// It has nothing to do with it.
    Pass,
    /// The target is asked, and this is done with its answer.
    Fetch(Box<Plan>),
    /// It was answered.
    Done(Next),
    /// It was refused.
    Refused(Refusal),
}

/// What is done with the answer to a request.
pub(super) struct Plan {
    pub(super) asks: Asks,
    key: Key,
    way: Arc<str>,
    since: Since,
    leader: Option<Leader>,
    /// What is kept and too old to be sent without asking.
    pub(super) old: Option<Arc<Stored>>,
    /// The target is asked whether the old one still holds.
    pub(super) asks_whether: bool,
    pub(super) begun: Instant,
}

/// A body that was too large to be kept: its connection, and where it stands.
pub(super) struct Rest {
    connected: Connected,
    decoder: Decoder,
    may_be_kept: bool,
}

/// What an answer of the target means to the cache.
pub(super) enum Learned {
    /// What is kept holds still: this is it.
    Holds(Arc<Stored>),
    /// It is about something else than what is kept: ask again, without conditions.
    AskAgain,
    /// It is to be kept.
    Keep(rules::Freshness),
    /// It is for the one who asked.
    Pass,
}

impl Plan {
    pub(super) fn validators(&self) -> Option<Validators<'_>> {
        let old = self.old.as_ref().filter(|_| self.asks_whether)?;
        Some(Validators { tag: old.tag.as_deref(), modified: old.last_modified.as_deref() })
    }

    /// What is kept, where it may be sent because the target fails.
    pub(super) fn in_need(&self) -> Option<Arc<Stored>> {
        self.old.clone().filter(|old| old.freshness.helps_in_need(&self.asks.control, old.resident()))
    }

    /// What is kept was found to hold no more, and what came instead is not kept.
    fn refuted(&self, cache: &Cache) {
        if let Some(old) = self.old.as_ref().filter(|_| self.asks_whether) {
            cache.forget(&self.key, old);
        }
    }

    /// Nothing of it is for others, and nobody waits for it the next time.
    pub(super) fn give_up(&mut self, cache: &Cache) {
        if self.leader.take().is_some() {
            cache.pass(&self.key);
        }
    }

    pub(super) fn learn(
        &mut self, cache: &Cache, request: (&[u8], &Request), response: (&[u8], &Response), said: Connection, snapshot: &Snapshot,
    ) -> Learned {
        let (buffer, answer) = response;
        let (now, waited) = (SystemTime::now(), self.begun.elapsed());
        if self.asks.is_head {
            self.learn_from_head(cache, response, said, snapshot, now, waited);
            return Learned::Pass;
        }
        if answer.status == 304 && self.asks_whether {
            let Some(old) = self.old.take() else { return Learned::Pass };
            self.asks_whether = false;
            if !old.is_meant_by(buffer, answer) {
                self.since = cache.forget(&self.key, &old);
                return Learned::AskAgain;
            }
            let fresh = Arc::new(old.freshened(buffer, answer, said, &snapshot.passing, now, waited));
            let leader = self.leader.take();
            if !fresh.may_stay() {
                cache.forget(&self.key, &old);
            } else if self.is_for_all(buffer, answer) {
                cache.keep(&self.key, fresh.clone(), self.since);
                if let Some(leader) = leader {
                    leader.serve(fresh.clone());
                }
            }
            return Learned::Holds(fresh);
        }
        if let Some(freshness) = rules::storable(&self.asks, buffer, answer, now, waited) {
            return Learned::Keep(freshness);
        }
        // Another answer has taken its place; the failure of a server says nothing about it.
        if let Some(old) = &self.old
            && answer.status < 500
            && answer.status != 304
            && self.asks_whether
            && old.is_for(&self.way, request.0, &request.1.fields)
        {
            cache.forget(&self.key, old);
        }
        if answer.status < 500 {
            self.give_up(cache);
        } else {
            // It fails now; what it is like otherwise is not known.
            self.leader = None;
        }
        Learned::Pass
    }

    /// Whether what a newer head says of a kept answer may be told to others: what an answer of its own would have to say to be kept.
    fn is_for_all(&self, buffer: &[u8], answer: &Response) -> bool {
        let fields = &answer.fields;
        let control = Control::of(buffer, fields);
        let is_open = control.public || control.s_maxage.is_some();
        let varies_by_all = head::values(buffer, fields, Known::Vary).flat_map(head::tokens).any(|name| name == b"*");
        !control.no_store
            && !control.private
            && !varies_by_all
            && (is_open || !head::has(fields, Known::SetCookie))
            && (is_open || control.must_revalidate || !self.asks.is_authorized)
    }

    /// The answer to HEAD says whether what is kept holds still (RFC 9111, section 4.3.5).
    fn learn_from_head(
        &self, cache: &Cache, (buffer, answer): (&[u8], &Response), said: Connection, snapshot: &Snapshot, now: SystemTime,
        waited: Duration,
    ) {
        let Some(old) = self.old.as_ref().filter(|old| old.status == answer.status) else { return };
        let length = match answer.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        };
        let is_same = old.is_meant_by(buffer, answer) && length.is_none_or(|length| old.length() == Some(length));
        if is_same {
            let fresh = old.freshened(buffer, answer, said, &snapshot.passing, now, waited);
            if fresh.may_stay() {
                if self.is_for_all(buffer, answer) {
                    cache.keep(&self.key, Arc::new(fresh), self.since);
                }
                return;
            }
        }
        cache.forget(&self.key, old);
    }
}

/// The name of the way that was decided.
fn way_of(snapshot: &Snapshot, decision: &Decision<'_>) -> Arc<str> {
    match &decision.egress {
        None => snapshot.direct.name(),
        Some(Egress::One((_, one))) => one.name.clone(),
        Some(Egress::Pool((_, pool))) => pool.name.clone(),
    }
}

fn key_of(asked: &Asked) -> Vec<u8> {
    let mut key = take_buffer();
    key.extend_from_slice(asked.authority.as_bytes());
    key.extend_from_slice(&asked.path);
    key
}

impl Session {
    /// Answers from what is kept, or says what is to be done with the answer of the target.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    pub(super) async fn ask_cache(
        &mut self, snapshot: &Arc<Snapshot>, buffer: &[u8], request: &Request, asked: &Asked, decision: &Decision<'_>,
        closes: bool, throttle: &mut Option<Throttle>, told: &mut Told,
    ) -> Cached {
        if !snapshot.policy.settings().cache.enabled || !decision.cache {
            return Cached::Pass;
        }
        // What was closed since must not be read from memory either.
        let is_closed = snapshot.guard.vet_host(&asked.host).is_err()
            || asked.host.address().is_some_and(|address| snapshot.guard.vet_socket((address, asked.port).into()).is_err());
        if is_closed {
            return Cached::Pass;
        }
        let Some(asks) = Asks::of(buffer, request).filter(|asks| !asks.control.no_store) else { return Cached::Pass };
        let cache = self.shared.cache.clone();
        let way = way_of(snapshot, decision);
        let key = key_of(asked);
        let found = cache.look_up(&key, &way, buffer, &request.fields).await;
        if let Some(stored) = &found {
            let verdict = stored.freshness.judge(&asks.control, stored.resident());
            let how = match verdict {
                Use::Fresh => Some(CacheResult::Hit),
                Use::Stale | Use::StaleWhileAsking => Some(CacheResult::Stale),
                Use::Ask => None,
            };
            if let Some(how) = how {
                let next = self.send_stored(snapshot, (buffer, request), closes, stored, how, throttle, None, told).await;
                if verdict == Use::StaleWhileAsking
                    && let Turn::Lead(leader) = cache.join(&key, &way)
                {
                    let since = cache.since(&key);
                    let plan = Plan {
                        asks: Asks { is_conditional: false, is_ranged: false, is_head: false, ..asks },
                        key: key.as_slice().into(),
                        way,
                        since,
                        leader: Some(leader),
                        old: found.clone(),
                        asks_whether: true,
                        begun: Instant::now(),
                    };
                    self.refresh(snapshot, buffer, request, asked, decision, plan);
                }
                give_buffer(key);
                return Cached::Done(next);
            }
        }
        if asks.control.only_if_cached {
            let refusal = Refusal::new(504, "http_request_denied", "Only a kept answer was asked for, and there is none.");
            return Cached::Refused(refusal);
        }
        let mut plan = Box::new(Plan {
            asks,
            since: cache.since(&key),
            leader: None,
            // HEAD is passed on as it is: what it learns is about the headers.
            asks_whether: !asks.is_head && found.as_ref().is_some_and(|old| old.freshness.has_validator),
            old: found,
            key: key.as_slice().into(),
            way: way.clone(),
            begun: Instant::now(),
        });
        // What asks for something that others do not ask for: a part, or whether it has changed; or will have it anew.
        let wants_anew = asks.control.no_cache || asks.control.max_age == Some(0) || asks.control.min_fresh.is_some();
        let is_own = asks.is_head || wants_anew || (!plan.asks_whether && (asks.is_ranged || asks.is_conditional));
        if !is_own {
            match cache.join(&key, &way) {
                Turn::Alone => {}
                Turn::Lead(leader) => {
                    // Somebody may have brought it a moment ago.
                    let newer = cache.find(&key, &way, buffer, &request.fields).filter(|stored| {
                        plan.old.as_ref().is_none_or(|old| !Arc::ptr_eq(old, stored))
                            && stored.freshness.judge(&asks.control, stored.resident()) == Use::Fresh
                    });
                    if let Some(newer) = newer {
                        leader.serve(newer.clone());
                        drop(leader);
                        give_buffer(key);
                        let how = CacheResult::Hit;
                        return Cached::Done(
                            self.send_stored(snapshot, (buffer, request), closes, &newer, how, throttle, None, told).await,
                        );
                    }
                    plan.leader = Some(leader);
                }
                Turn::Follow(news) => {
                    let stored = self.followed(news).await;
                    let stored = stored.filter(|stored| {
                        let is_fresh = stored.freshness.judge(&asks.control, stored.resident()) == Use::Fresh;
                        is_fresh && stored.is_for(&way, buffer, &request.fields)
                    });
                    if let Some(stored) = stored {
                        give_buffer(key);
                        cache.counts.collapsed.fetch_add(1, Ordering::Relaxed);
                        let how = CacheResult::Hit;
                        return Cached::Done(
                            self.send_stored(snapshot, (buffer, request), closes, &stored, how, throttle, None, told).await,
                        );
                    }
                }
            }
        }
        give_buffer(key);
        Cached::Fetch(plan)
    }

    /// Forgets what is kept of a target (as Squid and Varnish do: `PURGE` is of no standard).
    pub(super) async fn purge(&mut self, snapshot: &Snapshot, asked: &Asked, closes: bool, told: &mut Told) -> Next {
        let key = key_of(asked);
        let was_there = self.shared.cache.invalidate(&key);
        give_buffer(key);
        self.say(snapshot, if was_there { "200 Purged" } else { "404 Not kept" }, closes, told).await
    }

    /// Waits for what another one has asked for.
    async fn followed(&mut self, mut news: watch::Receiver<Flight>) -> Option<Arc<Stored>> {
        let told = async {
            // The one who asks says something in any case: also when it goes.
            let flight = news.wait_for(|flight| !matches!(flight, Flight::Waiting)).await.ok()?;
            match &*flight {
                Flight::Serving(stored) => Some(stored.clone()),
                _ => None,
            }
        };
        tokio::select! {
            told = timeout(PATIENCE, told) => told.ok().flatten(),
            () = self.stop.cut() => None,
        }
    }

    /// Sends what is kept, or as much of it as is asked for.
    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    pub(super) async fn send_stored(
        &mut self, snapshot: &Snapshot, (buffer, request): (&[u8], &Request), mut closes: bool, stored: &Arc<Stored>,
        how: CacheResult, throttle: &mut Option<Throttle>, rest: Option<oneshot::Receiver<Rest>>, told: &mut Told,
    ) -> Next {
        let counts = &self.shared.cache.counts;
        let counter = match how {
            CacheResult::Hit => &counts.hits,
            CacheResult::Revalidated => &counts.revalidated,
            CacheResult::Stale => &counts.stale,
            _ => &counts.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        closes |= self.shared.is_draining();
        told.cache = Some(how);
        told.content_type = stored.content_type.as_deref().map(ToString::to_string);
        let is_head = request.method.of(buffer) == b"HEAD";
        let (tag, length) = (stored.tag.as_deref(), stored.length());
        let is_success = (200..300).contains(&stored.status);
        let mut status = stored.status;
        let mut part: Option<Range<u64>> = None;
        // Of what does not say when it was changed it is known when it was made (RFC 9111, section 4.3.2).
        if is_success && !told.judged_by_target && rules::has_already(buffer, request, tag, stored.modified.or(stored.dated)) {
            status = 304;
        } else if stored.status == 200
            && !is_head
            && let Content::Whole(pieces) = &stored.content
        {
            match rules::range(buffer, request, pieces.length(), tag, stored.modified, stored.dated) {
                Ranged::Whole => {}
                Ranged::Part(range) => (status, part) = (206, Some(range)),
                Ranged::Beyond => status = 416,
            }
        }
        told.status = status;
        let mut out = take_buffer();
        write::from_stored(&mut out, stored.head(), status);
        let has_body = !is_head && !matches!(status, 204 | 304 | 416);
        let is_coding = stored.is_text && matches!(status, 200 | 304) && snapshot.policy.settings().compress.enabled;
        let coding =
            if is_coding && compress::may_ask(buffer, request) { compress::accepted(buffer, &request.fields) } else { None };
        // What is here is coded once; what is coming, as it comes.
        let (mut coding, mut coded, mut encoder) = (coding, None, None);
        if let Some(wanted) = coding.filter(|_| has_body) {
            match &stored.content {
                Content::Whole(_) => coded = stored.coded(wanted, &self.shared.cache).await,
                Content::Filling(..) => encoder = Encoder::new(wanted).ok().map(Box::new),
            }
            coding = coding.filter(|_| coded.is_some() || encoder.is_some());
        }
        let length = match (&coded, &encoder) {
            (Some(coded), _) => Some(coded.length()),
            (None, Some(_)) => None,
            (None, None) => length,
        };
        let mut body = Body::None;
        match (status, &part, length) {
            (204 | 304, ..) => {}
            (416, ..) => {
                write::append_number(&mut out, b"Content-Range: bytes */", length.unwrap_or_default());
                body = Body::Length(0);
            }
            (_, Some(range), Some(length)) => {
                let text = format!("Content-Range: bytes {}-{}/{length}", range.start, range.end - 1);
                write::append(&mut out, &[text.as_bytes()]);
                body = Body::Length(range.end - range.start);
            }
            _ if is_head && coding.is_some() => {}
            (_, _, Some(length)) => body = Body::Length(length),
            (_, _, None) if is_head => {}
            (_, _, None) if request.is_old => (body, closes) = (Body::UntilClose, true),
            (_, _, None) => body = Body::Chunked,
        }
        let age = stored.freshness.age_after(stored.resident());
        if how != CacheResult::Miss || age > 0 {
            write::append_number(&mut out, b"Age: ", age);
        }
        cache_status(&mut out, how, stored, age, &snapshot.passing.via);
        if is_coding {
            write::recode(&mut out, coding.is_some(), coding.filter(|_| status == 200).map(Coding::name));
        }
        write::end(&mut out, body, closes, request.is_old && !closes);
        let is_coded_here = coded.is_some();
        let content = coded.map_or_else(|| stored.content.clone(), Content::Whole);
        let plain = stored.length();
        let what = (content, body, part.filter(|_| has_body), has_body, encoder);
        let sent = self.send_content(snapshot, out, what, throttle, rest, told).await;
        match sent {
            Err(next) => next,
            Ok(content) => {
                if how != CacheResult::Miss {
                    self.shared.cache.counts.saved.fetch_add(content, Ordering::Relaxed);
                }
                if let Some(plain) = plain.filter(|_| is_coded_here && has_body) {
                    self.shared.metrics.compressed(plain.saturating_sub(content));
                }
                if closes { Next::Done } else { Next::Keep }
            }
        }
    }

    /// Writes a head and the content behind it. Answers how many bytes of content that were.
    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    async fn send_content(
        &mut self, snapshot: &Snapshot, mut out: Vec<u8>,
        (content, body, part, has_body, mut encoder): (Content, Body, Option<Range<u64>>, bool, Option<Box<Encoder>>),
        throttle: &mut Option<Throttle>, rest: Option<oneshot::Receiver<Rest>>, told: &mut Told,
    ) -> Result<u64, Next> {
        let idle = snapshot.policy.settings().timeouts.idle;
        if !has_body {
            self.pour(&out, idle, throttle, told).await?;
            give_buffer(out);
            return Ok(0);
        }
        match &content {
            Content::Whole(pieces) => {
                let range = part.unwrap_or(0..pieces.length());
                let length = range.end - range.start;
                if length <= TOGETHER {
                    pieces.part(range).for_each(|piece| out.extend_from_slice(&piece));
                    self.pour(&out, idle, throttle, told).await?;
                } else {
                    self.pour(&out, idle, throttle, told).await?;
                    for piece in pieces.part(range) {
                        self.pour(&piece, idle, throttle, told).await?;
                    }
                }
                give_buffer(out);
                Ok(length)
            }
            Content::Filling(filling, _) => {
                let _reading = filling.reading();
                let (mut number, mut content, mut coded) = (0, 0, Vec::new());
                let end = loop {
                    let piece = tokio::select! {
                        biased;
                        piece = filling.piece(number) => piece,
                        () = self.stop.cut() => {
                            told.cause = Some("proxy_shutdown");
                            return Err(Next::Abort);
                        }
                    };
                    match piece {
                        Ok(piece) => {
                            number += 1;
                            content += piece.len() as u64;
                            if let Some(encoder) = &mut encoder {
                                let taken = encoder.write(&piece, &mut coded).and_then(|()| encoder.flush(&mut coded));
                                if taken.is_err() {
                                    told.cause = Some("proxy_internal_error");
                                    return Err(Next::Abort);
                                }
                                write::chunk(&mut out, &coded);
                                coded.clear();
                            } else if body == Body::Chunked {
                                write::chunk(&mut out, &piece);
                            } else {
                                out.extend_from_slice(&piece);
                            }
                            self.pour(&out, idle, throttle, told).await?;
                            out.clear();
                        }
                        Err(end) => break end,
                    }
                };
                match end {
                    End::Whole => {
                        if let Some(encoder) = encoder.take() {
                            let Ok(saved) = encoder.finish(&mut coded) else {
                                told.cause = Some("proxy_internal_error");
                                return Err(Next::Abort);
                            };
                            self.shared.metrics.compressed(saved);
                            write::chunk(&mut out, &coded);
                        }
                        if body == Body::Chunked {
                            out.extend_from_slice(b"0\r\n\r\n");
                        }
                        self.pour(&out, idle, throttle, told).await?;
                        give_buffer(out);
                        Ok(content)
                    }
                    End::Failed => {
                        told.cause = Some("http_response_incomplete");
                        Err(Next::Abort)
                    }
                    End::Handed => {
                        let rest = match rest {
                            Some(rest) => rest.await.ok(),
                            None => None,
                        };
                        let Some(Rest { mut connected, decoder, may_be_kept }) = rest else {
                            told.cause = Some("http_response_incomplete");
                            return Err(Next::Abort);
                        };
                        // All of it was read.
                        filling.clear();
                        let relay = Relay::resume(decoder, body == Body::Chunked, out).coded(encoder);
                        self.pass_body(snapshot, &mut connected, relay, None, throttle, told).await?;
                        if may_be_kept {
                            connected.keep(&self.shared);
                        }
                        Ok(content)
                    }
                }
            }
        }
    }

    /// Writes bytes as fast as the client takes them and its limit allows.
    async fn pour(
        &mut self, mut bytes: &[u8], idle: Duration, throttle: &mut Option<Throttle>, told: &mut Told,
    ) -> Result<(), Next> {
        if throttle.is_none() && !bytes.is_empty() {
            // Most answers go out at once: no clock is needed for these.
            let now = poll_fn(|cx| Poll::Ready(self.wire.stream.poll_write(cx, bytes))).await;
            if let Poll::Ready(Ok(count)) = now {
                self.wire.written += count as u64;
                bytes = &bytes[count..];
            }
        }
        while !bytes.is_empty() {
            if let Some(throttle) = throttle {
                // Who waits for its turn is not idle.
                let is_over = tokio::select! {
                    biased;
                    is_over = poll_fn(|cx| throttle.poll_turn(cx)) => is_over,
                    () = self.stop.cut() => {
                        told.cause = Some("proxy_shutdown");
                        return Err(Next::Abort);
                    }
                };
                if is_over {
                    told.cause = Some("volume_used_up");
                    return Err(Next::Abort);
                }
            }
            let most = throttle.as_ref().map_or(bytes.len(), |throttle| bytes.len().min(throttle.piece));
            let (wire, stop) = (&mut self.wire, &mut self.stop);
            let written = tokio::select! {
                biased;
                written = timeout(idle, poll_fn(|cx| wire.stream.poll_write(cx, &bytes[..most]))) => written,
                () = stop.cut() => {
                    told.cause = Some("proxy_shutdown");
                    return Err(Next::Abort);
                }
            };
            match written {
                Ok(Ok(count)) if count > 0 => {
                    self.wire.written += count as u64;
                    if let Some(throttle) = throttle {
                        throttle.charge(count as u64);
                    }
                    bytes = &bytes[count..];
                }
                Ok(_) => {
                    told.cause = Some("connection_terminated");
                    return Err(Next::Gone);
                }
                Err(_) => {
                    told.cause = Some("connection_read_timeout");
                    return Err(Next::Abort);
                }
            }
        }
        Ok(())
    }
}

/// A body that is read into memory.
struct Fill {
    connected: Connected,
    decoder: Decoder,
    filling: Arc<Filling>,
    held: Held,
    /// Bytes so far.
    length: u64,
    /// How many there will be, where the target said so; then there is room for them.
    whole: Option<u64>,
    may_be_kept: bool,
}

enum Filled {
    Whole,
    More,
    Failed,
    TooLarge,
    /// Nobody reads it any more, and most of it is still to come.
    Abandoned,
}

impl Fill {
    /// Takes what has come in. Small chunks become one piece: each piece costs more than its bytes.
    fn step(&mut self, cache: &Cache) -> Filled {
        let mut piece = Vec::new();
        let outcome = loop {
            let inbox = &mut self.connected.wire.inbox;
            match self.decoder.next(inbox.bytes()) {
                Ok(Found::Skip(count)) => inbox.consume(count),
                Ok(Found::Data(count)) => {
                    piece.extend_from_slice(&inbox.bytes()[..count]);
                    inbox.consume(count);
                    self.length += count as u64;
                    if self.whole.is_none() && !self.has_room(cache) {
                        break Filled::TooLarge;
                    }
                }
                Ok(Found::More) => break Filled::More,
                Ok(Found::End) => break Filled::Whole,
                Err(_) => break Filled::Failed,
            }
        };
        if !piece.is_empty() {
            piece.shrink_to_fit();
            self.filling.push(piece.into());
        }
        outcome
    }

    fn has_room(&mut self, cache: &Cache) -> bool {
        if self.length > cache.max_object() {
            return false;
        }
        while self.held.bytes() < self.length {
            match cache.hold(ROOM) {
                Some(more) => self.held.take(more),
                None => return false,
            }
        }
        true
    }

    /// Reads on until there is an end; `for_readers`: as long as somebody reads along, or half of it is there.
    async fn run(&mut self, cache: &Cache, idle: Duration, begun: Filled, for_readers: bool) -> Filled {
        let (mut last, mut quiet_since, mut unread_since) = (begun, Instant::now(), None);
        loop {
            match last {
                Filled::More => {}
                end => return end,
            }
            if for_readers && self.is_abandoned(&mut unread_since) {
                return Filled::Abandoned;
            }
            let patience = idle.saturating_sub(quiet_since.elapsed());
            let look = if for_readers { patience.min(UNREAD / 2) } else { patience };
            match timeout(look, poll_fn(|cx| self.connected.wire.poll_fill(cx, LARGE))).await {
                Ok(Ok(count)) if count > 0 => quiet_since = Instant::now(),
                // The end of the connection is the end of a body that says nothing else (RFC 9111, section 3.3).
                Ok(Ok(_)) if self.decoder.may_end() => return Filled::Whole,
                Err(_) if quiet_since.elapsed() < idle => {
                    last = Filled::More;
                    continue;
                }
                _ => return Filled::Failed,
            }
            last = self.step(cache);
        }
    }

    /// What nobody reads is on nobody's account: a client that asks and goes must not have the gateway fetch what it likes. What is
    /// half there is finished: the target has had most of its work, and the next one who asks has it.
    fn is_abandoned(&self, unread_since: &mut Option<Instant>) -> bool {
        if self.filling.is_read() || self.whole.is_some_and(|whole| self.length >= whole.div_ceil(2)) {
            *unread_since = None;
            return false;
        }
        // Somebody may have heard of it, and not begun to read.
        unread_since.get_or_insert_with(Instant::now).elapsed() >= UNREAD
    }

    /// What came is kept, for those who wait and those who come.
    fn keep(self, shared: &Shared, plan: &mut Plan, stored: &Stored) -> Arc<Stored> {
        let Self { connected, filling, held, may_be_kept, length, .. } = self;
        let held = Arc::new(held.shrink(length));
        let stored = Arc::new(stored.filled(Pieces::new(filling.pieces(), held.clone())));
        shared.cache.put(&plan.key, stored.clone(), plan.since);
        if let Some(leader) = plan.leader.take() {
            leader.serve(stored.clone());
        }
        filling.end(End::Whole, held);
        if may_be_kept {
            connected.keep(shared);
        }
        stored
    }
}

/// Reads the rest of a body, for those who read along and for those who will ask.
async fn fill(
    shared: Arc<Shared>, (mut fill, begun): (Fill, Filled), mut plan: Box<Plan>, stored: Arc<Stored>, idle: Duration,
    hand: oneshot::Sender<Rest>,
) {
    let is_known = fill.whole.is_some();
    let outcome = {
        let run = fill.run(&shared.cache, idle, begun, true);
        tokio::pin!(run);
        // Who waits for the end of a body of unknown length waits for a moment, and then asks for itself.
        match timeout(if is_known { Duration::MAX } else { MOMENT }, &mut run).await {
            Ok(outcome) => outcome,
            Err(_) => {
                plan.leader = None;
                run.await
            }
        }
    };
    match outcome {
        Filled::Whole => drop(fill.keep(&shared, &mut plan, &stored)),
        Filled::TooLarge => {
            plan.give_up(&shared.cache);
            plan.refuted(&shared.cache);
            let Fill { connected, decoder, filling, held, may_be_kept, .. } = fill;
            // Before they hear that there is something to take.
            let _ = hand.send(Rest { connected, decoder, may_be_kept });
            filling.end(End::Handed, Arc::new(held));
        }
        Filled::More | Filled::Failed | Filled::Abandoned => fill.filling.end(End::Failed, Arc::new(fill.held)),
    }
}

impl Session {
    /// Keeps an answer and sends it on. Gives everything back where there is no room for it.
    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    pub(super) async fn keep_and_send(
        &mut self, snapshot: &Snapshot, (buffer, request): (&[u8], &Request), closes: bool, connected: Connected,
        (head, response): (&[u8], &Response), said: Connection, mut plan: Box<Plan>, freshness: rules::Freshness,
        may_be_kept: bool, throttle: &mut Option<Throttle>, told: &mut Told,
    ) -> Result<Next, Box<Connected>> {
        let (filled, stored) = match begin(
            &self.shared,
            snapshot,
            (buffer, request),
            connected,
            (head, response),
            said,
            &plan,
            freshness,
            may_be_kept,
        ) {
            Ok(begun) => begun,
            Err(connected) => {
                plan.give_up(&self.shared.cache);
                plan.refuted(&self.shared.cache);
                return Err(connected);
            }
        };
        let mut filled = filled;
        let how = CacheResult::Miss;
        // The client's own conditions went to the target, and this is its answer to them.
        told.judged_by_target = !plan.asks_whether;
        // Most are there at once.
        let begun = filled.step(&self.shared.cache);
        if matches!(begun, Filled::Whole) {
            let stored = filled.keep(&self.shared, &mut plan, &stored);
            drop(plan);
            return Ok(self.send_stored(snapshot, (buffer, request), closes, &stored, how, throttle, None, told).await);
        }
        let stored = Arc::new(stored);
        // From now on: the other task may look before this one has begun to read.
        let _reading = filled.filling.reading();
        if filled.whole.is_some()
            && let Some(leader) = &plan.leader
        {
            // The others read along. Of a body that may be too large they wait for the end: it can't be taken back.
            leader.serve(stored.clone());
        }
        let (hand, rest) = oneshot::channel();
        let idle = snapshot.policy.settings().timeouts.idle;
        tokio::spawn(fill(self.shared.clone(), (filled, begun), plan, stored.clone(), idle, hand));
        Ok(self.send_stored(snapshot, (buffer, request), closes, &stored, how, throttle, Some(rest), told).await)
    }

    /// Asks the target in the background whether what was sent still holds, and keeps what it says (RFC 5861, section 3).
    fn refresh(
        &self, snapshot: &Arc<Snapshot>, buffer: &[u8], request: &Request, asked: &Asked, decision: &Decision<'_>, plan: Plan,
    ) {
        let (authority, path) = (asked.authority.clone(), asked.path.clone());
        let (shared, snapshot, client) = (self.shared.clone(), snapshot.clone(), self.client);
        let (buffer, request, host, port) = (buffer.to_vec(), request.clone(), asked.host.clone(), asked.port);
        let (egress, resolve) = (decision.egress_position(), decision.resolve);
        tokio::spawn(async move {
            let way = snapshot.policy.settings().way_out(egress);
            let ways = &shared.egress;
            let resolves_here = ways.resolves_here(way.as_ref(), &snapshot);
            let addresses = if resolves_here || resolve {
                match ways.addresses(&snapshot, &host, port, !resolves_here).await {
                    Ok(addresses) => addresses,
                    Err(_) => return,
                }
            } else {
                Vec::new()
            };
            let Ok(target) = ways.target(&snapshot, way.as_ref(), &host, port, addresses, client) else { return };
            // It is kept as it was when that fails.
            let _ = ask_again(&shared, &snapshot, &buffer, &request, (&authority, &path), &target, plan).await;
        });
    }
}

/// Begins to read a body into memory, where there is room for it.
#[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
fn begin(
    shared: &Shared, snapshot: &Snapshot, request: (&[u8], &Request), connected: Connected, response: (&[u8], &Response),
    said: Connection, plan: &Plan, freshness: rules::Freshness, may_be_kept: bool,
) -> Result<(Fill, Stored), Box<Connected>> {
    let framing = response.1.framing;
    let length = match framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    if length.is_some_and(|length| length > shared.cache.max_object()) {
        return Err(Box::new(connected));
    }
    let Some(held) = shared.cache.hold(length.unwrap_or_default()) else { return Err(Box::new(connected)) };
    let filling = Arc::new(Filling::new());
    let stored = Stored::new(Parts {
        way: plan.way.clone(),
        request,
        response,
        said,
        freshness,
        passing: &snapshot.passing,
        content: Content::Filling(filling.clone(), length),
        now: SystemTime::now(),
    });
    let decoder = Decoder::new(framing);
    Ok((Fill { connected, decoder, filling, held, length: 0, whole: length, may_be_kept }, stored))
}

async fn ask_again(
    shared: &Shared, snapshot: &Snapshot, buffer: &[u8], request: &Request, (authority, path): (&str, &[u8]), target: &Target,
    mut plan: Plan,
) -> Option<()> {
    let timeouts = &snapshot.policy.settings().timeouts;
    let mut connected = target.connect(shared, timeouts, false).await.ok()?;
    let authorization = connected.authorization();
    let line = RequestLine {
        method: b"GET",
        target: &connected.request_target(path, authority),
        host: authority,
        client: None,
        authorization: authorization.as_deref(),
        upgrade: None,
        asks_with: plan.validators(),
    };
    let mut out = take_buffer();
    let said = head::connection(buffer, &request.fields);
    write::request(&mut out, buffer, request, said, line, Body::None, &snapshot.passing);
    let answered = async {
        connected.wire.write_all(&out).await.ok()?;
        loop {
            match head::response(connected.wire.inbox.bytes()) {
                Ok(Some(response)) if response.status < 200 => connected.wire.inbox.consume(response.end),
                Ok(Some(response)) => return Some(response),
                Ok(None) => {
                    if connected.wire.fill().await.ok()? == 0 {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    };
    let response = timeout(timeouts.response_head, answered).await.ok().flatten()?;
    give_buffer(out);
    let head = connected.wire.inbox.bytes()[..response.end].to_vec();
    connected.wire.inbox.consume(response.end);
    let said = head::connection(&head, &response.fields);
    // What another proxy wants of this gateway is no answer of the target.
    if response.status == 407 && connected.login_refused(authority).is_some() {
        return None;
    }
    let is_somebodys = super::signs_connection_in(buffer, &request.fields) || super::signs_connection_in(&head, &response.fields);
    let may_be_kept = !is_somebodys && super::may_be_kept(&response, said);
    match plan.learn(&shared.cache, (buffer, request), (&head, &response), said, snapshot) {
        Learned::Holds(_) => {
            if may_be_kept {
                connected.keep(shared);
            }
        }
        Learned::Keep(freshness) => {
            let begun =
                begin(shared, snapshot, (buffer, request), connected, (&head, &response), said, &plan, freshness, may_be_kept);
            let (mut fill, stored) = begun.ok()?;
            let begun = fill.step(&shared.cache);
            if let Filled::Whole = fill.run(&shared.cache, timeouts.idle, begun, false).await {
                fill.keep(shared, &mut plan, &stored);
            }
        }
        Learned::AskAgain | Learned::Pass => {}
    }
    Some(())
}

/// What the cache did, for whoever looks into it (RFC 9211).
fn cache_status(out: &mut Vec<u8>, how: CacheResult, stored: &Stored, age: u64, name: &str) {
    let text = match how {
        CacheResult::Hit => format!("Cache-Status: {name}; hit; ttl={}", stored.freshness.lifetime.saturating_sub(age)),
        CacheResult::Stale => format!("Cache-Status: {name}; hit; ttl=-{}", age.saturating_sub(stored.freshness.lifetime)),
        CacheResult::Revalidated => format!("Cache-Status: {name}; hit; fwd=stale; fwd-status=304"),
        _ => format!("Cache-Status: {name}; fwd=miss; stored"),
    };
    write::append(out, &[text.as_bytes()]);
}

/// A path without the steps that stay where they are or lead back (RFC 3986, section 5.2.4).
fn without_dots(path: &[u8]) -> Vec<u8> {
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let (path, query) = path.split_at(end);
    let mut steps: Vec<&[u8]> = Vec::new();
    let mut all = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(step) = all.next() {
        let is_last = all.peek().is_none();
        match step {
            b"." | b".." => {
                if step == b".." {
                    steps.pop();
                }
                if is_last {
                    steps.push(b"");
                }
            }
            step => steps.push(step),
        }
    }
    let mut clean = Vec::with_capacity(path.len() + query.len());
    for step in steps {
        clean.push(b'/');
        clean.extend_from_slice(step);
    }
    if clean.is_empty() {
        clean.push(b'/');
    }
    clean.extend_from_slice(query);
    clean
}

/// Targets that are made old by what was done to another one (RFC 9111, section 4.4): those that the answer names, on the same host.
pub(super) fn also_changed(asked: &Asked, head: &[u8], response: &Response) -> Vec<Vec<u8>> {
    let named =
        [Known::Location, Known::ContentLocation].into_iter().filter_map(|known| rules::one(head, &response.fields, known));
    let own = asked.path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let base = own.iter().rposition(|byte| *byte == b'/').map_or(&b"/"[..], |at| &own[..=at]);
    named
        .filter_map(|value| {
            let value = value.split(|byte| *byte == b'#').next().unwrap_or_default();
            let text = std::str::from_utf8(value).ok()?;
            let path = if text.starts_with("//") || text.split('/').next().is_some_and(|scheme| scheme.ends_with(':')) {
                let (_, rest) = text.split_once("//")?;
                let is_http = text.len() >= 5 && text.as_bytes()[..5].eq_ignore_ascii_case(b"http:");
                if !text.starts_with("//") && !is_http {
                    return None;
                }
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(end);
                let (host, port) = Host::parse_authority(authority, Some(80)).ok()?;
                if (&host, port) != (&asked.host, asked.port) {
                    return None;
                }
                match path {
                    "" => b"/".to_vec(),
                    path if path.starts_with('?') => format!("/{path}").into_bytes(),
                    path => path.as_bytes().to_vec(),
                }
            } else if text.starts_with('/') {
                text.as_bytes().to_vec()
            } else if text.is_empty() || text.starts_with('?') {
                [own, text.as_bytes()].concat()
            } else {
                [base, text.as_bytes()].concat()
            };
            Some([asked.authority.as_bytes(), &without_dots(&path)].concat())
        })
        .chain([[asked.authority.as_bytes(), &asked.path].concat()])
        .collect()
}
