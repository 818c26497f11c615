//! What a company's gateways go by: the policy. Stored here, checked by the gateway's own code behind [`PolicyJudge`].

use std::sync::Arc;

use gatehouse_domain::{
    AppError, ExplanationView, GatewayPolicyView, PolicyCheckView, PolicyProblem, PolicyQuestion,
    gateway::{in_lines, without_hashes},
};
use tokio::sync::Semaphore;

use crate::{
    Actor, Platform,
    platform::{internal, now, store_error},
    ports::{GatewayPersonRecord, GatewayRecord, StoreError},
};

/// How often a change is tried again when somebody else changed something meanwhile that does not matter to the caller.
const ATTEMPTS: usize = 20;

/// A policy may name lists of a million names: so many are read at a time, whatever is asked.
static PLACES: Semaphore = Semaphore::const_new(2);

/// A policy and the people who stand beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyDraft {
    /// In TOML.
    pub text: String,
    /// Who can sign in.
    pub people: Vec<GatewayPersonRecord>,
}

/// Judges policies. The gateway's own code does; this crate does not know it. Both may take seconds and are called where that does
/// no harm.
pub trait PolicyJudge: Send + Sync {
    /// What it consists of, in words.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    fn check(&self, draft: &PolicyDraft) -> Result<String, Vec<PolicyProblem>>;

    /// What it says about a request, and why.
    ///
    /// # Errors
    /// [`AppError::Invalid`]: the field of the question that is wrong, or `text`.
    fn explain(&self, draft: &PolicyDraft, question: &PolicyQuestion) -> Result<ExplanationView, AppError>;
}

impl Platform {
    /// The company's policy; an empty one of version 0 where there is none yet. Whoever may not change it sees no hashes.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn gateway_policy(&self, actor: &Actor) -> Result<GatewayPolicyView, AppError> {
        let mut view = self.gateway.gateway(actor.company).await.map(view).map_err(store_error)?;
        if actor.may_change().is_err() {
            view.text = without_hashes(&view.text);
        }
        Ok(view)
    }

    /// Replaces it. The company's gateways have it in force within a second.
    ///
    /// # Errors
    /// [`AppError::Invalid`] with what is wrong in `text`, line by line; [`AppError::Changed`] when it has another version by now.
    pub async fn set_gateway_policy(
        &self, actor: &Actor, version: Option<u64>, text: &str,
    ) -> Result<GatewayPolicyView, AppError> {
        actor.may_change()?;
        for _ in 0..ATTEMPTS {
            let current = self.gateway.gateway(actor.company).await.map_err(store_error)?;
            if version.is_some_and(|version| version != current.version) {
                return Err(AppError::Changed { version: current.version });
            }
            let draft = PolicyDraft { text: text.to_string(), people: current.people };
            self.judged(draft).await?.map_err(|problems| AppError::invalid("text", in_lines(&problems)))?;
            let put = self.gateway.put_gateway_policy(actor.company, current.revision, text, &actor.view.name, now()).await;
            match put {
                Err(StoreError::Changed(_)) => {}
                result => return result.map(view).map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// What is wrong with a policy, or what it consists of. Nothing is stored.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn check_gateway_policy(&self, actor: &Actor, text: &str) -> Result<PolicyCheckView, AppError> {
        actor.may_change()?;
        let people = self.gateway.gateway(actor.company).await.map_err(store_error)?.people;
        let draft = PolicyDraft { text: text.to_string(), people };
        Ok(match self.judged(draft).await? {
            Ok(summary) => PolicyCheckView { ok: true, summary: Some(summary), problems: Vec::new() },
            Err(problems) => PolicyCheckView { ok: false, summary: None, problems },
        })
    }

    /// What the stored policy, or another one, says about a request, and why.
    ///
    /// # Errors
    /// [`AppError::Invalid`]; [`AppError::Forbidden`] for another one than the stored one.
    pub async fn explain_gateway_policy(&self, actor: &Actor, question: PolicyQuestion) -> Result<ExplanationView, AppError> {
        let stored = self.gateway.gateway(actor.company).await.map_err(store_error)?;
        let text = match &question.text {
            Some(text) => {
                actor.may_change()?;
                text.clone()
            }
            None => stored.text.unwrap_or_default(),
        };
        let draft = PolicyDraft { text, people: stored.people };
        self.beside(move |judge| judge.explain(&draft, &question)).await?
    }

    async fn judged(&self, draft: PolicyDraft) -> Result<Result<String, Vec<PolicyProblem>>, AppError> {
        self.beside(move |judge| judge.check(&draft)).await
    }

    /// Does something with the judge where it may take its time.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce(&dyn PolicyJudge) -> T + Send + 'static) -> Result<T, AppError> {
        let _place = PLACES.acquire().await.map_err(internal)?;
        let judge = Arc::clone(&self.judge);
        tokio::task::spawn_blocking(move || work(judge.as_ref())).await.map_err(internal)
    }
}

fn view(record: GatewayRecord) -> GatewayPolicyView {
    GatewayPolicyView {
        text: record.text.unwrap_or_default(),
        version: record.version,
        changed_at: record.changed_at,
        changed_by: record.changed_by,
    }
}
