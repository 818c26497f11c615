//! What is said about an analysis: which verdict, by which rule, and what to do where there is none.

use std::collections::HashMap;

use gatehouse_domain::{AnalysisResult, AnalysisStatus, AnalysisView, Cause, Indicator, ResultStatus, SubjectKind, Verdict};

/// The rule, as `gatehouse_domain::overall` has it, a sentence each.
pub const RULE: [&str; 4] = [
    "The verdict is the worst that an integration gave: malicious, then suspicious, then clean, then unknown.",
    "An error is not a verdict. When somebody who was asked gave none, the analysis is incomplete, and what they would have said is missing.",
    "What an integration's own settings exclude is not sent to it. Nothing was asked, so nothing is missing.",
    "When nobody could be asked, or nobody answered, there is no verdict. That never means clean.",
];

/// What was analysed, with its article.
#[must_use]
pub fn subject(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Url => "a URL",
        SubjectKind::Ip => "an IP address",
        SubjectKind::Hash => "a file hash",
        SubjectKind::File => "a file",
        SubjectKind::Email => "an e-mail",
    }
}

/// How far the look-ups are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    /// Not done.
    open: usize,
    /// With a verdict.
    answered: usize,
    /// Done without one.
    failed: usize,
    /// Never asked.
    excluded: usize,
}

impl Tally {
    fn of(results: &[AnalysisResult]) -> Self {
        let mut tally = Self::default();
        for result in results {
            let count = match (result.status, result.verdict, result.cause) {
                (ResultStatus::Queued | ResultStatus::Running, ..) => &mut tally.open,
                (ResultStatus::Done, Some(_), _) => &mut tally.answered,
                (ResultStatus::Done, None, Some(Cause::Excluded)) => &mut tally.excluded,
                (ResultStatus::Done, None, _) => &mut tally.failed,
            };
            *count += 1;
        }
        tally
    }
}

/// One or two sentences: what the rule gave here, and why.
#[must_use]
pub fn sentence(view: &AnalysisView) -> String {
    let tally = Tally::of(&view.results);
    let asked = tally.open + tally.answered + tally.failed;
    let excluded = match tally.excluded {
        0 => "",
        1 => " One look-up was not made: the integration's settings exclude it.",
        _ => " Some look-ups were not made: the integrations' settings exclude them.",
    };
    if view.status == AnalysisStatus::Running {
        return match view.verdict {
            _ if asked == 0 => "The integrations are about to be asked.".to_string(),
            None => format!("Nobody has given a verdict yet. {}", open(tally.open, asked)),
            Some(verdict) => format!(
                "The worst of what was answered so far: {}, said by {}. {}",
                lower(verdict),
                said_by(verdict, &view.results),
                open(tally.open, asked)
            ),
        };
    }
    let Some(verdict) = view.verdict else {
        return match (view.cause, asked) {
            (Some(Cause::NoEngine), _) | (_, 0) => format!("No verdict: no integration could look at this.{excluded}"),
            (_, 1) => format!("No verdict: the one look-up gave no answer. That does not mean clean.{excluded}"),
            _ => format!("No verdict: none of the {asked} look-ups gave an answer. That does not mean clean.{excluded}"),
        };
    };
    let complete = match (view.incomplete, tally.failed, asked) {
        (true, 0, _) => "Not everybody answered, so this is incomplete.".to_string(),
        (true, failed, _) => format!("{failed} of {asked} look-ups gave no answer, so this is incomplete."),
        (false, _, 1) => "The one look-up was answered.".to_string(),
        (false, ..) => format!("All {asked} look-ups were answered."),
    };
    let by = said_by(verdict, &view.results);
    format!("The worst of what was answered: {}, said by {by}. {complete}{excluded}", lower(verdict))
}

/// In a few words, for those who listen: read out when it changes.
#[must_use]
pub fn headline(view: &AnalysisView) -> String {
    match (view.status, view.verdict) {
        (AnalysisStatus::Running, _) => format!("Running: {} of {} done.", view.done, view.total),
        (AnalysisStatus::Done, Some(verdict)) if view.incomplete => format!("Done: {}, incomplete.", lower(verdict)),
        (AnalysisStatus::Done, Some(verdict)) => format!("Done: {}.", lower(verdict)),
        (AnalysisStatus::Done, None) => format!("Done: no verdict. {}", no_verdict(view.cause)),
    }
}

