//! Analyses: what was asked about, what each engine said, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Timestamp, proxy::wire_enum, report::Cause, route::Route};

wire_enum!(
    /// What an engine thinks of an indicator. An error is not a verdict. In the order of badness: the worst is the greatest.
    Verdict, "Use malicious, suspicious, clean or unknown." {
        /// The engine has never seen it.
        Unknown = "unknown", "Unknown";
        /// The engine looked at it and found nothing.
        Clean = "clean", "Clean";
        /// There are signs.
        Suspicious = "suspicious", "Suspicious";
        /// It is.
        Malicious = "malicious", "Malicious";
    }
);

wire_enum!(
    /// What kind of thing is looked at.
    IndicatorKind, "Use url, ip, hash or file." {
        /// A URL.
        Url = "url", "URL";
        /// An IP address.
        Ip = "ip", "IP address";
        /// The hash of a file, in hexadecimal: MD5, SHA-1 or SHA-256.
        Hash = "hash", "File hash";
        /// A file; its value is its SHA-256.
        File = "file", "File";
    }
);

/// What an engine is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Indicator {
    /// What it is.
    pub kind: IndicatorKind,
    /// The URL, the address, or the hash (in lower case).
    pub value: String,
    /// A file's name, or where in a mail this was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

wire_enum!(
    /// What an analysis is about.
    SubjectKind, "Use url, ip, hash, file or email." {
        /// A URL.
        Url = "url", "URL";
        /// An IP address.
        Ip = "ip", "IP address";
        /// The hash of a file.
        Hash = "hash", "File hash";
        /// A file.
        File = "file", "File";
        /// A reported e-mail, with what it holds.
        Email = "email", "E-mail";
    }
);

/// What an analysis is about, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// The URL, address or hash; a file's name; a mail's subject line.
    pub value: String,
}

/// What a reported e-mail says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MailSummary {
    /// Subject line.
    pub subject: Option<String>,
    /// From, as written.
    pub from: Option<String>,
    /// To, as written.
    pub to: Option<String>,
    /// Date, as written.
    pub date: Option<String>,
    /// Message-ID.
    pub message_id: Option<String>,
    /// The address that handed the mail to the first server that told it.
    pub sender_ip: Option<String>,
    /// Links whose text shows another address than they lead to.
    pub lying_links: Vec<LyingLink>,
    /// What was cut off or could not be read.
    pub notes: Vec<String>,
}

/// A link that shows one address and leads to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LyingLink {
    /// What a reader sees.
    pub shows: String,
    /// Where it leads.
    pub leads_to: String,
}

wire_enum!(
    /// How far a look-up is.
    ResultStatus, "Use queued, running or done." {
        /// It waits for its turn.
        Queued = "queued", "Waiting";
        /// The engine has been asked.
        Running = "running", "Running";
        /// There is an answer, or an error.
        Done = "done", "Done";
    }
);

wire_enum!(
    /// How far an analysis is.
    AnalysisStatus, "Use running or done." {
        /// Some engines have not answered yet.
        Running = "running", "Running";
        /// All have.
        Done = "done", "Done";
    }
);

/// An integration as a result names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IntegrationRef {
    /// Its identifier.
    pub id: String,
    /// Its name when it was asked.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// One thing that speaks for a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// What it is: `Detections`.
    pub label: String,
    /// What the engine said: `7 of 92`.
    pub value: String,
}

/// What one integration said about one indicator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalysisResult {
    /// Which integration.
    pub integration: IntegrationRef,
    /// About what.
    pub indicator: Indicator,
    /// How far it is.
    pub status: ResultStatus,
    /// Null until it is done, and on an error.
    pub verdict: Option<Verdict>,
    /// Why there is no verdict.
    pub cause: Option<Cause>,
    /// What happened, for a person; on an error with the proxy's name where it was the proxy.
    pub message: Option<String>,
    /// Which way the requests went; null when none was made.
    pub route: Option<Route>,
    /// How long it took, in milliseconds.
    pub ms: Option<u64>,
    /// What speaks for the verdict.
    pub evidence: Vec<Evidence>,
    /// The engine's own page about it.
    pub link: Option<String>,
    /// An earlier answer was used again; no request was made.
    pub cached: bool,
    /// While an engine works on it: what it is doing.
    pub progress: Option<String>,
}

/// An analysis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalysisView {
    /// Identifier (UUID).
    pub id: String,
    /// How far it is.
    pub status: AnalysisStatus,
    /// What it is about.
    pub subject: Subject,
    /// The worst there is; null while nobody has answered.
    pub verdict: Option<Verdict>,
    /// Somebody who was asked did not answer.
    pub incomplete: bool,
    /// `no_engine` or `all_failed` when there can be no verdict.
    pub cause: Option<Cause>,
    /// Who asked.
    pub by: String,
    /// When it was begun.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When the last answer came.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
    /// How many look-ups there are, and how many are done.
    pub total: u32,
    /// Done look-ups.
    pub done: u32,
    /// For a reported e-mail.
    pub email: Option<MailSummary>,
    /// What each integration said; empty in lists.
    pub results: Vec<AnalysisResult>,
}

