//! OPSWAT MetaDefender Cloud, API v4.
//!
//! | What it says | Verdict |
//! |---|---|
//! | URL, address: `lookup_results.detected_by` is the threshold or more | malicious |
//! | 1 or more | suspicious |
//! | 0 | clean |
//! | hash, file: `scan_results.scan_all_result_i` 1, 4, 6, 8 (infected) with the threshold's number of `total_detected_avs`, or without that number | malicious |
//! | infected with fewer; 2 (suspicious) | suspicious |
//! | 0 (no threat), 7 (known to be good) | clean |
//! | hash, file: 254, 255 (queued, running) | waited for |
//! | any other (not scanned, encrypted, failed …); 404 | unknown |
//!
//! A file is looked up by its hash; when that is unknown and the file is there, it is uploaded and the result waited for.
//!
//! **Not confirmed**: the codes of `scan_all_result_i` beyond 0 and 1 ([`scanned`]); that a URL goes percent-encoded into the
//! path ([`path`]); the header field `filename` ([`MetaDefender::scan`]).

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, EngineSpec, Indicator, KeyNeed, Secret, Threshold, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};

use crate::service::{Asked, Document, Pace, Reply, accepted, asked, encode, fetch, look_up, threshold, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "metadefender",
    label: "OPSWAT MetaDefender",
    summary: "Asks many scanners and block lists about a URL, an IP address or a file; scans files it does not know.",
    api_url: "https://api.metadefender.com/v4",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: true, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: true, attachment: false },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: Some(Threshold {
        default: 2,
        max: 100,
        help: "How many scanners or lists must detect it. Fewer than that make it suspicious.",
    }),
    uploads: true,
    dns: false,
    notes: &[
        "With attachments switched on, a file that OPSWAT does not know yet is uploaded to it; depending on your plan, others may get to see it.",
    ],
    options: &[],
    timeout_s: 600,
};

/// See the module.
pub struct MetaDefender;

#[async_trait]
impl Engine for MetaDefender {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for what is known about the key.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        fetch(cx, &SPEC, get(cx, "/apikey")?).await?.into_object()?;
        Ok(accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, file: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let asked = asked(&SPEC, indicator)?;
        let threshold = threshold(cx, &SPEC);
        match (look_up(cx, &SPEC, get(cx, &path(asked))?).await?, asked, file) {
            (Reply::Known(document), Asked::Hash(_), _) if is_over(&document)? => scanned(&document, threshold),
            (Reply::Known(_), Asked::Hash(_), _) => self.wait(cx, &path(asked), threshold).await,
            (Reply::Known(document), ..) => reputation(&document, threshold),
            (Reply::Unknown, Asked::Hash(_), Some(file)) => self.scan(cx, file, threshold).await,
            (Reply::Unknown, ..) => Ok(Finding::of(Verdict::Unknown)),
        }
    }
}

impl MetaDefender {
    /// Uploads a file and waits for the result.
    async fn scan(&self, cx: &EngineContext, file: &FileContent, threshold: u64) -> Result<Finding, EngineFailure> {
        cx.progress("Uploading the file to OPSWAT MetaDefender");
        let request = cx.post("/file", "application/octet-stream", file.bytes.as_ref().clone())?;
        let request = with(request, "filename", Secret::new(encode(&file.name)));
        let taken = fetch(cx, &SPEC, with(request, "apikey", cx.api_key.clone())).await?;
        self.wait(cx, &format!("/file/{}", taken.id("/data_id")?), threshold).await
    }

    /// Waits for the result of a scan.
    async fn wait(&self, cx: &EngineContext, path: &str, threshold: u64) -> Result<Finding, EngineFailure> {
        let mut pace = Pace::new(cx);
        loop {
            pace.wait(cx, "Waiting for OPSWAT MetaDefender to scan the file").await?;
            let state = pace.ask(cx, fetch(cx, &SPEC, get(cx, path)?)).await?;
            if is_over(&state)? {
                return scanned(&state, threshold);
            }
        }
    }
}

fn get(cx: &EngineContext, path: &str) -> Result<OutRequest, EngineFailure> {
    Ok(with(cx.get(path)?, "apikey", cx.api_key.clone()))
}

fn path(asked: Asked<'_>) -> String {
    match asked {
        Asked::Url(url) => format!("/url/{}", encode(url)),
        Asked::Ip(ip) => format!("/ip/{ip}"),
        Asked::Hash(hash) => format!("/hash/{hash}"),
    }
}

