//! VMRay, a sandbox: in VMRay's cloud or on a machine of one's own.
//!
//! | What it says (`sample_verdict`) | Verdict |
//! |---|---|
//! | `malicious`, `suspicious`, `clean` | the same |
//! | `not_available`, or none | unknown |
//!
//! A file is looked up by its hash first; when VMRay does not know it and the file is there, it is submitted. A URL is
//! submitted. Then the submission is asked about until it is finished, and the sample for its verdict.
//!
//! **Not confirmed** by the documentation as we have it, though public clients do the same: the fields of a submission
//! ([`VmRay::submit`], [`VmRay::finished`]), 429 for a quota.

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineSpec, Indicator, KeyNeed, Secret, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};
use serde_json::Value;

use crate::service::{Asked, Document, FORM, Pace, Reply, accepted, asked, cannot, fetch, form, look_up, upload, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "vmray",
    label: "VMRay",
    summary: "Opens URLs and files in VMRay's sandbox and tells what they do.",
    api_url: "",
    api_url_example: "https://eu.cloud.vmray.com",
    can: Capabilities { url: true, sender_ip: false, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: false, attachment: true },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: None,
    uploads: true,
    dns: false,
    notes: &[
        "A file that VMRay does not know yet is uploaded to it (marked as not to be shared), and URLs are opened by its browsers.",
        "Each submission counts against the allowance of your licence: a cache of some hours spares much.",
    ],
    options: &[],
    timeout_s: 600,
};

/// See the module.
pub struct VmRay;

#[async_trait]
impl Engine for VmRay {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for one analysis of those there are.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        ok(fetch(cx, &SPEC, get(cx, "/rest/analysis?_limit=1")?).await?)?.list("/data")?;
        Ok(accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, file: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        match asked(&SPEC, indicator)? {
            Asked::Url(url) => {
                let fields = [("sample_url", url), NOT_SHARED];
                self.submit(cx, key(cx, cx.post(SUBMIT, FORM, form(&fields))?)).await
            }
            Asked::Hash(hash) => match (self.known(cx, hash).await?, file) {
                (Some(found), _) if found.verdict != Verdict::Unknown => Ok(found),
                (_, Some(file)) => {
                    cx.progress("Uploading the file to VMRay");
                    self.submit(cx, key(cx, upload(cx, SUBMIT, &[NOT_SHARED], "sample_file", file)?)).await
                }
                (found, None) => Ok(found.unwrap_or(Finding::of(Verdict::Unknown))),
            },
            Asked::Ip(_) => Err(cannot(&SPEC, "IP addresses")),
        }
    }
}

const SUBMIT: &str = "/rest/sample/submit";
/// Other customers are not to see it.
const NOT_SHARED: (&str, &str) = ("shareable", "false");

impl VmRay {
    /// What is known about a hash: the worst of the samples that have it.
    async fn known(&self, cx: &EngineContext, hash: &str) -> Result<Option<Finding>, EngineFailure> {
        let kind = match hash.len() {
            32 => "md5",
            40 => "sha1",
            _ => "sha256",
        };
        let Reply::Known(document) = look_up(cx, &SPEC, get(cx, &format!("/rest/sample/{kind}/{hash}"))?).await? else {
            return Ok(None);
        };
        let document = ok(document)?;
        let mut worst: Option<Finding> = None;
        for at in 0..document.list("/data")?.len() {
            let found = finding(cx, &document, &format!("/data/{at}"))?;
            if worst.as_ref().is_none_or(|worst| found.verdict > worst.verdict) {
                worst = Some(found);
            }
        }
        Ok(worst)
    }

    /// Submits something and waits for its verdict.
    async fn submit(&self, cx: &EngineContext, request: OutRequest) -> Result<Finding, EngineFailure> {
        let taken = ok(fetch(cx, &SPEC, request).await?)?;
        let sample = taken.id("/data/samples/0/sample_id");
        // Without a submission VMRay knows the sample already.
        let sample = match taken.get("/data/submissions/0") {
            Some(_) => self.finished(cx, &taken.id("/data/submissions/0/submission_id")?, sample).await?,
            None => sample?,
        };
        let document = ok(fetch(cx, &SPEC, get(cx, &format!("/rest/sample/{sample}"))?).await?)?;
        finding(cx, &document, "/data")
    }

