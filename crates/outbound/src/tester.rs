//! Test Connection: the walk.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use gatehouse_domain::{
    Authentication, CaPem, Cause, ProxyValues, Scheme, Secret, Stage, StageResult, StageStatus, TestEvent, TestReport, TestTarget,
};
use gatehouse_platform::ports::{ConnectionTester, TestSubject};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{
    connect::{Login, tunnel, whole_request},
    dial,
    guard::AddressPolicy,
    problem::Problem,
    socks::{self, Destination},
    target::{self, Answer},
    texts::{self, Words},
    tls::{self, TlsProblem, Trust},
    wire::Wire,
};

/// The longest that a test waits for the body of an answer: it only tells the address that the target saw.
const BODY_WAIT: Duration = Duration::from_secs(2);

/// Walks the real way through a proxy to a target and reports.
///
/// Each test stands for itself: its own name look-up, connection and TLS; nothing is kept or shared. Dropping the future
/// ends it at once. Events are sent without waiting: a receiver with room for 13 messages misses none.
#[derive(Debug, Clone, Default)]
pub struct Tester {
    policy: AddressPolicy,
}

impl Tester {
    /// One that connects to every address: on-premise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that connects to the addresses that this policy allows.
    #[must_use]
    pub fn with_policy(policy: AddressPolicy) -> Self {
        Self { policy }
    }
}

#[async_trait]
impl ConnectionTester for Tester {
    async fn test(&self, subject: &TestSubject, target: &TestTarget, events: mpsc::Sender<TestEvent>) -> TestReport {
        let nothing = Secret::default();
        let login = match (subject.values.authentication, &subject.values.username) {
            (Authentication::Basic, Some(user)) => {
                Some(Login { user: user.as_str(), password: subject.password.as_ref().unwrap_or(&nothing) })
            }
            _ => None,
        };
        let words = Words::new(&subject.values, target, login);
        let way = Way { policy: self.policy, values: &subject.values, target, login, words: &words };
        let timeout = Duration::from_secs(subject.values.timeout.seconds().into());
        let mut steps = Steps { words: &words, deadline: Instant::now() + timeout, results: Vec::new(), events };
        let outcome = way.walk(&mut steps).await;
        steps.report(target, outcome)
    }

    fn check_ca(&self, pem: &CaPem) -> Result<(), String> {
        tls::check_ca(pem)
    }
}

/// What a target that answered told.
struct Proof {
    status: u16,
    egress: Option<IpAddr>,
}

/// The way to walk.
struct Way<'a> {
    policy: AddressPolicy,
    values: &'a ProxyValues,
    target: &'a TestTarget,
    login: Option<Login<'a>>,
    words: &'a Words<'a>,
}

impl Way<'_> {
    /// The six stages, in order.
    async fn walk(&self, steps: &mut Steps<'_>) -> Result<Proof, Over> {
        let Self { values, target, words, .. } = *self;
        let mut trust = TrustLoader::begin(values, target);

        let addresses = steps
            .run(Stage::Resolve, Problem::ResolveTimeout, async {
                let found = self.allowed(dial::resolve(&values.host, values.port).await.map_err(Problem::Resolve)?)?;
                let detail = texts::addresses(&values.host, &found);
                Ok((found, detail))
            })
            .await?;

        let stream = steps
            .run(Stage::Connect, Problem::ConnectTimeout, async {
                let connected = dial::dial(&addresses).await;
                let (stream, address) = connected.map_err(|failed| Problem::Connect(dial::worst(&failed), failed))?;
                Ok((stream, words.connected(address)))
            })
            .await?;

        let mut wire = if values.scheme == Scheme::Https {
            steps
                .run(Stage::ProxyTls, Problem::ProxyTimeout { tls: true }, async {
                    let trust = trust.get().await.map_err(Problem::ProxyTls)?;
                    let (stream, secured) =
                        tls::secure(Wire::new(stream), &values.host, trust).await.map_err(Problem::ProxyTls)?;
                    Ok((Wire::new(stream), words.secured(&secured)))
                })
                .await?
        } else {
            steps.skip(Stage::ProxyTls, texts::PROXY_WITHOUT_TLS);
            Wire::new(stream)
        };

        // The answer is there already when the proxy took the whole request.
        let answer = steps
            .run(Stage::ProxyHandshake, Problem::ProxyTimeout { tls: false }, self.handshake(&mut wire, steps.deadline))
            .await?;

        let mut wire = if target.tls {
            steps
                .run(Stage::TargetTls, Problem::TargetTimeout { tls: false }, async {
                    let trust = trust.get().await.map_err(Problem::TargetTls)?;
                    let (stream, secured) = tls::secure(wire, &target.host, trust).await.map_err(Problem::TargetTls)?;
                    Ok((Wire::new(stream), words.secured(&secured)))
                })
                .await?
        } else {
            steps.skip(Stage::TargetTls, texts::TARGET_WITHOUT_TLS);
            wire
        };

        let body_deadline = steps.deadline.min(Instant::now() + BODY_WAIT);
        steps
            .run(Stage::TargetHttp, Problem::TargetTimeout { tls: target.tls }, async {
                let answer = match answer {
                    Some(answer) => answer,
                    None => target::ask(&mut wire, target).await?,
                };
                // The status has proved the way; the body only tells more about it, and must not cost the proof.
                let egress = timeout_at(body_deadline, target::egress(&mut wire, &answer)).await.ok().flatten();
                Ok((Proof { status: answer.status, egress }, words.answered(answer.status, egress)))
            })
            .await
    }

    /// Asks the proxy for a way to the target; for an `http` target through an HTTP proxy that is the request itself, and
    /// its answer is the result.
    async fn handshake(&self, wire: &mut Wire, deadline: Instant) -> Result<(Option<Answer>, String), Problem> {
        let Self { values, target, words, login, .. } = *self;
        if target.host.address().is_some_and(|address| !self.policy.allows(address)) {
            return Err(Problem::AddressNotAllowed);
        }
        if !values.scheme.is_socks() {
            if target.tls {
                let status = tunnel(wire, target, login).await?;
                return Ok((None, words.tunnelled(status)));
            }
            let head = whole_request(wire, target, login).await?;
            return Ok((Some(head.into()), texts::WHOLE_REQUEST.into()));
        }
        // Signed in before the target's name is looked up: what is wrong with the proxy is told first.
        let asked_login = socks::sign_in(wire, login).await?;
        let address = match (target.host.address(), values.scheme) {
            (Some(address), _) => Some(address),
            (None, Scheme::Socks5) => {
                let found = timeout_at(deadline, dial::resolve(&target.host, target.port)).await;
                let found = self.allowed(found.map_err(|_| Problem::TargetNameTimeout)?.map_err(Problem::TargetName)?)?;
                found.first().map(SocketAddr::ip)
            }
            (None, _) => None,
        };
        let destination = address.map_or(Destination::Name(target.host.ascii()), Destination::Address);
        timeout_at(deadline, socks::connect(wire, destination, target.port.get())).await.unwrap_or(Err(Problem::SocksTimeout))?;
        Ok((None, words.socks_connected(asked_login, address)))
    }

    /// Those that may be dialled; there must be one. Exactly these are dialled afterwards, without another look-up.
    fn allowed(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Problem> {
        addresses.retain(|address| self.policy.allows(address.ip()));
        if addresses.is_empty() { Err(Problem::AddressNotAllowed) } else { Ok(addresses) }
    }
}

