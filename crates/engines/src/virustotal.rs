//! VirusTotal, API v3.
//!
//! | What it says (`data.attributes.last_analysis_stats`) | Verdict |
//! |---|---|
//! | `malicious` is the threshold or more | malicious |
//! | `malicious` or `suspicious` is 1 or more | suspicious |
//! | somebody voted `harmless` or `undetected` | clean |
//! | nobody voted; 404 | unknown |
//!
//! Files are looked up by their hash and never uploaded; URLs are looked up and never submitted.
//!
//! **Not confirmed** by the vendor's documentation as we have it, though public clients do the same: the paths
//! `/urls/{base64url}` and `/files/{hash}` ([`path`]), the field `last_analysis_stats` ([`STATS`]), 429 for a quota.

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed, Threshold, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

use crate::service::{Asked, Document, Reply, accepted, asked, base64url, encode, fetch, look_up, threshold, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "virustotal",
    label: "VirusTotal",
    summary: "Asks what some ninety scanners and block lists said about a URL, an IP address or a file's hash.",
    api_url: "https://www.virustotal.com/api/v3",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: true, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: true, attachment: true },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: Some(Threshold {
        default: 3,
        max: 100,
        help: "How many scanners must call it malicious. Fewer than that make it suspicious.",
    }),
    uploads: false,
    dns: false,
    notes: &[
        "Attachments are looked up by their hash; the files themselves are not sent.",
        "The public allowance is small (4 requests a minute, 500 a day) and not for business use: a cache of some hours spares much.",
    ],
    options: &[],
    timeout_s: 30,
};

/// See the module.
pub struct VirusTotal;

#[async_trait]
impl Engine for VirusTotal {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for the key's own user: that costs nothing of its allowance. The key stands in the path.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        let user = fetch(cx, &SPEC, get(cx, &format!("/users/{}", encode(cx.api_key.expose())))?).await?.into_object()?;
        let of_today = "/data/attributes/quotas/api_requests_daily";
        let (used, allowed) = (user.count(&format!("{of_today}/used")), user.count(&format!("{of_today}/allowed")));
        Ok(match (used, allowed) {
            (Ok(used), Ok(allowed)) => format!("{} Used today: {used} of {allowed} requests.", accepted(&SPEC)),
            _ => accepted(&SPEC),
        })
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let asked = asked(&SPEC, indicator)?;
        match look_up(cx, &SPEC, get(cx, &path(asked))?).await? {
            Reply::Known(document) => finding(&document, asked, threshold(cx, &SPEC)),
            Reply::Unknown => Ok(Finding::of(Verdict::Unknown)),
        }
    }
}

fn get(cx: &EngineContext, path: &str) -> Result<OutRequest, EngineFailure> {
    Ok(with(cx.get(path)?, "x-apikey", cx.api_key.clone()))
}

fn path(asked: Asked<'_>) -> String {
    match asked {
        Asked::Url(url) => format!("/urls/{}", base64url(url)),
        Asked::Ip(ip) => format!("/ip_addresses/{ip}"),
        Asked::Hash(hash) => format!("/files/{hash}"),
    }
}

/// Where the votes are.
const STATS: &str = "/data/attributes/last_analysis_stats";

