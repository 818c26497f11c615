//! Test Connection: the walk.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use gatehouse_domain::{Authentication, CaPem, Scheme, Secret, Stage, TestEvent, TestReport, TestTarget};
use gatehouse_platform::ports::{ConnectionTester, TestSubject};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    connect::{Login, whole_request},
    guard::Reach,
    problem::Problem,
    steps::{Over, Steps},
    target::{self, Answer},
    texts::{self, Words},
    tls,
    trust::TrustLoader,
    walk::{Way, secure_target},
};

/// The longest that a test waits for the body of an answer: it only tells the address that the target saw.
const BODY_WAIT: Duration = Duration::from_secs(2);

/// Walks the real way through a proxy to a target and reports.
///
/// Each test stands for itself: its own name look-up, connection and TLS; nothing is kept or shared. Dropping the future
/// ends it at once. Events are sent without waiting: a receiver with room for 13 messages misses none.
#[derive(Debug, Clone, Default)]
pub struct Tester {
    reach: Reach,
}

impl Tester {
    /// One that connects to every address: on-premise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that connects to the addresses that are allowed here.
    #[must_use]
    pub fn with(reach: impl Into<Reach>) -> Self {
        Self { reach: reach.into() }
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
        let way = Way { reach: &self.reach, values: &subject.values, target, login, words: &words };
        let timeout = Duration::from_secs(subject.values.timeout.seconds().into());
        let mut steps = Steps::new(&words, Instant::now() + timeout, Some(events));
        let outcome = walk(way, &mut steps).await;
        report(steps, &words, target, outcome)
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

/// The six stages, in order.
async fn walk(way: Way<'_>, steps: &mut Steps<'_>) -> Result<Proof, Over> {
    let Way { values, target, login, words, .. } = way;
    let needed = values.scheme == Scheme::Https || target.tls;
    let mut trust = if needed { TrustLoader::begin(values.ca_pem.iter().cloned().collect()) } else { TrustLoader::not_needed() };
    let mut wire = way.reach_proxy(steps, &mut trust).await?;

    // The answer is there already when the proxy took the whole request.
    let deadline = steps.deadline;
    let answer: Option<Answer> = steps
        .run(Stage::ProxyHandshake, Problem::ProxyTimeout { tls: false }, async {
            if !way.is_whole_request() {
                return Ok((None, way.open(&mut wire, deadline).await?));
            }
            way.reach.vet(&target.host)?;
            let head = whole_request(&mut wire, target, login).await?;
            Ok((Some(head.into()), texts::WHOLE_REQUEST.into()))
        })
        .await?;

    let mut wire = secure_target(steps, wire, target, &mut trust, words.hidden()).await?;

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

/// Tells what the walk found out.
fn report(mut steps: Steps<'_>, words: &Words<'_>, target: &TestTarget, outcome: Result<Proof, Over>) -> TestReport {
    let stages = steps.complete();
    let ms = stages.iter().filter_map(|stage| stage.ms).sum();
    let report = match outcome {
        Ok(Proof { status, egress }) => TestReport {
            ok: true,
            cause: None,
            message: words.success(status, ms, egress),
            hint: None,
            target: target.to_string(),
            stages,
            status_code: Some(status),
            egress_ip: egress.map(|address| address.to_string()),
        },
        Err(Over { cause, message, hint, .. }) => TestReport {
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
    steps.send(TestEvent::Report(report.clone()));
    report
}
