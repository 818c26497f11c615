//! Spamhaus ZEN, asked over DNS.
//!
//! An A query for the address backwards, before `zen.spamhaus.org`, or, with a key of the Data Query Service (DQS), before
//! `<key>.zen.dq.spamhaus.net`.
//!
//! | What it says | Verdict |
//! |---|---|
//! | no address | clean: not listed, once the zone is seen to list 127.0.0.2 |
//! | 127.0.0.2, .3, .4 to .7, .9, .30 | malicious |
//! | 127.0.0.10, .11 only (policy list) | clean, and the evidence says so |
//! | any other 127.0.0.x | suspicious |
//! | 127.255.255.x | an error, never a listing |
//! | any other address | an error: whoever answers is not Spamhaus |
//!
//! **Not confirmed**: what the errors 127.255.255.252, .254 and .255 stand for ([`refused`]), and that 127.0.0.2 is always
//! listed ([`ALWAYS_LISTED`]).

use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineSpec, Indicator, KeyNeed};
use gatehouse_platform::engine::{Engine, EngineContext, EngineFailure, FileContent, Finding};

use crate::{
    service::{Asked, asked, bad_answer, cannot, key_rejected, quota_exceeded},
    spamhaus::{ALWAYS_LISTED, finding},
};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "spamhaus_dns",
    label: "Spamhaus (DNS)",
    summary: "Asks over DNS whether an IP address is on Spamhaus's ZEN lists.",
    api_url: "https://zen.spamhaus.org",
    api_url_example: "",
    can: Capabilities { url: false, sender_ip: true, attachment: false },
    starts_with: Capabilities { url: false, sender_ip: true, attachment: false },
    key: KeyNeed::Optional,
    key_label: "DQS key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: true,
    notes: &[
        "DNS can't go through a proxy: this type asks this machine's name servers directly, whatever proxy is chosen. Where requests must take a proxy, use Spamhaus (HTTP).",
        "Spamhaus refuses public name servers (such as 8.8.8.8) without a DQS key, and is free for small, non-commercial use only.",
    ],
    options: &[],
    timeout_s: 30,
};

/// The zone for those without a key, and the one for those with one.
const PUBLIC_ZONE: &str = "zen.spamhaus.org";
const KEYED_ZONE: &str = "zen.dq.spamhaus.net";

/// See the module.
pub struct SpamhausDns;

#[async_trait]
impl Engine for SpamhausDns {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for an address that is always listed.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        prove(cx).await?;
        Ok(format!("{} answers: {ALWAYS_LISTED} is listed, as it should be. Asked over DNS, without a proxy.", SPEC.label))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let Asked::Ip(ip) = asked(&SPEC, indicator)? else {
            return Err(cannot(&SPEC, "anything but IP addresses"));
        };
        let codes = ask(cx, ip).await?;
        if codes.is_empty() {
            // Who knows of nothing says the same.
            prove(cx).await?;
        }
        Ok(finding(ip, codes))
    }
}

async fn ask(cx: &EngineContext, ip: IpAddr) -> Result<Vec<u64>, EngineFailure> {
    let (name, zone) = name(cx, ip)?;
    codes(&cx.look_up(&name, zone).await?)
}

/// Makes sure that the zone lists what is always listed.
async fn prove(cx: &EngineContext) -> Result<(), EngineFailure> {
    if !ask(cx, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))).await?.is_empty() {
        return Ok(());
    }
    // With a wrong key the whole zone does not exist; without one, a name server on the way answers for it.
    if !cx.api_key.is_empty() {
        return Err(key_rejected(&SPEC));
    }
    let message =
        format!("{} does not list {ALWAYS_LISTED}, which is always listed: its answers can't be relied on.", SPEC.label);
    Err(EngineFailure::new(Cause::EngineError, message)
        .with_hint("This machine's name servers don't pass on what Spamhaus says. Use others, a DQS key, or Spamhaus (HTTP)."))
}

/// The name to ask for (the address backwards, the key if there is one, the zone), and the zone alone, which may be told.
fn name(cx: &EngineContext, ip: IpAddr) -> Result<(String, &str), EngineFailure> {
    let host = cx.api_url.host.ascii();
    let key = cx.api_key.expose();
    if key.is_empty() {
        return Ok((format!("{}.{host}", backwards(ip)), host));
    }
    let zone = if host == PUBLIC_ZONE { KEYED_ZONE } else { host };
    if key.len() > 63 || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(
            key_rejected(&SPEC).with_hint("A DQS key is made of letters and digits only: paste it alone, without the zone.")
        );
    }
    Ok((format!("{}.{key}.{zone}", backwards(ip)), zone))
}