fn finding(document: &Document, asked: Asked<'_>, threshold: u64) -> Result<Finding, EngineFailure> {
    let malicious = document.count(&format!("{STATS}/malicious"))?;
    // The others may be left out: then nobody voted so.
    let votes = |name: &str| document.count(&format!("{STATS}/{name}")).unwrap_or(0);
    let (suspicious, fine) = (votes("suspicious"), votes("harmless") + votes("undetected"));
    let verdict = match () {
        () if malicious >= threshold => Verdict::Malicious,
        () if malicious + suspicious > 0 => Verdict::Suspicious,
        () if fine > 0 => Verdict::Clean,
        () => Verdict::Unknown,
    };
    let mut finding = Finding::of(verdict)
        .because("Detections", format!("{malicious} of {}", malicious + suspicious + fine))
        .because("Threshold", threshold);
    if suspicious > 0 {
        finding = finding.because("Called suspicious by", suspicious);
    }
    let page = match asked {
        // Its pages go by an identifier of its own: the SHA-256 of what it made of the URL.
        Asked::Url(_) => document.id("/data/id").ok().filter(|id| id.len() == 64).map(|id| format!("url/{id}")),
        Asked::Ip(ip) => Some(format!("ip-address/{ip}")),
        Asked::Hash(hash) => Some(format!("file/{hash}")),
    };
    Ok(match page {
        Some(page) => finding.see(format!("https://www.virustotal.com/gui/{page}")),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Cause, IndicatorKind};
    use serde_json::json;

    use super::*;
    use crate::script::{KEY, ask, check, evidence};

    fn verdict(stats: serde_json::Value) -> Result<Verdict, Cause> {
        let document = Document::of(&SPEC, json!({"data": {"attributes": {"last_analysis_stats": stats}}}));
        finding(&document, Asked::Url("https://a/"), 3).map(|f| f.verdict).map_err(|f| f.cause)
    }

    #[test]
    fn the_verdict_follows_the_votes() {
        let votes = |malicious: u32, suspicious: u32, harmless: u32, undetected: u32| json!({"malicious": malicious, "suspicious": suspicious, "harmless": harmless, "undetected": undetected, "timeout": 1});
        for (stats, expected) in [
            (votes(3, 0, 60, 20), Verdict::Malicious),
            (votes(2, 0, 60, 20), Verdict::Suspicious),
            (votes(0, 1, 60, 20), Verdict::Suspicious),
            (votes(0, 0, 60, 20), Verdict::Clean),
            (votes(0, 0, 0, 20), Verdict::Clean),
            (votes(0, 0, 0, 0), Verdict::Unknown),
            (json!({"malicious": 0}), Verdict::Unknown),
        ] {
            assert_eq!(verdict(stats.clone()), Ok(expected), "{stats}");
        }
        for stats in [json!({}), json!(null), json!({"malicious": "0"}), json!({"harmless": 80})] {
            assert_eq!(verdict(stats.clone()), Err(Cause::BadAnswer), "{stats}");
        }
    }

    #[tokio::test]
    async fn what_is_asked_and_shown() {
        let id = "a".repeat(64);
        let body = json!({"data": {"id": id, "attributes": {"last_analysis_stats":
            {"malicious": 7, "suspicious": 1, "harmless": 60, "undetected": 24}}}})
        .to_string();
        let url = ("GET /api/v3/urls/aHR0cDovL2EudGVzdC8_eD0x", 200, body.as_str());
        let (outcome, script) = ask(&VirusTotal, IndicatorKind::Url, "http://a.test/?x=1", &[url]).await;
        let found = outcome.unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(evidence(&found), ["Detections: 7 of 92", "Threshold: 3", "Called suspicious by: 1"]);
        assert_eq!(found.link, Some(format!("https://www.virustotal.com/gui/url/{id}")));
        assert_eq!(script.header(0, "x-apikey").as_deref(), Some(KEY));

        let ip = ("GET /api/v3/ip_addresses/2001:db8::1", 404, r#"{"error": {"code": "NotFoundError"}}"#);
        let (outcome, _) = ask(&VirusTotal, IndicatorKind::Ip, "2001:DB8:0::1", &[ip]).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Unknown);

        let hash = "44d88612fea8a8f36de82e1278abb02f";
        let file = (format!("GET /api/v3/files/{hash}"), 429, r#"{"error": {"code": "QuotaExceededError"}}"#);
        let (outcome, _) = ask(&VirusTotal, IndicatorKind::Hash, hash, &[(&file.0, file.1, file.2)]).await;
        assert_eq!(outcome.unwrap_err().cause, Cause::QuotaExceeded);
    }

    #[tokio::test]
    async fn the_check_asks_for_the_keys_user() {
        let asked = "GET /api/v3/users/key%2B4711%2F0815";
        let quota = r#"{"data": {"attributes": {"quotas": {"api_requests_daily": {"used": 12, "allowed": 500}}}}}"#;
        assert!(check(&VirusTotal, &[(asked, 200, quota)]).await.unwrap().contains("12 of 500"));
        assert!(check(&VirusTotal, &[(asked, 200, r#"{"data": {}}"#)]).await.unwrap().contains("accepts"));
        let wrong = r#"{"error": {"code": "WrongCredentialsError"}}"#;
        assert_eq!(check(&VirusTotal, &[(asked, 401, wrong)]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&VirusTotal, &[(asked, 200, "<html>")]).await, Err(Cause::BadAnswer));
    }
}
