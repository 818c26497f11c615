//! The way of a request, from a client's connection and back: it reads top to bottom.
//!
//! 1. The head is read, strictly ([`crate::http::head`]).
//! 2. What is asked for is understood ([`Asked`]): a host, a port, what to send there.
//! 3. Who asks is found out: by address, or by name and password ([`crate::auth`]).
//! 4. The policy decides ([`crate::policy`]).
//! 5. The name is resolved, its addresses are vetted, and the policy is asked again where they matter.
//! 6. The target is connected to: dialled, or taken from those that stand idle ([`crate::egress`]).
//! 7. The request is made anew and sent, its body with it; the answer comes back the same way. Or a tunnel is opened.
//! 8. A record is written ([`crate::log`]).
//!
//! Nothing is passed on as it came, and nothing that failed is answered without saying why.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use tokio::{net::TcpStream, time::timeout};

mod cached;

use cached::{Cached, Learned, Plan};

use crate::{
    auth::NotIn,
    cache,
    compress::{self, Coding, Encoder},
    egress::{Connected, Failed, Target},
    gateway::{Shared, Snapshot, StopWatch},
    http::{
        head::{self, Connection, Framing, Known, Request, Response, Wrong},
        write::{self, Body, RequestLine},
    },
    io::{Stream, Wire, give_buffer, take_buffer},
    limits::{OverLimit, Throttle},
    log::{CacheResult, Record},
    names::Host,
    page::{self, Refusal},
    policy::{Action, Decision, Question, Scheme, Who},
    relay::{Broken, Relay},
    tunnel,
};

/// How long a connection that is closed after a refusal is still read from, so that the answer arrives.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes are read then at most.
const LINGER_BYTES: usize = 256 * 1024;
/// The most answers of the kind 1xx to one request.
const MOST_INTERIM: usize = 16;

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next request may come.
    Keep,
    /// It is closed: all that came was read, and all that was to be said was said.
    Done,
    /// It is closed, when the client has the answer: it may still be sending.
    Close,
    /// It is closed at once: what was sent is not whole, and must not look as if it were.
    Abort,
    /// It is over.
    Gone,
}

/// What is asked for.
struct Asked {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// The value of `Host` for the target.
    authority: String,
    /// What is asked for there, with its query.
    path: Vec<u8>,
}

impl Asked {
    /// As it stands in the log: without the query, which may hold what is nobody's business.
    fn for_log(&self) -> String {
        match self.scheme {
            Scheme::Connect => format!("{}:{}", self.host.for_authority(), self.port),
            _ => {
                let path = self.path.split(|byte| *byte == b'?').next().unwrap_or_default();
                format!("http://{}{}", self.authority, String::from_utf8_lossy(path))
            }
        }
    }
}

/// What is told of a transaction when it is over.
#[derive(Default)]
struct Told {
    method: String,
    target: String,
    person: Option<Arc<str>>,
    rule: Option<String>,
    egress: Option<Arc<str>>,
    peer: Option<IpAddr>,
    content_type: Option<String>,
    cause: Option<&'static str>,
    status: u16,
    cache: Option<CacheResult>,
    /// The client's conditions went to the target, and it did not say 304.
    judged_by_target: bool,
    /// For an operator: what the client is not told.
    detail: Option<Box<str>>,
}

/// Serves a client until it or the gateway is done.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, client: SocketAddr) {
    let stop = shared.watch();
    let mut session = Session { shared, client: client.ip().to_canonical(), wire: Wire::new(Stream::Plain(stream)), stop };
    loop {
        match session.turn().await {
            Next::Keep => session.wire.inbox.rest(),
            Next::Done => return,
            Next::Close => return session.linger().await,
            Next::Abort => return session.wire.stream.abort(),
            Next::Gone => return,
        }
    }
}

struct Session {
    shared: Arc<Shared>,
    client: IpAddr,
    wire: Wire,
    stop: StopWatch,
}

impl Session {
    /// One request and its answer.
    async fn turn(&mut self) -> Next {
        let read = self.read_head().await;
        // Now, and not before it was waited for: what was changed meanwhile holds.
        let snapshot = self.shared.snapshot();
        let request = match read {
            Ok(Some(request)) => request,
            Ok(None) => return Next::Gone,
            Err(refusal) => {
                let begun = (Instant::now(), SystemTime::now());
                let mut told = Told { method: "-".into(), target: "error:invalid-request".into(), ..Told::default() };
                let next = self.refuse(&snapshot, &refusal, "", true, true, &mut told).await;
                self.record(begun, (0, 0), told);
                return next;
            }
        };
        let begun = (Instant::now(), SystemTime::now());
        // What comes behind the head is body, or the next request.
        let mut buffer = take_buffer();
        buffer.extend_from_slice(&self.wire.inbox.bytes()[..request.end]);
        let before = (self.wire.read - self.wire.inbox.bytes().len() as u64, self.wire.written);
        self.wire.inbox.consume(request.end);
        let mut told = Told::default();
        let next = self.transact(&snapshot, &buffer, &request, &mut told).await;
        give_buffer(buffer);
        self.record(begun, before, told);
        if next == Next::Keep && self.shared.is_draining() { Next::Done } else { next }
    }

