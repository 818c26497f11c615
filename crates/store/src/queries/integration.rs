//! Integrations, and which proxy each of them uses.

use std::collections::BTreeMap;

use gatehouse_domain::{
    CaPem, Capabilities, Exclusions, Health, IntegrationName, IntegrationStatus, IntegrationTest, IntegrationValues, ProxyChoice,
    TestTarget, Timestamp,
};
use gatehouse_platform::{
    Choice, CompanyId, IntegrationId, ProxyId, Sealed,
    ports::{IntegrationRecord, IntegrationWrite, MAX_INTEGRATIONS, SecretOwner, StoreError, StoreResult},
};
use surrealdb::types::{Object, Value, Variables};

use super::{
    below, company_record, default_record, integration_record, json, proxy_record, proxy_setting::version_number,
    proxy_use::use_record, uuid_part,
};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, decode, outcome},
};

/// What kind of consumer an integration is.
const KIND: &str = "integration";

const ALL: &str = "SELECT * FROM integration WHERE company = $company ORDER BY name_key";

const ONE: &str = "SELECT * FROM ONLY $id WHERE company = $company";

/// Refuses what was sealed under a key that is not the current one.
macro_rules! check_keys {
    () => {
        "
    IF array::len($key_ids) > 0 {
        LET $current = (SELECT VALUE key_id FROM ONLY installation:main FOR UPDATE);
        IF $current != NONE AND !($key_ids ALLINSIDE [$current]) { RETURN { outcome: 'key_changed' } };
    };"
    };
}

/// Notes the proxy choice where the proxy settings look for it. Whoever takes the setting, or the default, away meanwhile
/// meets this in `uses`.
macro_rules! note_use {
    () => {
        "
    IF $content.proxy = 'setting' {
        LET $setting = $content.proxy_setting;
        LET $owner = (SELECT VALUE company FROM ONLY $setting FOR UPDATE);
        IF $owner = NONE OR $owner != $company { RETURN { outcome: 'not_found' } };
        UPDATE $setting SET uses += 1 RETURN NONE;
    };
    IF $content.proxy = 'default' { UPSERT $pointer SET uses = (uses ?? 0) + 1 RETURN NONE };
    IF $content.proxy = 'none' {
        DELETE $noted RETURN NONE;
    } ELSE {
        UPSERT $noted SET company = $company, proxy = $content.proxy_setting, kind = $kind, consumer = $consumer,
            name = $content.name RETURN NONE;
    };"
    };
}

const CREATE: &str = concat!(
    "{
    IF !record::exists($company) { RETURN { outcome: 'not_found' } };",
    check_keys!(),
    "
    LET $same = (SELECT VALUE id FROM integration WHERE company = $company AND name_key = $content.name_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    LET $count = (SELECT VALUE integrations FROM ONLY $company FOR UPDATE) ?? 0;
    IF $count >= $limit { RETURN { outcome: 'full', limit: $limit } };
    UPDATE $company SET integrations = $count + 1 RETURN NONE;",
    note_use!(),
    "
    CREATE ONLY $id CONTENT $content RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done', row: (SELECT * FROM ONLY $id) };
}"
);

const REPLACE: &str = concat!(
    "{
    LET $before = (SELECT version, company FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.company != $company { RETURN { outcome: 'gone' } };
    IF $before.version != $version { RETURN { outcome: 'changed', version: $before.version } };",
    check_keys!(),
    "
    LET $same = (SELECT VALUE id FROM integration WHERE company = $company AND name_key = $content.name_key AND id != $id LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };",
    note_use!(),
    "
    UPDATE $id MERGE $content RETURN NONE;
    UPDATE $id SET version += 1 RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done', row: (SELECT * FROM ONLY $id) };
}"
);

