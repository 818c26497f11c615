//! Scheduled checks, and changes of health.

use std::time::Duration;

use gatehouse_domain::{HealthChange, Timestamp, WebhookMessage};
use gatehouse_platform::{
    Choice, CompanyId, ProxyId,
    checks::next_round,
    ports::{ChecksRecord, StoreError, StoreResult, Turn, Work},
};
use surrealdb::types::RecordId;
use uuid::Uuid;

use super::{
    below, company_record, compound_record, default_record, json, of_json, proxy_record, proxy_use::use_record, record,
    turn::Next, uuid_part,
};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, decode, key, outcome},
};

/// How many changes of a company are kept.
pub(crate) const KEPT: usize = 2000;

const ONE: &str = "SELECT * FROM ONLY $id";

/// The webhook's proxy choice is a use like an integration's: noted in the same transaction.
const PUT: &str = "{
    IF !record::exists($company) { RETURN { outcome: 'not_found' } };
    IF $setting != NONE {
        LET $owner = (SELECT VALUE company FROM ONLY $setting FOR UPDATE);
        IF $owner = NONE OR $owner != $company { RETURN { outcome: 'not_found' } };
        UPDATE $setting SET uses += 1 RETURN NONE;
    };
    IF $uses_default { UPSERT $pointer SET uses = (uses ?? 0) + 1 RETURN NONE };
    IF $uses_default OR $setting != NONE {
        UPSERT $use SET company = $company, proxy = $setting, kind = 'webhook', consumer = 'webhook', name = 'Webhook of health checks' RETURN NONE;
    } ELSE {
        DELETE $use RETURN NONE;
    };
    -- Whoever takes a round meanwhile moves this moment: what stays the same keeps it.
    LET $before = (SELECT every_minutes, next_at FROM ONLY $id FOR UPDATE);
    LET $next = IF $before.every_minutes = $every_minutes AND $before.next_at != NONE { $before.next_at } ELSE { $next_at };
    UPSERT $id SET company = $company, every_minutes = $every_minutes, webhook_url = $webhook_url, webhook_proxy = $webhook_proxy,
        webhook_proxy_setting = $setting, next_at = $next RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

/// Nothing of a suspended company runs by itself.
const DUE: &str = "SELECT id, every_minutes, next_at FROM checks WHERE next_at != NONE AND next_at <= $now
    AND company.suspended_at = NONE LIMIT $limit";

const MESSAGE: &str = "UPDATE $id SET last_message = $message RETURN NONE";

const CHANGE: &str = "CREATE ONLY $id SET data = $data RETURN NONE";

const CHANGES: &str = "SELECT VALUE data FROM $range ORDER BY id DESC LIMIT $limit";

impl Store {
    pub(crate) async fn checks(&self, company: CompanyId) -> StoreResult<ChecksRecord> {
        let Some(mut row) = Row::optional(self.connection.of(company).read(ONE, vars! { id: checks_record(company) }).await?)?
        else {
            return Ok(ChecksRecord::default());
        };
        let setting = row.optional_uuid("webhook_proxy_setting")?;
        let webhook_choice = match (row.take::<String>("webhook_proxy")?.as_str(), setting) {
            ("setting", Some(id)) => Choice::Setting(ProxyId(id)),
            ("none", _) => Choice::None,
            _ => Choice::Default,
        };
        Ok(ChecksRecord {
            every_minutes: row.take("every_minutes")?,
            webhook_url: row.take("webhook_url")?,
            webhook_choice,
            next_at: row.take("next_at")?,
            last_message: row.parse_optional("last_message", |text| of_json("a message to a webhook", text))?,
        })
    }

    pub(crate) async fn put_checks(&self, company: CompanyId, record: &ChecksRecord) -> StoreResult<()> {
        let (choice, setting) = match record.webhook_choice {
            Choice::Default => ("default", None),
            Choice::None => ("none", None),
            Choice::Setting(id) => ("setting", Some(proxy_record(id))),
        };
        // Nobody is told: then no proxy is used for it either.
        let told = record.webhook_url.is_some();
        let is_setting = setting.is_some();
        let vars = vars! {
            id: checks_record(company),
            company: company_record(company),
            pointer: default_record(company),
            use: use_record(company, "webhook", "webhook"),
            uses_default: told && record.webhook_choice == Choice::Default,
            setting: setting.filter(|_| told),
            every_minutes: i64::from(record.every_minutes),
            webhook_url: record.webhook_url.clone(),
            // A setting is let go of when nobody is told; the other choices stay for when somebody is again.
            webhook_proxy: if told || !is_setting { choice } else { "default" },
            next_at: record.next_at,
        };
        outcome(self.connection.of(company).write_in(Scope::Proxies, PUT, vars).await?).map(drop)
    }

    pub(crate) async fn take_due_checks(&self, now: Timestamp, limit: u32, lease: Duration) -> StoreResult<Vec<Turn>> {
        let due = Row::list(self.connection.of_all().read(DUE, vars! { now: now, limit: i64::from(limit) }).await?)?;
        let mut taken = Vec::new();
        for mut row in due {
            let id: RecordId = row.take("id")?;
            let at: Timestamp = row.time("next_at")?;
            let company = key(&id).ok_or_else(|| StoreError::Internal("checks of no company".into()))?;
            let next = next_round(at, row.take("every_minutes")?, now);
            let next = Next { schedule: id, at, next };
            taken.extend(self.turn(Work::CHECKS, Some(CompanyId(company)), Duration::MAX, Some(next), lease).await?);
        }
        Ok(taken)
    }

    pub(crate) async fn record_webhook_message(&self, company: CompanyId, message: &WebhookMessage) -> StoreResult<()> {
        let vars = vars! { id: checks_record(company), message: json(message)? };
        self.connection.of(company).write(MESSAGE, vars).await.map(drop)
    }

    pub(crate) async fn record_health_change(&self, company: CompanyId, change: &HealthChange) -> StoreResult<()> {
        let id = Uuid::try_parse(&change.id).map_err(|error| StoreError::Internal(error.to_string()))?;
        self.connection.of(company).write(CHANGE, vars! { id: change_record(company, id), data: json(change)? }).await.map(drop)
    }

    pub(crate) async fn health_changes(&self, company: CompanyId, limit: u32) -> StoreResult<Vec<HealthChange>> {
        let limit = usize::try_from(limit).unwrap_or(KEPT).min(KEPT);
        let vars = vars! {
            range: below("health_change", vec![uuid_part(company.0)]),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        };
        let rows: Vec<String> = decode(self.connection.of(company).read(CHANGES, vars).await?)?;
        rows.iter().map(|text| of_json("a change of health", text)).collect()
    }
}

fn checks_record(company: CompanyId) -> RecordId {
    record("checks", company.0)
}

fn change_record(company: CompanyId, id: Uuid) -> RecordId {
    compound_record("health_change", vec![uuid_part(company.0), uuid_part(id)])
}