/// Why there is no verdict at all.
#[must_use]
pub fn no_verdict(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::NoEngine) => "No integration could look at this.",
        Some(Cause::AllFailed) => "No integration gave an answer.",
        _ => "Nobody has said anything about this.",
    }
}

fn lower(verdict: Verdict) -> String {
    verdict.label().to_lowercase()
}

fn open(open: usize, asked: usize) -> String {
    if open == 1 {
        format!("1 of {asked} look-ups is not done yet.")
    } else {
        format!("{open} of {asked} look-ups are not done yet.")
    }
}

/// The integrations that gave this verdict; at most three by name.
fn said_by(verdict: Verdict, results: &[AnalysisResult]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for result in results.iter().filter(|result| result.verdict == Some(verdict)) {
        if !names.contains(&result.integration.name.as_str()) {
            names.push(&result.integration.name);
        }
    }
    match names.as_slice() {
        [] => "an integration".to_string(),
        [one] => (*one).to_string(),
        [first, second] => format!("{first} and {second}"),
        [first, second, third] => format!("{first}, {second} and {third}"),
        [first, second, third, rest @ ..] => format!("{first}, {second}, {third} and {} more", rest.len()),
    }
}

/// What to do about a look-up that gave no verdict.
#[must_use]
pub fn hint(cause: Cause) -> &'static str {
    match cause {
        Cause::NameNotFound => "Check the spelling of the name in the integration's API URL and in its proxy setting.",
        Cause::ConnectionRefused
        | Cause::ConnectTimeout
        | Cause::ProxyTlsFailed
        | Cause::NotAProxy
        | Cause::ProxyClosed
        | Cause::ProxyTimeout => "Test Connection, of the integration or of its proxy setting, shows where the way ends.",
        Cause::ProxyAuthRequired | Cause::ProxyAuthRejected | Cause::ProxyAuthUnsupported => {
            "Check authentication method, user name and password in the proxy setting."
        }
        Cause::ProxyDenied => "Ask whoever runs the proxy to let requests to this service through.",
        Cause::TargetUnreachable | Cause::TargetTimeout => {
            "The service may be down, or can't be reached this way. Analyse again later; Test Connection of the integration shows more."
        }
        Cause::TargetTlsFailed => {
            "Where a proxy inspects TLS, its CA certificate belongs into the proxy setting; a service's own CA into the integration."
        }
        Cause::AddressNotAllowed => "This installation does not connect to that address. Check the integration's API URL.",
        Cause::KeyRejected => "Enter the key again in the integration's settings.",
        Cause::QuotaExceeded => "Analyse again when the service allows more, or use a key with a larger allowance.",
        Cause::EngineTimeout => "Analyse again later, or give the integration more time in its settings.",
        Cause::EngineError => "The service has a problem of its own. Analyse again later.",
        Cause::BadAnswer => "Check the integration's API URL: something else may be answering there.",
        Cause::TooLarge => "The service, or Gatehouse, takes nothing of this size.",
        Cause::Excluded => "The integration's settings exclude this: nothing was sent.",
        Cause::NoEngine => "Activate an integration that looks at this kind of thing.",
        Cause::AllFailed => "Each integration says below why it gave no answer.",
    }
}

