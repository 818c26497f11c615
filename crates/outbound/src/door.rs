//! The door: every request of the platform goes out here.
//!
//! [`OutDoor::send`] in short: the choice becomes a way ([`crate::route`]), the breaker is asked, a connection that stands
//! idle is taken from the pool or a new one is walked to ([`crate::walk`]), the request is sent over it ([`crate::client`]),
//! the attempt is recorded ([`crate::traffic`]), and, where it makes sense, made again ([`crate::retry`]).

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gatehouse_domain::{CaPem, Cause, DirectReason, Route, Scheme, Stage, StageResult, TestTarget, Timeout};
use gatehouse_platform::{
    Asker, Door, KeyRing, OutAnswer, OutError, OutRequest, Retry,
    ports::{ProxyStore, TrafficStore},
};
use hyper::{HeaderMap, Response, body::Incoming, header::CONTENT_LENGTH};
use tokio::time::{Instant, timeout_at};

use crate::{
    breaker::{self, Breaker, Failure, Line},
    client::{self, Connection, Message},
    connect, dial,
    guard::{AddressPolicy, Reach},
    head::Head,
    names::ResolveError,
    pool::{Key, Pool},
    problem::{Instead, Problem},
    retry::{self, Ended},
    route::{NoRoute, Router, Way, fingerprint},
    steps::{Over, Steps},
    texts::{self, Hidden},
    tls,
    traffic::{self, Attempt, TrafficLog},
    trust::{TrustCache, TrustLoader},
    voice::{self, Direct, Through},
    walk::{self, secure_target},
    wire::{Looks, Wire},
};

/// The one door out. Cheap to clone; all clones share connections, traffic log and breaker.
#[derive(Clone)]
pub struct OutDoor {
    inner: Arc<Inner>,
}

struct Inner {
    reach: Reach,
    router: Router,
    log: TrafficLog,
    pool: Pool,
    trust: TrustCache,
    breaker: Breaker,
}

impl OutDoor {
    /// A door for the companies of this store. With [`AddressPolicy::PublicOnly`] (the cloud edition) loopback is not reached
    /// directly but refused, as every private address is.
    #[must_use]
    pub fn new<S: ProxyStore + TrafficStore + 'static>(store: Arc<S>, keys: KeyRing, reach: impl Into<Reach>) -> Self {
        let reach = reach.into();
        let inner = Inner {
            router: Router::new(store.clone(), keys, reach.policy == AddressPolicy::AllowAll),
            reach,
            log: TrafficLog::new(store),
            pool: Pool::default(),
            trust: TrustCache::default(),
            breaker: Breaker::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

/// A request on its way.
struct Trip<'a> {
    asker: &'a Asker,
    request: &'a OutRequest,
    message: Message,
    way: &'a Way,
    /// Whether the proxy takes the whole request.
    whole: bool,
    /// For the whole.
    deadline: Instant,
    /// Where connections like this one's are kept.
    key: Option<Key>,
}

/// What the target answered.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[async_trait]
impl Door for OutDoor {
    async fn send(&self, asker: &Asker, request: OutRequest) -> Result<OutAnswer, OutError> {
        self.inner.send(asker, request).await
    }

    async fn look_up(
        &self, asker: &Asker, name: &str, zone: &str, timeout: Duration,
    ) -> Result<(Vec<Ipv4Addr>, Route), OutError> {
        let route = Route::Direct { reason: DirectReason::NoProxy };
        let attempt = self.inner.log.begin(asker, "DNS", zone.to_ascii_lowercase(), Some(route.clone()), 0);
        let (cause, message) = match tokio::time::timeout(timeout, self.inner.reach.words_of(name)).await {
            Ok(Ok(addresses)) => {
                attempt.finish(None, None).await;
                return Ok((addresses, route));
            }
            Ok(Err(ResolveError::Unknown)) => {
                attempt.finish(None, None).await;
                return Ok((Vec::new(), route));
            }
            Ok(Err(ResolveError::NoAnswer)) => {
                (Cause::TargetUnreachable, "This server's name servers do not answer the question.".to_string())
            }
            Err(_) => {
                (Cause::TargetTimeout, format!("This server's name servers did not answer within {}.", texts::span(timeout)))
            }
        };
        attempt.finish(None, Some(cause)).await;
        let hint = "Check the name servers of the machine that Gatehouse runs on; DNS does not go through a proxy.";
        Err(OutError { cause, message, hint: Some(hint.into()), route: Some(route), stages: Vec::new() })
    }

