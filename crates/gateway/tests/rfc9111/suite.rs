//! The public test-suite of HTTP caches by Mark Nottingham (the results of many caches by it are at cache-tests.fyi).
//!
//! Its definitions are in `cache-tests/tests.json`, as they are published, with their licence beside them; what runs them is written anew
//! here after the suite's description. A test is a list of requests under a URL of its own. The origin answers each as its definition says, and
//! notes what it got; the client compares what came, and at the end also what the origin noted.
//!
//! Where this differs from the suite's own client: redirections are never followed, no fields are added for a browser's sake, and an error of
//! the gateway's own after the origin has hung up counts as »not cached«, which is the point of those tests. A test that passes passes,
//! also where one that it builds on does not.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::{sync::Semaphore, time::sleep};

use crate::stage::{self, Answer, Origin, Reply, Request, Wire, ask, date, date_850};

/// An `Age` that is no number is ignored, and of several the first counts; these tests are from before RFC 9111 said so.
const FIRST_AGE: &str = "RFC 9111, 5.1: a cache SHOULD use the first member, and ignore what is no non-negative integer";
/// An answer that sets a cookie is kept only where it says that it is for all.
const COOKIE: &str = "kept only with public or s-maxage (RFC 9111, 7.3 leaves it to the cache)";

/// Required tests that do not pass, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("age-parse-nonnumeric", FIRST_AGE),
    ("age-parse-negative", FIRST_AGE),
    ("age-parse-float", FIRST_AGE),
    ("age-parse-parameter", FIRST_AGE),
    ("age-parse-numeric-parameter", FIRST_AGE),
    ("age-parse-prefix-twoline", FIRST_AGE),
    ("age-parse-dup-0", FIRST_AGE),
    ("age-parse-dup-0-twoline", FIRST_AGE),
    ("age-parse-dup-old", FIRST_AGE),
    ("headers-store-Set-Cookie", COOKIE),
    ("304-etag-update-response-Set-Cookie", COOKIE),
    (
        "headers-store-Transfer-Encoding",
        "an answer in a transfer coding that nobody knows is refused (RFC 9112, 6.1), not stored",
    ),
    (
        "304-etag-update-response-ETag",
        "RFC 9111, 4.3.4: a 304 with another strong ETag is about another answer; it is asked again, which the test's origin does not expect",
    ),
];

/// Groups that are not run: `Surrogate-Control` is for caches that an origin has put in front of itself.
const LEFT_OUT: [&str; 1] = ["surrogate-control"];

/// How many tests run at once.
const AT_ONCE: usize = 200;

/// The pause that a test asks for.
const PAUSE: Duration = Duration::from_secs(3);

/// How a test came out.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Pass,
    Fail(String),
    /// What was to lead up to the test did not work.
    Setup(String),
    /// Another test that this one builds on did not pass.
    Dependency(String),
}

/// A check that did not hold: whether it was only to lead up to the test, and why.
type Failed = (bool, String);

/// What the origin noted of a request.
struct Noted {
    number: Option<usize>,
    request: Request,
    /// What it said, with what is to arrive at the client.
    said: Vec<(String, String)>,
    status: u16,
}

/// A test as the origin has it.
struct Played {
    requests: Vec<Value>,
    noted: Vec<Noted>,
}

type Tests = Arc<Mutex<HashMap<String, Played>>>;

fn string<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn check(is_setup: bool, holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err((is_setup, why())) }
}

/// Whether a check of this kind only leads up to the test.
fn is_setup(config: &Value, kind: &str) -> bool {
    flag(config, "setup") || list(config, "setup_tests").iter().any(|name| name == kind)
}

/// A field of a definition: a number is a date so many seconds from the server's now, and a location is beneath the server's URL.
fn fix(field: &Value, config: &Value, server_now: Option<i64>, base: &str) -> (String, String) {
    let name = field[0].as_str().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let mut value = match &field[1] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_date = ["date", "expires", "last-modified", "if-modified-since", "if-unmodified-since"].contains(&lower.as_str());
    if let (true, Some(offset), Some(now)) = (is_date, field[1].as_i64(), server_now) {
        let old = list(config, "rfc850date").iter().any(|name| *name == lower);
        value = if old { date_850(now / 1_000, offset) } else { date(now / 1_000, offset) };
    }
    if matches!(lower.as_str(), "location" | "content-location") && flag(config, "magic_locations") {
        value = if value.is_empty() { base.to_string() } else { format!("{base}/{value}") };
    }
    (name.to_string(), value)
}

