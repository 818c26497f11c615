//! What the engines have in common: what a status means, reading JSON, encodings, and waiting for a sandbox.
//!
//! | Status | Becomes |
//! |---|---|
//! | 2xx with JSON | a [`Document`] |
//! | 401, 403 | [`Cause::KeyRejected`] |
//! | 402, 429 | [`Cause::QuotaExceeded`] |
//! | 404 of a look-up | [`Reply::Unknown`], unless it is a web page: then the API URL leads elsewhere |
//! | any other | [`Cause::EngineError`] |
//! | not JSON, or a documented field missing | [`Cause::BadAnswer`] |

use std::{net::IpAddr, time::Duration};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use gatehouse_domain::{Cause, EngineSpec, Indicator, IndicatorKind, KeyNeed, Secret, TestTarget};
use gatehouse_platform::{
    door::{OutAnswer, OutRequest, Retry},
    engine::{EngineContext, EngineFailure, FileContent},
};
use serde_json::Value;

// --- what is asked about ---

/// What a service is asked about, ready to stand in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A URL; still to be encoded.
    Url(&'a str),
    /// An address.
    Ip(IpAddr),
    /// A hash: 32, 40 or 64 hexadecimal digits. A file is asked about by its hash.
    Hash(&'a str),
}

/// What an indicator asks for.
///
/// # Errors
/// When it is not what its kind says; the platform parses indicators, so this is only a second line.
pub(crate) fn asked<'a>(spec: &EngineSpec, indicator: &'a Indicator) -> Result<Asked<'a>, EngineFailure> {
    let value = indicator.value.as_str();
    match indicator.kind {
        IndicatorKind::Url => Ok(Asked::Url(value)),
        IndicatorKind::Ip => value.parse().map(Asked::Ip).map_err(|_| cannot(spec, "this")),
        IndicatorKind::Hash | IndicatorKind::File
            if matches!(value.len(), 32 | 40 | 64) && value.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            Ok(Asked::Hash(value))
        }
        IndicatorKind::Hash | IndicatorKind::File => Err(cannot(spec, "this")),
    }
}

/// The failure for what a service has no way of looking at. Nothing is missing then, because nothing could be asked:
/// [`Cause::Excluded`] says that, and does not make an analysis incomplete.
pub(crate) fn cannot(spec: &EngineSpec, what: &str) -> EngineFailure {
    EngineFailure::new(Cause::Excluded, format!("{} can't look at {what}: nothing was sent.", spec.label))
}

/// The number of detections, or the score, that makes `malicious`. Never 0: that would make everything so.
pub(crate) fn threshold(cx: &EngineContext, spec: &EngineSpec) -> u64 {
    let set = if cx.threshold == 0 { spec.threshold.map_or(1, |t| t.default) } else { cx.threshold };
    u64::from(set.max(1))
}

/// A setting of the type's own, or its default: what was stored before there was such a setting knows nothing of it.
pub(crate) fn option<'a>(cx: &'a EngineContext, spec: &EngineSpec, name: &str) -> &'a str {
    match cx.option(name) {
        "" => spec.options.iter().find(|option| option.name == name).map_or("", |option| option.default),
        set => set,
    }
}

// --- requests ---

/// A request with one more header field.
pub(crate) fn with(mut request: OutRequest, name: &'static str, value: Secret) -> OutRequest {
    request.headers.push((name, value));
    request
}

/// A POST that only asks, so that it may be sent again.
pub(crate) fn asking(mut request: OutRequest) -> OutRequest {
    request.retry = Retry::Safe;
    request
}

/// `name=value&…` for a URL or a form.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The media type of [`form`].
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A form with a file in it.
///
/// # Errors
/// As [`EngineContext::url`].
pub(crate) fn upload(
    cx: &EngineContext, path: &str, fields: &[(&str, &str)], file_field: &str, file: &FileContent,
) -> Result<OutRequest, EngineFailure> {
    let boundary = boundary(&file.bytes);
    let mut body = Vec::with_capacity(file.bytes.len() + 1024);
    for (name, value) in fields {
        body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    body.extend(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{file_field}\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            file_name(&file.name)
        )
        .bytes(),
    );
    body.extend_from_slice(&file.bytes);
    body.extend(format!("\r\n--{boundary}--\r\n").bytes());
    let mut request = cx.request("POST", cx.url(path)?, Retry::Never);
    request.body = body;
    Ok(with(request, "content-type", Secret::new(format!("multipart/form-data; boundary={boundary}"))))
}

