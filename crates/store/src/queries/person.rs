//! People.

use gatehouse_domain::{CompanyName, Email, PersonName, Role, Timestamp};
use gatehouse_platform::{
    CompanyId, PersonId, Sealed,
    ports::{PersonRecord, PersonWrite, SecondFactor, StoreResult},
};
use surrealdb::types::{Object, Value};

use super::{company_record, person_record, proxy_setting::version_number, session::session_record};
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
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const BY_EMAIL: &str = "SELECT *, company.name AS company_name, company.suspended_at != NONE AS is_suspended FROM person
    WHERE email_key = $email_key LIMIT 1";

const OF_COMPANY: &str = "SELECT *, company.name AS company_name, company.suspended_at != NONE AS is_suspended FROM person
    WHERE company = $company ORDER BY name, id";

/// Two that take owners (or providers) away at the same time meet at the company.
const REPLACE: &str = "{
    LET $before = (SELECT company, version, role FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.company != $company { RETURN { outcome: 'not_found' } };
    IF $before.version != $version { RETURN { outcome: 'changed', version: $before.version } };
    UPDATE $company SET people = (people ?? 0) + 1 RETURN NONE;
    IF $before.role IN ['owner', 'provider'] AND $role != $before.role {
        LET $others = (SELECT VALUE id FROM person WHERE company = $company AND role = $before.role AND id != $id LIMIT 1);
        IF array::len($others) = 0 { RETURN { outcome: 'last_of_role', role: $before.role } };
    };
    UPDATE $id SET name = $name, role = $role, version += 1 RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const DELETE: &str = "{
    LET $before = (SELECT company, version, role FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.company != $company { RETURN { outcome: 'not_found' } };
    IF $before.version != $version { RETURN { outcome: 'changed', version: $before.version } };
    UPDATE $company SET people = (people ?? 0) + 1 RETURN NONE;
    IF $before.role IN ['owner', 'provider'] {
        LET $others = (SELECT VALUE id FROM person WHERE company = $company AND role = $before.role AND id != $id LIMIT 1);
        IF array::len($others) = 0 { RETURN { outcome: 'last_of_role', role: $before.role } };
    };
    DELETE session WHERE person = $id RETURN NONE;
    DELETE token WHERE person = $id RETURN NONE;
    DELETE $id RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const SET_PASSWORD: &str = "{
    LET $before = (SELECT VALUE password_hash FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before != $old { RETURN { outcome: 'not_found' } };
    UPDATE $id SET password_hash = $new RETURN NONE;
    DELETE session WHERE person = $id AND id != $keep RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const SET_SECOND_FACTOR: &str = "{
    IF array::len($key_ids) > 0 {
        LET $current = (SELECT VALUE key_id FROM ONLY installation:main FOR UPDATE);
        IF $current != NONE AND !($key_ids ALLINSIDE [$current]) { RETURN { outcome: 'key_changed' } };
    };
    LET $before = (SELECT totp, totp_pending, totp_step, recovery FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.totp != $old.totp OR $before.totp_pending != $old.totp_pending OR $before.totp_step != $old.totp_step
        OR $before.recovery != $old.recovery { RETURN { outcome: 'changed', version: 0 } };
    UPDATE $id MERGE $new RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const OTHER_KEYS: &str = "RETURN array::concat(
    (SELECT id, company, totp, totp_pending, totp_key, totp_pending_key FROM person WHERE totp_key > '' AND totp_key < $current LIMIT 50),
    (SELECT id, company, totp, totp_pending, totp_key, totp_pending_key FROM person WHERE totp_key > $current LIMIT 50),
    (SELECT id, company, totp, totp_pending, totp_key, totp_pending_key FROM person WHERE totp_pending_key > '' AND totp_pending_key < $current LIMIT 50),
    (SELECT id, company, totp, totp_pending, totp_key, totp_pending_key FROM person WHERE totp_pending_key > $current LIMIT 50)
)";

const RESEAL: &str = "{
    UPDATE $id SET totp = $new, totp_key = $key WHERE totp = $old RETURN NONE;
    UPDATE $id SET totp_pending = $new, totp_pending_key = $key WHERE totp_pending = $old RETURN NONE;
}";

impl Store {
    pub(crate) async fn create_person(&self, company: CompanyId, person: &PersonWrite, now: Timestamp) -> StoreResult<()> {
        let vars = vars! { id: person_record(person.id), content: content(company, person, now) };
        outcome(self.connection.of_all().write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn people(&self, company: CompanyId) -> StoreResult<Vec<PersonRecord>> {
        let rows = self.connection.of(company).read(OF_COMPANY, vars! { company: company_record(company) }).await?;
        Row::list(rows)?.into_iter().map(read).collect()
    }

    pub(crate) async fn replace_person(
        &self, company: CompanyId, id: PersonId, version: u64, name: &PersonName, role: Role,
    ) -> StoreResult<()> {
        let vars = vars! {
            id: person_record(id),
            company: company_record(company),
            version: version_number(version),
            name: name.as_str(),
            role: role.as_str(),
        };
        outcome(self.connection.of(company).write_in(Scope::People, REPLACE, vars).await?).map(drop)
    }

    pub(crate) async fn delete_person(&self, company: CompanyId, id: PersonId, version: u64) -> StoreResult<()> {
        let vars = vars! { id: person_record(id), company: company_record(company), version: version_number(version) };
        outcome(self.connection.of(company).write_in(Scope::People, DELETE, vars).await?).map(drop)
    }

    pub(crate) async fn set_password(&self, person: PersonId, old: &str, new: &str, keep: Option<&str>) -> StoreResult<()> {
        let keep = keep.map(session_record);
        let vars = vars! { id: person_record(person), old: old, new: new, keep: keep };
        outcome(self.connection.of_all().write_in(Scope::People, SET_PASSWORD, vars).await?).map(drop)
    }

    pub(crate) async fn set_second_factor(&self, person: PersonId, old: &SecondFactor, new: &SecondFactor) -> StoreResult<()> {
        let key_ids: Vec<_> = [(&old.secret, &new.secret), (&old.pending, &new.pending)]
            .into_iter()
            .filter(|(old, new)| old != new)
            .filter_map(|(_, new)| new.as_ref())
            .map(|sealed| sealed.key_id().to_string())
            .collect();
        let vars = vars! {
            id: person_record(person),
            key_ids: key_ids,
            old: factor(old),
            new: factor(new),
        };
        outcome(self.connection.of_all().write_in(Scope::People, SET_SECOND_FACTOR, vars).await?).map(drop)
    }

    /// Secrets of one-time passwords that are not sealed under `current`.
    pub(crate) async fn second_factors_under_other_keys(&self, current: &str) -> StoreResult<Vec<(CompanyId, PersonId, Sealed)>> {
        let rows = Row::list(self.connection.of_all().read(OTHER_KEYS, vars! { current: current }).await?)?;
        let mut found = Vec::new();
        for mut row in rows {
            let (company, id) = (CompanyId(row.uuid("company")?), PersonId(row.uuid("id")?));
            for (secret, key) in [("totp", "totp_key"), ("totp_pending", "totp_pending_key")] {
                let (sealed, key): (Option<String>, Option<String>) = (row.take(secret)?, row.take(key)?);
                if let Some(sealed) = sealed.filter(|_| key.is_some_and(|key| key != current)) {
                    found.push((company, id, Sealed(sealed)));
                }
            }
        }
        Ok(found)
    }

    pub(crate) async fn reseal_second_factor(&self, id: PersonId, old: &Sealed, new: &Sealed) -> StoreResult<()> {
        let vars = vars! { id: person_record(id), old: old.0.clone(), new: new.0.clone(), key: new.key_id().to_string() };
        self.connection.of_all().write_in(Scope::People, RESEAL, vars).await.map(drop)
    }

    pub(crate) async fn person_by_email(&self, email: &Email) -> StoreResult<Option<PersonRecord>> {
        let found = Row::list(self.connection.of_all().read(BY_EMAIL, vars! { email_key: email.key() }).await?)?;
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
        version: row.take("version")?,
        created_at: row.time("created_at")?,
        is_suspended: row.take("is_suspended")?,
        second_factor: SecondFactor {
            secret: row.take::<Option<String>>("totp")?.map(Sealed),
            pending: row.take::<Option<String>>("totp_pending")?.map(Sealed),
            step: row.take("totp_step")?,
            recovery: row.take("recovery")?,
        },
    })
}

fn factor(factor: &SecondFactor) -> Value {
    let SecondFactor { secret, pending, step, recovery } = factor;
    let key = |sealed: &Option<Sealed>| sealed.as_ref().map(|sealed| sealed.key_id().to_string());
    let mut fields = Object::new();
    fields.insert("totp", secret.as_ref().map(|sealed| sealed.0.clone()));
    fields.insert("totp_key", key(secret));
    fields.insert("totp_pending", pending.as_ref().map(|sealed| sealed.0.clone()));
    fields.insert("totp_pending_key", key(pending));
    fields.insert("totp_step", version_number(*step));
    fields.insert("recovery", recovery.clone());
    Value::Object(fields)
}
