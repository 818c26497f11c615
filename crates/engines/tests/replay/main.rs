//! Every engine against a service that replays its documented answers: over real HTTPS, through a real Squid that asks for a
//! user and a password, by the platform's real door.
//!
//! The table is in `table.rs`. Each row has a host name of its own that only Squid can resolve, so that a request that arrives
//! went through Squid; its access log must say so too. Spamhaus over DNS is not here: no proxy carries it.

#![allow(clippy::unwrap_used, missing_docs)]

mod parts;
mod service;
mod store;
mod table;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse_domain::{
    CaPem, Cause, Consumer, Indicator, IndicatorKind, ProxyForm, Route, Secret, SecretInput, StageStatus, TestTarget, Verdict,
};
use gatehouse_engines::catalogue;
use gatehouse_outbound::{AddressPolicy, OutDoor};
use gatehouse_platform::{
    door::{Asker, Choice},
    engine::{EngineContext, EngineFailure, FileContent, Finding},
};
use parts::{Certificates, DOMAIN, Squid, USER, free_port};
use service::Replay;
use store::Store;
use table::{About, Answer, Expect, FILE, FILE_NAME, HASH, IP, IP6, KEY, PASSWORD, Row, URL};

/// What is given to look-ups that are to end, and to those that are not.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2500);

/// Squid, the replayed services, and a door whose only proxy setting is that Squid.
struct Place {
    rows: Arc<Vec<Row>>,
    replay: Replay,
    squid: Squid,
    store: Arc<Store>,
    door: OutDoor,
    authority: CaPem,
}

/// What came of a row.
type Outcome = Result<Told, EngineFailure>;

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Finding(Finding),
    Passed(String),
}

impl Place {
    async fn new(rows: Vec<Row>) -> Self {
        let rows = Arc::new(rows);
        let certificates = Certificates::new();
        let replay = Replay::start(rows.clone(), &certificates).await;
        let squid = Squid::start(rows.len());
        let store = Arc::new(Store::new(&proxy(squid.port, parts::PASSWORD)));
        let door = OutDoor::new(store.clone(), store.keys.clone(), AddressPolicy::AllowAll);
        let authority = CaPem::parse(&certificates.authority).unwrap();
        Self { rows, replay, squid, store, door, authority }
    }

    fn host(&self, row: usize) -> String {
        format!("r{row}.{DOMAIN}")
    }

    fn context(&self, number: usize) -> EngineContext {
        let row = &self.rows[number];
        let catalogue = catalogue();
        let spec = catalogue.get(row.kind).unwrap().spec();
        let asker = Asker {
            company: self.store.company,
            // Of its own for each row: the door leaves a service alone that fails somebody too often.
            consumer: Consumer { kind: "integration".into(), id: number.to_string(), name: spec.label.into() },
            choice: Choice::Default,
            ca_pem: Some(self.authority.clone()),
            recorded: gatehouse_platform::door::Recorded::BeforeAnswer,
        };
        let api_url = TestTarget::parse(&format!("https://{}:{}{}", self.host(number), self.replay.port, row.base)).unwrap();
        let short = row.steps.iter().any(|step| step.answer == Answer::Nothing);
        let timeout = if short { SHORT } else { LONG };
        let mut cx = EngineContext::new(Arc::new(self.door.clone()), asker, api_url, timeout, row.about == About::Check);
        cx.api_key = Secret::new(KEY);
        cx.api_password = Secret::new(PASSWORD);
        cx.threshold = spec.threshold.map_or(0, |threshold| threshold.default);
        for option in spec.options.iter().filter(|option| !option.default.is_empty()) {
            cx.options.insert(option.name.into(), option.default.into());
        }
        cx
    }

    async fn run(&self, number: usize) -> (Outcome, EngineContext) {
        let row = &self.rows[number];
        let cx = self.context(number);
        let engine = catalogue().get(row.kind).unwrap();
        let indicator = |kind, value: &str| Indicator { kind, value: value.into(), note: None };
        let file = FileContent { name: FILE_NAME.into(), bytes: Arc::new(FILE.to_vec()) };
        let (indicator, file) = match row.about {
            About::Check => return (engine.check(&cx).await.map(Told::Passed), cx),
            About::Url => (indicator(IndicatorKind::Url, URL), None),
            About::Ip => (indicator(IndicatorKind::Ip, IP), None),
            About::Ip6 => (indicator(IndicatorKind::Ip, IP6), None),
            About::Hash => (indicator(IndicatorKind::Hash, HASH), None),
            About::File => (indicator(IndicatorKind::File, HASH), engine.spec().uploads.then_some(&file)),
        };
        (engine.look_up(&cx, &indicator, file).await.map(Told::Finding), cx)
    }

