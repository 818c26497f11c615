//! Sessions, keyed by the hash of their secret.

use chrono::TimeDelta;
use gatehouse_domain::Timestamp;
use gatehouse_platform::{
    Origin, PersonId,
    ports::{Authenticated, SessionRecord, StoreError, StoreResult},
};
use surrealdb::types::{RecordId, RecordIdKey};

use super::{person, person_record};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, outcome},
};

const CREATE: &str = "{
    IF !record::exists($person) { RETURN { outcome: 'not_found' } };
    CREATE ONLY $id SET person = $person, created_at = $now, last_used_at = $now, expires_at = $expires_at, address = $address,
        agent = $agent RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const FIND: &str = "SELECT id, last_used_at, expires_at,
        (SELECT *, company.name AS company_name, company.suspended_at != NONE AS is_suspended FROM ONLY $parent.person) AS person
    FROM ONLY $id";

const TOUCH: &str = "UPDATE $id SET last_used_at = $now, expires_at = $expires_at RETURN NONE";

const DELETE: &str = "{
    LET $gone = (DELETE $id RETURN BEFORE);
    IF array::len($gone) = 0 { RETURN { outcome: 'not_found' } };
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const OF_PERSON: &str = "SELECT * FROM session WHERE person = $person AND expires_at > $now ORDER BY last_used_at DESC, id";

const DELETE_OTHERS: &str = "{
    DELETE session WHERE person = $person AND id != $keep RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

/// What is old is found first, outside any transaction that writes: a sweep over much then fights with nobody.
const OLD: &str = "RETURN array::concat(
    (SELECT VALUE id FROM session WHERE expires_at <= $now LIMIT 200),
    (SELECT VALUE id FROM sign_in WHERE latest <= $hour_ago LIMIT 200)
)";

const DELETE_OLD: &str =
    "DELETE $id WHERE (expires_at ?? latest) <= (IF expires_at != NONE { $now } ELSE { $hour_ago }) RETURN NONE";

impl Store {
    pub(crate) async fn create_session(
        &self, hash: &str, person: PersonId, now: Timestamp, expires_at: Timestamp, origin: &Origin,
    ) -> StoreResult<()> {
        let some = |text: &str, most: usize| Some(text.chars().take(most).collect::<String>()).filter(|text| !text.is_empty());
        let vars = vars! {
            id: session_record(hash),
            person: person_record(person),
            now: now,
            expires_at: expires_at,
            address: some(&origin.address, 64),
            agent: some(&origin.agent, 300),
        };
        outcome(self.connection.of_all().write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn find_session(&self, hash: &str, now: Timestamp) -> StoreResult<Option<Authenticated>> {
        let found = async {
            let answer = self.connection.of_all().read(FIND, vars! { id: session_record(hash) }).await?;
            let Some(mut row) = Row::optional(answer)? else {
                return Ok(None);
            };
            let Some(person) = row.row("person")? else {
                return Ok(None);
            };
            Ok(Some(Authenticated {
                person: person::read(person)?,
                expires_at: Some(row.time("expires_at")?),
                last_used_at: Some(row.time("last_used_at")?),
            }))
        };
        let found = self.kept.sessions.get(&self.connection, hash.to_string(), found).await?;
        Ok(found.filter(|session| session.expires_at.is_some_and(|end| end > now)))
    }

    pub(crate) async fn touch_session(&self, hash: &str, now: Timestamp, expires_at: Timestamp) -> StoreResult<()> {
        let vars = vars! { id: session_record(hash), now: now, expires_at: expires_at };
        self.connection.of_all().write_in(Scope::People, TOUCH, vars).await.map(drop)
    }

    pub(crate) async fn delete_session(&self, hash: &str) -> StoreResult<()> {
        outcome(self.connection.of_all().write_in(Scope::People, DELETE, vars! { id: session_record(hash) }).await?).map(drop)
    }

    pub(crate) async fn sessions(&self, person: PersonId, now: Timestamp) -> StoreResult<Vec<SessionRecord>> {
        let rows = self.connection.of_all().read(OF_PERSON, vars! { person: person_record(person), now: now }).await?;
        Row::list(rows)?.into_iter().map(read).collect()
    }

    pub(crate) async fn delete_other_sessions(&self, person: PersonId, keep: &str) -> StoreResult<()> {
        let vars = vars! { person: person_record(person), keep: session_record(keep) };
        outcome(self.connection.of_all().write_in(Scope::People, DELETE_OTHERS, vars).await?).map(drop)
    }

    pub(crate) async fn sweep(&self, now: Timestamp) -> StoreResult<()> {
        let hour_ago = now - TimeDelta::hours(1);
        let old = self.connection.of_all().read(OLD, vars! { now: now, hour_ago: hour_ago }).await?;
        let old: Vec<RecordId> = crate::row::decode(old)?;
        if old.is_empty() {
            return Ok(());
        }
        match self.connection.of_all().write_in(Scope::People, DELETE_OLD, vars! { id: old, now: now, hour_ago: hour_ago }).await
        {
            // Two that sweep at once: what one could not delete, the next one will.
            Err(StoreError::NotFound) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn read(mut row: Row) -> StoreResult<SessionRecord> {
    let id: RecordId = row.take("id")?;
    let RecordIdKey::String(hash) = id.key else { return Err(row.wrong("id", "not a text")) };
    Ok(SessionRecord {
        hash,
        address: row.take::<Option<String>>("address")?.unwrap_or_default(),
        agent: row.take::<Option<String>>("agent")?.unwrap_or_default(),
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub(crate) fn session_record(hash: &str) -> RecordId {
    RecordId::new("session", hash)
}