/// The body of answers for which the definition gives none.
fn own_body(id: &str) -> String {
    format!("the body of {id}")
}

/// Which test a request belongs to.
fn id_of(target: &str) -> &str {
    target.strip_prefix("/test/").unwrap_or(target).split(['/', '?']).next().unwrap_or_default()
}

/// The origin's part.
fn says(tests: &Tests, request: &Request) -> Answer {
    let mut tests = tests.lock().unwrap();
    let id = id_of(&request.target);
    let Some(test) = tests.get_mut(id) else { return Answer::new(409, "").body("no such test") };
    let seen = test.noted.len() + 1;
    let number = request.field("req-num").and_then(|number| number.parse::<usize>().ok());
    let at = number.unwrap_or(seen);
    let Some(config) = at.checked_sub(1).and_then(|at| test.requests.get(at)).cloned() else {
        return Answer::new(409, "").body("no such request");
    };
    let mut status = config["response_status"][0].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    if string(&config, "expected_type").is_some_and(|kind| kind.ends_with("validated")) {
        let previous = at.checked_sub(2).map_or(&Value::Null, |at| &test.requests[at]);
        let holds = |theirs: &str, ours: &str| {
            let ours = list(previous, "response_headers")
                .iter()
                .rfind(|field| field[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case(ours)));
            ours.and_then(|field| field[1].as_str()).is_some_and(|ours| request.field(theirs).as_deref() == Some(ours))
        };
        status = if holds("if-modified-since", "last-modified") || holds("if-none-match", "etag") { 304 } else { 999 };
    }
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or_default();
    let mut fields = format!("Server-Base-Url: {}\nServer-Request-Count: {seen}\nServer-Now: {now}\n", request.target);
    if let Some(number) = number {
        fields.push_str(&format!("Client-Request-Count: {number}\n"));
    }
    let mut said: Vec<(String, String)> = Vec::new();
    let mut length = None;
    for (index, field) in list(&config, "response_headers").iter().enumerate() {
        let (name, value) = fix(field, &config, Some(now), &request.target);
        // The next request is compared with what was really said.
        test.requests[at - 1]["response_headers"][index][1] = value.clone().into();
        fields.push_str(&format!("{name}: {value}\n"));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse::<usize>().ok();
        }
        if field.as_array().is_some_and(|field| field.len() < 3) || field[2] == true {
            match said.iter_mut().find(|(other, _)| *other == name) {
                Some((_, all)) => all.push_str(&format!(", {value}")),
                None => said.push((name, value)),
            }
        }
    }
    if !fields.to_ascii_lowercase().contains("\ncontent-type:") {
        fields.push_str("Content-Type: text/plain\n");
    }
    test.noted.push(Noted { number, request: request.clone(), said, status });
    let numbers: Vec<_> = test.noted.iter().map(|noted| noted.number.unwrap_or_default().to_string()).collect();
    fields.push_str(&format!("Request-Numbers: {}\n", numbers.join(" ")));
    let body = string(&config, "response_body").map_or_else(|| own_body(id), str::to_string);
    // A definition that gives a length does not look at the body.
    let body = match length {
        Some(length) => body.chars().cycle().take(length).collect(),
        None => body,
    };
    let answer = Answer::new(status, fields.trim_end()).body(&body);
    if flag(&config, "disconnect") { answer.wire(Wire::Nothing) } else { answer }
}

