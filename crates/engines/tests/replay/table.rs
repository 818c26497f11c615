//! The table: what each engine asks, what its service answers, and what must come of it.
//!
//! An engine more is a function more: its rows by name, then `failures` for what is the same with all.

use gatehouse_domain::{Cause, Verdict};

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Nothing: Test Connection.
    Check,
    /// [`URL`].
    Url,
    /// [`IP`].
    Ip,
    /// [`IP6`].
    Ip6,
    /// [`HASH`].
    Hash,
    /// [`FILE`], whose hash is [`HASH`].
    File,
}

pub const URL: &str = "http://a.test/?x=1&y";
pub const IP: &str = "192.0.2.7";
pub const IP6: &str = "2001:db8::1";
pub const HASH: &str = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
pub const FILE: &[u8] = b"MZ the bytes of a file";
pub const FILE_NAME: &str = "invoice.exe";

/// The key and the second secret of each integration. The key holds what must be encoded in a URL.
pub const KEY: &str = "key+4711/0815";
pub const PASSWORD: &str = "pass:word-4712";

/// What the service does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Answers with this status and body.
    Says(u16, &'static str),
    /// Answers with more than any engine takes.
    Large,
    /// Does not answer.
    Nothing,
}

/// One request and what is done with it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// `GET /path?query`
    pub asked: &'static str,
    /// What the body must hold; empty: there must be none.
    pub body: &'static str,
    pub answer: Answer,
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Verdict(Verdict),
    Fails(Cause),
    /// Of a test.
    Passes,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The engine.
    pub kind: &'static str,
    /// The path of its API URL.
    pub base: &'static str,
    /// The header field with the key, where there is one, and its value.
    pub key: Option<(&'static str, &'static str)>,
    pub about: About,
    pub steps: Vec<Step>,
    pub expect: Expect,
}

/// Each engine's rows.
pub fn rows() -> Vec<Row> {
    [
        virustotal(),
        google_safe_browsing(),
        google_web_risk(),
        spamhaus_wqs(),
        xforce(),
        metadefender(),
        vmray(),
        anyrun(),
        urlscan(),
        abuseipdb(),
        urlhaus(),
        otx(),
        custom_http(),
    ]
    .concat()
}

/// What an engine's rows have in common.
#[derive(Clone, Copy)]
struct Service {
    kind: &'static str,
    base: &'static str,
    key: Option<(&'static str, &'static str)>,
}

/// A request without and one with a body, answered by a status and a text.
fn get(asked: &'static str, status: u16, body: &'static str) -> Step {
    Step { asked, body: "", answer: Answer::Says(status, body) }
}

fn post(asked: &'static str, sent: &'static str, status: u16, body: &'static str) -> Step {
    Step { asked, body: sent, answer: Answer::Says(status, body) }
}

const MALICIOUS: Expect = Expect::Verdict(Verdict::Malicious);
const SUSPICIOUS: Expect = Expect::Verdict(Verdict::Suspicious);
const CLEAN: Expect = Expect::Verdict(Verdict::Clean);
const UNKNOWN: Expect = Expect::Verdict(Verdict::Unknown);
const KEY_REJECTED: Expect = Expect::Fails(Cause::KeyRejected);

impl Service {
    fn row(self, about: About, expect: Expect, steps: &[Step]) -> Row {
        Row { kind: self.kind, base: self.base, key: self.key, about, steps: steps.to_vec(), expect }
    }