/// A line that does not occur in the file, however hostile the file is.
fn boundary(bytes: &[u8]) -> String {
    (0_u32..)
        .map(|n| format!("gatehouse-{n:08}-7f3b91"))
        .find(|line| !bytes.windows(line.len()).any(|window| window == line.as_bytes()))
        .unwrap_or_default()
}

/// A file's name without what could end the field it stands in.
fn file_name(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\' | '/')).take(200).collect();
    if name.is_empty() { "file".into() } else { name }
}

/// Percent-encodes everything but letters, digits and `-._~`, so that it can stand anywhere in a URL.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Base64 for URLs, without padding.
pub(crate) fn base64url(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// `Basic …` for a user and a password.
pub(crate) fn basic(user: &Secret, password: &Secret) -> Secret {
    let both = Secret::new(format!("{}:{}", user.expose(), password.expose()));
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(both.expose())))
}

// --- answers ---

/// The answer to a look-up.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The service knows something.
    Known(Document),
    /// It has never seen it (404).
    Unknown,
}

/// Sends a look-up, where 404 means that the service has never seen it.
pub(crate) async fn look_up(cx: &EngineContext, spec: &'static EngineSpec, request: OutRequest) -> Result<Reply, EngineFailure> {
    read(spec, &cx.send(request).await?)
}

/// Sends a request whose answer must be there.
pub(crate) async fn fetch(cx: &EngineContext, spec: &'static EngineSpec, request: OutRequest) -> Result<Document, EngineFailure> {
    let answer = cx.send(request).await?;
    match read(spec, &answer)? {
        Reply::Known(document) => Ok(document),
        Reply::Unknown => Err(not_there(spec)),
    }
}

/// What an answer to a look-up means.
pub(crate) fn read(spec: &'static EngineSpec, answer: &OutAnswer) -> Result<Reply, EngineFailure> {
    match answer.status {
        200..=299 => document(spec, answer).map(Reply::Known),
        404 if !is_page(&answer.body) => Ok(Reply::Unknown),
        404 => Err(not_there(spec)),
        _ => Err(refusal(spec, answer)),
    }
}

/// The body as JSON, whatever the status.
pub(crate) fn document(spec: &'static EngineSpec, answer: &OutAnswer) -> Result<Document, EngineFailure> {
    match serde_json::from_slice(&answer.body) {
        Ok(value) => Ok(Document { spec, value }),
        Err(_) => Err(bad_answer(spec, "it is not JSON").with_status(answer.status)),
    }
}

/// A web page where a service should have answered: the API URL leads somewhere else, or a proxy asks to sign in.
fn is_page(body: &[u8]) -> bool {
    body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<')
}

/// What an error status means where the service documents nothing else.
pub(crate) fn refusal(spec: &EngineSpec, answer: &OutAnswer) -> EngineFailure {
    let (label, status) = (spec.label, answer.status);
    match status {
        401 | 403 => key_rejected(spec),
        402 | 429 => {
            let wait = answer.header("retry-after").and_then(|seconds| seconds.trim().parse::<u32>().ok());
            quota_exceeded(spec, wait)
        }
        404 => not_there(spec),
        500.. => EngineFailure::new(Cause::EngineError, format!("{label} reports an error of its own (status {status})."))
            .with_hint("Ask again later. If it stays so, see whether the service tells of a disturbance."),
        ..=399 => EngineFailure::new(Cause::EngineError, format!("{label} answers with a redirection (status {status})."))
            .with_hint("Check the API URL in the integration's settings: the service may have moved."),
        _ => EngineFailure::new(Cause::EngineError, format!("{label} does not accept the request (status {status})."))
            .with_hint("Check the API URL in the integration's settings."),
    }
    .with_status(status)
}

/// The service does not accept the key.
pub(crate) fn key_rejected(spec: &EngineSpec) -> EngineFailure {
    let failure = EngineFailure::new(Cause::KeyRejected, format!("{} does not accept the key.", spec.label));
    if spec.key == KeyNeed::None {
        return failure.with_hint("This type has no key: the service asks for one all the same.");
    }
    failure.with_hint(format!(
        "Check the {} in the integration's settings: it may be mistyped, revoked, or without the right to this.",
        spec.key_label
    ))
}

/// The key's allowance is used up.
pub(crate) fn quota_exceeded(spec: &EngineSpec, wait_seconds: Option<u32>) -> EngineFailure {
    let message = format!("{} gives no answer: the allowance is used up, or too much was asked at a time.", spec.label);
    let failure = EngineFailure::new(Cause::QuotaExceeded, message);
    match wait_seconds {
        Some(seconds) => failure.with_hint(format!(
            "The service asks to wait {seconds} seconds. A cache (hours) in the integration's settings spares requests."
        )),
        None => failure.with_hint(
            "Ask again later, or get a larger allowance. A cache (hours) in the integration's settings spares requests.",
        ),
    }
}