    async fn settle(&self) {
        self.inner.log.settle().await;
    }

    async fn route(&self, asker: &Asker, target: &TestTarget) -> Result<Route, OutError> {
        self.inner.router.way(asker, target).await.map(|way| way.route()).map_err(|why| lost(&why))
    }

    fn check_ca(&self, pem: &CaPem) -> Result<(), String> {
        tls::check_ca(pem)
    }
}

impl Inner {
    async fn send(&self, asker: &Asker, request: OutRequest) -> Result<OutAnswer, OutError> {
        let begun = Instant::now();
        let deadline = begun + request.timeout;
        let host = request.url.authority();
        let bytes_out = request.body.len() as u64;

        let (mut last, mut done) = (None, 0);
        // The first setting of the choice, while it can't be reached.
        let mut unreached = None;
        loop {
            done += 1;
            // Anew for each attempt: what was changed since the one before holds.
            let way = match timeout_at(deadline, self.router.way(asker, &request.url)).await.unwrap_or(Err(NoRoute::NoAnswer)) {
                Ok(way) => way,
                Err(why) => {
                    let error = lost(&why);
                    self.log.begin(asker, request.method, host, None, bytes_out).finish(None, Some(error.cause)).await;
                    return Err(error);
                }
            };
            let second = way.fallback();
            let way = match &second {
                Some(second) if unreached == Some(way.fingerprint()) => second.clone(),
                _ => way,
            };
            let second = second.filter(|second| second.fingerprint() != way.fingerprint());
            let route = way.route();
            let Some(trip) = self.trip(asker, &request, &way, deadline) else {
                return Err(OutError {
                    cause: Cause::TargetUnreachable,
                    message: "The request can't be sent: its address or one of its fields holds what HTTP can't carry.".into(),
                    hint: Some("Check the address of the service and its key.".into()),
                    route: Some(route),
                    stages: Vec::new(),
                });
            };
            let line = (!request.trace).then(|| Line {
                company: asker.company,
                consumer: (asker.consumer.kind.clone(), asker.consumer.id.clone()),
                way: way.fingerprint(),
                host: host.clone(),
            });
            if let Some(line) = &line
                && let Err(Failure { cause, message, hint }) = self.breaker.check(line)
            {
                // It was not reached a moment ago, and several times.
                if second.is_some() && matches!(cause, Cause::NameNotFound | Cause::ConnectionRefused | Cause::ConnectTimeout) {
                    unreached = Some(way.fingerprint());
                    done -= 1;
                    continue;
                }
                let message = format!("{message} {}", breaker::NOT_TRIED);
                let open = OutError { cause, message, hint, route: Some(route.clone()), stages: Vec::new() };
                return last.unwrap_or(Err(open));
            }
            let mut attempt = self.log.begin(asker, request.method, host.clone(), Some(route.clone()), bytes_out);
            let (outcome, stages) = self.attempt(&trip, second.is_some(), &mut attempt).await;
            if let Some(line) = &line {
                self.breaker.note(line, failure(&outcome, &request.url));
            }
            if let (Some(_), Err(over)) = (&second, &outcome)
                && over.problem.is_unreached()
            {
                // Nothing of the request has left: whatever it is, it may be sent.
                attempt.finish(None, Some(over.cause)).await;
                unreached = Some(way.fingerprint());
                done -= 1;
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = match &outcome {
                Ok(answer) => {
                    attempt.finish(Some(answer.status), None).await;
                    let after = answer.headers.iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value.as_str());
                    retry::pause(request.retry, done, Ended::Answer(answer.status, after), left, traffic::now())
                }
                Err(over) => {
                    attempt.finish(None, Some(over.cause)).await;
                    retry::pause(request.retry, done, Ended::Problem(&over.problem), left, traffic::now())
                }
            };
            let stages = if request.trace { stages } else { Vec::new() };
            let result = match outcome {
                Ok(Answer { status, headers, body }) => Ok(OutAnswer { status, headers, body, route: route.clone(), stages }),
                Err(Over { cause, mut message, hint, .. }) => {
                    if let Route::Proxy { instead_of: Some(first), .. } = &route {
                        message.push_str(&texts::second_after(&first.name));
                    }
                    Err(OutError { cause, message, hint, route: Some(route.clone()), stages })
                }
            };
            let Some(pause) = pause else { return result };
            last = Some(result);
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes ready what all attempts share. `None` when the request holds what HTTP can't carry.
    fn trip<'a>(&self, asker: &'a Asker, request: &'a OutRequest, way: &'a Way, deadline: Instant) -> Option<Trip<'a>> {
        let target = &request.url;
        let whole = match way {
            Way::Through(setting, _) => !target.tls && !setting.values.scheme.is_socks(),
            Way::Direct(_) => false,
        };
        let message = Message::new(request.method, target, &request.headers, Bytes::copy_from_slice(&request.body));
        let message = match way {
            Way::Through(setting, _) if whole => message.and_then(|message| message.for_proxy(target, setting.login())),
            _ => message,
        };
        let message = message?;
        let key = (!request.trace).then(|| Key {
            company: asker.company,
            way: way.fingerprint(),
            target: fingerprint([
                [u8::from(target.tls)].as_slice(),
                target.authority().as_bytes(),
                asker.ca_pem.as_ref().map(CaPem::as_str).unwrap_or_default().as_bytes(),
            ]),
        });
        Some(Trip { asker, request, message, way, whole, deadline, key })
    }

