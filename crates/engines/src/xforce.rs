//! IBM X-Force Exchange.
//!
//! | What it says | Verdict |
//! |---|---|
//! | risk score (`result.score` of a URL, `score` of an address) 7 or more | malicious |
//! | 4 or more | suspicious |
//! | less | clean |
//! | no score (`null`); 404 | unknown |
//! | `malware.risk` of a hash: `high`, `medium`, `low` | malicious, suspicious, clean |
//!
//! **Not confirmed**: 402 for a used-up allowance (429 is taken for the same).

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

use crate::service::{Asked, Document, Reply, accepted, asked, basic, encode, fetch, look_up, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "xforce",
    label: "IBM X-Force Exchange",
    summary: "Asks for IBM's risk score of a URL, an IP address or a file's hash.",
    api_url: "https://api.xforce.ibmcloud.com",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: true, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: true, attachment: true },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: Some("API password"),
    threshold: None,
    uploads: false,
    dns: false,
    notes: &["Attachments are looked up by their hash; the files themselves are not sent."],
    options: &[],
    timeout_s: 30,
};

/// From which score on.
const MALICIOUS: f64 = 7.0;
const SUSPICIOUS: f64 = 4.0;

/// See the module.
pub struct XForce;

#[async_trait]
impl Engine for XForce {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks about a well-known address: there is no lesser call.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        let known = fetch(cx, &SPEC, get(cx, "/ipr/8.8.8.8")?).await?;
        known.text("/ip")?;
        Ok(accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let asked = asked(&SPEC, indicator)?;
        match look_up(cx, &SPEC, get(cx, &path(asked))?).await? {
            Reply::Known(document) => finding(&document, asked),
            Reply::Unknown => Ok(Finding::of(Verdict::Unknown)),
        }
    }
}

fn get(cx: &EngineContext, path: &str) -> Result<OutRequest, EngineFailure> {
    Ok(with(cx.get(path)?, "authorization", basic(&cx.api_key, &cx.api_password)))
}

fn path(asked: Asked<'_>) -> String {
    match asked {
        Asked::Url(url) => format!("/url/{}", encode(url)),
        Asked::Ip(ip) => format!("/ipr/{ip}"),
        Asked::Hash(hash) => format!("/malware/{hash}"),
    }
}

fn finding(document: &Document, asked: Asked<'_>) -> Result<Finding, EngineFailure> {
    let (found, page) = match asked {
        Asked::Url(url) => (scored(document, "/result", "/result/score")?, format!("url/{}", encode(url))),
        Asked::Ip(ip) => (scored(document, "", "/score")?, format!("ip/{ip}")),
        Asked::Hash(hash) => {
            let (verdict, risk) = match document.text("/malware/risk")? {
                "high" => (Verdict::Malicious, "high"),
                "medium" => (Verdict::Suspicious, "medium"),
                "low" => (Verdict::Clean, "low"),
                _ => return Err(document.lacks("/malware/risk")),
            };
            (Finding::of(verdict).because("Risk", risk), format!("malware/{hash}"))
        }
    };
    Ok(found.see(format!("https://exchange.xforce.ibmcloud.com/{page}")))
}

/// `score` is null for what has not been rated; then `holder` is there all the same.
fn scored(document: &Document, holder: &str, score: &str) -> Result<Finding, EngineFailure> {
    let rated = document.value().pointer(score);
    if rated.is_some_and(serde_json::Value::is_null) && document.get(holder).is_some() {
        return Ok(Finding::of(Verdict::Unknown).because("Risk score", "not rated"));
    }
    let score = document.number(score)?;
    let verdict = match score {
        score if score >= MALICIOUS => Verdict::Malicious,
        score if score >= SUSPICIOUS => Verdict::Suspicious,
        _ => Verdict::Clean,
    };
    Ok(Finding::of(verdict).because("Risk score", format!("{score} of 10")))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Cause, IndicatorKind};

    use super::*;
    use crate::script::{ask, check, evidence};

    #[tokio::test]
    async fn scores_become_verdicts() {
        let asked = "GET /url/http%3A%2F%2Fa.test%2F%3Fx%3D1";
        for (status, body, expected) in [
            (200, r#"{"result": {"url": "a.test", "score": 7.1}}"#, Ok(Verdict::Malicious)),
            (200, r#"{"result": {"url": "a.test", "score": 4}}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"result": {"url": "a.test", "score": 1}}"#, Ok(Verdict::Clean)),
            (200, r#"{"result": {"url": "a.test", "score": null}}"#, Ok(Verdict::Unknown)),
            (200, r#"{"result": {"url": "a.test"}}"#, Err(Cause::BadAnswer)),
            (200, "{}", Err(Cause::BadAnswer)),
            (404, r#"{"error": "Not found."}"#, Ok(Verdict::Unknown)),
            (401, r#"{"error": "Not authorized."}"#, Err(Cause::KeyRejected)),
            (402, r#"{"error": "Monthly quota exceeded"}"#, Err(Cause::QuotaExceeded)),
            (429, "", Err(Cause::QuotaExceeded)),
            (500, "", Err(Cause::EngineError)),
        ] {
            let (outcome, script) = ask(&XForce, IndicatorKind::Url, "http://a.test/?x=1", &[(asked, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
            // key+4711/0815:pass:word-4712
            assert_eq!(script.header(0, "authorization").as_deref(), Some("Basic a2V5KzQ3MTEvMDgxNTpwYXNzOndvcmQtNDcxMg=="));
        }
    }

    #[tokio::test]
    async fn addresses_and_hashes() {
        let (outcome, _) =
            ask(&XForce, IndicatorKind::Ip, "2001:db8::1", &[("GET /ipr/2001:db8::1", 200, r#"{"score": 8.6}"#)]).await;
        let found = outcome.unwrap();
        assert_eq!((found.verdict, evidence(&found)), (Verdict::Malicious, vec!["Risk score: 8.6 of 10".to_string()]));
        let hash = "44d88612fea8a8f36de82e1278abb02f";
        let asked = format!("GET /malware/{hash}");
        for (body, expected) in [
            (r#"{"malware": {"risk": "high"}}"#, Ok(Verdict::Malicious)),
            (r#"{"malware": {"risk": "medium"}}"#, Ok(Verdict::Suspicious)),
            (r#"{"malware": {"risk": "low"}}"#, Ok(Verdict::Clean)),
            (r#"{"malware": {"risk": "<b>"}}"#, Err(Cause::BadAnswer)),
            (r#"{"malware": {}}"#, Err(Cause::BadAnswer)),
        ] {
            let (outcome, _) = ask(&XForce, IndicatorKind::Hash, hash, &[(&asked, 200, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{body}");
        }
    }

    #[tokio::test]
    async fn the_check_asks_about_a_known_address() {
        assert!(check(&XForce, &[("GET /ipr/8.8.8.8", 200, r#"{"ip": "8.8.8.8", "score": 1}"#)]).await.is_ok());
        assert_eq!(check(&XForce, &[("GET /ipr/8.8.8.8", 401, "{}")]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&XForce, &[("GET /ipr/8.8.8.8", 404, "{}")]).await, Err(Cause::BadAnswer));
        assert_eq!(check(&XForce, &[("GET /ipr/8.8.8.8", 200, "{}")]).await, Err(Cause::BadAnswer));
    }
}