/// The answer is not what the service documents.
pub(crate) fn bad_answer(spec: &EngineSpec, why: &str) -> EngineFailure {
    EngineFailure::new(Cause::BadAnswer, format!("What {} answered is not what it documents: {why}.", spec.label)).with_hint(
        "Check that the API URL leads to the service, and that no proxy on the way puts a page of its own in its place.",
    )
}

/// 404 where there must be something.
fn not_there(spec: &EngineSpec) -> EngineFailure {
    let message = format!("What answers is not the interface of {}: it knows no such address (status 404).", spec.label);
    EngineFailure::new(Cause::BadAnswer, message)
        .with_status(404)
        .with_hint("Check the API URL in the integration's settings, its path too.")
}

/// What a test says when everything is right.
pub(crate) fn accepted(spec: &EngineSpec) -> String {
    format!("{} was reached and accepts the {}.", spec.label, spec.key_label)
}

/// A JSON answer of a service. Fields are named by JSON pointers; what is missing or of another type is
/// [`Cause::BadAnswer`].
#[derive(Debug)]
pub(crate) struct Document {
    spec: &'static EngineSpec,
    value: Value,
}

impl Document {
    /// One made for a test.
    #[cfg(test)]
    pub(crate) fn of(spec: &'static EngineSpec, value: Value) -> Self {
        Self { spec, value }
    }

    /// The whole.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// What is there; none also for `null`.
    pub(crate) fn get(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer).filter(|value| !value.is_null())
    }

    /// The failure for a field.
    pub(crate) fn lacks(&self, pointer: &str) -> EngineFailure {
        bad_answer(self.spec, &format!("{pointer} is missing or of another kind"))
    }

    /// Makes sure that it is an object at all.
    pub(crate) fn into_object(self) -> Result<Self, EngineFailure> {
        if self.value.is_object() { Ok(self) } else { Err(bad_answer(self.spec, "it is not an object")) }
    }

    /// A number.
    pub(crate) fn number(&self, pointer: &str) -> Result<f64, EngineFailure> {
        self.get(pointer).and_then(Value::as_f64).ok_or_else(|| self.lacks(pointer))
    }

    /// A whole number from 0 on.
    pub(crate) fn count(&self, pointer: &str) -> Result<u64, EngineFailure> {
        self.get(pointer).and_then(Value::as_u64).ok_or_else(|| self.lacks(pointer))
    }

    /// A text.
    pub(crate) fn text(&self, pointer: &str) -> Result<&str, EngineFailure> {
        self.get(pointer).and_then(Value::as_str).ok_or_else(|| self.lacks(pointer))
    }

    /// True or false.
    pub(crate) fn flag(&self, pointer: &str) -> Result<bool, EngineFailure> {
        self.get(pointer).and_then(Value::as_bool).ok_or_else(|| self.lacks(pointer))
    }

    /// A list.
    pub(crate) fn list(&self, pointer: &str) -> Result<&[Value], EngineFailure> {
        self.get(pointer).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| self.lacks(pointer))
    }

    /// An identifier that the service gave out, as a number or a text. It goes into paths, so it can hold nothing but
    /// letters, digits, `-` and `_`.
    pub(crate) fn id(&self, pointer: &str) -> Result<String, EngineFailure> {
        let id = match self.get(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(self.lacks(pointer)),
        };
        let right = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if right { Ok(id) } else { Err(self.lacks(pointer)) }
    }

    /// A text of the service's for the evidence: without control characters, at most 200 characters.
    pub(crate) fn words(&self, pointer: &str) -> Option<String> {
        self.get(pointer).and_then(Value::as_str).and_then(shown)
    }

    /// An address for a person that the service gave: only on one of these hosts, since a link is followed.
    pub(crate) fn link(&self, pointer: &str, host: &str) -> Option<String> {
        let url = web_address(self.get(pointer)?.as_str()?)?;
        url.starts_with("https://").then_some(())?;
        (TestTarget::parse(&url).ok()?.host.ascii() == host).then_some(url)
    }
}

/// A foreign text that may be shown.
pub(crate) fn shown(text: &str) -> Option<String> {
    // Direction marks and their kin can make a line read other than it is.
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let line: String = text.chars().filter(|c| !c.is_control() && !hidden(*c)).take(200).collect();
    Some(line.trim().to_string()).filter(|line| !line.is_empty())
}

