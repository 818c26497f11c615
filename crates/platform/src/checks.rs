//! Scheduled checks: integrations and proxy settings are tested by themselves, changes of health are written down and told.

use std::{sync::PoisonError, time::Duration};

use chrono::TimeDelta;
use futures::{StreamExt as _, stream};
use gatehouse_domain::{
    AppError, Cause, ChecksForm, ChecksView, Consumer, Health, HealthChange, IntegrationStatus, LastTest, ProxyChoice,
    ProxyQuery, Secret, TestReport, TestTarget, WebhookMessage,
    integration::{IntegrationReport, origin},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    Actor, Asker, Choice, CompanyId, OutRequest, Platform, ProxyId, Retry, background,
    door::Recorded,
    platform::{now, store_error},
    ports::{ChecksRecord, IntegrationRecord, ProxyRecord, StoreError, TestSubject},
};

/// Tests of one round at a time.
const AT_A_TIME: usize = 4;
/// How long the webhook may take, attempts and pauses together.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// How many changes are told at most.
const CHANGES: u32 = 200;

/// What changed its health.
pub(crate) struct Changed<'a> {
    pub(crate) kind: &'a str,
    pub(crate) of: String,
    pub(crate) name: String,
    pub(crate) from: Option<Health>,
    pub(crate) to: Health,
    pub(crate) cause: Option<Cause>,
    pub(crate) message: String,
}

