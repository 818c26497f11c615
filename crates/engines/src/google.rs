//! What Google's two services have in common: where the key goes, and how a wrong key is told.
//!
//! **Not confirmed**: 403 for a key without the right to the service, and 429 for a quota; both are Google's usual way.

use gatehouse_domain::{Cause, EngineSpec, Verdict};
use gatehouse_platform::{
    door::OutAnswer,
    engine::{EngineContext, EngineFailure, Finding},
};
use serde_json::Value;

use crate::service::{Document, document, encode, key_rejected, refusal};

/// `path` with the key: Google takes it in the URL only.
pub(crate) fn with_key(cx: &EngineContext, path: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}key={}", encode(cx.api_key.expose()))
}

/// The document of a 200. A wrong key is a 400 whose details say `API_KEY_INVALID`.
pub(crate) fn read(spec: &'static EngineSpec, answer: &OutAnswer) -> Result<Document, EngineFailure> {
    if (200..300).contains(&answer.status) {
        return document(spec, answer)?.into_object();
    }
    let failure = refusal(spec, answer);
    match (answer.status, document(spec, answer)) {
        (400, Ok(error)) if is_about_the_key(&error) => Err(key_rejected(spec).with_status(400)),
        (400, _) if failure.cause == Cause::EngineError => Err(failure.with_hint("It may not take such a URL.")),
        (403, _) => Err(failure.with_hint(
            "Check the API key, its restrictions, and that this API is switched on for the key's project in Google Cloud.",
        )),
        _ => Err(failure),
    }
}

fn is_about_the_key(error: &Document) -> bool {
    let details = error.list("/error/details").unwrap_or_default();
    let reasons = details.iter().filter_map(|detail| detail.get("reason")).filter_map(Value::as_str);
    // Older answers have no details, only this sentence.
    reasons.into_iter().any(|reason| matches!(reason, "API_KEY_INVALID" | "API_KEY_EXPIRED"))
        || error.text("/error/message").is_ok_and(|message| message.starts_with("API key "))
}

/// The kinds of threat that are asked about, in Google's words and in ours.
const THREATS: [(&str, &str); 5] = [
    ("MALWARE", "malware"),
    ("SOCIAL_ENGINEERING", "social engineering (phishing)"),
    ("UNWANTED_SOFTWARE", "unwanted software"),
    ("SOCIAL_ENGINEERING_EXTENDED_COVERAGE", "social engineering (extended coverage)"),
    ("POTENTIALLY_HARMFUL_APPLICATION", "potentially harmful application"),
];

/// Listed, with the lists. One that we did not ask about counts as well: a match is a match.
pub(crate) fn listed<'a>(url: &str, threats: impl Iterator<Item = &'a str>) -> Finding {
    let mut finding = Finding::of(Verdict::Malicious);
    let mut shown = Vec::new();
    for threat in threats {
        let label = THREATS.iter().find(|(name, _)| *name == threat).map_or("another list", |(_, label)| label);
        if !shown.contains(&label) {
            finding = finding.because("Listed as", label);
            shown.push(label);
        }
    }
    finding.see(report(url))
}

/// On none of the lists.
pub(crate) fn not_listed(url: &str) -> Finding {
    Finding::of(Verdict::Clean).because("Listed", "no").see(report(url))
}

fn report(url: &str) -> String {
    format!("https://transparencyreport.google.com/safe-browsing/search?url={}", encode(url))
}

/// What is asked for in a test.
pub(crate) const HARMLESS: &str = "https://example.com/";