    /// Runs a row, and says what is not as it should be.
    async fn verify(&self, number: usize) -> Vec<String> {
        let row = &self.rows[number];
        let (outcome, cx) = self.run(number).await;
        let mut wrong = Vec::new();
        let came = match &outcome {
            Ok(Told::Finding(finding)) => Expect::Verdict(finding.verdict),
            Ok(Told::Passed(_)) => Expect::Passes,
            Err(failure) => Expect::Fails(failure.cause),
        };
        if came != row.expect {
            wrong.push(format!("{came:?} came of it: {outcome:?}"));
        }
        let seen = self.replay.seen(number);
        wrong.extend(seen.wrong);
        if seen.requests != row.steps.len() {
            wrong.push(format!("{} requests came and not {}", seen.requests, row.steps.len()));
        }
        if let Err(failure) = &outcome
            && failure.hint.is_none()
            && !matches!(failure.cause, Cause::Excluded)
        {
            wrong.push(format!("nothing says what to do: {failure:?}"));
        }
        // Neither key nor password, in whatever form, is in what a person gets to see.
        let told = format!("{outcome:?}");
        for secret in [KEY, "key%2B4711", PASSWORD, parts::PASSWORD, "a2V5KzQ3MTE"] {
            if told.contains(secret) {
                wrong.push(format!("{secret} is told: {told}"));
            }
        }
        if !row.steps.is_empty() {
            match cx.seen().route {
                Some(Route::Proxy { proxy, .. }) if proxy.name == store::NAME => {}
                other => wrong.push(format!("the route is {other:?}")),
            }
        }
        if row.expect == Expect::Passes {
            let stages = cx.seen().stages;
            if stages.len() != 6 || stages.iter().any(|stage| stage.status == StageStatus::Failed) {
                wrong.push(format!("the stages are {stages:?}"));
            }
        }
        wrong.iter().map(|wrong| format!("row {number}, {} {:?} {:?}: {wrong}", row.kind, row.about, row.expect)).collect()
    }
}

/// The form of the proxy setting.
fn proxy(port: u16, password: &str) -> ProxyForm {
    ProxyForm {
        name: store::NAME.into(),
        host: "127.0.0.1".into(),
        port: port.to_string(),
        authentication: "basic".into(),
        username: USER.into(),
        password: SecretInput::Set(Secret::new(password)),
        is_default: true,
        ..ProxyForm::default()
    }
}

