//! URLhaus by abuse.ch, API v1.
//!
//! | What it says (`query_status`) | Verdict |
//! |---|---|
//! | `ok` | malicious: it is, or was, a place that hands out malware |
//! | `no_results` | unknown: URLhaus lists only what is bad |
//! | `unknown_auth_key` | no verdict: the key is not accepted |
//!
//! URLs, IPv4 addresses and hashes (MD5, SHA-256) are asked about with forms.
//!
//! Of the documentation as we have it nothing is left unconfirmed, but for the numbers shown as evidence ([`finding`]).

use std::net::IpAddr;

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineSpec, Indicator, KeyNeed, Verdict};
use gatehouse_platform::{
    door::OutAnswer,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

use crate::service::{Asked, Document, FORM, accepted, asked, asking, cannot, document, form, key_rejected, refusal, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "urlhaus",
    label: "URLhaus",
    summary: "Asks whether a URL, an IP address or a file's hash is known to abuse.ch as a place or a piece of malware.",
    api_url: "https://urlhaus-api.abuse.ch/v1",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: true, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: true, attachment: true },
    key: KeyNeed::Required,
    key_label: "Auth-Key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &["Attachments are looked up by their hash (MD5 or SHA-256); the files themselves are not sent."],
    options: &[],
    timeout_s: 30,
};

/// Asked about in a test.
const HARMLESS: &str = "example.com";

/// See the module.
pub struct UrlHaus;

#[async_trait]
impl Engine for UrlHaus {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks about a harmless host.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        ask(cx, "/host/", "host", HARMLESS).await.map(|_| accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let known = match asked(&SPEC, indicator)? {
            Asked::Url(url) => ask(cx, "/url/", "url", url).await?,
            Asked::Ip(ip) => match ip.to_canonical() {
                IpAddr::V4(ip) => ask(cx, "/host/", "host", &ip.to_string()).await?,
                IpAddr::V6(_) => return Err(cannot(&SPEC, "IPv6 addresses")),
            },
            Asked::Hash(hash) => match hash.len() {
                32 => ask(cx, "/payload/", "md5_hash", hash).await?,
                64 => ask(cx, "/payload/", "sha256_hash", hash).await?,
                _ => return Err(cannot(&SPEC, "SHA-1 hashes")),
            },
        };
        Ok(known.map_or(Finding::of(Verdict::Unknown), |document| finding(&document)))
    }
}

/// What is known; none for what is not.
async fn ask(cx: &EngineContext, path: &str, field: &str, value: &str) -> Result<Option<Document>, EngineFailure> {
    let request = asking(cx.post(path, FORM, form(&[(field, value)]))?);
    let answer = cx.send(with(request, "auth-key", cx.api_key.clone())).await?;
    known(&answer)
}

fn known(answer: &OutAnswer) -> Result<Option<Document>, EngineFailure> {
    if !(200..300).contains(&answer.status) {
        return Err(refusal(&SPEC, answer));
    }
    let document = document(&SPEC, answer)?;
    match document.text("/query_status")? {
        "ok" => Ok(Some(document)),
        "no_results" => Ok(None),
        "unknown_auth_key" => Err(key_rejected(&SPEC)),
        "invalid_url" | "invalid_host" | "invalid_md5_hash" | "invalid_sha256_hash" | "http_post_expected" => {
            Err(EngineFailure::new(Cause::EngineError, format!("{} does not take such a question.", SPEC.label))
                .with_hint("What was asked about may not be written as URLhaus wants it; there is nothing to set right here."))
        }
        _ => Err(document.lacks("/query_status")),
    }
}

