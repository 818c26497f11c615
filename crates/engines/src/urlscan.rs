//! urlscan.io, API v1.
//!
//! | What it says (`verdicts.overall`) | Verdict |
//! |---|---|
//! | `malicious` is true | malicious |
//! | else `score` above 0 | suspicious |
//! | else | clean |
//!
//! A URL is submitted with the visibility `private`, and the result asked for until it is there (404 until then).
//!
//! **Not confirmed** by the documentation as we have it, though public clients do the same: the field `verdicts.overall`
//! ([`OVERALL`]); the address of the allowances ([`quotas`]); that its `source` tells whose they are ([`UrlScan::check`]); how
//! a malformed key is told from a URL that urlscan.io does not take ([`refused`]); 429 for a quota.

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineSpec, Indicator, KeyNeed, TestTarget, Verdict, integration::origin};
use gatehouse_platform::{
    door::{OutAnswer, OutRequest, Retry},
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};
use serde_json::json;

use crate::service::{
    Asked, Document, Pace, Reply, accepted, asked, bad_answer, cannot, document, key_rejected, look_up, read, refusal, with,
};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "urlscan",
    label: "urlscan.io",
    summary: "Opens a URL in urlscan.io's browsers and tells what the page does and whom it imitates.",
    api_url: "https://urlscan.io/api/v1",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: false, attachment: false },
    starts_with: Capabilities { url: true, sender_ip: false, attachment: false },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &[
        "urlscan.io's browsers visit the URL: whoever runs the page sees a visit, and links that work once are used up. Scans are private.",
    ],
    options: &[],
    timeout_s: 600,
};

/// A result lists every request of the page.
const MAX_RESULT: usize = 8 * 1024 * 1024;

/// See the module.
pub struct UrlScan;

#[async_trait]
impl Engine for UrlScan {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for the allowances. urlscan.io answers that without a key as well, so the answer alone proves nothing: it must
    /// say whose allowances they are.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        let request = cx.request("GET", quotas(cx)?, Retry::Safe);
        let answer = cx.send(with(request, "api-key", cx.api_key.clone())).await?;
        let allowances = match read(&SPEC, &answer) {
            Ok(Reply::Known(document)) => document,
            Ok(Reply::Unknown) => return Err(bad_answer(&SPEC, "there are no allowances").with_status(404)),
            // It has nothing to refuse but the key.
            Err(_) if answer.status == 400 => return Err(key_rejected(&SPEC).with_status(400)),
            Err(failure) => return Err(failure),
        };
        allowances.get("/limits").ok_or_else(|| allowances.lacks("/limits"))?;
        match allowances.text("/source") {
            Ok("user" | "team") => Ok(accepted(&SPEC)),
            Ok("ip" | "ip-address" | "anonymous") => Err(key_rejected(&SPEC)),
            _ => Ok(format!(
                "{} was reached and does not object to the {}. Whether it accepts it shows with the first scan only.",
                SPEC.label, SPEC.key_label
            )),
        }
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let Asked::Url(url) = asked(&SPEC, indicator)? else {
            return Err(cannot(&SPEC, "anything but URLs"));
        };
        let order = json!({"url": url, "visibility": "private"}).to_string();
        let answer = cx.send(key(cx, cx.post("/scan", "application/json", order)?)).await?;
        if answer.status == 400 {
            return Err(refused(&answer));
        }
        let Reply::Known(taken) = read(&SPEC, &answer)? else {
            return Err(refusal(&SPEC, &answer));
        };
        let scan = taken.id("/uuid")?;
        let mut pace = Pace::new(cx);
        loop {
            pace.wait(cx, "Waiting for urlscan.io to visit the page").await?;
            let mut request = key(cx, cx.get(&format!("/result/{scan}"))?);
            request.max_answer = MAX_RESULT;
            if let Reply::Known(result) = pace.ask(cx, look_up(cx, &SPEC, request)).await? {
                return Ok(finding(&result)?.see(format!("https://urlscan.io/result/{scan}/")));
            }
        }
    }
}

fn key(cx: &EngineContext, request: OutRequest) -> OutRequest {
    with(request, "api-key", cx.api_key.clone())
}

/// The allowances are not below the API URL but beside it.
fn quotas(cx: &EngineContext) -> Result<TestTarget, EngineFailure> {
    TestTarget::parse(&format!("{}/user/quotas/", origin(&cx.api_url))).map_err(|_| bad_answer(&SPEC, "no address"))
}

/// A 400 to a scan: the key is malformed, or urlscan.io does not take the URL.
fn refused(answer: &OutAnswer) -> EngineFailure {
    let about_the_key = document(&SPEC, answer).is_ok_and(|error| {
        ["/message", "/description"]
            .iter()
            .any(|field| error.text(field).is_ok_and(|text| text.to_lowercase().contains("api key")))
    });
    if about_the_key {
        return key_rejected(&SPEC).with_status(400);
    }
    EngineFailure::new(Cause::EngineError, format!("{} does not take this URL (status 400).", SPEC.label))
        .with_status(400)
        .with_hint("Its name may not resolve, or it is on urlscan.io's list of what it does not visit.")
}

/// Where the verdict is.
const OVERALL: &str = "/verdicts/overall";