const DELETE: &str = "{
    LET $before = (SELECT version, company FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.company != $company { RETURN { outcome: 'not_found' } };
    IF $version != NONE AND $before.version != $version { RETURN { outcome: 'changed', version: $before.version } };
    LET $count = (SELECT VALUE integrations FROM ONLY $company FOR UPDATE) ?? 1;
    UPDATE $company SET integrations = $count - 1 RETURN NONE;
    DELETE $noted RETURN NONE;
    DELETE $findings RETURN NONE;
    DELETE $id RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const RECORD_TEST: &str = "RETURN array::len(UPDATE $id SET last_test = $result, health = $health WHERE company = $company AND version = $version RETURN VALUE id)";

const RESEAL_KEY: &str =
    "UPDATE $id SET api_key = $new, api_key_key = $key WHERE company = $company AND api_key = $old RETURN NONE";

const RESEAL_PASSWORD: &str =
    "UPDATE $id SET api_password = $new, api_password_key = $key WHERE company = $company AND api_password = $old RETURN NONE";

/// As for the proxy settings, for each of the two secrets.
const OTHER_KEYS: &str = "RETURN {
    api_key: array::concat(
        (SELECT * FROM integration WHERE api_key_key > '' AND api_key_key < $current LIMIT 50),
        (SELECT * FROM integration WHERE api_key_key > $current LIMIT 50)
    ),
    api_password: array::concat(
        (SELECT * FROM integration WHERE api_password_key > '' AND api_password_key < $current LIMIT 50),
        (SELECT * FROM integration WHERE api_password_key > $current LIMIT 50)
    ),
}";

/// A secret that another key sealed: whose it is, and of which integration.
pub(crate) type ForeignSecret = (CompanyId, SecretOwner, Sealed, IntegrationRecord);

impl Store {
    pub(crate) async fn integrations(&self, company: CompanyId) -> StoreResult<Vec<IntegrationRecord>> {
        let rows = self.connection.of(company).read(ALL, vars! { company: company_record(company) }).await?;
        Row::list(rows)?.into_iter().map(read).collect()
    }

    pub(crate) async fn integration(&self, company: CompanyId, id: IntegrationId) -> StoreResult<IntegrationRecord> {
        let vars = vars! { company: company_record(company), id: integration_record(id) };
        Row::optional(self.connection.of(company).read(ONE, vars).await?)?.map_or(Err(StoreError::NotFound), read)
    }

    pub(crate) async fn create_integration(
        &self, company: CompanyId, id: IntegrationId, write: &IntegrationWrite, now: Timestamp,
    ) -> StoreResult<IntegrationRecord> {
        let mut content = content(write, now)?;
        content.insert("company", company_record(company));
        content.insert("version", 1i64);
        content.insert("created_at", now);
        let mut vars = write_vars(company, id, write, content);
        vars.insert("limit", i64::try_from(MAX_INTEGRATIONS).unwrap_or(i64::MAX));
        one(self.connection.of(company).write_in(Scope::Proxies, CREATE, vars).await?)
    }

    pub(crate) async fn replace_integration(
        &self, company: CompanyId, id: IntegrationId, version: u64, write: &IntegrationWrite, now: Timestamp,
    ) -> StoreResult<IntegrationRecord> {
        let mut vars = write_vars(company, id, write, content(write, now)?);
        vars.insert("version", version_number(version));
        one(self.connection.of(company).write_in(Scope::Proxies, REPLACE, vars).await?)
    }

    pub(crate) async fn delete_integration(
        &self, company: CompanyId, id: IntegrationId, version: Option<u64>,
    ) -> StoreResult<()> {
        let vars = vars! {
            company: company_record(company),
            id: integration_record(id),
            version: version.map(version_number),
            noted: use_record(company, KIND, &id.to_string()),
            findings: below("kept_finding", vec![uuid_part(company.0), uuid_part(id.0)]),
        };
        outcome(self.connection.of(company).write_in(Scope::Proxies, DELETE, vars).await?).map(drop)
    }

