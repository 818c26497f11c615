//! Google Safe Browsing, Lookup API v4.
//!
//! | What it says | Verdict |
//! |---|---|
//! | `matches` with an entry | malicious |
//! | an empty object, or `matches` without an entry | clean |
//!
//! **Not confirmed**: the field `matches` ([`finding`]), 429 for a quota.

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed};
use gatehouse_platform::engine::{Engine, EngineContext, EngineFailure, FileContent, Finding};
use serde_json::{Value, json};

use crate::{
    google::{listed, not_listed, read, with_key},
    service::{Asked, Document, accepted, asked, asking, cannot},
};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "google_safe_browsing",
    label: "Google Safe Browsing",
    summary: "Asks whether a URL is on Google's lists of phishing, malware and unwanted software.",
    api_url: "https://safebrowsing.googleapis.com",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: false, attachment: false },
    starts_with: Capabilities { url: true, sender_ip: false, attachment: false },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &["Google licenses Safe Browsing for non-commercial use only. Companies use Google Web Risk instead."],
    options: &[],
    timeout_s: 30,
};

/// See the module.
pub struct SafeBrowsing;

#[async_trait]
impl Engine for SafeBrowsing {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for the names of the lists: that needs a key and looks nothing up.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        let request = cx.get(&with_key(cx, "/v4/threatLists"))?;
        let lists = read(&SPEC, &cx.send(request).await?)?;
        lists.list("/threatLists")?;
        Ok(accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let Asked::Url(url) = asked(&SPEC, indicator)? else {
            return Err(cannot(&SPEC, "anything but URLs"));
        };
        let path = with_key(cx, "/v4/threatMatches:find");
        let request = asking(cx.post(&path, "application/json", question(url).to_string())?);
        finding(&read(&SPEC, &cx.send(request).await?)?, url)
    }
}

fn question(url: &str) -> Value {
    json!({
        "client": {"clientId": "gatehouse", "clientVersion": env!("CARGO_PKG_VERSION")},
        "threatInfo": {
            "threatTypes": ["MALWARE", "SOCIAL_ENGINEERING", "UNWANTED_SOFTWARE", "POTENTIALLY_HARMFUL_APPLICATION"],
            "platformTypes": ["ANY_PLATFORM"],
            "threatEntryTypes": ["URL"],
            "threatEntries": [{"url": url}],
        },
    })
}

fn finding(document: &Document, url: &str) -> Result<Finding, EngineFailure> {
    // Only the empty object means clean: one with other fields is not this service's.
    if document.value().as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(not_listed(url));
    }
    let matches = document.list("/matches")?;
    if matches.is_empty() {
        return Ok(not_listed(url));
    }
    Ok(listed(url, matches.iter().map(|entry| entry["threatType"].as_str().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Cause, IndicatorKind, Verdict};

    use super::*;
    use crate::script::{ask, check, evidence};

    const ASKED: &str = "POST /v4/threatMatches:find?key=key%2B4711%2F0815";

    #[tokio::test]
    async fn matches_are_malicious_and_the_empty_object_is_clean() {
        let body = r#"{"matches": [
            {"threatType": "SOCIAL_ENGINEERING", "platformType": "ANY_PLATFORM", "threat": {"url": "http://a.test/"}},
            {"threatType": "MALWARE"}, {"threatType": "MALWARE"}, {"threatType": "SOMETHING_NEW"}]}"#;
        let (outcome, script) = ask(&SafeBrowsing, IndicatorKind::Url, "http://a.test/", &[(ASKED, 200, body)]).await;
        let found = outcome.unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(
            evidence(&found),
            ["Listed as: social engineering (phishing)", "Listed as: malware", "Listed as: another list"]
        );
        let sent: Value = serde_json::from_str(&script.body(0)).unwrap();
        assert_eq!(sent["threatInfo"]["threatEntries"][0]["url"], "http://a.test/");

        for (body, expected) in [
            ("{}", Ok(Verdict::Clean)),
            (r#"{"matches": []}"#, Ok(Verdict::Clean)),
            (r#"{"hello": "world"}"#, Err(Cause::BadAnswer)),
            (r#"{"matches": null}"#, Err(Cause::BadAnswer)),
            ("[]", Err(Cause::BadAnswer)),
            ("", Err(Cause::BadAnswer)),
        ] {
            let (outcome, _) = ask(&SafeBrowsing, IndicatorKind::Url, "http://a.test/", &[(ASKED, 200, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{body}");
        }
    }

    #[tokio::test]
    async fn a_wrong_key_is_a_400_with_a_reason() {
        let wrong = r#"{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID", "domain": "googleapis.com"}]}}"#;
        let other = r#"{"error": {"code": 400, "message": "Invalid JSON payload received.", "status": "INVALID_ARGUMENT"}}"#;
        for (status, body, cause) in [
            (400, wrong, Cause::KeyRejected),
            (400, other, Cause::EngineError),
            (403, "{}", Cause::KeyRejected),
            (404, "{}", Cause::BadAnswer),
            (429, "{}", Cause::QuotaExceeded),
            (503, "", Cause::EngineError),
        ] {
            let (outcome, _) = ask(&SafeBrowsing, IndicatorKind::Url, "http://a.test/", &[(ASKED, status, body)]).await;
            assert_eq!(outcome.unwrap_err().cause, cause, "{status} {body}");
            let asked = "GET /v4/threatLists?key=key%2B4711%2F0815";
            assert_eq!(check(&SafeBrowsing, &[(asked, status, body)]).await, Err(cause));
        }
        let asked = "GET /v4/threatLists?key=key%2B4711%2F0815";
        assert!(check(&SafeBrowsing, &[(asked, 200, r#"{"threatLists": []}"#)]).await.is_ok());
        assert_eq!(check(&SafeBrowsing, &[(asked, 200, "{}")]).await, Err(Cause::BadAnswer));
    }

    #[tokio::test]
    async fn other_indicators_are_not_sent() {
        let (outcome, _) = ask(&SafeBrowsing, IndicatorKind::Ip, "192.0.2.1", &[]).await;
        assert_eq!(outcome.unwrap_err().cause, Cause::Excluded);
    }
}
