//! Companies.

use std::collections::HashMap;

use gatehouse_domain::{CompanyName, Timestamp};
use gatehouse_platform::{
    CompanyId,
    audit::on_the_way,
    ports::{CompanyRecord, PersonWrite, StoreError, StoreResult},
};
use surrealdb::types::RecordId;

use super::{below, company_record, person::content, person_record, record, uuid_part};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, decode, key, outcome},
};

const IS_EMPTY: &str = "RETURN array::len((SELECT VALUE id FROM company LIMIT 1)) = 0";

/// Two that make the first company at once meet at `installation:main`.
const CREATE_FIRST: &str = "{
    IF array::len((SELECT VALUE id FROM company LIMIT 1)) > 0 { RETURN { outcome: 'not_found' } };
    IF $link != NONE {
        LET $right = (SELECT VALUE hash FROM ONLY setup_link:main WHERE hash = $link AND expires_at > $now FOR UPDATE);
        IF $right = NONE { RETURN { outcome: 'not_found' } };
    };
    UPSERT installation:main SET companies = (companies ?? 0) + 1 RETURN NONE;
    DELETE setup_link:main RETURN NONE;
    CREATE ONLY $company SET name = $name, name_key = $name_key, created_at = $now RETURN NONE;
    CREATE ONLY $owner CONTENT $content RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const CREATE: &str = "{
    LET $same = (SELECT VALUE id FROM company WHERE name_key = $name_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    UPSERT installation:main SET companies = (companies ?? 0) + 1 RETURN NONE;
    CREATE ONLY $company SET name = $name, name_key = $name_key, created_at = $now RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const BY_NAME: &str = "SELECT VALUE id FROM company WHERE name_key = $name_key LIMIT 1";

/// With how many people each has.
const RECORDS: &str = "{
    LET $counts = (SELECT company, count() AS number FROM person GROUP BY company);
    RETURN { companies: (SELECT id, name, created_at, suspended_at, delete_after FROM company ORDER BY name_key), counts: $counts };
}";

const SET_STATE: &str = "{
    IF !record::exists($id) { RETURN { outcome: 'not_found' } };
    UPDATE $id SET suspended_at = $suspended_at, delete_after = $delete_after RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const TO_DELETE: &str = "SELECT id, name FROM company WHERE delete_after > d'1970-01-01T00:00:00Z' AND delete_after <= $now";

const IS_DUE: &str = "RETURN array::len((SELECT VALUE id FROM $company WHERE delete_after != NONE AND delete_after <= $now)) = 1";

/// The last step: what is left of it is its name in the log of the installation.
const DELETE: &str = "{
    LET $gone = (DELETE $company WHERE delete_after != NONE AND delete_after <= $now RETURN BEFORE);
    IF array::len($gone) = 0 { RETURN { outcome: 'not_found' } };
    -- AUDIT
    RETURN { outcome: 'done' };
}";

/// Where a field says whose it is.
const BY_FIELD: &[&str] = &["proxy_use", "proxy_setting", "integration", "gateway_person", "token", "invitation"];

/// Where the key begins with the company.
const BY_RANGE: &[&str] = &[
    "analysis",
    "analysis_result",
    "analysis_file",
    "kept_finding",
    "traffic",
    "traffic_sum",
    "health_change",
    "test_slot",
    "audit",
];

/// Where the key is the company.
const BY_KEY: &[&str] = &["proxy_default", "checks", "gateway", "audit_head"];

const IN_RANGE: &str = "SELECT VALUE id FROM $range ORDER BY id LIMIT $limit";

const SESSIONS: &str =
    "SELECT VALUE id FROM session WHERE person IN (SELECT VALUE id FROM person WHERE company = $company) LIMIT $limit";

const ALL: &str = "SELECT id, name, created_at FROM company ORDER BY created_at, id";

impl Store {
    pub(crate) async fn is_empty(&self) -> StoreResult<bool> {
        decode(self.connection.of_all().read(IS_EMPTY, vars! {}).await?)
    }

    pub(crate) async fn create_first_company(
        &self, link: Option<&str>, company: CompanyId, name: &CompanyName, owner: &PersonWrite, now: Timestamp,
    ) -> StoreResult<()> {
        let vars = vars! {
            link: link.map(str::to_string),
            company: company_record(company),
            name: name.as_str(),
            name_key: name.key(),
            owner: person_record(owner.id),
            content: content(company, owner, now),
            now: now,
        };
        outcome(self.connection.of_all().write_in(Scope::People, CREATE_FIRST, vars).await?).map(drop)
    }