    /// Waits until a submission is finished, and tells its sample.
    async fn finished(
        &self, cx: &EngineContext, submission: &str, sample: Result<String, EngineFailure>,
    ) -> Result<String, EngineFailure> {
        let mut pace = Pace::new(cx);
        loop {
            pace.wait(cx, "Waiting for VMRay's sandbox").await?;
            let asked = get(cx, &format!("/rest/submission/{submission}"))?;
            let state = ok(pace.ask(cx, fetch(cx, &SPEC, asked)).await?)?;
            if state.flag("/data/submission_finished")? {
                return sample.or_else(|_| state.id("/data/submission_sample_id"));
            }
        }
    }
}

fn get(cx: &EngineContext, path: &str) -> Result<OutRequest, EngineFailure> {
    Ok(key(cx, cx.get(path)?))
}

fn key(cx: &EngineContext, request: OutRequest) -> OutRequest {
    with(request, "authorization", Secret::new(format!("api_key {}", cx.api_key.expose())))
}

/// A document whose `result` is `ok`.
fn ok(document: Document) -> Result<Document, EngineFailure> {
    match document.text("/result")? {
        "ok" => Ok(document),
        _ => Err(EngineFailure::new(Cause::EngineError, format!("{} reports an error of its own.", SPEC.label))
            .with_hint("See VMRay's own pages: the submission may not be allowed, or the licence may not cover it.")),
    }
}

