//! Reading what the database answered. What does not parse is an error that names the record, never a panic.

use std::{collections::BTreeMap, fmt::Display};

use chrono::{DateTime, Utc};
use gatehouse_domain::{Role, UsedBy};
use gatehouse_platform::ports::{StoreError, StoreResult};
use surrealdb::types::{RecordId, RecordIdKey, SurrealValue, ToSql as _, Value};
use uuid::Uuid;

use crate::queries::proxy_use;

/// One object, taken apart field by field.
pub(crate) struct Row {
    /// For error messages: the record's identifier.
    what: String,
    fields: BTreeMap<String, Value>,
}

impl Row {
    /// Takes an object.
    pub(crate) fn new(value: Value) -> StoreResult<Self> {
        match value {
            Value::Object(object) => {
                let fields = object.into_inner();
                let what = fields.get("id").map_or_else(|| "an answer".to_string(), Value::to_sql);
                Ok(Self { what, fields })
            }
            other => {
                Err(StoreError::Internal(format!("the database answered with something else than an object: {}", kind(&other))))
            }
        }
    }

    /// An object, or nothing where the database answered with nothing.
    pub(crate) fn optional(value: Value) -> StoreResult<Option<Self>> {
        match value {
            Value::None | Value::Null => Ok(None),
            value => Self::new(value).map(Some),
        }
    }

    /// A list of objects.
    pub(crate) fn list(value: Value) -> StoreResult<Vec<Self>> {
        match value {
            Value::None | Value::Null => Ok(Vec::new()),
            Value::Array(values) => values.into_iter().map(Self::new).collect(),
            other => {
                Err(StoreError::Internal(format!("the database answered with something else than a list: {}", kind(&other))))
            }
        }
    }

    /// Takes a field.
    pub(crate) fn take<T: SurrealValue>(&mut self, name: &str) -> StoreResult<T> {
        let value = self.fields.remove(name).unwrap_or(Value::None);
        T::from_value(value).map_err(|error| self.wrong(name, error))
    }

    /// Takes a text and parses it.
    pub(crate) fn parse<T, E: Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> StoreResult<T> {
        let text: String = self.take(name)?;
        parse(&text).map_err(|error| self.wrong(name, error))
    }

    /// Takes a text and parses it, where there is one.
    pub(crate) fn parse_optional<T, E: Display>(
        &mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> StoreResult<Option<T>> {
        let text: Option<String> = self.take(name)?;
        text.map(|text| parse(&text)).transpose().map_err(|error| self.wrong(name, error))
    }

    /// Takes a link to a record whose key is a UUID.
    pub(crate) fn uuid(&mut self, name: &str) -> StoreResult<Uuid> {
        let link: RecordId = self.take(name)?;
        key(&link).ok_or_else(|| self.wrong(name, "not a UUID"))
    }

    /// Takes a link to a record whose key is a UUID, where there is one.
    pub(crate) fn optional_uuid(&mut self, name: &str) -> StoreResult<Option<Uuid>> {
        let link: Option<RecordId> = self.take(name)?;
        link.map(|link| key(&link).ok_or_else(|| self.wrong(name, "not a UUID"))).transpose()
    }

    /// Takes a moment.
    pub(crate) fn time(&mut self, name: &str) -> StoreResult<DateTime<Utc>> {
        self.take(name)
    }

    /// Takes a list of objects.
    pub(crate) fn rows(&mut self, name: &str) -> StoreResult<Vec<Self>> {
        Self::list(self.fields.remove(name).unwrap_or(Value::None))
    }

    /// Takes an object, where there is one.
    pub(crate) fn row(&mut self, name: &str) -> StoreResult<Option<Self>> {
        Self::optional(self.fields.remove(name).unwrap_or(Value::None))
    }

    /// A field that does not hold what it should.
    pub(crate) fn wrong(&self, name: &str, error: impl Display) -> StoreError {
        StoreError::Internal(format!("{}: the field {name} can't be read: {error}", self.what))
    }
}

/// Takes an answer that is one plain value.
pub(crate) fn decode<T: SurrealValue>(value: Value) -> StoreResult<T> {
    T::from_value(value)
        .map_err(|error| StoreError::Internal(format!("the database answered with something unexpected: {error}")))
}

/// What kind of value this is; the value itself may be nobody's business.
fn kind(value: &Value) -> String {
    value.kind().to_sql()
}

/// The key of a record, where it is a UUID.
pub(crate) fn key(id: &RecordId) -> Option<Uuid> {
    match &id.key {
        RecordIdKey::Uuid(uuid) => Some((*uuid).into()),
        _ => None,
    }
}

/// The parts of a record's key, where it is a list.
pub(crate) fn key_parts(id: RecordId) -> Option<Vec<Value>> {
    match id.key {
        RecordIdKey::Array(parts) => Some(parts.into_inner()),
        _ => None,
    }
}

/// Takes the answer of a block that says how it went: `{ outcome: 'done', … }`.
///
/// # Errors
/// What the block decided.
pub(crate) fn outcome(value: Value) -> StoreResult<Row> {
    let mut row = Row::new(value)?;
    let outcome: String = row.take("outcome")?;
    match outcome.as_str() {
        "done" => Ok(row),
        "not_found" => Err(StoreError::NotFound),
        "name_taken" => Err(StoreError::NameTaken),
        "gone" => Err(StoreError::Gone),
        "last_of_role" => Err(StoreError::LastOfRole(row.parse("role", str::parse::<Role>)?)),
        "full" => Err(StoreError::Full(row.take::<u64>("limit")?.try_into().unwrap_or(usize::MAX))),
        "key_changed" => Err(StoreError::KeyChanged),
        "changed" => Err(StoreError::Changed(row.take("version")?)),
        "in_use" => {
            let uses =
                row.rows("uses")?.into_iter().map(|row| Ok(proxy_use::read(row)?.1)).collect::<StoreResult<Vec<UsedBy>>>()?;
            Err(StoreError::InUse(uses))
        }
        other => Err(StoreError::Internal(format!("an unknown outcome: {other}"))),
    }
}