fn finding(result: &Document) -> Result<Finding, EngineFailure> {
    let malicious = result.flag(&format!("{OVERALL}/malicious"))?;
    let score = result.number(&format!("{OVERALL}/score"));
    let verdict = match (malicious, &score) {
        (true, _) => Verdict::Malicious,
        (false, Ok(score)) if *score > 0.0 => Verdict::Suspicious,
        (false, Ok(_)) => Verdict::Clean,
        (false, Err(lacking)) => return Err(lacking.clone()),
    };
    let mut found = Finding::of(verdict);
    if let Ok(score) = score {
        found = found.because("Score", format!("{score} of 100"));
    }
    if let Some(category) = result.words(&format!("{OVERALL}/categories/0")) {
        found = found.because("Category", category);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::IndicatorKind;

    use super::*;
    use crate::script::{KEY, ask, check, evidence};

    const SCAN: &str = "68e26c59-2eae-437b-aeb1-cf750fafe7d7";

    async fn outcome(results: &[(u16, &str)]) -> Result<Finding, EngineFailure> {
        let taken = format!(r#"{{"message": "Submission successful", "uuid": "{SCAN}", "visibility": "private"}}"#);
        let asked = format!("GET /api/v1/result/{SCAN}");
        let mut steps = vec![("POST /api/v1/scan", 200, taken.as_str())];
        steps.extend(results.iter().map(|(status, body)| (asked.as_str(), *status, *body)));
        let (outcome, script) = ask(&UrlScan, IndicatorKind::Url, "http://a.test/\"x", &steps).await;
        let sent: serde_json::Value = serde_json::from_str(&script.body(0)).unwrap();
        assert_eq!(sent, json!({"url": "http://a.test/\"x", "visibility": "private"}));
        assert!((0..steps.len()).all(|n| script.header(n, "api-key").as_deref() == Some(KEY)));
        assert!(script.requests.lock().unwrap().iter().all(|request| request.max_answer <= 8 << 20));
        outcome
    }

    #[tokio::test]
    async fn a_scan_is_waited_for() {
        let early = r#"{"message": "Scan is not finished yet", "status": 404}"#;
        let done = r#"{"verdicts": {"overall": {"score": 90, "malicious": true, "categories": ["phishing\u0007"]}}}"#;
        let found = outcome(&[(404, early), (404, early), (200, done)]).await.unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(evidence(&found), ["Score: 90 of 100", "Category: phishing"]);
        assert_eq!(found.link, Some(format!("https://urlscan.io/result/{SCAN}/")));
    }

    #[tokio::test]
    async fn verdicts_and_failures() {
        for (status, body, expected) in [
            (200, r#"{"verdicts": {"overall": {"score": 20, "malicious": false}}}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"verdicts": {"overall": {"score": 0, "malicious": false}}}"#, Ok(Verdict::Clean)),
            (200, r#"{"verdicts": {"overall": {"score": -10, "malicious": false}}}"#, Ok(Verdict::Clean)),
            (200, r#"{"verdicts": {"overall": {"malicious": true}}}"#, Ok(Verdict::Malicious)),
            (200, r#"{"verdicts": {"overall": {"malicious": false}}}"#, Err(Cause::BadAnswer)),
            (200, r#"{"verdicts": {"overall": {"score": 0}}}"#, Err(Cause::BadAnswer)),
            (200, r#"{"page": {}}"#, Err(Cause::BadAnswer)),
            (404, "<html>", Err(Cause::BadAnswer)),
            (429, "{}", Err(Cause::QuotaExceeded)),
            (500, "{}", Err(Cause::EngineError)),
        ] {
            let found = outcome(&[(status, body)]).await;
            assert_eq!(found.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn refused_scans() {
        for (status, body, cause) in [
            (400, r#"{"message": "DNS Error - Could not resolve domain", "status": 400}"#, Cause::EngineError),
            (400, r#"{"message": "Malformed API key", "status": 400}"#, Cause::KeyRejected),
            (400, "", Cause::EngineError),
            (401, "{}", Cause::KeyRejected),
            (404, "{}", Cause::BadAnswer),
            (429, "{}", Cause::QuotaExceeded),
            (200, "{}", Cause::BadAnswer),
            (200, r#"{"uuid": "a/b"}"#, Cause::BadAnswer),
        ] {
            let (outcome, _) = ask(&UrlScan, IndicatorKind::Url, "http://a.test/", &[("POST /api/v1/scan", status, body)]).await;
            assert_eq!(outcome.unwrap_err().cause, cause, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn the_check_does_not_trust_an_answer_alone() {
        let asked = "GET /user/quotas/";
        let user = check(&UrlScan, &[(asked, 200, r#"{"source": "user", "limits": {}}"#)]).await.unwrap();
        assert!(user.contains("accepts"));
        let unsaid = check(&UrlScan, &[(asked, 200, r#"{"limits": {}}"#)]).await.unwrap();
        assert!(!unsaid.contains("accepts the"), "{unsaid}");
        for (status, body, cause) in [
            (200, r#"{"source": "ip", "limits": {}}"#, Cause::KeyRejected),
            (400, "{}", Cause::KeyRejected),
            (401, "{}", Cause::KeyRejected),
            (404, "{}", Cause::BadAnswer),
            (200, "{}", Cause::BadAnswer),
            (503, "{}", Cause::EngineError),
        ] {
            assert_eq!(check(&UrlScan, &[(asked, status, body)]).await, Err(cause), "{status} {body}");
        }
    }
}
