//! Sessions, keyed by the hash of their secret.

use chrono::TimeDelta;
use gatehouse_domain::Timestamp;
use gatehouse_platform::{
    PersonId,
    ports::{Authenticated, StoreError, StoreResult},
};
use surrealdb::types::RecordId;

use super::{person, person_record};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, outcome},
};

const CREATE: &str = "{
    IF !record::exists($person) { RETURN { outcome: 'not_found' } };
    CREATE ONLY $id SET person = $person, created_at = $now, last_used_at = $now, expires_at = $expires_at RETURN NONE;
    RETURN { outcome: 'done' };
}";

const FIND: &str =
    "SELECT id, last_used_at, expires_at, (SELECT *, company.name AS company_name FROM ONLY $parent.person) AS person
    FROM ONLY $id";

const TOUCH: &str = "UPDATE $id SET last_used_at = $now, expires_at = $expires_at RETURN NONE";

const DELETE: &str = "DELETE $id RETURN NONE";

/// What is old is found first, outside any transaction that writes: a sweep over much then fights with nobody.
const OLD: &str = "RETURN array::concat(
    (SELECT VALUE id FROM session WHERE expires_at <= $now LIMIT 200),
    (SELECT VALUE id FROM sign_in WHERE latest <= $hour_ago LIMIT 200)
)";

const DELETE_OLD: &str =
    "DELETE $id WHERE (expires_at ?? latest) <= (IF expires_at != NONE { $now } ELSE { $hour_ago }) RETURN NONE";

impl Store {
    pub(crate) async fn create_session(
        &self, hash: &str, person: PersonId, now: Timestamp, expires_at: Timestamp,
    ) -> StoreResult<()> {
        let vars = vars! { id: session_record(hash), person: person_record(person), now: now, expires_at: expires_at };
        outcome(self.connection.write_in(Scope::People, CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn find_session(&self, hash: &str, now: Timestamp) -> StoreResult<Option<Authenticated>> {
        let found = async {
            let answer = self.connection.read(FIND, vars! { id: session_record(hash) }).await?;
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
        self.connection.write_in(Scope::People, TOUCH, vars).await.map(drop)
    }

    pub(crate) async fn delete_session(&self, hash: &str) -> StoreResult<()> {
        self.connection.write_in(Scope::People, DELETE, vars! { id: session_record(hash) }).await.map(drop)
    }

    pub(crate) async fn sweep(&self, now: Timestamp) -> StoreResult<()> {
        let hour_ago = now - TimeDelta::hours(1);
        let old = self.connection.read(OLD, vars! { now: now, hour_ago: hour_ago }).await?;
        let old: Vec<RecordId> = crate::row::decode(old)?;
        if old.is_empty() {
            return Ok(());
        }
        match self.connection.write_in(Scope::People, DELETE_OLD, vars! { id: old, now: now, hour_ago: hour_ago }).await {
            // Two that sweep at once: what one could not delete, the next one will.
            Err(StoreError::NotFound) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn session_record(hash: &str) -> RecordId {
    RecordId::new("session", hash)
}