    pub(crate) async fn create_company(&self, company: CompanyId, name: &CompanyName, now: Timestamp) -> StoreResult<()> {
        let vars = vars! { company: company_record(company), name: name.as_str(), name_key: name.key(), now: now };
        outcome(self.connection.of_all().write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn company_by_name(&self, name: &CompanyName) -> StoreResult<Option<CompanyId>> {
        let found: Vec<RecordId> = decode(self.connection.of_all().read(BY_NAME, vars! { name_key: name.key() }).await?)?;
        Ok(found.first().and_then(key).map(CompanyId))
    }

    pub(crate) async fn companies(&self) -> StoreResult<Vec<(CompanyId, CompanyName)>> {
        Row::list(self.connection.of_all().read(ALL, vars! {}).await?)?
            .into_iter()
            .map(|mut row| Ok((CompanyId(row.uuid("id")?), row.parse("name", CompanyName::parse)?)))
            .collect()
    }

    pub(crate) async fn company_records(&self) -> StoreResult<Vec<CompanyRecord>> {
        let mut all = Row::new(self.connection.of_all().read(RECORDS, vars! {}).await?)?;
        let mut counts = HashMap::new();
        for mut row in all.rows("counts")? {
            counts.insert(row.uuid("company")?, row.take::<u64>("number")?);
        }
        let read = |mut row: Row| {
            let id = row.uuid("id")?;
            Ok(CompanyRecord {
                id: CompanyId(id),
                name: row.parse("name", CompanyName::parse)?,
                created_at: row.time("created_at")?,
                suspended_at: row.take("suspended_at")?,
                delete_after: row.take("delete_after")?,
                people: counts.get(&id).copied().unwrap_or_default(),
            })
        };
        all.rows("companies")?.into_iter().map(read).collect()
    }

    pub(crate) async fn set_company_state(
        &self, company: CompanyId, suspended_at: Option<Timestamp>, delete_after: Option<Timestamp>,
    ) -> StoreResult<()> {
        let vars = vars! { id: company_record(company), suspended_at: suspended_at, delete_after: delete_after };
        outcome(self.connection.of_all().write_in(Scope::People, SET_STATE, vars).await?).map(drop)
    }

    pub(crate) async fn companies_to_delete(&self, now: Timestamp) -> StoreResult<Vec<(CompanyId, CompanyName)>> {
        Row::list(self.connection.of_all().read(TO_DELETE, vars! { now: now }).await?)?
            .into_iter()
            .map(|mut row| Ok((CompanyId(row.uuid("id")?), row.parse("name", CompanyName::parse)?)))
            .collect()
    }

    pub(crate) async fn purge_company(&self, company: CompanyId, now: Timestamp) -> StoreResult<()> {
        let id = company_record(company);
        if !decode::<bool>(self.connection.of_all().read(IS_DUE, vars! { company: id.clone(), now: now }).await?)? {
            return Err(StoreError::NotFound);
        }
        // That it is gone is told once, by the last step.
        on_the_way(self.empty_company(company)).await?;
        outcome(self.connection.of_all().write_in(Scope::People, DELETE, vars! { company: id, now: now }).await?).map(drop)
    }

    /// All that a company has, which may be too much for one transaction. The company itself stays, and is found again if this is cut off.
    async fn empty_company(&self, company: CompanyId) -> StoreResult<()> {
        let id = company_record(company);
        self.delete_all(SESSIONS, vars! { company: id.clone() }).await?;
        for table in BY_FIELD {
            let find = format!("SELECT VALUE id FROM {table} WHERE company = $company LIMIT $limit");
            self.delete_all(&find, vars! { company: id.clone() }).await?;
        }
        self.delete_all("SELECT VALUE id FROM person WHERE company = $company LIMIT $limit", vars! { company: id.clone() })
            .await?;
        for table in BY_RANGE {
            self.delete_all(IN_RANGE, vars! { range: below(table, vec![uuid_part(company.0)]) }).await?;
        }
        let turns = "SELECT VALUE id FROM turn WHERE record::id(id)[1] = $key LIMIT $limit";
        self.delete_all(turns, vars! { key: uuid_part(company.0) }).await?;
        let keys: Vec<_> = BY_KEY.iter().map(|table| record(table, company.0)).collect();
        match self.connection.of_all().write("DELETE $ids RETURN NONE", vars! { ids: keys }).await {
            Ok(_) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The tables that are emptied with a company, for the test that none is forgotten.
#[must_use]
pub fn tables_of_a_company() -> Vec<&'static str> {
    [BY_FIELD, BY_RANGE, BY_KEY, &["person", "session", "turn", "company"]].concat()
}
