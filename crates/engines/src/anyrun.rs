//! ANY.RUN, a sandbox.
//!
//! | What it says (`data.analysis.scores.verdict`) | Verdict |
//! |---|---|
//! | `threatLevel` 2, 1, 0 | malicious, suspicious, clean |
//! | without it, `threatLevelText`: `Malicious activity`, `Suspicious activity`, `No threats detected` | the same |
//!
//! A URL or a file is submitted, and the task asked about until it is done. Hashes can't be looked up.
//!
//! **Not confirmed** by the documentation as we have it, though public clients do the same: the fields `taskid` and `status`
//! ([`AnyRun::submit`], [`is_done`]), the numbers of `threatLevel` ([`finding`]), 429 for a quota (it also comes when more
//! tasks run at a time than the plan allows).

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineOption, EngineSpec, Indicator, IndicatorKind, KeyNeed, Secret, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};
use serde_json::Value;

use crate::service::{Asked, Document, FORM, Pace, Reply, accepted, asked, cannot, fetch, form, look_up, option, upload, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "anyrun",
    label: "ANY.RUN",
    summary: "Opens URLs and files in ANY.RUN's sandbox and tells what they do.",
    api_url: "https://api.any.run/v1",
    api_url_example: "",
    can: Capabilities { url: true, sender_ip: false, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: false, attachment: false },
    key: KeyNeed::Required,
    key_label: "API key",
    password_label: None,
    threshold: None,
    uploads: true,
    dns: false,
    notes: &[
        "With attachments switched on, every file that is looked at is uploaded to ANY.RUN. Who can see the task follows from the privacy setting and your plan.",
        "URLs are opened by ANY.RUN's browsers. Each task counts against your plan: a cache of some hours spares much.",
    ],
    options: &[EngineOption {
        name: "privacy",
        label: "Who may see a task",
        help: "owner (only you), bylinkteam (your team, by its link), bylink (everybody with the link) or public. Your plan must allow it.",
        default: "owner",
        check: |value| match value {
            "owner" | "bylinkteam" | "bylink" | "public" => Ok(()),
            _ => Err("Use owner, bylinkteam, bylink or public.".into()),
        },
    }],
    timeout_s: 600,
};

/// A report holds everything that went on, with pictures' addresses, processes and connections.
const MAX_REPORT: usize = 8 * 1024 * 1024;

/// See the module.
pub struct AnyRun;

#[async_trait]
impl Engine for AnyRun {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for the key's user.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        let user = ok(fetch(cx, &SPEC, key(cx, cx.get("/user")?)).await?)?;
        user.get("/data").ok_or_else(|| user.lacks("/data"))?;
        Ok(accepted(&SPEC))
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, file: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let privacy = ("opt_privacy_type", option(cx, &SPEC, "privacy"));
        match (asked(&SPEC, indicator)?, file) {
            (Asked::Url(url), _) => {
                let fields = [("obj_type", "url"), ("obj_url", url), privacy];
                self.submit(cx, cx.post("/analysis", FORM, form(&fields))?).await
            }
            (Asked::Hash(_), Some(file)) if indicator.kind == IndicatorKind::File => {
                cx.progress("Uploading the file to ANY.RUN");
                self.submit(cx, upload(cx, "/analysis", &[("obj_type", "file"), privacy], "file", file)?).await
            }
            (Asked::Hash(_), _) => Err(cannot(&SPEC, "a file's hash alone")),
            (Asked::Ip(_), _) => Err(cannot(&SPEC, "IP addresses")),
        }
    }
}

