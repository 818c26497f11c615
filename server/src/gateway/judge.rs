//! The gateway's own code as the platform's judge of policies.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use gatehouse_domain::{
    AppError, Authentication, ExplanationView, PassedRule, PolicyProblem, PolicyQuestion, Secret, gateway::in_lines,
};
use gatehouse_gateway::policy::{Action, Operator, Policy, Problem, StoredPerson, StoredProxy, Way, value::LogFormat};
use gatehouse_platform::{
    Judged, PolicyDraft, PolicyJudge,
    ports::{GatewayPersonRecord, ProxyRecord},
};

/// What the operator of this process has set about stored policies.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The folder of files that a policy may name.
    pub files: Option<PathBuf>,
    /// Where the gateway writes its records.
    pub log: Option<(String, LogFormat)>,
    /// The folder for what the gateway itself keeps.
    pub state: Option<PathBuf>,
    /// The folder for answers that it keeps for others.
    pub cache: Option<PathBuf>,
    /// Several companies share this installation's network.
    pub public_only: bool,
    /// Bytes of memory that a policy may have for answers at most.
    pub cache_memory: u64,
    /// Bytes of the folder for answers that a policy may have at most.
    pub cache_disk: u64,
}

impl Judge {
    /// Compiles a policy of the database.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn compile(&self, text: &str, people: &[StoredPerson], settings: &[StoredProxy]) -> Result<Policy, Vec<Problem>> {
        let operator = Operator {
            files: self.files.as_deref().map(Path::new),
            log: self.log.as_ref().map(|(path, format)| (path.as_str(), *format)),
            state: self.state.as_deref().map(Path::new),
            cache: self.cache.as_deref().map(Path::new),
            public_only: self.public_only,
            cache_memory: Some(self.cache_memory),
            cache_disk: Some(self.cache_disk),
            settings,
        };
        Policy::parse_stored(text, people, &operator)
    }

    fn draft(&self, draft: &PolicyDraft) -> Result<Policy, Vec<PolicyProblem>> {
        let people: Vec<_> = draft.people.iter().map(person).collect();
        let settings: Vec<_> = draft.proxies.iter().map(|record| setting(record, None)).collect();
        self.compile(&draft.text, &people, &settings).map_err(|problems| problems.into_iter().map(problem).collect())
    }
}

impl PolicyJudge for Judge {
    fn check(&self, draft: &PolicyDraft) -> Result<Judged, Vec<PolicyProblem>> {
        let policy = self.draft(draft)?;
        let settings = policy.settings().egresses.iter().filter_map(|egress| match &egress.way {
            Way::Upstream(upstream) => Some((egress.name.to_string(), upstream.setting.clone()?)),
            _ => None,
        });
        Ok(Judged { summary: policy.summary().to_string(), settings: settings.collect() })
    }

    fn explain(&self, draft: &PolicyDraft, question: &PolicyQuestion) -> Result<ExplanationView, AppError> {
        let client: IpAddr =
            question.client.trim().parse().map_err(|_| AppError::invalid("client", "Use an IP address, like 10.0.0.7."))?;
        let policy = self.draft(draft).map_err(|problems| AppError::invalid("text", in_lines(&problems)))?;
        let person = Some(question.person.trim()).filter(|name| !name.is_empty());
        super::explained(&policy, question.url.trim(), client, person, |explanation| ExplanationView {
            allowed: explanation.decision.action == Action::Allow,
            rule: explanation.decision.rule.map(str::to_string),
            reason: explanation.decision.reason.to_string(),
            level: explanation.decision.level.as_str().to_string(),
            categories: explanation.categories.iter().map(ToString::to_string).collect(),
            passed: explanation
                .passed
                .iter()
                .map(|passed| PassedRule { rule: passed.rule.to_string(), why: passed.why.clone() })
                .collect(),
            text: explanation.to_string(),
        })
        .map_err(|(field, why)| AppError::invalid(field, why))
    }
}

/// Somebody of the database as the gateway knows them.
pub fn person(record: &GatewayPersonRecord) -> StoredPerson {
    StoredPerson { name: record.name.to_string(), password: record.password_hash.clone(), groups: record.groups.clone() }
}

/// A proxy setting as the gateway knows it.
pub fn setting(record: &ProxyRecord, password: Option<Secret>) -> StoredProxy {
    let values = &record.values;
    StoredProxy {
        name: values.name.clone(),
        scheme: values.scheme,
        host: values.host.clone(),
        port: values.port,
        // Without Basic nobody signs in, whatever name may be left.
        username: values.username.clone().filter(|_| values.authentication == Authentication::Basic),
        password,
        ca_pem: values.ca_pem.clone(),
        timeout: Some(values.timeout),
    }
}

fn problem(problem: Problem) -> PolicyProblem {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PolicyProblem { line: number(problem.line), column: number(problem.column), message: problem.message }
}