/// Plays a test.
async fn play(test: &Value, proxy: SocketAddr, origin: SocketAddr, tests: Tests) -> Result<(), Failed> {
    let id = string(test, "id").unwrap_or_default();
    let requests = list(test, "requests");
    tests.lock().unwrap().insert(id.to_string(), Played { requests: requests.to_vec(), noted: Vec::new() });
    let mut replies: Vec<Option<Reply>> = Vec::new();
    for (at, config) in requests.iter().enumerate() {
        let mut path = format!("/test/{id}");
        if let Some(name) = string(config, "filename") {
            path.push_str(&format!("/{name}"));
        }
        if let Some(query) = string(config, "query_arg") {
            path.push_str(&format!("?{query}"));
        }
        let method = string(config, "request_method").unwrap_or("GET");
        let mut request = format!("{method} http://{origin}{path} HTTP/1.1\r\nHost: {origin}\r\n");
        let before = replies.last().and_then(|reply| reply.as_ref()?.field("server-now")?.parse().ok());
        for field in list(config, "request_headers") {
            let now = if flag(config, "magic_ims") { before } else { None };
            let (name, value) = fix(field, config, now, "");
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Test-ID: {id}\r\nReq-Num: {}\r\n", at + 1));
        let content = string(config, "request_body");
        if let Some(content) = content {
            request.push_str(&format!("Content-Length: {}\r\n", content.len()));
        }
        request.push_str(&format!("\r\n{}", content.unwrap_or_default()));
        let reply = ask(proxy, &request).await;
        let hung_up = flag(config, "disconnect") && string(config, "expected_type") == Some("not_cached");
        match reply {
            Ok(reply) => {
                if !(hung_up && reply.status >= 500 && reply.field("server-request-count").is_none()) {
                    compare(id, config, at + 1, &reply, &tests)?;
                }
                replies.push(Some(reply));
            }
            Err(_) if hung_up => replies.push(None),
            Err(why) => return Err((flag(config, "setup"), why)),
        }
        if flag(config, "pause_after") {
            sleep(PAUSE).await;
        }
    }
    noted(id, requests, &replies, &tests)
}

/// Compares an answer with the definition of its request.
fn compare(id: &str, config: &Value, number: usize, reply: &Reply, tests: &Tests) -> Result<(), Failed> {
    let from_server = reply.field("server-request-count").and_then(|count| count.parse::<usize>().ok());
    let numbers = reply.field("request-numbers").unwrap_or_default();
    let mut numbers: Vec<_> = numbers.split_whitespace().collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    check(true, numbers.len() == count, || "a request was repeated".into())?;
    check(false, reply.broken.is_none(), || format!("answer {number} is {}", reply.broken.unwrap_or_default()))?;

    let expected = string(config, "expected_type");
    let of_type = is_setup(config, "expected_type");
    if expected == Some("cached") && !(reply.status == 304 && from_server.is_none()) {
        let cached = from_server.is_some_and(|count| count < number);
        check(of_type, cached, || format!("answer {number} does not come from the cache"))?;
    }
    if expected == Some("not_cached") {
        check(of_type, from_server == Some(number), || format!("answer {number} comes from the cache"))?;
    }

    let origins = config["response_status"][0].as_u64();
    let unconditional = || {
        let tests = tests.lock().unwrap();
        tests.get(id).and_then(|test| test.noted.last()).is_some_and(|noted| noted.status == 999)
    };
    if let Some(status) = config["expected_status"].as_u64() {
        let is = is_setup(config, "expected_status");
        check(is, u64::from(reply.status) == status, || {
            format!("the status of answer {number} is {} and not {status}", reply.status)
        })?;
    } else if let Some(status) = origins {
        check(true, u64::from(reply.status) == status, || {
            format!("the status of answer {number} is {} and not {status}", reply.status)
        })?;
    } else if reply.status == 999 || (reply.status != 200 && unconditional()) {
        return Err((of_type, format!("request {number} was to be conditional")));
    } else {
        check(true, reply.status == 200, || format!("the status of answer {number} is {} and not 200", reply.status))?;
    }

    let present = is_setup(config, "expected_response_headers");
    for field in list(config, "expected_response_headers") {
        let name = field.as_str().or(field[0].as_str()).unwrap_or_default();
        let value = reply.field(name);
        if field.is_string() {
            check(present, value.is_some(), || format!("answer {number} has no {name}"))?;
        } else if field[1] == "=" && !field[2].is_null() {
            let other = field[2].as_str().and_then(|other| reply.field(other));
            check(present, value.is_some() && value == other, || {
                format!("{name} of answer {number} is {value:?} and not {other:?}")
            })?;
        } else if field[1] == ">" && !field[2].is_null() {
            let more = value.as_ref().and_then(|value| value.parse::<i64>().ok()) > field[2].as_i64();
            check(present, more, || format!("{name} of answer {number} is {value:?} and not above {}", field[2]))?;
        } else {
            let now = reply.field("server-now").and_then(|now| now.parse().ok());
            let (_, expected) = fix(field, config, now, &reply.field("server-base-url").unwrap_or_default());
            let same = value.as_deref() == Some(&expected);
            check(present, same, || format!("{name} of answer {number} is {value:?} and not {expected:?}"))?;
        }
    }
    let missing = is_setup(config, "expected_response_headers_missing");
    for field in list(config, "expected_response_headers_missing") {
        let name = field.as_str().or(field[0].as_str()).unwrap_or_default();
        let value = reply.field(name);
        let absent = match field[1].as_str() {
            Some(part) => !value.as_ref().is_some_and(|value| value.contains(part)),
            None => value.is_none(),
        };
        check(missing, absent, || format!("{name} of answer {number} is {value:?}"))?;
    }

    if config["check_body"] == false {
        return Ok(());
    }
    let (setup, body) = match config.get("expected_response_text") {
        Some(Value::String(text)) => (is_setup(config, "expected_response_text"), text.clone()),
        Some(_) => return Ok(()),
        None => match string(config, "response_body") {
            Some(body) => (true, body.to_string()),
            None if [204, 304].contains(&reply.status) || string(config, "request_method") == Some("HEAD") => return Ok(()),
            None => (true, own_body(id)),
        },
    };
    check(setup, reply.body == body, || format!("the body of answer {number} is {:?} and not {body:?}", reply.body))
}

/// Compares what the origin noted with the definitions.
fn noted(id: &str, requests: &[Value], replies: &[Option<Reply>], tests: &Tests) -> Result<(), Failed> {
    let tests = tests.lock().unwrap();
    let Some(test) = tests.get(id) else { return Err((true, "the test is gone".into())) };
    let mut all = test.noted.iter();
    for (at, (config, reply)) in requests.iter().zip(replies).enumerate() {
        let number = at + 1;
        let of_type = is_setup(config, "expected_type");
        let expected = string(config, "expected_type");
        if expected == Some("cached") {
            continue;
        }
        let noted = all.next();
        if expected == Some("not_cached") {
            let same = noted.is_some_and(|noted| noted.number == Some(number));
            check(of_type, same, || format!("request {number} did not reach the origin"))?;
        }
        let validator = match expected {
            Some("etag_validated") => Some("if-none-match"),
            Some("lm_validated") => Some("if-modified-since"),
            _ => None,
        };
        if let Some(name) = validator {
            let sent = noted.is_some_and(|noted| noted.request.field(name).is_some());
            check(of_type, sent, || format!("request {number} reached the origin without {name}, or not at all"))?;
        }
        let fields = is_setup(config, "expected_request_headers");
        for field in list(config, "expected_request_headers") {
            let name = field.as_str().or(field[0].as_str()).unwrap_or_default();
            let sent = noted.and_then(|noted| noted.request.field(name));
            let right = if field.is_string() { sent.is_some() } else { sent.as_deref() == field[1].as_str() };
            check(fields, right, || format!("{name} of request {number} is {sent:?} and not {field}"))?;
        }
        let Some(noted) = noted else { continue };
        if let Some(reply) = reply {
            for (name, value) in noted.said.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")) {
                let came = reply.field(name);
                check(true, came.as_ref() == Some(value), || format!("{name} of answer {number} is {came:?} and not {value:?}"))?;
            }
        }
        if let Some(method) = string(config, "expected_method") {
            let right = noted.request.method == method;
            let of_method = is_setup(config, "expected_method");
            check(of_method, right, || format!("the method of request {number} is {} and not {method}", noted.request.method))?;
        }
    }
    Ok(())
}

