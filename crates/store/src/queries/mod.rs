//! The queries, one module per table.

pub(crate) mod company;
pub(crate) mod installation;
pub(crate) mod person;
pub(crate) mod proxy_setting;
pub(crate) mod proxy_use;
pub(crate) mod session;
pub(crate) mod setup_link;
pub(crate) mod sign_in;
pub(crate) mod test_slot;
pub(crate) mod token;

use gatehouse_platform::{CompanyId, PersonId, ProxyId, TokenId};
use surrealdb::types::{Array, RecordId, SurrealValue as _, Value};
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
