//! Attempts to sign in that count: those that failed, and those that are not judged yet (or never will be, since whoever
//! judged them died). One record per account and one per address, so that attempts at the same time meet.
//!
//! What was typed as an account may be a password that slipped into the wrong field: only its hash is kept.

use std::time::Duration;

use chrono::TimeDelta;
use gatehouse_domain::Timestamp;
use gatehouse_platform::ports::{StoreError, StoreResult};
use sha2::{Digest as _, Sha256};
use surrealdb::types::{RecordId, SurrealValue as _};
use uuid::Uuid;

use super::compound_record;
use crate::{Store, connection::vars, row::Row};

const BEGIN: &str = "{
    LET $of_account = ((SELECT VALUE attempts FROM ONLY $account FOR UPDATE) ?? [])[WHERE at > $since];
    LET $of_address = ((SELECT VALUE attempts FROM ONLY $address FOR UPDATE) ?? [])[WHERE at > $since];
    IF array::len($of_account) >= $limit OR array::len($of_address) >= $limit {
        RETURN { account: $of_account.at, address: $of_address.at };
    };
    UPSERT $account SET attempts = array::append($of_account, $attempt), latest = $attempt.at RETURN NONE;
    UPSERT $address SET attempts = array::append($of_address, $attempt), latest = $attempt.at RETURN NONE;
    RETURN { begun: true };
}";

const FORGET: &str = "UPDATE $records SET attempts = attempts[WHERE id != $id] RETURN NONE";

impl Store {
    pub(crate) async fn begin_sign_in(
        &self, account: &str, address: &str, limit: u16, window: Duration, now: Timestamp,
    ) -> StoreResult<Result<String, Duration>> {
        let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
        let since = now.checked_sub_signed(window).unwrap_or(Timestamp::MIN_UTC);
        let (account, address) = (digest(account), digest(address));
        let id = Uuid::now_v7().simple().to_string();
        let mut attempt = surrealdb::types::Object::new();
        attempt.insert("id", id.clone());
        attempt.insert("at", now);
        let vars = vars! {
            account: sign_in_record("account", &account),
            address: sign_in_record("address", &address),
            since: since,
            limit: i64::from(limit),
            attempt: surrealdb::types::Value::Object(attempt),
        };
        let mut answer = Row::new(self.connection.of_all().write(BEGIN, vars).await?)?;
        if answer.take::<Option<bool>>("begun")?.is_some() {
            return Ok(Ok(format!("{id}.{account}.{address}")));
        }
        let mut wait = Duration::ZERO;
        for name in ["account", "address"] {
            let mut times: Vec<Timestamp> = answer.take(name)?;
            times.sort_unstable();
            // Free again when so many have left the window that fewer than `limit` are in it.
            if let Some(over) = times.len().checked_sub(usize::from(limit)) {
                let free = times.get(over).map_or(now, |at| *at) + window;
                wait = wait.max((free - now).to_std().unwrap_or_default());
            }
        }
        Ok(Err(wait))
    }

    pub(crate) async fn forget_sign_in(&self, attempt: &str) -> StoreResult<()> {
        let mut parts = attempt.split('.');
        let (Some(id), Some(account), Some(address)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(StoreError::Internal("not an attempt of this store".into()));
        };
        let records = vec![sign_in_record("account", account), sign_in_record("address", address)];
        self.connection.of_all().write(FORGET, vars! { records: records, id: id }).await.map(drop)
    }
}

fn sign_in_record(kind: &str, digest: &str) -> RecordId {
    compound_record("sign_in", vec![kind.into_value(), digest.into_value()])
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