/// The overall verdict of what was answered so far: the rule, in one place.
///
/// * The worst verdict there is: malicious, then suspicious, then clean, then unknown.
/// * An error is not a verdict. Somebody who was asked and gave none makes the analysis incomplete.
/// * `excluded` is no failure: nothing was asked, so nothing is missing.
/// * Nobody was asked at all: `no_engine`. All who were asked failed: `all_failed`.
#[must_use]
pub fn overall(results: &[AnalysisResult]) -> Overall {
    let done = results.iter().filter(|r| r.status == ResultStatus::Done);
    let verdict = done.clone().filter_map(|r| r.verdict).max();
    let failed = done.clone().any(|r| r.verdict.is_none() && r.cause != Some(Cause::Excluded));
    let all_done = results.iter().all(|r| r.status == ResultStatus::Done);
    let asked = results.iter().any(|r| r.cause != Some(Cause::Excluded));
    let cause = match (all_done, verdict, asked) {
        (true, None, false) => Some(Cause::NoEngine),
        (true, None, true) => Some(Cause::AllFailed),
        _ => None,
    };
    Overall { verdict, incomplete: failed, cause }
}

/// What follows from the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overall {
    /// The worst there is.
    pub verdict: Option<Verdict>,
    /// Somebody did not answer.
    pub incomplete: bool,
    /// Why there can be no verdict.
    pub cause: Option<Cause>,
}

/// What a list of analyses is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalysisQuery {
    /// Searched for in what was analysed and what was found in it, without regard to case.
    pub q: String,
    /// Only these.
    pub verdict: Option<Verdict>,
    /// Only these.
    pub status: Option<AnalysisStatus>,
    /// Only these.
    pub kind: Option<SubjectKind>,
    /// Oldest first.
    pub ascending: bool,
    /// Items on a page, 1 to 200.
    pub limit: u16,
    /// Where to go on; opaque.
    pub cursor: Option<String>,
}

impl Default for AnalysisQuery {
    fn default() -> Self {
        Self { q: String::new(), verdict: None, status: None, kind: None, ascending: false, limit: 50, cursor: None }
    }
}

impl AnalysisQuery {
    /// Reads the parameters of a URL. Empty ones count as left out.
    ///
    /// # Errors
    /// Each wrong or unknown parameter with what would be right.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        let mut errors = FieldErrors::new();
        for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key {
                "q" => query.q = value.trim().chars().take(200).collect(),
                "verdict" => query.verdict = errors.check(key, value.parse()),
                "status" => query.status = errors.check(key, value.parse()),
                "kind" => query.kind = errors.check(key, value.parse()),
                "sort" => match value {
                    "-created_at" => query.ascending = false,
                    "created_at" => query.ascending = true,
                    _ => errors.add(key, "Sort by created_at; a minus in front turns the order round."),
                },
                "limit" => match value.parse::<u16>() {
                    Ok(limit) if (1..=200).contains(&limit) => query.limit = limit,
                    _ => errors.add(key, "Use a number from 1 to 200."),
                },
                "cursor" => query.cursor = Some(value.to_string()),
                _ => errors.add(key, "There is no such filter."),
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }

    /// Whether anything narrows the list.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !self.q.is_empty() || self.verdict.is_some() || self.status.is_some() || self.kind.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(status: ResultStatus, verdict: Option<Verdict>, cause: Option<Cause>) -> AnalysisResult {
        AnalysisResult {
            integration: IntegrationRef { id: "1".into(), name: "A".into(), kind: "x".into() },
            indicator: Indicator { kind: IndicatorKind::Url, value: "https://example.com/".into(), note: None },
            status,
            verdict,
            cause,
            message: None,
            route: None,
            ms: None,
            evidence: Vec::new(),
            link: None,
            cached: false,
            progress: None,
        }
    }

    #[test]
    fn the_worst_verdict_counts_and_an_error_is_none() {
        use ResultStatus::{Done, Running};
        let said = |verdict| result(Done, Some(verdict), None);
        let failed = || result(Done, None, Some(Cause::ConnectionRefused));
        let excluded = || result(Done, None, Some(Cause::Excluded));
        let is = |results: &[AnalysisResult]| {
            let overall = overall(results);
            (overall.verdict, overall.incomplete, overall.cause)
        };
        assert_eq!(
            is(&[said(Verdict::Clean), said(Verdict::Malicious), said(Verdict::Unknown)]),
            (Some(Verdict::Malicious), false, None)
        );
        assert_eq!(is(&[said(Verdict::Unknown), said(Verdict::Clean)]), (Some(Verdict::Clean), false, None));
        assert_eq!(is(&[failed(), said(Verdict::Suspicious)]), (Some(Verdict::Suspicious), true, None));
        assert_eq!(is(&[failed(), failed()]), (None, true, Some(Cause::AllFailed)));
        assert_eq!(is(&[]), (None, false, Some(Cause::NoEngine)));
        assert_eq!(is(&[excluded()]), (None, false, Some(Cause::NoEngine)));
        assert_eq!(is(&[excluded(), failed()]), (None, true, Some(Cause::AllFailed)));
        assert_eq!(is(&[excluded(), said(Verdict::Clean)]), (Some(Verdict::Clean), false, None));
        assert_eq!(is(&[result(Running, None, None), failed()]), (None, true, None));
    }

    proptest! {
        /// Whatever else is said: a failure never shows as clean.
        #[test]
        fn failures_alone_never_make_a_verdict(causes in proptest::collection::vec(0..Cause::ALL.len(), 1..8)) {
            let results: Vec<_> = causes.into_iter().map(|at| result(ResultStatus::Done, None, Some(Cause::ALL[at]))).collect();
            prop_assert_eq!(overall(&results).verdict, None);
        }
    }
}