/// What a test said that the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// Whose it is.
    pub company: String,
    /// `proxy` or `integration`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// It works.
    pub ok: bool,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Platform {
    /// How often the company's integrations and proxy settings are tested, and who is told.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checks(&self, actor: &Actor) -> Result<ChecksView, AppError> {
        let mut view = self.checks.checks(actor.company).await.map(view).map_err(store_error)?;
        if actor.may_change().is_err() {
            // Such addresses are often secrets: whoever knows one may send to it.
            view.webhook_url =
                view.webhook_url.and_then(|url| TestTarget::parse(&url).ok()).map(|url| format!("{}/…", origin(&url)));
        }
        Ok(view)
    }

    /// Changes that. The first round is at once.
    ///
    /// # Errors
    /// [`AppError::Invalid`].
    pub async fn set_checks(&self, actor: &Actor, form: &ChecksForm) -> Result<ChecksView, AppError> {
        actor.may_change()?;
        let (every_minutes, url) = form.parse()?;
        if url.as_ref().is_some_and(|url| !self.door.allows(url)) {
            return Err(AppError::invalid(
                "webhook_url",
                "This installation does not connect to private addresses. Use a public one.",
            ));
        }
        let no_such = || AppError::invalid("webhook_proxy", "There is no such proxy setting. It may have been deleted.");
        let choice = match &form.webhook_proxy {
            ProxyChoice::Default => Choice::Default,
            ProxyChoice::None => Choice::None,
            ProxyChoice::Setting { id } => Choice::Setting(ProxyId::parse(id).ok_or_else(no_such)?),
        };
        let before = self.checks.checks(actor.company).await.map_err(store_error)?;
        let next_at = match every_minutes {
            0 => None,
            same if same == before.every_minutes => before.next_at,
            _ => Some(now()),
        };
        let record = ChecksRecord {
            every_minutes,
            webhook_url: url.map(|url| url.to_string()),
            webhook_choice: choice,
            next_at,
            last_message: before.last_message,
        };
        match self.checks.put_checks(actor.company, &record).await {
            Err(StoreError::NotFound) => Err(no_such()),
            result => result.map(|()| view(record)).map_err(store_error),
        }
    }

    /// The last changes of health, newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn health_changes(&self, actor: &Actor) -> Result<Vec<HealthChange>, AppError> {
        self.checks.health_changes(actor.company, CHANGES).await.map_err(store_error)
    }

    /// Tests everything of the companies whose time has come. Each is taken by one process only.
    pub(crate) async fn run_due_checks(&self) -> Result<(), AppError> {
        for company in self.checks.take_due_checks(now(), 10).await.map_err(store_error)? {
            // The round before is not over yet: two at a time would only be slower.
            if !self.rounds.lock().unwrap_or_else(PoisonError::into_inner).insert(company) {
                continue;
            }
            let platform = self.clone();
            tokio::spawn(async move {
                let done = platform.run_checks(company).await;
                platform.rounds.lock().unwrap_or_else(PoisonError::into_inner).remove(&company);
                if let Err(error) = done {
                    tracing::warn!(%company, %error, "a round of checks could not be made");
                }
            });
        }
        Ok(())
    }

    pub(crate) async fn run_checks(&self, company: CompanyId) -> Result<(), AppError> {
        let active = self.active_integrations(company).await?;
        stream::iter(active).for_each_concurrent(AT_A_TIME, |record| self.check_one_integration(company, record)).await;
        let proxies = self.all_proxies(company).await?;
        stream::iter(proxies).for_each_concurrent(AT_A_TIME, |record| self.check_one_proxy(company, record)).await;
        Ok(())
    }

    async fn active_integrations(&self, company: CompanyId) -> Result<Vec<IntegrationRecord>, AppError> {
        let all = self.integrations.integrations(company).await.map_err(store_error)?;
        Ok(all.into_iter().filter(|record| record.values.status == IntegrationStatus::Active).collect())
    }

    async fn all_proxies(&self, company: CompanyId) -> Result<Vec<ProxyRecord>, AppError> {
        let mut query = ProxyQuery { limit: ProxyQuery::MAX_LIMIT, ..ProxyQuery::default() };
        let mut all = Vec::new();
        loop {
            let page = self.proxies.list_proxies(company, &query).await.map_err(store_error)?;
            all.extend(page.items);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Tests every proxy setting and every active integration of every company, for the operator: in the order of companies and
    /// names. The results are kept like those of other tests.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn inspect(&self) -> Result<Vec<Inspected>, AppError> {
        let mut all = Vec::new();
        for (company, name) in self.access.companies().await.map_err(store_error)? {
            let told = |kind: &'static str, of: String, outcome: Result<(bool, String, Option<String>), AppError>| {
                let (ok, message, hint) = outcome.unwrap_or_else(|error| (false, error.to_string(), None));
                Inspected { company: name.to_string(), kind: kind.to_string(), name: of, ok, message, hint }
            };
            let proxies = stream::iter(self.all_proxies(company).await?).map(|record| async move {
                let of = record.values.name.to_string();
                (of, self.try_proxy(company, record).await)
            });
            let tested: Vec<_> = proxies.buffer_unordered(AT_A_TIME).collect().await;
            let mut found: Vec<_> = tested
                .into_iter()
                .filter_map(|(of, outcome)| {
                    let outcome = outcome.transpose()?.map(|report| (report.ok, report.message, report.hint));
                    Some(told("proxy", of, outcome))
                })
                .collect();
            let integrations = stream::iter(self.active_integrations(company).await?).map(|record| async move {
                let of = record.values.name.to_string();
                (of, self.try_integration(company, record).await)
            });
            let tested: Vec<_> = integrations.buffer_unordered(AT_A_TIME).collect().await;
            found.extend(tested.into_iter().filter_map(|(of, outcome)| {
                let outcome = outcome.transpose()?.map(|report| (report.ok, report.message, report.hint));
                Some(told("integration", of, outcome))
            }));
            found.sort_by(|a, b| (b.kind.as_str(), &a.name).cmp(&(a.kind.as_str(), &b.name)));
            all.extend(found);
        }
        Ok(all)
    }

    async fn check_one_integration(&self, company: CompanyId, record: IntegrationRecord) {
        let id = record.id;
        if let Err(error) = self.try_integration(company, record).await {
            tracing::warn!(integration = %id, %error, "an integration could not be checked");
        }
    }

    /// Tests an integration as it is now and keeps the result; `None` when it is not there or not active any more.
    pub(crate) async fn try_integration(
        &self, company: CompanyId, record: IntegrationRecord,
    ) -> Result<Option<IntegrationReport>, AppError> {
        // A round may take minutes: what was changed meanwhile counts.
        let record = match self.integrations.integration(company, record.id).await {
            Ok(record) if record.values.status == IntegrationStatus::Active => record,
            Ok(_) | Err(StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(store_error(error)),
        };
        let secrets = self.open_secrets(company, &record)?;
        let report = self.check_engine(company, Some(record.id), &record.values, secrets).await?;
        self.keep_integration_test(company, &record, &report).await?;
        Ok(Some(report))
    }

    async fn check_one_proxy(&self, company: CompanyId, record: ProxyRecord) {
        let id = record.id;
        if let Err(error) = self.try_proxy(company, record).await {
            tracing::warn!(proxy = %id, %error, "a proxy setting could not be checked");
        }
    }

    /// Tests a proxy setting as it is now and keeps the result; `None` when it is not there any more.
    pub(crate) async fn try_proxy(&self, company: CompanyId, record: ProxyRecord) -> Result<Option<TestReport>, AppError> {
        let record = match self.proxies.proxy(company, record.id).await {
            Ok(record) => record,
            Err(StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(store_error(error)),
        };
        let password = self.open_password(company, &record)?;
        // Nobody watches it happen.
        let (events, _) = mpsc::channel(1);
        let subject = TestSubject { values: record.values.clone(), password };
        let report = self.tester.test(&subject, &self.config.test_target, events).await;
        self.keep_proxy_test(company, &record, &report).await?;
        Ok(Some(report))
    }

    /// Writes a change of health down and tells the webhook. What fails here is logged: the test itself is done and kept.
    pub(crate) async fn note_health(&self, company: CompanyId, changed: Changed<'_>) {
        let Changed { kind, of, name, from, to, cause, message } = changed;
        if from == Some(to) || (from.is_none() && to == Health::Healthy) {
            return;
        }
        let change = HealthChange {
            id: uuid::Uuid::now_v7().to_string(),
            at: now(),
            kind: kind.to_string(),
            of,
            name,
            from,
            to,
            cause,
            message,
        };
        if let Err(error) = self.checks.record_health_change(company, &change).await {
            tracing::error!(%error, "a change of health could not be written down");
        }
        let platform = self.clone();
        background::spawn(async move { platform.tell_webhook(company, change).await });
    }

    async fn tell_webhook(&self, company: CompanyId, change: HealthChange) {
        let settings = match self.checks.checks(company).await {
            Ok(settings) => settings,
            Err(error) => return tracing::error!(%error, "the webhook could not be told"),
        };
        let Some(url) = settings.webhook_url.as_deref().and_then(|url| TestTarget::parse(url).ok()) else { return };
        let asker = Asker {
            company,
            consumer: Consumer { kind: "webhook".into(), id: "webhook".into(), name: "Webhook of health checks".into() },
            choice: settings.webhook_choice,
            ca_pem: None,
            recorded: Recorded::BeforeAnswer,
        };
        let word = change.from.map_or("not tested", Health::label).to_lowercase();
        let text = format!("{} was {word} and is {} now. {}", change.name, change.to.label().to_lowercase(), change.message);
        let body = json!({"event": "health_changed", "text": text, "change": change}).to_string().into_bytes();
        let request = OutRequest {
            method: "POST",
            url,
            headers: vec![("content-type", Secret::new("application/json"))],
            body,
            timeout: WEBHOOK_TIMEOUT,
            max_answer: 64 * 1024,
            // A message that comes twice carries the same identifier; one that does not come is missed.
            retry: Retry::Safe,
            trace: false,
        };
        let message = match self.door.send(&asker, request).await {
            Ok(answer) => {
                let ok = (200..300).contains(&answer.status);
                let message = if ok { "Taken.".to_string() } else { format!("Refused with the status {}.", answer.status) };
                WebhookMessage { at: now(), ok, status: Some(answer.status), cause: None, message }
            }
            Err(error) => WebhookMessage { at: now(), ok: false, status: None, cause: Some(error.cause), message: error.message },
        };
        if let Err(error) = self.checks.record_webhook_message(company, &message).await {
            tracing::error!(%error, "what became of a message to the webhook could not be written down");
        }
    }
}

/// How a proxy setting is after a test, given the one before.
pub(crate) fn proxy_health_after(before: Option<&LastTest>, ok: bool) -> Health {
    match (ok, before) {
        (true, _) => Health::Healthy,
        (false, Some(before)) if !before.ok => Health::Down,
        (false, _) => Health::Degraded,
    }
}

/// When the next round is, after one that was due then. A server that was off for long makes one round, not all it missed.
#[must_use]
pub fn next_round(
    due: gatehouse_domain::Timestamp, every_minutes: u16, now: gatehouse_domain::Timestamp,
) -> gatehouse_domain::Timestamp {
    let every = TimeDelta::minutes(every_minutes.max(1).into());
    let next = due + every;
    if next > now { next } else { now + every }
}

fn view(record: ChecksRecord) -> ChecksView {
    ChecksView {
        every_minutes: record.every_minutes,
        webhook_url: record.webhook_url,
        webhook_proxy: match record.webhook_choice {
            Choice::Default => ProxyChoice::Default,
            Choice::None => ProxyChoice::None,
            Choice::Setting(id) => ProxyChoice::Setting { id: id.to_string() },
        },
        next_at: record.next_at,
        last_message: record.last_message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let at = |minutes: i64| gatehouse_domain::Timestamp::from_timestamp(minutes * 60, 0).expect("a moment");
        assert_eq!(next_round(at(0), 5, at(1)), at(5));
        assert_eq!(next_round(at(0), 5, at(60)), at(65));
    }
}