fn finding(document: &Document) -> Finding {
    let mut found = Finding::of(Verdict::Malicious).because("Listed", "yes");
    for (pointer, label) in
        [("/url_status", "State"), ("/threat", "Threat"), ("/signature", "Malware"), ("/file_type", "File type")]
    {
        if let Some(words) = document.words(pointer) {
            found = found.because(label, words);
        }
    }
    // A number, or one written as a text.
    if let Ok(count) = document.id("/url_count") {
        found = found.because("Known URLs", count);
    }
    match document.link("/urlhaus_reference", "urlhaus.abuse.ch") {
        Some(link) => found.see(link),
        None => found,
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::IndicatorKind;
    use gatehouse_platform::door::Retry;

    use super::*;
    use crate::script::{self, KEY, check, evidence};

    #[tokio::test]
    async fn listed_is_malicious_and_not_listed_is_unknown() {
        let body = r#"{"query_status": "ok", "id": "105821", "urlhaus_reference": "https://urlhaus.abuse.ch/url/105821/",
            "url_status": "online", "threat": "malware_download\u001b[0m"}"#;
        let (outcome, script) =
            script::ask(&UrlHaus, IndicatorKind::Url, "http://a.test/?x&y", &[("POST /v1/url/", 200, body)]).await;
        let found = outcome.unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(evidence(&found), ["Listed: yes", "State: online", "Threat: malware_download[0m"]);
        assert_eq!(found.link.as_deref(), Some("https://urlhaus.abuse.ch/url/105821/"));
        assert_eq!(script.body(0), "url=http%3A%2F%2Fa.test%2F%3Fx%26y");
        assert_eq!(script.header(0, "auth-key").as_deref(), Some(KEY));
        assert_eq!(script.requests.lock().unwrap()[0].retry, Retry::Safe);

        for (status, body, expected) in [
            (200, r#"{"query_status": "no_results"}"#, Ok(Verdict::Unknown)),
            (200, r#"{"query_status": "unknown_auth_key"}"#, Err(Cause::KeyRejected)),
            (200, r#"{"query_status": "invalid_url"}"#, Err(Cause::EngineError)),
            (200, r#"{"query_status": "something new"}"#, Err(Cause::BadAnswer)),
            (200, "{}", Err(Cause::BadAnswer)),
            (200, "<html>", Err(Cause::BadAnswer)),
            (401, r#"{"error": "Unauthorized"}"#, Err(Cause::KeyRejected)),
            (404, "{}", Err(Cause::BadAnswer)),
            (429, "", Err(Cause::QuotaExceeded)),
        ] {
            let (outcome, _) =
                script::ask(&UrlHaus, IndicatorKind::Url, "http://a.test/", &[("POST /v1/url/", status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn hosts_and_hashes() {
        let none = r#"{"query_status": "no_results"}"#;
        let (outcome, script) = script::ask(&UrlHaus, IndicatorKind::Ip, "192.0.2.7", &[("POST /v1/host/", 200, none)]).await;
        assert_eq!((outcome.unwrap().verdict, script.body(0)), (Verdict::Unknown, "host=192.0.2.7".into()));
        for (hash, form) in [("a".repeat(32), "md5_hash"), ("b".repeat(64), "sha256_hash")] {
            let body = r#"{"query_status": "ok", "file_type": "exe", "signature": "Heodo", "url_count": "12"}"#;
            let (outcome, script) = script::ask(&UrlHaus, IndicatorKind::Hash, &hash, &[("POST /v1/payload/", 200, body)]).await;
            assert_eq!(evidence(&outcome.unwrap()), ["Listed: yes", "Malware: Heodo", "File type: exe", "Known URLs: 12"]);
            assert_eq!(script.body(0), format!("{form}={hash}"));
        }
        for (kind, value) in [(IndicatorKind::Hash, "c".repeat(40)), (IndicatorKind::Ip, "2001:db8::1".into())] {
            let (outcome, _) = script::ask(&UrlHaus, kind, &value, &[]).await;
            assert_eq!(outcome.unwrap_err().cause, Cause::Excluded);
        }
    }

    #[tokio::test]
    async fn the_check_asks_about_a_harmless_host() {
        assert!(check(&UrlHaus, &[("POST /v1/host/", 200, r#"{"query_status": "no_results"}"#)]).await.is_ok());
        let wrong = r#"{"query_status": "unknown_auth_key"}"#;
        assert_eq!(check(&UrlHaus, &[("POST /v1/host/", 200, wrong)]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&UrlHaus, &[("POST /v1/host/", 200, "{}")]).await, Err(Cause::BadAnswer));
    }
}
