//! API tokens.

use gatehouse_domain::{Timestamp, TokenName};
use gatehouse_platform::{
    CompanyId, PersonId, TokenId,
    ports::{Authenticated, StoreResult, TokenRecord},
};

use super::{company_record, person, person_record, token_record};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, outcome},
};

const CREATE: &str = "{
    LET $employer = (SELECT VALUE company FROM ONLY $person);
    IF $employer = NONE OR $employer != $company { RETURN { outcome: 'not_found' } };
    CREATE ONLY $id SET company = $company, person = $person, hash = $hash, name = $name, ends_with = $ends_with,
        created_at = $created_at, last_used_at = $last_used_at RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const FIND: &str = "SELECT id, last_used_at, (SELECT *, company.name AS company_name, company.suspended_at != NONE AS is_suspended FROM ONLY $parent.person) AS person
    FROM token WHERE hash = $hash LIMIT 1";

const TOUCH: &str = "UPDATE token SET last_used_at = $now WHERE hash = $hash RETURN NONE";

const OF_PERSON: &str = "SELECT * FROM token WHERE person = $person AND company = $company ORDER BY created_at DESC, id DESC";

const DELETE: &str = "{
    LET $gone = (DELETE $id WHERE person = $person AND company = $company RETURN BEFORE);
    IF array::len($gone) = 0 { RETURN { outcome: 'not_found' } };
    -- AUDIT
    RETURN { outcome: 'done' };
}";

impl Store {
    pub(crate) async fn create_token(
        &self, company: CompanyId, person: PersonId, hash: &str, token: &TokenRecord,
    ) -> StoreResult<()> {
        let vars = vars! {
            id: token_record(token.id),
            company: company_record(company),
            person: person_record(person),
            hash: hash,
            name: token.name.as_str(),
            ends_with: token.ends_with.clone(),
            created_at: token.created_at,
            last_used_at: token.last_used_at,
        };
        outcome(self.connection.of(company).write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn find_token(&self, hash: &str) -> StoreResult<Option<Authenticated>> {
        let found = async {
            let found = Row::list(self.connection.of_all().read(FIND, vars! { hash: hash }).await?)?;
            let Some(mut row) = found.into_iter().next() else {
                return Ok(None);
            };
            let Some(person) = row.row("person")? else {
                return Ok(None);
            };
            Ok(Some(Authenticated { person: person::read(person)?, expires_at: None, last_used_at: row.take("last_used_at")? }))
        };
        self.kept.tokens.get(&self.connection, hash.to_string(), found).await
    }

    pub(crate) async fn touch_token(&self, hash: &str, now: Timestamp) -> StoreResult<()> {
        self.connection.of_all().write_in(Scope::People, TOUCH, vars! { hash: hash, now: now }).await.map(drop)
    }

    pub(crate) async fn tokens(&self, company: CompanyId, person: PersonId) -> StoreResult<Vec<TokenRecord>> {
        let vars = vars! { company: company_record(company), person: person_record(person) };
        Row::list(self.connection.of(company).read(OF_PERSON, vars).await?)?.into_iter().map(read).collect()
    }

    pub(crate) async fn delete_token(&self, company: CompanyId, person: PersonId, id: TokenId) -> StoreResult<()> {
        let vars = vars! { id: token_record(id), company: company_record(company), person: person_record(person) };
        outcome(self.connection.of(company).write_in(Scope::People, DELETE, vars).await?).map(drop)
    }
}

fn read(mut row: Row) -> StoreResult<TokenRecord> {
    Ok(TokenRecord {
        id: TokenId(row.uuid("id")?),
        name: row.parse("name", TokenName::parse)?,
        ends_with: row.take("ends_with")?,
        created_at: row.time("created_at")?,
        last_used_at: row.take("last_used_at")?,
    })
}
