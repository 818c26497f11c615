//! AbuseIPDB, API v2.
//!
//! | What it says (`data.abuseConfidenceScore`, 0 to 100) | Verdict |
//! |---|---|
//! | the threshold or more | malicious |
//! | 25 or more | suspicious |
//! | less | clean |
//!
//! **Not confirmed**: 429 for a quota.

use std::net::IpAddr;

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed, Threshold, Verdict};
use gatehouse_platform::engine::{Engine, EngineContext, EngineFailure, FileContent, Finding};

use crate::service::{Asked, Document, accepted, asked, cannot, fetch, threshold, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "abuseipdb",
    label: "AbuseIPDB",
    summary: "Asks how sure AbuseIPDB is, from reports of the last 90 days, that an IP address is used for abuse.",
    api_url: "https://api.abuseipdb.com/api/v2",
    api_url_example: "",
    can: Capabilities { url: false, sender_ip: true, attachment: false },
    starts_with: Capabilities { url: false, sender_ip: true, attachment: false },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: Some(Threshold {
        default: 75,
        max: 100,
        help: "From which score on (1 to 100) an address is malicious. From 25 on it is suspicious.",
    }),
    uploads: false,
    dns: false,
    notes: &[],
    options: &[],
    timeout_s: 30,
};

/// From which score on.
const SUSPICIOUS: u64 = 25;

/// Asked about in a test.
const KNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8));

/// See the module.
pub struct AbuseIpDb;

#[async_trait]
impl Engine for AbuseIpDb {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks about a well-known address: there is no lesser call.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        finding(&ask(cx, KNOWN).await?, KNOWN, threshold(cx, &SPEC)).map(|_| accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let Asked::Ip(ip) = asked(&SPEC, indicator)? else {
            return Err(cannot(&SPEC, "anything but IP addresses"));
        };
        finding(&ask(cx, ip).await?, ip, threshold(cx, &SPEC))
    }
}

async fn ask(cx: &EngineContext, ip: IpAddr) -> Result<Document, EngineFailure> {
    let request = cx.get(&format!("/check?ipAddress={ip}&maxAgeInDays=90"))?;
    fetch(cx, &SPEC, with(request, "key", cx.api_key.clone())).await
}

fn finding(document: &Document, ip: IpAddr, threshold: u64) -> Result<Finding, EngineFailure> {
    let score = document.count("/data/abuseConfidenceScore")?;
    let verdict = match score {
        score if score >= threshold => Verdict::Malicious,
        SUSPICIOUS.. => Verdict::Suspicious,
        _ => Verdict::Clean,
    };
    let mut found = Finding::of(verdict).because("Abuse score", format!("{score} of 100")).because("Threshold", threshold);
    if let Ok(reports) = document.count("/data/totalReports") {
        found = found.because("Reports in 90 days", reports);
    }
    Ok(found.see(format!("https://www.abuseipdb.com/check/{ip}")))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Cause, IndicatorKind};

    use super::*;
    use crate::script::{self, KEY, check, evidence};

    #[tokio::test]
    async fn scores_become_verdicts() {
        let asked = "GET /api/v2/check?ipAddress=2001:db8::1&maxAgeInDays=90";
        for (status, body, expected) in [
            (200, r#"{"data": {"abuseConfidenceScore": 75}}"#, Ok(Verdict::Malicious)),
            (200, r#"{"data": {"abuseConfidenceScore": 74}}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"data": {"abuseConfidenceScore": 25}}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"data": {"abuseConfidenceScore": 24}}"#, Ok(Verdict::Clean)),
            (200, r#"{"data": {"abuseConfidenceScore": 0, "totalReports": 0}}"#, Ok(Verdict::Clean)),
            (200, r#"{"data": {"abuseConfidenceScore": null}}"#, Err(Cause::BadAnswer)),
            (200, r#"{"data": {}}"#, Err(Cause::BadAnswer)),
            (404, "{}", Err(Cause::BadAnswer)),
            (401, r#"{"errors": [{"status": 401}]}"#, Err(Cause::KeyRejected)),
            (422, r#"{"errors": [{"status": 422}]}"#, Err(Cause::EngineError)),
            (429, "{}", Err(Cause::QuotaExceeded)),
        ] {
            let (outcome, script) = script::ask(&AbuseIpDb, IndicatorKind::Ip, "2001:db8::1", &[(asked, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
            assert_eq!(script.header(0, "key").as_deref(), Some(KEY));
        }
    }

    #[test]
    fn the_threshold_is_the_integrations() {
        let document = Document::of(&SPEC, serde_json::json!({"data": {"abuseConfidenceScore": 30, "totalReports": 12}}));
        let found = finding(&document, KNOWN, 20).unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(evidence(&found), ["Abuse score: 30 of 100", "Threshold: 20", "Reports in 90 days: 12"]);
    }

    #[tokio::test]
    async fn the_check_asks_about_a_known_address() {
        let asked = "GET /api/v2/check?ipAddress=8.8.8.8&maxAgeInDays=90";
        assert!(check(&AbuseIpDb, &[(asked, 200, r#"{"data": {"abuseConfidenceScore": 0}}"#)]).await.is_ok());
        assert_eq!(check(&AbuseIpDb, &[(asked, 401, "{}")]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&AbuseIpDb, &[(asked, 200, "{}")]).await, Err(Cause::BadAnswer));
    }
}
