//! The gateway's own code as the platform's judge of policies.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use gatehouse_domain::{AppError, ExplanationView, PassedRule, PolicyProblem, PolicyQuestion, gateway::in_lines};
use gatehouse_gateway::policy::{Action, Operator, Policy, Problem, StoredPerson, value::LogFormat};
use gatehouse_platform::{PolicyDraft, PolicyJudge, ports::GatewayPersonRecord};

/// What the operator of this process has set about stored policies.
#[derive(Debug, Clone, Default)]
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
}

impl Judge {
    /// Compiles a policy of the database.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn compile(&self, text: &str, people: &[StoredPerson]) -> Result<Policy, Vec<Problem>> {
        let operator = Operator {
            files: self.files.as_deref().map(Path::new),
            log: self.log.as_ref().map(|(path, format)| (path.as_str(), *format)),
            state: self.state.as_deref().map(Path::new),
            cache: self.cache.as_deref().map(Path::new),
            public_only: self.public_only,
            ..Operator::default()
        };
        Policy::parse_stored(text, people, &operator)
    }

    fn draft(&self, draft: &PolicyDraft) -> Result<Policy, Vec<PolicyProblem>> {
        let people: Vec<_> = draft.people.iter().map(person).collect();
        self.compile(&draft.text, &people).map_err(|problems| problems.into_iter().map(problem).collect())
    }
}

impl PolicyJudge for Judge {
    fn check(&self, draft: &PolicyDraft) -> Result<String, Vec<PolicyProblem>> {
        Ok(self.draft(draft)?.summary().to_string())
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

fn problem(problem: Problem) -> PolicyProblem {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PolicyProblem { line: number(problem.line), column: number(problem.column), message: problem.message }
}