fn reputation(document: &Document, threshold: u64) -> Result<Finding, EngineFailure> {
    let detections = document.count("/lookup_results/detected_by")?;
    let verdict = match detections {
        n if n >= threshold => Verdict::Malicious,
        1.. => Verdict::Suspicious,
        0 => Verdict::Clean,
    };
    let of = document.list("/lookup_results/sources").map(|sources| format!(" of {}", sources.len())).unwrap_or_default();
    Ok(Finding::of(verdict).because("Detections", format!("{detections}{of}")).because("Threshold", threshold))
}

/// The result codes of a scan that is not over.
const QUEUED: u64 = 254;
const RUNNING: u64 = 255;

fn is_over(state: &Document) -> Result<bool, EngineFailure> {
    let code = state.count("/scan_results/scan_all_result_i");
    match state.count("/scan_results/progress_percentage") {
        Ok(percentage) => Ok(percentage >= 100 && !matches!(code, Ok(QUEUED | RUNNING))),
        Err(_) => Ok(!matches!(code?, QUEUED | RUNNING)),
    }
}

fn scanned(document: &Document, threshold: u64) -> Result<Finding, EngineFailure> {
    let code = document.count("/scan_results/scan_all_result_i")?;
    let detections = document.count("/scan_results/total_detected_avs").ok();
    let of = document.count("/scan_results/total_avs").map(|n| format!(" of {n}")).unwrap_or_default();
    let (verdict, words) = match code {
        1 | 4 | 6 | 8 if detections.is_some_and(|n| n < threshold) => (Verdict::Suspicious, "infected"),
        1 | 4 | 6 | 8 => (Verdict::Malicious, "infected"),
        2 => (Verdict::Suspicious, "suspicious"),
        // A scan is clean only when no scanner found anything.
        0 | 7 if detections.unwrap_or(0) > 0 => (Verdict::Suspicious, "no threat in all, though single scanners found one"),
        0 => (Verdict::Clean, "no threat"),
        7 => (Verdict::Clean, "known to be good"),
        _ => (Verdict::Unknown, "not scanned"),
    };
    let finding = Finding::of(verdict).because("Result", format!("{words} (code {code})"));
    Ok(match detections {
        Some(n) => finding.because("Detections", format!("{n}{of}")).because("Threshold", threshold),
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gatehouse_domain::{Cause, IndicatorKind};

    use super::*;
    use crate::script::{KEY, ask, ask_with_file, check, evidence};

    const HASH: &str = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";

    #[tokio::test]
    async fn reputations() {
        let asked = "GET /v4/url/http%3A%2F%2Fa.test%2F";
        for (status, body, expected) in [
            (200, r#"{"lookup_results": {"detected_by": 2, "sources": [{}, {}, {}]}}"#, Ok(Verdict::Malicious)),
            (200, r#"{"lookup_results": {"detected_by": 1}}"#, Ok(Verdict::Suspicious)),
            (200, r#"{"lookup_results": {"detected_by": 0}}"#, Ok(Verdict::Clean)),
            (200, r#"{"lookup_results": {}}"#, Err(Cause::BadAnswer)),
            (404, r#"{"error": {"code": 404000}}"#, Ok(Verdict::Unknown)),
            (401, r#"{"error": {"code": 401001}}"#, Err(Cause::KeyRejected)),
            (429, r#"{"error": {"code": 429000}}"#, Err(Cause::QuotaExceeded)),
            (503, "", Err(Cause::EngineError)),
        ] {
            let (outcome, script) = ask(&MetaDefender, IndicatorKind::Url, "http://a.test/", &[(asked, status, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
            assert_eq!(script.header(0, "apikey").as_deref(), Some(KEY));
        }
        let ip = ("GET /v4/ip/192.0.2.7", 200, r#"{"lookup_results": {"detected_by": 0, "sources": [{}]}}"#);
        let (outcome, _) = ask(&MetaDefender, IndicatorKind::Ip, "192.0.2.7", &[ip]).await;
        assert_eq!(evidence(&outcome.unwrap()), ["Detections: 0 of 1", "Threshold: 2"]);
    }

    #[tokio::test]
    async fn scans() {
        let asked = format!("GET /v4/hash/{HASH}");
        for (body, expected) in [
            (r#"{"scan_results": {"scan_all_result_i": 1, "total_detected_avs": 12, "total_avs": 35}}"#, Ok(Verdict::Malicious)),
            (r#"{"scan_results": {"scan_all_result_i": 1, "total_detected_avs": 1}}"#, Ok(Verdict::Suspicious)),
            (r#"{"scan_results": {"scan_all_result_i": 1}}"#, Ok(Verdict::Malicious)),
            (r#"{"scan_results": {"scan_all_result_i": 2}}"#, Ok(Verdict::Suspicious)),
            (r#"{"scan_results": {"scan_all_result_i": 0, "total_detected_avs": 0}}"#, Ok(Verdict::Clean)),
            (r#"{"scan_results": {"scan_all_result_i": 0, "total_detected_avs": 1}}"#, Ok(Verdict::Suspicious)),
            (r#"{"scan_results": {"scan_all_result_i": 12}}"#, Ok(Verdict::Unknown)),
            (r#"{"scan_results": {}}"#, Err(Cause::BadAnswer)),
            ("{}", Err(Cause::BadAnswer)),
        ] {
            let (outcome, _) = ask(&MetaDefender, IndicatorKind::Hash, HASH, &[(&asked, 200, body)]).await;
            assert_eq!(outcome.map(|f| f.verdict).map_err(|f| f.cause), expected, "{body}");
        }
    }

    #[tokio::test]
    async fn a_scan_of_somebody_else_is_waited_for() {
        let asked = format!("GET /v4/hash/{HASH}");
        let steps = [
            r#"{"scan_results": {"scan_all_result_i": 254}}"#,
            r#"{"scan_results": {"scan_all_result_i": 255, "progress_percentage": 40}}"#,
            r#"{"scan_results": {"scan_all_result_i": 255, "progress_percentage": 100}}"#,
            r#"{"scan_results": {"scan_all_result_i": 1, "progress_percentage": 100}}"#,
        ]
        .map(|body| (asked.as_str(), 200, body));
        let file = FileContent { name: "a.exe".into(), bytes: Arc::new(b"MZ".to_vec()) };
        for (kind, file) in [(IndicatorKind::Hash, None), (IndicatorKind::File, None), (IndicatorKind::File, Some(&file))] {
            let (outcome, _) = ask_with_file(&MetaDefender, kind, HASH, file, &steps).await;
            assert_eq!(outcome.unwrap().verdict, Verdict::Malicious, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_file_is_uploaded_and_waited_for() {
        let hash = format!("GET /v4/hash/{HASH}");
        let file = FileContent { name: "é.exe".into(), bytes: Arc::new(b"MZ\0".to_vec()) };
        let steps = [
            (hash.as_str(), 404, r#"{"error": {"code": 404003}}"#),
            ("POST /v4/file", 200, r#"{"data_id": "bzE3MDMx-_"}"#),
            ("GET /v4/file/bzE3MDMx-_", 200, r#"{"scan_results": {"scan_all_result_i": 255, "progress_percentage": 10}}"#),
            ("GET /v4/file/bzE3MDMx-_", 200, r#"{"scan_results": {"scan_all_result_i": 254}}"#),
            (
                "GET /v4/file/bzE3MDMx-_",
                200,
                r#"{"scan_results": {"scan_all_result_i": 1, "total_detected_avs": 9, "progress_percentage": 100}}"#,
            ),
        ];
        let (outcome, script) = ask_with_file(&MetaDefender, IndicatorKind::File, HASH, Some(&file), &steps).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Malicious);
        assert_eq!((script.body(1), script.header(1, "filename").as_deref()), ("MZ\0".into(), Some("%C3%A9.exe")));

        // Without the bytes it stays unknown.
        let (outcome, _) = ask(&MetaDefender, IndicatorKind::File, HASH, &steps[..1]).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Unknown);
        // A hostile identifier goes into no path.
        let steps = [steps[0], ("POST /v4/file", 200, r#"{"data_id": "../apikey"}"#)];
        let (outcome, _) = ask_with_file(&MetaDefender, IndicatorKind::File, HASH, Some(&file), &steps).await;
        assert_eq!(outcome.unwrap_err().cause, Cause::BadAnswer);
    }

    #[tokio::test]
    async fn the_check_asks_about_the_key() {
        assert!(check(&MetaDefender, &[("GET /v4/apikey", 200, r#"{"limit_prevention": 10}"#)]).await.is_ok());
        assert_eq!(check(&MetaDefender, &[("GET /v4/apikey", 401, "{}")]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&MetaDefender, &[("GET /v4/apikey", 200, "[]")]).await, Err(Cause::BadAnswer));
    }
}