    /// Reads until there is a whole head. `None`: the client is gone, or has nothing more to ask.
    async fn read_head(&mut self) -> Result<Option<Request>, Refusal> {
        // The times alone: a connection that waits must not keep a policy of a million names alive.
        let (client_idle, client_head) = {
            let snapshot = self.shared.snapshot();
            let timeouts = &snapshot.policy.settings().timeouts;
            (timeouts.client_idle, timeouts.client_head)
        };
        if self.wire.inbox.is_empty() {
            let (wire, stop) = (&mut self.wire, &mut self.stop);
            let filled = async {
                tokio::select! {
                    biased;
                    filled = wire.fill() => filled,
                    // Whoever asks for nothing is let go when the gateway shuts down.
                    () = stop.draining() => Ok(0),
                }
            };
            match timeout(client_idle, filled).await {
                Ok(Ok(count)) if count > 0 => {}
                _ => return Ok(None),
            }
        }
        let invalid =
            |wrong: Wrong| Refusal::new(wrong.status(), "http_request_error", format!("This request is not taken: {wrong}."));
        if let Some(request) = head::request(self.wire.inbox.bytes()).map_err(invalid)? {
            return Ok(Some(request));
        }
        let whole = async {
            loop {
                match self.wire.fill().await {
                    Ok(count) if count > 0 => {}
                    _ => return Ok(None),
                }
                if let Some(request) = head::request(self.wire.inbox.bytes()).map_err(invalid)? {
                    return Ok(Some(request));
                }
            }
        };
        match timeout(client_head, whole).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::new(408, "http_request_error", "The request did not come in whole in time.")),
        }
    }

    async fn transact(&mut self, snapshot: &Arc<Snapshot>, buffer: &[u8], request: &Request, told: &mut Told) -> Next {
        let method = request.method.of(buffer);
        told.method = String::from_utf8_lossy(method).into_owned();
        let said = head::connection(buffer, &request.fields);
        let closes = said.close || (request.is_old && !said.keep_alive);
        let with_body = method != b"HEAD";
        // What is refused before its body was read: where that begins, the next request can't be found.
        let refused_closes = closes || request.framing != Framing::None || method == b"CONNECT";

        let asked = match understand(buffer, request) {
            Ok(Some(asked)) => asked,
            Ok(None) => return self.own_page(snapshot, buffer, request, closes, told).await,
            Err(refusal) => {
                told.target = loggable(request.target.of(buffer));
                // What is not understood may have another end than it seems to have.
                return self.refuse(snapshot, &refusal, "", with_body, true, told).await;
            }
        };
        told.target = asked.for_log();
        let host = asked.host.for_authority().into_owned();
        if write::is_loop(buffer, &request.fields, &snapshot.passing.via) {
            let refusal =
                Refusal::new(508, "proxy_loop_detected", "This request has been here before: proxies send it in a circle.")
                    .hint("Gateways that stand behind each other need different names (forwarded.via in the policy).");
            return self.refuse(snapshot, &refusal, &host, with_body, refused_closes, told).await;
        }
        // The last one that may answer it (RFC 9110, section 7.6.2).
        if method == b"OPTIONS" && write::value(buffer, &request.fields, Known::MaxForwards) == Some(b"0") {
            return self.say(snapshot, "200 OK", refused_closes, told).await;
        }
        let Decided { decision, addresses, mut throttle } = match self.decided(snapshot, buffer, request, &asked, told).await {
            Ok(decided) => decided,
            Err(refusal) => return self.refuse(snapshot, &refusal, &host, with_body, refused_closes, told).await,
        };
        if asked.scheme == Scheme::Connect {
            return match self.reach(snapshot, &decision, &asked, addresses).await {
                Ok(target) => self.tunnel(snapshot, target, throttle, &asked, told).await,
                Err(refusal) => self.refuse(snapshot, &refusal, &host, with_body, true, told).await,
            };
        }
        let may_purge = &snapshot.policy.settings().cache.purge_from;
        if method == b"PURGE" && may_purge.iter().any(|network| network.contains(&self.client)) {
            return self.purge(snapshot, &asked, refused_closes, told).await;
        }
        // Whoever may not ask the target may not have what others got of it.
        let mut plan = match self.ask_cache(snapshot, buffer, request, &asked, &decision, closes, &mut throttle, told).await {
            Cached::Done(next) => return next,
            Cached::Refused(refusal) => return self.refuse(snapshot, &refusal, &host, with_body, refused_closes, told).await,
            Cached::Pass => None,
            Cached::Fetch(plan) => Some(plan),
        };
        let in_need = plan.as_ref().and_then(|plan| plan.in_need());
        let outcome = match self.reach(snapshot, &decision, &asked, addresses).await {
            Ok(target) => {
                told.egress = Some(target.name());
                let answered = (buffer, request, said, closes);
                self.forward(snapshot, answered, &asked, target, &mut throttle, &mut plan, told).await
            }
            Err(refusal) => Err(refusal),
        };
        match (outcome, in_need) {
            (Ok(next), _) => next,
            (Err(refusal), Some(stored)) if matches!(refusal.status, 500 | 502..=504) => {
                // The others find out for themselves.
                drop(plan);
                told.detail.clone_from(&refusal.log);
                let how = CacheResult::Stale;
                self.send_stored(snapshot, (buffer, request), closes, &stored, how, &mut throttle, None, told).await
            }
            (Err(refusal), _) => self.refuse(snapshot, &refusal, &host, with_body, refused_closes, told).await,
        }
    }

    /// Answers by itself, in a line.
    async fn say(&mut self, snapshot: &Snapshot, status: &str, closes: bool, told: &mut Told) -> Next {
        told.status = status.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 {status}\r\nVia: 1.1 {}\r\nContent-Length: 0\r\n{}\r\n",
            snapshot.passing.via,
            if closes { "Connection: close\r\n" } else { "" }
        );
        match timeout(snapshot.policy.settings().timeouts.idle, self.wire.write_all(answer.as_bytes())).await {
            Ok(Ok(())) if closes => Next::Close,
            Ok(Ok(())) => Next::Keep,
            _ => Next::Gone,
        }
    }

    /// Who asks, and whether they may, and how much.
    async fn decided<'s>(
        &mut self, snapshot: &'s Snapshot, buffer: &[u8], request: &Request, asked: &Asked, told: &mut Told,
    ) -> Result<Decided<'s>, Refusal> {
        let policy = &snapshot.policy;
        let mut who = policy.identify(self.client);
        // Where there are no people nobody can be one, and nobody is asked: what a client says without being asked is not wrong.
        let value = write::value(buffer, &request.fields, Known::ProxyAuthorization).filter(|_| policy.has_people());
        if let Some(value) = value {
            let person = self.shared.doorkeeper.person(policy, self.client, value).await.map_err(not_in)?;
            who = Who { person: Some(person.name.clone()), groups: person.groups.union(&who.groups) };
        }
        told.person.clone_from(&who.person);
        let method = String::from_utf8_lossy(request.method.of(buffer)).into_owned();
        let question = Question {
            client: self.client,
            person: who.person.as_deref(),
            groups: &who.groups,
            host: &asked.host,
            port: asked.port,
            scheme: asked.scheme,
            method: &method,
            at: SystemTime::now(),
        };
        let mut decision = policy.decide(&question);
        let asks_who =
            || Refusal { asks_who: true, ..Refusal::new(407, "http_request_denied", "This gateway wants to know who you are.") };
        if decision.person_matters && who.person.is_none() {
            return Err(asks_who());
        }
        let mut addresses = None;
        if decision.addresses_matter {
            // Where another proxy gets the name, it picks the address.
            let resolves_here = self.shared.egress.resolves_here(decision.egress.as_ref(), snapshot);
            let open = self.shared.egress.addresses(snapshot, &asked.host, asked.port, !resolves_here).await?;
            let found: Vec<IpAddr> = open.iter().map(SocketAddr::ip).collect();
            decision = policy.decide_resolved(&question, &found);
            if decision.person_matters && who.person.is_none() {
                return Err(asks_who());
            }
            addresses = Some(open);
        }
        told.rule = decision.rule.map(ToString::to_string);
        if decision.action == Action::Deny {
            told.cache = Some(CacheResult::Denied);
            let mut refusal = Refusal::new(403, "http_request_denied", decision.reason.into_owned());
            refusal.rule = decision.rule.map(Into::into);
            return Err(refusal);
        }
        let throttle = match decision.limit {
            None => None,
            Some((at, limit)) => {
                let limits = &self.shared.limits;
                let admitted = limits.admit(policy.settings(), snapshot.limits_edition, at, self.client, &who, question.at);
                let throttle = admitted.map_err(|over| over_limit(&over))?;
                Some(throttle.following(limits, snapshot.limits_edition, &limit.name, self.client, who))
            }
        };
        Ok(Decided { decision, addresses, throttle })
    }

    /// Where to connect to: the name is resolved, and what it leads to is vetted, unless that was done already.
    async fn reach(
        &mut self, snapshot: &Snapshot, decision: &Decision<'_>, asked: &Asked, addresses: Option<Vec<SocketAddr>>,
    ) -> Result<Target, Refusal> {
        let egress = &self.shared.egress;
        let addresses = match addresses {
            Some(addresses) => addresses,
            None => {
                let resolves_here = egress.resolves_here(decision.egress.as_ref(), snapshot);
                if resolves_here || decision.resolve {
                    egress.addresses(snapshot, &asked.host, asked.port, !resolves_here).await?
                } else {
                    Vec::new()
                }
            }
        };
        egress.target(snapshot, decision.egress.as_ref(), &asked.host, asked.port, addresses, self.client)
    }

    /// Opens a tunnel. The target is connected to before the client hears that it is.
    async fn tunnel(
        &mut self, snapshot: &Snapshot, target: Target, throttle: Option<Throttle>, asked: &Asked, told: &mut Told,
    ) -> Next {
        told.cache = Some(CacheResult::Tunnel);
        told.egress = Some(target.name());
        let host = asked.host.for_authority().into_owned();
        let settings = snapshot.policy.settings();
        let mut connected = match target.open_tunnel(&self.shared, &settings.timeouts).await {
            Ok(connected) => connected,
            Err(failed) => return self.refuse(snapshot, &failed.into_refusal(&host), &host, true, true, told).await,
        };
        told.peer = connected.peer;
        told.status = 200;
        self.wire.inbox_rest_if_empty();
        if self.wire.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_err() {
            return Next::Gone;
        }
        let _open = self.shared.metrics.tunnel();
        let early = self.wire.inbox.bytes().len() as u64;
        let (ended, there, back) =
            tunnel::run(&mut self.wire, &mut connected.wire, settings.timeouts.tunnel_idle, self.stop.cut(), throttle).await;
        self.wire.read += there.saturating_sub(early);
        self.wire.written += back;
        told.cause = ended.cause();
        Next::Gone
    }

    /// Passes a request on, and its answer back.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    async fn forward(
        &mut self, snapshot: &Snapshot, (buffer, request, said, closes): (&[u8], &Request, Connection, bool), asked: &Asked,
        target: Target, throttle: &mut Option<Throttle>, plan: &mut Option<Box<Plan>>, told: &mut Told,
    ) -> Result<Next, Refusal> {
        let settings = snapshot.policy.settings();
        let host = asked.host.for_authority().into_owned();
        let upgrade = write::value(buffer, &request.fields, Known::Upgrade)
            .filter(|protocol| said.upgrade && !request.is_old && request.framing == Framing::None && is_passed(protocol));
        let body = match request.framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked,
            // A method that usually has a body says that there is none.
            _ if matches!(request.method.of(buffer), b"POST" | b"PUT" | b"PATCH") => Body::Length(0),
            _ => Body::None,
        };
        let client = snapshot.passing.tells_client.then(|| self.client.to_string());
        let mut may_retry = request.framing == Framing::None && is_idempotent(request.method.of(buffer));
        loop {
            let mut connected =
                target.connect(&self.shared, &settings.timeouts, may_retry).await.map_err(|failed| failed.into_refusal(&host))?;
            told.peer = connected.peer;
            let authorization = connected.authorization();
            let line = RequestLine {
                method: request.method.of(buffer),
                target: &connected.request_target(&asked.path, &asked.authority),
                host: &asked.authority,
                client: client.as_deref(),
                authorization: authorization.as_deref(),
                upgrade,
                asks_with: plan.as_ref().and_then(|plan| plan.validators()),
            };
            let mut out = take_buffer();
            write::request(&mut out, buffer, request, said, line, body, &snapshot.passing);
            let mut relay = Relay::new(request.framing, request.framing == Framing::Chunked, out);
            relay.turn = throttle.as_ref().map_or(usize::MAX, |throttle| throttle.piece);
            let (client, target) = (&mut self.wire, &mut connected.wire);
            let mut exchange = Exchange { client, target, relay, sent: false, upload: None, throttle };
            let mut interim = 0;
            let answer = loop {
                match exchange.answer(settings.timeouts.response_head).await {
                    // 101 is an answer; what else is of that kind is passed on to those who know it.
                    Ok(response) if response.status < 200 && response.status != 101 => {
                        interim += 1;
                        if interim > MOST_INTERIM {
                            break Err(NoAnswer::Wrong(Wrong::StartLine));
                        }
                        exchange.pass_interim(&response, request.is_old, snapshot).await;
                    }
                    other => break other,
                }
            };
            let response = match answer {
                Ok(response) => response,
                // A connection that stood idle was closed at the other end before it heard of this request.
                Err(NoAnswer::Closed) if connected.was_idle && may_retry && interim == 0 => {
                    may_retry = false;
                    continue;
                }
                Err(NoAnswer::OverLimit) => {
                    told.cause = Some("volume_used_up");
                    return Ok(Next::Abort);
                }
                Err(NoAnswer::Client) => {
                    told.cause = Some("http_request_error");
                    return Ok(Next::Abort);
                }
                Err(NoAnswer::BadBody(wrong)) => {
                    return Err(Refusal::new(
                        wrong.status(),
                        "http_request_error",
                        format!("This request is not taken: {wrong}."),
                    ));
                }
                Err(no_answer) => {
                    if interim > 0 && told.status != 0 {
                        return Ok(Next::Abort);
                    }
                    return Err(no_answer.into_refusal(&host));
                }
            };
            let sent = exchange.sent;
            let relay = exchange.relay;
            // What another proxy wants of this gateway is not the client's to give.
            if response.status == 407
                && let Some(refusal) = connected.login_refused(&host)
            {
                return Err(refusal);
            }
            if response.status == 101 {
                // Not asked for, not agreed on, or in the middle of a body: what comes next from the client is a request to be judged, and
                // not somebody else's bytes.
                let said = write::value(connected.wire.inbox.bytes(), &response.fields, Known::Upgrade);
                let agreed = sent && upgrade.zip(said).is_some_and(|(asked, said)| asked.eq_ignore_ascii_case(said));
                if !agreed {
                    return Err(NoAnswer::Wrong(Wrong::StartLine).into_refusal(&host));
                }
            }
            let mut head_bytes = take_buffer();
            head_bytes.extend_from_slice(&connected.wire.inbox.bytes()[..response.end]);
            connected.wire.inbox.consume(response.end);
            let head = (&*head_bytes, &response);
            let said = head::connection(&head_bytes, &response.fields);
            // NTLM and Negotiate sign a connection in, not a request (RFC 4559, section 6): nobody else may use it.
            let is_somebodys = signs_connection_in(buffer, &request.fields) || signs_connection_in(&head_bytes, &response.fields);
            let may_be_kept = sent && !is_somebodys && may_be_kept(&response, said);
            if settings.cache.enabled && cache::rules::invalidates(request.method.of(buffer), response.status) {
                for key in cached::also_changed(asked, &head_bytes, &response) {
                    self.shared.cache.invalidate(&key);
                }
            }
            if let Some(known) = plan {
                if matches!(response.status, 500 | 502..=504)
                    && let Some(stored) = known.in_need()
                {
                    *plan = None;
                    drop(connected);
                    let how = CacheResult::Stale;
                    return Ok(self.send_stored(snapshot, (buffer, request), closes, &stored, how, throttle, None, told).await);
                }
                match known.learn(&self.shared.cache, (buffer, request), head, said, snapshot) {
                    Learned::Pass => {}
                    Learned::AskAgain => {
                        may_retry = false;
                        continue;
                    }
                    Learned::Holds(stored) => {
                        if may_be_kept {
                            connected.keep(&self.shared);
                        }
                        let how = CacheResult::Revalidated;
                        return Ok(self
                            .send_stored(snapshot, (buffer, request), closes, &stored, how, throttle, None, told)
                            .await);
                    }
                    Learned::Keep(freshness) => {
                        if let Some(known) = plan.take() {
                            told.status = response.status;
                            let kept = self
                                .keep_and_send(
                                    snapshot,
                                    (buffer, request),
                                    closes,
                                    connected,
                                    head,
                                    said,
                                    known,
                                    freshness,
                                    may_be_kept,
                                    throttle,
                                    told,
                                )
                                .await;
                            match kept {
                                Ok(next) => return Ok(next),
                                Err(back) => connected = *back,
                            }
                        }
                    }
                }
            }
            // Nobody waits for it any more.
            *plan = None;
            let answer = (head_bytes, response, said, may_be_kept);
            return Ok(self.answer(snapshot, request, buffer, closes, connected, answer, (relay, sent), throttle, told).await);
        }
    }

    /// Passes an answer back.
    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    async fn answer(
        &mut self, snapshot: &Snapshot, request: &Request, buffer: &[u8], closes: bool, mut connected: Connected,
        (head_bytes, response, said, may_be_kept): (Vec<u8>, Response, Connection, bool), (upload, sent): (Relay, bool),
        throttle: &mut Option<Throttle>, told: &mut Told,
    ) -> Next {
        let idle = snapshot.policy.settings().timeouts.idle;
        told.status = response.status;
        told.cache = Some(CacheResult::Miss);
        told.content_type = content_type(&head_bytes, &response);
        let is_head = request.method.of(buffer) == b"HEAD";
        let framing = if is_head { Framing::None } else { response.framing };
        let (body, until_close) = match (framing, request.is_old) {
            (Framing::None, _) => match response.framing {
                // What a GET would have got.
                Framing::Length(length) if is_head => (Body::Length(length), false),
                _ => (Body::None, false),
            },
            (Framing::Length(length), _) => (Body::Length(length), false),
            (Framing::Chunked | Framing::UntilClose, false) => (Body::Chunked, false),
            (Framing::Chunked | Framing::UntilClose, true) => (Body::UntilClose, true),
        };
        let is_coding = snapshot.policy.settings().compress.enabled && compress::may_code_response(&head_bytes, &response);
        let coding =
            if is_coding && compress::may_ask(buffer, request) { compress::accepted(buffer, &request.fields) } else { None };
        let encoder = coding.filter(|_| !is_head).and_then(|coding| Encoder::new(coding).ok()).map(Box::new);
        let coding = coding.filter(|_| is_head || encoder.is_some());
        let body = if encoder.is_some() { Body::Chunked } else { body };
        let switches = response.status == 101;
        let closes = !switches && (closes || until_close || !sent || self.shared.is_draining());
        let mut out = take_buffer();
        // HTTP/1.0 clients that want to be kept are told that they are.
        write::response(&mut out, &head_bytes, &response, said, body, closes, &snapshot.passing);
        if response.status >= 200 && !head::has(&response.fields, Known::Date) {
            // Whoever has a clock says when it came (RFC 9110, section 6.6.1).
            write::append(&mut out, &[b"Date: ", httpdate::fmt_http_date(SystemTime::now()).as_bytes()]);
        }
        if request.is_old && !closes {
            out.truncate(out.len() - 2);
            out.extend_from_slice(b"Connection: keep-alive\r\n\r\n");
        }
        if is_coding {
            write::recode(&mut out, coding.is_some(), coding.map(Coding::name));
        }
        give_buffer(head_bytes);
        if switches {
            if !matches!(timeout(idle, self.wire.write_all(&out)).await, Ok(Ok(()))) {
                return Next::Gone;
            }
            give_buffer(out);
            told.cache = Some(CacheResult::Tunnel);
            let _open = self.shared.metrics.tunnel();
            let tunnel_idle = snapshot.policy.settings().timeouts.tunnel_idle;
            let early = self.wire.inbox.bytes().len() as u64;
            let (ended, there, back) =
                tunnel::run(&mut self.wire, &mut connected.wire, tunnel_idle, self.stop.cut(), throttle.take()).await;
            self.wire.read += there.saturating_sub(early);
            self.wire.written += back;
            told.cause = ended.cause();
            return Next::Gone;
        }
        let relay = Relay::new(framing, body == Body::Chunked, out).coded(encoder);
        let sent = match self.pass_body(snapshot, &mut connected, relay, Some(upload).filter(|_| !sent), throttle, told).await {
            Ok(sent) => sent,
            Err(next) => return next,
        };
        if sent && may_be_kept {
            connected.keep(&self.shared);
        }
        match (closes, sent) {
            (false, _) => Next::Keep,
            (true, true) => Next::Done,
            (true, false) => Next::Close,
        }
    }

    /// Passes on the body of an answer, and what there still is of the request's. Answers whether all of the request was sent.
    async fn pass_body(
        &mut self, snapshot: &Snapshot, connected: &mut Connected, mut relay: Relay, mut upload: Option<Relay>,
        throttle: &mut Option<Throttle>, told: &mut Told,
    ) -> Result<bool, Next> {
        let idle = snapshot.policy.settings().timeouts.idle;
        relay.turn = throttle.as_ref().map_or(usize::MAX, |throttle| throttle.piece);
        let mut sent = upload.is_none();
        let uploaded = |upload: &Option<Relay>| upload.as_ref().map_or(0, |upload| upload.content);
        let mut is_over = false;
        let outcome = loop {
            let before = (relay.content, uploaded(&upload), self.wire.written);
            let step = poll_fn(|cx| {
                if let Some(throttle) = throttle {
                    match throttle.poll_turn(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(true) => {
                            is_over = true;
                            return Poll::Ready(Err(Broken::Truncated));
                        }
                        Poll::Ready(false) => relay.turn = throttle.piece,
                    }
                }
                let moved = self.wire.written + connected.wire.written;
                if !sent && let Some(rest) = &mut upload {
                    match rest.poll(cx, &mut self.wire, &mut connected.wire) {
                        Poll::Ready(Ok(())) => sent = true,
                        // The target does not want more of it; what it answers counts.
                        Poll::Ready(Err(_)) => upload = None,
                        Poll::Pending => {}
                    }
                }
                let outcome = relay.poll(cx, &mut connected.wire, &mut self.wire);
                if let Some(throttle) = throttle {
                    throttle.charge(self.wire.written + connected.wire.written - moved);
                    if throttle.is_waiting() {
                        cx.waker().wake_by_ref();
                    }
                }
                outcome
            });
            let stepped = tokio::select! {
                biased;
                stepped = timeout(idle, step) => stepped,
                () = self.stop.cut() => {
                    told.cause = Some("proxy_shutdown");
                    return Err(Next::Abort);
                }
            };
            match stepped {
                Ok(outcome) => break Some(outcome),
                Err(_) if before == (relay.content, uploaded(&upload), self.wire.written) => break None,
                Err(_) => {}
            }
        };
        match outcome {
            Some(Ok(())) => {}
            Some(Err(Broken::Write)) => {
                // The client is gone.
                told.cause = Some("connection_terminated");
                return Err(Next::Gone);
            }
            Some(Err(_)) if is_over => {
                told.cause = Some("volume_used_up");
                return Err(Next::Abort);
            }
            Some(Err(broken)) => {
                told.cause =
                    Some(if matches!(broken, Broken::Wrong(_)) { "http_protocol_error" } else { "http_response_incomplete" });
                return Err(Next::Abort);
            }
            None => {
                told.cause = Some("connection_read_timeout");
                return Err(Next::Abort);
            }
        }
        self.shared.metrics.compressed(relay.saved);
        Ok(sent)
    }

    /// The gateway's own pages: what browsers ask for to find it.
    async fn own_page(&mut self, snapshot: &Snapshot, buffer: &[u8], request: &Request, closes: bool, told: &mut Told) -> Next {
        told.target = loggable(request.target.of(buffer));
        let closes = closes || request.framing != Framing::None;
        let local = match &self.wire.stream {
            Stream::Plain(stream) => stream.local_addr().ok(),
            Stream::Tls(_) => None,
        };
        let named = request.fields.iter().find(|field| field.known == Known::Host).map(|field| field.value.of(buffer));
        let named =
            named.and_then(|value| std::str::from_utf8(value).ok()).and_then(|text| Host::parse_authority(text, Some(80)).ok());
        // The name that the client found us by is one that it can reach us by; the port is the one that it did reach.
        let place = match (named, local) {
            (Some((host, _)), Some(local)) => format!("{}:{}", host.for_authority(), local.port()),
            (_, Some(local)) => local.to_string(),
            _ => return Next::Gone,
        };
        let script = crate::pac::script(&snapshot.policy, &place);
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\nCache-Control: max-age=300\r\nContent-Length: {}\r\n{}\r\n",
            script.len(),
            if closes { "Connection: close\r\n" } else { "" },
        );
        if request.method.of(buffer) != b"HEAD" {
            answer.push_str(&script);
        }
        told.status = 200;
        match timeout(snapshot.policy.settings().timeouts.idle, self.wire.write_all(answer.as_bytes())).await {
            Ok(Ok(())) if closes => Next::Close,
            Ok(Ok(())) => Next::Keep,
            _ => Next::Gone,
        }
    }

    /// Says why not.
    async fn refuse(
        &mut self, snapshot: &Snapshot, refusal: &Refusal, host: &str, with_body: bool, closes: bool, told: &mut Told,
    ) -> Next {
        told.status = refusal.status;
        told.cause = Some(refusal.error);
        told.detail.clone_from(&refusal.log);
        if told.cache.is_none() && matches!(refusal.status, 403 | 407 | 429) {
            told.cache = Some(CacheResult::Denied);
        }
        let answer = page::answer(refusal, host, &snapshot.passing.via, with_body, closes);
        match timeout(snapshot.policy.settings().timeouts.idle, self.wire.write_all(&answer)).await {
            Ok(Ok(())) if closes => Next::Close,
            Ok(Ok(())) => Next::Keep,
            _ => Next::Gone,
        }
    }

    /// Closes a connection whose other end may still be sending: closed at once, the answer would be lost (RFC 9112, section 9.6).
    async fn linger(mut self) {
        self.wire.inbox.consume(self.wire.inbox.bytes().len());
        if poll_fn(|cx| self.wire.stream.poll_shutdown(cx)).await.is_err() {
            return;
        }
        let rest = async {
            let mut left = LINGER_BYTES;
            while let Ok(count) = self.wire.fill().await {
                self.wire.inbox.consume(count);
                if count == 0 || left < count {
                    return;
                }
                left -= count;
            }
        };
        let _ = timeout(LINGER, rest).await;
    }

    fn record(&self, (begun, at): (Instant, SystemTime), (read, written): (u64, u64), told: Told) {
        let bytes_in = self.wire.read - self.wire.inbox.bytes().len() as u64 - read.min(self.wire.read);
        let bytes_out = self.wire.written - written;
        let took = begun.elapsed();
        self.shared.metrics.count(told.status, bytes_in, bytes_out, told.cause);
        if let Some(detail) = &told.detail {
            tracing::debug!(target = told.target, detail, "a request failed");
        }
        let record = Record {
            at,
            took,
            client: self.client,
            person: told.person.as_deref(),
            method: &told.method,
            target: &told.target,
            status: told.status,
            bytes_in,
            bytes_out,
            cache: told.cache.unwrap_or(CacheResult::None),
            rule: told.rule.as_deref(),
            egress: told.egress.as_deref(),
            peer: told.peer,
            content_type: told.content_type.as_deref(),
            cause: told.cause,
        };
        self.shared.log.record(&record);
        if let Some(sink) = &self.shared.sink {
            sink.record(&record);
        }
    }
}