fn backwards(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(ip) => {
            let digits = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            digits.map(|digit| format!("{digit:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

/// The last numbers of 127.0.0.x.
fn codes(addresses: &[Ipv4Addr]) -> Result<Vec<u64>, EngineFailure> {
    addresses
        .iter()
        .map(|address| match address.octets() {
            [127, 0, 0, code] => Ok(u64::from(code)),
            [127, 255, 255, code] => Err(refused(code)),
            _ => Err(bad_answer(&SPEC, "its answers begin with 127")
                .with_hint("This machine's name servers answer for names that don't exist. Use others, or Spamhaus (HTTP).")),
        })
        .collect()
}

fn refused(code: u8) -> EngineFailure {
    match code {
        252 => EngineFailure::new(Cause::EngineError, format!("{} knows no such zone.", SPEC.label))
            .with_hint("Check the API URL in the integration's settings: its host is the zone, like https://zen.spamhaus.org."),
        254 => EngineFailure::new(
            Cause::EngineError,
            format!("{} does not answer this machine's name servers: they are public ones.", SPEC.label),
        )
        .with_hint("Use name servers of your own, enter a DQS key, or use Spamhaus (HTTP)."),
        255 => quota_exceeded(&SPEC, None),
        code => EngineFailure::new(Cause::EngineError, format!("{} reports an error (127.255.255.{code}).", SPEC.label))
            .with_hint("Ask again later. If it stays so, see Spamhaus's pages about return codes."),
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{IndicatorKind, Secret, Verdict};

    use super::*;
    use crate::script::{context, indicator};

    /// What is always listed, asked for without a key and with one.
    const KNOWN: &str = "DNS 2.0.0.127.zen.spamhaus.org";
    const KEYED: &str = "DNS 2.0.0.127.abc123.zen.dq.spamhaus.net";

    async fn outcome(key: &str, ip: &str, steps: &[(&str, u16, &str)]) -> Result<Verdict, Cause> {
        let (mut cx, script) = context(&SPEC, steps);
        cx.api_key = Secret::new(key);
        let outcome = SpamhausDns.look_up(&cx, &indicator(IndicatorKind::Ip, ip), None).await;
        script.is_over();
        // The traffic log is told the zone alone: neither the key nor who was asked about.
        let zone = if key.is_empty() { PUBLIC_ZONE } else { KEYED_ZONE };
        assert_eq!(*script.zones.lock().unwrap(), vec![zone; steps.len()]);
        outcome.map(|f| f.verdict).map_err(|f| f.cause)
    }

    #[tokio::test]
    async fn answers_are_lists_and_errors() {
        let asked = "DNS 7.2.0.192.zen.spamhaus.org";
        for (addresses, expected) in [
            ("127.0.0.2 127.0.0.9", Ok(Verdict::Malicious)),
            ("127.0.0.11", Ok(Verdict::Clean)),
            ("127.0.0.77", Ok(Verdict::Suspicious)),
            ("127.255.255.252", Err(Cause::EngineError)),
            ("127.255.255.254", Err(Cause::EngineError)),
            ("127.255.255.255", Err(Cause::QuotaExceeded)),
            ("127.0.0.2 127.255.255.254", Err(Cause::EngineError)),
            ("198.51.100.9", Err(Cause::BadAnswer)),
        ] {
            assert_eq!(outcome("", "192.0.2.7", &[(asked, 0, addresses)]).await, expected, "{addresses}");
        }
    }

    #[tokio::test]
    async fn not_listed_is_believed_only_of_a_zone_that_lists_something() {
        let (open, keyed) = ("DNS 7.2.0.192.zen.spamhaus.org", "DNS 7.2.0.192.abc123.zen.dq.spamhaus.net");
        for (key, asked, known, addresses, expected) in [
            ("", open, KNOWN, "127.0.0.2 127.0.0.4", Ok(Verdict::Clean)),
            ("", open, KNOWN, "", Err(Cause::EngineError)),
            ("", open, KNOWN, "127.255.255.254", Err(Cause::EngineError)),
            ("", open, KNOWN, "198.51.100.9", Err(Cause::BadAnswer)),
            ("abc123", keyed, KEYED, "127.0.0.2", Ok(Verdict::Clean)),
            ("abc123", keyed, KEYED, "", Err(Cause::KeyRejected)),
        ] {
            let steps = [(asked, 0, ""), (known, 0, addresses)];
            assert_eq!(outcome(key, "192.0.2.7", &steps).await, expected, "{key} {addresses}");
        }
    }

    #[tokio::test]
    async fn with_a_key_another_zone_is_asked() {
        let asked = "DNS 7.2.0.192.abc123.zen.dq.spamhaus.net";
        assert_eq!(outcome("abc123", "192.0.2.7", &[(asked, 0, "127.0.0.4")]).await, Ok(Verdict::Malicious));
        let (mut cx, _) = context(&SPEC, &[]);
        cx.api_key = Secret::new("abc.zen.dq.spamhaus.net");
        let failure = SpamhausDns.look_up(&cx, &indicator(IndicatorKind::Ip, "192.0.2.7"), None).await.unwrap_err();
        assert_eq!(failure.cause, Cause::KeyRejected);
        assert!(!format!("{failure:?}").contains("abc"));
    }

    #[tokio::test]
    async fn ipv6_is_turned_round_digit_by_digit() {
        let asked = "DNS 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org";
        assert_eq!(outcome("", "2001:db8::1", &[(asked, 0, "127.0.0.3")]).await, Ok(Verdict::Malicious));
        let asked = "DNS 7.2.0.192.zen.spamhaus.org";
        assert_eq!(outcome("", "::ffff:192.0.2.7", &[(asked, 0, "127.0.0.3")]).await, Ok(Verdict::Malicious));
    }

    #[tokio::test]
    async fn the_check_wants_what_is_always_listed() {
        for (key, addresses, expected) in [
            ("", "127.0.0.2 127.0.0.4 127.0.0.10", None),
            ("", "", Some(Cause::EngineError)),
            ("abc123", "", Some(Cause::KeyRejected)),
            ("", "127.255.255.254", Some(Cause::EngineError)),
        ] {
            let asked = if key.is_empty() { KNOWN } else { KEYED };
            let (mut cx, _) = context(&SPEC, &[(asked, 0, addresses)]);
            cx.api_key = Secret::new(key);
            assert_eq!(SpamhausDns.check(&cx).await.err().map(|f| f.cause), expected, "{key} {addresses}");
        }
    }
}