    /// What is the same with all, for the first request of a look-up: `clean` comes of none of it.
    fn failures(self, about: About, first: Step) -> Vec<Row> {
        let row = |cause, answer| self.row(about, Expect::Fails(cause), &[Step { answer, ..first }]);
        vec![
            row(Cause::KeyRejected, Answer::Says(401, "{}")),
            row(Cause::KeyRejected, Answer::Says(403, "{}")),
            row(Cause::QuotaExceeded, Answer::Says(429, "{}")),
            row(Cause::EngineError, Answer::Says(500, "{}")),
            row(Cause::EngineError, Answer::Says(302, "")),
            row(Cause::EngineError, Answer::Says(418, "{}")),
            row(Cause::BadAnswer, Answer::Says(404, "<html>Nothing here</html>")),
            row(Cause::BadAnswer, Answer::Says(200, "<html>Sign in to the guest network</html>")),
            row(Cause::BadAnswer, Answer::Says(200, "")),
            row(Cause::BadAnswer, Answer::Says(200, "{\"cut\": ")),
            row(Cause::BadAnswer, Answer::Says(200, "{\"other\": 1}")),
            row(Cause::TooLarge, Answer::Large),
            row(Cause::TargetTimeout, Answer::Nothing),
        ]
    }
}

fn virustotal() -> Vec<Row> {
    let s = Service { kind: "virustotal", base: "/api/v3", key: Some(("x-apikey", KEY)) };
    let url = "GET /api/v3/urls/aHR0cDovL2EudGVzdC8_eD0xJnk";
    let user = "GET /api/v3/users/key%2B4711%2F0815";
    let hash = "GET /api/v3/files/275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let bad = r#"{"data": {"attributes": {"last_analysis_stats": {"malicious": 7, "suspicious": 1, "harmless": 60, "undetected": 24}}}}"#;
    let some = r#"{"data": {"attributes": {"last_analysis_stats": {"malicious": 1, "suspicious": 0, "harmless": 60, "undetected": 24}}}}"#;
    let good = r#"{"data": {"attributes": {"last_analysis_stats": {"malicious": 0, "suspicious": 0, "harmless": 60, "undetected": 24}}}}"#;
    let none = r#"{"error": {"code": "NotFoundError", "message": "URL not found"}}"#;
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[get(url, 200, bad)]),
        s.row(About::Url, SUSPICIOUS, &[get(url, 200, some)]),
        s.row(About::Url, CLEAN, &[get(url, 200, good)]),
        s.row(About::Url, UNKNOWN, &[get(url, 404, none)]),
        s.row(About::Ip, CLEAN, &[get("GET /api/v3/ip_addresses/192.0.2.7", 200, good)]),
        s.row(About::Ip6, UNKNOWN, &[get("GET /api/v3/ip_addresses/2001:db8::1", 404, none)]),
        s.row(About::Hash, MALICIOUS, &[get(hash, 200, bad)]),
        s.row(About::File, UNKNOWN, &[get(hash, 404, none)]),
        s.row(About::Check, Expect::Passes, &[get(user, 200, r#"{"data": {"attributes": {}}}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get(user, 401, r#"{"error": {"code": "WrongCredentialsError"}}"#)]),
    ];
    rows.extend(s.failures(About::Url, get(url, 0, "")));
    rows
}

/// Google's way of refusing a key.
const INVALID: &str = r#"{"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}"#;

fn google_safe_browsing() -> Vec<Row> {
    let s = Service { kind: "google_safe_browsing", base: "", key: None };
    let find = "POST /v4/threatMatches:find?key=key%2B4711%2F0815";
    let sent = r#""threatEntries":[{"url":"http://a.test/?x=1&y"}]"#;
    let lists = "GET /v4/threatLists?key=key%2B4711%2F0815";
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[post(find, sent, 200, r#"{"matches": [{"threatType": "MALWARE"}]}"#)]),
        s.row(About::Url, CLEAN, &[post(find, sent, 200, "{}")]),
        s.row(About::Url, KEY_REJECTED, &[post(find, sent, 400, INVALID)]),
        s.row(About::Check, Expect::Passes, &[get(lists, 200, r#"{"threatLists": []}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get(lists, 400, INVALID)]),
    ];
    rows.extend(s.failures(About::Url, post(find, sent, 0, "")));
    rows
}

fn google_web_risk() -> Vec<Row> {
    let s = Service { kind: "google_web_risk", base: "/v1", key: None };
    let search = "GET /v1/uris:search?uri=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y&threatTypes=MALWARE\
        &threatTypes=SOCIAL_ENGINEERING&threatTypes=UNWANTED_SOFTWARE&key=key%2B4711%2F0815";
    let harmless = "GET /v1/uris:search?uri=https%3A%2F%2Fexample.com%2F&threatTypes=MALWARE\
        &threatTypes=SOCIAL_ENGINEERING&threatTypes=UNWANTED_SOFTWARE&key=key%2B4711%2F0815";
    let bad = r#"{"threat": {"threatTypes": ["SOCIAL_ENGINEERING"], "expireTime": "2026-11-22T10:00:00Z"}}"#;
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[get(search, 200, bad)]),
        s.row(About::Url, CLEAN, &[get(search, 200, "{}")]),
        s.row(About::Url, KEY_REJECTED, &[get(search, 400, INVALID)]),
        s.row(About::Check, Expect::Passes, &[get(harmless, 200, "{}")]),
        s.row(About::Check, KEY_REJECTED, &[get(harmless, 403, "{}")]),
    ];
    rows.extend(s.failures(About::Url, get(search, 0, "")));
    rows
}

fn spamhaus_wqs() -> Vec<Row> {
    let s = Service { kind: "spamhaus_wqs", base: "/lookup/v1", key: Some(("authorization", "Bearer key+4711/0815")) };
    let (ip, known) = ("GET /lookup/v1/ZEN/192.0.2.7", "GET /lookup/v1/ZEN/127.0.0.2");
    let mut rows = vec![
        s.row(About::Ip, MALICIOUS, &[get(ip, 200, r#"{"resp": [1002, 1010]}"#)]),
        s.row(About::Ip, CLEAN, &[get(ip, 200, r#"{"resp": [1010]}"#)]),
        s.row(About::Ip, CLEAN, &[get(ip, 404, r#"{"status": 404}"#), get(known, 200, r#"{"resp": [1002]}"#)]),
        s.row(About::Ip, KEY_REJECTED, &[get(ip, 404, r#"{"status": 404}"#), get(known, 401, "{}")]),
        s.row(About::Ip, Expect::Fails(Cause::EngineError), &[get(ip, 404, ""), get(known, 404, "")]),
        s.row(About::Ip6, MALICIOUS, &[get("GET /lookup/v1/ZEN/2001:db8::1", 200, r#"{"resp": [1003]}"#)]),
        s.row(About::Ip, Expect::Fails(Cause::BadAnswer), &[get(ip, 404, "404 page not found")]),
        s.row(About::Check, Expect::Passes, &[get(known, 200, r#"{"resp": [1002]}"#)]),
        s.row(About::Check, Expect::Fails(Cause::EngineError), &[get(known, 404, "{}")]),
        s.row(About::Check, KEY_REJECTED, &[get(known, 401, "{}")]),
    ];
    rows.extend(s.failures(About::Ip, get(ip, 0, "")));
    rows
}

fn xforce() -> Vec<Row> {
    // key+4711/0815:pass:word-4712
    let key = Some(("authorization", "Basic a2V5KzQ3MTEvMDgxNTpwYXNzOndvcmQtNDcxMg=="));
    let s = Service { kind: "xforce", base: "", key };
    let url = "GET /url/http%3A%2F%2Fa.test%2F%3Fx%3D1%26y";
    let hash = "GET /malware/275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[get(url, 200, r#"{"result": {"score": 10}}"#)]),
        s.row(About::Url, SUSPICIOUS, &[get(url, 200, r#"{"result": {"score": 5}}"#)]),
        s.row(About::Url, CLEAN, &[get(url, 200, r#"{"result": {"score": 1}}"#)]),
        s.row(About::Url, UNKNOWN, &[get(url, 200, r#"{"result": {"score": null}}"#)]),
        s.row(About::Url, UNKNOWN, &[get(url, 404, r#"{"error": "Not found."}"#)]),
        s.row(About::Url, Expect::Fails(Cause::QuotaExceeded), &[get(url, 402, "{}")]),
        s.row(About::Ip, CLEAN, &[get("GET /ipr/192.0.2.7", 200, r#"{"score": 1}"#)]),
        s.row(About::Ip6, MALICIOUS, &[get("GET /ipr/2001:db8::1", 200, r#"{"score": 8.6}"#)]),
        s.row(About::Hash, MALICIOUS, &[get(hash, 200, r#"{"malware": {"risk": "high"}}"#)]),
        s.row(About::Check, Expect::Passes, &[get("GET /ipr/8.8.8.8", 200, r#"{"ip": "8.8.8.8", "score": 1}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get("GET /ipr/8.8.8.8", 401, "{}")]),
    ];
    rows.extend(s.failures(About::Url, get(url, 0, "")));
    rows
}

fn metadefender() -> Vec<Row> {
    let s = Service { kind: "metadefender", base: "/v4", key: Some(("apikey", KEY)) };
    let url = "GET /v4/url/http%3A%2F%2Fa.test%2F%3Fx%3D1%26y";
    let hash = "GET /v4/hash/275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let none = r#"{"error": {"code": 404003}}"#;
    let upload = |answer| post("POST /v4/file", "MZ the bytes of a file", 200, answer);
    let state = |answer| get("GET /v4/file/bzE3", 200, answer);
    let running = r#"{"scan_results": {"scan_all_result_i": 255, "progress_percentage": 40}}"#;
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[get(url, 200, r#"{"lookup_results": {"detected_by": 5}}"#)]),
        s.row(About::Url, SUSPICIOUS, &[get(url, 200, r#"{"lookup_results": {"detected_by": 1}}"#)]),
        s.row(About::Url, CLEAN, &[get(url, 200, r#"{"lookup_results": {"detected_by": 0}}"#)]),
        s.row(About::Url, UNKNOWN, &[get(url, 404, none)]),
        s.row(About::Ip, CLEAN, &[get("GET /v4/ip/192.0.2.7", 200, r#"{"lookup_results": {"detected_by": 0}}"#)]),
        s.row(About::Ip6, UNKNOWN, &[get("GET /v4/ip/2001:db8::1", 404, none)]),
        s.row(About::Hash, CLEAN, &[get(hash, 200, r#"{"scan_results": {"scan_all_result_i": 0}}"#)]),
        s.row(About::Hash, UNKNOWN, &[get(hash, 404, none)]),
        s.row(
            About::Hash,
            CLEAN,
            &[
                get(hash, 200, running),
                get(hash, 200, running),
                get(hash, 200, r#"{"scan_results": {"scan_all_result_i": 0, "progress_percentage": 100}}"#),
            ],
        ),
        s.row(About::File, MALICIOUS, &[get(hash, 200, r#"{"scan_results": {"scan_all_result_i": 1}}"#)]),
        s.row(
            About::File,
            MALICIOUS,
            &[
                get(hash, 404, none),
                upload(r#"{"data_id": "bzE3"}"#),
                state(running),
                state(running),
                state(r#"{"scan_results": {"scan_all_result_i": 1, "total_detected_avs": 9, "progress_percentage": 100}}"#),
            ],
        ),
        s.row(About::File, Expect::Fails(Cause::BadAnswer), &[get(hash, 404, none), upload(r#"{"data_id": "../apikey"}"#)]),
        s.row(About::Check, Expect::Passes, &[get("GET /v4/apikey", 200, "{}")]),
        s.row(About::Check, KEY_REJECTED, &[get("GET /v4/apikey", 401, "{}")]),
    ];
    rows.extend(s.failures(About::Url, get(url, 0, "")));
    rows.extend(s.failures(About::Hash, get(hash, 0, "")));
    rows
}

fn vmray() -> Vec<Row> {
    let s = Service { kind: "vmray", base: "", key: Some(("authorization", "api_key key+4711/0815")) };
    let hash = "GET /rest/sample/sha256/275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let sent = "sample_url=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y&shareable=false";
    let submit = "POST /rest/sample/submit";
    let taken = r#"{"result": "ok", "data": {"samples": [{"sample_id": 7}], "submissions": [{"submission_id": 11}]}}"#;
    let none = r#"{"result": "ok", "data": []}"#;
    let waiting = get("GET /rest/submission/11", 200, r#"{"result": "ok", "data": {"submission_finished": false}}"#);
    let finished = get("GET /rest/submission/11", 200, r#"{"result": "ok", "data": {"submission_finished": true}}"#);
    let sample = |answer| get("GET /rest/sample/7", 200, answer);
    let (bad, good) = (
        r#"{"result": "ok", "data": {"sample_verdict": "malicious"}}"#,
        r#"{"result": "ok", "data": {"sample_verdict": "clean"}}"#,
    );
    let analyses = "GET /rest/analysis?_limit=1";
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[post(submit, sent, 200, taken), waiting, finished, sample(bad)]),
        s.row(About::Url, CLEAN, &[post(submit, sent, 200, taken), finished, sample(good)]),
        s.row(
            About::Url,
            Expect::Fails(Cause::QuotaExceeded),
            &[post(submit, sent, 200, taken), get("GET /rest/submission/11", 429, "{}")],
        ),
        s.row(About::Hash, SUSPICIOUS, &[get(hash, 200, r#"{"result": "ok", "data": [{"sample_verdict": "suspicious"}]}"#)]),
        s.row(About::Hash, UNKNOWN, &[get(hash, 200, none)]),
        s.row(About::File, CLEAN, &[get(hash, 200, r#"{"result": "ok", "data": [{"sample_verdict": "clean"}]}"#)]),
        s.row(
            About::File,
            MALICIOUS,
            &[get(hash, 404, "{}"), post(submit, "MZ the bytes of a file", 200, taken), finished, sample(bad)],
        ),
        s.row(About::Check, Expect::Passes, &[get(analyses, 200, none)]),
        s.row(About::Check, KEY_REJECTED, &[get(analyses, 401, "{}")]),
    ];
    rows.extend(s.failures(About::Url, post(submit, sent, 0, "")));
    rows.extend(s.failures(About::Hash, get(hash, 0, "")));
    rows
}

fn anyrun() -> Vec<Row> {
    let s = Service { kind: "anyrun", base: "/v1", key: Some(("authorization", "API-Key key+4711/0815")) };
    let sent = "obj_type=url&obj_url=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y&opt_privacy_type=owner";
    let (submit, state) = ("POST /v1/analysis", "GET /v1/analysis/0cf2-53");
    let taken = r#"{"error": false, "data": {"taskid": "0cf2-53"}}"#;
    let running = get(state, 200, r#"{"error": false, "data": {"status": "running"}}"#);
    let bad =
        r#"{"error": false, "data": {"status": "done", "analysis": {"scores": {"verdict": {"threatLevel": 2, "score": 100}}}}}"#;
    let good = r#"{"error": false, "data": {"status": "done", "analysis": {"scores": {"verdict": {"threatLevelText": "No threats detected"}}}}}"#;
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[post(submit, sent, 200, taken), get(state, 404, ""), running, get(state, 200, bad)]),
        s.row(About::Url, CLEAN, &[post(submit, sent, 200, taken), get(state, 200, good)]),
        s.row(About::File, MALICIOUS, &[post(submit, "MZ the bytes of a file", 200, taken), get(state, 200, bad)]),
        s.row(About::Hash, Expect::Fails(Cause::Excluded), &[]),
        s.row(About::Check, Expect::Passes, &[get("GET /v1/user", 200, r#"{"error": false, "data": {}}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get("GET /v1/user", 401, "{}")]),
    ];
    rows.extend(s.failures(About::Url, post(submit, sent, 0, "")));
    rows
}

fn urlscan() -> Vec<Row> {
    let s = Service { kind: "urlscan", base: "/api/v1", key: Some(("api-key", KEY)) };
    let (submit, result) = ("POST /api/v1/scan", "GET /api/v1/result/68e2-d7");
    let sent = r#""url":"http://a.test/?x=1&y","visibility":"private""#;
    let taken = r#"{"uuid": "68e2-d7"}"#;
    let early = get(result, 404, r#"{"message": "Scan is not finished yet", "status": 404}"#);
    let verdict = |answer| get(result, 200, answer);
    let quotas = "GET /user/quotas/";
    let mut rows = vec![
        s.row(
            About::Url,
            MALICIOUS,
            &[
                post(submit, sent, 200, taken),
                early,
                early,
                verdict(r#"{"verdicts": {"overall": {"score": 100, "malicious": true}}}"#),
            ],
        ),
        s.row(
            About::Url,
            SUSPICIOUS,
            &[post(submit, sent, 200, taken), verdict(r#"{"verdicts": {"overall": {"score": 30, "malicious": false}}}"#)],
        ),
        s.row(
            About::Url,
            CLEAN,
            &[post(submit, sent, 200, taken), verdict(r#"{"verdicts": {"overall": {"score": 0, "malicious": false}}}"#)],
        ),
        s.row(About::Url, Expect::Fails(Cause::BadAnswer), &[post(submit, sent, 200, taken), verdict(r#"{"page": {}}"#)]),
        s.row(
            About::Url,
            Expect::Fails(Cause::EngineError),
            &[post(submit, sent, 400, r#"{"message": "DNS Error", "status": 400}"#)],
        ),
        s.row(About::Url, KEY_REJECTED, &[post(submit, sent, 400, r#"{"message": "Malformed API key", "status": 400}"#)]),
        s.row(About::Check, Expect::Passes, &[get(quotas, 200, r#"{"source": "user", "limits": {}}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get(quotas, 200, r#"{"source": "ip", "limits": {}}"#)]),
    ];
    rows.extend(s.failures(About::Url, post(submit, sent, 0, "")));
    rows
}

fn abuseipdb() -> Vec<Row> {
    let s = Service { kind: "abuseipdb", base: "/api/v2", key: Some(("key", KEY)) };
    let ip = "GET /api/v2/check?ipAddress=192.0.2.7&maxAgeInDays=90";
    let ip6 = "GET /api/v2/check?ipAddress=2001:db8::1&maxAgeInDays=90";
    let known = "GET /api/v2/check?ipAddress=8.8.8.8&maxAgeInDays=90";
    let mut rows = vec![
        s.row(About::Ip, MALICIOUS, &[get(ip, 200, r#"{"data": {"abuseConfidenceScore": 100, "totalReports": 40}}"#)]),
        s.row(About::Ip6, SUSPICIOUS, &[get(ip6, 200, r#"{"data": {"abuseConfidenceScore": 40}}"#)]),
        s.row(About::Ip, CLEAN, &[get(ip, 200, r#"{"data": {"abuseConfidenceScore": 0}}"#)]),
        s.row(About::Check, Expect::Passes, &[get(known, 200, r#"{"data": {"abuseConfidenceScore": 0}}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get(known, 401, "{}")]),
    ];
    rows.extend(s.failures(About::Ip, get(ip, 0, "")));
    rows
}

fn urlhaus() -> Vec<Row> {
    let s = Service { kind: "urlhaus", base: "/v1", key: Some(("auth-key", KEY)) };
    let (url, sent) = ("POST /v1/url/", "url=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y");
    let (host, payload) = ("POST /v1/host/", "POST /v1/payload/");
    let hash = "sha256_hash=275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let (bad, none) = (r#"{"query_status": "ok", "url_status": "online"}"#, r#"{"query_status": "no_results"}"#);
    let wrong = r#"{"query_status": "unknown_auth_key"}"#;
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[post(url, sent, 200, bad)]),
        s.row(About::Url, UNKNOWN, &[post(url, sent, 200, none)]),
        s.row(About::Url, KEY_REJECTED, &[post(url, sent, 200, wrong)]),
        s.row(About::Ip, UNKNOWN, &[post(host, "host=192.0.2.7", 200, none)]),
        s.row(About::Ip6, Expect::Fails(Cause::Excluded), &[]),
        s.row(About::Hash, MALICIOUS, &[post(payload, hash, 200, r#"{"query_status": "ok", "signature": "Heodo"}"#)]),
        s.row(About::Check, Expect::Passes, &[post(host, "host=example.com", 200, none)]),
        s.row(About::Check, KEY_REJECTED, &[post(host, "host=example.com", 200, wrong)]),
    ];
    rows.extend(s.failures(About::Url, post(url, sent, 0, "")));
    rows
}

fn otx() -> Vec<Row> {
    let s = Service { kind: "otx", base: "/api/v1", key: Some(("x-otx-api-key", KEY)) };
    let url = "GET /api/v1/indicators/url/http%3A%2F%2Fa.test%2F%3Fx%3D1%26y/general";
    let (ip, ip6) = ("GET /api/v1/indicators/IPv4/192.0.2.7/general", "GET /api/v1/indicators/IPv6/2001:db8::1/general");
    let hash = "GET /api/v1/indicators/file/275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f/general";
    let (some, none) = (r#"{"pulse_info": {"count": 12}}"#, r#"{"pulse_info": {"count": 0}}"#);
    let mut rows = vec![
        s.row(About::Url, SUSPICIOUS, &[get(url, 200, some)]),
        s.row(About::Url, UNKNOWN, &[get(url, 200, none)]),
        s.row(About::Ip, UNKNOWN, &[get(ip, 404, "{}")]),
        s.row(About::Ip6, SUSPICIOUS, &[get(ip6, 200, some)]),
        s.row(About::Hash, SUSPICIOUS, &[get(hash, 200, some)]),
        s.row(About::Check, Expect::Passes, &[get("GET /api/v1/user/me", 200, r#"{"username": "a"}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get("GET /api/v1/user/me", 403, "{}")]),
    ];
    rows.extend(s.failures(About::Url, get(url, 0, "")));
    rows
}

fn custom_http() -> Vec<Row> {
    let s = Service { kind: "custom_http", base: "/api", key: Some(("authorization", KEY)) };
    let url = "GET /api/lookup?kind=url&value=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y";
    let hash = "GET /api/lookup?kind=hash&value=275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let harmless = "GET /api/lookup?kind=url&value=https%3A%2F%2Fexample.com%2F";
    let mut rows = vec![
        s.row(About::Url, MALICIOUS, &[get(url, 200, r#"{"verdict": "Malicious"}"#)]),
        s.row(About::Url, SUSPICIOUS, &[get(url, 200, r#"{"verdict": "suspicious"}"#)]),
        s.row(About::Url, CLEAN, &[get(url, 200, r#"{"verdict": "clean"}"#)]),
        s.row(About::Url, UNKNOWN, &[get(url, 404, "{}")]),
        s.row(About::Url, Expect::Fails(Cause::BadAnswer), &[get(url, 200, r#"{"verdict": "perhaps"}"#)]),
        s.row(About::Ip6, UNKNOWN, &[get("GET /api/lookup?kind=ip&value=2001%3Adb8%3A%3A1", 200, r#"{"verdict": null}"#)]),
        s.row(About::Ip, CLEAN, &[get("GET /api/lookup?kind=ip&value=192.0.2.7", 200, r#"{"verdict": false}"#)]),
        s.row(About::File, MALICIOUS, &[get(hash, 200, r#"{"verdict": true}"#)]),
        s.row(About::Check, Expect::Passes, &[get(harmless, 200, r#"{"verdict": "clean"}"#)]),
        s.row(About::Check, KEY_REJECTED, &[get(harmless, 401, "{}")]),
    ];
    rows.extend(s.failures(About::Url, get(url, 0, "")));
    rows
}