/// A request on its way, while its answer is waited for.
struct Exchange<'a> {
    client: &'a mut Wire,
    target: &'a mut Wire,
    relay: Relay,
    sent: bool,
    /// Why the target does not take the rest of the request.
    upload: Option<Broken>,
    throttle: &'a mut Option<Throttle>,
}

/// What was decided about a request that may go on.
struct Decided<'p> {
    decision: Decision<'p>,
    /// Those of its host, vetted, where they mattered.
    addresses: Option<Vec<SocketAddr>>,
    throttle: Option<Throttle>,
}

/// Why there is no answer.
#[derive(Debug)]
enum NoAnswer {
    /// The target closed the connection without a word.
    Closed,
    /// It did not answer in time.
    Late,
    /// What it says is not HTTP.
    Wrong(Wrong),
    /// The client's body is not HTTP.
    BadBody(Wrong),
    /// The client went away in the middle of its request.
    Client,
    /// A volume is used up.
    OverLimit,
}

impl NoAnswer {
    fn into_refusal(self, host: &str) -> Refusal {
        match self {
            Self::Late => Refusal::new(504, "http_response_timeout", format!("{host} did not answer in time.")),
            Self::Wrong(wrong) => {
                let mut refusal = Refusal::new(502, "http_protocol_error", format!("What {host} answers is not taken: {wrong}."));
                refusal.log = Some(format!("{wrong:?}").into());
                refusal
            }
            _ => Refusal::new(502, "connection_terminated", format!("{host} closed the connection without an answer.")),
        }
    }
}