fn finding(cx: &EngineContext, document: &Document, sample: &str) -> Result<Finding, EngineFailure> {
    let holder = document.get(sample).and_then(Value::as_object).ok_or_else(|| document.lacks(sample))?;
    let pointer = format!("{sample}/sample_verdict");
    let (verdict, word) = match holder.get("sample_verdict") {
        // Not finished, or none that VMRay would stand up for. The field itself is always there.
        Some(Value::Null) => (Verdict::Unknown, "not available"),
        Some(_) => match document.text(&pointer)? {
            "malicious" => (Verdict::Malicious, "malicious"),
            "suspicious" => (Verdict::Suspicious, "suspicious"),
            "clean" => (Verdict::Clean, "clean"),
            "not_available" => (Verdict::Unknown, "not available"),
            _ => return Err(document.lacks(&pointer)),
        },
        None => return Err(document.lacks(&pointer)),
    };
    let found = Finding::of(verdict).because("VMRay's verdict", word);
    // VMRay says where its page is; it can only be on the machine that was asked.
    Ok(match document.link(&format!("{sample}/sample_webif_url"), cx.api_url.host.ascii()) {
        Some(link) => found.see(link),
        None => found,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gatehouse_domain::IndicatorKind;

    use super::*;
    use crate::script::{KEY, ask, ask_with_file, check};

    const HASH: &str = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    const SUBMITTED: &str =
        r#"{"result": "ok", "data": {"errors": [], "samples": [{"sample_id": 7}], "submissions": [{"submission_id": 11}]}}"#;

    #[tokio::test]
    async fn known_files_are_not_uploaded() {
        let asked = format!("GET /rest/sample/sha256/{HASH}");
        let file = FileContent { name: "a.exe".into(), bytes: Arc::new(b"MZ".to_vec()) };
        let body = r#"{"result": "ok", "data": [{"sample_verdict": "clean"},
            {"sample_verdict": "malicious", "sample_webif_url": "https://service.test/samples/7"}]}"#;
        let (outcome, script) = ask_with_file(&VmRay, IndicatorKind::File, HASH, Some(&file), &[(&asked, 200, body)]).await;
        let found = outcome.unwrap();
        assert_eq!((found.verdict, found.link.as_deref()), (Verdict::Malicious, Some("https://service.test/samples/7")));
        assert_eq!(script.header(0, "authorization"), Some(format!("api_key {KEY}")));
    }

    #[tokio::test]
    async fn hashes() {
        let asked = format!("GET /rest/sample/sha256/{HASH}");
        for (status, body, expected) in [
            (200, r#"{"result": "ok", "data": [{"sample_verdict": "suspicious"}]}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"result": "ok", "data": [{"sample_verdict": null}]}"#, Ok(Verdict::Unknown)),
            (200, r#"{"result": "ok", "data": []}"#, Ok(Verdict::Unknown)),
            (404, r#"{"result": "error"}"#, Ok(Verdict::Unknown)),
            (200, r#"{"result": "ok", "data": [{}]}"#, Err(Cause::BadAnswer)),
            (200, r#"{"result": "ok", "data": [{"sample_verdict": "fine"}]}"#, Err(Cause::BadAnswer)),
            (200, r#"{"result": "error", "error_msg": "no"}"#, Err(Cause::EngineError)),
            (200, "{}", Err(Cause::BadAnswer)),
            (401, r#"{"result": "error"}"#, Err(Cause::KeyRejected)),
            (429, "", Err(Cause::QuotaExceeded)),
        ] {
            let (outcome, _) = ask(&VmRay, IndicatorKind::Hash, HASH, &[(&asked, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn an_unknown_file_is_submitted_and_waited_for() {
        let asked = format!("GET /rest/sample/sha256/{HASH}");
        let file = FileContent { name: "a.exe".into(), bytes: Arc::new(b"MZ".to_vec()) };
        let steps = [
            (asked.as_str(), 200, r#"{"result": "ok", "data": []}"#),
            ("POST /rest/sample/submit", 200, SUBMITTED),
            ("GET /rest/submission/11", 200, r#"{"result": "ok", "data": {"submission_finished": false}}"#),
            ("GET /rest/submission/11", 200, r#"{"result": "ok", "data": {"submission_finished": true}}"#),
            ("GET /rest/sample/7", 200, r#"{"result": "ok", "data": {"sample_verdict": "clean"}}"#),
        ];
        let (outcome, script) = ask_with_file(&VmRay, IndicatorKind::File, HASH, Some(&file), &steps).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Clean);
        let body = script.body(1);
        assert!(body.contains("name=\"sample_file\"; filename=\"a.exe\"") && body.contains("\r\n\r\nMZ\r\n"), "{body}");
        assert!(body.contains("name=\"shareable\"\r\n\r\nfalse"), "{body}");
    }

    #[tokio::test]
    async fn urls_are_submitted() {
        let steps = [
            ("POST /rest/sample/submit", 200, SUBMITTED),
            ("GET /rest/submission/11", 200, r#"{"result": "ok", "data": {"submission_finished": true}}"#),
            ("GET /rest/sample/7", 200, r#"{"result": "ok", "data": {"sample_verdict": "malicious"}}"#),
        ];
        let (outcome, script) = ask(&VmRay, IndicatorKind::Url, "http://a.test/?x=1&y", &steps).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Malicious);
        assert_eq!(script.body(0), "sample_url=http%3A%2F%2Fa.test%2F%3Fx%3D1%26y&shareable=false");
        let (outcome, _) = ask(&VmRay, IndicatorKind::Ip, "192.0.2.7", &[]).await;
        assert_eq!(outcome.unwrap_err().cause, Cause::Excluded);
    }

    #[tokio::test]
    async fn the_check_asks_for_one_analysis() {
        let asked = "GET /rest/analysis?_limit=1";
        assert!(check(&VmRay, &[(asked, 200, r#"{"result": "ok", "data": []}"#)]).await.is_ok());
        assert_eq!(check(&VmRay, &[(asked, 401, "{}")]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&VmRay, &[(asked, 200, r#"{"result": "ok"}"#)]).await, Err(Cause::BadAnswer));
    }
}