/// What became of a test: one that does not pass is not to blame where one that it builds on does not either.
fn judge(id: &str, depends: &HashMap<String, Vec<String>>, results: &HashMap<String, Result<(), Failed>>) -> Outcome {
    let (is_setup, why) = match results.get(id) {
        Some(Ok(())) => return Outcome::Pass,
        Some(Err(failed)) => failed.clone(),
        None => (true, "not run".into()),
    };
    for other in depends.get(id).into_iter().flatten() {
        if judge(other, depends, results) != Outcome::Pass {
            return Outcome::Dependency(other.clone());
        }
    }
    if is_setup { Outcome::Setup(why) } else { Outcome::Fail(why) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_required_tests_of_the_public_suite_pass() {
    let begun = Instant::now();
    let published: Value = serde_json::from_str(include_str!("cache-tests/tests.json")).unwrap();
    let gateway = stage::gateway().await;
    let proxy = gateway.addresses()[0];
    let tests = Tests::default();
    let origin = Origin::start({
        let tests = tests.clone();
        move |request| says(&tests, request)
    })
    .await
    .address;

    let gate = Arc::new(Semaphore::new(AT_ONCE));
    // Group, kind, and test, in the order of the file.
    let mut running = Vec::new();
    let mut depends: HashMap<String, Vec<String>> = HashMap::new();
    for suite in list(&published, "suites") {
        let group = string(suite, "id").unwrap_or_default();
        if LEFT_OUT.contains(&group) {
            continue;
        }
        for test in list(suite, "tests").iter().filter(|test| !flag(test, "browser_only")) {
            let id = string(test, "id").unwrap().to_string();
            let on = list(test, "depends_on").iter().filter_map(Value::as_str).map(str::to_string).collect();
            assert!(depends.insert(id.clone(), on).is_none(), "two tests are named {id}");
            let (test, gate, tests) = (test.clone(), gate.clone(), tests.clone());
            let kind = string(&test, "kind").unwrap_or("required").to_string();
            let task = tokio::spawn(async move {
                let _turn = gate.acquire().await.unwrap();
                play(&test, proxy, origin, tests).await
            });
            running.push((group.to_string(), kind, id, task));
        }
    }
    let mut results = HashMap::new();
    let mut order = Vec::new();
    for (group, kind, id, task) in running {
        results.insert(id.clone(), task.await.unwrap_or_else(|error| Err((false, error.to_string()))));
        order.push((group, kind, id));
    }

    let mut counts: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let (mut failures, mut remarks) = (Vec::new(), Vec::new());
    for (group, kind, id) in &order {
        let outcome = judge(id, &depends, &results);
        let count = counts.entry((group, kind)).or_default();
        count.1 += 1;
        let exception = EXCEPTIONS.iter().find(|(name, _)| name == id);
        if outcome == Outcome::Pass {
            count.0 += 1;
            if exception.is_some() {
                failures.push(format!("{id} passes: it is no exception any more"));
            }
            continue;
        }
        match (kind.as_str(), exception) {
            ("required", None) => failures.push(format!("{id}: {outcome:?}")),
            (_, Some((_, reason))) => remarks.push(format!("exception {id}: {outcome:?} ({reason})")),
            _ => remarks.push(format!("{kind} {id}: {outcome:?}")),
        }
    }
    for (name, _) in EXCEPTIONS {
        assert!(depends.contains_key(*name), "there is no test {name}");
    }
    println!("{}", remarks.join("\n"));
    for ((group, kind), (passed, all)) in &counts {
        println!("{group} {kind}: {passed} of {all}");
    }
    for of in ["required", "optimal", "check"] {
        let sum =
            counts.iter().filter(|((_, kind), _)| *kind == of).fold((0, 0), |sum, (_, count)| (sum.0 + count.0, sum.1 + count.1));
        println!("all {of}: {} of {}", sum.0, sum.1);
    }
    println!("in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(failures.is_empty(), "{} required tests do not pass:\n{}", failures.len(), failures.join("\n"));
}