impl AnyRun {
    /// Starts a task and waits for its verdict.
    async fn submit(&self, cx: &EngineContext, request: OutRequest) -> Result<Finding, EngineFailure> {
        let taken = ok(fetch(cx, &SPEC, key(cx, request)).await?)?;
        let task = taken.id("/data/taskid")?;
        let mut pace = Pace::new(cx);
        loop {
            pace.wait(cx, "Waiting for ANY.RUN's sandbox").await?;
            let mut request = key(cx, cx.get(&format!("/analysis/{task}"))?);
            request.max_answer = MAX_REPORT;
            // A task may take a moment until it can be asked about.
            let Reply::Known(state) = pace.ask(cx, look_up(cx, &SPEC, request)).await? else { continue };
            let state = ok(state)?;
            if is_done(&state)? {
                return Ok(finding(&state)?.see(format!("https://app.any.run/tasks/{task}")));
            }
        }
    }
}

fn key(cx: &EngineContext, request: OutRequest) -> OutRequest {
    with(request, "authorization", Secret::new(format!("API-Key {}", cx.api_key.expose())))
}

/// A document whose `error` is not true.
fn ok(document: Document) -> Result<Document, EngineFailure> {
    if document.get("/error").is_some_and(|error| *error != Value::Bool(false)) {
        return Err(failed("reports an error of its own"));
    }
    document.into_object()
}

fn failed(what: &str) -> EngineFailure {
    EngineFailure::new(Cause::EngineError, format!("{} {what}.", SPEC.label))
        .with_hint("See ANY.RUN's own pages: the plan may not allow such a task, or the privacy setting.")
}

fn is_done(state: &Document) -> Result<bool, EngineFailure> {
    match state.text("/data/status") {
        Ok("done") => Ok(true),
        Ok("failed") => Err(failed("could not finish the task")),
        Ok(_) => Ok(false),
        // Where there is no status, the verdict itself says that it is over.
        Err(_) if state.get(VERDICT).is_some() => Ok(true),
        Err(lacking) => Err(lacking),
    }
}

/// Where the verdict is.
const VERDICT: &str = "/data/analysis/scores/verdict";

