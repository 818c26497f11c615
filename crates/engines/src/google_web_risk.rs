//! Google Web Risk, Lookup API v1.
//!
//! | What it says | Verdict |
//! |---|---|
//! | `threat.threatTypes` with an entry | malicious |
//! | an empty object | clean |
//!
//! **Not confirmed**: 403 for a key without the right, 429 for a quota.

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed};
use gatehouse_platform::engine::{Engine, EngineContext, EngineFailure, FileContent, Finding};
use serde_json::Value;

use crate::{
    google::{HARMLESS, listed, not_listed, read, with_key},
    service::{Asked, Document, accepted, asked, cannot, encode},
};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "google_web_risk",
    label: "Google Web Risk",
    summary: "Asks whether a URL is on Google's lists of phishing, malware and unwanted software; for commercial use.",
    api_url: "https://webrisk.googleapis.com/v1",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: false, attachment: false },
    starts_with: Capabilities { url: true, sender_ip: false, attachment: false },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &["Google charges for look-ups. Test Connection makes one."],
    options: &[],
    timeout_s: 30,
};

/// See the module.
pub struct WebRisk;

#[async_trait]
impl Engine for WebRisk {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Looks a harmless URL up: there is no lesser call.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        search(cx, HARMLESS).await.map(|_| accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        match asked(&SPEC, indicator)? {
            Asked::Url(url) => search(cx, url).await,
            _ => Err(cannot(&SPEC, "anything but URLs")),
        }
    }
}

async fn search(cx: &EngineContext, url: &str) -> Result<Finding, EngineFailure> {
    let types = "threatTypes=MALWARE&threatTypes=SOCIAL_ENGINEERING&threatTypes=UNWANTED_SOFTWARE";
    let request = cx.get(&with_key(cx, &format!("/uris:search?uri={}&{types}", encode(url))))?;
    finding(&read(&SPEC, &cx.send(request).await?)?, url)
}

fn finding(document: &Document, url: &str) -> Result<Finding, EngineFailure> {
    // Only the empty object means clean: one with other fields is not this service's.
    if document.value().as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(not_listed(url));
    }
    let types = document.list("/threat/threatTypes")?;
    let found = listed(url, types.iter().map(|kind| kind.as_str().unwrap_or_default()));
    Ok(match document.get("/threat/expireTime").and_then(Value::as_str).filter(|time| is_time(time)) {
        Some(time) => found.because("Until", time),
        None => found,
    })
}

/// `2026-11-22T10:00:00.123Z` and the like.
fn is_time(text: &str) -> bool {
    text.len() <= 35 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b'+' | b'T' | b'Z'))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Cause, IndicatorKind, Verdict};

    use super::*;
    use crate::script::{ask, check, evidence};

    const ASKED: &str = "GET /v1/uris:search?uri=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y&threatTypes=MALWARE\
        &threatTypes=SOCIAL_ENGINEERING&threatTypes=UNWANTED_SOFTWARE&key=key%2B4711%2F0815";
    const URL: &str = "http://a.test/?x=1&y";

    #[tokio::test]
    async fn a_threat_is_malicious_and_the_empty_object_is_clean() {
        let body = r#"{"threat": {"threatTypes": ["MALWARE"], "expireTime": "2026-11-22T10:00:00.5Z"}}"#;
        let (outcome, _) = ask(&WebRisk, IndicatorKind::Url, URL, &[(ASKED, 200, body)]).await;
        let found = outcome.unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(evidence(&found), ["Listed as: malware", "Until: 2026-11-22T10:00:00.5Z"]);
        for (status, body, expected) in [
            (200, "{}", Ok(Verdict::Clean)),
            (200, r#"{"threat": {}}"#, Err(Cause::BadAnswer)),
            (200, r#"{"x": 1}"#, Err(Cause::BadAnswer)),
            (200, "null", Err(Cause::BadAnswer)),
            (400, r#"{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}"#, Err(Cause::KeyRejected)),
            (403, "", Err(Cause::KeyRejected)),
            (429, "", Err(Cause::QuotaExceeded)),
        ] {
            let (outcome, _) = ask(&WebRisk, IndicatorKind::Url, URL, &[(ASKED, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn the_check_looks_up_a_harmless_url() {
        let asked = "GET /v1/uris:search?uri=https%3A%2F%2Fexample.com%2F&threatTypes=MALWARE\
            &threatTypes=SOCIAL_ENGINEERING&threatTypes=UNWANTED_SOFTWARE&key=key%2B4711%2F0815";
        assert!(check(&WebRisk, &[(asked, 200, "{}")]).await.is_ok());
        assert_eq!(check(&WebRisk, &[(asked, 403, "{}")]).await, Err(Cause::KeyRejected));
    }
}