    /// Once the way there and back, and what each stage of it was. With another way after this one, reaching the proxy may take half of
    /// the time at most.
    async fn attempt(&self, trip: &Trip<'_>, another: bool, attempt: &mut Attempt) -> (Result<Answer, Over>, Vec<StageResult>) {
        let (target, time) = (&trip.request.url, trip.request.timeout);
        let seconds = match trip.way {
            Way::Direct(_) => Timeout::DEFAULT,
            Way::Through(setting, _) => setting.values.timeout.seconds(),
        };
        let mut reach = Duration::from_secs(seconds.into()).min(time);
        if another {
            reach = reach.min(trip.deadline.saturating_duration_since(Instant::now()) / 2);
        }
        match trip.way {
            Way::Direct(reason) => {
                let mut voice = Direct::new(target, *reason, reach, time);
                trip.request.headers.iter().for_each(|(_, value)| voice.hidden.add(value));
                let mut steps = Steps::new(&voice, trip.deadline, None);
                let outcome = self.walk(trip, None, &voice.hidden, reach, &mut steps, attempt).await;
                (outcome, steps.complete())
            }
            Way::Through(setting, _) => {
                let mut voice = Through::new(setting, target, reach, time);
                trip.request.headers.iter().for_each(|(_, value)| voice.hide(value));
                let (values, login, words) = (&setting.values, setting.login(), &voice.words);
                let way = walk::Way { reach: &self.reach, values, target, login, words };
                let mut steps = Steps::new(&voice, trip.deadline, None);
                let outcome = self.walk(trip, Some(way), words.hidden(), reach, &mut steps, attempt).await;
                (outcome, steps.complete())
            }
        }
    }

