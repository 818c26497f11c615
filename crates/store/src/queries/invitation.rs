//! Invitations: one-time links into a company.

use gatehouse_domain::{CompanyName, Email, Role, Timestamp};
use gatehouse_platform::{
    CompanyId, InvitationId,
    ports::{InvitationRecord, PersonWrite, StoreResult},
};
use surrealdb::types::{Object, RecordId, Value};

use super::{company_record, person::content, person_record, record};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, outcome},
};

const CREATE: &str = "{
    IF !record::exists($content.company) { RETURN { outcome: 'not_found' } };
    LET $same = (SELECT VALUE id FROM person WHERE email_key = $content.email_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    DELETE invitation WHERE company = $content.company AND (email_key = $content.email_key OR expires_at <= $now) RETURN NONE;
    -- Two that invite at once meet here.
    LET $company = $content.company;
    UPDATE $company SET people = (people ?? 0) + 1 RETURN NONE;
    LET $open = (SELECT VALUE id FROM invitation WHERE company = $content.company LIMIT $limit);
    IF array::len($open) >= $limit { RETURN { outcome: 'full', limit: $limit } };
    CREATE ONLY $id CONTENT $content RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const OF_COMPANY: &str = "SELECT *, company.name AS company_name FROM invitation
    WHERE company = $company AND expires_at > $now ORDER BY created_at DESC, id DESC";

const DELETE: &str = "{
    LET $gone = (DELETE $id WHERE company = $company RETURN BEFORE);
    IF array::len($gone) = 0 { RETURN { outcome: 'not_found' } };
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const FIND: &str = "SELECT *, company.name AS company_name FROM invitation
    WHERE hash = $hash AND expires_at > $now AND company.suspended_at = NONE LIMIT 1";

const ACCEPT: &str = "{
    LET $found = (SELECT * FROM invitation WHERE hash = $hash AND expires_at > $now AND company.suspended_at = NONE LIMIT 1)[0];
    IF $found = NONE OR $found.company != $content.company OR $found.email_key != $content.email_key OR $found.role != $content.role {
        RETURN { outcome: 'not_found' };
    };
    -- Two who accept it at once meet here.
    LET $invitation = $found.id;
    DELETE $invitation RETURN NONE;
    LET $same = (SELECT VALUE id FROM person WHERE email_key = $content.email_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    CREATE ONLY $id CONTENT $content RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

impl Store {
    pub(crate) async fn create_invitation(&self, hash: &str, invitation: &InvitationRecord, limit: usize) -> StoreResult<()> {
        let mut content = Object::new();
        content.insert("company", company_record(invitation.company));
        content.insert("email", invitation.email.as_str());
        content.insert("email_key", invitation.email.key());
        content.insert("role", invitation.role.as_str());
        content.insert("hash", hash);
        content.insert("invited_by", invitation.invited_by.clone());
        content.insert("created_at", invitation.created_at);
        content.insert("expires_at", invitation.expires_at);
        let vars = vars! {
            id: invitation_record(invitation.id),
            content: Value::Object(content),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            now: invitation.created_at,
        };
        outcome(self.connection.of_all().write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn invitations(&self, company: CompanyId, now: Timestamp) -> StoreResult<Vec<InvitationRecord>> {
        let rows = self.connection.of(company).read(OF_COMPANY, vars! { company: company_record(company), now: now }).await?;
        Row::list(rows)?.into_iter().map(read).collect()
    }

    pub(crate) async fn delete_invitation(&self, company: CompanyId, id: InvitationId) -> StoreResult<()> {
        let vars = vars! { id: invitation_record(id), company: company_record(company) };
        outcome(self.connection.of(company).write_in(Scope::People, DELETE, vars).await?).map(drop)
    }

    pub(crate) async fn find_invitation(&self, hash: &str, now: Timestamp) -> StoreResult<Option<InvitationRecord>> {
        let rows = self.connection.of_all().read(FIND, vars! { hash: hash, now: now }).await?;
        Row::list(rows)?.into_iter().next().map(read).transpose()
    }

    pub(crate) async fn accept_invitation(
        &self, company: CompanyId, hash: &str, person: &PersonWrite, now: Timestamp,
    ) -> StoreResult<()> {
        let vars = vars! { hash: hash, id: person_record(person.id), content: content(company, person, now), now: now };
        outcome(self.connection.of_all().write_in(Scope::People, ACCEPT, vars).await?).map(drop)
    }
}

fn invitation_record(id: InvitationId) -> RecordId {
    record("invitation", id.0)
}

fn read(mut row: Row) -> StoreResult<InvitationRecord> {
    Ok(InvitationRecord {
        id: InvitationId(row.uuid("id")?),
        company: CompanyId(row.uuid("company")?),
        company_name: row.parse("company_name", CompanyName::parse)?,
        email: row.parse("email", Email::parse)?,
        role: row.parse("role", str::parse::<Role>)?,
        invited_by: row.take("invited_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
