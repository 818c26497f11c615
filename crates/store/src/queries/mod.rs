//! The queries, one module per table.

pub(crate) mod analysis;
pub(crate) mod audit;
pub(crate) mod checks;
pub(crate) mod company;
pub(crate) mod gateway;
pub(crate) mod installation;
pub(crate) mod integration;
pub(crate) mod invitation;
pub(crate) mod kept_finding;
pub(crate) mod person;
pub(crate) mod proxy_setting;
pub(crate) mod proxy_use;
pub(crate) mod session;
pub(crate) mod setup_link;
pub(crate) mod sign_in;
pub(crate) mod test_slot;
pub(crate) mod token;
pub(crate) mod traffic;
pub(crate) mod turn;

use std::ops::Bound;

use gatehouse_platform::{
    CompanyId, IntegrationId, PersonId, ProxyId, TokenId,
    ports::{StoreError, StoreResult},
};
use serde::Serialize;
use surrealdb::types::{Array, Object, RecordId, RecordIdKey, RecordIdKeyRange, SurrealValue as _, Value};
use uuid::Uuid;

fn record(table: &str, key: Uuid) -> RecordId {
    RecordId::new(table, surrealdb::types::Uuid::from(key))
}

pub(crate) fn company_record(id: CompanyId) -> RecordId {
    record("company", id.0)
}

pub(crate) fn person_record(id: PersonId) -> RecordId {
    record("person", id.0)
}

pub(crate) fn proxy_record(id: ProxyId) -> RecordId {
    record("proxy_setting", id.0)
}

pub(crate) fn integration_record(id: IntegrationId) -> RecordId {
    record("integration", id.0)
}

pub(crate) fn token_record(id: TokenId) -> RecordId {
    record("token", id.0)
}

/// The record that points at a company's default proxy.
pub(crate) fn default_record(company: CompanyId) -> RecordId {
    record("proxy_default", company.0)
}

/// A record whose key is a list.
pub(crate) fn compound_record(table: &str, parts: Vec<Value>) -> RecordId {
    RecordId::new(table, Array::from(parts))
}

/// A UUID as a part of a compound key.
pub(crate) fn uuid_part(id: Uuid) -> Value {
    id.into_value()
}

/// The range of the records whose keys are lists from `from` (inclusive) up to `to` (exclusive). A list comes before the
/// lists that it begins.
pub(crate) fn range(table: &str, from: Vec<Value>, to: Vec<Value>) -> RecordId {
    let key = |parts| RecordIdKey::Array(Array::from(parts));
    let range = RecordIdKeyRange { start: Bound::Included(key(from)), end: Bound::Excluded(key(to)) };
    RecordId::new(table, RecordIdKey::Range(Box::new(range)))
}

/// The range of the records whose keys begin like this.
pub(crate) fn below(table: &str, parts: Vec<Value>) -> RecordId {
    let mut end = parts.clone();
    end.push(after_all());
    range(table, parts, end)
}

/// Comes after every number, text, moment and UUID in a key.
pub(crate) fn after_all() -> Value {
    Value::Object(Object::new())
}

/// What the database keeps as a text and never looks into.
pub(crate) fn json(value: &impl Serialize) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(error.to_string()))
}

/// Reads such a text.
pub(crate) fn of_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Internal(format!("{what} can't be read: {error}")))
}