    async fn walk(
        &self, trip: &Trip<'_>, proxy: Option<walk::Way<'_>>, hidden: &Hidden, reach: Duration, steps: &mut Steps<'_>,
        attempt: &mut Attempt,
    ) -> Result<Answer, Over> {
        let late =
            if trip.whole { Problem::ProxyTimeout { tls: false } } else { Problem::TargetTimeout { tls: trip.request.url.tls } };
        if let Some(mut connection) = trip.key.as_ref().and_then(|key| self.pool.take(key)) {
            let asked = timeout_at(trip.deadline, connection.ask(&trip.message)).await;
            let problem = match asked {
                Ok(Ok(response)) => {
                    return steps.run(Stage::TargetHttp, late, self.take(trip, connection, Ok(response), attempt)).await;
                }
                // It had stood too long: nothing was lost, or nothing that may not be done twice.
                Ok(Err(why)) if why.unsent || (trip.request.retry == Retry::Safe && why.problem == Problem::TargetClosed) => None,
                Ok(Err(why)) => Some(if trip.whole { as_the_proxys(why.problem) } else { why.problem }),
                Err(_) => Some(late.clone()),
            };
            if let Some(problem) = problem {
                return steps.run(Stage::TargetHttp, late, async { Err(problem) }).await;
            }
        }

        steps.deadline = trip.deadline.min(Instant::now() + reach);
        let Some(way) = proxy else {
            let wire = self.dial_target(trip, steps).await?;
            return self.ask_target(trip, wire, hidden, late, steps, attempt).await;
        };
        let mut trust = match way.values.scheme {
            Scheme::Https => self.trust.loader([way.values.ca_pem.as_ref()]),
            _ => TrustLoader::not_needed(),
        };
        let mut wire = way.reach_proxy(steps, &mut trust).await?;
        if !trip.whole {
            let deadline = steps.deadline;
            let opened = async {
                let detail = way.open(&mut wire, deadline).await?;
                Ok(((), detail))
            };
            steps.run(Stage::ProxyHandshake, Problem::ProxyTimeout { tls: false }, opened).await?;
            return self.ask_target(trip, wire, hidden, late, steps, attempt).await;
        }

        // How long the target takes is not the proxy's fault: from here on the request's own time counts.
        steps.deadline = trip.deadline;
        let (connection, response) = steps
            .run(Stage::ProxyHandshake, late, async {
                way.reach.vet(&trip.request.url.host)?;
                let mut connection = Connection::open(wire).await?;
                let response = connection.ask(&trip.message).await.map_err(|why| as_the_proxys(why.problem))?;
                let response = self.own_answers_out(trip, response)?;
                Ok(((connection, response), texts::WHOLE_REQUEST.into()))
            })
            .await?;
        steps.skip(Stage::TargetTls, texts::TARGET_WITHOUT_TLS);
        let late = Problem::TargetTimeout { tls: false };
        steps.run(Stage::TargetHttp, late, self.take(trip, connection, Ok(response), attempt)).await
    }

    /// `resolve` and `connect` to the target itself.
    async fn dial_target(&self, trip: &Trip<'_>, steps: &mut Steps<'_>) -> Result<Wire, Over> {
        let target = &trip.request.url;
        let addresses = steps
            .run(Stage::Resolve, Problem::ResolveTimeout, async {
                let found = self.reach.addresses(&target.host, target.port, Problem::Resolve).await?;
                let detail = texts::addresses(&target.host, found.all());
                Ok((found, detail))
            })
            .await?;
        let stream = steps
            .run(Stage::Connect, Problem::ConnectTimeout, async {
                let connected = dial::dial(&addresses).await;
                let (stream, address) = connected.map_err(|failed| Problem::Connect(dial::worst(&failed), failed))?;
                Ok((stream, texts::connected(address)))
            })
            .await?;
        steps.skip(Stage::ProxyTls, texts::NO_PROXY);
        steps.skip(Stage::ProxyHandshake, texts::NO_PROXY);
        Ok(Wire::new(stream))
    }

