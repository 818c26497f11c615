//! People.

use gatehouse_domain::{CompanyName, Email, PersonName, Role, Timestamp};
use gatehouse_platform::{
    CompanyId, PersonId,
    ports::{PersonRecord, PersonWrite, StoreResult},
};
use surrealdb::types::{Object, Value};

use super::{company_record, person_record};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, outcome},
};

const CREATE: &str = "{
    IF !record::exists($content.company) { RETURN { outcome: 'not_found' } };
    LET $same = (SELECT VALUE id FROM person WHERE email_key = $content.email_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    CREATE ONLY $id CONTENT $content RETURN NONE;
    RETURN { outcome: 'done' };
}";

const BY_EMAIL: &str = "SELECT *, company.name AS company_name FROM person WHERE email_key = $email_key LIMIT 1";

impl Store {
    pub(crate) async fn create_person(&self, company: CompanyId, person: &PersonWrite, now: Timestamp) -> StoreResult<()> {
        let vars = vars! { id: person_record(person.id), content: content(company, person, now) };
        outcome(self.connection.write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn person_by_email(&self, email: &Email) -> StoreResult<Option<PersonRecord>> {
        let found = Row::list(self.connection.read(BY_EMAIL, vars! { email_key: email.key() }).await?)?;
        found.into_iter().next().map(read).transpose()
    }
}

/// What is stored.
pub(crate) fn content(company: CompanyId, person: &PersonWrite, now: Timestamp) -> Value {
    let mut content = Object::new();
    content.insert("company", company_record(company));
    content.insert("email", person.email.as_str());
    content.insert("email_key", person.email.key());
    content.insert("name", person.name.as_str());
    content.insert("role", person.role.as_str());
    content.insert("password_hash", person.password_hash.clone());
    content.insert("created_at", now);
    Value::Object(content)
}

/// Reads one, with the company's name in `company_name`.
pub(crate) fn read(mut row: Row) -> StoreResult<PersonRecord> {
    Ok(PersonRecord {
        id: PersonId(row.uuid("id")?),
        company: CompanyId(row.uuid("company")?),
        company_name: row.parse("company_name", CompanyName::parse)?,
        email: row.parse("email", Email::parse)?,
        name: row.parse("name", PersonName::parse)?,
        role: row.parse("role", str::parse::<Role>)?,
        password_hash: row.take("password_hash")?,
    })
}
