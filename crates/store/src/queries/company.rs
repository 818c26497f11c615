//! Companies.

use gatehouse_domain::{CompanyName, Timestamp};
use gatehouse_platform::{
    CompanyId,
    ports::{PersonWrite, StoreResult},
};
use surrealdb::types::RecordId;

use super::{company_record, person::content, person_record};
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
    RETURN { outcome: 'done' };
}";

const CREATE: &str = "{
    LET $same = (SELECT VALUE id FROM company WHERE name_key = $name_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    UPSERT installation:main SET companies = (companies ?? 0) + 1 RETURN NONE;
    CREATE ONLY $company SET name = $name, name_key = $name_key, created_at = $now RETURN NONE;
    RETURN { outcome: 'done' };
}";

const BY_NAME: &str = "SELECT VALUE id FROM company WHERE name_key = $name_key LIMIT 1";

const ALL: &str = "SELECT id, name, created_at FROM company ORDER BY created_at, id";

impl Store {
    pub(crate) async fn is_empty(&self) -> StoreResult<bool> {
        decode(self.connection.read(IS_EMPTY, vars! {}).await?)
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
        outcome(self.connection.write_in(Scope::People, CREATE_FIRST, vars).await?).map(drop)
    }

    pub(crate) async fn create_company(&self, company: CompanyId, name: &CompanyName, now: Timestamp) -> StoreResult<()> {
        let vars = vars! { company: company_record(company), name: name.as_str(), name_key: name.key(), now: now };
        outcome(self.connection.write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn company_by_name(&self, name: &CompanyName) -> StoreResult<Option<CompanyId>> {
        let found: Vec<RecordId> = decode(self.connection.read(BY_NAME, vars! { name_key: name.key() }).await?)?;
        Ok(found.first().and_then(key).map(CompanyId))
    }

    pub(crate) async fn companies(&self) -> StoreResult<Vec<(CompanyId, CompanyName)>> {
        Row::list(self.connection.read(ALL, vars! {}).await?)?
            .into_iter()
            .map(|mut row| Ok((CompanyId(row.uuid("id")?), row.parse("name", CompanyName::parse)?)))
            .collect()
    }
}
