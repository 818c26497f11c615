//! The two sessions that each connection has: one that may do everything, and one that sees no further than one company.

use std::time::Duration;

use surrealdb::{
    Error, Surreal,
    engine::any::Any,
    opt::auth::Record,
    types::{RecordId, RecordIdKey, SurrealValue, Value},
};

use crate::{
    open::{DATABASE, NAMESPACE, OpenError},
    row::Row,
};

/// A ticket is written by who may do everything and taken by signing in, so no lasting secret opens the second session. Of a process that ended
/// between the two, one is left for a minute.
const TICKET: &str = "{
    DELETE ticket WHERE at < time::now() - 1m RETURN NONE;
    RETURN (CREATE ONLY ticket RETURN id);
}";

/// How often another ticket is tried.
const TRIES: u32 = 5;

/// What migration 0009 says to a ticket that was taken already. The SDK, which connects again by itself, signs in again with the one it had.
pub(crate) const NO_TICKET: &str = "there is no such ticket";

/// What a connection is used through.
pub(crate) struct Sessions {
    /// Of the user that the operator named, or the owner of an embedded database. The tables' permissions do not hold for it.
    pub(crate) all: Surreal<Any>,
    /// Signed in with the record access `company` (migration 0009): it sees, of each table, what belongs to the company that the statement's
    /// parameters `tenant` and `tenant_key` name. One for all companies: a session for each would have to be signed in for it, and a server takes a
    /// bounded number of them.
    pub(crate) one: Surreal<Any>,
}

#[derive(SurrealValue)]
struct Params {
    ticket: String,
}

impl Sessions {
    /// Signs the second one in: `other`, on the same connection, or else a clone.
    pub(crate) async fn begin(all: Surreal<Any>, other: Option<Surreal<Any>>) -> Result<Self, OpenError> {
        let one = other.unwrap_or_else(|| all.clone());
        let mut tries = 0;
        loop {
            match sign_in(&all, &one).await {
                Ok(()) => return Ok(Self { all, one }),
                // Several that begin at once meet where they remove the same old ticket.
                Err(error) if tries < TRIES && !error.is_connection() => {
                    tracing::debug!(%error, "a ticket was not taken; another one");
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(rand::random_range(5..100))).await;
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}

async fn sign_in(all: &Surreal<Any>, one: &Surreal<Any>) -> Result<(), Error> {
    let ticket = all.query(TICKET).await?.take::<Value>(0)?;
    let access = Record {
        namespace: NAMESPACE.into(),
        database: DATABASE.into(),
        access: "company".into(),
        params: Params { ticket: key(ticket).unwrap_or_default() },
    };
    one.signin(access).await.map(drop)
}

fn key(ticket: Value) -> Option<String> {
    match Row::new(ticket).ok()?.take::<RecordId>("id").ok()?.key {
        RecordIdKey::String(key) => Some(key),
        _ => None,
    }
}

fn failed(error: &Error) -> OpenError {
    OpenError::Database(format!("the session that sees one company at a time can't be had: {error}"))
}
