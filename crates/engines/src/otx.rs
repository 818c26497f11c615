//! AlienVault Open Threat Exchange (OTX), API v1.
//!
//! | What it says (`pulse_info.count`) | Verdict |
//! |---|---|
//! | 1 or more | suspicious, and never more: a pulse is what somebody wrote, a context and not a judgement |
//! | 0; 404 | unknown, not clean: nobody wrote about it |
//!
//! **Not confirmed**: 429 for a quota.

use std::net::IpAddr;

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

use crate::service::{Asked, Document, Reply, accepted, asked, encode, fetch, look_up, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "otx",
    label: "AlienVault OTX",
    summary: "Asks in how many reports (pulses) of the OTX community a URL, an IP address or a file's hash stands.",
    api_url: "https://otx.alienvault.com/api/v1",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: true, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: true, attachment: true },
    key: KeyNeed::Required,
    key_label: "OTX key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &[
        "Anybody can write a pulse, also about harmless things: OTX makes something suspicious at most.",
        "Attachments are looked up by their hash; the files themselves are not sent.",
    ],
    options: &[],
    timeout_s: 30,
};

/// Much-reported indicators come with all their pulses.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// See the module.
pub struct Otx;

#[async_trait]
impl Engine for Otx {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for the key's user.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        fetch(cx, &SPEC, get(cx, "/user/me")?).await?.into_object()?;
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
    let mut request = with(cx.get(path)?, "x-otx-api-key", cx.api_key.clone());
    request.max_answer = MAX_ANSWER;
    Ok(request)
}

fn path(asked: Asked<'_>) -> String {
    match asked {
        Asked::Url(url) => format!("/indicators/url/{}/general", encode(url)),
        Asked::Ip(ip) => match ip.to_canonical() {
            IpAddr::V4(ip) => format!("/indicators/IPv4/{ip}/general"),
            IpAddr::V6(ip) => format!("/indicators/IPv6/{ip}/general"),
        },
        Asked::Hash(hash) => format!("/indicators/file/{hash}/general"),
    }
}

fn finding(document: &Document, asked: Asked<'_>) -> Result<Finding, EngineFailure> {
    let pulses = document.count("/pulse_info/count")?;
    let verdict = if pulses > 0 { Verdict::Suspicious } else { Verdict::Unknown };
    let page = match asked {
        Asked::Url(url) => format!("url/{}", encode(url)),
        Asked::Ip(ip) => format!("ip/{ip}"),
        Asked::Hash(hash) => format!("file/{hash}"),
    };
    Ok(Finding::of(verdict).because("Pulses", pulses).see(format!("https://otx.alienvault.com/indicator/{page}")))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Cause, IndicatorKind};

    use super::*;
    use crate::script::{KEY, ask, check, evidence};

    #[tokio::test]
    async fn pulses_are_context() {
        let asked = "GET /api/v1/indicators/IPv4/192.0.2.7/general";
        for (status, body, expected) in [
            (200, r#"{"pulse_info": {"count": 50}}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"pulse_info": {"count": 0}}"#, Ok(Verdict::Unknown)),
            (200, r#"{"pulse_info": {}}"#, Err(Cause::BadAnswer)),
            (200, "<html>", Err(Cause::BadAnswer)),
            (404, r#"{"detail": "not found"}"#, Ok(Verdict::Unknown)),
            (403, r#"{"detail": "Invalid API key"}"#, Err(Cause::KeyRejected)),
            (429, "", Err(Cause::QuotaExceeded)),
            (502, "<html>", Err(Cause::EngineError)),
        ] {
            let (outcome, script) = ask(&Otx, IndicatorKind::Ip, "192.0.2.7", &[(asked, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
            assert_eq!(script.header(0, "x-otx-api-key").as_deref(), Some(KEY));
        }
    }

    #[tokio::test]
    async fn each_kind_has_its_path() {
        for (kind, value, asked) in [
            (IndicatorKind::Ip, "2001:db8::1", "GET /api/v1/indicators/IPv6/2001:db8::1/general"),
            (IndicatorKind::Url, "http://a.test/x?y", "GET /api/v1/indicators/url/http%3A%2F%2Fa.test%2Fx%3Fy/general"),
            (
                IndicatorKind::Hash,
                "44d88612fea8a8f36de82e1278abb02f",
                "GET /api/v1/indicators/file/44d88612fea8a8f36de82e1278abb02f/general",
            ),
        ] {
            let (outcome, _) = ask(&Otx, kind, value, &[(asked, 200, r#"{"pulse_info": {"count": 3}}"#)]).await;
            assert_eq!(evidence(&outcome.unwrap()), ["Pulses: 3"]);
        }
    }

    #[tokio::test]
    async fn the_check_asks_for_the_user() {
        assert!(check(&Otx, &[("GET /api/v1/user/me", 200, r#"{"username": "a"}"#)]).await.is_ok());
        assert_eq!(check(&Otx, &[("GET /api/v1/user/me", 403, "{}")]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&Otx, &[("GET /api/v1/user/me", 404, "{}")]).await, Err(Cause::BadAnswer));
    }
}