/// A foreign address that a person may follow: `http` or `https`, without user or password.
pub(crate) fn web_address(text: &str) -> Option<String> {
    let scheme = text.split_once("://")?.0;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(())?;
    TestTarget::parse(text).ok().map(|target| target.to_string())
}

// --- waiting ---

/// How often a service is asked whether it is done: after a second at first, then ever more seldom, at most every ten
/// seconds. Towards the end of the time, or with little of it, more often: there the last answer counts.
#[derive(Debug)]
pub(crate) struct Pace {
    least: Duration,
    next: Duration,
}

impl Pace {
    const FIRST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(10);
    /// With less than this left the time is over.
    const LATE: Duration = Duration::from_millis(100);

    /// For the time that is left.
    pub(crate) fn new(cx: &EngineContext) -> Self {
        let least = (cx.remaining() / 60).clamp(Duration::from_millis(20), Self::FIRST);
        Self { least, next: least }
    }

    /// Says what is waited for, and waits.
    ///
    /// # Errors
    /// [`Cause::EngineTimeout`] when there is no time left.
    pub(crate) async fn wait(&mut self, cx: &EngineContext, what: &str) -> Result<(), EngineFailure> {
        cx.progress(what);
        let pause = self.pause(cx.remaining());
        cx.pause(pause).await
    }

    /// Asks whether it is done. Where the time runs out meanwhile it was the sandbox that took too long, not the way to it.
    ///
    /// # Errors
    /// As the question's own; [`Cause::EngineTimeout`] for a timeout at the end of the time.
    pub(crate) async fn ask<T>(
        &self, cx: &EngineContext, question: impl Future<Output = Result<T, EngineFailure>>,
    ) -> Result<T, EngineFailure> {
        let outcome = question.await;
        if matches!(&outcome, Err(failure) if failure.cause == Cause::TargetTimeout) && cx.remaining() < Self::LATE {
            cx.pause(Self::LATE).await?;
        }
        outcome
    }

