//! A door for tests: it expects certain requests, in this order, and answers as it was told.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use gatehouse_domain::{CaPem, Cause, Consumer, DirectReason, EngineSpec, Indicator, IndicatorKind, Route, Secret, TestTarget};
use gatehouse_platform::{
    CompanyId,
    door::{Asker, Choice, Door, OutAnswer, OutError, OutRequest},
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

/// The key that tests give: with a character that must be encoded in a URL.
pub const KEY: &str = "key+4711/0815";
/// The second secret that tests give.
pub const PASSWORD: &str = "pass:word-4712";

/// `"GET /path?query"` (or `"DNS name"`), the status, and the body (or the addresses, with white space between them).
pub type Step<'a> = (&'a str, u16, &'a str);

/// The door.
pub struct Script {
    steps: Mutex<VecDeque<(String, u16, String)>>,
    /// What was asked.
    pub requests: Mutex<Vec<OutRequest>>,
    /// The zones of what was asked over DNS.
    pub zones: Mutex<Vec<String>>,
}

impl Script {
    fn next(&self, asked: &str) -> (u16, String) {
        let step = self.steps.lock().unwrap().pop_front();
        let (expected, status, body) = step.unwrap_or_else(|| panic!("nothing more was expected, and yet: {asked}"));
        assert_eq!(asked, expected);
        (status, body)
    }

    /// Everything that was expected was asked.
    pub fn is_over(&self) {
        assert!(self.steps.lock().unwrap().is_empty(), "not everything was asked");
    }

    /// A header field of one request.
    pub fn header(&self, request: usize, name: &str) -> Option<String> {
        let requests = self.requests.lock().unwrap();
        requests[request].headers.iter().find(|(field, _)| *field == name).map(|(_, value)| value.expose().to_string())
    }

    /// The body of one request.
    pub fn body(&self, request: usize) -> String {
        String::from_utf8_lossy(&self.requests.lock().unwrap()[request].body).into_owned()
    }
}

fn direct() -> Route {
    Route::Direct { reason: DirectReason::NoProxy }
}

#[async_trait]
impl Door for Script {
    async fn settle(&self) {}

    async fn send(&self, _: &Asker, request: OutRequest) -> Result<OutAnswer, OutError> {
        let asked = format!("{} {}", request.method, request.url.path);
        self.requests.lock().unwrap().push(request);
        let (status, body) = self.next(&asked);
        Ok(answer(status, &body))
    }

    async fn look_up(&self, _: &Asker, name: &str, zone: &str, _: Duration) -> Result<(Vec<Ipv4Addr>, Route), OutError> {
        self.zones.lock().unwrap().push(zone.into());
        let (_, body) = self.next(&format!("DNS {name}"));
        Ok((body.split_whitespace().map(|address| address.parse().unwrap()).collect(), direct()))
    }

    async fn route(&self, _: &Asker, _: &TestTarget) -> Result<Route, OutError> {
        Ok(direct())
    }

    fn check_ca(&self, _: &CaPem) -> Result<(), String> {
        Ok(())
    }
}

/// An answer.
pub fn answer(status: u16, body: &str) -> OutAnswer {
    OutAnswer { status, headers: Vec::new(), body: body.into(), route: direct(), stages: Vec::new() }
}

/// An indicator.
pub fn indicator(kind: IndicatorKind, value: &str) -> Indicator {
    Indicator { kind, value: value.into(), note: None }
}

/// A context whose requests follow a script. Host: `service.test` for an HTTP service, its own for one over DNS.
pub fn context(spec: &EngineSpec, steps: &[Step<'_>]) -> (EngineContext, Arc<Script>) {
    let steps = steps.iter().map(|(asked, status, body)| ((*asked).into(), *status, (*body).into())).collect();
    let script = Arc::new(Script { steps: Mutex::new(steps), requests: Mutex::default(), zones: Mutex::default() });
    let address = if spec.api_url.is_empty() { spec.api_url_example } else { spec.api_url };
    let mut api_url = TestTarget::parse(address).unwrap();
    if !spec.dns {
        api_url.host = gatehouse_domain::HostName::parse("service.test").unwrap();
    }
    let asker = Asker {
        company: CompanyId::new(),
        consumer: Consumer { kind: "integration".into(), id: "1".into(), name: "Test".into() },
        choice: Choice::None,
        ca_pem: None,
        recorded: gatehouse_platform::door::Recorded::Soon,
    };
    let mut cx = EngineContext::new(script.clone(), asker, api_url, Duration::from_secs(5), false);
    cx.api_key = Secret::new(KEY);
    cx.api_password = Secret::new(PASSWORD);
    cx.threshold = spec.threshold.map_or(0, |threshold| threshold.default);
    for option in spec.options.iter().filter(|option| !option.default.is_empty()) {
        cx.options.insert(option.name.into(), option.default.into());
    }
    (cx, script)
}

/// One look-up along a script.
pub async fn ask(
    engine: &dyn Engine, kind: IndicatorKind, value: &str, steps: &[Step<'_>],
) -> (Result<Finding, EngineFailure>, Arc<Script>) {
    ask_with_file(engine, kind, value, None, steps).await
}

/// One look-up with a file along a script. What comes of it holds no secret.
pub async fn ask_with_file(
    engine: &dyn Engine, kind: IndicatorKind, value: &str, file: Option<&FileContent>, steps: &[Step<'_>],
) -> (Result<Finding, EngineFailure>, Arc<Script>) {
    let (cx, script) = context(engine.spec(), steps);
    let outcome = engine.look_up(&cx, &indicator(kind, value), file).await;
    let told = format!("{outcome:?}");
    assert!(!told.contains(KEY) && !told.contains(PASSWORD) && !told.contains("key%2B4711"), "{told}");
    script.is_over();
    (outcome, script)
}

/// One test along a script.
pub async fn check(engine: &dyn Engine, steps: &[Step<'_>]) -> Result<String, Cause> {
    let (cx, script) = context(engine.spec(), steps);
    let outcome = engine.check(&cx).await;
    let told = format!("{outcome:?}");
    assert!(!told.contains(KEY) && !told.contains(PASSWORD) && !told.contains("key%2B4711"), "{told}");
    script.is_over();
    outcome.map_err(|failure| failure.cause)
}

/// The evidence of a finding as `label: value` lines.
pub fn evidence(finding: &Finding) -> Vec<String> {
    finding.evidence.iter().map(|e| format!("{}: {}", e.label, e.value)).collect()
}
