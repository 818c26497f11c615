//! Asking the tester, and holding every report to what is true of all of them.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatehouse_domain::{Cause, ProxyForm, Secret, SecretInput, Stage, StageStatus, TestEvent, TestReport, TestTarget};
use gatehouse_outbound::{AddressPolicy, Tester};
use gatehouse_platform::{
    ProxyId,
    ports::{ConnectionTester as _, TestSubject},
};
use tokio::sync::mpsc;

/// A test to run: a draft of a proxy setting and a target.
#[derive(Clone)]
pub struct Ask {
    pub form: ProxyForm,
    pub target: String,
    pub policy: AddressPolicy,
}

/// Through an HTTP proxy on this port of 127.0.0.1.
pub fn http(port: u16) -> Ask {
    through("http", port)
}

pub fn through(scheme: &str, port: u16) -> Ask {
    // What the bypass list says does not matter: it holds everything that the tests use.
    let form = ProxyForm {
        host: "127.0.0.1".into(),
        port: port.to_string(),
        scheme: scheme.into(),
        bypass: "localhost 127.0.0.0/8 *.test".into(),
        ..ProxyForm::default()
    };
    Ask { form, target: "https://127.0.0.1:9/".into(), policy: AddressPolicy::AllowAll }
}

impl Ask {
    pub fn host(mut self, host: &str) -> Self {
        self.form.host = host.into();
        self
    }

    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.form.authentication = "basic".into();
        self.form.username = user.into();
        self.form.password = SecretInput::Set(Secret::new(password));
        self
    }

    pub fn ca(mut self, pem: &str) -> Self {
        self.form.ca_pem.push_str(pem);
        self
    }

    /// Another setting is tried when this one can't be reached.
    pub fn fallback(mut self, other: ProxyId) -> Self {
        self.form.fallback = other.to_string();
        self
    }

    pub fn timeout(mut self, seconds: u16) -> Self {
        self.form.timeout_s = seconds.to_string();
        self
    }

    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    pub fn parsed(&self) -> (TestSubject, TestTarget) {
        let values = self.form.parse_draft(false).unwrap();
        let password = match &self.form.password {
            SecretInput::Set(password) => Some(password.clone()),
            _ => None,
        };
        (TestSubject { values, password }, TestTarget::parse(&self.target).unwrap())
    }

    /// Runs the test, and checks what holds for every one.
    pub async fn run(self) -> TestReport {
        LazyLock::force(&LOG);
        let (subject, target) = self.parsed();
        let (events, mut received) = mpsc::channel(13);
        let begun = Instant::now();
        let report = Tester::with(self.policy).test(&subject, &target, events).await;
        let took = begun.elapsed();
        let bound = Duration::from_secs(subject.values.timeout.seconds().into()) + Duration::from_secs(1);
        assert!(took < bound, "took {took:?}: {report:#?}");

        let mut told = Vec::new();
        while let Some(event) = received.recv().await {
            told.push(event);
        }
        check_shape(&report);
        assert_eq!(told, events_of(&report), "the events tell what the report tells");
        assert_eq!(report.target, target.to_string());

        let shown = format!("{report:?} {told:?} {subject:?} {}", serde_json::to_string(&(&report, &told)).unwrap());
        let logged = LOG.lock().unwrap().clone();
        for secret in self.secrets() {
            assert!(!shown.contains(&secret), "{secret} is in {report:#?}");
            assert!(!String::from_utf8_lossy(&logged).contains(&secret), "{secret} was logged");
        }
        report
    }

    /// The password in every form in which it travels.
    fn secrets(&self) -> Vec<String> {
        let SecretInput::Set(password) = &self.form.password else { return Vec::new() };
        let password = password.expose();
        let json = serde_json::to_string(password).unwrap();
        vec![
            password.to_string(),
            json.trim_matches('"').to_string(),
            STANDARD.encode(password),
            STANDARD.encode(format!("{}:{password}", self.form.username)),
        ]
    }

    /// Runs the test; it must succeed.
    pub async fn passes(self) -> TestReport {
        let report = self.run().await;
        assert!(report.ok, "{report:#?}");
        report
    }

    /// Runs the test; it must fail at this stage with this cause.
    pub async fn fails(self, stage: Stage, cause: Cause) -> TestReport {
        let report = self.run().await;
        assert_eq!(report.cause, Some(cause), "{report:#?}");
        let failed = report.stages.iter().find(|s| s.status == StageStatus::Failed).unwrap();
        assert_eq!(failed.stage, stage, "{report:#?}");
        report
    }
}

/// Whether this was logged by anybody since the beginning.
pub fn was_logged(text: &str) -> bool {
    String::from_utf8_lossy(&LOG.lock().unwrap()).contains(text)
}

fn check_shape(report: &TestReport) {
    assert_eq!(report.stages.iter().map(|s| s.stage).collect::<Vec<_>>(), Stage::ALL, "{report:#?}");
    let failed = report.stages.iter().filter(|s| s.status == StageStatus::Failed).count();
    assert_eq!(failed, usize::from(!report.ok), "{report:#?}");
    assert_eq!(report.cause.is_none(), report.ok, "{report:#?}");
    assert_eq!(report.hint.is_none(), report.ok, "a failure says what to do, a success needs nothing: {report:#?}");
    assert_eq!(report.status_code.is_some(), report.ok, "{report:#?}");
    assert!(report.message.ends_with('.'), "{report:#?}");
    for stage in &report.stages {
        assert_eq!(stage.ms.is_none(), stage.status == StageStatus::Skipped, "{report:#?}");
        assert!(stage.detail.as_ref().is_some_and(|d| !d.is_empty() && d.chars().all(|c| !c.is_control())), "{report:#?}");
    }
    let after = report.stages.iter().skip_while(|s| s.status != StageStatus::Failed).skip(1);
    for stage in after {
        assert_eq!((stage.status, stage.detail.as_deref()), (StageStatus::Skipped, Some("not reached")), "{report:#?}");
    }
}

fn events_of(report: &TestReport) -> Vec<TestEvent> {
    let mut events = Vec::new();
    for stage in &report.stages {
        if stage.status != StageStatus::Skipped {
            events.push(TestEvent::Started(stage.stage));
        }
        events.push(TestEvent::Finished(stage.clone()));
    }
    events.push(TestEvent::Report(report.clone()));
    events
}

/// Everything that any crate logs, down to the finest level.
static LOG: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(|| {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || Sink(writer.clone()))
        .init();
    log
});

struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The detail of a stage.
pub fn detail(report: &TestReport, stage: Stage) -> &str {
    report.stages.iter().find(|s| s.stage == stage).and_then(|s| s.detail.as_deref()).unwrap()
}

/// The hint, or nothing.
pub fn hint(report: &TestReport) -> &str {
    report.hint.as_deref().unwrap_or_default()
}