    fn pause(&mut self, remaining: Duration) -> Duration {
        let pause = self.next.min((remaining / 4).max(self.least));
        self.next = self.next.mul_f32(1.5).min(Self::MOST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        script::{answer, context, indicator},
        virustotal::SPEC,
    };

    #[test]
    fn each_status_has_its_cause() {
        for (status, cause) in [
            (301, Cause::EngineError),
            (400, Cause::EngineError),
            (401, Cause::KeyRejected),
            (402, Cause::QuotaExceeded),
            (403, Cause::KeyRejected),
            (422, Cause::EngineError),
            (429, Cause::QuotaExceeded),
            (500, Cause::EngineError),
            (503, Cause::EngineError),
        ] {
            let failure = read(&SPEC, &answer(status, r#"{"error": "secret words"}"#)).unwrap_err();
            assert_eq!((failure.cause, failure.status), (cause, Some(status)), "{status}");
            assert!(failure.message.contains("VirusTotal") && !failure.message.contains("secret words"), "{failure:?}");
            assert!(failure.hint.is_some(), "{status}");
        }
    }

    #[test]
    fn unknown_is_told_from_a_page_of_somebody_else() {
        for body in ["", "{}", r#"{"error": {"code": "NotFoundError"}}"#, "not found"] {
            assert!(matches!(read(&SPEC, &answer(404, body)), Ok(Reply::Unknown)), "{body}");
        }
        for (status, body) in [(404, " <!doctype html>"), (200, "<html>"), (200, ""), (200, "{\"a\":")] {
            let failure = read(&SPEC, &answer(status, body)).unwrap_err();
            assert_eq!((failure.cause, failure.status), (Cause::BadAnswer, Some(status)), "{body}");
        }
    }

    #[test]
    fn the_time_to_wait_is_told_when_it_is_a_number() {
        let mut busy = answer(429, "");
        for (field, told) in [("17", true), ("Fri, 31 Dec 1999 23:59:59 GMT", false), ("<b>", false)] {
            busy.headers = vec![("retry-after".into(), field.into())];
            let hint = refusal(&SPEC, &busy).hint.unwrap();
            assert_eq!(hint.contains("17 seconds"), told, "{hint}");
            assert!(!hint.contains('<'));
        }
    }

    #[test]
    fn a_missing_field_is_a_bad_answer() {
        let document = Document::of(&SPEC, json!({"a": {"n": 1, "t": "x", "bad": -1, "null": null}, "id": "../x"}));
        assert_eq!(document.count("/a/n"), Ok(1));
        assert_eq!(document.text("/a/t"), Ok("x"));
        for failure in [
            document.count("/a/bad").unwrap_err(),
            document.count("/a/t").unwrap_err(),
            document.number("/a/null").unwrap_err(),
            document.text("/b").unwrap_err(),
            document.list("/a").unwrap_err(),
            document.flag("/a/n").unwrap_err(),
            document.id("/id").unwrap_err(),
        ] {
            assert_eq!(failure.cause, Cause::BadAnswer, "{failure:?}");
        }
    }

    #[test]
    fn foreign_texts_are_tamed() {
        assert_eq!(shown("a\u{1b}[31m\nb\u{202e}c"), Some("a[31mbc".into()));
        assert_eq!(shown("\u{7}"), None);
        assert_eq!(shown(&"x".repeat(999)).map(|t| t.len()), Some(200));
        assert_eq!(web_address("https://a.example/b c"), Some("https://a.example/b%20c".into()));
        for bad in ["javascript:alert(1)", "ftp://a.example/", "https://u:p@a.example/", "a.example"] {
            assert_eq!(web_address(bad), None, "{bad}");
        }
        let document = Document::of(&SPEC, json!({"a": "https://a.example/1", "b": "http://a.example/1"}));
        assert_eq!(document.link("/a", "a.example"), Some("https://a.example/1".into()));
        assert_eq!((document.link("/a", "b.example"), document.link("/b", "a.example")), (None, None));
    }

    #[test]
    fn encodings() {
        assert_eq!(encode("https://a/?b=c&d#é"), "https%3A%2F%2Fa%2F%3Fb%3Dc%26d%23%C3%A9");
        assert_eq!(base64url("http://www.example.com/?a>>"), "aHR0cDovL3d3dy5leGFtcGxlLmNvbS8_YT4-");
        assert_eq!(form(&[("url", "a b"), ("x", "&")]), "url=a%20b&x=%26");
        assert_eq!(basic(&Secret::new("key"), &Secret::new("p:w")).expose(), "Basic a2V5OnA6dw==");
    }

    #[test]
    fn an_upload_holds_what_it_says() {
        let (cx, _) = context(&SPEC, &[]);
        let bytes = b"hostile --gatehouse-00000000-7f3b91 bytes\0\xff".to_vec();
        let file = FileContent { name: "a\"\r\nX: y\\.exe".into(), bytes: Arc::new(bytes.clone()) };
        let request = upload(&cx, "/submit", &[("private", "1")], "sample", &file).unwrap();
        let kind = request.headers.iter().find(|(name, _)| *name == "content-type").unwrap().1.expose();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        assert_eq!(boundary, "gatehouse-00000001-7f3b91");
        let text = String::from_utf8_lossy(&request.body);
        assert!(text.contains("name=\"sample\"; filename=\"aX: y.exe\"\r\n"), "{text}");
        assert!(text.starts_with(&format!("--{boundary}\r\nContent-Disposition: form-data; name=\"private\"\r\n\r\n1\r\n")));
        assert!(request.body.windows(bytes.len()).any(|window| window == bytes));
        assert!(text.ends_with(&format!("\r\n--{boundary}--\r\n")));
        assert_eq!(request.retry, Retry::Never);
    }

    #[test]
    fn indicators_are_parsed_again() {
        assert_eq!(asked(&SPEC, &indicator(IndicatorKind::Ip, "2001:db8::1")), Ok(Asked::Ip("2001:db8::1".parse().unwrap())));
        for (kind, value) in
            [(IndicatorKind::Ip, "1.2.3.4/../x"), (IndicatorKind::Hash, "../../users"), (IndicatorKind::File, "")]
        {
            assert_eq!(asked(&SPEC, &indicator(kind, value)).unwrap_err().cause, Cause::Excluded, "{value}");
        }
    }

    #[test]
    fn the_pace_slows_down_and_quickens_towards_the_end() {
        let mut pace = Pace { least: Duration::from_secs(1), next: Duration::from_secs(1) };
        let long = Duration::from_secs(600);
        let pauses: Vec<_> = (0..8).map(|_| pace.pause(long).as_millis()).collect();
        assert_eq!(pauses, [1000, 1500, 2250, 3375, 5062, 7593, 10000, 10000]);
        assert_eq!(pace.pause(Duration::from_secs(20)), Duration::from_secs(5));
        assert_eq!(pace.pause(Duration::from_secs(2)), Duration::from_secs(1));
    }
}