/// The results of each indicator, in the order in which they first appear.
#[must_use]
pub fn groups(results: &[AnalysisResult]) -> Vec<(Indicator, Vec<AnalysisResult>)> {
    let mut groups: Vec<(Indicator, Vec<AnalysisResult>)> = Vec::new();
    let mut places: HashMap<&Indicator, usize> = HashMap::new();
    for result in results {
        let place = *places.entry(&result.indicator).or_insert_with(|| {
            groups.push((result.indicator.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(result.clone());
    }
    groups
}

/// `230 ms`, `1.4 s`, `2 min 5 s`.
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// An engine's own page, if that is where its link leads: what a service answers is not trusted to be an address of the web.
#[must_use]
pub fn page_of_engine(link: Option<&str>) -> Option<&str> {
    link.filter(|link| link.starts_with("https://") || link.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{IndicatorKind, IntegrationRef, Subject, Timestamp, overall};

    use super::*;

    fn result(name: &str, status: ResultStatus, verdict: Option<Verdict>, cause: Option<Cause>) -> AnalysisResult {
        AnalysisResult {
            integration: IntegrationRef { id: name.into(), name: name.into(), kind: "x".into() },
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

    fn said(name: &str, verdict: Verdict) -> AnalysisResult {
        result(name, ResultStatus::Done, Some(verdict), None)
    }

    fn failed(name: &str) -> AnalysisResult {
        result(name, ResultStatus::Done, None, Some(Cause::ConnectionRefused))
    }

    fn view(results: Vec<AnalysisResult>) -> AnalysisView {
        let overall = overall(&results);
        let done = results.iter().filter(|r| r.status == ResultStatus::Done).count();
        AnalysisView {
            id: "1".into(),
            status: if done == results.len() { AnalysisStatus::Done } else { AnalysisStatus::Running },
            subject: Subject { kind: SubjectKind::Url, value: "https://example.com/".into() },
            verdict: overall.verdict,
            incomplete: overall.incomplete,
            cause: overall.cause,
            by: "Ada".into(),
            created_at: Timestamp::default(),
            finished_at: None,
            total: u32::try_from(results.len()).unwrap_or_default(),
            done: u32::try_from(done).unwrap_or_default(),
            email: None,
            results,
        }
    }

    #[test]
    fn the_sentence_says_what_the_rule_gave() {
        use Verdict::{Clean, Malicious, Unknown};
        let excluded = || result("E", ResultStatus::Done, None, Some(Cause::Excluded));
        let waiting = || result("W", ResultStatus::Queued, None, None);
        for (results, expected) in [
            (
                vec![said("A", Malicious), said("B", Clean), failed("C"), said("D", Malicious)],
                "The worst of what was answered: malicious, said by A and D. 1 of 4 look-ups gave no answer, so this is incomplete.",
            ),
            (
                vec![said("A", Clean), said("B", Unknown)],
                "The worst of what was answered: clean, said by A. All 2 look-ups were answered.",
            ),
            (
                vec![said("A", Clean), excluded()],
                "The worst of what was answered: clean, said by A. The one look-up was answered. One look-up was not made: the \
                 integration's settings exclude it.",
            ),
            (vec![], "No verdict: no integration could look at this."),
            (vec![failed("A"), failed("B")], "No verdict: none of the 2 look-ups gave an answer. That does not mean clean."),
            (vec![failed("A")], "No verdict: the one look-up gave no answer. That does not mean clean."),
            (vec![waiting(), failed("A")], "Nobody has given a verdict yet. 1 of 2 look-ups is not done yet."),
            (
                vec![waiting(), waiting(), said("A", Clean)],
                "The worst of what was answered so far: clean, said by A. 2 of 3 look-ups are not done yet.",
            ),
        ] {
            assert_eq!(sentence(&view(results)), expected);
        }
    }

    #[test]
    fn what_is_read_out_names_the_verdict_or_its_absence() {
        assert_eq!(headline(&view(vec![said("A", Verdict::Suspicious), failed("B")])), "Done: suspicious, incomplete.");
        assert_eq!(headline(&view(vec![failed("B")])), "Done: no verdict. No integration gave an answer.");
        assert_eq!(headline(&view(vec![result("W", ResultStatus::Running, None, None)])), "Running: 0 of 1 done.");
    }

    #[test]
    fn many_names_are_cut_short_and_none_is_said_twice() {
        let results: Vec<_> = ["A", "B", "A", "C", "D", "E"].into_iter().map(|name| said(name, Verdict::Malicious)).collect();
        assert_eq!(said_by(Verdict::Malicious, &results), "A, B, C and 2 more");
    }

    #[test]
    fn results_are_grouped_by_what_was_looked_at() {
        let other = |name| {
            let indicator = Indicator { kind: IndicatorKind::Ip, value: "192.0.2.1".into(), note: Some("Received".into()) };
            AnalysisResult { indicator, ..said(name, Verdict::Clean) }
        };
        let groups = groups(&[failed("A"), other("A"), failed("B"), other("B")]);
        let sizes: Vec<_> = groups.iter().map(|(indicator, results)| (indicator.kind, results.len())).collect();
        assert_eq!(sizes, [(IndicatorKind::Url, 2), (IndicatorKind::Ip, 2)]);
    }

    #[test]
    fn durations_are_short() {
        for (ms, expected) in [(0, "0 ms"), (999, "999 ms"), (1_450, "1.4 s"), (125_900, "2 min 5 s")] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn only_addresses_of_the_web_become_links() {
        assert_eq!(page_of_engine(Some("https://a.example/1")), Some("https://a.example/1"));
        assert_eq!(page_of_engine(Some("javascript:alert(1)")), None);
        assert_eq!(page_of_engine(None), None);
    }
}
