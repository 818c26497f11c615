//! Spamhaus, asked over HTTP: the Web Query Service (WQS).
//!
//! | What it says | Verdict |
//! |---|---|
//! | 404, without a body or with JSON | clean: not listed, once 127.0.0.2 is seen to be listed |
//! | `resp` with 1002, 1003, 1004 to 1007, 1009, 1030 | malicious |
//! | `resp` with 1010, 1011 only (policy list) | clean, and the evidence says so |
//! | `resp` with any other code | suspicious |
//!
//! A 404 with anything but JSON is a wrong address, not a clean one.
//!
//! **Not confirmed**, though public clients do the same: the base address ([`SPEC`]); and that 127.0.0.2 is always listed
//! ([`ALWAYS_LISTED`]).

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineSpec, Indicator, KeyNeed, Secret};
use gatehouse_platform::{
    door::OutAnswer,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

use crate::{
    service::{Asked, Reply, accepted, asked, cannot, document, read, with},
    spamhaus::{ALWAYS_LISTED, finding},
};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "spamhaus_wqs",
    label: "Spamhaus (HTTP)",
    summary: "Asks over HTTP whether an IP address is on Spamhaus's ZEN lists; goes through proxies.",
    api_url: "https://apibl.spamhaus.net/lookup/v1",
    api_url_example: "",
    can: Capabilities { url: false, sender_ip: true, attachment: false },
    starts_with: Capabilities { url: false, sender_ip: true, attachment: false },
    key: KeyNeed::Required,
    key_label: "DQS key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &[],
    options: &[],
    timeout_s: 30,
};

/// See the module.
pub struct SpamhausWqs;

#[async_trait]
impl Engine for SpamhausWqs {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for an address that is always listed.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        prove(cx).await?;
        Ok(accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let Asked::Ip(ip) = asked(&SPEC, indicator)? else {
            return Err(cannot(&SPEC, "anything but IP addresses"));
        };
        let codes = ask(cx, &ip.to_canonical().to_string()).await?;
        if codes.is_empty() {
            // A wrong path is answered the same way.
            prove(cx).await?;
        }
        Ok(finding(ip, codes))
    }
}

async fn ask(cx: &EngineContext, ip: &str) -> Result<Vec<u64>, EngineFailure> {
    let key = Secret::new(format!("Bearer {}", cx.api_key.expose()));
    codes(&cx.send(with(cx.get(&format!("/ZEN/{ip}"))?, "authorization", key)).await?)
}

/// Makes sure that what is always listed is.
async fn prove(cx: &EngineContext) -> Result<(), EngineFailure> {
    if !ask(cx, ALWAYS_LISTED).await?.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} does not list {ALWAYS_LISTED}, which is always listed: its answers can't be relied on.", SPEC.label);
    Err(EngineFailure::new(Cause::EngineError, message)
        .with_hint("Check the API URL in the integration's settings, its path too."))
}

/// The codes as the last numbers of 127.0.0.x.
fn codes(answer: &OutAnswer) -> Result<Vec<u64>, EngineFailure> {
    let Reply::Known(listed) = read(&SPEC, answer)? else {
        // Clean only comes of this service's own 404.
        if !answer.body.is_empty() {
            document(&SPEC, answer)?;
        }
        return Ok(Vec::new());
    };
    let codes = listed.list("/resp")?;
    if codes.is_empty() {
        return Err(listed.lacks("/resp/0"));
    }
    codes.iter().map(|code| code.as_u64().map(|code| code.saturating_sub(1000)).ok_or_else(|| listed.lacks("/resp/0"))).collect()
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{IndicatorKind, Verdict};

    use super::*;
    use crate::script::{KEY, ask, check, evidence};

    const ASKED: &str = "GET /lookup/v1/ZEN/192.0.2.7";

    #[tokio::test]
    async fn answers_are_lists_and_errors() {
        for (status, body, expected) in [
            (200, r#"{"resp": [1002, 1010], "status": 200}"#, Ok(Verdict::Malicious)),
            (200, r#"{"resp": [1010], "status": 200}"#, Ok(Verdict::Clean)),
            (200, r#"{"resp": [1077]}"#, Ok(Verdict::Suspicious)),
            (404, "404 page not found", Err(Cause::BadAnswer)),
            (404, "<html>", Err(Cause::BadAnswer)),
            (200, r#"{"resp": []}"#, Err(Cause::BadAnswer)),
            (200, r#"{"resp": ["x"]}"#, Err(Cause::BadAnswer)),
            (200, "{}", Err(Cause::BadAnswer)),
            (401, "", Err(Cause::KeyRejected)),
            (403, "", Err(Cause::KeyRejected)),
            (429, "", Err(Cause::QuotaExceeded)),
            (500, "", Err(Cause::EngineError)),
        ] {
            let (outcome, script) = ask(&SpamhausWqs, IndicatorKind::Ip, "192.0.2.7", &[(ASKED, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
            assert_eq!(script.header(0, "authorization"), Some(format!("Bearer {KEY}")));
        }
    }

    #[tokio::test]
    async fn not_listed_is_believed_only_of_a_service_that_lists_something() {
        for (status, body, expected) in [
            (200, r#"{"resp": [1002]}"#, Ok(Verdict::Clean)),
            (404, "", Err(Cause::EngineError)),
            (404, "{}", Err(Cause::EngineError)),
            (404, "404 page not found", Err(Cause::BadAnswer)),
            (401, "", Err(Cause::KeyRejected)),
            (200, "{}", Err(Cause::BadAnswer)),
        ] {
            for first in ["", r#"{"status": 404}"#] {
                let steps = [(ASKED, 404, first), ("GET /lookup/v1/ZEN/127.0.0.2", status, body)];
                let (outcome, script) = ask(&SpamhausWqs, IndicatorKind::Ip, "192.0.2.7", &steps).await;
                assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
                assert_eq!(script.header(1, "authorization"), Some(format!("Bearer {KEY}")));
            }
        }
    }

    #[tokio::test]
    async fn ipv6_is_asked_as_it_is() {
        let asked = "GET /lookup/v1/ZEN/2001:db8::1";
        let (outcome, _) = ask(&SpamhausWqs, IndicatorKind::Ip, "2001:db8::1", &[(asked, 200, r#"{"resp": [1003]}"#)]).await;
        let found = outcome.unwrap();
        assert_eq!(evidence(&found), ["Listed: CSS (spam sources, automatic)"]);
        assert_eq!(found.link.as_deref(), Some("https://check.spamhaus.org/results/?query=2001:db8::1"));
    }

    #[tokio::test]
    async fn the_check_wants_what_is_always_listed() {
        let asked = "GET /lookup/v1/ZEN/127.0.0.2";
        assert!(check(&SpamhausWqs, &[(asked, 200, r#"{"resp": [1002]}"#)]).await.is_ok());
        assert_eq!(check(&SpamhausWqs, &[(asked, 404, "{}")]).await, Err(Cause::EngineError));
        assert_eq!(check(&SpamhausWqs, &[(asked, 401, "{}")]).await, Err(Cause::KeyRejected));
    }
}