    pub(crate) async fn record_integration_test(
        &self, company: CompanyId, id: IntegrationId, version: u64, result: &IntegrationTest, health: Health,
    ) -> StoreResult<()> {
        let vars = vars! {
            company: company_record(company),
            id: integration_record(id),
            version: i64::try_from(version).unwrap_or(i64::MAX),
            result: json(result)?,
            health: health.as_str(),
        };
        match decode::<i64>(self.connection.of(company).write(RECORD_TEST, vars).await?)? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    /// Secrets that are not sealed under `current`.
    pub(crate) async fn integrations_under_other_keys(&self, current: &str) -> StoreResult<Vec<ForeignSecret>> {
        let mut answer = Row::new(self.connection.of_all().read(OTHER_KEYS, vars! { current: current }).await?)?;
        let mut found = Vec::new();
        for name in ["api_key", "api_password"] {
            for mut row in answer.rows(name)? {
                let company = CompanyId(row.uuid("company")?);
                let record = read(row)?;
                let (owner, sealed) = match name {
                    "api_key" => (SecretOwner::ApiKey(record.id), record.api_key.clone()),
                    _ => (SecretOwner::ApiPassword(record.id), record.api_password.clone()),
                };
                found.extend(sealed.map(|sealed| (company, owner, sealed, record)));
            }
        }
        Ok(found)
    }

    pub(crate) async fn reseal_api_key(
        &self, company: CompanyId, id: IntegrationId, old: &Sealed, new: &Sealed,
    ) -> StoreResult<()> {
        self.connection.of_all().write(RESEAL_KEY, reseal_vars(company, id, old, new)).await.map(drop)
    }

    pub(crate) async fn reseal_api_password(
        &self, company: CompanyId, id: IntegrationId, old: &Sealed, new: &Sealed,
    ) -> StoreResult<()> {
        self.connection.of_all().write(RESEAL_PASSWORD, reseal_vars(company, id, old, new)).await.map(drop)
    }
}

fn reseal_vars(company: CompanyId, id: IntegrationId, old: &Sealed, new: &Sealed) -> Variables {
    vars! {
        company: company_record(company),
        id: integration_record(id),
        old: old.0.clone(),
        new: new.0.clone(),
        key: new.key_id().to_string(),
    }
}

/// What both `CREATE` and `REPLACE` are given.
fn write_vars(company: CompanyId, id: IntegrationId, write: &IntegrationWrite, content: Object) -> Variables {
    let key_ids: Vec<String> = [&write.api_key, &write.api_password].into_iter().flatten().map(key_of).collect();
    vars! {
        company: company_record(company),
        pointer: default_record(company),
        id: integration_record(id),
        key_ids: key_ids,
        content: Value::Object(content),
        noted: use_record(company, KIND, &id.to_string()),
        kind: KIND,
        consumer: id.to_string(),
    }
}

fn key_of(sealed: &Sealed) -> String {
    sealed.key_id().to_string()
}

/// What is written by both `CREATE` and `REPLACE`; a field without a value is there as NONE, so that merging erases it.
fn content(write: &IntegrationWrite, now: Timestamp) -> StoreResult<Object> {
    let IntegrationValues {
        name,
        kind,
        description,
        api_url,
        tags,
        proxy: _,
        capabilities,
        status,
        hide_url_parameters,
        exclusions,
        detection_threshold,
        cache_hours,
        timeout_s,
        ca_pem,
        options,
    } = &write.values;
    let (choice, setting) = match write.choice {
        Choice::Default => ("default", None),
        Choice::None => ("none", None),
        Choice::Setting(id) => ("setting", Some(proxy_record(id))),
    };
    let mut content = Object::new();
    content.insert("name", name.as_str());
    content.insert("name_key", name.key());
    content.insert("kind", kind.as_str());
    content.insert("description", description.as_str());
    content.insert("api_url", api_url.to_string());
    content.insert("tags", tags.clone());
    content.insert("proxy", choice);
    content.insert("proxy_setting", setting);
    content.insert("looks_at_urls", capabilities.url);
    content.insert("looks_at_sender_ips", capabilities.sender_ip);
    content.insert("looks_at_attachments", capabilities.attachment);
    content.insert("status", status.as_str());
    content.insert("hide_url_parameters", *hide_url_parameters);
    content.insert("exclude_urls", exclusions.urls.clone());
    content.insert("exclude_ips", exclusions.ips.clone());
    content.insert("exclude_extensions", exclusions.extensions.clone());
    content.insert("detection_threshold", detection_threshold.map(i64::from));
    content.insert("cache_hours", i64::from(*cache_hours));
    content.insert("timeout_s", i64::from(*timeout_s));
    content.insert("ca_pem", ca_pem.as_ref().map(|pem| pem.as_str().to_string()));
    content.insert("options", json(options)?);
    content.insert("api_key", write.api_key.as_ref().map(|sealed| sealed.0.clone()));
    content.insert("api_key_key", write.api_key.as_ref().map(key_of));
    content.insert("api_password", write.api_password.as_ref().map(|sealed| sealed.0.clone()));
    content.insert("api_password_key", write.api_password.as_ref().map(key_of));
    content.insert("updated_at", now);
    Ok(content)
}

/// Reads the answer about one integration.
fn one(answer: Value) -> StoreResult<IntegrationRecord> {
    outcome(answer)?.row("row")?.map_or(Err(StoreError::NotFound), read)
}

fn read(mut row: Row) -> StoreResult<IntegrationRecord> {
    let setting = row.optional_uuid("proxy_setting")?;
    let proxy = row.parse("proxy", |choice| match (choice, setting) {
        ("default", None) => Ok(ProxyChoice::Default),
        ("none", None) => Ok(ProxyChoice::None),
        ("setting", Some(id)) => Ok(ProxyChoice::Setting { id: ProxyId(id).to_string() }),
        _ => Err("it does not fit the proxy setting"),
    })?;
    let values = IntegrationValues {
        name: row.parse("name", IntegrationName::parse)?,
        kind: row.take("kind")?,
        description: row.take("description")?,
        api_url: row.parse("api_url", api_url)?,
        tags: row.take("tags")?,
        proxy,
        capabilities: Capabilities {
            url: row.take("looks_at_urls")?,
            sender_ip: row.take("looks_at_sender_ips")?,
            attachment: row.take("looks_at_attachments")?,
        },
        status: row.parse("status", str::parse::<IntegrationStatus>)?,
        hide_url_parameters: row.take("hide_url_parameters")?,
        exclusions: Exclusions {
            urls: row.take("exclude_urls")?,
            ips: row.take("exclude_ips")?,
            extensions: row.take("exclude_extensions")?,
        },
        detection_threshold: row.take("detection_threshold")?,
        cache_hours: row.take("cache_hours")?,
        timeout_s: row.take("timeout_s")?,
        ca_pem: row.parse_optional("ca_pem", CaPem::parse)?,
        options: row.parse("options", |text| serde_json::from_str::<BTreeMap<String, String>>(text))?,
    };
    Ok(IntegrationRecord {
        id: IntegrationId(row.uuid("id")?),
        values,
        api_key: row.take::<Option<String>>("api_key")?.map(Sealed),
        api_password: row.take::<Option<String>>("api_password")?.map(Sealed),
        version: row.take("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        last_test: row.parse_optional("last_test", |text| serde_json::from_str(text))?,
        health: row.parse_optional("health", str::parse::<Health>)?,
    })
}

/// Reads an address as it was written. Its path was encoded when it was entered, and may have grown beyond what a person
/// may enter.
fn api_url(text: &str) -> Result<TestTarget, String> {
    let host = text.find("://").map_or(0, |at| at + 3);
    let path = text[host..].find('/').map_or(text.len(), |at| host + at);
    Ok(TestTarget { path: text[path..].to_string(), ..TestTarget::parse(&text[..path])? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_grew_when_it_was_encoded_is_read_again() {
        for typed in ["https://Bücher.example:8443/ä?q=1", "http://[2001:db8::1]/", "https://a.example"] {
            let target = TestTarget::parse(typed).expect("right");
            assert_eq!(api_url(&target.to_string()), Ok(target), "{typed}");
        }
        let long = TestTarget::parse(&format!("https://a.example/{}", "ä".repeat(1000))).expect("right");
        assert!(long.to_string().len() > 6000 && TestTarget::parse(&long.to_string()).is_err());
        assert_eq!(api_url(&long.to_string()), Ok(long));
        assert!(api_url("").is_err() && api_url("nowhere at all").is_err());
    }
}