/// All rows, some at a time.
async fn verify_all(place: &Arc<Place>) -> Vec<String> {
    let mut running = tokio::task::JoinSet::new();
    let mut wrong = Vec::new();
    for number in 0..place.rows.len() {
        let place = place.clone();
        running.spawn(async move { place.verify(number).await });
        if running.len() >= 8 {
            wrong.extend(running.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(more) = running.join_next().await {
        wrong.extend(more.unwrap());
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_answer_through_squid() {
    let place = Arc::new(Place::new(table::rows()).await);
    let wrong = verify_all(&place).await;
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));

    // The traffic log knows each of them, and no secret.
    let records = place.store.records(place.rows.iter().map(|row| row.steps.len()).sum()).await;
    let told = format!("{records:?}");
    for secret in [KEY, "key%2B4711", PASSWORD, parts::PASSWORD, "/api/v3", "a.test"] {
        assert!(!told.contains(secret), "{secret} is in the traffic log");
    }
    for (number, row) in place.rows.iter().enumerate().filter(|(_, row)| !row.steps.is_empty()) {
        let host = format!("{}:{}", place.host(number), place.replay.port);
        let of_row = records.iter().filter(|record| record.host == host).count();
        assert_eq!(of_row, row.steps.len(), "records of row {number}: {row:?}");
    }

    // Connections that stand idle are closed with the door; then Squid writes its lines.
    let rows = place.rows.clone();
    let Ok(Place { squid, door, replay, .. }) = Arc::try_unwrap(place) else { panic!("something still holds the place") };
    drop((door, replay));
    for (number, row) in rows.iter().enumerate() {
        let (host, begun) = (format!("r{number}.{DOMAIN}"), Instant::now());
        while squid.tunnels(&host).is_empty() && !row.steps.is_empty() && begun.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let tunnels = squid.tunnels(&host);
        assert_eq!(tunnels.is_empty(), row.steps.is_empty(), "row {number} in Squid's log: {tunnels:?}");
        for line in tunnels {
            assert!(line.contains(&format!(" {USER} ")) && line.contains("TCP_TUNNEL/200"), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_proxy_is_no_verdict_and_nothing_arrives() {
    // One clean answer of each engine (a test where it has none): none may come through.
    let mut kinds = BTreeSet::new();
    let clean = |row: &Row| row.expect == Expect::Verdict(Verdict::Clean) || row.expect == Expect::Passes;
    let rows: Vec<Row> = table::rows().into_iter().filter(|row| clean(row) && kinds.insert(row.kind)).collect();
    assert_eq!(rows.len(), catalogue().specs().filter(|spec| !spec.dns).count());
    let place = Place::new(rows).await;

    for (form, cause) in [
        (proxy(place.squid.port, "wrong-password"), Cause::ProxyAuthRejected),
        (proxy(free_port(), parts::PASSWORD), Cause::ConnectionRefused),
    ] {
        place.store.replace(&form);
        for (number, row) in place.rows.iter().enumerate() {
            let (outcome, _) = place.run(number).await;
            let failure = outcome.unwrap_err();
            assert_eq!(failure.cause, cause, "{}: {failure:?}", row.kind);
            assert!(failure.message.contains(store::NAME), "names the proxy: {failure:?}");
            assert_eq!(place.replay.seen(number).requests, 0, "{}", row.kind);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_never_finishes_is_a_timeout() {
    // The first steps of a look-up that waits; then the same state again and again.
    let waits = |(kind, by_hash): (&str, bool)| {
        let is_it = |row: &Row| row.kind == kind && row.steps.len() > 2 && (row.about == About::Hash) == by_hash;
        let mut row = table::rows().into_iter().find(is_it).unwrap();
        let pending = row.steps.iter().position(|step| {
            matches!(step.answer, Answer::Says(_, body) if ["not finished", "running", ": false}", "255"].iter().any(|p| body.contains(p)))
        });
        let pending = pending.unwrap();
        row.steps.truncate(pending + 1);
        let state = row.steps[pending];
        row.steps.extend(std::iter::repeat_n(state, 200));
        row
    };
    let rows =
        [("metadefender", false), ("metadefender", true), ("vmray", false), ("urlscan", false), ("anyrun", false)].map(waits);
    let place = Place::new(rows.to_vec()).await;
    for (number, row) in place.rows.iter().enumerate() {
        let engine = catalogue().get(row.kind).unwrap();
        let mut cx = EngineContext::new(
            Arc::new(place.door.clone()),
            Asker {
                company: place.store.company,
                consumer: Consumer { kind: "integration".into(), id: number.to_string(), name: row.kind.into() },
                choice: Choice::Default,
                ca_pem: Some(place.authority.clone()),
                recorded: gatehouse_platform::door::Recorded::BeforeAnswer,
            },
            place.context(number).api_url,
            SHORT,
            false,
        );
        cx.api_key = Secret::new(KEY);
        let (kind, value) = match row.about {
            About::File => (IndicatorKind::File, HASH),
            About::Hash => (IndicatorKind::Hash, HASH),
            _ => (IndicatorKind::Url, URL),
        };
        let file = FileContent { name: FILE_NAME.into(), bytes: Arc::new(FILE.to_vec()) };
        let told = Arc::new(std::sync::Mutex::new(String::new()));
        let progress = told.clone();
        let cx = cx.on_progress(move |what| *progress.lock().unwrap() = what.into());
        let outcome = engine.look_up(&cx, &Indicator { kind, value: value.into(), note: None }, Some(&file)).await;
        assert_eq!(outcome.unwrap_err().cause, Cause::EngineTimeout, "{}", row.kind);
        assert!(told.lock().unwrap().starts_with("Waiting for "), "{}", row.kind);
        assert!(place.replay.seen(number).wrong.is_empty(), "{}: {:?}", row.kind, place.replay.seen(number));
        assert!(place.replay.seen(number).requests > 3, "{} was asked again and again", row.kind);
    }
}

#[test]
fn the_table_covers_every_engine_and_case() {
    let rows = table::rows();
    for spec in catalogue().specs().filter(|spec| !spec.dns) {
        let of: Vec<&Row> = rows.iter().filter(|row| row.kind == spec.kind).collect();
        let has = |what: &str, is: &dyn Fn(&Row) -> bool| assert!(of.iter().any(|row| is(row)), "{}: {what}", spec.kind);
        let expects = |expect: Expect| move |row: &Row| row.expect == expect;
        has("something bad", &|row| matches!(row.expect, Expect::Verdict(Verdict::Malicious | Verdict::Suspicious)));
        has("something harmless or unknown", &|row| matches!(row.expect, Expect::Verdict(Verdict::Clean | Verdict::Unknown)));
        for cause in [
            Cause::KeyRejected,
            Cause::QuotaExceeded,
            Cause::EngineError,
            Cause::BadAnswer,
            Cause::TooLarge,
            Cause::TargetTimeout,
        ] {
            has(cause.as_str(), &expects(Expect::Fails(cause)));
        }
        has("a test that passes", &expects(Expect::Passes));
        has("a test with a wrong key", &|row| row.about == About::Check && row.expect == Expect::Fails(Cause::KeyRejected));
        has("a look-up with a wrong key", &|row| row.about != About::Check && row.expect == Expect::Fails(Cause::KeyRejected));
        if spec.can.url {
            has("a URL", &|row| row.about == About::Url);
        }
        if spec.can.sender_ip {
            has("an address", &|row| row.about == About::Ip);
            has("an IPv6 address", &|row| row.about == About::Ip6);
        }
        if spec.can.attachment {
            has("a hash or a file", &|row| matches!(row.about, About::Hash | About::File));
        }
    }
}