/// Reads the trusted authorities on a thread for files, beside the first stages.
struct TrustLoader {
    running: Option<JoinHandle<Result<Trust, String>>>,
    loaded: Option<Trust>,
}

impl TrustLoader {
    fn begin(values: &ProxyValues, target: &TestTarget) -> Self {
        let needed = values.scheme == Scheme::Https || target.tls;
        let pem = values.ca_pem.clone();
        Self { running: needed.then(|| tokio::task::spawn_blocking(move || Trust::load(pem.as_ref()))), loaded: None }
    }

    async fn get(&mut self) -> Result<&Trust, TlsProblem> {
        if let Some(running) = self.running.take() {
            // The task neither panics nor is cancelled, but while the runtime shuts down.
            let loaded = running.await.unwrap_or_else(|_| Err("Gatehouse is shutting down.".into()));
            self.loaded = Some(loaded.map_err(TlsProblem::UnusableCa)?);
        }
        self.loaded.as_ref().ok_or(TlsProblem::Closed)
    }
}

/// The walk is over: the failure as the report tells it.
struct Over {
    cause: Cause,
    message: String,
    hint: Option<String>,
}

/// Times the stages, holds them to the shared deadline, and tells of each.
struct Steps<'a> {
    words: &'a Words<'a>,
    deadline: Instant,
    results: Vec<StageResult>,
    events: mpsc::Sender<TestEvent>,
}

impl Steps<'_> {
    /// Runs a stage until it is done or the deadline of the whole test has come.
    async fn run<T>(
        &mut self, stage: Stage, late: Problem, work: impl Future<Output = Result<(T, String), Problem>>,
    ) -> Result<T, Over> {
        self.send(TestEvent::Started(stage));
        let begun = Instant::now();
        let outcome = timeout_at(self.deadline, work).await.unwrap_or(Err(late));
        let ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        match outcome {
            Ok((value, detail)) => {
                self.finish(StageResult { stage, status: StageStatus::Passed, ms, detail: Some(detail) });
                Ok(value)
            }
            Err(problem) => {
                let explained = self.words.explain(&problem);
                let cause = problem.cause();
                tracing::debug!(?stage, ?cause, "a connection test ends here");
                self.finish(StageResult { stage, status: StageStatus::Failed, ms, detail: Some(explained.detail) });
                Err(Over { cause, message: explained.message, hint: explained.hint })
            }
        }
    }

    fn skip(&mut self, stage: Stage, why: &str) {
        self.finish(StageResult { stage, status: StageStatus::Skipped, ms: None, detail: Some(why.into()) });
    }

    fn finish(&mut self, result: StageResult) {
        self.send(TestEvent::Finished(result.clone()));
        self.results.push(result);
    }

    /// Tells whoever listens; one that is gone or slow does not hold up the test.
    fn send(&self, event: TestEvent) {
        let _ = self.events.try_send(event);
    }

    fn report(mut self, target: &TestTarget, outcome: Result<Proof, Over>) -> TestReport {
        for stage in Stage::ALL.into_iter().skip(self.results.len()) {
            self.skip(stage, texts::NOT_REACHED);
        }
        let stages = std::mem::take(&mut self.results);
        let ms = stages.iter().filter_map(|stage| stage.ms).sum();
        let report = match outcome {
            Ok(Proof { status, egress }) => TestReport {
                ok: true,
                cause: None,
                message: self.words.success(status, ms, egress),
                hint: None,
                target: target.to_string(),
                stages,
                status_code: Some(status),
                egress_ip: egress.map(|address| address.to_string()),
            },
            Err(Over { cause, message, hint }) => TestReport {
                ok: false,
                cause: Some(cause),
                message,
                hint,
                target: target.to_string(),
                stages,
                status_code: None,
                egress_ip: None,
            },
        };
        self.send(TestEvent::Report(report.clone()));
        report
    }
}