fn finding(state: &Document) -> Result<Finding, EngineFailure> {
    let level = state.count(&format!("{VERDICT}/threatLevel"));
    let words = state.text(&format!("{VERDICT}/threatLevelText"));
    let (verdict, shown) = match (level, words) {
        (Ok(2), _) | (Err(_), Ok("Malicious activity")) => (Verdict::Malicious, "malicious activity"),
        (Ok(1), _) | (Err(_), Ok("Suspicious activity")) => (Verdict::Suspicious, "suspicious activity"),
        (Ok(0), _) | (Err(_), Ok("No threats detected")) => (Verdict::Clean, "no threats detected"),
        (Ok(_), _) | (Err(_), Ok(_)) => return Err(state.lacks(&format!("{VERDICT}/threatLevel"))),
        (Err(lacking), Err(_)) => return Err(lacking),
    };
    let found = Finding::of(verdict).because("ANY.RUN's verdict", shown);
    Ok(match state.count(&format!("{VERDICT}/score")) {
        Ok(score) => found.because("Score", format!("{score} of 100")),
        Err(_) => found,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::script::{KEY, ask, ask_with_file, check, evidence};

    const TASK: &str = "0cf223f2-530e-4a50-b68f-563045268648";

    fn done(verdict: Value) -> String {
        json!({"error": false, "data": {"status": "done", "analysis": {"scores": {"verdict": verdict}}}}).to_string()
    }

    async fn outcome(states: &[(u16, &str)]) -> Result<Finding, EngineFailure> {
        let taken = json!({"error": false, "data": {"taskid": TASK}}).to_string();
        let asked = format!("GET /v1/analysis/{TASK}");
        let mut steps = vec![("POST /v1/analysis", 200, taken.as_str())];
        steps.extend(states.iter().map(|(status, body)| (asked.as_str(), *status, *body)));
        let (outcome, script) = ask(&AnyRun, IndicatorKind::Url, "http://a.test/?x&y", &steps).await;
        assert_eq!(script.body(0), "obj_type=url&obj_url=http%3A%2F%2Fa.test%2F%3Fx%26y&opt_privacy_type=owner");
        assert_eq!(script.header(0, "authorization"), Some(format!("API-Key {KEY}")));
        assert!(script.requests.lock().unwrap().iter().all(|request| request.max_answer <= 8 << 20));
        outcome
    }

    #[tokio::test]
    async fn a_task_is_waited_for() {
        let running = r#"{"error": false, "data": {"status": "running"}}"#;
        let body = done(json!({"score": 100, "threatLevel": 2, "threatLevelText": "Malicious activity"}));
        let found = outcome(&[(404, ""), (200, running), (200, &body)]).await.unwrap();
        assert_eq!(found.verdict, Verdict::Malicious);
        assert_eq!(evidence(&found), ["ANY.RUN's verdict: malicious activity", "Score: 100 of 100"]);
        assert_eq!(found.link, Some(format!("https://app.any.run/tasks/{TASK}")));
    }

    #[tokio::test]
    async fn verdicts_and_failures() {
        for (status, body, expected) in [
            (200, done(json!({"threatLevel": 1})), Ok(Verdict::Suspicious)),
            (200, done(json!({"threatLevel": 0, "score": 0})), Ok(Verdict::Clean)),
            (200, done(json!({"threatLevelText": "No threats detected"})), Ok(Verdict::Clean)),
            (200, done(json!({"threatLevelText": "<b>"})), Err(Cause::BadAnswer)),
            (200, done(json!({"threatLevel": 9})), Err(Cause::BadAnswer)),
            (200, done(json!({})), Err(Cause::BadAnswer)),
            (200, done(Value::Null), Err(Cause::BadAnswer)),
            (200, r#"{"error": false, "data": {"status": "failed"}}"#.into(), Err(Cause::EngineError)),
            (200, r#"{"error": true, "message": "x"}"#.into(), Err(Cause::EngineError)),
            (200, r#"{"error": false, "data": {}}"#.into(), Err(Cause::BadAnswer)),
            (200, "[]".into(), Err(Cause::BadAnswer)),
            (401, "{}".into(), Err(Cause::KeyRejected)),
            (429, "{}".into(), Err(Cause::QuotaExceeded)),
        ] {
            let found = outcome(&[(status, &body)]).await;
            assert_eq!(found.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn files_are_uploaded_and_hashes_are_not_sent() {
        let hash = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
        let file = FileContent { name: "a.exe".into(), bytes: Arc::new(b"MZ".to_vec()) };
        let (taken, asked) = (json!({"data": {"taskid": TASK}}).to_string(), format!("GET /v1/analysis/{TASK}"));
        let body = done(json!({"threatLevel": 2}));
        let steps = [("POST /v1/analysis", 200, taken.as_str()), (asked.as_str(), 200, body.as_str())];
        let (outcome, script) = ask_with_file(&AnyRun, IndicatorKind::File, hash, Some(&file), &steps).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Malicious);
        assert!(script.body(0).contains("name=\"opt_privacy_type\"\r\n\r\nowner\r\n"));
        assert!(script.body(0).contains("name=\"file\"; filename=\"a.exe\""));
        for kind in [IndicatorKind::Hash, IndicatorKind::File] {
            let (outcome, _) = ask(&AnyRun, kind, hash, &[]).await;
            assert_eq!(outcome.unwrap_err().cause, Cause::Excluded);
        }
    }

    #[tokio::test]
    async fn the_check_asks_for_the_user() {
        assert!(check(&AnyRun, &[("GET /v1/user", 200, r#"{"error": false, "data": {"limits": {}}}"#)]).await.is_ok());
        assert_eq!(check(&AnyRun, &[("GET /v1/user", 401, "{}")]).await, Err(Cause::KeyRejected));
        assert_eq!(check(&AnyRun, &[("GET /v1/user", 200, "{}")]).await, Err(Cause::BadAnswer));
    }
}