impl Exchange<'_> {
    /// Sends what is still to be sent until the head of an answer is there.
    async fn answer(&mut self, limit: Duration) -> Result<Response, NoAnswer> {
        loop {
            let before = self.relay.content;
            match timeout(limit, poll_fn(|cx| self.poll_answer(cx))).await {
                Ok(outcome) => return outcome,
                // As long as the request goes on, its answer is not late; nor in the time after its end.
                Err(_) if self.relay.content != before => {}
                Err(_) => return Err(NoAnswer::Late),
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<Response, NoAnswer>> {
        let may_send = match self.throttle.as_mut().map(|throttle| throttle.poll_turn(cx)) {
            None | Some(Poll::Ready(false)) => true,
            Some(Poll::Pending) => false,
            Some(Poll::Ready(true)) => return Poll::Ready(Err(NoAnswer::OverLimit)),
        };
        if may_send && !self.sent && self.upload.is_none() {
            let moved = self.target.written;
            self.relay.turn = self.throttle.as_ref().map_or(usize::MAX, |throttle| throttle.piece);
            let outcome = self.relay.poll(cx, self.client, self.target);
            if let Some(throttle) = self.throttle {
                throttle.charge(self.target.written - moved);
                if throttle.is_waiting() {
                    cx.waker().wake_by_ref();
                }
            }
            match outcome {
                Poll::Ready(Ok(())) => self.sent = true,
                // It may have answered before it stopped listening.
                Poll::Ready(Err(broken @ Broken::Write)) => self.upload = Some(broken),
                Poll::Ready(Err(Broken::Wrong(wrong))) => return Poll::Ready(Err(NoAnswer::BadBody(wrong))),
                Poll::Ready(Err(Broken::Truncated | Broken::Read)) => return Poll::Ready(Err(NoAnswer::Client)),
                Poll::Pending => {}
            }
        }
        loop {
            if !self.target.inbox.is_empty() {
                match head::response(self.target.inbox.bytes()) {
                    Ok(Some(response)) => return Poll::Ready(Ok(response)),
                    Ok(None) => {}
                    Err(wrong) => return Poll::Ready(Err(NoAnswer::Wrong(wrong))),
                }
            }
            match self.target.poll_fill(cx, crate::io::SMALL) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) if self.target.inbox.is_empty() => return Poll::Ready(Err(NoAnswer::Closed)),
                Poll::Ready(_) => return Poll::Ready(Err(NoAnswer::Wrong(Wrong::StartLine))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Passes on what comes before the answer: 100, 103 (RFC 9110, section 15.2). HTTP/1.0 does not know it.
    async fn pass_interim(&mut self, response: &Response, is_old: bool, snapshot: &Snapshot) {
        let mut out = take_buffer();
        if !is_old {
            let bytes = self.target.inbox.bytes();
            let said = head::connection(bytes, &response.fields);
            write::response(&mut out, bytes, response, said, Body::None, false, &snapshot.passing);
        }
        self.target.inbox.consume(response.end);
        // A client that is gone, or does not read, is noticed with the answer.
        let _ = timeout(LINGER, self.client.write_all(&out)).await;
        give_buffer(out);
    }
}

impl Wire {
    fn inbox_rest_if_empty(&mut self) {
        self.inbox.rest();
    }
}

/// Understands the target (RFC 9112, section 3.2) and `Host`. `None`: it is a page of the gateway's own that is asked for.
fn understand(buffer: &[u8], request: &Request) -> Result<Option<Asked>, Refusal> {
    let bad = |wrong: Wrong| Refusal::new(wrong.status(), "http_request_error", format!("This request is not taken: {wrong}."));
    let method = request.method.of(buffer);
    let target = std::str::from_utf8(request.target.of(buffer)).map_err(|_| bad(Wrong::Target))?;
    let mut hosts = request.fields.iter().filter(|field| field.known == Known::Host);
    let named = hosts.next().map(|field| field.value.of(buffer));
    if hosts.next().is_some() || (named.is_none() && !request.is_old) {
        return Err(bad(Wrong::Host));
    }
    let named = named.map(|value| std::str::from_utf8(value).map_err(|_| bad(Wrong::Host))).transpose()?;
    let bad_host =
        |why: &dyn std::fmt::Display| Refusal::new(400, "http_request_error", format!("This address is not taken: {why}."));
    let parse = |text: &str, port: Option<u16>| Host::parse_authority(text, port).map_err(|why| bad_host(&why));

    if method == b"CONNECT" {
        if request.framing != Framing::None {
            return Err(bad(Wrong::ContentLength));
        }
        let (host, port) = parse(target, None)?;
        // Some clients name the host alone there; another host is two meanings.
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            let (other, _) = parse(named, Some(port))?;
            if other != host {
                return Err(bad(Wrong::HostMismatch));
            }
        }
        return Ok(Some(Asked { scheme: Scheme::Connect, authority: String::new(), path: Vec::new(), host, port }));
    }
    if method == b"TRACE" {
        return Err(Refusal::new(
            405,
            "http_request_denied",
            "TRACE shows what a request holds to whoever can send one: it is not passed on.",
        ));
    }
    if !target.starts_with('/')
        && let Some(scheme_end) = target.find("://")
    {
        let (scheme, rest) = (&target[..scheme_end], &target[scheme_end + 3..]);
        if !scheme.eq_ignore_ascii_case("http") {
            let refusal =
                Refusal::new(400, "http_request_error", "Only addresses that begin with http:// can be asked for in this way.");
            return Err(refusal.hint("For https, open a tunnel with CONNECT: every browser does."));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = parse(authority, Some(80))?;
        if let Some(named) = named {
            let (other, other_port) = parse(named, Some(80))?;
            if (&other, other_port) != (&host, port) {
                return Err(bad(Wrong::HostMismatch));
            }
        }
        let path = match (path, method) {
            ("", b"OPTIONS") => b"*".to_vec(),
            ("", _) => b"/".to_vec(),
            (path, _) if path.starts_with('?') => format!("/{path}").into_bytes(),
            (path, _) => path.as_bytes().to_vec(),
        };
        return Ok(Some(asked(host, port, path)));
    }
    // Sent as to a server itself: redirected here by the network, or meant for the gateway.
    let is_own = matches!(target.split('?').next(), Some("/proxy.pac" | "/wpad.dat")) && matches!(method, b"GET" | b"HEAD");
    if is_own {
        return Ok(None);
    }
    let is_whole_server = target == "*" && method == b"OPTIONS";
    if !target.starts_with('/') && !is_whole_server {
        return Err(bad(Wrong::Target));
    }
    let Some(named) = named.filter(|named| !named.is_empty()) else { return Err(bad(Wrong::Host)) };
    let (host, port) = parse(named, Some(80))?;
    Ok(Some(asked(host, port, target.as_bytes().to_vec())))
}

fn asked(host: Host, port: u16, path: Vec<u8>) -> Asked {
    let authority = if port == 80 { host.for_authority().into_owned() } else { format!("{}:{port}", host.for_authority()) };
    Asked { scheme: Scheme::Http, host, port, authority, path }
}

/// A target as it may stand in the log: without its query, and without what stands before an `@`.
fn loggable(target: &[u8]) -> String {
    let text = String::from_utf8_lossy(target);
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => text.rsplit('@').next().unwrap_or_default().to_string(),
    }
}

/// Whether the connection can be used again once this answer was read.
fn may_be_kept(response: &Response, said: Connection) -> bool {
    !response.is_doubtful && !said.close && (!response.is_old || said.keep_alive) && response.framing != Framing::UntilClose
}

/// Protocols that may be changed to. Not HTTP/2 without TLS: its requests would pass unseen.
fn is_passed(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

/// Methods that may be sent twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}

/// Whether a field speaks of a scheme that signs the connection in.
fn signs_connection_in(buffer: &[u8], fields: &head::Fields) -> bool {
    let names: [&[u8]; 3] = [b"authorization", b"www-authenticate", b"proxy-authenticate"];
    fields.iter().filter(|field| names.iter().any(|name| field.name.of(buffer).eq_ignore_ascii_case(name))).any(|field| {
        head::tokens(field.value.of(buffer)).any(|offer| {
            let scheme = offer.split(|byte| *byte == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
        })
    })
}

fn content_type(buffer: &[u8], response: &Response) -> Option<String> {
    let field = response.fields.iter().find(|field| field.name.of(buffer).eq_ignore_ascii_case(b"content-type"))?;
    std::str::from_utf8(field.value.of(buffer)).ok().map(ToString::to_string)
}

fn over_limit(over: &OverLimit) -> Refusal {
    let seconds = |wait: &Duration| u32::try_from(wait.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX).max(1);
    let (message, wait) = match over {
        OverLimit::Requests(name, wait) => {
            (format!("More requests came than the limit “{name}” allows. Try again in a moment."), wait)
        }
        OverLimit::Volume(name, what, wait) => (format!("What the limit “{name}” allows for a {what} is used up."), wait),
    };
    Refusal { retry_after: Some(seconds(wait)), ..Refusal::new(429, "http_request_denied", message) }
}

fn not_in(why: NotIn) -> Refusal {
    let asks = |message: &'static str| Refusal { asks_who: true, ..Refusal::new(407, "http_request_denied", message) };
    match why {
        NotIn::Malformed => asks("This gateway understands a user name and a password (Basic authentication) only."),
        NotIn::Wrong => asks("This user name and password are not right."),
        NotIn::TooMany(seconds) => {
            let refusal = Refusal::new(429, "http_request_denied", "Too many wrong passwords came from your address.");
            Refusal { retry_after: Some(seconds), ..refusal }
        }
    }
}

impl Failed {
    /// As the client is told.
    fn into_refusal(self, host: &str) -> Refusal {
        self.refusal(host)
    }
}