    /// `target_tls` and `target_http` over an open way.
    async fn ask_target(
        &self, trip: &Trip<'_>, wire: Wire, hidden: &Hidden, late: Problem, steps: &mut Steps<'_>, attempt: &mut Attempt,
    ) -> Result<Answer, Over> {
        let target = &trip.request.url;
        steps.deadline = trip.deadline;
        let of_setting = match trip.way {
            Way::Through(setting, _) => setting.values.ca_pem.as_ref(),
            Way::Direct(_) => None,
        };
        let mut trust =
            if target.tls { self.trust.loader([of_setting, trip.asker.ca_pem.as_ref()]) } else { TrustLoader::not_needed() };
        let wire = secure_target(steps, wire, target, &mut trust, hidden).await?;
        steps
            .run(Stage::TargetHttp, late, async {
                let mut connection = Connection::open(wire).await?;
                let response = connection.ask(&trip.message).await.map_err(|why| why.problem);
                self.take(trip, connection, response, attempt).await
            })
            .await
    }

    /// Takes an answer, and keeps the connection when it was read to its end. With the stage's detail.
    async fn take(
        &self, trip: &Trip<'_>, connection: Connection, response: Result<Response<Incoming>, Problem>, attempt: &mut Attempt,
    ) -> Result<(Answer, String), Problem> {
        let (head, body) = self.own_answers_out(trip, response?)?.into_parts();
        let limit = trip.request.max_answer;
        if declared(&head.headers).is_some_and(|length| length > limit as u64) && trip.request.method != "HEAD" {
            return Err(Problem::TooLarge(limit));
        }
        let body = client::read_body(body, limit, &mut attempt.bytes_in).await?;
        let status = head.status.as_u16();
        if let Some(key) = &trip.key
            && status != 101
        {
            self.pool.put(key.clone(), connection);
        }
        Ok((Answer { status, headers: client::text_fields(&head.headers), body }, format!("status {status}")))
    }

    /// An answer that counts as the proxy's own is a problem, where the proxy takes whole requests.
    fn own_answers_out(&self, trip: &Trip<'_>, response: Response<Incoming>) -> Result<Response<Incoming>, Problem> {
        let Way::Through(setting, _) = trip.way else { return Ok(response) };
        if !trip.whole {
            return Ok(response);
        }
        let fields = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        match connect::own_answer(&Head::new(response.status().as_u16(), fields), setting.login()) {
            Some(problem) => Err(problem),
            None => Ok(response),
        }
    }
}

/// What a proxy that takes the whole request did, in its terms.
fn as_the_proxys(problem: Problem) -> Problem {
    match problem {
        Problem::TargetClosed => Problem::ProxyClosed { begun: false },
        Problem::TargetNotHttp => Problem::NotAProxy(Instead::Speaks(Looks::Unknown)),
        other => other,
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What counts for the breaker: no answer, or the target's own 5xx.
fn failure(outcome: &Result<Answer, Over>, target: &TestTarget) -> Option<Failure> {
    match outcome {
        Ok(Answer { status: status @ 500..=599, .. }) => Some(Failure {
            cause: Cause::EngineError,
            message: format!(
                "{} answers with an error of its own (status {status}).",
                texts::place(&target.host, target.port.get())
            ),
            hint: Some("Try again later.".into()),
        }),
        Ok(_) | Err(Over { problem: Problem::TooLarge(_), .. }) => None,
        Err(Over { cause, message, hint, .. }) => Some(Failure { cause: *cause, message: message.clone(), hint: hint.clone() }),
    }
}

fn lost(why: &NoRoute) -> OutError {
    let (message, hint) = voice::no_route(why);
    // The contract has no cause for it. Nothing was asked, and the target could not be reached: that much is true.
    OutError { cause: Cause::TargetUnreachable, message, hint: Some(hint.into()), route: None, stages: Vec::new() }
}
